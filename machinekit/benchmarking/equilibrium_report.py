"""The tables of equilibria as markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from .competitors import OURS
from .equilibrium import EquilibriumReport, judge_equilibrium
from .report import format_bars, format_table

__all__ = ["equilibrium_csv", "format_equilibrium"]

_STEP_NOTE = (
    "Times in ms, minima. solve: the equilibrium alone, its inverse at hand on both sides; dual: the same of the dual; "
    "pullback: the dual and the cotangents of A, B and the input; step: new A and B, W, inverse, solve, pullback, "
    "cotangents of A, B, U, b. Textbook loops have the α of machinekit and the inverse as a transposed view, like the "
    "published code, unless their name says else. × ours: of minima of one interleaved run. Errors are relative, to "
    "an exact active-set solution in double precision: of z the worst sample, of the gradient the worst of the four "
    "cotangents. NC: not converged (error above 100 tolerances)."
)
_MEMORY_NOTE = "Peak memory of a forward and a backward pass, in states (samples × units × 8 bytes); a fixed budget."
_SOLVER_NOTE = "Double precision, relative tolerance 1e-6, at most 1000 steps; NC: not converged within them."
_GRID_NOTE = "Relative error of the worst cotangent; down the tolerance of the equilibrium, across that of its dual."


def format_equilibrium(report: EquilibriumReport) -> str:
    """Return all tables and the bars."""
    parts = [*report.remarks, "## A layer and its gradient", _STEP_NOTE, _steps(report)]
    parts += ["## Memory", _MEMORY_NOTE, _memory(report)]
    parts += ["## Solvers", _SOLVER_NOTE, _solvers(report)]
    parts += ["## Tolerances", _GRID_NOTE, *(_grid(report, layer) for layer in report.grids)]
    parts += ["## Bars", format_bars(judge_equilibrium(report), ())]
    return "\n\n".join([*parts, *(f"WRONG: {text}" for text in report.wrong)])


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.3g}"


def _steps(report: EquilibriumReport) -> str:
    rows = []
    for o in report.steps:
        for (name, operation), stats in o.times.items():
            answer = o.answers.get((name, operation))
            ratio = "1.00" if name == OURS else "NC"
            if name != OURS and (measured := o.ratio(name, operation)) is not None:
                ratio = f"{measured:.2f}"
            told = ["", "", ""]
            if answer is not None:
                bent = "" if answer.gradient_error is None else f"{answer.gradient_error:.1e}"
                told = [" / ".join(str(k) for k in answer.steps if k), f"{answer.error:.1e}", bent]
            where = [o.layer, o.dtype, f"{o.rtol:g}", operation, name]
            rows.append([*where, _ms(stats.minimum), _ms(stats.median), ratio, *told])
    head = ("layer", "dtype", "rtol", "what", "competitor", "ms", "median", "× ours", "steps", "error", "gradient")
    return format_table(head, rows)


def _memory(report: EquilibriumReport) -> str:
    rows = [[str(r.steps), f"{r.ours:.2f}", f"{r.unrolled:.1f}"] for r in report.memory]
    return format_table(("steps", "machinekit", "unrolled, all iterates kept"), rows)


def _solvers(report: EquilibriumReport) -> str:
    layers = list(dict.fromkeys(r.layer for r in report.solvers))
    found = {(r.what, r.solver, r.layer): r for r in report.solvers}
    rows = []
    for what, solver in dict.fromkeys((r.what, r.solver) for r in report.solvers):
        cells = []
        for layer in layers:
            r = found[what, solver, layer]
            time = "NC" if r.seconds is None else f"{_ms(r.seconds)} ms"
            cells.append(f"{r.steps} / {time} / {r.error:.0e}")
        rows.append([what, solver, *cells])
    return format_table(("what", "solver", *(f"{layer}: steps / time / error" for layer in layers)), rows)


def _grid(report: EquilibriumReport, layer: str) -> str:
    cells = {(a.forward, a.backward): a.error for a in report.grids[layer]}
    across = list(dict.fromkeys(b for _, b in cells))
    rows = [[f"{f:g}", *(f"{cells[f, b]:.1e}" for b in across)] for f in dict.fromkeys(f for f, _ in cells)]
    return format_table((layer, *(f"{b:g}" for b in across)), rows)


def equilibrium_csv(head: Mapping[str, str], report: EquilibriumReport) -> str:
    """Return everything that was measured as CSV; the head is in comment lines that start with ``#``."""
    text = io.StringIO()
    for key, value in head.items():
        text.write(f"# {key}: {value}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("table", "layer", "dtype", "what", "competitor", "quantity", "value"))
    for o in report.steps:
        for (name, operation), s in o.times.items():
            numbers = {"minimum_us": s.minimum, "median_us": s.median, "p10_us": s.low, "p90_us": s.high}
            for quantity, seconds in numbers.items():
                writer.writerow(("step", o.layer, o.dtype, operation, name, quantity, f"{seconds * 1e6:.5g}"))
        for (name, operation), answer in o.answers.items():
            told: dict[str, float | None] = {"error": answer.error, "gradient_error": answer.gradient_error}
            told |= dict(zip(("forward_steps", "backward_steps"), answer.steps, strict=False))
            for quantity, number in told.items():
                if number is not None:
                    writer.writerow(("step", o.layer, o.dtype, operation, name, quantity, f"{number:.4g}"))
    for row in report.memory:
        for name, states in ((OURS, row.ours), ("unrolled", row.unrolled)):
            writer.writerow(("memory", "", "float64", f"{row.steps} steps", name, "states", f"{states:.5g}"))
    for run in report.solvers:
        known = {"steps": float(run.steps), "error": run.error}
        known |= {} if run.seconds is None else {"minimum_us": run.seconds * 1e6}
        for quantity, measured in known.items():
            writer.writerow(("solver", run.layer, "float64", run.what, run.solver, quantity, f"{measured:.5g}"))
    for layer, cells in report.grids.items():
        for a in cells:
            what = f"{a.forward:g} forward, {a.backward:g} backward"
            writer.writerow(("tolerance", layer, "float64", what, OURS, "gradient_error", f"{a.error:.4g}"))
    return text.getvalue()
