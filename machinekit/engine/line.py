"""The line schedules: dense and recurrent machines, whose every step reads one run of rows.

Rows are (time, channel), columns are samples. In that layout the whole past of a step, together with
the blocks already done, *is* contiguous, and nothing is ever copied. A dense machine is the case of
one time and no memory. There are two ways to run the rows: folded (`FoldedLine`), where array calls are
what costs, and plain (`PlainLine`), where multiply-adds are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..arrays import NUMPY, Backend
from ..partitions import CHANNELS, Partition
from .workspace import Program, Sheet, Workspace

__all__ = ["Line", "copy_turned", "is_line"]

_WHOLE_PRODUCT = 1 << 18
"""Multiply-adds per block below which a whole product is cheaper than its live half in several calls."""
_TURNED = 64
"""Columns that are transposed at a time."""
_MASKED = 64
"""Channels up to which one masked assignment is cheaper than one assignment for each block."""


def is_line(p: Partition) -> bool:
    """Tell whether the line schedules serve: no grid, or one scanned axis in steps of 1, all swept one way."""
    if not p.axes:
        return True
    return p.axes == 1 and p.scan == (0,) and p.time_block == (1,) and set(p.reverse) in (set(), {CHANNELS, 0})


class Line(Workspace):
    """The rows that both line schedules run, and the weight cotangent.

    Parameters
    ----------
    partition : Partition
    samples : int
    grid : tuple of int
        () for a dense machine, (times,) for a recurrent one.
    dtype : dtype
    home : Backend
    """

    def __init__(
        self, partition: Partition, samples: int, grid: tuple[int, ...], dtype: Any, home: Backend = NUMPY
    ) -> None:
        self.samples, self.grid = samples, grid
        self.times = grid[0] if grid else 1
        self.backwards = CHANNELS in partition.reverse
        before, after = partition.padding[0] if grid else (0, 0)
        self.memory = after if self.backwards else before
        self._primal: Any = None
        self._result: Any = None
        super().__init__(partition, dtype, home)

    def _arrange(self) -> None:
        c, n, t = self.partition.channels, self.samples, self.times
        self.line = np.empty(((t + self.memory) * c, n), self.dtype)
        own, beyond = slice(self.memory * c, None), slice(0, self.memory * c)
        if self.backwards:
            own, beyond = slice(0, t * c), slice(t * c, None)
        self.line[beyond] = 0
        self.z = self.line[own]
        shape = (t, c, n) if self.grid else (c, n)
        self.sheets = [Sheet(shape, (), None, len(shape) - 2)]
        self.z_full = [self.z.reshape(shape)]
        self.y = [np.empty((t * c, n), self.dtype)]
        self.whole_product = c * c * t * n <= _WHOLE_PRODUCT * len(self.partition.block_order)
        self.masked = self.whole_product and c <= _MASKED
        self.x = self.y

    def times_in_order(self) -> Iterator[int]:
        """Yield the times as they are swept."""
        yield from range(self.times - 1, -1, -1) if self.backwards else range(self.times)

    def reads(self, block: slice) -> slice:
        """Return the channels that a block reads at its own time: the blocks before it in the sweep."""
        return slice(block.stop, self.partition.channels) if self.backwards else slice(0, block.start)

    def taps(self) -> tuple[slice, slice]:
        """Return the kernel taps of the past, as the rows run, and of the present."""
        after = self.partition.padding[0][1]
        past = slice(after - 1, None, -1) if self.backwards else slice(after + self.memory, after, -1)
        return past, slice(after, after + 1)

    def past(self, weight: np.ndarray) -> np.ndarray:
        """Return the kernel of the past, (out, time × in) as the rows run."""
        c = self.partition.channels
        return weight[self.taps()[0]].reshape(self.memory * c, c).T

    def present(self, weight: np.ndarray) -> np.ndarray:
        """Return the kernel of the present, (out, in), a view."""
        return (weight[self.taps()[1]][0] if self.grid else weight).T

    def put(self, targets: list[np.ndarray], native: np.ndarray | None) -> None:
        """See `Workspace.put`; there is one sheet, and it is the native layout."""
        if native is not None and native.shape[-2] == self.partition.channels:
            np.copyto(targets[0], native)
        else:
            super().put(targets, native)

    def still(self, weight: np.ndarray | None, contract: str) -> None:
        """See `Workspace.still`. The weight is read where it lies: each entry once."""
        if weight is not None:
            t, c, n = self.times, self.partition.channels, self.samples
            y, z = self.y[0].reshape(t, c, n), self.z.reshape(t, c, n)
            self.multiply(weight, z, y) if self.grid else self.multiply(weight, z[0], y[0])
        for call in self.contraction(contract):
            call()

    def multiply(self, weight: np.ndarray, z: np.ndarray, y: np.ndarray) -> None:
        """Write W z to y, which is zero: the present block by block, then each lag at all times at once.

        Parameters
        ----------
        z, y : arrays of shape ([time,] channel, sample)
        """
        present, t = self.present(weight), self.times
        for block in self.partition.blocks:
            reads = self.reads(block)
            if reads.stop > reads.start:
                np.matmul(present[block, reads], z[..., reads, :], out=y[..., block, :])
        for lag in range(1, min(self.memory, t - 1) + 1):
            early, late = slice(0, t - lag), slice(lag, t)
            here, there = (early, late) if self.backwards else (late, early)
            now = self.taps()[1].start
            y[here] += np.matmul(weight[now - lag if self.backwards else now + lag].T, z[there])

    def primal(self, z: np.ndarray) -> None:
        """See `Workspace.primal`."""
        self._primal = z

    def collected(self) -> np.ndarray:
        """See `Workspace.collected`."""
        result, self._result, self._primal = self._result, None, None
        return result

    def contracted(self, z: np.ndarray) -> np.ndarray:
        """Return the weight cotangent of a call that is not tiled, once the sweep is done; see `collected`."""
        if not self.grid and self.whole_product:
            return self.outer(z, self.z)
        self.primal(z)
        for call in self.contraction("first"):
            call()
        return self.collected()

    def outer(self, z: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return z vᵀ, zero where dead, of a dense machine; both of shape (channels, samples)."""
        if self.whole_product:
            out = z.dot(v.T)
            self._clear(out)
            return out
        self._result = np.zeros((len(z), len(v)), self.dtype)
        self._contract_blocks(z, v, self._result, True)
        return self.collected()

    def contraction(self, contract: str) -> Program:
        """Return the call that computes the weight cotangent once the sweep is done."""
        if not contract:
            return []
        return [partial(self._contract_times if self.grid else self._contract_dense, contract == "first")]

    def _contract_times(self, first: bool) -> None:
        """Σ z[g − ℓ] v[g] over times and samples, lag by lag."""
        c, n, t, m = self.partition.channels, self.samples, self.times, self.memory
        if first:
            self._result = np.zeros((self.partition.kernel[0], c, c), self.dtype)
        # rows of (time × sample): a lag of the machine is then an offset along them
        line, v = np.empty(((t + m) * n, c), self.dtype), np.empty((t * n, c), self.dtype)
        start, outside = (m * n, slice(0, m * n)) if self.backwards else (0, slice(t * n, None))
        line[outside] = 0
        copy_turned(line[start : start + t * n].reshape(t, n, c), self._primal.transpose(0, 2, 1))
        copy_turned(v.reshape(t, n, c), self.z.reshape(t, c, n).transpose(0, 2, 1))
        present = self.partition.padding[0][0]  # tap of lag 0 in the machine, whose padding is swapped here
        for lag in range(m + 1):
            at, tap = ((m - lag) * n, present + lag) if self.backwards else (lag * n, present - lag)
            z, out = line[at : at + t * n].T, self._result[tap]
            if not lag:
                self._contract_blocks(z, v.T, out, first)
            elif first:
                np.dot(z, v, out)
            else:
                np.add(out, np.dot(z, v), out)

    def _contract_dense(self, first: bool) -> None:
        if first:
            c = self.partition.channels
            self._result = np.zeros((c, c), self.dtype)
        self._contract_blocks(self._primal, self.z, self._result, first)

    def _contract_blocks(self, z: np.ndarray, v: np.ndarray, out: np.ndarray, first: bool) -> None:
        """z vᵀ where earlier blocks feed later ones: as a whole where calls cost more than the dead half."""
        if self.whole_product:
            if first:
                z.dot(v.T, out)
            else:
                np.add(out, np.dot(z, v.T), out)
            self._clear(out)
            return
        p = self.partition
        for block in p.blocks:
            reads = slice(0, block.start) if self.backwards else slice(block.stop, p.channels)
            if reads.stop == reads.start:
                continue
            if first:
                np.matmul(z[reads], v[block].T, out[reads, block])
            else:
                np.add(out[reads, block], np.dot(z[reads], v[block].T), out[reads, block])

    def _clear(self, out: np.ndarray) -> None:
        """Set the half of a whole product to zero that is dead."""
        if self.masked:
            np.putmask(out, self._dead, 0)
            return
        for block in self.partition.blocks:
            out[slice(block.start, None) if self.backwards else slice(0, block.stop), block] = 0

    @cached_property
    def _dead(self) -> np.ndarray:
        """Pairs of channels of which the machine's rule lets none read the other at one time."""
        p = self.partition
        dead = np.ones((p.channels, p.channels), dtype=bool)
        for block in p.blocks:
            dead[slice(0, block.start) if self.backwards else slice(block.stop, None), block] = False
        return dead


def copy_turned(target: np.ndarray, source: np.ndarray) -> None:
    """Copy arrays of different memory order some columns at a time, so that their lines stay in the first cache."""
    for at in range(0, target.shape[-1], _TURNED):
        part = (..., slice(at, at + _TURNED))
        np.copyto(target[part], source[part])
