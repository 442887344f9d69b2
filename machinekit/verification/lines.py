"""What `machinekit verify` prints: a line for each statement, reports of failures, a closing line."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from .mutants import Mutant, Trial
from .registry import Property
from .runner import Outcome

__all__ = ["Table", "count", "failure_text", "outcome_entry", "total", "trial_entry", "worst_text"]

_NARROW = 24  # with less room than this, a statement is left out


def count(n: int, one: str, many: str = "") -> str:
    """Return "1 case", "2,000 cases"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def worst_text(outcome: Outcome) -> str:
    """Return "worst error / its tolerance"; "exact" if it was 0, and nothing else was allowed."""
    worst = outcome.worst
    if worst is None:
        return "–"
    if not worst.error and not worst.allowed:
        return "exact"
    error, allowed = ("0" if not x else f"{x:.1e}" for x in (worst.error, worst.allowed))
    return f"{error} / {allowed}"


def failure_text(outcome: Outcome, again: str) -> str:
    """Return what broke, with both sides, the case, the seed and the command that repeats it."""
    head = f"{outcome.property.id}: {outcome.property.statement}"
    body = outcome.failure or "  BROKEN nothing was checked in any case; pass more --examples"
    return f"{head}\n{body}\n         again: {again}"


class Table:
    """Lines with aligned columns, statements last; cut where a terminal is narrow.

    Parameters
    ----------
    rows : mapping of id to Property or Mutant
        What will be printed, for the widths of the columns.
    width : int, optional
        Of the terminal; None where there is none, and nothing is cut.
    """

    def __init__(self, rows: Mapping[str, Property | Mutant], width: int | None = None) -> None:
        self.width = width
        self._id = max((len(r.id) for r in rows.values()), default=0)
        self._source = max((len(r.source) for r in rows.values()), default=0)

    def listed(self, row: Property | Mutant) -> str:
        """Return id, source and words, of one that is not run."""
        words = row.statement if isinstance(row, Property) else row.change
        return self._cut(f"{row.id:<{self._id}}  {row.source:<{self._source}}", words)

    @property
    def head(self) -> str:
        """The names of the columns."""
        return self._outcome("", "id", "source", "cases", "error / tolerance", "time", "statement")

    def outcome(self, outcome: Outcome) -> str:
        """Return the line of a property."""
        p = outcome.property
        if outcome.skipped:
            return self._outcome("skipped", p.id, p.source, "–", outcome.skipped, "", p.statement)
        word = "held" if outcome.ok else "FAILED"
        seconds = f"{outcome.seconds:.2f} s"
        return self._outcome(word, p.id, p.source, f"{outcome.examples}", worst_text(outcome), seconds, p.statement)

    def trial(self, trial: Trial) -> str:
        """Return the line of a mutant, and below it who noticed and who did not."""
        m = trial.mutant
        word = {"killed": "killed", "survived": "SURVIVED", "skipped": "skipped"}[trial.verdict]
        line = self._cut(f"{word:<8}  {m.id:<{self._id}}  {m.source:<{self._source}}", m.change)
        noticed, not_noticed = (", ".join(ids) or "none" for ids in (trial.killed_by, trial.unnoticed_by))
        below = f"killed by {noticed}; {len(trial.unnoticed_by)} did not notice: {not_noticed}"
        if trial.verdict == "skipped":
            below = (
                f"not tried: {', '.join(m.killers)}, which must notice it, cannot be checked on this backend or dtype"
            )
        elif not trial.unnoticed_by:
            below = f"killed by {noticed}, all that use it"
        folded = textwrap.wrap(below, max((self.width or 120) - 10, 30), break_long_words=False, break_on_hyphens=False)
        return "\n".join([line, *(" " * 10 + part for part in folded)])

    def _outcome(self, word: str, id: str, source: str, cases: str, worst: str, time: str, statement: str) -> str:
        left = f"{word:<7}  {id:<{self._id}}  {source:<{self._source}}  {cases:>6}  {worst:>21}  {time:>8}"
        return self._cut(left, statement)

    def _cut(self, left: str, words: str) -> str:
        line = f"{left}  {words}".rstrip()
        if self.width is None or len(line) <= self.width:
            return line
        room = self.width - len(left) - 2
        return f"{left}  {words[: room - 1].rstrip()}…" if room >= _NARROW else left.rstrip()


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def outcome_entry(outcome: Outcome, again: str) -> dict[str, Any]:
    """Return an outcome for JSON, numbers that are not finite as null."""
    p, worst = outcome.property, outcome.worst
    status = "skipped" if outcome.skipped else "held" if outcome.ok else "failed"
    return {
        "id": p.id, "statement": p.statement, "source": p.source, "status": status, "examples": outcome.examples,
        "law": worst.law if worst else None,
        "error": _number(worst.error) if worst else None,
        "tolerance": _number(worst.allowed) if worst else None,
        "seconds": round(outcome.seconds, 4), "skipped": outcome.skipped, "failure": outcome.failure, "again": again,
    }  # fmt: skip


def trial_entry(trial: Trial) -> dict[str, Any]:
    """Return a trial for JSON."""
    m = trial.mutant
    return {
        "id": m.id, "change": m.change, "source": m.source, "entry": m.entry, "status": trial.verdict,
        "killed_by": list(trial.killed_by), "unnoticed_by": list(trial.unnoticed_by),
        "must_notice": list(m.killers), "seconds": round(trial.seconds, 4),
    }  # fmt: skip


def total(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return how many held, failed and were skipped, and the cases."""
    found = {"held": 0, "failed": 0, "skipped": 0, "cases": 0}
    for outcome in outcomes:
        found["skipped" if outcome.skipped else "held" if outcome.ok else "failed"] += 1
        found["cases"] += outcome.examples
    return found
