"""`machinekit verify`: what it prints, what it answers in its exit status, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from dataclasses import replace

import pytest

import machinekit as mk
from machinekit.cli import main
from machinekit.testing.report import equal
from machinekit.verification import MUTANTS, PROPERTIES, Lab, Property
from machinekit.verification import command as module

QUICK = ("--examples", 3)
SOME = "equation-1,live-weights,theorem-2-mutual"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder, which stays empty; on NumPy unless the test says otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MACHINEKIT_BACKEND", raising=False)
    yield
    assert os.listdir(tmp_path) == []


def verify(*arguments):
    try:
        return main(["verify", *map(str, arguments)])
    except SystemExit as end:  # argparse
        return end.code


def lines(capsys):
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out.splitlines()


def check_wrong(lab, draws):
    """One and one are three."""
    n = draws.integer(0, 100)
    return [equal("n + n is below 50", n + n < 50, True), equal("n + n is even", (n + n) % 2, 0)]


WRONG = Property("wrong", "One and one are three.", "nowhere", check_wrong)


@pytest.fixture
def with_a_failure(monkeypatch):
    """Among the properties is one that does not hold."""
    monkeypatch.setattr(module, "PROPERTIES", {"wrong": WRONG, "equation-1": PROPERTIES["equation-1"]})


def test_each_statement_is_a_line_and_the_last_line_counts(capsys, spec):
    assert verify(*QUICK, "--only", SOME, "--backend", spec) == 0
    head, *rows, last = lines(capsys)
    assert head.split() == ["id", "source", "cases", "error", "/", "tolerance", "time", "statement"]
    assert [row.split()[1] for row in rows] == [id for id in PROPERTIES if id in SOME.split(",")]
    for row in rows:
        p = PROPERTIES[row.split()[1]]
        pattern = rf"held +{p.id} +{re.escape(p.source)} +3 +(exact|\S+ / \S+) +\d+\.\d\d s  {re.escape(p.statement)}$"
        assert re.match(pattern, row), row
    assert re.match(
        r"3 held, 0 failed, 0 skipped: 9 cases in \d+\.\d s \(seed 0, float64 on " + spec.split(":")[0], last
    )


def test_all_are_verified_unless_told_otherwise(capsys):
    assert verify("--examples", 4) == 0
    _, *rows, last = lines(capsys)
    assert [row.split()[1] for row in rows] == list(PROPERTIES)
    assert last.startswith(f"{len(PROPERTIES)} held, 0 failed, 0 skipped: {4 * len(PROPERTIES)} cases in ")


def test_what_single_precision_cannot_show_is_skipped(capsys):
    assert verify("--examples", 20, "--only", "equation-3, equation-1", "--dtype", "float32") == 0
    _, *rows, last = lines(capsys)
    assert re.match(r"held +equation-1 .* \d\.\de-0\d / ", rows[0])
    assert re.match(r"skipped +equation-3 +eq\. \(3\) +– +double precision only +DR_f", rows[1])
    assert last.startswith("1 held, 0 failed, 1 skipped: 20 cases in ")
    assert last.endswith("(seed 0, float32 on numpy)")


def test_the_same_seed_prints_the_same(capsys):
    outputs = []
    for seed in (7, 7, 8):
        assert verify(*QUICK, "--only", "equation-1", "--only", "theorem-3-inputs", "--seed", seed) == 0
        outputs.append([re.sub(r"\d+\.\d+ s", "", line) for line in lines(capsys)[1:-1]])
    assert outputs[0] == outputs[1] != outputs[2]


def test_one_statement_alone_meets_the_cases_that_it_meets_among_others(capsys):
    assert verify(*QUICK, "--only", SOME, "--json") == 0
    among = {p["id"]: p for p in json.loads(capsys.readouterr().out)["properties"]}
    for id in SOME.split(","):
        assert verify(*QUICK, "--only", id, "--json") == 0
        (alone,) = json.loads(capsys.readouterr().out)["properties"]
        assert {**alone, "seconds": 0} == {**among[id], "seconds": 0}


def test_thorough_is_ten_times_the_cases(capsys):
    assert verify(*QUICK, "--only", "equation-1", "--thorough") == 0
    assert " 30 cases" in lines(capsys)[-1]
    assert verify("--only", "equation-4") == 0
    assert f" {module.EXAMPLES} cases" in lines(capsys)[-1]


def test_json_is_one_document_and_nothing_else(capsys, spec):
    assert verify(*QUICK, "--only", SOME, "--json", "--seed", 4, "--backend", spec) == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert shown.err == ""
    assert document["machinekit"] == mk.__version__
    assert (document["seed"], document["examples"], document["dtype"]) == (4, 3, "float64")
    assert document["backend"].startswith(spec.split(":")[0])
    assert [p["id"] for p in document["properties"]] == [id for id in PROPERTIES if id in SOME.split(",")]
    for p in document["properties"]:
        assert p["status"] == "held"
        assert p["examples"] == 3
        assert 0 <= p["error"] <= p["tolerance"]
        assert p["statement"] == PROPERTIES[p["id"]].statement
        assert p["again"] == f"machinekit verify --only {p['id']} --seed 4 --examples 3 --backend {spec}"
    assert "mutants" not in document


def test_a_failure_is_reported_below_with_the_command_that_repeats_it(capsys, with_a_failure):
    assert verify("--examples", 20, "--seed", 3) == 1
    out = capsys.readouterr().out
    _, first, second, *rest = out.splitlines()
    assert re.match(r"FAILED +wrong +nowhere +\d+ +inf / 0 +\d", first)
    assert second.startswith("held ")
    assert rest[0] == ""
    assert rest[1:4] == ["wrong: One and one are three.",
                         "  BROKEN n + n is below 50: error inf, allowed 0",
                         "         left False, right True, scale 0"]  # fmt: skip
    assert rest[4:7] == ["         case: fixed", "         seed: 3",
                         "         again: machinekit verify --only wrong --seed 3 --examples 20"]  # fmt: skip
    assert rest[-1].startswith("1 held, 1 failed, 0 skipped: ")
    assert "is even" not in out


def test_a_failure_in_json_is_a_document_too(capsys, with_a_failure):
    assert verify("--examples", 20, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    wrong, right = document["properties"]
    assert (wrong["status"], right["status"]) == ("failed", "held")
    assert wrong["error"] is None
    assert "n + n is below 50" in wrong["failure"]


def test_what_checks_nothing_has_not_held(capsys, monkeypatch):
    monkeypatch.setattr(module, "PROPERTIES", {"empty": replace(WRONG, id="empty", check=lambda lab, draws: [])})
    assert verify(*QUICK) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "nothing was checked in any case" in out


def test_list_runs_nothing(capsys, monkeypatch):
    monkeypatch.setattr(module, "run", lambda *_: pytest.fail("work was done"))
    assert verify("--list") == 0
    listed = lines(capsys)
    assert [line.split()[0] for line in listed] == list(PROPERTIES)
    assert all(line.endswith(p.statement) for line, p in zip(listed, PROPERTIES.values(), strict=True))
    assert verify("--list", "--mutants", "--json") == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == list(MUTANTS)
    assert verify("--list", "--only", "remark-2") == 0
    assert [line.split()[0] for line in lines(capsys)] == ["remark-2"]


@pytest.fixture
def few(monkeypatch):
    """Fewer properties for the mutants to meet, so that the tests are short."""
    ids = ("equation-13", "live-weights", "theorem-2-mutual", "theorem-2-ordered", "equation-12")
    monkeypatch.setattr(module, "PROPERTIES", {id: PROPERTIES[id] for id in ids})


def test_a_mutant_is_a_line_with_who_noticed_and_who_did_not(capsys, few):
    assert verify("--mutants", "--examples", 10, "--only", "dual-without-v0,sum-without-identity") == 0
    first, *rows, last = lines(capsys)
    assert first == "the right code: 5 of 5 statements hold, 0 skipped; now one change at a time"
    assert re.match(r"killed +dual-without-v0 +§3, equivariant dual +v = σ′\(y\) ⊙ u, where it is σ′\(y\) ⊙ u", rows[0])
    assert rows[1].strip() == "killed by equation-13, equation-12, all that use it"
    assert rows[3].strip() == "killed by theorem-2-mutual; 1 did not notice: theorem-2-ordered"
    assert last.startswith("2 killed, 0 survived, 0 skipped: 2 mutants in ")


def test_a_survivor_is_a_failure(capsys, few, monkeypatch):
    blind = replace(MUTANTS["dual-without-v0"], wrong=Lab().dual, killers=("equation-13",))
    monkeypatch.setattr(module, "MUTANTS", {"blind": blind})
    assert verify("--mutants", *QUICK) == 1
    rows = lines(capsys)
    assert rows[1].startswith("SURVIVED  dual-without-v0")
    assert rows[2].strip() == "killed by none; 2 did not notice: equation-13, equation-12"
    assert verify("--mutants", *QUICK, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["mutants"][0]["status"] == "survived"
    assert document["mutants"][0]["unnoticed_by"] == ["equation-13", "equation-12"]
    assert [p["status"] for p in document["properties"]] == ["held"] * 5


def test_right_code_that_fails_kills_nothing(capsys, with_a_failure, monkeypatch):
    """A property that fails on the right code says nothing about mutants; it is reported, and the status is 1."""
    monkeypatch.setattr(module, "MUTANTS", {"y": replace(MUTANTS["y-for-z-in-the-sweep"], killers=("equation-1",))})
    assert verify("--mutants", "--examples", 20) == 1
    out = capsys.readouterr().out
    assert "n + n is below 50" in out
    assert "the right code: 1 of 2 statements hold, 0 skipped" in out
    assert "killed by equation-1, all that use it" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "theorem-4"), r"--only is 'theorem-4', which is not one of \d+ ids; did you mean 'theorem-1'"),
        (("--only", "prop"), r"--only is 'prop', .* did you mean 'proposition-1' or 'proposition-1-conv"),
        (("--only", "equation-1,,"), r"--only is '', which is not one of \d+ ids; --list shows all"),
        (("--only", "§"), r"--only is '§', which is not one of \d+ ids; --list shows all"),
        (("--mutants", "--only", "dual-without-vo"), r"'dual-without-vo', .* did you mean 'dual-without-v0'\?"),
        (("--examples", 0), r"--examples is 0; pass at least 1"),
        (("--examples", -5), r"--examples is -5; pass at least 1"),
        (("--examples", "many"), r"argument --examples: invalid int value: 'many' \(see machinekit verify --help\)"),
        (("--seed", -1), r"--seed is -1; pass at least 0"),
        (("--dtype", "float16"), r"argument --dtype: invalid choice: 'float16' \(choose from"),
        (
            ("--dtype", "float32", "--only", "equation-3"),
            r"nothing to verify: equation-3 cannot be checked in float32 on",
        ),
        (("--backend", "nunpy"), r"backend='nunpy' is no array library; did you mean 'numpy'"),
        (("--backend", "cupy"), r"backend='cupy'"),
        (("--mutagens",), r"unrecognized arguments: --mutagens"),
        (("theorem-1",), r"unrecognized arguments: theorem-1 \(see machinekit --help\)"),
    ],
)
def test_bad_input_is_one_line_and_status_2_before_any_work(arguments, words, capsys, monkeypatch):
    monkeypatch.setattr(module, "run", lambda *_: pytest.fail("work was done"))
    monkeypatch.setattr(module, "entries_used", lambda *_: pytest.fail("work was done"))
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert verify(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert re.match(rf"machinekit( verify)?: error: .*({words})", shown.err), shown.err


def test_a_terminal_is_asked_for_its_width(monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert verify(*QUICK, "--only", "definition-2") == 0
    shown = terminal.getvalue().splitlines()
    assert len(shown[1]) <= 110
    assert shown[1].endswith("…")
