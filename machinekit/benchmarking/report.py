"""Tables of what was measured: CSV for machines, markdown for people. Times in microseconds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from .bars import Verdict, judge
from .competitors import OURS
from .runner import Outcome
from .tables import format_head, format_table, microseconds

__all__ = [
    "format_bars", "format_head", "format_outcome", "format_table", "markdown", "microseconds", "to_csv", "write",
]  # fmt: skip

_COLUMNS = (
    "workload", "kind", "dtype", "backend", "threads", "competitor", "operation",
    "minimum_us", "median_us", "p10_us", "p90_us", "samples", "repeats", "note",
)  # fmt: skip
_HEADER = ("workload", "competitor", "forward", "backward", "weights", "gradient", "median", "p10–p90", "× ours")
_GPU_HEADER = (*_HEADER[:6], "minimum", *_HEADER[7:])
_LEGEND = (
    "Minima; median, spread and ratio are those of the gradient, which is forward + input cotangent + weight "
    "cotangent. Weights: pullback − backward, of separate public calls. Ratios hold within this run only."
)
_GPU_LEGEND = (
    "Medians; minimum, spread and ratio are those of the gradient, the ratio of medians. The gradient is forward + "
    "input cotangent + weight cotangent; weights are pullback − backward, of separate public calls. machinekit "
    "chooses its method, machinekit plan and machinekit kernel have it forced. Ratios hold within this run only."
)


def format_outcome(outcome: Outcome) -> list[list[str]]:
    """Return the rows of one workload: one per competitor timed, then one word for each that was not."""
    rows = []
    for name in dict.fromkeys(competitor for competitor, _ in outcome.times):
        stats = outcome.times.get((name, "gradient"))
        spread = "–" if stats is None else f"{microseconds(stats.low)}–{microseconds(stats.high)}"
        ratio = outcome.ratio(name)
        cells = [microseconds(outcome.time(name, op)) for op in ("forward", "backward", "weights", "gradient")]
        other = microseconds(outcome.time(name, "gradient", "minimum" if outcome.on_gpu else "median"))
        rows.append([outcome.workload.id, name, *cells, other, spread, "–" if ratio is None else f"{ratio:.2f}"])
    blank = ["–"] * (len(_HEADER) - 3)
    for note in outcome.notes:
        rows.append([outcome.workload.id, note.competitor, "ERROR" if note.error else "not timed", *blank])
    return rows


def _reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Return one line per reason for which a competitor was not timed, with its workloads."""
    where: dict[tuple[str, str], list[str]] = {}
    for o in outcomes:
        for note in o.notes:
            where.setdefault((note.competitor, note.text), []).append(o.workload.id)
    return [f"* {name} on {', '.join(ids)}: {text}" for (name, text), ids in where.items()]


def _machines_table(outcomes: Sequence[Outcome]) -> str:
    """Return what ran on a GPU: sizes, the size of y, and the method that was chosen."""
    rows = []
    for o in outcomes:
        mib = math.prod(o.workload.shape) * (8 if o.dtype == "float64" else 4) / 2**20
        rows.append([o.workload.id, o.workload.kind, str(o.workload), f"{mib:.3g}", o.method])
    return format_table(("workload", "kind", "size", "y MiB", "method chosen"), rows)


def _remarks(outcomes: Sequence[Outcome]) -> str:
    """Return one line per remark on a competitor, with its workloads."""
    where: dict[tuple[str, str], list[str]] = {}
    for o in outcomes:
        for remark in o.remarks:
            where.setdefault(remark, []).append(o.workload.id)
    return "\n".join(f"* {name} on {', '.join(ids)}: {text}" for (name, text), ids in where.items())


def _memory_table(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [o.workload.id, *(f"{n / 1024:.0f}" for n in (o.memory.peak, o.memory.held, o.memory.needed, o.memory.tile)),
         f"{o.memory.ratio:.2f}"]
        for o in outcomes if o.memory is not None
    ]  # fmt: skip
    return format_table(("workload", "peak KiB", "held KiB", "needed KiB", "tile KiB", "(peak − tile)/needed"), rows)


def format_bars(verdicts: Sequence[Verdict], unmeasured: Sequence[str]) -> str:
    """Return the bars as a table, and the names of those for which nothing was measured."""
    rows = []
    for v in verdicts:
        sign = "≥" if v.larger else "≤"
        must, aim = (("–" if limit is None else f"{sign} {limit:g}") for limit in (v.must, v.aim))
        rows.append([v.bar, v.workload, str(v.threads), f"{v.measured:.3g}", must, aim, v.word])
    text = format_table(("bar", "workload", "threads", "measured", "must hold", "aim", "verdict"), rows) if rows else ""
    return text + ("\n\nNot measured: " + "; ".join(unmeasured) + "." if unmeasured else "")


def markdown(head: Mapping[str, str], outcomes: Sequence[Outcome], lines: Sequence[str] = ()) -> str:
    """Return the whole report.

    Parameters
    ----------
    head : mapping
        See `describe_environment`.
    outcomes : sequence of Outcome
    lines : sequence of str
        Remarks, such as the peers that are not installed.
    """
    rows = [row for outcome in outcomes for row in format_outcome(outcome)]
    on_gpu = any(o.on_gpu for o in outcomes)
    legend, header = (_GPU_LEGEND, _GPU_HEADER) if on_gpu else (_LEGEND, _HEADER)
    parts = ["# Benchmark", format_head(head), *lines]
    parts += ["## Machines", _machines_table(outcomes)] if on_gpu else []
    parts += ["## Times, µs", legend, format_table(header, rows)]
    remarks = _remarks(outcomes)
    parts += ["Remarks:", remarks] if remarks else []
    reasons = _reasons(outcomes)
    parts += ["Not timed:", "\n".join(reasons)] if reasons else []
    if any(o.memory for o in outcomes):
        parts += ["## Peak memory of a gradient of " + OURS, _memory_table(outcomes)]
    verdicts, unmeasured = judge(outcomes)
    return "\n\n".join([*parts, "## Bars", format_bars(verdicts, unmeasured)]) + "\n"


def to_csv(head: Mapping[str, str], outcomes: Sequence[Outcome]) -> str:
    """Return all statistics as CSV; the head is in comment lines that start with ``#``."""
    text = io.StringIO()
    sizes = {f"size of {o.workload.id}": str(o.workload) for o in outcomes if o.on_gpu}
    for key, value in {**head, **sizes}.items():
        text.write(f"# {key}: {value}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for o in outcomes:
        home = (o.workload.id, o.workload.kind, o.dtype, o.backend, o.threads)
        said = {OURS: f"method chosen: {o.method}" if o.method else "", **dict(o.remarks)}
        for (competitor, operation), s in o.times.items():
            numbers = [f"{t * 1e6:.4g}" for t in (s.minimum, s.median, s.low, s.high)]
            writer.writerow([*home, competitor, operation, *numbers, s.samples, s.repeats, said.get(competitor, "")])
        for note in o.notes:
            writer.writerow([*home, note.competitor, "", "", "", "", "", "", "", note.text])
    return text.getvalue()


def write(folder: Path, name: str, head: Mapping[str, str], outcomes: Sequence[Outcome], text: str) -> list[Path]:
    """Write ``name.csv`` and ``name.md`` into a folder, made if need be; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    table, page = folder / f"{name}.csv", folder / f"{name}.md"
    table.write_text(to_csv(head, outcomes), encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    return [table, page]
