"""What a machine keeps beside its parts, and can make again at any time: plans, and its mirror image."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from ..activations import Diagonal, SlopeAt
from ..arrays import Array
from ..engine import Plan, PlanCache
from ..linear import transpose
from ..partitions import Partition

__all__ = ["Kept"]

_KNOWN = 32
"""Shapes that a machine remembers the plans of."""
_DROPPED = ("_known", "_mirrored", "_unbiased", "_families", "_plans", "_dead", "_blocks")


class Kept:
    """Caches of a machine. They are safe under threads, and dropped on pickling and copying."""

    partition: Partition
    weight: Array
    dtype: Any
    _live: np.ndarray
    _live_here: Array
    _pruned: bool
    _plans: PlanCache
    _known: dict[tuple, Plan]

    def _derive(self, **changes: Any) -> Self:
        """Return a machine of the same class with trusted parts changed."""
        raise TypeError("only a machine derives machines")

    @cached_property
    def _mirrored(self) -> Self:
        """The machine of Wᵀ: all transposed, lag-reversed and swept last first; no bias; its σ is a stand-in."""
        return self._mirror()

    def _mirror(self) -> Self:
        flipped = {name: transpose(self.partition, getattr(self, "_" + name)) for name in ("live", "live_here")}
        weight = transpose(self.partition, self.weight)
        return self._derive(partition=self.partition.dual(), weight=weight, bias=None, **flipped)

    @cached_property
    def _unbiased(self) -> Self:
        """The machine without its bias; its σ is a stand-in."""
        return self._derive(bias=None)

    def _linear(self, sigma: Diagonal) -> Self:
        """Return this machine, which has no bias, with the slope of a state as its σ."""
        if not (type(sigma) is SlopeAt and sigma.y.dtype == self.dtype):
            return self._derive(sigma=sigma)
        new = object.__new__(type(self))
        object.__setattr__(new, "__dict__", {**self.__dict__, "_sigma": sigma, "_known": self._family(sigma.y.shape)})
        return new

    def _family(self, shape: tuple[int, ...]) -> dict:
        """Return what machines with slopes of one shape remember in common: checks that passed are not made again."""
        try:
            return self._families[shape]
        except KeyError:
            if len(self._families) >= _KNOWN:
                self._families.clear()
            return self._families.setdefault(shape, {})

    @cached_property
    def _families(self) -> dict[tuple[int, ...], dict]:
        return {}

    @cached_property
    def _dead(self) -> np.ndarray | None:
        """Mask of the weights that are not live, on the host, if some were pruned; else the rule alone tells."""
        return ~self._live if self._pruned else None

    def _plan(self, lead: tuple[int, ...], *arrays: Array | None, dual: bool = False) -> Plan | None:
        """Return the plan for a shape, of this machine or of its dual; None where only the reference runs."""
        if not isinstance(self.weight, np.ndarray) or 0 in lead or not self.partition.channels:
            return None
        dtype = self.dtype
        if any(a is not None and a.dtype != dtype for a in arrays):
            dtype = np.result_type(dtype, *(a for a in arrays if a is not None))
        return self._plans.plan(self._mirrored.partition if dual else self.partition, lead, dtype)

    def _remember(self, shapes: tuple, plan: Plan) -> None:
        """Let the next call with these shapes find its plan at once."""
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[shapes] = plan

    def __getstate__(self) -> dict[str, Any]:
        """Leave plans out: they can be made again."""
        return {name: value for name, value in self.__dict__.items() if name not in _DROPPED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _plans=PlanCache(), _known={})
