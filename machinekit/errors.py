"""ConvergenceError: an iteration that did not converge. Errors of structure are next to what raises them."""

from __future__ import annotations

__all__ = ["ConvergenceError"]


class ConvergenceError(RuntimeError):
    """An iteration has not converged within its steps; the message tells how far it came and what to change."""
