"""The form of tables: markdown that reads well in a terminal, times in microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["format_head", "format_table", "microseconds"]


def microseconds(seconds: float | None) -> str:
    """Return three significant digits of microseconds; a dash for None, ``< 0`` for a difference that is none."""
    if seconds is None:
        return "–"
    if seconds < 0:
        return "< 0"
    value = seconds * 1e6
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def format_head(head: Mapping[str, str]) -> str:
    """Return the head of a report, one line per fact."""
    return "\n".join(f"* {key}: {value}" for key, value in head.items())


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a markdown table, padded so that it reads well in a terminal; numbers to the right."""
    body = [list(map(str, row)) for row in rows]
    widths = [max(len(row[k]) for row in [list(header), *body]) for k in range(len(header))]
    lines = ["| " + " | ".join(word.ljust(n) for word, n in zip(header, widths, strict=True)) + " |"]
    lines.append("|" + "|".join("-" * (n + 2) for n in widths) + "|")
    for row in body:
        cells = [w.rjust(n) if w[:1].isdigit() else w.ljust(n) for w, n in zip(row, widths, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
