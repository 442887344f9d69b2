"""A workspace: the buffers of a schedule for one shape, and the list of array calls that runs it.

Everything that does not depend on values is done once: buffers, views, gathered weights, the calls
themselves. A workspace serves one call at a time; a plan keeps a pool of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..activations import Blockwise
from ..arrays import NUMPY, Array, Backend
from ..partitions import Partition
from .pointwise import into

__all__ = ["Program", "Sheet", "Workspace"]

Program = list[Callable[[], Any]]

_RUN = 256
"""Positions that are transposed at a time, so that the lines of memory of a run stay in the first cache."""


@dataclass(frozen=True)
class Sheet:
    """A matrix of (rows, positions) and how it is cut out of an array in native layout.

    Attributes
    ----------
    shape : tuple of int
        Of the cut, its axes in the order of the matrix.
    cut : tuple of slice
        Into a native array (*scanned, channel, sample, *others).
    order : tuple of int or None
        Axes of the cut in the order of `shape`; None where the sheet is the whole native array.
    channel : int
        The channel axis of `shape`; it and what precedes it are the rows.
    """

    shape: tuple[int, ...]
    cut: tuple[slice, ...]
    order: tuple[int, ...] | None
    channel: int

    def of(self, native: Array) -> Array:
        """Return the view of a native array that this sheet holds, in the sheet's shape."""
        return native if self.order is None else native[self.cut].transpose(self.order)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        cut = self.channel + 1
        return math.prod(self.shape[:cut]), math.prod(self.shape[cut:])


class Workspace:
    """Buffers and programs of one schedule.

    Parameters
    ----------
    partition : Partition
    dtype : dtype
    home : Backend
        Where the buffers are.

    Attributes
    ----------
    sheets : sequence of Sheet
    y, x : lists of arrays of shape (rows, positions)
        The matrices of y, and where the start on Y is put; they may be the same.
    z_full : list of arrays in the sheets' shapes
    """

    sheets: Sequence[Sheet]
    y: list[Array]
    x: list[Array]
    z_full: list[Array]

    def __init__(self, partition: Partition, dtype: Any, home: Backend = NUMPY) -> None:
        self.partition, self.dtype = partition, np.dtype(dtype)
        self.home, self.xp = home, home.xp
        self.loaded: Any = None
        self.forget()
        self._more: dict[str, list[Array]] = {}
        self._arrange()
        self.kernels = [self.xp.zeros(shape, self.dtype) for shape in self.kernel_shapes()]
        self.x_full = [x.reshape(s.shape) for x, s in zip(self.x, self.sheets, strict=True)]
        self.y_full = [y.reshape(s.shape) for y, s in zip(self.y, self.sheets, strict=True)]

    def _arrange(self) -> None:
        """Make the buffers and the sheets."""
        raise TypeError("a schedule arranges its own buffers")

    def kernel_shapes(self) -> list[tuple[int, int]]:
        """Return the shapes of the gathered weights."""
        raise TypeError("a schedule gathers its own weights")

    def gather(self, weight: Array, kernels: Sequence[Array]) -> None:
        """Write a weight into gathered form."""
        raise TypeError("a schedule gathers its own weights")

    def load(self, weight: Array) -> None:
        """Gather a weight, unless it is the one gathered last. Weights of machines are never written to."""
        if weight is not self.loaded:
            self.gather(weight, self.kernels)
            self.loaded = weight

    def forget(self) -> None:
        """Drop the programs, which are bound to the kernels."""
        self._programs: dict[Any, Program] = {}
        self._last: tuple = (self, False, "", [])

    def more(self, name: str) -> list[Array]:
        """Return extra buffers in the sheets' shapes: "slope", "added"."""
        if name not in self._more:
            self._more[name] = [self.xp.empty(s.shape, self.dtype) for s in self.sheets]
        return self._more[name]

    def put(self, targets: list[Array], native: Array | None) -> None:
        """Copy a native array, whose channels may be fewer, into buffers in the sheets' shapes; the rest is zero."""
        for target, sheet in zip(targets, self.sheets, strict=True):
            if native is None:
                target[...] = 0
                continue
            source = sheet.of(native)
            width = source.shape[sheet.channel]
            lead = (slice(None),) * sheet.channel
            if width < target.shape[sheet.channel]:
                target[(*lead, slice(width, None))] = 0
                target = target[(*lead, slice(0, width))]
            self.copy(target, source, sheet.channel + 1)

    def copy(self, target: Array, source: Array, axis: int) -> None:
        """Copy between arrays of any memory order, positions being the axes from `axis` on."""
        _copy_in_runs(target, source, axis)

    def start(self, native: Array | None, bias: Array) -> None:
        """Put the start on Y, with a bias added; see `put`."""
        self.put(self.x_full, native)
        for start, sheet in zip(self.x_full, self.sheets, strict=True):
            start += bias.reshape((-1,) + (1,) * (start.ndim - 1 - sheet.channel))

    def store(self, y: Array | None, z: Array | None) -> None:
        """Copy y and z to native arrays, where they are given."""
        for target, sources in ((y, self.y_full), (z, self.z_full)):
            if target is not None:
                for sheet, source in zip(self.sheets, sources, strict=True):
                    np.copyto(sheet.of(target), source)

    def program(self, sigma: Blockwise | None, added: bool, contract: str = "") -> Program:
        """Return the calls that run the schedule.

        Parameters
        ----------
        sigma : Blockwise or None
            None: linear, multiplication by the buffer ``more("slope")``.
        added : bool
            Whether ``more("added")`` is added to z.
        contract : {"", "first", "more"}
            Whether the weight cotangent of the machine whose dual this is is computed on the way, and
            written or added to what earlier tiles left.
        """
        last = self._last
        if last[0] is sigma and last[1] is added and last[2] == contract:
            return last[3]
        key = (sigma, added, contract)
        known = self._programs.get(key)
        if known is None:
            known = self._programs[key] = self.build(sigma, added, contract)
        self._last = (*key, known)
        return known

    def build(self, sigma: Blockwise | None, added: bool, contract: str) -> Program:
        """Make the program; see `program`."""
        raise TypeError("a schedule builds its own program")

    def still(self, weight: Array | None, contract: str) -> None:
        """Fill y, which is zero, with W z for the z that stands in ``z_full``, and contract; see `Plan.products`.

        Parameters
        ----------
        weight : array of shape (*lag, in, out), or None
            Not necessarily the one loaded.
        contract : {"", "first", "more"}
            As for `program`.
        """
        raise TypeError("a schedule multiplies by its own weight")

    def pointwise(self, sigma: Blockwise | None, added: bool, block: int, sheet: int, rows: slice, z: Array) -> Program:
        """Return the calls of the pointwise step on some rows of a sheet: z = σ(y), or z = slope · y, and + z0."""
        y = self.y[sheet][rows].reshape(z.shape)
        if sigma is None:
            calls: Program = [partial(np.multiply, y, self._cell("slope", sheet, rows, z.shape), z)]
        else:
            calls = [partial(into(sigma.activations[block]), y, z)]
        if added:
            calls.append(partial(np.add, z, self._cell("added", sheet, rows, z.shape), z))
        return calls

    def _cell(self, name: str, sheet: int, rows: slice, shape: tuple[int, ...]) -> Array:
        return self.more(name)[sheet].reshape(self.y[sheet].shape)[rows].reshape(shape)

    def primal(self, z: Array) -> None:
        """Take the solution, a native array, of the machine whose dual is about to be solved."""
        raise TypeError("a schedule contracts its own weight cotangent")

    def collected(self) -> Array:
        """Return that machine's weight cotangent, in its own layout (*lag, in, out), zero where the rule says so."""
        raise TypeError("a schedule contracts its own weight cotangent")


def _copy_in_runs(target: np.ndarray, source: np.ndarray, axis: int) -> None:
    """Copy between arrays whose positions, the axes from `axis` on, may lie in different orders of memory."""
    positions = math.prod(target.shape[axis:])
    if positions <= _RUN or axis >= target.ndim or source.strides[-1] == source.itemsize:
        np.copyto(target, source)
        return
    each = positions // target.shape[axis]
    step = max(1, _RUN // each)
    before = (slice(None),) * axis
    for at in range(0, target.shape[axis], step):
        part = (*before, slice(at, at + step))
        _copy_in_runs(target[part], source[part], axis + (step == 1))
