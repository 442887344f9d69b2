"""The plans of a family of machines: a bounded cache, shared by a machine and all that is derived from it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from ..arrays import NUMPY, Backend
from ..gpu import KernelPlan
from ..partitions import Partition
from .device_plan import DevicePlan
from .plan import Plan
from .small import make_plan

__all__ = ["AnyPlan", "PlanCache"]

AnyPlan = Plan | KernelPlan
"""What runs a machine of one shape: array calls, or one kernel."""


class PlanCache:
    """Plans by (partition, leading shape, dtype, device, kind), the least recently made dropped first.

    Safe under threads; dropped on pickling and copying, for it can be made again at any time.
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self._plans: OrderedDict[tuple, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._plans)

    def __reduce__(self) -> tuple:
        return PlanCache, (self.most,)

    def plan(
        self,
        partition: Partition,
        lead: tuple[int, ...],
        dtype: Any,
        home: Backend = NUMPY,
        method: str = "plan",
    ) -> AnyPlan:
        """Return the plan of a shape, made on first use: by array calls, or as one kernel."""
        key: tuple = (partition, lead, dtype)
        if home is not NUMPY:
            key += (home.device.id, method)
        found = self._plans.get(key)
        if found is None:
            if home is NUMPY:
                made: AnyPlan = make_plan(partition, lead, dtype)
            elif method == "kernel":
                made = KernelPlan(partition, lead, dtype, home)
            else:
                with home.context():
                    made = DevicePlan(partition, lead, dtype, home)
            with self._lock:
                found = self._plans.setdefault(key, made)
                while len(self._plans) > self.most:
                    self._plans.popitem(last=False)
        return found
