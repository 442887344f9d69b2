"""Which solver resolves a block, and what follows when it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, namespace
from ..errors import ConvergenceError, ConvergenceWarning
from .anderson import anderson
from .bicgstab import bicgstab
from .broyden import broyden
from .direct import active_set, direct
from .newton_krylov import newton_krylov
from .options import Equilibrium
from .picard import picard
from .problem import BlockProblem, FixedPoint
from .record import Info, Outcome
from .splitting import forward_backward, peaceman_rachford

__all__ = ["fail", "resume", "settle", "settle_cycle"]

_LOOSE = 1e-3
_SHARP = 1e-10
_THIN = 0.05
"""Margins below which splitting is slow, and tolerances below which it is long: factorise then."""
_SMALL = 512
_MEDIUM = 1024
_LARGE = 512
"""Unknowns up to which a factorisation per sample is worth it, up to which it is the last resort, and from which
one for all samples costs more than the products of a forward–backward iteration."""

Warm = tuple[Array, Array] | None


def settle(
    problem: BlockProblem,
    options: Equilibrium,
    rtol: float,
    step: Callable[[], float],
    warm: Warm = None,
    truncated: bool = False,
) -> Outcome:
    """Solve one block.

    Parameters
    ----------
    problem : BlockProblem
    options : Equilibrium
    rtol : float
    step : callable
        Returns α for Peaceman–Rachford, when it is needed.
    warm : (y, s) near the answer, or None
    truncated : bool
        Take exactly ``options.dual_steps`` steps.
    """
    split = problem.margin > 0 and problem.proximal
    if truncated:
        return _truncated(problem, options, rtol, step, warm, split)
    name = options.dual_solver if problem.affine else options.solver
    if name != "auto":
        return _by_name(name, problem, options, rtol, step, warm)
    if split:
        return _monotone(problem, options, rtol, step, warm)
    atol, limit = options.atol, options.max_steps
    if not problem.affine:
        first = anderson(problem, rtol, atol, _first(limit), options.history or 5, warm)
        return resume(first, limit, lambda s, left: newton_krylov(problem, rtol, atol, left, (s, s)))
    first = bicgstab(problem, rtol, atol, limit, warm)
    if first.converged.all() or problem.shape[1] > _MEDIUM:
        return first
    return resume(first, limit, lambda s, left: direct(problem))


def _truncated(
    problem: BlockProblem, options: Equilibrium, rtol: float, step: Callable[[], float], warm: Warm, split: bool
) -> Outcome:
    """Take `dual_steps` steps; none is D b, the inverse dropped."""
    count = int(options.dual_steps or 0)
    taken, status = np.full(problem.shape[0], count), np.full(problem.shape[0], "truncated")
    if not count:
        return Outcome(problem.start(), taken, status, "none", y=problem.b + 0)
    if split:
        return peaceman_rachford(problem, step(), rtol, options.atol, count, warm, steps=count)
    before = picard(problem, rtol, options.atol, count, steps=count - 1).answer
    y = problem.operator.product(before) + problem.b
    return Outcome(problem.value(y), taken, status, "picard", y=y)


def settle_cycle(problem: FixedPoint, options: Equilibrium, rtol: float, warm: Array | None = None) -> Outcome:
    """Solve s = g(s) for a map of which nothing is known but its values and derivatives; warm is an s."""
    pair = None if warm is None else (warm, warm)
    name = options.dual_solver if problem.affine else options.solver
    if name != "auto":
        return _by_name(name, problem, options, rtol, lambda: 1.0, pair)
    atol, limit = options.atol, options.max_steps
    if problem.affine:
        return bicgstab(problem, rtol, atol, limit, pair)
    first = anderson(problem, rtol, atol, _first(limit), options.history or 5, pair)
    return resume(first, limit, lambda s, left: newton_krylov(problem, rtol, atol, left, (s, s)))


def _monotone(
    problem: BlockProblem, options: Equilibrium, rtol: float, step: Callable[[], float], warm: Warm
) -> Outcome:
    """Solve a monotone block: one factorisation for all samples, one each where that is slow, or none."""
    atol, limit = options.atol, options.max_steps
    samples, unknowns = problem.shape
    if unknowns <= _SMALL and (rtol < _SHARP or problem.margin < _THIN):
        if problem.affine:
            return direct(problem)
        if problem.sigma.piecewise_linear:
            return _finished(problem, options, rtol, step, warm)
    if problem.fresh and unknowns >= _LARGE and unknowns >= 4 * samples:
        first = forward_backward(problem, rtol, atol, _first(limit), warm)
        return resume(first, limit, lambda s, left: peaceman_rachford(problem, step(), rtol, atol, left))
    return peaceman_rachford(problem, step(), rtol, atol, limit, warm)


def _finished(
    problem: BlockProblem, options: Equilibrium, rtol: float, step: Callable[[], float], warm: Warm
) -> Outcome:
    """Find the pieces of σ by a loose solve, then solve the linear equations on them exactly."""
    loose = peaceman_rachford(problem, step(), max(rtol, _LOOSE), options.atol, options.max_steps, warm)
    limit = options.max_steps
    done = active_set(problem, rtol, options.atol, max(limit - int(loose.steps.max(initial=0)), 0), loose.answer)
    done.steps += loose.steps

    def more(s: Array, left: int) -> Outcome:
        y = problem.operator.product(s) + problem.b
        return peaceman_rachford(problem, step(), rtol, options.atol, left, (y, s))

    return resume(done, limit, more)


def _by_name(
    name: str, problem: Any, options: Equilibrium, rtol: float, step: Callable[[], float], warm: Warm
) -> Outcome:
    atol, limit = options.atol, options.max_steps
    if isinstance(problem, BlockProblem) and name in ("peaceman-rachford", "forward-backward", "active-set"):
        _demand_proximal(name, problem)
        if name == "peaceman-rachford":
            return peaceman_rachford(problem, step(), rtol, atol, limit, warm)
        if name == "forward-backward":
            return forward_backward(problem, rtol, atol, limit, warm)
        return _finished(problem, options, rtol, step, warm)
    if isinstance(problem, BlockProblem) and name == "direct":
        return direct(problem)
    if name == "picard":
        return picard(problem, rtol, atol, limit, options.damping, warm)
    if name == "anderson":
        return anderson(problem, rtol, atol, limit, options.history or 5, warm)
    if name == "broyden":
        return broyden(problem, rtol, atol, limit, options.history or 20, warm)
    if name == "newton-krylov":
        return newton_krylov(problem, rtol, atol, limit, warm)
    if name == "bicgstab":
        return bicgstab(problem, rtol, atol, limit, warm)
    raise ValueError(
        f"solver={name!r} needs blocks of a machine; for the cycles of a hypergraph choose anderson, broyden, "
        "newton-krylov or picard"
    )


def _demand_proximal(name: str, problem: BlockProblem) -> None:
    if not problem.proximal:
        what = f"activation {problem.sigma.name!r}" if problem.sigma is not None else "a slope outside [0, 1]"
        raise ValueError(
            f"solver={name!r} needs a proximal activation (nondecreasing, slopes at most 1), which {what} is not; "
            "use solver='anderson' or 'newton-krylov'"
        )
    if name == "active-set" and problem.sigma is not None and not problem.sigma.piecewise_linear:
        raise ValueError(
            f"solver='active-set' needs an activation in linear pieces, which {problem.sigma.name!r} is not; "
            "use solver='peaceman-rachford'"
        )


def resume(first: Outcome, limit: int, again: Callable[[Array, int], Outcome]) -> Outcome:
    """Let another solver go on where the first did not converge; what had converged stays as it is."""
    spent = int(first.steps.max(initial=0))
    if first.converged.all() or spent >= limit:
        return first
    second = again(first.answer, limit - spent)
    rows = ~first.converged
    answer = first.answer
    take = rows & (second.converged | (first.status == "diverged"))
    if isinstance(answer, np.ndarray):
        answer = answer.copy()
        answer[take] = second.answer[take]
    else:
        answer = namespace(answer).where(backend_of(answer).from_host(take[:, None]), second.answer, answer)
    steps = np.where(rows, first.steps + second.steps, first.steps)
    status = np.where(rows, second.status, first.status)
    return Outcome(answer, steps, status, f"{first.solver}, {second.solver}")


def _first(limit: int) -> int:
    """Return the share of the budget of a method that another may follow."""
    return min(limit, max(200, limit // 10))


def fail(info: Info, best: Any, options: Equilibrium, what: str) -> None:
    """Raise, warn or do nothing about samples that have not converged, as `options` tell."""
    if options.on_failure == "return" or bool(info.converged.all()):
        return
    bad = ~info.converged
    lost = int((info.status == "diverged").sum())
    message = (
        f"{what} has not converged for {int(bad.sum())} of {bad.size} samples"
        + (f" ({lost} diverged)" if lost else "")
        + f" within max_steps={options.max_steps} ({', '.join(filter(None, dict.fromkeys(info.solver)))}); "
        f"their largest residual is {float(info.residual[bad].max()):.3g}. Raise max_steps or rtol, try another "
        "solver, or keep the best iterate with on_failure='return' (it is in the error's .best too)"
    )
    if options.on_failure == "warn":
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
        return
    raise ConvergenceError(message, info, best)
