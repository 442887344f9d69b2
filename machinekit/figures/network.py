"""A hypergraph drawn by its levels: spaces as circles, edges as boxes, a column per step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..graph import Hypergraph
from ..graph.components import space_steps
from .canvas import INK, INPUT, blank, step_colors

__all__ = ["draw_network", "network_positions"]

Point = tuple[float, float]


def network_positions(net: Hypergraph) -> dict[str, Point]:
    """Return where spaces, ``"space a"``, and edges, ``"edge f"``, stand.

    An edge of step k stands at 2k − 1, a space at twice its level; in a column, things are ordered by the
    mean height of what they are joined to on the left, ties as declared, and are one apart.
    """
    of_space, of_edge = space_steps(net.spaces, net.edges, net._components)
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
    joins = [(f"space {s}", f"edge {e.name}", e) for e in net.edges for s in e.sources]
    joins += [(f"edge {e.name}", f"space {t}", e) for e in net.edges for t in e.targets]
    heights = [y for _, y in at.values()]
    for start, end, _ in joins:  # room for the arcs
        (x0, y0), (x1, y1) = at[start], at[end]
        reach = 0.13 * (x1 - x0) if x1 - x0 > 1 else 0.0
        heights.append((y0 + y1) / 2 + (reach if y0 + y1 >= 0 else -reach))
    top, bottom = max(heights), min(heights)
    figure = blank(min(1.4 + 0.95 * (2 * net.depth + 1), 22.0), min(1.4 + 0.8 * (top - bottom + 1), 16.0))
    axes = figure.subplots()
    colors = step_colors(net.depth)
    for step, color in enumerate(colors, 1):
        axes.axvspan(2 * step - 1.5, 2 * step - 0.5, color=color, alpha=0.1, lw=0)
        axes.text(2 * step - 1, top + 0.62, f"step {step}", ha="center", va="center", color=color, fontsize=10)
    color_of = {name: color for group, color in zip(net.levels, colors, strict=True) for name in group}
    for start, end, edge in joins:
        space = end.startswith("space ")
        _arrow(axes, at[start], at[end], color_of[edge.name], _radius(net, end[6:]) if space else 0.0)
    for edge in net.edges:
        _box(axes, at[f"edge {edge.name}"], edge.name, type(edge.op).__name__, color_of[edge.name], _shared(net, edge))
    for name in net.spaces:
        _circle(axes, at[f"space {name}"], _words(net, name), filled=name in net.inputs)
    axes.set(xlim=(-0.7, 2 * net.depth + 0.7), ylim=(bottom - 0.8, top + 0.9))
    axes.axis("off")
    spaces, edges = len(net.spaces), len(net.edges)
    figure.suptitle(title or f"{spaces} spaces, {edges} edges, depth {net.depth}", color=INK, fontsize=12)
    return figure


def _shared(net: Hypergraph, edge: Any) -> str:
    """Return the first edge whose parameters this one uses, "" if it has its own."""
    first: Mapping[str, str] = net.sharing.first
    others = {first[n].partition(".")[0] for n in first if n.partition(".")[0] == edge.name} - {edge.name}
    return ", ".join(sorted(others))


def _words(net: Hypergraph, name: str) -> str:
    return f"{name}\n{'×'.join(map(str, net.spaces[name])) or 'scalar'}"


def _radius(net: Hypergraph, name: str) -> float:
    """Return about how many points the circle of a space reaches from its middle."""
    return 2.6 * max(map(len, _words(net, name).split("\n"))) + 6.0


def _arrow(axes: Any, start: Point, end: Point, color: Any, radius: float) -> None:
    """Draw a line to a box, or an arrow to a circle; bent away from the middle where it passes other columns."""
    from matplotlib.patches import FancyArrowPatch

    bend = 0.06 if end[0] - start[0] <= 1 else 0.2
    outward = start[1] + end[1] >= 0
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>" if radius else "-", mutation_scale=11, shrinkA=0, shrinkB=radius, color=color,
            lw=1.4, connectionstyle=f"arc3,rad={-bend if outward else bend}", zorder=1,
        )
    )  # fmt: skip


def _box(axes: Any, at: Point, name: str, kind: str, color: Any, shared: str) -> None:
    words = f"{name}\n{kind}" + (f"\n= {shared}" if shared else "")
    axes.text(
        *at, words, ha="center", va="center", fontsize=8, color="white", zorder=3,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": color, "edgecolor": INK if shared else color, "lw": 1.5},
    )  # fmt: skip


def _circle(axes: Any, at: Point, words: str, filled: bool) -> None:
    axes.text(
        *at, words, ha="center", va="center", fontsize=8, color=INK, zorder=3,
        bbox={"boxstyle": "circle,pad=0.3", "facecolor": INPUT if filled else "white", "edgecolor": INK, "lw": 1.2},
    )  # fmt: skip
