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

    All array calls that the plans make and nothing else, no validation, no records, no look-up: start in, sweep,
    whether it is finite, y and z out; slopes, seed in, sweep back, weight cotangent, finite, v out. For machines
    whose schedule is one folded line in one tile.
    """
    m, y0, seed = problem.machine, problem.y0, problem.seed
    lead = tuple(y0.shape[:-1])
    forward, dual = m._plan(lead, y0), m._plan(lead, y0, dual=True)
    if not (isinstance(forward, Plan) and isinstance(dual, Plan) and isinstance(m.pointwise, Blockwise)):
        return None
    if not (forward.fold and forward.tile == forward.samples):
        return None
    sigma = m.pointwise
    there: Any = forward.take(forward.samples, m.weight)
    back: Any = dual.take(dual.samples, m._mirrored.weight)
    start, seeded, slope = there.x_full[0], back.x_full[0], back.more("slope")[0]
    sweep, sweep_back = there.program(sigma, False), back.program(None, False)
    y, z, v, axis = there.y_full[0], there.z_full[0], back.z_full[0], forward.channel_axis
    native_y0, native_seed = forward.native(y0), dual.native(seed)

    def gradient() -> Any:
        start[...] = native_y0
        for call in sweep:
            call()
        there.is_finite()
        at_y, at_z = y.copy(), z.copy()
        slopes_into(sigma, at_y, at_z, slope, axis)
        seeded[...] = native_seed
        for call in sweep_back:
            call()
        weight = back.contracted(at_z)
        back.is_finite()
        return weight, v.copy()

    return gradient
