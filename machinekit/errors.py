"""What every floor may raise: a derivative that there is not, an iteration that did not converge.

Errors of structure are next to what raises them.
"""

from __future__ import annotations

__all__ = ["ConvergenceError", "DerivativeError"]


class DerivativeError(TypeError):
    """A derivative was asked for that there is not: too rough an activation or op, no formula, or no verb."""


class ConvergenceError(RuntimeError):
    """An iteration has not converged within its steps; the message tells how far it came and what to change."""
