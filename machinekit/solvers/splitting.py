"""Operator splitting: equilibria of s = σ(W s + b) where σ is a proximal operator and I − W is monotone.

σ = prox_f makes the equilibrium the zero of (F s − b) + ∂f(s) with F = I − W. Both methods meet f only in
prox_{αf} and F only in products or in one resolvent, both folded here (Winston & Kolter, arXiv:2006.08591).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from .problem import BlockProblem
from .record import Outcome
from .watch import Watch, sizes_of

__all__ = ["forward_backward", "peaceman_rachford"]

EVERY = 4
"""Steps between looks at the convergence."""
_GROWN = 1e3
_NAME = "peaceman-rachford"


def peaceman_rachford(
    problem: BlockProblem, alpha: float, rtol: float, atol: float, limit: int, warm: tuple[Array, Array] | None = None,
    steps: int | None = None,
) -> Outcome:  # fmt: skip
    """Iterate u ← M refl(u) + c, and return prox_{αf}(u).

    Parameters
    ----------
    alpha : float
        Step size, above 0. Every one converges, the better the smaller ‖M‖.
    warm : (y, s) or None
        A state near the answer, s ≈ σ(y): the splitting variable is u = s + α (y − s) there.
    steps : int, optional
        Take exactly so many steps, and do not look.

    Notes
    -----
    V = ((1 + α) I − α W)⁻¹, M = 2 V − I = (I − αF)(I + αF)⁻¹, c = 2 α V b, refl(u) = 2 prox_{αf}(u) − u; one matrix
    product, one reflection and one addition a step. ‖M‖₂ ≤ √(1 − 4 α m/(1 + αL)²) < 1 for F ⪰ m I, ‖F‖₂ = L, and
    refl does not expand, so that u contracts by that; convergence is told from u, for s may rest while u moves.
    """
    operator = problem.operator
    fold = operator.fold(alpha)
    b = operator.extend(problem.b)
    c = fold(b)
    c += b
    c *= alpha
    if warm is None:
        u = c + 0
    else:
        y, s = (operator.extend(a) for a in warm)
        u = s + alpha * (y - s)
    mirror, close = _maps(problem, alpha)
    if steps is not None:
        for _ in range(steps):
            u = fold(mirror(u, None))
            u += c
        samples = problem.shape[0]
        return _closed(close, alpha, Outcome(u, np.full(samples, steps), np.full(samples, "truncated"), _NAME))
    watch = Watch(u, rtol, atol, limit, EVERY)
    with np.errstate(over="ignore"):
        u = _iterate(u, c, fold, mirror, watch)
    return _closed(close, alpha, watch.outcome(u, _NAME))


def _iterate(u: Array, c: Array, fold: Any, mirror: Callable[..., Array], watch: Watch) -> Array:
    """Return the last of the iterates u ← M refl(u) + c; u is written to."""
    plain = isinstance(u, np.ndarray)
    h, other = (np.empty_like(u), np.empty_like(u)) if plain else (None, None)
    for step in range(1, watch.limit + 1):
        h = mirror(u, h)
        new = fold(h, other)
        new += c
        if watch.due(step):
            change = np.subtract(new, u, out=u) if plain else new - u
            u, other = new, u
            if watch.see(step, u, *sizes_of(change, u)):
                break
        else:
            u, other = new, u
    return u


def _closed(close: Callable[[Array], tuple[Array, Array]], alpha: float, outcome: Outcome) -> Outcome:
    """Return s = prox_{αf}(u), and y = s + (u − s)/α of which s is exactly σ, for (u − s)/α is in ∂f(s)."""
    u, s = close(outcome.answer)
    y = u - s
    y *= 1.0 / alpha
    y += s
    return Outcome(s, outcome.steps, outcome.status, outcome.solver, y)


def _maps(problem: BlockProblem, alpha: float) -> tuple[Callable[..., Array], Callable[[Array], tuple[Array, Array]]]:
    """Return (u, out) ↦ refl(u), which may be written to `out`, and u ↦ (u, prox_{αf}(u)) on the block's own space.

    Outside of that space the answer is zero: the proximal operator there is that of the indicator of 0.
    """
    operator, sigma = problem.operator, problem.sigma
    plain = isinstance(problem.b, np.ndarray)
    if sigma is None:
        shrunk = operator.extend(problem.shrunk(alpha))
        turned = 2.0 * shrunk - 1.0
        mirror = (lambda u, out: np.multiply(turned, u, out=out)) if plain else (lambda u, out: turned * u)
        return mirror, lambda u: (operator.restrict(u), operator.restrict(shrunk * u))
    if plain and sigma.name == "relu" and problem.b.dtype.kind == "f" and operator.extend(problem.b) is problem.b:
        return np.abs, lambda u: (u, np.maximum(u, 0.0))

    def reflect(u: Array, out: Array | None) -> Array:
        turned = operator.masked(sigma.prox(u, alpha))
        turned *= 2.0
        turned -= u
        return turned

    return reflect, lambda u: (operator.restrict(u), sigma.prox(operator.restrict(u), alpha))


def forward_backward(
    problem: BlockProblem, rtol: float, atol: float, limit: int, warm: tuple[Array, Array] | None = None
) -> Outcome:
    """Iterate s ← prox_{αf}((1 − α) s + α (W s + b)).

    Notes
    -----
    α = 1/L, L = ‖I − W‖₂, does well where it converges; where the changes grow, α = m/L², with which s contracts by
    √(1 − m²/L²) at least. No factorisation: the method for large blocks and few samples.
    """
    norm = max(problem.operator.norm(), 1e-300)
    s = problem.start() if warm is None else warm[1]
    outcome = _descend(problem, 1.0 / norm, rtol, atol, limit, s)
    left = limit - int(outcome.steps.max(initial=0))
    if outcome.converged.all() or left <= 0 or problem.margin <= 0:
        return outcome
    again = _descend(problem, problem.margin / norm**2, rtol, atol, left, problem.start())
    again.steps += int(outcome.steps.max(initial=0))
    return again


def _descend(problem: BlockProblem, alpha: float, rtol: float, atol: float, limit: int, s: Array) -> Outcome:
    """Iterate with one step size until all have converged, or some change has grown far beyond the smallest."""
    watch = Watch(s, rtol, atol, limit, EVERY, problem.noise, careful=True)
    least = np.inf
    for step in range(1, limit + 1):
        x = problem.operator.product(s)
        x += problem.b
        x *= alpha
        x += (1.0 - alpha) * s
        new = problem.prox(x, alpha)
        if watch.due(step):
            with np.errstate(over="ignore"):
                change, size = sizes_of(new - s, new)
            s = new
            if watch.see(step, s, change, size):
                break
            total = change.max(axis=0, initial=0.0)
            if np.any(watch.open & (total > _GROWN * least)):
                break
            least = np.minimum(least, total)
        else:
            s = new
    return watch.outcome(s, "forward-backward")
