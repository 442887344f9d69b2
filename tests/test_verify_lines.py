"""The lines of `machinekit verify`: columns, numbers, widths; what JSON holds."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from machinekit.testing.report import equal
from machinekit.verification import MUTANTS, PROPERTIES, Lab, Outcome, Property, Trial, run
from machinekit.verification.lines import Table, count, failure_text, outcome_entry, total, trial_entry, worst_text

WRONG = Property("wrong", "One and one are three.", "nowhere", lambda lab, draws: [])
OUTCOME = run(PROPERTIES["equation-1"], Lab(), 3)


@pytest.mark.parametrize("width", [None, 40, 80, 100, 120, 200])
def test_lines_are_cut_to_the_width_of_a_terminal_and_numbers_never_are(width):
    table = Table({"equation-1": PROPERTIES["equation-1"]}, width)
    line = table.outcome(OUTCOME)
    numbers = re.match(r"held +equation-1 +eq\. \(1\) +3 +\S+ / \S+ +\d+\.\d\d s", line)
    assert numbers
    if width is None or width == 200:
        assert line.endswith("The stable state solves x = f(x) + x0.")
    else:
        assert len(line) <= max(width, numbers.end())
        room = width - numbers.end() - 2
        assert line.endswith(("…", "x0.")) if room >= 24 else line == numbers[0]
    trial = Trial(MUTANTS["y-for-z"], tuple(PROPERTIES)[:9], tuple(PROPERTIES)[9:], 0.5)
    folded = table.trial(trial).splitlines()
    assert max(map(len, folded[1:])) <= max(width or 120, 48)
    assert " ".join(" ".join(folded[1:]).split()).endswith(tuple(PROPERTIES)[-1])


def test_numbers_and_words_of_a_line():
    assert [count(n, "case") for n in (0, 1, 2, 12345)] == ["0 cases", "1 case", "2 cases", "12,345 cases"]
    assert count(2, "property", "properties") == "2 properties"
    exact = Outcome(WRONG, 1, equal("n", 1, 1), checked=1)
    assert worst_text(exact) == "exact"
    assert worst_text(Outcome(WRONG)) == "–"
    assert re.fullmatch(r"\d\.\de-\d\d / \d\.\de-\d\d", worst_text(OUTCOME))
    assert worst_text(Outcome(WRONG, 1, replace(equal("n", 1, 1), allowed=0.25))) == "0 / 2.5e-01"
    assert worst_text(Outcome(WRONG, 1, equal("n", 1, 2))) == "inf / 0"
    assert failure_text(Outcome(WRONG, failure="  BROKEN n"), "x").splitlines()[1:] == [
        "  BROKEN n",
        "         again: x",
    ]
    held, skipped = OUTCOME, Outcome(WRONG, skipped="host only")
    assert total([held, skipped, Outcome(WRONG)]) == {"held": 1, "failed": 1, "skipped": 1, "cases": 3}
    entry = outcome_entry(Outcome(WRONG, 1, replace(equal("n", 1, 1), error=float("nan"))), "")
    assert entry["error"] is None
    assert json.dumps(entry, allow_nan=False)
    assert trial_entry(Trial(MUTANTS["y-for-z"], ("a",), (), 1.0))["status"] == "killed"


def test_a_table_of_nothing_is_a_head():
    assert Table({}).head.split()[0] == "id"
    assert 0 <= OUTCOME.ratio <= 1
