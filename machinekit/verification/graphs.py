"""Figures 1 and 2, directed acyclic graphs, and the counter-example of the slides."""

from __future__ import annotations

import numpy as np

from .. import theory
from ..arrays import namespace, to_host
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .lab import Lab
from .registry import named

__all__ = ["GRAPHS", "figure_two"]

_FIGURE_TWO = ("x1 x2 -> x3", "x1 -> x5", "x3 -> x4", "x4 -> x5 x6 x7", "x6 -> x8")


def figure_two(draws: Draws) -> theory.Endofunction:
    """Draw the hypergraph of figure 2 with nonlinear edges, on spaces of unequal sizes."""
    rng = draws.rng()
    sizes = {f"x{k}": int(rng.integers(1, 4)) for k in range(1, 9)}
    edges = []
    for signature in _FIGURE_TWO:
        left, _, right = signature.partition("->")
        reads, writes = ([sizes[s] for s in side.split()] for side in (left, right))
        edges.append((signature, draws.edge(reads, writes, rng)))
    return theory.Endofunction.of_edges(sizes, edges, "figure 2", draws.lab.array([0]))


@named("figure-1", "figure 1")
def _figure_1(lab: Lab, draws: Draws) -> list[Finding]:
    """All shortcuts among n nodes: n(n−1)/2 edge evaluations, each edge once, n(n−1)²/2 if f is evaluated anew."""
    n = draws.integer(1, 9)
    f = theory.shortcut_graph(n, rng=draws.rng())
    x = lab.array(np.ones(n))
    sequences = {s: theory.lifted_depth_sequence(f, x, s) for s in theory.STRATEGIES}
    count = {s: q.edge_evaluations for s, q in sequences.items()}
    sums = {s: sum(map(to_host, q.increments), to_host(q.values[0])) for s, q in sequences.items()}
    largest = float(np.abs(sums["full"]).max())
    return [
        equal("each edge once", (count["source"], count["target"]), (n * (n - 1) // 2,) * 2),
        equal("f evaluated n − 1 times", count["full"], n * (n - 1) ** 2 // 2),
        equal("edges whose input changed", count["changed"], n * (n + 1) * (n - 1) // 6),
        *(
            compare(f"the bars of {s} sum to those of full", sums[s], sums["full"], largest * n, lab.dtype)
            for s in sums
        ),
    ]


@named("figure-2", "figure 2")
def _figure_2(lab: Lab, draws: Draws) -> list[Finding]:
    """The hypergraph of figure 2 solves its eight formulas, each space with its own input, in any valid grouping."""
    f = figure_two(draws)
    x0 = draws.vector(f.dimension)
    grouping = [_FIGURE_TWO[:1], _FIGURE_TWO[1:3], _FIGURE_TWO[3:4], _FIGURE_TWO[4:]]
    start = f.split(x0)
    f1, f2, f3, f4, f5 = (e.function for e in f.edges or ())
    x = dict(start)
    x["x3"] = start["x3"] + f1(x["x1"], x["x2"])[0]
    x["x4"] = start["x4"] + f3(x["x3"])[0]
    fives, sixes, sevens = f4(x["x4"])
    x["x5"] = start["x5"] + f2(x["x1"])[0] + fives
    x["x6"], x["x7"] = start["x6"] + sixes, start["x7"] + sevens
    x["x8"] = start["x8"] + f5(x["x6"])[0]
    want = f.join(x)
    return [
        compare("the earliest levels", lab.lifted(f, x0)[-1], want, 16.0, lab.dtype),
        compare("the paper's grouping", lab.lifted(f, x0, grouping)[-1], want, 16.0, lab.dtype),
        compare("iteration", theory.depth_sequence(f, x0).last, want, 16.0, lab.dtype),
    ]


@named("figure-2-depth", "figure 2")
def _figure_2_depth(lab: Lab, draws: Draws) -> list[Finding]:
    """The hypergraph of figure 2 has depth 4, though it has five edges."""
    f = figure_two(draws)
    return [
        equal("depth from structure", lab.structural_depth(f), 4),
        equal("depth from iteration", lab.numeric_depth(f), 4),
    ]


@named("directed-graph-gradient", "Fleuret, EE-559 §4.1", double=True)
def _graph_gradient(lab: Lab, draws: Draws) -> list[Finding]:
    """The gradient of a loss of a directed acyclic graph is Jᵀ times the gradient at its output."""
    f = draws.graph()
    x = draws.vector(f.dimension)
    seed, direction = (draws.rng().normal(size=f.dimension) for _ in range(2))
    xp = namespace(x)
    solution = to_host(x + 1e-100j * lab.array(direction))
    moved = lab.lifted(f, lab.backend.from_host(solution))[-1]
    want = float(to_host(xp.imag(moved)) @ seed) / 1e-100
    columns = [to_host(xp.imag(lab.lifted(f, x + 1e-100j * lab.array(e))[-1])) / 1e-100 for e in np.eye(f.dimension)]
    gradient = lab.chain_gradient(np.stack(columns, axis=1), seed)
    scale = 16.0 * (1 + float(np.abs(gradient).sum()))
    return [compare("⟨gradient, direction⟩", float(gradient @ direction), want, scale, lab.dtype)]


@named("slides-counterexample", "slides, independence in R⁴", double=True, host=True)
def _slides(lab: Lab, draws: Draws) -> list[Finding]:
    """f1(x + λ f2(x)) = f1(x) at all x is not independence: in R⁴, lines that do not meet carry both maps."""

    def a(p: np.ndarray) -> np.ndarray:
        return (p[0] + p[2] * p[1]) / (1 + p[2] ** 2)

    def b(p: np.ndarray) -> np.ndarray:
        return (p[1] - p[2] * p[0]) / (1 + p[2] ** 2)

    f2 = theory.Endofunction(lambda p: np.stack([-b(p), a(p), 1 + 0 * p[0], 0 * p[0]]), 4)
    f1 = theory.Endofunction(lambda p: np.stack([0 * p[0], 0 * p[0], 0 * p[0], a(p)]), 4)
    rng = draws.rng()
    x, other = rng.uniform(-2, 2, 4), rng.uniform(-2, 2, 4)
    factor = float(rng.uniform(-2, 2))
    size = 1e3 * (1 + float(np.abs(x).sum()))
    stable = x + f2(x)
    return [
        compare("f1(x + λ f2(x)) = f1(x)", f1(x + factor * f2(x)), f1(x), size, lab.dtype),
        compare("x + f2(x) is the stable state of f2", stable, x + f2(stable), size, lab.dtype),
        equal("f1 does not depend on f2", lab.independent(f1, f2, points=[x, other]), False),
    ]


GRAPHS = (_figure_1, _figure_2, _figure_2_depth, _graph_gradient, _slides)
