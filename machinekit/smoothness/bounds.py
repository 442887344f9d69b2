"""The answer: size, Lipschitz and smoothness bounds of a model and of each of its blocks."""

from __future__ import annotations

import importlib
import importlib.util
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Bounds", "Row"]

_LARGE = 1e6
"""From here on tables hold logarithms."""

_CURVES = (("size", "#0072b2", "o"), ("lipschitz", "#d55e00", "s"), ("smoothness", "#009e73", "^"))


class Row(NamedTuple):
    """The bounds of one block or layer."""

    name: str
    size: float
    lipschitz: float
    smoothness: float


@dataclass(frozen=True)
class Bounds:
    """Bounds that hold on the whole set: ‖x‖ ≤ size, ‖Dx‖ ≤ lipschitz, ‖D²x‖ ≤ smoothness.

    Attributes
    ----------
    size, lipschitz, smoothness : float
        Of what was asked for: all blocks, the last, or one space.
    table : tuple of Row
        The same, block by block.
    which : {"inputs", "parameters", "joint"}
    form, level : str
        The form, and the level that gave the smaller bounds: the smaller smoothness, or, of equals, slope.
    rough : tuple of str
        The pieces that are not C¹, to blame where smoothness is infinite.
    of : str
        What was asked for.

    Examples
    --------
    >>> from machinekit.smoothness.bounds import Bounds, Row
    >>> print(Bounds(2.0, 1.5, 0.25, (Row("x", 1.0, 1.0, 0.0), Row("y", 2.0, 1.5, 0.25)), level="block", of="last"))
          size  lipschitz  smoothness
    x        1          1           0
    y        2        1.5        0.25
    last     2        1.5        0.25
    joint, sharp form, block level
    """

    size: float
    lipschitz: float
    smoothness: float
    table: tuple[Row, ...] = ()
    which: str = "joint"
    form: str = "sharp"
    level: str = "best"
    rough: tuple[str, ...] = field(default=())
    of: str = "all"

    def __str__(self) -> str:
        rows = [*self.table, Row(self.of, self.size, self.lipschitz, self.smoothness)]
        large = any(_LARGE <= n < math.inf for row in rows for n in row[1:])
        head = ("", *(f"log10 {name}" if large else name for name in Row._fields[1:]))
        cells = [head, *((row.name, *(_written(n, large) for n in row[1:])) for row in rows)]
        widths = [max(len(line[k]) for line in cells) for k in range(len(head))]
        lines = [
            "  ".join(c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in cells
        ]
        lines.append(f"{self.which}, {self.form} form, {self.level} level")
        if self.rough:
            lines.append(f"not C¹: {', '.join(self.rough)}")
        return "\n".join(line.rstrip() for line in lines)

    def figure(self, path: str | Path | None = None) -> Any:
        """Draw the decimal logarithms of the bounds, block by block; what is 0 or infinite is left out.

        Parameters
        ----------
        path : str or Path, optional
            Where to save it, in the format of its ending.

        Returns
        -------
        matplotlib.figure.Figure
            It needs no display and leaves no trace in pyplot's state.

        Raises
        ------
        ImportError
            Without matplotlib, which ``pip install 'machinekit[plot]'`` installs.
        ValueError
            If there is no table, or the ending of `path` is no format.
        """
        if not self.table:
            raise ValueError("the table is empty, so there is nothing to draw; ask for the bounds of a model")
        if importlib.util.find_spec("matplotlib") is None:
            raise ImportError("no figure: it needs matplotlib, pip install 'machinekit[plot]'")
        width = min(16.0, max(5.0, 0.45 * len(self.table) + 2))
        figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=(width, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for name, color, marker in _CURVES:
            numbers = [getattr(row, name) for row in self.table]
            heights = [_log(n) if math.isfinite(_log(n)) else math.nan for n in numbers]
            label = f"{name}, infinite in {numbers.count(math.inf)}" if math.inf in numbers else name
            axes.plot(range(len(heights)), heights, color=color, marker=marker, ms=4, label=label)
        axes.set_xticks(range(len(self.table)), [row.name for row in self.table], rotation=60, ha="right", fontsize=7)
        axes.set(ylabel="log10 of the bound")
        axes.set_title(f"{self.which}, {self.form} form, {self.level} level", fontsize=9)
        axes.grid(True, alpha=0.3)
        axes.legend(fontsize=8)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure


def _log(number: float) -> float:
    return math.log10(number) if number > 0 else -math.inf


def _written(number: float, large: bool) -> str:
    return f"{_log(number):.4f}" if large else f"{number:.6g}"
