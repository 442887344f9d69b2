"""A hypergraph drawn by its levels: spaces as circles, edges as boxes, a column per step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..graph import Hypergraph
from ..graph.order import edge_levels, space_levels
from .canvas import INK, INPUT, blank, step_colors

__all__ = ["draw_network", "network_positions"]

Point = tuple[float, float]


def network_positions(net: Hypergraph) -> dict[str, Point]:
    """Return where spaces, ``"space a"``, and edges, ``"edge f"``, stand.

    An edge of step k stands at 2k − 1, a space at twice its level; in a column, things are ordered by the
    mean height of what they are joined to on the left, ties as declared, and are one apart.
    """
    of_space, of_edge = space_levels(net.spaces, net.edges), edge_levels(net.spaces, net.edges)
    columns: dict[int, list[str]] = {}
    for name, level in of_space.items():
        columns.setdefault(2 * level, []).append(f"space {name}")
    for name, level in of_edge.items():
        columns.setdefault(2 * level - 1, []).append(f"edge {name}")
    before: dict[str, list[str]] = {f"edge {e.name}": [f"space {s}" for s in e.sources] for e in net.edges}
    for edge in net.edges:
        for target in edge.targets:
            before.setdefault(f"space {target}", []).append(f"edge {edge.name}")
    at: dict[str, Point] = {}
    for column in sorted(columns):
        names = sorted(columns[column], key=lambda name: -_mean([at[b][1] for b in before.get(name, ()) if b in at]))
        for k, name in enumerate(names):
            at[name] = (float(column), (len(names) - 1) / 2 - k)
    return at


def _mean(heights: list[float]) -> float:
    return sum(heights) / len(heights) if heights else 0.0


def draw_network(net: Hypergraph, title: str = "") -> Any:
    """Return a figure of a network.

    Parameters
    ----------
    net : Hypergraph
    title : str
        By default counts and depth.

    Returns
    -------
    matplotlib.figure.Figure
        To be saved with ``figure.savefig(path)``. Edges that share parameters have one frame colour.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    at = network_positions(net)
    heights = [y for _, y in at.values()]
    wide, high = 2 * net.depth + 1, max(heights) - min(heights) + 1
    figure = blank(min(1.4 + 0.95 * wide, 22.0), min(1.4 + 0.8 * high, 16.0))
    axes = figure.subplots()
    colors = step_colors(net.depth)
    for step, color in enumerate(colors, 1):
        axes.axvspan(2 * step - 1.5, 2 * step - 0.5, color=color, alpha=0.1, lw=0)
        axes.text(2 * step - 1, max(heights) + 0.62, f"step {step}", ha="center", va="center", color=color, fontsize=10)
    color_of = {name: color for group, color in zip(net.levels, colors, strict=True) for name in group}
    for edge in net.edges:
        here = at[f"edge {edge.name}"]
        for source in edge.sources:
            _arrow(axes, at[f"space {source}"], here, color_of[edge.name], "-")
        for target in edge.targets:
            _arrow(axes, here, at[f"space {target}"], color_of[edge.name], "-|>")
    for edge in net.edges:
        _box(axes, at[f"edge {edge.name}"], edge.name, type(edge.op).__name__, color_of[edge.name], _shared(net, edge))
    for name, shape in net.spaces.items():
        words = "×".join(map(str, shape)) or "scalar"
        _circle(axes, at[f"space {name}"], name, words, filled=name in net.inputs)
    axes.set(xlim=(-0.7, 2 * net.depth + 0.7), ylim=(min(heights) - 0.8, max(heights) + 0.9))
    axes.axis("off")
    spaces, edges = len(net.spaces), len(net.edges)
    figure.suptitle(title or f"{spaces} spaces, {edges} edges, depth {net.depth}", color=INK, fontsize=12)
    return figure


def _shared(net: Hypergraph, edge: Any) -> str:
    """Return the first edge whose parameters this one uses, "" if it has its own."""
    first: Mapping[str, str] = net.sharing.first
    others = {first[n].partition(".")[0] for n in first if n.partition(".")[0] == edge.name} - {edge.name}
    return ", ".join(sorted(others))


def _arrow(axes: Any, start: Point, end: Point, color: Any, style: str) -> None:
    from matplotlib.patches import FancyArrowPatch

    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle=style, mutation_scale=11, shrinkA=14, shrinkB=14, color=color, lw=1.4,
            connectionstyle="arc3,rad=0.06", zorder=1,
        )
    )  # fmt: skip


def _box(axes: Any, at: Point, name: str, kind: str, color: Any, shared: str) -> None:
    words = f"{name}\n{kind}" + (f"\n= {shared}" if shared else "")
    axes.text(
        *at, words, ha="center", va="center", fontsize=8, color="white", zorder=3,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": color, "edgecolor": INK if shared else color, "lw": 1.5},
    )  # fmt: skip


def _circle(axes: Any, at: Point, name: str, words: str, filled: bool) -> None:
    axes.text(
        *at, f"{name}\n{words}", ha="center", va="center", fontsize=8, color=INK, zorder=3,
        bbox={"boxstyle": "circle,pad=0.3", "facecolor": INPUT if filled else "white", "edgecolor": INK, "lw": 1.2},
    )  # fmt: skip
