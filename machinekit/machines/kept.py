"""What a machine keeps beside its parts, and can make again at any time: plans, and its mirror image."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from ..activations import Diagonal, SlopeAt
from ..arrays import Array, Backend, backend_of, near
from ..engine import AnyPlan, Plan, PlanCache
from ..gpu import choose
from ..linear import transpose
from ..partitions import Partition

__all__ = ["METHODS", "Kept", "check_method"]

METHODS = ("auto", "reference", "plan", "kernel")
"""The ways to run a machine: the reference sweep, a plan of array calls, or one kernel on a GPU."""

_KNOWN = 32
"""Shapes that a machine remembers the plans of."""
_DROPPED = ("_known", "_mirrored", "_unbiased", "_families", "_plans", "_dead", "_blocks", "_home", "_kind")


class Kept:
    """Caches of a machine. They are safe under threads, and dropped on pickling and copying."""

    partition: Partition
    weight: Array
    dtype: Any
    _live: np.ndarray
    _live_here: Array
    _pruned: bool
    _plans: PlanCache
    _known: dict[tuple, AnyPlan]
    _kind: Any
    _sigma: Any

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
    def _dead(self) -> Array | None:
        """Mask of the weights that are not live if some were pruned, where the weight is; else the rule alone tells."""
        if not self._pruned:
            return None
        return ~self._live if self._kind is np.ndarray else self._home.xp.logical_not(self._live_here)

    @cached_property
    def _home(self) -> Backend:
        return backend_of(self.weight)

    def _here(self, *arrays: Array | None) -> bool:
        """Tell whether arrays of CuPy are on this machine's device."""
        here = self._home.device
        return self._home.name == "cupy" and all(a is None or a.device == here for a in arrays)

    def _plan(
        self, lead: tuple[int, ...], *arrays: Array | None, dual: bool = False, method: str = "auto"
    ) -> AnyPlan | None:
        """Return the plan for a shape, of this machine or of its dual; None where only the reference runs.

        Raises
        ------
        ValueError
            If the method cannot serve; the message says why.
        """
        if method == "reference":
            return None
        host = self._kind is np.ndarray
        if not host or method == "kernel":
            self._check_served(method)
        if 0 in lead or not self.partition.channels:
            return None
        dtype = self.dtype
        if any(a is not None and a.dtype != dtype for a in arrays):
            if not host and self._home.name != "cupy":
                return None
            dtype = np.result_type(dtype, *(a.dtype for a in arrays if a is not None))
        partition = self._mirrored.partition if dual else self.partition
        if host:
            return self._plans.plan(partition, lead, dtype)
        return self._device_plan(partition, lead, dtype, method) if self._home.name == "cupy" else None

    def _device_plan(self, partition: Partition, lead: tuple[int, ...], dtype: Any, method: str) -> AnyPlan:
        """Return the plan on a GPU, by array calls or as a kernel; the choice between them is remembered."""
        key = (partition, lead, dtype, method)
        plan = self._known.get(key)
        if plan is None:
            sigma = self._sigma.of if type(self._sigma) is SlopeAt else self._sigma
            kind = choose(partition, lead, dtype, sigma, self._home, method)
            plan = self._plans.plan(partition, lead, dtype, self._home, kind)
            self._remember(key, plan)
        return plan

    def _check_served(self, method: str) -> None:
        """Refuse a method that is asked for and does not exist where the machine is."""
        home = self._home.name
        if method == "kernel" and home != "cupy":
            raise ValueError(
                f"method='kernel' runs on a GPU only and this machine is in {home}; "
                "move it with machine.to('cupy'), or use method='auto'"
            )
        if method == "plan" and home not in ("numpy", "cupy"):
            raise ValueError(
                f"method='plan' runs on NumPy and CuPy and this machine is in {home}, where only the reference sweep "
                "runs; move it with machine.to('numpy'), or use method='auto'"
            )

    def _chosen(self, lead: tuple[int, ...], dtype: Any = None, dual: bool = False) -> str:
        """Return which method "auto" stands for at a shape."""
        plan = self._plan(tuple(lead), dual=dual)
        return "reference" if plan is None else "plan" if isinstance(plan, Plan) else "kernel"

    def _remember(self, shapes: tuple, plan: AnyPlan) -> None:
        """Let the next call with these shapes find its plan at once."""
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[shapes] = plan

    def __getstate__(self) -> dict[str, Any]:
        """Leave plans out: they can be made again."""
        return {name: value for name, value in self.__dict__.items() if name not in _DROPPED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _plans=PlanCache(), _known={}, _kind=type(state["weight"]))


def check_method(method: Any) -> None:
    """Refuse a method that is none of `METHODS`."""
    if method not in METHODS:
        raise TypeError(f"method={method!r} is unknown; {near(method, METHODS)}")
