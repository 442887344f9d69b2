"""Figure 2: a hypergraph of depth 4 with five edges, its earliest levels and the grouping of the paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..arrays import NUMPY, Array, Backend, namespace
from ..theory import Endofunction, levels
from .canvas import INK, INPUT, blank, step_colors

__all__ = ["FIGURE_TWO", "PAPER_GROUPING", "draw_hypergraph", "figure_two_graph", "grouping", "positions"]

FIGURE_TWO: Mapping[str, str] = MappingProxyType(
    {"f1": "x1 x2 -> x3", "f2": "x1 -> x5", "f3": "x3 -> x4", "f4": "x4 -> x5 x6 x7", "f5": "x6 -> x8"}
)
"""The edges by their names in the paper."""

PAPER_GROUPING = (("f1",), ("f2", "f3"), ("f4",), ("f5",))
"""The paper's f_1, f_2 + f_3, f_4, f_5, which shows depth 4."""

_HEIGHT: Mapping[str, float] = MappingProxyType({"x1": 1.0, "x2": -1.0, "x5": 1.0, "x7": -1.0, "f2": 1.0})


def figure_two_graph(
    rng: np.random.Generator | int = 0, extra: Sequence[str] = (), backend: Backend = NUMPY
) -> Endofunction:
    """Return the hypergraph with random nonlinear edges between eight spaces of different dimensions.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Draws the dimensions, 1 to 8 in some order, and the edges tanh(Σ A_s x_s + b).
    extra : sequence of str
        Signatures of more edges, such as ``"x8 -> x3"``, which makes a cycle.
    backend : Backend
        Where the edges compute.

    Returns
    -------
    Endofunction
        With spaces x1 … x8 and edges in the order of `FIGURE_TWO`, then `extra`.

    Examples
    --------
    >>> from machinekit.figures import figure_two_graph
    >>> from machinekit.theory import levels
    >>> levels(figure_two_graph())
    [('x1 x2 -> x3', 'x1 -> x5'), ('x3 -> x4',), ('x4 -> x5 x6 x7',), ('x6 -> x8',)]
    """
    rng = np.random.default_rng(rng)
    sizes = {f"x{k + 1}": int(n) for k, n in enumerate(rng.permutation(8) + 1)}
    signatures = (*FIGURE_TWO.values(), *extra)
    return Endofunction.of_edges(sizes, [(s, _nonlinear(s, sizes, rng, backend)) for s in signatures])


def _nonlinear(signature: str, sizes: Mapping[str, int], rng: np.random.Generator, home: Backend) -> Callable[..., Any]:
    sources, targets = (side.split() for side in signature.split("->"))
    into = {
        t: [home.from_host(rng.normal(size=(sizes[t], sizes[s])) / math.sqrt(sizes[s])) for s in sources]
        for t in targets
    }
    offsets = {t: home.from_host(rng.normal(size=sizes[t])) for t in targets}

    def function(*arrays: Array) -> Any:
        xp = namespace(arrays[0])
        images = []
        for target, matrices in into.items():
            total = offsets[target]
            for matrix, array in zip(matrices, arrays, strict=True):
                total = total + matrix @ array
            images.append(xp.tanh(total))
        return tuple(images) if len(images) > 1 else images[0]

    return function


def grouping(groups: Iterable[Iterable[str]]) -> list[tuple[str, ...]]:
    """Return groups of the paper's names as groups of signatures, which `theory` takes as a schedule."""
    return [tuple(FIGURE_TWO[name] for name in group) for group in groups]


def positions(groups: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Return where the spaces and edges stand when f_1, f_2, … are these groups of the paper's names.

    Edges of step k stand at 2k − 1; a space at 2k if step k is the last to write to it, else at 0.
    """
    place = {f"x{k}": 0.0 for k in range(1, 9)}
    for step, group in enumerate(groups, 1):
        for name in group:
            place[name] = 2.0 * step - 1.0
            place.update(dict.fromkeys(FIGURE_TWO[name].partition("->")[2].split(), 2.0 * step))
    return {name: (x, _HEIGHT.get(name, 0.0)) for name, x in place.items()}


def draw_hypergraph(f: Endofunction) -> Any:
    """Return figure 2: spaces as circles, edges as boxes; above by earliest levels, below grouped as in the paper."""
    names = {signature: name for name, signature in FIGURE_TWO.items()}
    earliest = [tuple(names[signature] for signature in step) for step in levels(f)]
    figure = blank(10.5, 8.2)
    panels = figure.subplots(2, 1)
    for axes, groups, title in zip(
        panels, (earliest, PAPER_GROUPING), ("Earliest levels", "The grouping of the paper"), strict=True
    ):
        _draw_panel(axes, f, groups)
        words = ", ".join("{" + ", ".join(group) + "}" for group in groups)
        axes.set_title(f"{title}: {words}", loc="left", color=INK)
    figure.suptitle(
        f"{len(f.sizes)} spaces, {len(f.edges or ())} edges, depth {len(earliest)}; "
        "grey: the input of each space",
        color=INK, fontsize=13,
    )  # fmt: skip
    return figure


def _draw_panel(axes: Any, f: Endofunction, groups: Sequence[Sequence[str]]) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    at, colors = positions(groups), step_colors(len(groups))
    for step, color in enumerate(colors, 1):
        axes.axvspan(2 * step - 1.5, 2 * step - 0.5, color=color, alpha=0.1, lw=0)
        axes.text(2 * step - 1, 1.74, f"step {step}", ha="center", va="center", color=color, fontsize=11)
    color_of = {name: color for group, color in zip(groups, colors, strict=True) for name in group}
    for name, signature in FIGURE_TWO.items():
        sources, targets = (side.split() for side in signature.split("->"))
        for source in sources:
            _join(axes, at[source], at[name], color_of[name], "-")
        for target in targets:
            _join(axes, at[name], at[target], color_of[name], "-|>")
        x, y = at[name]
        box = FancyBboxPatch((x - 0.2, y - 0.15), 0.4, 0.3, "round,pad=0.05,rounding_size=0.08", zorder=3)
        box.set_color(color_of[name])
        axes.add_patch(box)
        axes.text(x, y - 0.01, f"$f_{name[1:]}$", ha="center", va="center", color="white", zorder=4, fontsize=13)
    for name in f.sizes:
        x, y = at[name]
        _join(axes, (x, y + 0.66), (x, y), INPUT, "-|>")
        axes.add_patch(Circle((x, y), 0.27, facecolor="white", edgecolor=INK, lw=1.3, zorder=3))
        axes.text(x, y - 0.01, f"$x_{name[1:]}$", ha="center", va="center", color=INK, zorder=4, fontsize=13)
    axes.set(xlim=(-0.6, 2 * len(groups) + 0.5), ylim=(-1.42, 1.95), aspect="equal")
    axes.axis("off")


def _join(axes: Any, start: tuple[float, float], end: tuple[float, float], color: Any, style: str) -> None:
    """Draw a line from start to the rim of what stands at the end."""
    from matplotlib.patches import FancyArrowPatch

    back = 0.0 if style == "-" else 0.28 / math.dist(start, end)
    rim = (end[0] + (start[0] - end[0]) * back, end[1] + (start[1] - end[1]) * back)
    axes.add_patch(
        FancyArrowPatch(start, rim, arrowstyle=style, mutation_scale=13, shrinkA=0, shrinkB=0, color=color, lw=1.7)
    )
