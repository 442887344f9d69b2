"""What every floor may raise: a derivative that there is not, an iteration that did not converge.

Errors of structure are next to what raises them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ConvergenceError", "ConvergenceWarning", "DerivativeError"]


class DerivativeError(TypeError):
    """A derivative was asked for that there is not: too rough an activation or op, no formula, or no verb."""


class ConvergenceError(RuntimeError):
    """An iteration has not converged within its steps; the message tells how far it came and what to change.

    Attributes
    ----------
    info : mapping or None
        What an equilibrium solver reports: steps, residual, status of each sample.
    best : State or None
        The best iterate, of all samples.
    """

    def __init__(self, message: str, info: Any = None, best: Any = None) -> None:
        super().__init__(message)
        self.info, self.best = info, best

    def __reduce__(self) -> tuple:
        return type(self), (self.args[0], self.info, self.best)


class ConvergenceWarning(RuntimeWarning):
    """The same as a warning, which ``on_failure="warn"`` asks for."""
