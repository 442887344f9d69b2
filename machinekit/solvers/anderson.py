"""Anderson acceleration, per sample, on differences."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, backend_of, dtype_name, namespace
from .learning import learn
from .problem import FixedPoint
from .record import Outcome
from .safeguard import Safeguard, forget
from .small import solve_each

__all__ = ["anderson"]

_RIDGE = 1e-10
_RIDGE_UNITS = 10.0
"""The ridge is never below so many units of rounding, which is what the Gram matrix is wrong by."""


def anderson(
    problem: FixedPoint, rtol: float, atol: float, limit: int, history: int = 5, warm: tuple[Array, Array] | None = None
) -> Outcome:
    """Solve s = g(s) by Anderson's method of mixing the last iterates.

    Parameters
    ----------
    problem : FixedPoint
    rtol, atol : float
        A sample has converged when its residual ‖g(s) − s‖ is at most ``atol + rtol ‖s‖``.
    limit : int
        Evaluations of g.
    history : int
        Differences that are kept; the memory is 2 · history iterates.
    warm : (y, s), optional
        Where to start: at s.

    Returns
    -------
    Outcome
        The answer is an iterate whose residual was measured, of a sample that did not converge the one of least.

    Notes
    -----
    With Fₖ = g(sₖ) − sₖ and the columns ΔF, ΔS of the last differences, γ = argmin ‖Fₖ − ΔF γ‖ and
    sₖ₊₁ = sₖ + β Fₖ − (ΔS + β ΔF) γ (Walker & Ni 2011, doi:10.1137/10078356X). The normal equations are solved with the
    columns of ΔF at length 1 and a ridge of 1e-10 · trace/history: relative, so that it means the same however small
    the residuals have become; an absolute one makes the mixing uniform, and stalls, where ‖F‖² falls below it. A
    sample whose system is not usable takes the plain step. β, and the way back of a sample whose residual has grown,
    are those of `Safeguard`: with β = 1 monotone problems of large ‖I − W‖ do not converge. Complex rows are mixed
    with real coefficients, those of the real problem of both parts (`Rows`).

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.linear.operators import DenseOperator
    >>> from machinekit.solvers.problem import BlockProblem
    >>> turn = DenseOperator(np.array([[0.0, -2.0], [2.0, 0.0]]))  # Picard spirals out
    >>> problem = BlockProblem(turn, np.array([[5.0, 0.0]]), None, np.ones((1, 2)), 1.0)
    >>> anderson(problem, 1e-9, 0.0, limit=20).answer.round(6)
    array([[ 1., -2.]])
    """
    return learn(problem, "anderson", lambda f: _Mixing(f, min(history, limit)), rtol, atol, limit, warm)


class _Mixing:
    """The differences of iterates and residuals of the last steps, and the Gram matrix of the latter."""

    def __init__(self, like: Array, history: int) -> None:
        samples, length = like.shape
        home = backend_of(like)
        self._steps = home.zeros((samples, history, length), like.dtype)
        self._residuals = home.zeros((samples, history, length), like.dtype)
        self._gram = home.zeros((samples, history, history), like.dtype)
        self._eye = home.eye(history, like.dtype)
        eps = float(np.finfo(dtype_name(like)).eps)
        self._ridge = max(_RIDGE, _RIDGE_UNITS * eps)
        self._history, self._count = history, 0
        self._guard = Safeguard(like)

    def next(self, x: Array, f: Array, fresh: np.ndarray) -> Array:
        """Return the next iterate; samples in fresh units forget what they had."""
        x, f, dx, df, again = self._guard.look(x, f, fresh)
        beta = self._guard.beta
        if again.all():
            self._forget(again)
            return x + beta * f
        slot = self._count % self._history
        self._count += 1
        self._steps[:, slot, :], self._residuals[:, slot, :] = dx, df
        xp = namespace(f)
        # (samples, history, length) @ (samples, length, 2) -> (samples, history, 2)
        both = self._residuals @ xp.stack([df, f], axis=2)
        self._gram[:, slot, :] = both[:, :, 0]
        self._gram[:, :, slot] = both[:, :, 0]
        self._forget(again)
        weights = xp.expand_dims(self._weights(both[:, :, 1]), axis=1)
        moved = xp.reshape(weights @ self._steps, f.shape)
        rest = f - xp.reshape(weights @ self._residuals, f.shape)
        return x - moved + beta * rest

    def _weights(self, right: Array) -> Array:
        """Return γ, of shape (samples, history); 0 where the system is not usable."""
        xp = namespace(right)
        square = xp.sum(self._gram * self._eye, axis=2)
        live = xp.isfinite(square) & (square > 0)
        unit = xp.where(live, 1.0 / xp.sqrt(xp.where(live, square, xp.ones_like(square))), xp.zeros_like(square))
        inside = self._gram * xp.expand_dims(unit, axis=2) * xp.expand_dims(unit, axis=1)
        system = xp.where(self._eye == 0, inside, (1.0 + self._ridge) * self._eye)
        gamma = unit * xp.squeeze(solve_each(system, xp.expand_dims(unit * right, axis=2)), axis=2)
        return xp.where(xp.all(xp.isfinite(gamma), axis=1, keepdims=True), gamma, xp.zeros_like(gamma))

    def _forget(self, rows: np.ndarray) -> None:
        self._steps, self._residuals = forget(rows, self._steps), forget(rows, self._residuals)
        self._gram = forget(rows, self._gram)
