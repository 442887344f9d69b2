"""The laws of a machine, each a function of a random case that returns its findings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import to_host
from ..records import MachineState
from .case import Case, named, pad
from .instruments import array, complex_step, finite_difference, inner, inner_scale, like
from .report import Finding, compare, equal, skipped, tolerance
from .second_laws import hessian_is_symmetric, second_complex_step

__all__ = [
    "LAWS",
    "complex_steps",
    "dual_is_adjoint",
    "dual_of_dual",
    "fewer_channels",
    "finite_differences",
    "machine_equation",
    "pullback_is_adjoint",
    "reachability",
    "resolvent_inverts",
]

Law = Callable[[Case], list[Finding]]

_LEAST_STEP = 1e-7


def machine_equation(case: Case) -> list[Finding]:
    """x − f(x) − x0 = 0 at the solution (Definition 1, eqs. (10)–(11))."""
    residual = case.machine.residual(case.state, case.y0, case.z0)
    zero = np.zeros(residual.y.shape)
    scale_y, scale_z = case.majorant.solution
    kind = _kind(case)
    return [
        compare("machine equation, y = W z + b + y0", residual.y, zero, scale_y, kind),
        compare("machine equation, z = σ(y) + z0", residual.z, zero, scale_z, kind),
    ]


def resolvent_inverts(case: Case) -> list[Finding]:
    """R_f(x − f(x)) = x for any x: the solution is unique (Definition 1)."""
    m = case.machine
    channels = m.partition.channels
    x = MachineState(*(like(pad(a, channels), m) for a in (case.y0, case.z0)))
    image = m.apply(x.y, x.z)
    start = (x.y - image.y, x.z - image.z)
    back = m.solve(*start)
    scale_y, scale_z = Case(m, *start, case.seed_y, case.seed_z, {}).majorant.solution
    kind = _kind(case)
    return [
        compare("uniqueness, y of R(x − f(x)) = x", back.y, x.y, scale_y, kind),
        compare("uniqueness, z of R(x − f(x)) = x", back.z, x.z, scale_z, kind),
    ]


def dual_is_adjoint(case: Case) -> list[Finding]:
    """⟨v, ẏ0⟩ + ⟨u, ż0⟩ = ⟨v0, ẏ⟩ + ⟨u0, ż⟩ for the machines `tangent` and `dual` (Theorem 3, inputs)."""
    m = case.machine
    tangent = m.tangent(case.state).solve(case.directions["y0"], case.directions["z0"])
    dual = m.dual(case.state).solve(case.seed_z, case.seed_y)
    left = [(dual.z, case.wide("y0")), (dual.y, case.wide("z0"))]
    channels = m.partition.channels
    right = [(pad(case.seed_y, channels), tangent.y), (pad(case.seed_z, channels), tangent.z)]
    name = "adjoint identity, the dual machine's resolvent is the transpose of the tangent machine's"
    return [
        compare(name, inner(left), inner(right), _directional_scale(case, ("y0", "z0"), inner_scale(left)), _kind(case))
    ]


def pullback_is_adjoint(case: Case) -> list[Finding]:
    """⟨pullback(seeds), directions⟩ = ⟨seeds, pushforward(directions)⟩, each alone and all at once (Theorem 3)."""
    m = case.machine
    cotangent = m.pullback(case.state, case.seed_z, y=case.seed_y)
    channels = m.partition.channels
    seeds = (pad(case.seed_y, channels), pad(case.seed_z, channels))
    findings = []
    for names in [(n,) for n in case.directions] + [tuple(case.directions)]:
        along = {n: case.directions[n] for n in names}
        tangent = m.pushforward(case.state, **along)
        left = [(named(cotangent, n), along[n]) for n in names]
        right = list(zip(seeds, (tangent.y, tangent.z), strict=True))
        name = f"adjoint identity of pullback and pushforward along {' and '.join(names)}"
        scale = _directional_scale(case, names, inner_scale(left))
        findings.append(compare(name, inner(left), inner(right), scale, _kind(case)))
    return findings


def complex_steps(case: Case) -> list[Finding]:
    """Every cotangent against the complex step, in double precision: exact to rounding."""
    case = case.double()
    law = "complex step"
    if "complex" in str(case.machine.dtype):
        return [skipped(law, "the machine is complex; the adjoint identity and finite differences stand for it")]
    cotangent = case.machine.pullback(case.state, case.seed_z, y=case.seed_y)
    findings = []
    for name, direction in case.directions.items():
        try:
            slope = complex_step(lambda x, n=name: case.loss(case.moved(n, x)), case.base(name), direction)  # type: ignore[misc]
        except TypeError as error:
            return [skipped(law, f"the activation has no complex formula ({error})")]
        pairs = [(named(cotangent, name), direction)]
        scale = _directional_scale(case, (name,), inner_scale(pairs))
        findings.append(compare(f"cotangent of {name} by the complex step", inner(pairs), slope, scale, "float64"))
    return findings


def finite_differences(case: Case) -> list[Finding]:
    """Every cotangent against central differences, in double precision, to 1e-6 relative: the plainest evidence."""
    case = case.double()
    cotangent = case.machine.pullback(case.state, case.seed_z, y=case.seed_y)
    findings = []
    for name, direction in case.directions.items():
        law = f"cotangent of {name} by finite differences"
        step = 1e-3
        while _crosses(case, name, direction, step) and step > _LEAST_STEP:
            step /= 4.0
        if _crosses(case, name, direction, step):
            findings.append(skipped(law, "a kink of the activation lies within the smallest step"))
            continue
        pairs = [(named(cotangent, name), direction)]
        scale = _directional_scale(case, (name,), inner_scale(pairs))
        slope, allowed = _settled(case, name, direction, step, scale)
        if slope is None:
            findings.append(skipped(law, "differences do not settle: the machine bends too fast at this point"))
            continue
        findings.append(compare(law, inner(pairs), slope, scale, "float64", allowed=allowed))
    return findings


def _settled(case: Case, name: str, direction: Any, step: float, scale: float) -> tuple[Any, float]:
    """Return the difference quotient by a step that agrees with the next smaller one, and the tolerance for it."""
    base = float(np.abs(case.loss(case.state))) + _solution_scale(case)
    last = None
    while True:
        slope = finite_difference(lambda x: case.loss(case.moved(name, x)), case.base(name), direction, step)
        allowed = 1e-6 * scale + tolerance("float64", base) / step
        if last is not None and np.abs(slope - last) <= allowed:
            return slope, allowed
        if step < _LEAST_STEP:
            return None, 0.0
        last, step = slope, step / 4.0


def _crosses(case: Case, name: str, direction: Any, step: float) -> bool:
    """Tell whether some y changes its piece of a kinked activation within the step."""
    sigma = case.machine.pointwise
    kinks = [
        (s, k)
        for a, s in zip(getattr(sigma, "activations", ()), getattr(sigma, "blocks", ()), strict=True)
        for k in a.kinks
    ]
    if not kinks:
        return False
    ends = [to_host(case.moved(name, array(case.base(name) + h * direction)).y).real for h in (-step, 0.0, step)]
    return any(np.any((ends[0][..., s] > k) != (e[..., s] > k)) for s, k in kinks for e in ends[1:])


def dual_of_dual(case: Case) -> list[Finding]:
    """The dual of the dual is the tangent: the same order, weights, live weights and slopes."""
    m = case.machine
    tangent, dual = m.tangent(case.state), m.dual(case.state)
    twice = dual.dual(dual.solve(case.seed_z, case.seed_y))
    return [
        equal("dual of the dual, class and order", (type(twice), twice.partition), (type(tangent), tangent.partition)),
        equal("dual of the dual, live weights", twice.live, tangent.live),
        compare("dual of the dual, weight", twice.weight, tangent.weight, 0.0),
        compare("dual of the dual, slope", twice.slope_array, tangent.slope_array, 0.0),
    ]


def fewer_channels(case: Case) -> list[Finding]:
    """An input that stops at a block boundary is the input with zeros behind it; its cotangent has its own shape."""
    m = case.machine
    findings = []
    for width in sorted(set(m.partition.bounds)):
        y0 = case.y0[(..., slice(0, width))] if width <= case.y0.shape[-1] else None
        if y0 is None:
            continue
        short = m.solve(y0, case.z0)
        full = m.solve(like(pad(y0, m.partition.channels), m), case.z0)
        findings.append(compare(f"{width} of {m.partition.channels} channels of y0", short.y, full.y, 0.0))
        cotangent = m.pullback(short, case.seed_z, y=case.seed_y)
        findings.append(equal(f"cotangent of {width} channels", tuple(cotangent.y0.shape), tuple(y0.shape)))
    return findings


def reachability(case: Case) -> list[Finding]:
    """A weight is live iff every pair that it couples is computed in order (eq. (14), lag by lag)."""
    m, p = case.machine, case.machine.partition
    grid = p.grid(case.state.y.shape)
    if not all(n > before + after for n, (before, after) in zip(grid, p.padding, strict=True)):
        return [skipped("reachability", "the grid is shorter than the kernel")]
    rank = np.zeros((*grid, p.channels), dtype=int)
    for k, step in enumerate(p.steps(grid)):
        rank[step.index] = k
    ordered = np.ones(p.weight_shape, dtype=bool)
    for lag in p.lags:
        target = tuple(slice(max(0, ell), min(n, n + ell)) for ell, n in zip(lag, grid, strict=True))
        source = tuple(slice(t.start - ell, t.stop - ell) for t, ell in zip(target, lag, strict=True))
        later, earlier = rank[target][..., None, :], rank[source][..., :, None]
        pairs = earlier <= later if p.feedback else earlier < later  # where an index set may read itself
        ordered[p.tap(lag)] = pairs.all(axis=tuple(range(len(grid))))
    rule = p.live()
    wide_grid = all(n > 2 * b for a, b in zip(p.scan, p.time_block, strict=True) for n in (grid[a],))
    ones = m.replace(weight=like(np.ones(p.weight_shape), m))
    return [
        equal("every live pair is computed in order", bool((~rule | ordered).all()), True),
        equal("no ordered weight is dead", bool((~ordered | rule).all()), True) if wide_grid else skipped(
            "no ordered weight is dead", "the grid is shorter than two time blocks"),
        equal("the weight is zero exactly where it is dead", np.asarray(to_host(ones.weight) != 0), m.live),
        equal("live weights obey the rule, less what was pruned", bool((~m.live | rule).all()), True),
    ]  # fmt: skip


def _kind(case: Case) -> str:
    return "float32" if case.machine.precision == "single" else "float64"


def _solution_scale(case: Case) -> float:
    channels = case.machine.partition.channels
    pairs = zip((case.seed_y, case.seed_z), case.majorant.solution, strict=True)
    return inner_scale([(pad(seed, channels), size) for seed, size in pairs])


def _directional_scale(case: Case, names: tuple[str, ...], own: float) -> float:
    """Return the scale of ⟨seeds, derivative along the named directions⟩, from the tangent's majorant."""
    scale_y, scale_z = case.majorant.tangent({n: case.wide(n) for n in names})
    channels = case.machine.partition.channels
    return own + inner_scale([(pad(case.seed_y, channels), scale_y), (pad(case.seed_z, channels), scale_z)])


LAWS: dict[str, Law] = {
    "machine equation": machine_equation,
    "uniqueness": resolvent_inverts,
    "dual machine": dual_is_adjoint,
    "adjoint identity": pullback_is_adjoint,
    "complex step": complex_steps,
    "finite differences": finite_differences,
    "second derivatives": second_complex_step,
    "symmetric Hessian": hessian_is_symmetric,
    "dual of the dual": dual_of_dual,
    "fewer channels": fewer_channels,
    "reachability": reachability,
}
"""The laws by name."""
