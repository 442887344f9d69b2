"""§2: depth, cofiltrations, and the sequences that reach the resolvent."""

from __future__ import annotations

import numpy as np

from .. import theory
from ..arrays import Array, to_host
from ..machines import Machine
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .lab import Lab
from .registry import named

__all__ = ["DEPTH"]


def _small(draws: Draws, **options: object) -> tuple[Machine, tuple[int, ...], theory.Endofunction]:
    """Draw a machine with few dimensions, a grid, and its endofunction."""
    m = draws.machine(("dense", "conv", "recurrent"), sizes=draws.sizes(2, 3, 2), **options)  # type: ignore[arg-type]
    grid = (draws.integer(1, 3),) * m.partition.axes
    return m, grid, theory.endofunction(m, grid)


def _points(draws: Draws, f: theory.Endofunction, count: int) -> list[Array]:
    rng = draws.rng()
    return [draws.lab.array(rng.uniform(-1, 1, f.dimension)) for _ in range(count)]


@named("definition-3", "Definition 3")
def _definition_3(lab: Lab, draws: Draws) -> list[Finding]:
    """The index sets of a machine are a depth cofiltration: Im f ⊆ V_0, and f lowers to X/V_{i−1} → X/V_i."""
    m, grid, f = _small(draws)
    return theory.check_cofiltration(f, theory.flag(m, grid), _points(draws, f, 3))


@named("remark-1", "Remark 1", host=True)
def _remark_1(lab: Lab, draws: Draws) -> list[Finding]:
    """Every depth cofiltration may be tightened: the least one lies inside it and is no longer."""
    f, points = draws.polynomial(), []
    rng = draws.rng()
    for _ in range(f.dimension + 3):
        points.append(rng.integers(-3, 4, f.dimension).astype(object))
    level = theory.space_levels(f)
    places = {k: [n for name, at in f.spaces.items() if level[name] == k for n in range(f.dimension)[at]]
              for k in range(max(level.values()) + 1)}  # fmt: skip
    given = theory.Cofiltration.of_index_sets([np.asarray(p) for p in places.values()], f.dimension)
    least = theory.tighten(f, points)
    inside = [theory.contains(a, b) for a, b in zip(given.bases, least.bases, strict=False)]
    return [
        *theory.check_cofiltration(f, given, points[:3]),
        *theory.check_cofiltration(f, least, points[:3]),
        equal("it is no longer", least.length <= given.length, True),
        equal("each V_i lies inside the given one, exactly", max(inside, default=0.0), 0.0),
    ]


@named("proposition-3", "Proposition 3", double=True)
def _proposition_3(lab: Lab, draws: Draws) -> list[Finding]:
    """The annihilators of a cofiltration of f, in reverse order, are one of the transposed derivative Df(x)ᵀ."""
    m, grid, f = _small(draws)
    flag = theory.flag(m, grid)
    dual = lab.dual_flag(flag)
    transposed = theory.Endofunction.linear(f.jacobian(_points(draws, f, 1)[0]).T)
    points = [draws.rng().normal(size=f.dimension) for _ in range(3)]
    return [equal("length", dual.length, flag.length), *theory.check_cofiltration(transposed, dual, points)]


@named("proposition-3-exception", "Proposition 3, exception", host=True)
def _proposition_3_exception(lab: Lab, draws: Draws) -> list[Finding]:
    """A flag for all derivatives need not be one for f: a constant c ≠ 0 has depth 1, its derivative depth 0."""
    n = draws.integer(1, 4)
    c = draws.rng().uniform(0.5, 2, n)
    f = theory.Endofunction.constant(c)
    zero = theory.Cofiltration([np.zeros((n, 0))])
    derivative = theory.check_cofiltration(f, zero, [c], by="derivative")
    itself = theory.check_cofiltration(f, zero, [c])
    return [
        equal("V_0 = 0 serves the derivative", all(found.ok for found in derivative), True),
        equal("V_0 = 0 does not serve f", all(found.ok for found in itself), False),
        equal("depth of f", lab.numeric_depth(f), 1),
    ]


@named("proposition-4", "Proposition 4")
def _proposition_4(lab: Lab, draws: Draws) -> list[Finding]:
    """From any start g + φ, φ ∈ V_0, the d-th value is the solution, bitwise the same for all φ."""
    m, grid, f = _small(draws)
    g, *others = _points(draws, f, 4)
    steps = m.depth_bound(grid)
    ends = [theory.depth_sequence(f, g, k * f(x), steps=steps).last for k, x in enumerate(others)]
    same = all(bool((to_host(a) == to_host(ends[0])).all()) for a in ends[1:])
    solved = lab.solve(m, *theory.unpack(m, g, grid))
    return [
        equal("bitwise the same for all φ", same, True),
        compare("it is the solution", ends[0], theory.pack(solved.y, solved.z), 16.0 * (1 + steps), lab.dtype),
    ]


@named("proposition-5", "Proposition 5", double=True)
def _proposition_5(lab: Lab, draws: Draws) -> list[Finding]:
    """f lowers to X/U → X/V iff Df(x) U ⊆ V for all x: differences and derivative agree, on flags and off them."""
    m, grid, f = _small(draws)
    points = _points(draws, f, 4)
    flag = theory.flag(m, grid)
    i, j = draws.integer(0, flag.length), draws.integer(0, flag.length)
    verdicts = [
        theory.lowers(f, flag.bases[i], flag.bases[j], points, by=by).ok for by in ("differences", "derivative")
    ]
    return [equal(f"f lowers from V_{i} to V_{j}: by differences, by derivative", verdicts[0], verdicts[1])]


@named("theorem-1", "Theorem 1")
def _theorem_1(lab: Lab, draws: Draws) -> list[Finding]:
    """A map of finite depth d is a machine, and its resolvent is reached in d steps."""
    f = draws.graph()
    x = draws.vector(f.dimension)
    d = int(lab.structural_depth(f))
    reached = theory.depth_sequence(f, x, steps=d).last
    return [
        compare("h_d = R_f(x0)", reached, lab.lifted(f, x)[-1], 8.0 * (1 + f.dimension), lab.dtype),
        equal("x = f(x) + x0 at h_d, bitwise", bool((to_host(x + f(reached)) == to_host(reached)).all()), True),
    ]


@named("equation-4", "eq. (4)")
def _equation_4(lab: Lab, draws: Draws) -> list[Finding]:
    """The tower commutes: modulo V_i, f(x) is a function of x modulo V_{i−1}."""
    m, grid, f = _small(draws)
    flag = theory.flag(m, grid)
    x, other = _points(draws, f, 2)
    findings = [equal("length of the flag", flag.length, m.depth_bound(grid))]
    for i in range(1, flag.length + 1):
        inside = flag.bases[i - 1] @ (flag.bases[i - 1].T @ to_host(other))
        moved = to_host(f(x + lab.array(inside)) - f(x))
        outside = moved - flag.bases[i] @ (flag.bases[i].T @ moved)
        findings.append(equal(f"π_{i} f does not see V_{i - 1}", float(np.abs(outside).max(initial=0.0)), 0.0))
    return findings


@named("equation-5", "eq. (5)")
def _equation_5(lab: Lab, draws: Draws) -> list[Finding]:
    """h_{i+1} = g + f h_i agrees with the solution modulo V_i: each step settles one more quotient."""
    m, grid, f = _small(draws)
    flag = theory.flag(m, grid)
    g, x = _points(draws, f, 2)
    values = theory.depth_sequence(f, g, f(x), steps=flag.length).values
    findings = []
    for i, h in enumerate(values):
        gap = to_host(h) - to_host(values[-1])
        unsettled = gap - flag.bases[i] @ (flag.bases[i].T @ gap)
        findings.append(equal(f"h_{i} modulo V_{i}", float(np.abs(unsettled).max(initial=0.0)), 0.0))
    return findings


@named("transient", "§2, Theorem 1")
def _transient(lab: Lab, draws: Draws) -> list[Finding]:
    """The error may grow before it vanishes: after d steps it is 0, and with edges of gain 3 it has grown."""
    n = draws.integer(3, 6)
    f = theory.shortcut_graph(n, lambda i, j: lambda x: 3.0 * x)
    x0 = lab.array(np.ones(n))
    beside = theory.resolvent(f, x0) - x0 + lab.array(np.eye(n)[1])
    profile = theory.transient_profile(f, x0, beside)
    return [
        equal("error after n − 1 steps", profile[n - 1], 0.0),
        equal("it has grown first", max(profile) > profile[0], True),
    ]


DEPTH = (
    _definition_3, _remark_1, _proposition_3, _proposition_3_exception, _theorem_1, _equation_4, _equation_5,
    _proposition_4, _proposition_5, _transient,
)  # fmt: skip
