"""The plans of a family of machines: a bounded cache, shared by a machine and all that is derived from it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from ..partitions import Partition
from .plan import Plan
from .small import make_plan

__all__ = ["PlanCache"]


class PlanCache:
    """Plans by (partition, leading shape, dtype), the least recently made dropped first.

    Safe under threads; dropped on pickling and copying, for it can be made again at any time.
    """

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self._plans: OrderedDict[tuple, Plan] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._plans)

    def __reduce__(self) -> tuple:
        return PlanCache, (self.most,)

    def plan(self, partition: Partition, lead: tuple[int, ...], dtype: Any) -> Plan:
        """Return the plan of a shape, made on first use."""
        key = (partition, lead, dtype)
        found = self._plans.get(key)
        if found is None:
            made = make_plan(partition, lead, dtype)
            with self._lock:
                found = self._plans.setdefault(key, made)
                while len(self._plans) > self.most:
                    self._plans.popitem(last=False)
        return found
