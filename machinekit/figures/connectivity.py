"""Figure 1: the shortcut graph, solved by lifts that evaluate each edge once, and by evaluating f anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..arrays import NUMPY, Array, Backend, to_host
from ..theory import DepthSequence, Endofunction, lifted_depth_sequence, shortcut_graph
from .canvas import INK, INPUT, arc, blank, step_colors

__all__ = ["ROWS", "Connectivity", "connectivity", "draw_connectivity", "formulas"]

ROWS: Mapping[str, str] = MappingProxyType(
    {"source": "each once", "changed": "only those whose input changed", "full": "all at every step"}
)
"""The strategies of `theory.lifted_depth_sequence` that are compared, and which edges they evaluate."""

_NODE, _HEAD, _WIDEST = 0.18, 0.11, 0.2


@dataclass(frozen=True)
class Connectivity:
    """The numbers behind figure 1.

    Attributes
    ----------
    nodes : int
    f : Endofunction
        With spaces x0, x1, … of one dimension.
    x0 : vector
        The input.
    sequences : mapping of strategy to DepthSequence
        For the strategies in `ROWS`.
    """

    nodes: int
    f: Endofunction
    x0: Array
    sequences: Mapping[str, DepthSequence]

    def evaluations(self, strategy: str) -> int:
        """Return the edge evaluations of all steps together."""
        return self.sequences[strategy].edge_evaluations

    def edge_steps(self, strategy: str) -> dict[tuple[int, int], tuple[int, ...]]:
        """Return for each edge (source, target) the steps, from 1, at which it is evaluated."""
        index = {name: k for k, name in enumerate(self.f.sizes)}
        counts = self.sequences[strategy].evaluations
        return {
            (index[e.sources[0]], index[e.targets[0]]): tuple(k for k, c in enumerate(counts, 1) if c[e.name])
            for e in self.f.edges or ()
        }

    def bars(self, strategy: str) -> np.ndarray:
        """Return the input and the increment of each step, shape (1 + steps, nodes); columns sum to the solution."""
        sequence = self.sequences[strategy]
        return np.stack([to_host(sequence.values[0]), *(to_host(v) for v in sequence.increments)])


def connectivity(nodes: int = 5, rng: np.random.Generator | int = 0, backend: Backend = NUMPY) -> Connectivity:
    """Solve the shortcut graph of `nodes` nodes in each way.

    Edges multiply by positive numbers and the input is positive, so that increments are too and can be stacked.
    The numbers into a node are divided by how many they are, so that bars stay of comparable height.

    Raises
    ------
    ValueError
        If `nodes` is less than 1.
    """
    rng = np.random.default_rng(rng)

    def scale(_: int, target: int) -> Any:
        factor = float(rng.uniform(0.5, 1.5)) / target
        return lambda x: factor * x

    f = shortcut_graph(nodes, scale)
    x0 = backend.from_host(rng.uniform(0.5, 1.0, size=nodes))
    sequences = {strategy: lifted_depth_sequence(f, x0, strategy) for strategy in ROWS}
    return Connectivity(nodes, f, x0, MappingProxyType(sequences))


def formulas(nodes: int) -> dict[str, int]:
    """Return for each strategy the number of edge evaluations on n nodes.

    Examples
    --------
    >>> from machinekit.figures import formulas
    >>> formulas(5)
    {'source': 10, 'changed': 20, 'full': 40}
    """
    n = nodes
    return {"source": n * (n - 1) // 2, "changed": n * (n + 1) * (n - 1) // 6, "full": n * (n - 1) ** 2 // 2}


def draw_connectivity(numbers: Connectivity) -> Any:
    """Return figure 1: for the lifted and the plain sequence, edges as wide as often evaluated, and stacked bars."""
    from matplotlib.patches import Patch

    n, colors = numbers.nodes, step_colors(numbers.nodes - 1)
    width = 11.5 + 0.85 * max(n - 5, 0)
    figure = blank(width, 0.62 * width)
    grid = figure.subplots(2, 2, width_ratios=(1.35, 1), gridspec_kw={"wspace": 0.06, "hspace": 0.08})
    rows = (("source", "Lifted, each edge once"), ("changed", "Plain, an edge again when its input changed"))
    top = 1.14 * max(numbers.bars(s).sum(axis=0).max() for s, _ in rows)
    for (graph, stack), (strategy, title) in zip(grid, rows, strict=True):
        _draw_graph(graph, numbers, strategy, colors)
        _draw_stack(stack, numbers, strategy, colors, top)
        graph.set_title(f"{title}; evaluations: {numbers.evaluations(strategy)}", loc="left", color=INK)
        stack.set_title("Input and increments, node by node", loc="left", color=INK)
    counts = " / ".join(str(numbers.evaluations(s)) for s in ROWS)
    figure.suptitle(f"{n} nodes, {counts} edge evaluations: {' / '.join(ROWS.values())}", color=INK, fontsize=13)
    keys = [Patch(color=INPUT, label="input"), *(Patch(color=c, label=f"step {k}") for k, c in enumerate(colors, 1))]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False, labelcolor=INK)
    return figure


def _draw_graph(axes: Any, numbers: Connectivity, strategy: str, colors: tuple[Any, ...]) -> None:
    from matplotlib.patches import Circle, Polygon

    n = numbers.nodes
    stripe, line = _WIDEST / max(n - 1, 4), min(0.4, 10 / n**2)
    for (i, j), steps in sorted(numbers.edge_steps(strategy).items(), key=lambda item: item[0][0] - item[0][1]):
        bend, side = _bend(j - i, n)  # the longest first, underneath
        half = stripe * len(steps) / 2
        place = np.array([1.0, side]), np.array([i, 0.0])
        for k, step in enumerate(steps):
            strip = arc(j - i, bend, half - stripe * (k + 1), half - stripe * k, _NODE + _HEAD) * place[0] + place[1]
            axes.add_patch(Polygon(strip, facecolor=colors[step - 1], edgecolor="white", lw=line))
        tip, base = (arc(j - i, bend, 0, 0, trim)[59] for trim in (_NODE, _NODE + _HEAD))
        across = np.array([base[1] - tip[1], tip[0] - base[0]]) / _HEAD * (half + 0.035)
        head = np.stack([tip, base + across, base - across]) * place[0] + place[1]
        axes.add_patch(Polygon(head, facecolor=colors[steps[-1] - 1], edgecolor="white", lw=line))
    for k in range(n):
        axes.add_patch(Circle((k, 0), _NODE, facecolor="white", edgecolor=INK, lw=1.3, zorder=3))
        size = 13 if n < 10 else 10
        axes.text(k, -0.01, f"$x_{{{k}}}$", ha="center", va="center", color=INK, zorder=4, fontsize=size)
    low, high = _reach(n)
    spare = max(4.6 - n, 0) / 2
    axes.update_datalim([(-0.3 - spare, low), (n - 0.7 + spare, high)])
    axes.margins(0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.axis("off")


def _bend(length: int, nodes: int) -> tuple[float, float]:
    """Return the angle of an edge over so many nodes at its ends, and the side: 1 above the nodes, -1 below."""
    if length == 1:
        return 0.0, 1.0
    most = 42 + 110 / nodes
    return math.radians(44 + (most - 44) * (length - 2) / max(nodes - 3, 1)), 1.0 if length % 2 == 0 else -1.0


def _reach(nodes: int) -> tuple[float, float]:
    """Return how far down and up the graph goes."""
    ends = [0.0]
    for length in range(2, nodes):
        bend, side = _bend(length, nodes)
        ends.append(side * length / 2 * math.tan(bend / 2))
    return min(min(ends) - 0.14, -0.25), max(max(ends) + 0.14, 0.25)


def _draw_stack(axes: Any, numbers: Connectivity, strategy: str, colors: tuple[Any, ...], top: float) -> None:
    values, at = numbers.bars(strategy), np.arange(numbers.nodes)
    below = np.concat([np.zeros((1, numbers.nodes)), np.cumsum(values, axis=0)])
    for height, start, color in zip(values, below, (INPUT, *colors), strict=False):
        axes.bar(at, height, bottom=start, width=0.62, color=color, edgecolor="white", lw=0.6)
    for k, height in enumerate(below[-1]):
        axes.plot([k - 0.36, k + 0.36], [height] * 2, color=INK, lw=1.6, solid_capstyle="butt")
        axes.annotate(f"{height:.3f}", (k, height), (0, 4), textcoords="offset points", ha="center", color=INK)
    axes.set_xticks(at, [f"$x_{{{k}}}$" for k in at], fontsize=13)
    axes.set(xlim=(-0.6, numbers.nodes - 0.4), ylim=(0, top))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
