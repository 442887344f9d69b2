"""The plan of a small machine: the same schedule with as little Python around it as there can be.

On a machine of a few units the number of calls is the cost, those of the interpreter included. The
usual call (inputs over all channels, nothing added after σ) takes a straight line through here;
everything else is left to `Plan`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from ..activations import Blockwise, SlopeAt
from ..partitions import Partition
from .folded import FoldedLine
from .plan import NotFinite, Plan
from .slopes import slopes_into
from .tiles import POOL

__all__ = ["SmallPlan", "make_plan"]


class SmallPlan(Plan):
    """A plan whose only workspace is one folded line; see `Plan`."""

    def __init__(self, partition: Partition, lead: tuple[int, ...], dtype: Any) -> None:
        super().__init__(partition, lead, dtype)
        self.plain = not partition.axes and len(lead) == 1
        self._idle: deque[FoldedLine] = deque(maxlen=POOL)
        self._pools[self.samples] = self._idle  # type: ignore[assignment]

    def native(self, array: np.ndarray) -> np.ndarray:
        """See `Plan.native`."""
        return array.T if self.plain else super().native(array)

    def solve(
        self, weight: np.ndarray, bias: np.ndarray | None, sigma: Any, y0: np.ndarray | None, z0: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Plan.solve`."""
        if z0 is not None or y0 is None or y0.shape[-1] != self.channels:
            return super().solve(weight, bias, sigma, y0, z0)
        slope = at = None
        if type(sigma) is SlopeAt and sigma.y.shape == y0.shape:
            at, sigma = sigma, None
        elif type(sigma) is not Blockwise:
            if sigma.array.shape != y0.shape:
                return super().solve(weight, bias, sigma, y0, z0)
            slope, sigma = sigma.array, None
        workspace = self._ready(weight)
        start = workspace.x_full[0]
        start[...] = y0.T if self.plain else self.native(y0)
        if bias is not None:
            np.add(start, bias[:, None], start)
        if slope is not None:
            workspace.more("slope")[0][...] = self.native(slope)
        elif at is not None:
            value = None if at.value_at is None else self.native(at.value_at)
            slopes_into(at.of, self.native(at.y), value, workspace.more("slope")[0], self.channel_axis)
        for call in workspace.program(sigma, False):
            call()
        return self._results(workspace)

    def _ready(self, weight: np.ndarray) -> FoldedLine:
        """Return a loaded workspace."""
        try:
            workspace = self._idle.pop()
        except IndexError:
            return self.take(self.samples, weight)  # type: ignore[return-value]
        if workspace.loaded is not weight:
            workspace.load(weight)
        return workspace

    def _results(self, workspace: FoldedLine, with_y: bool = True) -> tuple[Any, np.ndarray]:
        """Copy y, if wanted, and z out and put the workspace back."""
        if not workspace.is_finite():
            raise NotFinite
        y, z = workspace.y_full[0].copy() if with_y else None, workspace.z_full[0].copy()
        self._idle.append(workspace)
        if self.plain:
            return None if y is None else y.T, z.T
        return None if y is None else self.user(y), self.user(z)

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
        """See `Plan.pullback`."""
        y, z, value = state
        seed, added = seeds
        narrow = added is not None and added.shape[-1] != self.channels
        if seed is None or seed.shape[-1] != self.channels or narrow or type(sigma) is not Blockwise:
            return super().pullback(weight, sigma, state, seeds, dead, bias_shape, with_u)
        workspace = self._ready(weight)
        other = value is not None and value is not z
        if self.plain:
            y, z, seed = y.T, z.T, seed.T
        else:
            y, z, seed = self.native(y), self.native(z), self.native(seed)
        if value is not None:
            value = self.native(value) if other else z
        slopes_into(sigma, y, value, workspace.more("slope")[0], self.channel_axis)
        workspace.x_full[0][...] = seed
        if added is not None:
            workspace.more("added")[0][...] = added.T if self.plain else self.native(added)
        for call in workspace.program(None, added is not None):
            call()
        out = workspace.contracted(z)
        bias = None if bias_shape is None else workspace.z_full[0].sum(axis=self.summed)
        u, v = self._results(workspace, with_u)
        if dead is not None:
            np.copyto(out, 0, where=dead)
        return u, v, out, bias

    def products(
        self, weight: np.ndarray | None, z: np.ndarray, primal: np.ndarray | None = None
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """See `Plan.products`."""
        if not self.plain or z.dtype != self.dtype or (primal is not None and primal.dtype != self.dtype):
            return super().products(weight, z, primal)
        workspace, y, out = self.take(self.samples, None), None, None
        if weight is not None:
            y = np.zeros((self.channels, self.samples), self.dtype)
            workspace.multiply(weight, z.T, y)  # type: ignore[attr-defined]
        if primal is not None:
            out = workspace.outer(primal.T, z.T)  # type: ignore[attr-defined]
        self._idle.append(workspace)  # type: ignore[arg-type]
        return None if y is None else y.T, out


def make_plan(partition: Partition, lead: tuple[int, ...], dtype: Any) -> Plan:
    """Return the plan of a shape on the host."""
    plan = Plan(partition, lead, dtype)
    if plan.fold and plan.tile == plan.samples:
        return SmallPlan(partition, lead, dtype)
    return plan
