"""BiCGSTAB for affine problems: (I − A) s = c where g(s) = A s + c."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arrays import Array, astype, namespace
from .krylov import BiCGStab
from .problem import FixedPoint
from .record import Outcome
from .rows import Rows, pick
from .watch import Watch, sizes

__all__ = ["bicgstab", "shifted"]

_MARGIN = 0.5
"""The recursion must promise so much of what the true residual is asked for."""


def bicgstab(
    problem: FixedPoint, rtol: float, atol: float, limit: int, warm: tuple[Array, Array] | None = None
) -> Outcome:
    """Solve an affine problem by BiCGSTAB, every sample with scalars of its own.

    Parameters
    ----------
    problem : FixedPoint
        Affine.
    rtol, atol : float
        A sample has converged when its true residual ‖g(s) − s‖ is at most ``atol + rtol ‖s‖``.
    limit : int
        Evaluations of g and products with A, together.
    warm : (y, s), optional
        Where to start: at s. It costs one evaluation more: where c is zero the answer is zero, wherever one starts.

    Returns
    -------
    Outcome
        The answer is an iterate whose true residual was measured: what the recursion promises is evaluated, and if
        it does not hold the sample starts again from there.

    Notes
    -----
    See `BiCGStab`. The spectral radius of A does not matter, as long as I − A is regular. Complex rows are solved as
    the real system of both parts (`Rows`).

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.linear.operators import DenseOperator
    >>> from machinekit.solvers.problem import BlockProblem
    >>> turn = DenseOperator(np.array([[0.0, -2.0], [2.0, 0.0]]))  # Picard spirals out
    >>> problem = BlockProblem(turn, np.array([[5.0, 0.0]]), None, np.ones((1, 2)), 1.0)
    >>> bicgstab(problem, 1e-9, 0.0, limit=20).answer.round(6)
    array([[ 1., -2.]])
    """
    s = problem.start() if warm is None else astype(warm[1])
    watch = Watch(s, rtol, atol, limit, noise=problem.noise, careful=True)
    spent = 0
    with np.errstate(all="ignore"):
        if warm is not None and limit > 1:
            s, spent = _zeroed(problem, s), 1
        if spent >= limit:
            return watch.outcome(s, "bicgstab")
        image, rows = problem.image(s), Rows(s)
        spent += 1
        rows.fit(image)
        apply = shifted(problem.linearise(s), rows)
        start, core = rows.pack(s), BiCGStab(rows.pack(image) - rows.pack(s))
        while not watch.see(spent, s, *rows.sizes_of(core.r, beside=s), exact=True) and spent + 3 <= limit:
            spent += _run(core, apply, rows, start, watch, limit - spent - 1)
            s = pick(watch.open, rows.unpack(start + core.x), s)
            core.replace(rows.pack(problem.image(s)) - rows.pack(s))
            spent += 1
    return watch.outcome(s, "bicgstab")


def shifted(product: Callable[[Array], Array], rows: Rows) -> Callable[[Array], Array]:
    """Return p ↦ p − A p on real rows, given A."""
    return lambda p: p - rows.pack(product(rows.unpack(p)))


def _zeroed(problem: FixedPoint, s: Array) -> Array:
    """Return s with zeros in the samples whose c = g(0) is zero."""
    constant = sizes(problem.image(namespace(s).zeros_like(s))).max(axis=0, initial=0.0)
    return pick(constant == 0, namespace(s).zeros_like(s), s)


def _run(
    core: BiCGStab, apply: Callable[[Array], Array], rows: Rows, start: Array, watch: Watch, budget: int
) -> int:  # fmt: skip
    """Step until every open sample promises to have converged; return the products spent."""
    core.broken[:] = False
    for spent in range(2, budget + 1, 2):
        active = watch.open & ~core.broken
        size, rest = rows.sizes_of(start + core.x, core.r)
        wanted = np.maximum(watch.atol + watch.rtol * size, watch.floor * size)
        active &= ~np.all(rest <= _MARGIN * wanted, axis=0)
        if not active.any():
            return spent - 2
        core.step(apply, active)
    return budget - budget % 2
