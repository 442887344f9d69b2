"""Ordered partitions of the index set (grid position × channel), and which weights they allow.

A machine of finite depth reads only what was computed before. The order of computation is a
partition I_0, …, I_N of the index set; a weight may be non-zero, it is *live*, iff every pair of
positions that it couples is strictly ordered by it (arXiv:2204.12786, §3 and Algorithm 1).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

__all__ = ["Partition", "Step"]

CHANNELS = -1
"""The name of the channel axis in `reverse`."""


@dataclass(frozen=True)
class Step:
    """One index set: a box of grid positions and one channel block."""

    box: tuple[slice, ...]
    block: int
    channels: slice

    @property
    def index(self) -> tuple:
        """The index set as an array index, batch axes first."""
        return (..., *self.box, self.channels)


@dataclass(frozen=True)
class Partition:
    """The order in which a machine is computed.

    Parameters
    ----------
    sizes : tuple of int
        Channels of the blocks, in the order of the arrays.
    padding : tuple of (before, after)
        One pair per grid axis; the kernel has lags −after … before. Empty: a dense machine.
    scan : tuple of int
        Grid axes swept position by position, lexicographically in this order.
    reverse : tuple of int
        Swept from the end: scanned axes, or −1 for the channel blocks.
    time_block : tuple of int
        For each scanned axis, how many positions share an index set.
    feedback : bool
        Index sets may read themselves: the diagonal blocks of W are live, and a set is resolved by an iteration.

    Notes
    -----
    The index set of (g, c) is (⌊g/b⌋ on each scanned axis, block of c). The arguments are
    trusted; the machines' constructors check them.
    """

    sizes: tuple[int, ...]
    padding: tuple[tuple[int, int], ...] = ()
    scan: tuple[int, ...] = ()
    reverse: tuple[int, ...] = ()
    time_block: tuple[int, ...] = ()
    feedback: bool = False

    @cached_property
    def strict(self) -> Partition:
        """The same order without feedback: what is computed before, and nothing else."""
        return replace(self, feedback=False) if self.feedback else self

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Channel counts at which blocks end, from 0 to all channels."""
        return (0, *itertools.accumulate(self.sizes))

    @cached_property
    def channels(self) -> int:
        return self.bounds[-1]

    @property
    def axes(self) -> int:
        """Number of grid axes."""
        return len(self.padding)

    @cached_property
    def blocks(self) -> tuple[slice, ...]:
        return tuple(slice(a, b) for a, b in itertools.pairwise(self.bounds))

    @cached_property
    def block_order(self) -> tuple[int, ...]:
        """The non-empty channel blocks in the order of computation."""
        order = [k for k, size in enumerate(self.sizes) if size]
        return tuple(reversed(order) if CHANNELS in self.reverse else order)

    @cached_property
    def lags(self) -> tuple[tuple[int, ...], ...]:
        """The lag of each kernel tap, in C order of the kernel: index j is lag j − after."""
        return tuple(itertools.product(*(range(-after, before + 1) for before, after in self.padding)))

    @property
    def kernel(self) -> tuple[int, ...]:
        """Extents of the lag axes of a weight."""
        return tuple(before + after + 1 for before, after in self.padding)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (*self.kernel, self.channels, self.channels)

    def tap(self, lag: tuple[int, ...]) -> tuple[int, ...]:
        """Return the kernel index of a lag."""
        return tuple(ell + after for ell, (_, after) in zip(lag, self.padding, strict=True))

    def sources(self, lag: tuple[int, ...], block: int) -> slice:
        """Return the input channels that `block` may read at `lag`: all, none, or the blocks before it (and itself).

        Walks the scanned axes in order; the first that tells past from present decides.
        """
        for axis, extent in zip(self.scan, self.time_block, strict=True):
            ell = -lag[axis] if axis in self.reverse else lag[axis]
            if ell >= extent:
                return slice(0, self.channels)
            if ell < 0:
                return slice(0, 0)
        if CHANNELS in self.reverse:
            return slice(self.bounds[block + (not self.feedback)], self.channels)
        return slice(0, self.bounds[block + self.feedback])

    @cached_property
    def taps(self) -> tuple[tuple[tuple[tuple[int, ...], slice], ...], ...]:
        """For each block, the (lag, input channels) pairs that it reads; empty ones left out."""
        return tuple(
            tuple((lag, s) for lag in self.lags if (s := self.sources(lag, k)).stop > s.start)
            for k in range(len(self.sizes))
        )

    def live(self) -> np.ndarray:
        """Return the mask of live weights, bool of shape (*lag, in, out), on the host."""
        mask = np.zeros(self.weight_shape, dtype=bool)
        for k, block in enumerate(self.blocks):
            for lag, source in self.taps[k]:
                mask[self.tap(lag)][source, block] = True
        return mask

    @cached_property
    def dead(self) -> tuple[tuple, ...]:
        """The boxes of a weight that are not live, as indices: for each block all lags at once, if they are alike."""
        boxes = []
        for k in self.block_order:
            reads: dict[tuple, slice] = {self.tap(lag): self.sources(lag, k) for lag in self.lags}
            if all(s == reads[self.tap(self.lags[0])] for s in reads.values()):
                reads = {(...,): next(iter(reads.values()))}
            for tap, s in reads.items():
                before, after = slice(0, s.start), slice(s.stop, self.channels)
                boxes += [(*tap, rest, self.blocks[k]) for rest in (before, after) if rest.stop > rest.start]
        return tuple(boxes)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the grid extents of an array of shape (*batch, *grid, channel)."""
        return tuple(shape[len(shape) - 1 - self.axes : -1])

    def boxes(self, grid: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
        """Yield the grid positions of the time blocks, in order of computation."""
        ranges: list[list[slice]] = []
        for axis, extent in zip(self.scan, self.time_block, strict=True):
            pieces = [slice(a, min(a + extent, grid[axis])) for a in range(0, grid[axis], extent)]
            ranges.append(pieces[::-1] if axis in self.reverse else pieces)
        for chosen in itertools.product(*ranges):
            place = dict(zip(self.scan, chosen, strict=True))
            yield tuple(place.get(axis, slice(0, n)) for axis, n in enumerate(grid))

    def steps(self, grid: tuple[int, ...]) -> Iterator[Step]:
        """Yield the non-empty index sets I_0, I_1, … in order."""
        for box in self.boxes(grid):
            for k in self.block_order:
                yield Step(box, k, self.blocks[k])

    def count(self, grid: tuple[int, ...]) -> int:
        """Return the number of non-empty index sets on a grid."""
        times = 1
        for axis, extent in zip(self.scan, self.time_block, strict=True):
            times *= -(-grid[axis] // extent)
        return times * len(self.block_order) if all(grid) else 0

    def dual(self) -> Partition:
        """Return the same partition swept last set first, with lags and paddings mirrored."""
        return replace(
            self,
            padding=tuple((after, before) for before, after in self.padding),
            reverse=tuple(sorted({CHANNELS, *self.scan} ^ set(self.reverse))),
        )
