"""Newton's method with inexact BiCGSTAB for the steps and backtracking, per sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arrays import Array, astype
from .bicgstab import shifted
from .krylov import BiCGStab
from .problem import FixedPoint
from .record import Outcome
from .rows import Rows, pick, to_rows
from .watch import Watch, sizes

__all__ = ["newton_krylov"]

_FORCING = 0.1
"""The first forcing term, and the largest: a step is solved to so much of its right-hand side, or better."""
_ENOUGH = 0.1
"""No step is solved for more than so much of what is asked for in the end."""
_DECREASE = 1e-4
_HALVINGS = 8


def newton_krylov(
    problem: FixedPoint, rtol: float, atol: float, limit: int, warm: tuple[Array, Array] | None = None
) -> Outcome:
    """Solve F(s) = g(s) − s = 0 by Newton's method, the steps by BiCGSTAB with exact products by g′.

    Parameters
    ----------
    problem : FixedPoint
    rtol, atol : float
        A sample has converged when its residual ‖g(s) − s‖ is at most ``atol + rtol ‖s‖``.
    limit : int
        Evaluations of g and products with g′, together.
    warm : (y, s), optional
        Where to start: at s.

    Returns
    -------
    Outcome
        The answer is an iterate whose residual was measured, of a sample that did not converge the one of least.

    Notes
    -----
    (I − g′) d = F to a relative residual η = min(0.1, 0.9 (‖F‖/‖F last‖)²), the second choice of Eisenstat & Walker
    1996, doi:10.1137/0917003; then s + λ d with the first λ = 1, ½, ¼, … for which ‖F‖ falls by the factor
    1 − 1e-4 λ. Where no λ down to 2⁻⁷ does, the sample moves on with the last one. η, λ and the scalars of BiCGSTAB
    are per sample. Complex rows are treated as the real problem of both parts (`Rows`).

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.activations import get_activation
    >>> from machinekit.linear.operators import DenseOperator
    >>> from machinekit.solvers.problem import BlockProblem
    >>> turn = DenseOperator(np.array([[0.0, -1.0], [1.0, 0.0]]))  # Picard goes round (3, 0), (1, 0), (1, 2), (3, 2)
    >>> problem = BlockProblem(turn, np.array([[1.0, 3.0]]), get_activation("relu"), None, 1.0)
    >>> newton_krylov(problem, 1e-9, 0.0, limit=50).answer.round(6)
    array([[2., 1.]])
    """
    s = problem.start() if warm is None else astype(warm[1])
    rows, watch = Rows(s), Watch(s, rtol, atol, limit, noise=problem.noise, careful=True)
    if limit == 0:
        return watch.outcome(s, "newton-krylov")
    with np.errstate(all="ignore"):
        image, spent = problem.image(s), 1
        last: np.ndarray | None = None
        while True:
            rows.fit(image)
            f = rows.pack(image) - rows.pack(s)
            size, extent = rows.sizes_of(f, beside=s)
            if watch.see(spent, s, size, extent, exact=True) or spent + 3 > limit:
                return watch.outcome(s, "newton-krylov")
            wanted = _ENOUGH * np.maximum(watch.atol + watch.rtol * extent, watch.floor * extent)
            wanted = np.maximum(wanted, _forcing(size, last) * size)
            last = size
            d, used = _direction(shifted(problem.linearise(s), rows), f, rows, wanted, watch.open, limit - spent - 1)
            spent += used
            s, image, used = _search(problem, s, image, d, f, rows, watch.open, limit - spent)
            spent += used


def _forcing(size: np.ndarray, last: np.ndarray | None) -> np.ndarray:
    """Return η of both parts, each by how it fell itself."""
    if last is None:
        return np.full(size.shape, _FORCING)
    return np.minimum(_FORCING, 0.9 * np.nan_to_num(size / last, nan=1.0, posinf=1.0) ** 2)


def _direction(
    apply: Callable[[Array], Array], f: Array, rows: Rows, wanted: np.ndarray, open_: np.ndarray, budget: int
) -> tuple[Array, int]:
    """Return d with a residual of f − (I − g′) d of the wanted sizes, and the products that it took."""
    core = BiCGStab(f)
    for spent in range(0, budget - 1, 2):
        active = open_ & ~core.broken & ~np.all(rows.sizes(core.r) <= wanted, axis=0)
        if not active.any():
            return core.x, spent
        core.step(apply, active)
    return core.x, budget - budget % 2


def _search(
    problem: FixedPoint, s: Array, image: Array, d: Array, f: Array, rows: Rows, open_: np.ndarray, budget: int
) -> tuple[Array, Array, int]:
    """Return the next iterates, their images and the evaluations of g that it took."""
    before, step = sizes(f)[0], np.ones(f.shape[0])
    start, todo, spent = rows.pack(s), open_.copy(), 0
    for _ in range(min(_HALVINGS, budget)):
        moved = start + to_rows(step, d) * d
        trial = rows.unpack(moved)
        new = problem.image(trial)
        spent += 1
        after = sizes(rows.pack(new) - moved)[0]
        good = todo & (after <= (1.0 - _DECREASE * step) * before)
        if spent == min(_HALVINGS, budget):
            good |= todo & np.isfinite(after)
        s, image = pick(good, trial, s), pick(good, new, image)
        todo &= ~good
        if not todo.any():
            break
        step[todo] *= 0.5
    return s, image, spent
