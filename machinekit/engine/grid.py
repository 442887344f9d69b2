"""The grid schedule: any machine on a grid, by products over taps.

Positions are taken one time block at a time, y holding the start. First the lags at which everything
is read come in, one product for all blocks. Then block by block: the pointwise step; a strided copy of
the block's taps, a row per (channel, lag); and one product that pushes them to all later blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..activations import Blockwise
from ..arrays import NUMPY, Array, Backend
from ..linear import transpose
from ..partitions import CHANNELS, Partition
from .workspace import Program, Sheet, Workspace

__all__ = ["GridWorkspace", "lag_boxes"]

Lags = tuple[range, ...]
_WHOLE_PRODUCT = 1 << 19
"""Multiply-adds below which the weight cotangent is one product of all taps, its dead half included."""

_SCRATCH = 1 << 14
"""The least number of entries that a product may have before it is added."""


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


class GridWorkspace(Workspace):
    """The buffers of a grid schedule; see `Workspace`.

    Parameters
    ----------
    partition : Partition
    samples : int
    grid : tuple of int
    dtype : dtype
    samples_last : bool
        Whether samples, not positions, are innermost; whichever is longer makes the longer runs to copy.
    home : Backend
    """

    def __init__(
        self,
        partition: Partition,
        samples: int,
        grid: tuple[int, ...],
        dtype: Any,
        samples_last: bool = False,
        home: Backend = NUMPY,
    ) -> None:
        self.samples, self.grid, self.samples_last = samples, grid, samples_last
        everything, ordered = lag_boxes(partition)
        self.lags = [*everything, ordered]
        self.counts = [math.prod(map(len, box)) for box in self.lags]
        self.scanned = partition.scan
        self.others = tuple(a for a in range(partition.axes) if a not in partition.scan)
        self.axes = (*self.scanned, *self.others)
        self.outer: list[Array] = []
        self._primal: Any = None
        self._primal_rows: Any = None
        self._turned: Any = None
        super().__init__(partition, dtype, home)

    def _arrange(self) -> None:
        p, s = self.partition, len(self.scanned)
        wide = [n + before + after for n, (before, after) in zip(self.grid, p.padding, strict=True)]
        inside = [slice(before, before + n) for n, (before, _) in zip(self.grid, p.padding, strict=True)]
        everything = slice(None)
        tail = self._with_samples(self.samples, [wide[a] for a in self.others])
        self.padded = self.xp.zeros((*(wide[a] for a in self.scanned), p.channels, *tail), self.dtype)
        core_tail = self._with_samples(everything, [inside[a] for a in self.others])
        core = self.padded[(*(inside[a] for a in self.scanned), everything, *core_tail)]
        order = (s, *range(s), *range(s + 1, s + 2 + len(self.others)))  # channel first
        self.boxes = list(p.boxes(self.grid))
        self.sheets = []
        for box in self.boxes:
            spans = [box[a].stop - box[a].start for a in self.scanned]
            shape = (p.channels, *spans, *self._with_samples(self.samples, [self.grid[a] for a in self.others]))
            self.sheets.append(Sheet(shape, tuple(box[a] for a in self.scanned), order, 0))
        self.z_full = [sheet.of(core) for sheet in self.sheets]
        self.y = [self.xp.empty(sheet.matrix_shape, self.dtype) for sheet in self.sheets]
        self.x = self.y
        self._arrange_taps([sheet.matrix_shape[1] for sheet in self.sheets])

    def _arrange_taps(self, positions: list[int]) -> None:
        """Make the tap buffers: where multiply-adds are few, for all positions, so that they are contracted at once."""
        p, largest = self.partition, max(positions)
        work = sum(self.counts) * p.channels**2 * sum(positions)
        self.whole = len(self.scanned) <= 1 and self._is_whole(work, sum(positions))
        rows = [count * p.channels for count in self.counts]
        if self.whole:
            self.all_taps = [self.xp.zeros((n, sum(positions)), self.dtype) for n in rows]
            unit = self.samples * math.prod(self.grid[a] for a in self.others)
            spans = [box[self.scanned[0]] for box in self.boxes] if self.scanned else [slice(0, 1)]
            self.columns = [slice(unit * span.start, unit * span.stop) for span in spans]
        else:
            rows[-1] = self.counts[-1] * max(p.sizes)
            self.taps = self.xp.empty(max(rows) * largest, self.dtype)
        self.scratch = self.xp.empty(max(p.channels * largest, 0 if self.whole else _SCRATCH), self.dtype)

    def _is_whole(self, work: int, positions: int) -> bool:
        return work <= _WHOLE_PRODUCT

    def _with_samples(self, samples: Any, others: list) -> list:
        """Return what belongs to the samples and to the axes that are not scanned, in native order."""
        return [*others, samples] if self.samples_last else [samples, *others]

    def kernel_shapes(self) -> list[tuple[int, int]]:
        """One for each box of lags: (out, in × lags)."""
        c = self.partition.channels
        return [(c, c * count) for count in self.counts]

    def gather(self, weight: Array, kernels: Sequence[Array]) -> None:
        """See `Workspace.gather`."""
        for box, kernel in zip(self.lags, kernels, strict=True):
            cut = self._cut(weight, box)
            kernel.reshape(cut.shape)[...] = cut

    def _cut(self, weight: Array, box: Lags) -> Array:
        """Return the view (out, in, *lag in native order) of a box of a weight."""
        p, n = self.partition, self.partition.axes
        taps = (slice(r.start + after, r.stop + after) for r, (_, after) in zip(box, p.padding, strict=True))
        return weight[tuple(taps)].transpose((n + 1, n, *self.axes))

    def _window(self, box: tuple[slice, ...], lags: Lags, channels: slice) -> Array:
        """Return the view (channel, *lag, *scanned, sample and others) of padded z at positions minus lags."""
        p, s, z = self.partition, len(self.scanned), self.padded
        first, sample = (s + 1, z.ndim - 1) if self.samples_last else (s + 2, s + 1)
        place = {a: i for i, a in enumerate(self.scanned)} | {a: first + i for i, a in enumerate(self.others)}
        corner: list[Any] = [slice(None)] * z.ndim
        corner[s] = channels
        for a in self.axes:
            corner[place[a]] = slice(box[a].start + p.padding[a][0] - lags[a].start, None)
        shape = [channels.stop - channels.start, *(len(lags[a]) for a in self.axes)]
        strides = [z.strides[s], *(-z.strides[place[a]] for a in self.axes)]
        spans = {a: (box[a].stop - box[a].start, z.strides[place[a]]) for a in self.axes}
        tail = self._with_samples((self.samples, z.strides[sample]), [spans[a] for a in self.others])
        inner = [*(spans[a] for a in self.scanned), *tail]
        shape += [n for n, _ in inner]
        strides += [stride for _, stride in inner]
        return self.xp.lib.stride_tricks.as_strided(z[tuple(corner)], shape, strides)

    def _tap_copy(self, sheet: int, r: int, channels: slice) -> tuple[Array, partial]:
        """Return the matrix (channel × lag, positions) of taps of a box of lags, and the call that fills it."""
        view = self._window(self.boxes[sheet], self.lags[r], channels)
        if self.whole:
            taps = self.all_taps[r][self._rows(r, channels), self.columns[sheet]]
        else:
            rows, positions = math.prod(view.shape[: 1 + len(self.axes)]), self.y[sheet].shape[1]
            taps = self.taps[: rows * positions].reshape(rows, positions)
        return taps, partial(self.xp.copyto, taps.reshape(view.shape), view)

    def _rows(self, r: int, channels: slice) -> slice:
        """Return the rows of some channels among the taps of a box of lags."""
        return slice(channels.start * self.counts[r], channels.stop * self.counts[r])

    def still(self, weight: Array | None, contract: str) -> None:
        """See `Workspace.still`: the program without its pointwise steps, and without its products if none is asked."""
        key = ("still", contract, weight is not None)
        if key not in self._programs:
            self._programs[key] = self._build(None, contract, push=weight is not None)
        for call in self._programs[key]:
            call()

    def build(self, sigma: Blockwise | None, added: bool, contract: str) -> Program:
        """See `Workspace.build`."""
        return self._build(partial(self.pointwise, sigma, added), contract)

    def _build(self, pointwise: Callable[..., Program] | None, contract: str, push: bool = True) -> Program:
        """Time block by time block: the past of all blocks, then each block and its push to the later ones."""
        p = self.partition
        if contract and not self.outer:
            self._arrange_products()
        calls: Program = []
        everyone = slice(0, p.channels)
        for i, y in enumerate(self.y):
            first = contract == "first" and not i
            each = contract and not self.whole
            if each:
                calls.append(partial(self._turn_to, i))
            for r in range(len(self.lags) - 1):
                taps, copy = self._tap_copy(i, r, everyone)
                calls += [copy, *(self._push(self.kernels[r], taps, y) if push else ())]
                if each:
                    calls.append(partial(self._product, taps, everyone, self.outer[r], first))
            for k in p.block_order:
                block = p.blocks[k]
                if pointwise is not None:
                    calls += pointwise(k, i, block, self.z_full[i][block])
                later = slice(0, block.start) if CHANNELS in p.reverse else slice(block.stop, p.channels)
                if later.stop == later.start:
                    continue
                taps, copy = self._tap_copy(i, -1, block)
                columns = self._rows(-1, block)
                calls += [copy, *(self._push(self.kernels[-1][later, columns], taps, y[later]) if push else ())]
                if each:
                    calls.append(partial(self._product, taps, later, self.outer[-1][columns, later], first))
        if contract and self.whole:
            calls.append(self._turn_all)
            for taps, outer in zip(self.all_taps, self.outer, strict=True):
                calls.append(partial(self._product, taps, everyone, outer, contract == "first"))
        return calls

    def _arrange_products(self) -> None:
        """Make what the weight cotangent needs: its products, and the solution turned."""
        self.outer = [self.xp.zeros(shape[::-1], self.dtype) for shape in self.kernel_shapes()]
        if not self.whole:
            self._turned = self.xp.empty(max(y.size for y in self.y), self.dtype)

    def _push(self, kernel: Array, taps: Array, y: Array) -> Program:
        part = self.scratch[: y.size].reshape(y.shape)
        return [partial(kernel.dot, taps, part), partial(self.xp.add, y, part, y)]

    def primal(self, z: Array) -> None:
        """See `Workspace.primal`."""
        self._primal = z

    def _turn_to(self, sheet: int) -> None:
        """Cut the solution to a sheet and copy it to rows of positions, the form that the products want."""
        z = self.sheets[sheet].of(self._primal).reshape(self.y[sheet].shape)
        self._primal_rows = self._turned[: z.size].reshape(z.shape[::-1])
        for block in self.partition.blocks:  # a few channels at a time: their lines of memory stay in the first cache
            self.xp.copyto(self._primal_rows[:, block], z[block].T)

    def _turn_all(self) -> None:
        """Cut the solution to all positions, in their natural order, without a copy where it can be."""
        z = self._primal.swapaxes(0, len(self.scanned))  # (channel, scanned, …)
        self._primal_rows = z.reshape(self.partition.channels, -1).T

    def _product(self, taps: Array, later: slice, out: Array, first: bool) -> None:
        """``out = taps · z`` for the blocks that read the taps, or add it."""
        z = self._primal_rows[:, later]
        if first:
            self.xp.matmul(taps, z, out)
        else:
            rows = self.scratch.size // out.shape[1]
            for at in range(0, out.shape[0], rows):
                target, some = out[at : at + rows], taps[at : at + rows]
                part = self.scratch[: target.size].reshape(target.shape)
                self.xp.add(target, self.xp.dot(some, z, part), target)

    def collected(self) -> Array:
        """Put the products in place; the kernel of the dual is the transposed kernel. See `Workspace.collected`."""
        p = self.partition
        if self.whole:  # what the blocks do not push is not theirs
            for k in p.block_order:
                block = p.blocks[k]
                columns = self._rows(-1, block)
                own = slice(block.start, None) if CHANNELS in p.reverse else slice(0, block.stop)
                self.outer[-1][columns, own] = 0
        out = self.xp.zeros(p.weight_shape, self.dtype)
        mirrored = transpose(p, out)
        for box, outer in zip(self.lags, self.outer, strict=True):
            cut = self._cut(mirrored, box)  # (out, in, *lag), of which `outer` holds (in × lag, out)
            cut[...] = outer.T.reshape(cut.shape)
        self._primal = self._primal_rows = None
        return out
