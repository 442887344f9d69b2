"""§2: machines, resolvents and their derivatives."""

from __future__ import annotations

import math

import numpy as np

from .. import theory
from ..arrays import to_host
from ..engine import sweep
from ..testing.instruments import inner
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .lab import Lab
from .registry import named

__all__ = ["DEFINITIONS"]


@named("definition-1", "Definition 1")
def _definition_1(lab: Lab, draws: Draws) -> list[Finding]:
    """f is a machine: id − f is injective, so that every x is the only solution for the start x − f(x)."""
    m = draws.machine()
    case = draws.case(m)
    image = m.apply(case.y0, case.z0)
    back = lab.solve(m, case.y0 - image.y, case.z0 - image.z)
    scale = [1 + np.abs(to_host(a)).max(initial=0.0) for a in (case.y0, case.z0, image.y, image.z)]
    whole = 16 * sum(scale) * m.partition.count(m.partition.grid(case.y0.shape))
    return [
        compare("R(x − f(x)) = x on Y", back.y, case.y0, whole, lab.dtype),
        compare("R(x − f(x)) = x on Z", back.z, case.z0, whole, lab.dtype),
    ]


@named("definition-2", "Definition 2")
def _definition_2(lab: Lab, draws: Draws) -> list[Finding]:
    """The stable state belongs to f and x0 alone: sweep, schedule and iteration from any start give the same."""
    m = draws.machine()
    case = draws.case(m, batch=())
    grid = m.partition.grid(case.y0.shape)
    solved = lab.solve(m, case.y0, case.z0)
    biased = case.y0 if m.bias is None else case.y0 + m.bias
    swept = sweep(m.partition, m.weight, m.pointwise, biased, case.z0)
    f, x0 = theory.endofunction(m, grid), theory.pack(case.y0, case.z0)
    steps = m.depth_bound(grid)
    reached = theory.depth_sequence(f, x0, f(lab.array(draws.rng().normal(size=f.dimension))), steps=steps).last
    y, z = theory.unpack(m, reached, grid)
    scale_y, scale_z = case.majorant.solution
    return [
        compare(f"{name} against {how}", a, b, scale, lab.dtype)
        for how, (other_y, other_z) in {"the reference sweep": swept, "iteration": (y, z)}.items()
        for name, a, b, scale in (("y", solved.y, other_y, scale_y), ("z", solved.z, other_z, scale_z))
    ]


@named("equation-1", "eq. (1)")
def _equation_1(lab: Lab, draws: Draws) -> list[Finding]:
    """The stable state solves x = f(x) + x0."""
    m = draws.machine()
    case = draws.case(m)
    left = lab.solve(m, case.y0, case.z0)
    right = m.apply(left.y, left.z)
    scale_y, scale_z = case.majorant.solution
    return [
        compare("x = f(x) + x0 on Y", left.y, right.y + case.y0, scale_y, lab.dtype),
        compare("x = f(x) + x0 on Z", left.z, right.z + case.z0, scale_z, lab.dtype),
    ]


@named("equation-2", "eq. (2)")
def _equation_2(lab: Lab, draws: Draws) -> list[Finding]:
    """R_f = (id − f)⁻¹: on a sum of edges, (id − f) R_f = id = R_f (id − f)."""
    f = draws.graph()
    x = draws.vector(f.dimension)
    solved, other = lab.lifted(f, x)[-1], x - f(x)
    back = lab.lifted(f, other)[-1]
    scale = 4 * (1 + f.dimension) * (1 + np.abs(to_host(other)).max(initial=0.0))
    return [
        compare("(id − f) R_f x = x", solved - f(solved), x, scale, lab.dtype),
        compare("R_f (id − f) x = x", back, x, scale * len(f.sizes), lab.dtype),
    ]


@named("equation-3", "eq. (3)", double=True)
def _equation_3(lab: Lab, draws: Draws) -> list[Finding]:
    """DR_f(x0) = (id − Df(x))⁻¹ at the solution x, as a matrix."""
    m = draws.machine(("dense", "conv"), sizes=draws.sizes(2, 3, 2))
    case = draws.case(m, batch=(), grid=(3,) * m.partition.axes)
    state = lab.solve(m, case.y0, case.z0)
    grid = m.partition.grid(case.y0.shape)
    jacobian = theory.endofunction(m, grid).jacobian(theory.pack(state.y, state.z))
    direction = theory.pack(case.directions["y0"], case.directions["z0"])
    want = np.linalg.solve(np.eye(len(jacobian)) - jacobian, to_host(direction))
    got = theory.pack(*lab.tangent(m, state, case.directions["y0"], case.directions["z0"]))
    size = (
        np.linalg.inv(np.eye(len(jacobian)) - np.abs(jacobian)) @ np.abs(to_host(direction)) if len(jacobian) else want
    )
    return [compare("(id − Df) DR = id", got, want, 4 * np.abs(size) + 1, lab.dtype)]


@named("equation-9", "eq. (9)", double=True)
def _equation_9(lab: Lab, draws: Draws) -> list[Finding]:
    """The cotangent of the parameters is (∂f/∂p)ᵀ λ with λ = (id − Df)⁻ᵀ applied to the seed."""
    m = draws.machine(("dense", "conv"), sizes=draws.sizes(2, 3, 2), bias=True)
    case = draws.case(m, batch=(), grid=(3,) * m.partition.axes)
    state = lab.solve(m, case.y0, case.z0)
    grid = m.partition.grid(case.y0.shape)
    jacobian = theory.endofunction(m, grid).jacobian(theory.pack(state.y, state.z))
    seed = to_host(theory.pack(case.seed_y, case.seed_z))
    multiplier = np.linalg.solve(np.eye(len(jacobian)) - jacobian.T, seed)
    along = m.replace(weight=case.directions["weight"], bias=case.directions["bias"]).apply(state.y, state.z)
    moved = np.concatenate([to_host(along.y).ravel(), np.zeros(seed.size // 2)])
    cotangent = lab.pullback(m, state, case.seed_z, case.seed_y)
    pairs = [(cotangent.weight, m.project(case.directions["weight"])), (cotangent.bias, case.directions["bias"])]
    size = 16.0 * (1 + float(np.abs(multiplier).sum()) * (1 + float(np.abs(moved).max(initial=0.0))))
    return [compare("⟨p̄, ṗ⟩ = ⟨λ, ∂f/∂p ṗ⟩", inner(pairs), float(multiplier @ moved), size, lab.dtype)]


@named("proposition-1", "Proposition 1")
def _proposition_1(lab: Lab, draws: Draws) -> list[Finding]:
    """If f is a machine, id − Df(x) is invertible at every x."""
    m = draws.machine(("dense", "conv"), sizes=draws.sizes(2, 3, 2))
    grid = (3,) * m.partition.axes
    f = theory.endofunction(m, grid)
    jacobian = f.jacobian(draws.vector(f.dimension))
    determinant = float(np.linalg.det(np.eye(f.dimension) - jacobian)) if f.dimension else 1.0
    return [compare("det(id − Df(x)) = 1, as Df(x) is nilpotent", determinant, 1.0, 1.0 + f.dimension**2, lab.dtype)]


@named("proposition-1-converse", "Proposition 1", double=True, host=True)
def _proposition_1_converse(lab: Lab, draws: Draws) -> list[Finding]:
    """If id − f is bijective and id − Df(x) invertible everywhere, f is a machine: the inverse is C¹."""
    factor = draws.integer(1, 9) / 10
    x = float(draws.rng().uniform(-3, 3))

    def inverse(start: complex) -> complex:  # of x ↦ x − a sin x, 0 < a < 1, bijective with slope at least 1 − a
        value = start
        for _ in range(200):
            value = value - (value - factor * np.sin(value) - start) / (1 - factor * np.cos(value))
        return value

    slope = (inverse(x - factor * np.sin(x) + 1e-100j) - x).imag / 1e-100
    want = 1 / (1 - factor * math.cos(x))
    return [compare("derivative of the inverse", float(slope), want, 1e3 / (1 - factor) ** 2, lab.dtype)]


@named("proposition-1-counterexample-cubic", "Proposition 1, counter-example", double=True, host=True)
def _cubic(lab: Lab, draws: Draws) -> list[Finding]:
    """f(x) = x − x³ is no machine: id − f is bijective, and its inverse has no derivative at 0."""
    f = theory.Endofunction(lambda x: x - x**3, 1)
    x = draws.rng().uniform(-2, 2, 1)
    step = 10.0 ** -draws.integer(3, 12)
    quotient = np.cbrt(step) / step
    return [
        compare("the inverse of id − f is the cube root", np.cbrt(x - f(x)), x, 8.0, lab.dtype),
        equal("id − Df(0) is not invertible", float((1 - f.jacobian(np.zeros(1)))[0, 0]), 0.0),
        equal("difference quotients at 0 exceed any bound", bool(quotient >= step**-0.6), True),
    ]


@named("proposition-1-counterexample-identity", "Proposition 1, counter-example", host=True)
def _identity(lab: Lab, draws: Draws) -> list[Finding]:
    """f(x) = x is no machine: id − f = 0 is not bijective, and its depth is infinite."""
    n = draws.integer(1, 4)
    f = theory.Endofunction.linear(np.eye(n))
    x = draws.rng().uniform(-2, 2, n)
    return [
        equal("id − f = 0", float(np.abs(x - f(x)).max()), 0.0),
        equal("depth", theory.depth(f, method="iteration", most=50), float("inf")),
    ]


DEFINITIONS = (
    _definition_1, _definition_2, _equation_1, _equation_2, _equation_3, _equation_9, _proposition_1,
    _proposition_1_converse, _cubic, _identity,
)  # fmt: skip
