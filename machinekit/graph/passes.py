"""One pass through a component as a map of rows, s ↦ g(s): what is unknown is the spaces that are cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array, astype, backend_of, dtype_name, namespace, real
from .components import Component
from .values import Loop, Values

__all__ = ["Act", "AffinePass", "Derive", "Layout", "Pass", "Round", "Way"]

Act = Callable[[int, Sequence[Array | None]], Any]
"""What an edge does: its place and the arrays that it reads, to its record."""
Derive = Callable[[int, Any, Sequence[Array | None]], Any]
"""Its derivative: its place, its record, and directions, to the record of that."""
Way = Callable[[Sequence[tuple[int, ...]], Values, Act, Any], None]
"""Runs groups of edges, forwards or backwards, adds to the values and fills records."""

_ROUNDINGS = 4.0
"""Units of rounding that a step of a pass makes."""


class Layout:
    """Values of some spaces as rows: one sample each, the spaces side by side."""

    def __init__(self, names: Sequence[str], full: Mapping[str, tuple[int, ...]], batch: tuple[int, ...]) -> None:
        self.shapes = {name: full[name] for name in names}
        self.samples = math.prod(batch)
        self.widths = [math.prod(shape[len(batch) :]) for shape in self.shapes.values()]
        self.shape = (self.samples, sum(self.widths))

    def pack(self, values: Mapping[str, Array | None], like: Array) -> Array:
        """Return new rows; None is zero, of the dtype of `like`."""
        xp, parts = namespace(like), []
        for name, width in zip(self.shapes, self.widths, strict=True):
            a = values.get(name)
            if a is None:
                parts.append(backend_of(like).zeros((self.samples, width), like.dtype))
            else:
                parts.append(xp.reshape(a, (self.samples, width)))
        return astype(parts[0]) if len(parts) == 1 else xp.concat(parts, axis=1)

    def unpack(self, rows: Array, own: bool = False) -> dict[str, Array]:
        """Return the values of the spaces; with `own` no two of them in one piece of memory."""
        xp, at, values = namespace(rows), 0, {}
        for (name, shape), width in zip(self.shapes.items(), self.widths, strict=True):
            part = rows[:, at : at + width]
            values[name] = xp.reshape(astype(part) if own and len(self.widths) > 1 else part, shape)
            at += width
        return values


class Round:
    """What is fed back to given values of the spaces that are cut, when every edge of a component runs once.

    Parameters
    ----------
    component : Component
    outer : Values
        What has arrived, in the component and around it.
    layout : Layout
        Of the spaces that are cut.
    way : callable
    """

    def __init__(self, component: Component, outer: Values, layout: Layout, way: Way) -> None:
        self.component, self.outer, self.layout, self.way = component, outer, layout, way
        self.shape = layout.shape
        self.noise = _ROUNDINGS * (1.0 + len(component.groups))

    def run(self, held: Mapping[str, Array], act: Act, records: Any, alone: bool = False) -> Loop:
        """Run the edges at held values, by themselves or with all that has arrived; return what has flown."""
        loop = Loop(self.outer, self.component.spaces, self.component.cut, held, alone)
        self.way(self.component.groups, loop, act, records)
        return loop

    def product(self, act: Act, p: Array) -> Array:
        """Return A p on rows, for edges that act linearly."""
        return self.layout.pack(self.run(self.layout.unpack(p), act, {}, alone=True).fed, p)


class AffinePass:
    """The problem s = A s + c, c being what is fed back when nothing was.

    Parameters
    ----------
    round : Round
    act, linear : callable
        What the edges do, and its linear part.
    like : array
        Complex where A may be.
    """

    affine = True

    def __init__(self, round: Round, act: Act, linear: Act, like: Array) -> None:
        self._round, self._linear = round, linear
        self.shape, self.noise = round.shape, round.noise
        rows = round.layout.pack(round.run({}, act, {}).fed, like)
        self.like = astype(rows, namespace(rows).result_type(rows, like))

    def start(self) -> Array:
        """Return c."""
        return astype(self.like)

    def image(self, s: Array) -> Array:
        """Return A s + c."""
        return self.like + self._round.product(self._linear, s)

    def linearise(self, s: Array) -> Callable[[Array], Array]:
        """Return p ↦ A p."""
        return partial(self._round.product, self._linear)


class Pass:
    """The problem s = g(s); g′ runs the derivatives of the edges at the records of the last pass.

    Parameters
    ----------
    round : Round
    act : callable
        What the edges do.
    derive : callable (place, record, arrays) -> record
        Its derivative.
    like : array
        Tells library, device and dtype where nothing has arrived.
    warm : mapping of str to array, optional
        Values to start from; otherwise from what has arrived.
    """

    affine = False

    def __init__(
        self, round: Round, act: Act, derive: Derive, like: Array, warm: Mapping[str, Array] | None = None
    ) -> None:
        self._round, self._act, self._derive = round, act, derive
        self.shape, self.noise = round.shape, round.noise
        layout, outer = round.layout, round.outer
        self.like = layout.pack({name: outer.get(name) for name in round.component.cut}, like)
        if warm is not None:
            rows = layout.pack(warm, like)
            rows = rows if dtype_name(self.like).startswith("complex") else real(rows)
            self.like = astype(rows, self.like.dtype)
        self._at: Array | None = None
        self._image: Array | None = None
        self._records: dict[int, Any] = {}

    def start(self) -> Array:
        """Return where to start, in the dtype of its image, for parameters may be complex where inputs are not."""
        start = astype(self.like)
        with np.errstate(all="ignore"):
            image = self.image(start)
        if image.dtype != start.dtype:
            return astype(start, image.dtype)
        self._image = image  # it is the first that will be asked for
        return start

    def image(self, s: Array) -> Array:
        """Return what is fed back to the values s."""
        image, self._image = self._image, None
        if image is not None and s is self._at:
            return image
        records: dict[int, Any] = {}
        loop = self._round.run(self._round.layout.unpack(s), self._act, records)
        self._at, self._records = s, records
        return self._round.layout.pack(loop.fed, s)

    def linearise(self, s: Array) -> Callable[[Array], Array]:
        """Return p ↦ g′(s) p."""
        if self._at is not s:
            self.image(s)
        records = self._records

        def act(k: int, directions: Sequence[Array | None]) -> Any:
            return self._derive(k, records[k], directions)

        return partial(self._round.product, act)
