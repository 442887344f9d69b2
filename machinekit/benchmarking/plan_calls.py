"""The array calls of a prepared schedule alone, to see what the public interface costs on top of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .problem import Problem

__all__ = ["PLAN_CALLS", "plan_calls_only"]

PLAN_CALLS = "plan calls only"
"""Its name in the tables."""


def plan_calls_only(problem: Problem) -> Callable[[], Any] | None:
    """Return one gradient as the bare array calls of the machine's schedule; None where there is no schedule.

    No validation, no records, no copies out of the workspaces. Not offered by the engine yet: always None, and
    the bar that compares it with the public call is then reported as not measured.
    """
    return None
