"""What must hold before the figures mean anything, one line each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import NUMPY, Array, Backend, to_host
from ..theory import depth, depth_sequence, is_schedule, levels, lifted_depth_sequence, resolvent
from .connectivity import ROWS, Connectivity, formulas
from .hypergraph import FIGURE_TWO, PAPER_GROUPING, figure_two_graph, grouping

__all__ = ["TOLERANCE", "Check", "check_connectivity", "check_hypergraph"]

TOLERANCE = 1e-12
"""The largest difference, in units of the largest value."""

_FORMULAS = {"source": "n(n−1)/2", "changed": "n(n+1)(n−1)/6", "full": "n(n−1)²/2"}


@dataclass(frozen=True)
class Check:
    """A statement with its numbers, and whether it held."""

    text: str
    held: bool


def _difference(a: Array, b: Array) -> float:
    a, b = to_host(a), to_host(b)
    return float(abs(a - b).max() / max(1.0, float(abs(b).max())))


def check_connectivity(numbers: Connectivity) -> list[Check]:
    """Check figure 1: the counts against the formulas, and both stacks against the solution."""
    expected, n = formulas(numbers.nodes), numbers.nodes
    checks = []
    for strategy, words in ROWS.items():
        count = numbers.evaluations(strategy)
        text = f"{n} nodes, edge evaluations, {words}: {count}; {_FORMULAS[strategy]} = {expected[strategy]}"
        checks.append(Check(text, count == expected[strategy]))
    lifted, plain = (numbers.bars(strategy).sum(axis=0) for strategy in ("source", "changed"))
    solution = depth_sequence(numbers.f, numbers.x0).last
    worst = max(_difference(lifted, plain), _difference(lifted, solution))
    return [*checks, Check(f"both stacks sum to the solution: largest difference {worst:.1e}", worst <= TOLERANCE)]


def check_hypergraph(rng: int = 0, backend: Backend = NUMPY) -> list[Check]:
    """Check figure 2: the eight formulas, the depth, the paper's grouping, and that a cycle is refused."""
    f = figure_two_graph(rng, backend=backend)
    x0 = backend.from_host(np.random.default_rng(rng).normal(size=f.dimension))
    x = resolvent(f, x0)
    worst = _difference(x, f(x) + x0)
    longest, needed = len(levels(f)), depth(figure_two_graph(rng), method="iteration")
    sizes = ", ".join(map(str, f.sizes.values()))
    groups = grouping(PAPER_GROUPING)
    words = ", ".join("{" + ", ".join(group) + "}" for group in PAPER_GROUPING)
    held = is_schedule(f, groups)
    apart = _difference(lifted_depth_sequence(f, x0, schedule=groups).last, x) if held else float("inf")
    return [
        Check(f"the formulas of 8 spaces of dimensions {sizes}: largest difference {worst:.1e}", worst <= TOLERANCE),
        Check(f"{len(FIGURE_TWO)} edges in {longest} levels; f needs {needed:g} steps", longest == needed == 4),
        Check(f"{words} is a schedule: largest difference {apart:.1e}", held and apart <= TOLERANCE),
        _check_cycle(rng),
    ]


def _check_cycle(rng: int) -> Check:
    try:
        levels(figure_two_graph(rng, extra=("x8 -> x3",)))
    except ValueError as error:
        return Check(f"with x8 -> x3 as well it is refused: {str(error).partition(';')[0]}", True)
    return Check("with x8 -> x3 as well it is not refused", False)
