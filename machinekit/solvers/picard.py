"""Picard iteration, damped if need be: s ← (1 − τ) s + τ g(s)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, astype
from .problem import FixedPoint
from .record import Outcome
from .watch import Watch, sizes_of

__all__ = ["picard"]


def picard(
    problem: FixedPoint, rtol: float, atol: float, limit: int, damping: float = 1.0,
    warm: tuple[Array, Array] | None = None, steps: int | None = None,
) -> Outcome:  # fmt: skip
    """Iterate s ← (1 − τ) s + τ g(s).

    Parameters
    ----------
    problem : FixedPoint
    rtol, atol : float
        A sample has converged when its estimated error is at most ``atol + rtol ‖s‖``.
    limit : int
        Evaluations of g.
    damping : float
        τ, above 0 and at most 1.
    warm : (y, s), optional
        Where to start: at s.
    steps : int, optional
        Take exactly so many steps, and do not look. For g(s) = D(W s + b) that is the Neumann series up to
        (D W)ᵏ D b, for no step at all D b.

    Returns
    -------
    Outcome
        Of a sample that did not converge, the iterate that changed least.

    Notes
    -----
    Converges where some norm of (1 − τ) I + τ g′ stays below 1. If g′ is strictly block triangular in d blocks the
    iterate is exact after d evaluations, undamped, and the next repeats it bit for bit.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.activations import get_activation
    >>> from machinekit.linear.operators import DenseOperator
    >>> from machinekit.solvers.problem import BlockProblem
    >>> chain = DenseOperator(np.array([[0.0, 2.0], [0.0, 0.0]]))
    >>> problem = BlockProblem(chain, np.array([[1.0, -1.0]]), get_activation("relu"), None, 0.0)
    >>> picard(problem, 1e-6, 0.0, limit=9).answer
    array([[1., 1.]])
    """
    s = problem.start() if warm is None else astype(warm[1])
    if steps is not None:
        for _ in range(steps):
            s = _step(problem, s, damping)
        samples = problem.shape[0]
        return Outcome(s, np.full(samples, steps), np.full(samples, "truncated"), "picard")
    watch = Watch(s, rtol, atol, limit, noise=problem.noise, careful=True)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(1, limit + 1):
            new = _step(problem, s, damping)
            change, s = new - s, new
            if watch.see(step, s, *sizes_of(change, s)):
                break
    return watch.outcome(s, "picard")


def _step(problem: FixedPoint, s: Array, damping: float) -> Array:
    image = problem.image(s)
    if damping != 1.0:
        image *= damping
        image += (1.0 - damping) * s
    return image
