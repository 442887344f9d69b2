"""Figures: backward against forward time, of the kind of the paper's Fig. 3, and the scaling curves.

matplotlib is imported when a figure is drawn; without it, none is.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .competitors import OURS
from .runner import Outcome

if TYPE_CHECKING:
    from .scaling import Fit

__all__ = ["can_draw", "draw_backward_forward", "draw_scaling"]

_COLORS: Mapping[str, str] = MappingProxyType({"dense": "#0072b2", "conv": "#d55e00", "recurrent": "#009e73"})
_MARKERS: Mapping[str, str] = MappingProxyType({OURS: "o", "torch": "s", "jax": "^"})


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _axes() -> tuple[Any, Any]:
    """Return a figure and its axes that need no display and leave no trace in pyplot's state."""
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True, which="major", alpha=0.3)
    return figure, axes


def draw_backward_forward(outcomes: Sequence[Outcome], path: Path) -> Path | None:
    """Draw the backward against the forward time of each workload, log-log, with the diagonal.

    Full markers are this library, hollow ones the peers; colours tell the kinds of machines.

    Returns
    -------
    path, or None if matplotlib is not installed or nothing was measured
    """
    points = []
    for o in outcomes:
        for name in _MARKERS:
            x, y = o.time(name, "forward"), o.time(name, "backward")
            if x is not None and y is not None:
                points.append((name, o.workload, x * 1e6, y * 1e6))
    if not points or not can_draw():
        return None
    figure, axes = _axes()
    ends = (min(min(p[2:]) for p in points) / 2, max(max(p[2:]) for p in points) * 2)
    axes.plot(ends, ends, color="0.5", lw=1, zorder=0)
    for name, w, x, y in points:
        color = _COLORS[w.kind]
        axes.plot(x, y, _MARKERS[name], color=color, mfc=color if name == OURS else "none", alpha=0.9)
        if name == OURS:
            axes.annotate(w.id, (x, y), xytext=(5, -8), textcoords="offset points", fontsize=7)
    for name in dict.fromkeys(p[0] for p in points):
        axes.plot([], [], _MARKERS[name], color="0.2", mfc="0.2" if name == OURS else "none", label=name)
    for kind in dict.fromkeys(p[1].kind for p in points):
        axes.plot([], [], "-", lw=4, color=_COLORS[kind], label=kind)
    axes.set(xlabel="forward, µs", ylabel="backward, µs", xlim=ends, ylim=ends)
    axes.set_title("Cotangent of the input against forward; below the diagonal, backward is cheaper", fontsize=9)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)
    return path


def draw_scaling(fit: Fit, path: Path) -> Path | None:
    """Draw one scaling curve with its fitted line; None if matplotlib is not installed."""
    if not can_draw():
        return None
    figure, axes = _axes()
    axes.plot(fit.x, [t * 1e6 for t in fit.seconds], "o", color=_COLORS["dense"], label="gradient, minimum")
    start = len(fit.x) - fit.used
    anchor, base = fit.x[start:], fit.level
    line = [base * 1e6 * x**fit.exponent for x in anchor]
    axes.plot(anchor, line, "-", color="0.3", label=f"exponent {fit.exponent:.2f}, the work's {fit.work_exponent:.2f}")
    axes.set(xlabel=fit.curve.axis, ylabel="µs", title=fit.curve.title)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)
    return path
