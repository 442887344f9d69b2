"""The line schedule: dense and recurrent machines, whose every step reads one run of rows.

Rows are (time, channel), columns are samples. In that layout the whole past of a step, together with
the blocks already done, *is* contiguous: each index set costs one product and one pointwise call, and
nothing is copied. A dense machine is the case of one time and no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..partitions import CHANNELS, Partition
from .gather import Columns, Piece
from .workspace import Place, Sheet, Workspace

__all__ = ["LineWorkspace", "is_line"]

_WHOLE_PRODUCT = 1 << 18
"""Multiply-adds below which a whole product is cheaper than its live half in several calls."""


def is_line(p: Partition) -> bool:
    """Tell whether the line schedule serves: no grid, or one scanned axis in steps of 1, all swept one way."""
    if not p.axes:
        return True
    return p.axes == 1 and p.scan == (0,) and p.time_block == (1,) and set(p.reverse) in (set(), {CHANNELS, 0})


class LineWorkspace(Workspace):
    """The buffers of a line schedule; see `Workspace`.

    Parameters
    ----------
    partition : Partition
    samples : int
    grid : tuple of int
        () for a dense machine, (times,) for a recurrent one.
    dtype : dtype
    fold : bool
        Whether the start stands in the not yet computed rows of z, to be picked up by an identity
        among the weights: one call less per step, at rows² more multiply-adds per sample.
    """

    def __init__(self, partition: Partition, samples: int, grid: tuple[int, ...], dtype: Any, fold: bool) -> None:
        self.samples, self.grid = samples, grid
        self.times = grid[0] if grid else 1
        self.backwards = CHANNELS in partition.reverse
        before, after = partition.padding[0] if grid else (0, 0)
        self.memory = after if self.backwards else before
        self._primal: Any = None
        super().__init__(partition, dtype, fold)

    def _columns(self) -> list[Columns]:
        p, past = self.partition, self.memory * self.partition.channels
        after = p.padding[0][1] if p.axes else 0
        now_tap = (slice(after, after + 1),) if p.axes else ()
        far_tap = slice(after - 1, None, -1) if self.backwards else slice(after + self.memory, after, -1)
        order = (2, 0, 1) if p.axes else (1, 0)
        out = []
        for block in p.blocks:
            size = block.stop - block.start
            reads = slice(block.stop, p.channels) if self.backwards else slice(0, block.start)
            now, own = reads.stop - reads.start, size if self.fold else 0
            # the rows run (own, later blocks, future) in a dual, (past, earlier blocks, own) otherwise
            at_now, at_past = (own, own + now) if self.backwards else (past, 0)
            pieces = []
            if now:
                pieces.append(Piece((*now_tap, reads, block), order, at_now, at_now + now))
            if past:
                pieces.append(Piece((far_tap, slice(None), block), order, at_past, at_past + past))
            identity = (0 if self.backwards else past + now) if self.fold else None
            out.append(Columns(size, past + now + own, tuple(pieces), identity))
        return out

    def _arrange(self) -> None:
        c, n, t = self.partition.channels, self.samples, self.times
        self.line = np.zeros(((t + self.memory) * c, n), self.dtype)
        self.z = self.line[: t * c] if self.backwards else self.line[self.memory * c :]
        shape = (t, c, n) if self.grid else (c, n)
        whole = (slice(None),) * len(shape)
        self.sheets = [Sheet(shape, whole, tuple(range(len(shape))), len(shape) - 2)]
        self.z_full = [self.z.reshape(shape)]

    def _starts(self) -> list[np.ndarray]:
        return [self.z] if self.fold else super()._starts()

    def _places(self) -> Iterator[Place]:
        p, c, n = self.partition, self.partition.channels, self.samples
        for t in range(self.times - 1, -1, -1) if self.backwards else range(self.times):
            for k in p.block_order:
                block, width = p.blocks[k], self.columns[k].width
                rows = slice(t * c + block.start, t * c + block.stop)
                end = (t + self.memory + 1) * c
                read = self.line[end - width : end] if self.backwards else self.line[t * c : t * c + width]
                yield Place(k, 0, rows, read, self.z[rows], (block.stop - block.start, n))

    def primal(self, z: np.ndarray) -> None:
        """See `Workspace.primal`."""
        self._primal = z

    def collect(self, out: np.ndarray) -> None:
        """Add Σ z[g − ℓ] v[g] over times and samples, lag by lag; see `Workspace.collect`."""
        z, self._primal = self._primal, None
        if not self.grid:
            self._dense_cotangent(z, out)
            return
        c, n, t, m = self.partition.channels, self.samples, self.times, self.memory
        # (channel, time × sample): a lag of the machine is then an offset along the second axis
        line = np.zeros((c, (t + m) * n), self.dtype)
        first = m * n if self.backwards else 0
        line[:, first : first + t * n].reshape(c, t, n)[...] = z.transpose(1, 0, 2)
        v = np.ascontiguousarray(self.z.reshape(t, c, n).transpose(1, 0, 2)).reshape(c, t * n).T
        present = self.partition.padding[0][0]  # tap of lag 0 in the machine, whose padding is swapped here
        for lag in range(m + 1):
            at, tap = ((m - lag) * n, present + lag) if self.backwards else (lag * n, present - lag)
            out[tap] += np.dot(line[:, at : at + t * n], v)

    def _dense_cotangent(self, z: np.ndarray, out: np.ndarray) -> None:
        p = self.partition
        if p.channels**2 * self.samples <= _WHOLE_PRODUCT:
            out += np.dot(z, self.z.T)
            return
        for block in p.blocks:
            reads = slice(0, block.start) if self.backwards else slice(block.stop, p.channels)
            if reads.stop > reads.start and block.stop > block.start:
                out[reads, block] += np.dot(z[reads], self.z[block].T)
