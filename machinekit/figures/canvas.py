"""What both figures share: a canvas that needs no display, colours of steps, curved edges with heads.

matplotlib is imported when a figure is drawn; pyplot, with its state, never.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["FORMATS", "INK", "INPUT", "arc", "blank", "render", "require_matplotlib", "step_colors"]

FORMATS = ("png", "pdf", "svg")
INK, INPUT = "#22303c", "#c9ced3"
"""The colours of lines and words, and of what enters from outside."""


def require_matplotlib() -> None:
    """Raise ImportError, with the remedy, if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("no figure: it needs matplotlib, pip install 'machinekit[plot]'")


def blank(width: float, height: float) -> Any:
    """Return an empty figure of that many inches, on a canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure


def render(figure: Any, kind: str) -> bytes:
    """Return the content of a file of this kind.

    Raises
    ------
    ValueError
        If `kind` is not one of `FORMATS`.
    """
    if kind not in FORMATS:
        raise ValueError(f"format is {kind!r}; choose from {', '.join(FORMATS)}")
    undated = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150, metadata=undated[kind])
    return buffer.getvalue()


def step_colors(steps: int) -> tuple[Any, ...]:
    """Return one colour for each step, from dark to light, all dark enough for white words."""
    from matplotlib import colormaps

    return (
        tuple(colormaps["viridis"](at) for at in np.linspace(0.08, 0.72, steps)) if steps > 1 else ("#3b528b",) * steps
    )


def arc(length: float, bend: float, inner: float, outer: float, trim: float) -> np.ndarray:
    """Return the outline of a strip along a circular arc from (0, 0) to (length, 0).

    Parameters
    ----------
    length : float
    bend : float
        The angle with the straight line at both ends, in radians.
    inner, outer : float
        Distances of the strip's borders from the arc.
    trim : float
        How far from the end, as the crow flies, the strip stops.

    Returns
    -------
    array of shape (points, 2)
    """
    bend = max(bend, 1e-3)
    radius = length / (2 * math.sin(bend))
    angles = np.linspace(-bend, bend - 2 * math.asin(trim / (2 * radius)), 60)
    centre = (length / 2, -radius * math.cos(bend))
    borders: Sequence[tuple[float, np.ndarray]] = ((radius + inner, angles), (radius + outer, angles[::-1]))
    return np.concat([np.stack([centre[0] + r * np.sin(a), centre[1] + r * np.cos(a)], axis=1) for r, a in borders])
