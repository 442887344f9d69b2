"""The laws of second derivatives: the pullback's tangent is its derivative, and a Hessian is symmetric."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, to_host
from ..errors import DerivativeError
from ..records import MachineCotangent
from .case import Case, named
from .instruments import STEP, inner, inner_scale, like
from .report import Finding, compare, skipped

__all__ = ["hessian_is_symmetric", "second_complex_step"]

_SLACK = 64.0
"""Headroom over the absolute values that meet in the last product: three sweeps lie before it."""


def second_complex_step(case: Case) -> list[Finding]:
    """`pullback_tangent` against the complex step of `pullback`, everything moving at once, in double precision."""
    law = "tangent of the pullback by the complex step"
    case = case.double()
    unfit = _unfit(law, case)
    if unfit:
        return unfit
    if "complex" in str(case.machine.dtype):
        return [skipped(law, "the machine is complex; the symmetry of the Hessian stands for it")]
    along, other = case.directions, _other(case)
    seeds = (like(_flipped(case.seed_z), case.machine), like(_flipped(case.seed_y), case.machine))
    state = case.state
    cotangent = case.machine.pullback(state, case.seed_z, y=case.seed_y)
    tangent = case.machine.pullback_tangent(state, cotangent, along, seeds[0], y=seeds[1])
    try:
        moved = _moved(case, along, seeds)
    except TypeError as error:
        return [skipped(law, f"the activation has no complex formula ({error})")]
    pairs = [(named(tangent, name), other[name]) for name in along]
    slope = inner([(named(moved, name), other[name]) for name in along]).imag / STEP
    scale = _SLACK * (inner_scale(pairs) + inner_scale([(named(cotangent, name), other[name]) for name in along]))
    return [compare(law, inner(pairs), slope, scale, "float64")]


def hessian_is_symmetric(case: Case) -> list[Finding]:
    """⟨b, D(pullback) a⟩ = ⟨a, D(pullback) b⟩ over all inputs and parameters, the seeds being constant."""
    law = "second derivatives are symmetric"
    unfit = _unfit(law, case)
    if unfit:
        return unfit
    m, a, b = case.machine, case.directions, _other(case)
    cotangent = m.pullback(case.state, case.seed_z, y=case.seed_y)
    first = m.pullback_tangent(case.state, cotangent, a)
    second = m.pullback_tangent(case.state, cotangent, m.pushforward(case.state, **b))
    left, right = ([(named(x, name), d[name]) for name in d] for x, d in ((first, b), (second, a)))
    kind = "float32" if m.precision == "single" else "float64"
    return [compare(law, inner(left), inner(right), _SLACK * (inner_scale(left) + inner_scale(right)), kind)]


def _unfit(law: str, case: Case) -> list[Finding]:
    """Return a skipped finding for an activation that has no second derivative."""
    try:
        case.machine.pullback_tangent(case.state, case.machine.pullback_inputs(case.state, case.seed_z), {})
    except DerivativeError as error:
        return [skipped(law, str(error))]
    return []


def _flipped(array: Array) -> np.ndarray:
    return np.flip(to_host(array))


def _other(case: Case) -> dict[str, Array]:
    """Return another direction for everything: the same numbers in reverse; a weight's is projected."""
    flipped = {name: like(_flipped(d), case.machine) for name, d in case.directions.items()}
    return {**flipped, "weight": case.machine.project(flipped["weight"])}


def _moved(case: Case, along: dict[str, Array], seeds: tuple[Any, Any]) -> MachineCotangent:
    """Return the pullback at everything moved by i h along its direction."""

    def shifted(base: Array, direction: Array) -> Array:
        return like(to_host(base) + 1j * STEP * to_host(direction), case.machine, "complex128")

    y0, z0 = (shifted(case.base(name), along[name]) for name in ("y0", "z0"))
    parameters = {n: shifted(case.base(n), d) for n, d in along.items() if n not in ("y0", "z0")}
    machine = case.machine.replace(**parameters)
    state = machine.solve(y0, z0)
    return machine.pullback(state, shifted(case.seed_z, seeds[0]), y=shifted(case.seed_y, seeds[1]))
