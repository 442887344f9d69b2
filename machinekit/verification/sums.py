"""§2: independence, and sums of machines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import theory
from ..arrays import Array, namespace, to_host
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .lab import Lab
from .registry import named

__all__ = ["SUMS", "pair"]


def pair(draws: Draws, mutual: bool = False) -> tuple[theory.Endofunction, theory.Endofunction]:
    """Draw f1, which does not depend on f2: f2 writes only where f1 does not read. Mutual: nor f2 on f1."""
    lab, rng = draws.lab, draws.rng()
    names = ["a", "b", "c", "d"]
    sizes = {name: int(rng.integers(1, 4)) for name in names}

    def edge(source: str, target: str) -> tuple[str, Callable[[Array], Array]]:
        weight = lab.array(rng.uniform(-1.2, 1.2, (sizes[target], sizes[source])))
        shift = lab.array(rng.uniform(0.2, 0.8, sizes[target]))
        return f"{source} -> {target}", lambda x: namespace(x).tanh(weight @ x + shift)

    first = [edge("a", "b"), edge("a", "c")] + ([] if mutual else [edge("b", "c")])
    second = [edge("a", "c"), edge("a", "d")] if mutual else [edge("c", "d"), edge("b", "d"), edge("a", "d")]
    f1, f2 = (
        theory.Endofunction.of_edges(sizes, edges, f"f{k}", lab.array([0])) for k, edges in ((1, first), (2, second))
    )
    draws.log.append(f"f1 {[e for e, _ in first]}, f2 {[e for e, _ in second]} on {sizes}")
    return f1, f2


def _points(draws: Draws, f: theory.Endofunction, count: int = 8) -> list[Array]:
    rng = draws.rng()
    return [draws.lab.array(rng.uniform(-1.5, 1.5, f.dimension)) for _ in range(count)]


@named("definition-4", "Definition 4")
def _definition_4(lab: Lab, draws: Draws) -> list[Finding]:
    """f1 does not depend on f2 iff f1(x1 + λ f2(x2)) = f1(x1): read from structure, and found at points."""
    mutual = draws.flag()
    f1, f2 = pair(draws, mutual)
    points = _points(draws, f1)
    return [
        equal("f1 does not depend on f2", lab.independent(f1, f2, points=points, tolerance=1e-5), True),
        equal("f2 does not depend on f1", lab.independent(f2, f1, points=points, tolerance=1e-5), mutual),
        equal("as the structure says", theory.is_independent(f2, f1, method="structure"), mutual),
    ]


@named("equation-6", "eq. (6)", double=True)
def _equation_6(lab: Lab, draws: Draws) -> list[Finding]:
    """f1 does not depend on f2 iff Df1(x1) f2(x2) = 0 at all pairs of points."""
    f1, f2 = pair(draws)
    points = _points(draws, f1)
    there, back = (theory.is_independent(*p, points=points, method="derivative") for p in ((f1, f2), (f2, f1)))
    return [
        equal("Df1(x1) f2(x2) = 0", there, True),
        equal("Df2(x1) f1(x2) = 0", back, False),
        equal("as by points", lab.independent(f2, f1, points=points), False),
    ]


@named("independence-is-no-product", "after Definition 4", host=True)
def _no_product(lab: Lab, draws: Draws) -> list[Finding]:
    """f1 f2 = 0 is not enough for independence: f1(x) = x − c, f2 = c."""
    c = draws.rng().uniform(1, 3, 1)
    f1, f2 = theory.Endofunction(lambda x: x - c, 1), theory.Endofunction.constant(c)
    x = draws.rng().normal(size=1)
    return [
        equal("f1 f2 = 0", float(f1(f2(x))[0]), 0.0),
        equal("f1 does not depend on f2", lab.independent(f1, f2), False),
    ]


@named("theorem-2-ordered", "Theorem 2")
def _theorem_2_ordered(lab: Lab, draws: Draws) -> list[Finding]:
    """If f1 does not depend on f2, f1 + f2 is a machine and R_{f1+f2} = R_{f2} R_{f1}."""
    f1, f2 = pair(draws)
    x = draws.vector(f1.dimension)
    got = lab.resolvent_of_sum(f1, f2, x, points=_points(draws, f1), tolerance=1e-5)
    return [compare("R_{f1+f2}", got, theory.depth_sequence(f1 + f2, x).last, 16.0 * (1 + f1.dimension), lab.dtype)]


@named("theorem-2-mutual", "Theorem 2")
def _theorem_2_mutual(lab: Lab, draws: Draws) -> list[Finding]:
    """If neither depends on the other, R_{f1+f2} = R_{f1} + R_{f2} − id."""
    f1, f2 = pair(draws, mutual=True)
    x = draws.vector(f1.dimension)
    got = lab.resolvent_of_sum(f1, f2, x, points=_points(draws, f1), tolerance=1e-5)
    return [compare("R_{f1+f2}", got, theory.depth_sequence(f1 + f2, x).last, 16.0 * (1 + f1.dimension), lab.dtype)]


@named("equation-7", "eq. (7)")
def _equation_7(lab: Lab, draws: Draws) -> list[Finding]:
    """The order matters: R_{f1} R_{f2} differs from R_{f2} R_{f1} = R_{f1+f2} where only f1 is independent."""
    f1, f2 = pair(draws)
    x = draws.vector(f1.dimension)
    first = lab.lifted(f2, lab.lifted(f1, x)[-1])[-1]
    swapped = lab.lifted(f1, lab.lifted(f2, x)[-1])[-1]
    whole = theory.resolvent(f1 + f2, x)
    scale = 16.0 * (1 + f1.dimension)
    return [
        compare("R_{f2} R_{f1} = R_{f1+f2}", first, whole, scale, lab.dtype),
        equal("R_{f1} R_{f2} differs", compare("", swapped, whole, scale, lab.dtype).ok, False),
    ]


@named("equation-8", "eq. (8)")
def _equation_8(lab: Lab, draws: Draws) -> list[Finding]:
    """Of machines that do not depend on each other either may run first: R_{f1} R_{f2} = R_{f2} R_{f1}."""
    f1, f2 = pair(draws, mutual=True)
    x = draws.vector(f1.dimension)
    one, other = (lab.lifted(b, lab.lifted(a, x)[-1])[-1] for a, b in ((f1, f2), (f2, f1)))
    return [compare("R_{f1} R_{f2} = R_{f2} R_{f1}", one, other, 16.0 * (1 + f1.dimension), lab.dtype)]


@named("depth-of-sums", "Theorem 2")
def _depth_of_sums(lab: Lab, draws: Draws) -> list[Finding]:
    """The depth of f1 + f2 is at most d1 + d2, and max(d1, d2) if neither depends on the other."""
    mutual = draws.flag()
    f1, f2 = pair(draws, mutual)
    d1, d2, both = (lab.structural_depth(f) for f in (f1, f2, f1 + f2))
    return [
        equal("depth ≤ the bound", both <= (max(d1, d2) if mutual else d1 + d2), True),
        equal("as found by iteration", lab.numeric_depth(f1 + f2), both),
    ]


@named("independence-vector-space", "after Definition 4", double=True)
def _vector_space(lab: Lab, draws: Draws) -> list[Finding]:
    """The maps that do not depend on f2 are a vector space, and so are the maps on which f1 does not depend."""
    rng = draws.rng()
    f1, f2 = pair(draws)
    g1 = theory.Endofunction.of_edges(f1.sizes, [(e.name, e.function) for e in (f1.edges or ())[:1]])
    g2 = theory.Endofunction.of_edges(f1.sizes, [(e.name, e.function) for e in (f2.edges or ())[-1:]])
    a, b = (float(v) for v in rng.uniform(-2, 2, 2))

    def mixed(p: theory.Endofunction, q: theory.Endofunction) -> theory.Endofunction:
        return theory.Endofunction(lambda x: a * p(x) + b * q(x), f1.sizes)

    points = _points(draws, f1)
    return [
        equal("a f1 + b g1 does not depend on f2", lab.independent(mixed(f1, g1), f2, points=points), True),
        equal("f1 does not depend on a f2 + b g2", lab.independent(f1, mixed(f2, g2), points=points), True),
    ]


@named("self-independence", "after Definition 4", host=True)
def _self_independence(lab: Lab, draws: Draws) -> list[Finding]:
    """f does not depend on itself iff its depth is at most 1, and then R_f = id + f."""
    n = draws.integer(1, 3)
    w = draws.rng().uniform(-1, 1, (n, n))
    f = theory.Endofunction.of_edges({"a": n, "b": n}, {"a -> b": lambda a: np.tanh(w @ a)})
    x = draws.vector(2 * n)
    longer = theory.shortcut_graph(3)
    return [
        equal("f does not depend on itself", lab.independent(f, f), True),
        equal("depth", lab.numeric_depth(f), 1),
        compare(
            "R_f = id + f", theory.resolvent(f, x), x + f(x), 8.0, "float64" if lab.dtype == "float64" else lab.dtype
        ),
        equal("depth 2 depends on itself", lab.independent(longer, longer), False),
    ]


@named("lifted-sequence", "after Theorem 2")
def _lifted_sequence(lab: Lab, draws: Draws) -> list[Finding]:
    """h_{i+1} = h_i + f_{i+1} h_i: the edges, one step after the other in any valid order, give the resolvent."""
    f = draws.graph()
    x = draws.vector(f.dimension)
    order = [(name,) for group in theory.levels(f, draws.choice(("earliest", "latest"))) for name in group]
    whole = theory.depth_sequence(f, x).last
    scale = 8.0 * (1 + f.dimension)
    return [
        compare("one edge at a time", lab.lifted(f, x, order)[-1], whole, scale, lab.dtype),
        compare("by levels", lab.lifted(f, x)[-1], whole, scale, lab.dtype),
        equal("steps", len(lab.lifted(f, x)) - 1, len(theory.levels(f)) if f.edges else 0),
        equal("solution is finite", bool(np.isfinite(to_host(whole)).all()), True),
    ]


SUMS = (
    _definition_4, _equation_6, _no_product, _theorem_2_ordered, _theorem_2_mutual, _equation_7, _equation_8,
    _depth_of_sums, _vector_space, _self_independence, _lifted_sequence,
)  # fmt: skip
