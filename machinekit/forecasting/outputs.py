"""What a forecast writes: forecast.csv, model.npz, forecast.png, each whole or not at all."""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..saving import save
from .experiment import Outcome

__all__ = ["write", "write_bytes"]


def write(outcome: Outcome, folder: Path) -> list[str]:
    """Write all files into an existing folder and return a line for each.

    Raises
    ------
    OSError
        If a file cannot be written; the one that was there stays.
    """
    write_bytes(folder / "forecast.csv", _table(outcome).encode())
    save(folder / "model.npz", outcome.fitted.model)
    lines = [f"{folder / 'forecast.csv'}: observed and forecast values", f"{folder / 'model.npz'}: mk.load reads it"]
    if find_spec("matplotlib") is None:
        return [*lines, "no figure: it needs matplotlib, pip install 'machinekit[plot]'"]
    write_bytes(folder / "forecast.png", _figure(outcome))
    return [*lines, f"{folder / 'forecast.png'}: the figure"]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole: into a temporary one beside it, then renamed over it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _table(outcome: Outcome) -> str:
    series, horizon = outcome.series, outcome.settings.horizon
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extra = [] if horizon == 1 else [f"forecast_{horizon}_ahead"]
    writer.writerow(["label", "part", "observed", "forecast", "steps_ahead", *extra])
    for k, value in enumerate(series.values):
        part = "train" if k < outcome.train else "test"
        more = [_cell(outcome.forecasts[horizon][k])] if extra else []
        writer.writerow([series.label(k), part, _cell(value), _cell(outcome.forecasts[1][k]), 1, *more])
    for k, value in enumerate(outcome.future, 1):
        writer.writerow([series.label(len(series.values) - 1 + k), "future", "", _cell(value), k, *[""] * len(extra)])
    return text.getvalue()


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.10g}"


def _figure(outcome: Outcome) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series, n, train = outcome.series, len(outcome.series.values), outcome.train
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    whole, test = figure.subplots(2, 1)
    at = np.arange(n)
    for axes, first in ((whole, 0), (test, train)):
        axes.plot(at[first:], series.values[first:], color="0.25", lw=1.2, label="observed", marker=".", ms=3)
        axes.plot(at[first:], outcome.forecasts[1][first:], color="#c1440e", lw=1.3, label="one step ahead")
        if outcome.settings.horizon > 1:
            label = f"{outcome.settings.horizon} steps ahead"
            axes.plot(
                at[first:], outcome.forecasts[outcome.settings.horizon][first:], color="#3b6ea5", lw=1, label=label
            )
        ahead = np.arange(n, n + len(outcome.future))
        axes.plot(ahead, outcome.future, "o", color="#2a7f62", ms=4, label="future")
        ticks = np.unique(np.linspace(first, n - 1, 9).astype(int))
        axes.set_xticks(ticks, [series.label(int(k)) for k in ticks])
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylabel(series.name)
    whole.axvline(train - 0.5, color="0.6", lw=1, ls="--")
    whole.set_title(f"{series.name}: trained left of the dashed line", loc="left")
    error = outcome.errors["machine", 1]
    test.set_title(f"test part, one step ahead: mean squared error {error:.3f} on the standardised scale", loc="left")
    handles, labels = test.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
