"""The array calls of a prepared schedule alone, to see what the public interface costs on top of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..activations import Blockwise
from ..engine import Plan
from ..engine.slopes import slopes_into
from .problem import Problem

__all__ = ["PLAN_CALLS", "plan_calls_only"]

PLAN_CALLS = "plan calls only"
"""Its name in the tables."""


def plan_calls_only(problem: Problem) -> Callable[[], Any] | None:
    """Return one gradient as the bare array calls of the machine's schedule; None where there is no schedule.

    No validation, no records, no copies out of the workspaces: start in, sweep, slopes, seed in, sweep
    back, weight cotangent. For machines whose schedule is one folded line in one tile.
    """
    m, y0, seed = problem.machine, problem.y0, problem.seed
    lead = tuple(y0.shape[:-1])
    forward, dual = m._plan(lead, y0), m._plan(lead, y0, dual=True)
    if not (isinstance(forward, Plan) and isinstance(dual, Plan) and isinstance(m.pointwise, Blockwise)):
        return None
    if not (forward.fold and forward.tile == forward.samples):
        return None
    sigma = m.pointwise
    there, back = (p.take(p.samples, w) for p, w in ((forward, m.weight), (dual, m._mirrored.weight)))
    start, seeded, slope = there.x_full[0], back.x_full[0], back.more("slope")[0]
    sweep, sweep_back = there.program(sigma, False), back.program(None, False, "first")
    y, z, axis = there.y_full[0], there.z_full[0], forward.channel_axis

    def gradient() -> Any:
        start[...] = forward.native(y0)
        for call in sweep:
            call()
        slopes_into(sigma, y, z, slope, axis)
        back.primal(z)
        seeded[...] = dual.native(seed)
        for call in sweep_back:
            call()
        return back.collected()

    return gradient
