"""The grid schedule: any machine on a grid, each index set one product over a buffer of taps.

A tap buffer holds, for the positions of one time block, a row per (lag, channel) that some block may
read. Its rows are ordered so that what a block reads is a *prefix*: first the lags at which everything
is read, then block by block, in the order of computation, the lags at which only earlier blocks are.
Once z is known on an index set, its taps are copied in by one strided copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ..linear import transpose
from ..partitions import Partition
from .gather import Columns, Piece
from .workspace import Place, Program, Sheet, Workspace

__all__ = ["GridWorkspace", "tap_rows"]

Lags = tuple[range, ...]


def lag_boxes(p: Partition) -> tuple[list[Lags], Lags]:
    """Return the boxes of lags at which all channels are read, and the box at which earlier blocks are.

    The walk of `Partition.sources`, axis by axis: an axis that tells past from present makes a box.
    """
    free = [range(-after, before + 1) for before, after in p.padding]
    everything: list[Lags] = []
    for axis, extent in zip(p.scan, p.time_block, strict=True):
        low, high = free[axis].start, free[axis].stop
        if axis in p.reverse:
            past, present = range(low, min(high, 1 - extent)), range(max(low, 1 - extent), 1)
        else:
            past, present = range(extent, high), range(min(high, extent))
        if len(past):
            everything.append(tuple(past if a == axis else r for a, r in enumerate(free)))
        free[axis] = present
    return everything, tuple(free)


def tap_rows(p: Partition) -> int:
    """Return the rows of the tap buffer."""
    everything, ordered = lag_boxes(p)
    return p.channels * sum(math.prod(map(len, box)) for box in (*everything, ordered))


class GridWorkspace(Workspace):
    """The buffers of a grid schedule; see `Workspace`.

    Parameters
    ----------
    partition : Partition
    samples : int
    grid : tuple of int
    dtype : dtype
    """

    def __init__(self, partition: Partition, samples: int, grid: tuple[int, ...], dtype: Any) -> None:
        self.samples, self.grid = samples, grid
        self.everything, self.ordered = lag_boxes(partition)
        others = tuple(a for a in range(partition.axes) if a not in partition.scan)
        self.axes = (*partition.scan, *others)
        """Grid axes in native order: scanned first."""
        super().__init__(partition, dtype, fold=False)

    def _columns(self) -> list[Columns]:
        p, start = self.partition, 0
        heads = []
        for box in self.everything:
            stop = start + p.channels * math.prod(map(len, box))
            heads.append((box, slice(0, p.channels), start, stop))
            start = stop
        self.first_ordered = start
        read, columns = list(heads), {}
        for k in p.block_order:
            columns[k] = self._gathered(k, read)
            block = p.blocks[k]
            stop = start + (block.stop - block.start) * math.prod(map(len, self.ordered))
            read.append((self.ordered, block, start, stop))
            start = stop
        self.tap_slots = {k: (read[len(heads) + i][2], read[len(heads) + i][3]) for i, k in enumerate(p.block_order)}
        return [columns.get(k, Columns(0, 0, ())) for k in range(len(p.blocks))]

    def _gathered(self, k: int, read: list[tuple[Lags, slice, int, int]]) -> Columns:
        p, n = self.partition, self.partition.axes
        block = p.blocks[k]
        pieces = []
        for box, source, start, stop in read:
            taps = (slice(r.start + after, r.stop + after) for r, (_, after) in zip(box, p.padding, strict=True))
            pieces.append(Piece((*taps, source, block), (n + 1, n, *self.axes), start, stop))
        return Columns(block.stop - block.start, read[-1][3] if read else 0, tuple(pieces))

    def _arrange(self) -> None:
        p, s = self.partition, len(self.partition.scan)
        wide = [n + before + after for n, (before, after) in zip(self.grid, p.padding, strict=True)]
        scanned, others = self.axes[:s], self.axes[s:]
        self.padded = np.zeros(
            (*(wide[a] for a in scanned), p.channels, self.samples, *(wide[a] for a in others)), self.dtype
        )
        order = (s, *range(s), *range(s + 1, s + 2 + len(others)))  # channel first
        self.boxes = list(p.boxes(self.grid))
        self.sheets = []
        for box in self.boxes:
            cut = (*(box[a] for a in scanned), *(slice(None),) * (2 + len(others)))
            spans = [box[a].stop - box[a].start for a in scanned]
            shape = (p.channels, *spans, self.samples, *(self.grid[a] for a in others))
            self.sheets.append(Sheet(shape, cut, order, 0))
        largest = max((math.prod(sheet.shape[1:]) for sheet in self.sheets), default=0)
        self.taps = np.zeros(tap_rows(p) * largest, self.dtype)
        inside = [slice(before, before + n) for n, (before, _) in zip(self.grid, p.padding, strict=True)]
        core = self.padded[(*(inside[a] for a in scanned), slice(None), slice(None), *(inside[a] for a in others))]
        self.z_full = [sheet.of(core) for sheet in self.sheets]

    def tap_matrix(self, sheet: int) -> np.ndarray:
        """Return the tap buffer as a matrix (rows, positions of a sheet)."""
        positions = math.prod(self.sheets[sheet].shape[1:])
        rows = tap_rows(self.partition)
        return self.taps[: rows * positions].reshape(rows, positions)

    def _window(self, box: tuple[slice, ...], lags: Lags, channels: slice) -> np.ndarray:
        """Return the view (channel, *lag, *scanned, sample, *others) of padded z at positions minus lags."""
        p, s, z = self.partition, len(self.partition.scan), self.padded
        scanned, others = self.axes[:s], self.axes[s:]
        place = {a: a_pos for a_pos, a in enumerate(scanned)} | {a: s + 2 + i for i, a in enumerate(others)}
        corner: list[Any] = [slice(None)] * z.ndim
        corner[s] = channels
        for a in self.axes:
            corner[place[a]] = slice(box[a].start + p.padding[a][0] - lags[a].start, None)
        base = z[tuple(corner)]
        shape = [channels.stop - channels.start, *(len(lags[a]) for a in self.axes)]
        strides = [z.strides[s], *(-z.strides[place[a]] for a in self.axes)]
        for a in scanned:
            shape.append(box[a].stop - box[a].start)
            strides.append(z.strides[place[a]])
        shape += [self.samples, *(self.grid[a] for a in others)]
        strides += [z.strides[s + 1], *(z.strides[place[a]] for a in others)]
        return np.lib.stride_tricks.as_strided(base, shape, strides)

    def _slot(self, matrix: np.ndarray, start: int, view: np.ndarray) -> np.ndarray:
        rows = math.prod(view.shape[: 1 + len(self.axes)])
        return matrix[start : start + rows].reshape(view.shape)

    def _places(self) -> Iterator[Place]:
        p = self.partition
        for i, box in enumerate(self.boxes):
            matrix, shape = self.tap_matrix(i), self.sheets[i].shape
            before, start = [], 0
            for lags in self.everything:
                view = self._window(box, lags, slice(0, p.channels))
                before.append((self._slot(matrix, start, view), view))
                start += math.prod(view.shape[: 1 + len(self.axes)])
            for k in p.block_order:
                block = p.blocks[k]
                after = []
                if k != p.block_order[-1]:
                    view = self._window(box, self.ordered, block)
                    after.append((self._slot(matrix, self.tap_slots[k][0], view), view))
                read = matrix[: self.columns[k].width]
                z = self.z_full[i][block]
                yield Place(k, i, block, read, z, (block.stop - block.start, *shape[1:]), tuple(before), tuple(after))
                before = []

    def primal(self, z: np.ndarray) -> None:
        """See `Workspace.primal`."""
        self.put(self.more("primal"), z)

    def _contraction(self, sheet: int) -> Program:
        """Each block's product with the taps that it read: the first sheet writes, the others add."""
        if not hasattr(self, "outer"):
            self.outer = [np.zeros_like(m) for m in self.matrices]
        calls: Program = []
        primal = self.more("primal")[sheet].reshape(self.y[sheet].shape)
        for k in self.partition.block_order:
            width, block = self.columns[k].width, self.partition.blocks[k]
            if width:
                pair = (primal[block], self.tap_matrix(sheet)[:width].T)
                calls.append(
                    partial(np.dot, *pair, self.outer[k]) if not sheet else partial(_add_dot, *pair, self.outer[k])
                )
        return calls

    def collect(self, out: np.ndarray) -> None:
        """Put the products back; the kernel of the dual is the transposed kernel. See `Workspace.collect`."""
        mirrored = transpose(self.partition, out)
        for k in self.partition.block_order:
            if self.columns[k].width:
                self.columns[k].add_back(self.outer[k], mirrored)


def _add_dot(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    out += np.dot(a, b)
