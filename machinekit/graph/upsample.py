"""Upsample: a finer grid, by repetition or linearly."""

from __future__ import annotations

from typing import Any

from ..arrays import Array, namespace, near
from ..records import Cotangent, State, Tangent
from .leaf import Leaf
from .op import Linear
from .windows import grid_of, on_batch, on_samples, per_axis, read_axes

__all__ = ["Upsample"]

METHODS = ("nearest", "linear")


class Upsample(Linear, Leaf):
    """A grid with `factor` positions for each one, filled by repetition or linear interpolation.

    Parameters
    ----------
    factor : int or sequence of int
        Per grid axis; the length of a sequence tells the number of grid axes, an integer serves all.
    method : {"nearest", "linear"}
    axes : int, optional
        Number of grid axes where `factor` is an integer; 2 by default.

    Raises
    ------
    ValueError
        A factor below 1, an unknown method, too few axes.
    TypeError
        Anything but integers; no array.

    Notes
    -----
    Axis by axis, with factor f. Nearest: y[f q + r] = x[q]. Linear: positions are the centres of cells, so
    that f q + r lies at q + δ with δ = (r + ½)/f − ½, and the ends are continued as constants,

        y[f q + r] = (1 − |δ|) x[q] + |δ| x[q + sign δ],     x[−1] = x[0],  x[n] = x[n−1].

    No parameters. Linear in x: ẏ is the same of ẋ, and x̄ collects ȳ with the same coefficients:
    nearest x̄[q] = Σ_r ȳ[f q + r]. At most two multiply-adds per axis and entry.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> x = np.array([0.0, 4.0])[:, None]
    >>> mk.Upsample((2,))(x)[:, 0], mk.Upsample((2,), method="linear")(x)[:, 0]
    (array([0., 0., 4., 4.]), array([0., 1., 3., 4.]))
    >>> op = mk.Upsample((2,), method="linear")
    >>> op.pullback(op.solve(x), np.array([[1.0], [4.0], [0.0], [0.0]])).inputs[0][:, 0]
    array([4., 1.])
    """

    reads_outputs = False
    factor: tuple[int, ...]
    method: str

    def __init__(self, factor: Any, *, method: str = "nearest", axes: int | None = None) -> None:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; {near(method, METHODS)}")
        self._fill({}, factor=per_axis("factor", factor, read_axes(axes, factor=factor), 1), method=method)

    def __repr__(self) -> str:
        return f"Upsample({self.factor}, method={self.method!r})"

    def solve(self, *inputs: Array) -> State:
        """Return the state of the finer grid.

        Parameters
        ----------
        x : array of shape (*batch, *grid, channel)
        """
        (x,) = self._one(inputs)
        grid_of("Upsample", x, len(self.factor))
        return State(inputs, (self._finer(x),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return the same of ẋ."""
        (direction,) = self._directions(state, inputs)
        self._along(parameters)
        if direction is None:
            return Tangent((namespace(state.outputs[0]).zeros_like(state.outputs[0]),), (None,), parameters)
        return Tangent((self._finer(direction),), (direction,))

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄, each entry of ȳ given back to those it was made of."""
        (seed,) = self._seeds(state, (y,))
        back = _collect if self.method == "nearest" else _collect_linear
        part = on_samples(seed, len(self.factor))
        for axis, f in enumerate(self.factor):
            part = back(part, 1 + axis, f) if f > 1 and part.shape[1 + axis] else part
        part = part if max(self.factor) > 1 else part + 0
        return Cotangent((on_batch(part, self._batch(seed)),), {}, (y,))

    def _finer(self, x: Array) -> Array:
        spread = _repeat if self.method == "nearest" else _interpolate
        part = on_samples(x, len(self.factor))
        for axis, f in reversed(list(enumerate(self.factor))):
            part = spread(part, 1 + axis, f) if f > 1 and part.shape[1 + axis] else part
        part = part if max(self.factor) > 1 else part + 0
        return on_batch(part, self._batch(x))

    def _batch(self, x: Array) -> tuple[int, ...]:
        return tuple(x.shape[: -1 - len(self.factor)])


def _merge(parts: list[Array], axis: int) -> Array:
    """Interleave arrays along an axis."""
    xp, shape = namespace(parts[0]), parts[0].shape
    stacked = xp.stack(parts, axis=axis + 1)
    return xp.reshape(stacked, (*shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :]))


def _split(y: Array, axis: int, f: int) -> list[Array]:
    """Return the f arrays that `_merge` interleaves (views)."""
    return [y[(slice(None),) * axis + (slice(r, None, f), ...)] for r in range(f)]


def _repeat(x: Array, axis: int, f: int) -> Array:
    return _merge([x] * f, axis)


def _collect(y: Array, axis: int, f: int) -> Array:
    first, *others = _split(y, axis, f)
    total = first + others[0]
    for part in others[1:]:
        total += part
    return total


def _deltas(f: int) -> list[float]:
    return [(r + 0.5) / f - 0.5 for r in range(f)]


def _ends(x: Array, axis: int) -> tuple[tuple, ...]:
    """Return the indices of the first entry along an axis, the last, all but the first, all but the last."""
    lead, n, rest = (slice(None),) * axis, x.shape[axis], x.shape[axis] - 1
    return tuple((*lead, cut, ...) for cut in (slice(0, 1), slice(rest, n), slice(1, n), slice(0, rest)))


def _interpolate(x: Array, axis: int, f: int) -> Array:
    xp = namespace(x)
    first, last, later, earlier = _ends(x, axis)
    before, after = xp.concat([x[first], x[earlier]], axis=axis), xp.concat([x[later], x[last]], axis=axis)
    return _merge([(1 - abs(δ)) * x + abs(δ) * (before if δ < 0 else after) for δ in _deltas(f)], axis)


def _collect_linear(y: Array, axis: int, f: int) -> Array:
    xp = namespace(y)
    parts = list(zip(_deltas(f), _split(y, axis, f), strict=True))
    own, left, right = (xp.zeros_like(parts[0][1]) for _ in range(3))
    for δ, part in parts:
        own += (1 - abs(δ)) * part
        if δ < 0:
            left += -δ * part
        else:
            right += δ * part
    first, last, later, earlier = _ends(own, axis)
    own[earlier] += left[later]
    own[first] += left[first]
    own[later] += right[earlier]
    own[last] += right[last]
    return own
