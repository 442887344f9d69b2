"""Broyden's good method with a bounded memory, per sample."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, backend_of, namespace
from .learning import learn
from .problem import FixedPoint
from .record import Outcome
from .rows import inner, pick, to_rows
from .safeguard import Safeguard, forget

__all__ = ["broyden"]

_LEAST = 0.1
"""Least |dᵀHΔF| / ‖d‖²; below it the update is damped so that H stays nonsingular."""


def broyden(
    problem: FixedPoint,
    rtol: float,
    atol: float,
    limit: int,
    history: int = 20,
    warm: tuple[Array, Array] | None = None,
) -> Outcome:
    """Solve F(s) = g(s) − s = 0 by Broyden's good method.

    Parameters
    ----------
    problem : FixedPoint
    rtol, atol : float
        A sample has converged when its residual ‖g(s) − s‖ is at most ``atol + rtol ‖s‖``.
    limit : int
        Evaluations of g.
    history : int
        Pairs that are kept; with so many a sample starts again with none. The memory is 2 · history iterates.
    warm : (y, s), optional
        Where to start: at s.

    Returns
    -------
    Outcome
        The answer is an iterate whose residual was measured, of a sample that did not converge the one of least.

    Notes
    -----
    H = −β I + Σ uᵢ vᵢᵀ approximates the inverse of F′. The step is d = −H F; then v = Hᵀ d and
    u = (d − H ΔF)/(vᵀ ΔF) make H ΔF = d (Broyden 1965, doi:10.1090/S0025-5718-1965-0198670-6). Where |vᵀ ΔF| is below
    0.1 ‖d‖² the update is damped, u = θ (d − H ΔF)/((1 − θ) ‖d‖² + θ vᵀ ΔF), so that the denominator is
    ± 0.1 ‖d‖² (Powell 1970). A sample starts again, with the β of `Safeguard`, when it has all the pairs it may have
    and when its residual has grown, then from its best iterate; dropping the oldest pair instead breaks the secant
    equations of the others, and diverges on monotone problems. Cost of a step: one evaluation and 8 · history ·
    unknowns multiply-adds per sample. Complex rows are treated as the real problem of both parts (`Rows`).

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.linear.operators import DenseOperator
    >>> from machinekit.solvers.problem import BlockProblem
    >>> turn = DenseOperator(np.array([[0.0, -2.0], [2.0, 0.0]]))  # Picard spirals out
    >>> problem = BlockProblem(turn, np.array([[5.0, 0.0]]), None, np.ones((1, 2)), 1.0)
    >>> broyden(problem, 1e-9, 0.0, limit=20).answer.round(6)
    array([[ 1., -2.]])
    """
    return learn(problem, "broyden", lambda f: _Inverse(f, min(history, limit)), rtol, atol, limit, warm)


class _Inverse:
    """H = −β I + Σ uᵢ vᵢᵀ of every sample."""

    def __init__(self, like: Array, history: int) -> None:
        samples, length = like.shape
        self._u = backend_of(like).zeros((samples, history, length), like.dtype)
        self._v = backend_of(like).zeros((samples, history, length), like.dtype)
        self._history, self._count = history, 0
        self._pairs = np.zeros(samples, int)
        self._guard = Safeguard(like)
        self._beta = self._guard.beta

    def next(self, x: Array, f: Array, fresh: np.ndarray) -> Array:
        """Return x − H F after learning from the last step; samples in fresh units forget what they had."""
        x, f, dx, df, again = self._guard.look(x, f, fresh)
        full = again | (self._pairs == self._history)
        self._u, self._v = forget(full, self._u), forget(full, self._v)
        self._beta = pick(full, self._guard.beta, self._beta)
        self._pairs = np.where(full, 0, self._pairs) + ~again
        if not again.all():
            self._learn(dx, df, ~again)
        d = -self._times(f)
        finite = namespace(d).all(namespace(d).isfinite(d), axis=1, keepdims=True)
        return x + namespace(d).where(finite, d, self._guard.beta * f)

    def _times(self, a: Array) -> Array:
        """Return H a."""
        return _sum(self._u, self._v, a) - self._beta * a

    def _learn(self, d: Array, change: Array, known: np.ndarray) -> None:
        xp = namespace(d)
        moved = self._times(change)
        v = _sum(self._v, self._u, d) - self._beta * d
        square, below = inner(d, d), inner(v, change)
        ratio = below / xp.where(square > 0, square, xp.ones_like(square))
        side = xp.where(ratio < 0, -xp.ones_like(ratio), xp.ones_like(ratio))
        theta = xp.where(xp.abs(ratio) < _LEAST, (1.0 - _LEAST * side) / (1.0 - ratio), xp.ones_like(ratio))
        below = (1.0 - theta) * square + theta * below
        u = theta * (d - moved) / xp.where(below == 0, xp.ones_like(below), below)
        good = below != 0 if known.all() else to_rows(known, d) & (below != 0)
        good = good & xp.all(xp.isfinite(u) & xp.isfinite(v), axis=1, keepdims=True)
        slot = self._count % self._history
        self._count += 1
        self._u[:, slot, :] = xp.where(good, u, xp.zeros_like(u))
        self._v[:, slot, :] = xp.where(good, v, xp.zeros_like(v))


def _sum(left: Array, right: Array, a: Array) -> Array:
    """Return Σ leftᵢ (rightᵢᵀ a) of every sample."""
    xp = namespace(a)
    # (samples, history, length) @ (samples, length, 1) -> (samples, history, 1)
    coefficients = right @ xp.expand_dims(a, axis=2)
    return xp.reshape(xp.permute_dims(coefficients, (0, 2, 1)) @ left, a.shape)
