"""Tiles of samples whose working set stays in cache, and the pool of workspaces that run them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..arrays import NUMPY, Array, Backend
from ..partitions import Partition
from .folded import FoldedLine
from .grid import GridWorkspace, lag_boxes
from .layout import Layout
from .line import is_line
from .plain import PlainLine
from .workspace import Workspace

__all__ = ["POOL", "Tiles"]

_TILE_BYTES = 1 << 20
"""Working set of a tile: what a step reads and writes stays in the second cache. Measured, see docs/speed.md."""
_LINE_BYTES = 1 << 21
"""The same for the line schedules."""
_FOLD = 40_000
"""Multiply-adds of an identity below which it is cheaper than one more array call; half of it where there is a past."""
_OWN_BYTES = 1 << 22
"""Size of y from which a call makes its own buffers and returns them, instead of copying out of pooled ones."""
POOL = 8
"""Workspaces that wait for the next call, for each size of tile."""
_NONE: deque[Workspace] = deque(maxlen=0)


class Tiles(Layout):
    """How the samples of one partition, for one batch and grid shape and one dtype, are cut, and what runs them.

    Parameters
    ----------
    partition : Partition
    lead : tuple of int
        (*batch, *grid), no extent zero.
    dtype : dtype
    home : Backend
    """

    def __init__(self, partition: Partition, lead: tuple[int, ...], dtype: Any, home: Backend = NUMPY) -> None:
        super().__init__(partition, lead, dtype, home)
        self.line = is_line(partition)
        self.tile = self._tile()
        run = next((self.grid[a] for a in reversed(range(partition.axes)) if a not in partition.scan), self.samples)
        self.samples_last = not self.line and self.tile >= run
        if self.samples_last:
            super().__init__(partition, lead, dtype, home, samples_last=True)
        self.copied = self.line
        self.fold = self.line and max(partition.sizes) ** 2 * self.tile <= (_FOLD // 2 if self.grid else _FOLD)
        y_bytes = math.prod(lead) * partition.channels * self.dtype.itemsize
        self.fresh = self.line and not self.fold and self.tile == self.samples and y_bytes >= _OWN_BYTES
        self._pools: dict[Any, deque[Workspace]] = {}

    def _tile(self) -> int:
        """Return the samples of a tile."""
        p = self.partition
        if self.line:
            reach = sum(map(sum, p.padding)) + 1
            sample = 2 * reach * p.channels * self.dtype.itemsize
        else:
            spans = dict(zip(p.scan, p.time_block, strict=True))
            at_once = math.prod(min(n, spans.get(a, n)) for a, n in enumerate(self.grid))
            lags = math.prod(len(r) for r in lag_boxes(p)[1])
            rows = 3 * p.channels + lags * max(p.sizes)
            sample = rows * at_once * self.dtype.itemsize
        most = max(1, self._budget() // max(sample, 1))
        pieces = -(-self.samples // most)
        return -(-self.samples // pieces)

    def _budget(self) -> int:
        return _LINE_BYTES if self.line else _TILE_BYTES

    # Workspaces ------------------------------------------------------------------------------

    def tiles(self) -> Iterator[tuple[int, list[tuple]]]:
        """Yield each size of tile with the cuts of native arrays that have it."""
        before = (slice(None),) * self.sample_axis
        rest = self.samples % self.tile
        for size, start, stop in ((self.tile, 0, self.samples - rest), (rest, self.samples - rest, self.samples)):
            if size:
                yield size, [(*before, slice(at, at + size)) for at in range(start, stop, size)]

    def take(self, samples: int, weight: Array | None, spare: bool = False) -> Workspace:
        """Return a workspace for so many samples, loaded with a weight if one is given: from the pool, or new.

        Of two that wait, the one that has the weight loaded is taken. With `spare`, one that has another weight
        loaded is left alone if it is the only one.
        """
        pool = self._pools.get(self._place(samples), _NONE)
        workspace = _popped(pool)
        if workspace is not None and weight is not None and workspace.loaded is not weight:
            other = _popped(pool)
            if other is not None or spare:
                pool.append(workspace)
                workspace = other
        if workspace is None:
            workspace = self._new(samples)
        if weight is not None:
            workspace.load(weight)
        return workspace

    def _new(self, samples: int) -> Workspace:
        if not self.line:
            return GridWorkspace(self.partition, samples, self.grid, self.dtype, self.samples_last)
        if self.fold:
            return FoldedLine(self.partition, samples, self.grid, self.dtype)
        return PlainLine(self.partition, samples, self.grid, self.dtype)

    def _place(self, samples: int) -> Any:
        """Return the name of the pool for so many samples."""
        return samples

    def give(self, workspace: Workspace, samples: int) -> None:
        """Put a workspace back; what exceeds the pool, or was made for one call, is dropped."""
        if self.fresh:
            return
        place = self._place(samples)
        pool = self._pools.get(place)
        if pool is None:
            pool = self._pools.setdefault(place, deque(maxlen=POOL))
        pool.append(workspace)


def _popped(pool: deque[Workspace]) -> Workspace | None:
    try:
        return pool.pop()
    except IndexError:
        return None
