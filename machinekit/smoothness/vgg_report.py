"""VGG with and without batch normalisation, in one table and one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

from .bounds import Bounds
from .vgg import COLUMNS, vgg16

__all__ = ["ROWS", "Claim", "claims", "figure", "measure", "table"]

ROWS: dict[str, dict[str, str]] = {
    "published constants, as printed": {"constants": "published", "form": "printed"},
    "published constants, sums": {"constants": "published", "form": "sums"},
    "true constants, sums": {"form": "sums"},
    "true constants, sharp": {"form": "sharp"},
}
"""Constants and recursions, as options of `vgg16`. The published constant of a bias is too small to certify."""

Measured = Mapping[str, Mapping[str, Bounds]]


class Claim(NamedTuple):
    """One comparison with the network without batch normalisation.

    Attributes
    ----------
    row, column : str
    larger : bool
        Whether batch normalisation is claimed to make l and L larger: for ε = 0.01, not for ε = 100.
    held : bool
        Of both.
    """

    row: str
    column: str
    larger: bool
    held: bool


def measure(**options: Any) -> dict[str, dict[str, Bounds]]:
    """Return the bounds for each of `ROWS` and each of `COLUMNS`.

    Parameters
    ----------
    **options
        Of `vgg16`, such as image, batch, radius and input_bound, the same for all.
    """
    return {
        row: {column: vgg16(**{**options, **how, **net}) for column, net in COLUMNS.items()}
        for row, how in ROWS.items()
    }


def claims(measured: Measured) -> list[Claim]:
    """Return whether l and L are larger with batch normalisation at ε = 0.01, and smaller at ε = 100, 32 comparisons.

    Examples
    --------
    >>> from machinekit.smoothness import vgg_report
    >>> found = vgg_report.claims(vgg_report.measure())
    >>> sum(claim.held for claim in found), len(found)
    (32, 32)
    """
    found = []
    for row, columns in measured.items():
        plain = columns["smooth"]
        for column, bounds in columns.items():
            epsilon = COLUMNS[column].get("epsilon")
            if epsilon is None:
                continue
            pairs = ((plain.lipschitz, bounds.lipschitz), (plain.smoothness, bounds.smoothness))
            larger = epsilon < 1.0
            found.append(Claim(row, column, larger, all(a <= b if larger else b <= a for a, b in pairs)))
    return found


def table(measured: Measured | None = None) -> str:
    """Return log10 l / log10 L of each network as markdown, and how many of the claims hold.

    Examples
    --------
    >>> from machinekit.smoothness import vgg_report
    >>> print(vgg_report.table().splitlines()[5])
    | true constants, sharp | 8.89 / 18.25 | 33.32 / 67.04 | 2.76 / 5.56 | ... | 9.45 / ∞ |
    """
    measured = measure() if measured is None else measured
    lines = [f"| log10 l / log10 L | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row, columns in measured.items():
        cells = (f"{_log(columns[c].lipschitz)} / {_log(columns[c].smoothness)}" for c in COLUMNS)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    found = claims(measured)
    held = sum(claim.held for claim in found)
    claim = "l and L are larger with batch normalisation at ε = 0.01 and smaller at ε = 100"
    return "\n".join([*lines, "", f"{claim}: {held} of {len(found)} comparisons."])


def figure(path: str | PathLike[str], measured: Measured | None = None) -> None:
    """Draw log10 l and log10 L of the outputs of each layer, in the sharp form, into a file.

    Parameters
    ----------
    path : path
        Its ending tells the kind: png, pdf or svg.
    measured : optional
        What `measure` returned.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("no figure: it needs matplotlib, pip install 'machinekit[plot]'") from error
    columns = (measure() if measured is None else measured)["true constants, sharp"]
    drawn: Any = Figure(figsize=(9.0, 3.8), layout="constrained")
    FigureCanvasAgg(drawn)
    shown = ("smooth", "eps+sigma, after pooling, 0.01", "eps+sigma, after pooling, 100", "sqrt, after pooling, 0.01",
             "sqrt, after pooling, 100")  # fmt: skip
    panels = zip(drawn.subplots(1, 2), ("lipschitz", "smoothness"), ("log10 l", "log10 L"), strict=True)
    for axes, part, label in panels:
        for column, style in zip(shown, ("k-", "C0-", "C0--", "C1-", "C1--"), strict=True):
            rows = [getattr(row, part) for row in columns[column].table[1:]]
            name = column if column == "smooth" else f"batch norm {column}"
            axes.plot(range(1, len(rows) + 1), [math.log10(v) for v in rows], style, label=name)
        axes.set(xlabel="layer", ylabel=label)
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="x-small")
    kind = str(path).rpartition(".")[2].lower()
    undated: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    drawn.savefig(path, dpi=150, metadata=undated.get(kind, {}))


def _log(number: float) -> str:
    return "∞" if math.isinf(number) else f"{math.log10(number):.2f}"
