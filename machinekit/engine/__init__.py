"""The engine: the reference sweep, normative and readable, and the plan, a compiled schedule of the same."""

from .cache import AnyPlan, PlanCache
from .plan import NotFinite, Plan
from .reference import sweep

__all__ = ["AnyPlan", "NotFinite", "Plan", "PlanCache", "sweep"]
