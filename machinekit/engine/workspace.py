"""A workspace: the buffers of a schedule for one shape, and the list of array calls that runs it.

Everything that does not depend on values is done once: buffers, views, gathered weights, the calls
themselves. A workspace serves one call at a time; a plan keeps a pool of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..activations import Blockwise
from ..partitions import Partition
from .gather import Columns
from .pointwise import into

__all__ = ["Place", "Program", "Sheet", "Workspace"]

Program = list[Callable[[], Any]]
Copies = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Sheet:
    """A matrix of (channels, positions) and how it is cut out of an array in native layout.

    Attributes
    ----------
    shape : tuple of int
        Of the cut: native axes less what is fixed, channels first where `order` says so.
    cut : tuple of slice
        Into a native array (*scanned, channel, sample, *others).
    order : tuple of int
        Axes of the cut in the order of `shape`.
    channel : int
        The channel axis of `shape`.
    """

    shape: tuple[int, ...]
    cut: tuple[slice, ...]
    order: tuple[int, ...]
    channel: int

    def of(self, native: np.ndarray) -> np.ndarray:
        """Return the view of a native array that this sheet holds, in the sheet's shape."""
        return native[self.cut].transpose(self.order)

    def matrix(self, dtype: Any) -> np.ndarray:
        """Return a new buffer, of shape (rows, positions)."""
        last = len(self.shape) if self.channel == 0 else self.channel + 1
        rows = self.shape[0] if self.channel == 0 else int(np.prod(self.shape[:last]))
        return np.empty((rows, int(np.prod(self.shape)) // rows), dtype)


@dataclass(frozen=True)
class Place:
    """One index set in a workspace.

    Attributes
    ----------
    block, sheet : int
    rows : slice
        Rows of the sheet's matrix.
    read : array of shape (columns, positions)
        What the block reads.
    z : array
        Where σ(y) goes, of shape `shape`.
    shape : tuple of int
    before, after : pairs (target, source)
        Copies that make `read` complete, and that publish z to later readers.
    """

    block: int
    sheet: int
    rows: slice
    read: np.ndarray
    z: np.ndarray
    shape: tuple[int, ...]
    before: Copies = ()
    after: Copies = ()


class Workspace:
    """Buffers and programs of one schedule.

    Attributes
    ----------
    sheets : sequence of Sheet
    x, y : lists of arrays of shape (rows, positions)
        The start on Y, and y, one matrix per sheet.
    matrices : list of arrays of shape (block rows, columns)
        The gathered weights.
    """

    sheets: Sequence[Sheet]
    fold: bool
    z_full: list[np.ndarray]

    def __init__(self, partition: Partition, dtype: Any, fold: bool) -> None:
        self.partition, self.dtype, self.fold = partition, np.dtype(dtype), fold
        self.columns = self._columns()
        self.matrices = [np.zeros((c.rows, c.width), self.dtype) for c in self.columns]
        self._loaded: Any = None
        self._programs: dict[Any, Program] = {}
        self._arrange()
        self.y = [sheet.matrix(self.dtype) for sheet in self.sheets]
        self.x = self._starts()
        self.places = list(self._places())
        self.x_full = [x.reshape(s.shape) for x, s in zip(self.x, self.sheets, strict=True)]
        self.y_full = [y.reshape(s.shape) for y, s in zip(self.y, self.sheets, strict=True)]
        self._more: dict[str, list[np.ndarray]] = {}

    def _columns(self) -> list[Columns]:
        raise TypeError("a schedule says which columns its blocks read")

    def _arrange(self) -> None:
        """Make the buffers of z and the sheets."""
        raise TypeError("a schedule arranges its own buffers")

    def _starts(self) -> list[np.ndarray]:
        """Return where the start on Y is put."""
        return [np.empty_like(y) for y in self.y]

    def _places(self) -> Iterator[Place]:
        raise TypeError("a schedule lists its own index sets")

    def load(self, weight: np.ndarray) -> None:
        """Gather a weight, unless it is the one gathered last. Weights of machines are never written to."""
        if weight is not self._loaded:
            for columns, matrix in zip(self.columns, self.matrices, strict=True):
                columns.read(weight, matrix)
            self._loaded = weight

    def more(self, name: str) -> list[np.ndarray]:
        """Return extra buffers shaped like y, in the sheets' shapes: "slope", "added"."""
        if name not in self._more:
            self._more[name] = [np.empty(s.shape, self.dtype) for s in self.sheets]
        return self._more[name]

    def put(self, targets: list[np.ndarray], native: np.ndarray | None) -> None:
        """Copy a native array, whose channels may be fewer, into buffers in the sheets' shapes; the rest is zero."""
        for target, sheet in zip(targets, self.sheets, strict=True):
            if native is None:
                target[...] = 0
                continue
            source = sheet.of(native)
            width = source.shape[sheet.channel]
            if width == target.shape[sheet.channel]:
                np.copyto(target, source)
            else:
                lead = (slice(None),) * sheet.channel
                np.copyto(target[(*lead, slice(0, width))], source)
                target[(*lead, slice(width, None))] = 0

    def program(self, sigma: Blockwise | None, added: bool, contract: bool = False) -> Program:
        """Return the calls that run the schedule.

        Parameters
        ----------
        sigma : Blockwise or None
            None: linear, multiplication by the buffer ``more("slope")``.
        added : bool
            Whether ``more("added")`` is added to z.
        contract : bool
            Whether what `collect` needs is computed on the way.
        """
        key = (sigma, added, contract)
        if key not in self._programs:
            self._programs[key] = self._build(sigma, added, contract)
        return self._programs[key]

    def _build(self, sigma: Blockwise | None, added: bool, contract: bool) -> Program:
        calls: Program = []
        for here, place in enumerate(self.places):
            calls += [partial(np.copyto, *pair) for pair in place.before]
            y = self.y[place.sheet][place.rows]
            x = self.x[place.sheet][place.rows]
            matrix = self.matrices[place.block]
            if not matrix.shape[1]:
                calls.append(partial(np.copyto, y, x))
            else:
                calls.append(partial(np.dot, matrix, place.read, y))
                if not self.fold:
                    calls.append(partial(np.add, y, x, y))
            value = y.reshape(place.shape)
            if sigma is None:
                calls.append(partial(np.multiply, value, self._cell("slope", place), place.z))
            else:
                calls.append(partial(into(sigma.activations[place.block]), value, place.z))
            if added:
                calls.append(partial(np.add, place.z, self._cell("added", place), place.z))
            calls += [partial(np.copyto, *pair) for pair in place.after]
            if contract and (here + 1 == len(self.places) or self.places[here + 1].sheet != place.sheet):
                calls += self._contraction(place.sheet)
        return calls

    def _contraction(self, sheet: int) -> Program:
        """Return the calls that `collect` needs after a sheet is done."""
        return []

    def _cell(self, name: str, place: Place) -> np.ndarray:
        return self.more(name)[place.sheet].reshape(self.y[place.sheet].shape)[place.rows].reshape(place.shape)

    def primal(self, z: np.ndarray) -> None:
        """Take the solution, a native array, of the machine whose dual is about to be solved."""
        raise TypeError("a schedule contracts its own weight cotangent")

    def collect(self, out: np.ndarray) -> None:
        """Add the weight cotangent of that machine, after the run; dead entries may hold anything.

        Parameters
        ----------
        out : array of shape (*lag, in, out)
            In that machine's own layout.
        """
        raise TypeError("a schedule contracts its own weight cotangent")
