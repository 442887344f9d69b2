"""A plan: a compiled schedule for one partition, one shape and one dtype.

The batch is cut into tiles whose working set stays in cache; each tile is copied into a workspace, run
by a fixed list of array calls, and copied out into new arrays. Workspaces are pooled: a call takes one
for itself, so any number of threads may share a plan.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..activations import Blockwise, SlopeAt
from ..partitions import Partition
from .folded import FoldedLine
from .grid import GridWorkspace, lag_boxes
from .layout import Layout
from .line import is_line
from .plain import PlainLine
from .slopes import slope_filler
from .workspace import Program, Workspace

__all__ = ["POOL", "NotFinite", "Plan"]

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


class NotFinite(ArithmeticError):
    """A start that is not finite stood beside an identity, where 0 · ∞ may have spread; solve by the reference."""


class Plan(Layout):
    """The compiled schedule of one partition for one batch and grid shape and one dtype.

    Parameters
    ----------
    partition : Partition
    lead : tuple of int
        (*batch, *grid), no extent zero.
    dtype : dtype
    """

    def __init__(self, partition: Partition, lead: tuple[int, ...], dtype: Any) -> None:
        super().__init__(partition, lead, dtype)
        self.line = is_line(partition)
        self.tile = self._tile()
        run = next((self.grid[a] for a in reversed(range(partition.axes)) if a not in partition.scan), self.samples)
        self.samples_last = not self.line and self.tile >= run
        if self.samples_last:
            super().__init__(partition, lead, dtype, samples_last=True)
        self.fold = self.line and max(partition.sizes) ** 2 * self.tile <= (_FOLD // 2 if self.grid else _FOLD)
        y_bytes = math.prod(lead) * partition.channels * self.dtype.itemsize
        self.fresh = self.line and not self.fold and self.tile == self.samples and y_bytes >= _OWN_BYTES
        self._pools: dict[int, deque[Workspace]] = {}
        self._gathered: tuple[Any, list[np.ndarray]] = (None, [])

    def _tile(self) -> int:
        """Return the samples of a tile."""
        p = self.partition
        if self.line:
            reach = sum(map(sum, p.padding)) + 1
            sample, budget = 2 * reach * p.channels * self.dtype.itemsize, _LINE_BYTES
        else:
            spans = dict(zip(p.scan, p.time_block, strict=True))
            at_once = math.prod(min(n, spans.get(a, n)) for a, n in enumerate(self.grid))
            lags = math.prod(len(r) for r in lag_boxes(p)[1])
            rows = 3 * p.channels + lags * max(p.sizes)
            sample, budget = rows * at_once * self.dtype.itemsize, _TILE_BYTES
        most = max(1, budget // max(sample, 1))
        pieces = -(-self.samples // most)
        return -(-self.samples // pieces)

    # Workspaces ------------------------------------------------------------------------------

    def take(self, samples: int, weight: np.ndarray) -> Workspace:
        """Return a workspace for so many samples, loaded with a weight: from the pool, or new."""
        try:
            workspace = self._pools[samples].pop()
        except (KeyError, IndexError):
            workspace = self._new(samples, weight)
        workspace.load(weight)
        return workspace

    def _new(self, samples: int, weight: np.ndarray) -> Workspace:
        if not self.line:
            return GridWorkspace(self.partition, samples, self.grid, self.dtype, self.samples_last)
        if self.fold:
            return FoldedLine(self.partition, samples, self.grid, self.dtype)
        if not self.fresh:
            return PlainLine(self.partition, samples, self.grid, self.dtype)
        held, kernels = self._gathered
        if held is not weight:
            kernels = PlainLine.gathered(self.partition, weight, self.dtype)
            self._gathered = (weight, kernels)
        return PlainLine(self.partition, samples, self.grid, self.dtype, kernels)

    def give(self, workspace: Workspace, samples: int) -> None:
        """Put a workspace back; what exceeds the pool, or was made for one call, is dropped."""
        if self.fresh:
            return
        pool = self._pools.get(samples)
        if pool is None:
            pool = self._pools.setdefault(samples, deque(maxlen=POOL))
        pool.append(workspace)

    # Running ---------------------------------------------------------------------------------

    def solve(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        sigma: Any,
        y0: np.ndarray | None,
        z0: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the schedule: `sweep`, with a bias added and inputs of fewer channels.

        Parameters
        ----------
        sigma : Pointwise
            A Blockwise, or a Diagonal that broadcasts to y.
        y0, z0 : arrays of shape (*batch, *grid, channels), or None for zero

        Returns
        -------
        y, z : new arrays over all channels

        Raises
        ------
        NotFinite
            Solve by the reference instead.
        """
        x, added = (None if a is None else self.native(a) for a in (y0, z0))
        slopes = None if isinstance(sigma, Blockwise) else slope_filler(self, sigma)
        curve = sigma if slopes is None else None

        def run(workspace: Workspace, cut: tuple, first: bool) -> None:
            if slopes is not None:
                slopes(workspace, cut)
            self._start(workspace, _cut(x, cut), _cut(added, cut), bias)
            self._run(workspace, workspace.program(curve, added is not None))

        return self._tiled(run, weight)

    def _tiled(
        self,
        run: Callable[[Workspace, tuple, bool], None],
        weight: np.ndarray,
        finish: Callable[[Workspace], None] | None = None,
        with_y: bool = True,
    ) -> tuple[Any, np.ndarray]:
        """Run tile by tile and return copies of y, if wanted, and z in the user's layout.

        One workspace serves all tiles of a size: `run` is told which is its first, `finish` sees it after its last.
        """
        if self.tile == self.samples:
            workspace = self.take(self.samples, weight)
            run(workspace, (...,), True)
            if self.fresh:
                y, z = workspace.y_full[0] if with_y else None, workspace.z_full[0]
            elif self.line:
                y, z = workspace.y_full[0].copy() if with_y else None, workspace.z_full[0].copy()
            else:
                y, z = self.empty() if with_y else None, self.empty()
                self._store(workspace, y, z)
            self._end(workspace, self.samples, finish)
            return None if y is None else self.user(y), self.user(z)
        y, z = self.empty() if with_y else None, self.empty()
        rest = self.samples % self.tile
        for size, start, stop in ((self.tile, 0, self.samples - rest), (rest, self.samples - rest, self.samples)):
            if not size:
                continue
            workspace = self.take(size, weight)
            for at in range(start, stop, size):
                cut = (*(slice(None),) * self.sample_axis, slice(at, at + size))
                run(workspace, cut, at == start)
                self._store(workspace, _cut(y, cut), z[cut])
            self._end(workspace, size, finish)
        return None if y is None else self.user(y), self.user(z)

    def _end(self, workspace: Workspace, samples: int, finish: Callable[[Workspace], None] | None) -> None:
        if finish is not None:
            finish(workspace)
        self.give(workspace, samples)

    def _start(
        self,
        workspace: Workspace,
        x: np.ndarray | None,
        added: np.ndarray | None,
        bias: np.ndarray | None = None,
    ) -> None:
        """Load a workspace with the start."""
        workspace.put(workspace.x_full, x)
        if bias is not None:
            for start, sheet in zip(workspace.x_full, workspace.sheets, strict=True):
                start += bias.reshape((-1,) + (1,) * (start.ndim - 1 - sheet.channel))
        if added is not None:
            workspace.put(workspace.more("added"), added)

    def _run(self, workspace: Workspace, program: Program) -> None:
        for call in program:
            call()
        if isinstance(workspace, FoldedLine) and not workspace.is_finite():
            raise NotFinite

    def _store(self, workspace: Workspace, y: np.ndarray | None, z: np.ndarray) -> None:
        for target, sources in ((y, workspace.y_full), (z, workspace.z_full)):
            if target is not None:
                for sheet, source in zip(workspace.sheets, sources, strict=True):
                    np.copyto(sheet.of(target), source)

    def pullback(
        self,
        weight: np.ndarray,
        sigma: Any,
        state: tuple[np.ndarray, np.ndarray, np.ndarray | None],
        seeds: tuple[np.ndarray | None, np.ndarray | None],
        dead: np.ndarray | None,
        bias_shape: tuple[int, ...] | None,
        with_u: bool = True,
    ) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, np.ndarray | None]:
        """Run the dual of a machine and contract the weight cotangent; this is the plan of the dual's partition.

        Parameters
        ----------
        weight : array
            The transposed kernel.
        sigma : Pointwise
            Of the machine; its slope is taken at the state.
        state : (y, z, σ(y) or None)
        seeds : (on z, on y)
            Arrays or None.
        dead : bool array of shape (*lag, in, out), or None
            Entries that are dead beyond the rule: pruned ones.
        bias_shape : tuple or None
            Whether the bias cotangent is wanted.
        with_u : bool
            Whether u is.

        Returns
        -------
        u, v, weight cotangent, bias cotangent : new arrays, or None where not wanted

        Raises
        ------
        NotFinite
            Solve by the reference instead.
        """
        y, z, value = state
        z = self.native(z)
        slopes = slope_filler(self, SlopeAt(sigma, y, value) if isinstance(sigma, Blockwise) else sigma)
        start, added = (None if a is None else self.native(a) for a in seeds)
        bias = None if bias_shape is None else np.zeros(bias_shape, self.dtype)
        parts: list[np.ndarray] = []

        def run(workspace: Workspace, cut: tuple, first: bool) -> None:
            slopes(workspace, cut)
            workspace.primal(z[cut])
            self._start(workspace, _cut(start, cut), _cut(added, cut))
            self._run(workspace, workspace.program(None, added is not None, "first" if first else "more"))
            if bias is not None:
                for sheet, part in zip(workspace.sheets, workspace.z_full, strict=True):
                    np.add(bias, part.sum(axis=tuple(a for a in range(part.ndim) if a != sheet.channel)), bias)

        u, v = self._tiled(run, weight, lambda workspace: parts.append(workspace.collected()), with_u)
        out = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if dead is not None:
            np.copyto(out, 0, where=dead)
        return u, v, out, bias


def _cut(array: np.ndarray | None, cut: tuple) -> np.ndarray | None:
    return None if array is None else array[cut]
