"""The command line: one line per error, exit status 2, nothing half-written."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import machinekit as mk
from machinekit.cli import main

ROOT = Path(mk.__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder; on NumPy unless the test says otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MACHINEKIT_BACKEND", raising=False)


def series(path="series.csv", n=60, change=lambda rows: rows):
    t = np.arange(n)
    rows = ["t,n", *(f"{k},{v:.6f}" for k, v in zip(t, 5.0 + np.sin(t / 3.0) + 0.1 * np.cos(t * t), strict=True))]
    Path(path).write_text("\n".join(change(rows)) + "\n", encoding="utf-8")
    return path


def run(*arguments):
    try:
        return main(list(map(str, arguments)))
    except SystemExit as end:  # argparse
        return end.code


def tree(folder="."):
    return {str(p): p.read_bytes() if p.is_file() else None for p in Path(folder).rglob("*")}


def test_a_csv_file_of_ones_own_is_forecast(capsys):
    assert run("forecast", series(), "--horizon", 3, "--season", 19, "--output", "out", "--quiet") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    said = ("n from series.csv: 60 values, 0 to 59, 0 gaps", "trained up to 41, tested on 18 values after it",
                  "live weights: 48 of 75 (lag 0: 8 of 25, lag 1: 20 of 25, lag 2: 20 of 25)", "lags 1 to 2",
                  "gradient by hand against complex step: relative error", "1 step ahead", "3 steps ahead",
                  "persistence", "seasonal (19)", "AR(9)", "next: 60: ", "out/forecast.csv")  # fmt: skip
    assert [words for words in said if words not in shown.out] == []
    assert float(re.search(r"relative error (\S+)", shown.out)[1]) <= 1e-7
    assert float(re.search(r"largest difference (\S+)", shown.out)[1]) <= 1e-12
    assert sorted(os.listdir("out")) == ["forecast.csv", "forecast.png", "model.npz"]
    assert stat.S_IMODE(os.stat("out/forecast.csv").st_mode) & 0o444 == 0o444


def test_the_bundled_sunspots_are_the_default(capsys):
    assert run("forecast", "--quiet") == 0
    out = capsys.readouterr().out
    found = {
        name: float(re.search(rf"{re.escape(name)} +(\S+)", out)[1]) for name in ("machine  ", "persistence", "AR(9)")
    }
    assert found["machine  "] <= 0.20
    assert found["persistence"] == 0.536
    assert found["AR(9)"] == 0.149
    assert "sunspots from the bundled sunspots.csv: 309 values, 1700 to 2008, 0 gaps" in out
    assert sorted(os.listdir("forecast")) == ["forecast.csv", "forecast.png", "model.npz"]


def test_gaps_are_counted_and_forecast_over(capsys):
    """Empty cells and NaN cells are the same gap."""
    outputs = []
    for gap in ("", "NaN"):
        path = series(change=lambda rows, gap=gap: [f"{r.partition(',')[0]},{gap}" if 20 <= k < 24 else r
                                                    for k, r in enumerate(rows)])  # fmt: skip
        assert run("forecast", path, "--quiet") == 0
        assert "60 values, 0 to 59, 4 gaps" in capsys.readouterr().out
        outputs.append(Path("forecast/forecast.csv").read_bytes())
    assert outputs[0] == outputs[1]
    assert b"\n20,train,,5." in outputs[0] or b"\n20,train,,4." in outputs[0]


def test_a_second_run_replaces_the_files(capsys):
    series()
    assert run("forecast", "series.csv", "--quiet") == 0
    first = tree("forecast")
    assert run("forecast", "series.csv", "--quiet", "--seed", 1) == 0
    second = tree("forecast")
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def text(content):
    def write():
        Path("bad.csv").write_bytes(content.encode())
        return ("bad.csv",)

    return write


def good(*flags):
    return lambda: (series(), *flags)


BAD = {
    "an infinity": (text("t,n\n0,1\n1,inf\n"), r"bad.csv, line 3, column 'n': 'inf' is no finite number"),
    "text": (text("t,n\n0,x\n"), r"bad.csv, line 2, column 'n': 'x' is no finite number"),
    "an empty file": (text(""), r"bad.csv is empty; it needs a header line and one row per time step"),
    "one line": (text("t,n\n"), r"bad.csv has one line, 't,n'; it needs"),
    "a series too short": (text("t,n\n0,1\n1,2\n2,3\n"), r"column 'n' has 3 values, 2 to train on .* give a longer"),
    "a missing column": (good("--column", "m"), r"--column is 'm', but series.csv has columns t, n; choose from t, n"),
    "a misspelt column": (good("--date-column", "tt"), r"--date-column is 'tt', .* did you mean 't'\?"),
    "a missing file": (lambda: ("absent.csv",), r"FILE is 'absent.csv', which does not exist; give the path"),
    "a folder for a file": (lambda: (".",), r"\.: Is a directory; choose another path"),
    "a column without a file": (lambda: ("--column", "n"), r"--column is 'n' but no file is given"),
    "a quote that is not closed": (text('t,n\n0,"1\n'), r"bad.csv, line 2: unexpected end of data"),
    "bytes": (lambda: (Path("b.csv").write_bytes(b"\xff\xfe\x00a"), ("b.csv",))[1], r"'b.csv' is not UTF-8 text"),
    "horizon 0": (good("--horizon", "0"), r"--horizon is 0; pass at least 1"),
    "a negative seed": (good("--seed", "-1"), r"--seed is -1; pass at least 0"),
    "a negative memory": (good("--memory", "-1"), r"--memory is -1; pass at least 0"),
    "season 0": (good("--season", "0"), r"--season is 0; pass at least 1"),
    "a horizon in words": (good("--horizon", "two"), r"argument --horizon: invalid int value: 'two' \(see machinekit"),
    "a memory longer than the series": (good("--memory", "99"), r"memory 99 and horizon 1 need at least"),
    "a training part of everything": (good("--train", "60"), r"60 to train on and 0 to test on"),
    "an unknown transform": (good("--transform", "lgo"), r"--transform is 'lgo'; did you mean 'log'\?"),
    "an empty transform": (good("--transform", ""), r"--transform is ''; choose from none, sqrt, log"),
    "an unknown backend": (good("--backend", "nunpy"), r"backend='nunpy' is no array library; did you mean 'numpy'"),
    "a library that is no array library": (good("--backend", "os"), r"backend='os' is no array library"),
    "an unknown option": (good("--horizont", "3"), r"unrecognized arguments: --horizont 3 \(see machinekit --help\)"),
    "an output under a file": (good("--output", "series.csv/x"), r"series.csv/x: Not a directory; choose another path"),
    "an output that is a file": (good("--output", "series.csv"), r"series.csv: File exists; choose another path"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_status_2_and_nothing_is_written(what, capsys):
    make, words = BAD[what]
    arguments = make()
    Path("forecast").mkdir()
    Path("forecast/forecast.csv").write_text("an earlier one", encoding="utf-8")
    before = tree()
    assert run("forecast", *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert re.match(rf"machinekit( forecast)?: error: .*{words}", shown.err), shown.err
    assert tree() == before


@pytest.mark.parametrize("arguments", [("--horizon", "400"), ("--backend", "nunpy"), ("--season", "0")])
def test_bad_input_makes_no_folder(arguments, capsys):
    assert run("forecast", *arguments, "--output", "new/folder") == 2
    assert tree() == {}
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_refused_before_any_work(capsys):
    Path("locked").mkdir(mode=0o555)
    assert run("forecast", series(), "--output", "locked") == 2
    assert "Permission denied" in capsys.readouterr().err


def test_a_folder_where_a_file_should_go_names_it_and_leaves_the_rest(capsys):
    Path("out/forecast.csv").mkdir(parents=True)
    assert run("forecast", series(), "--quiet", "--output", "out") == 2
    assert re.search(r"error: out/forecast.csv: Is a directory; choose another path\n$", capsys.readouterr().err)
    assert list(tree("out")) == ["out/forecast.csv"]


def test_a_disk_that_is_full_leaves_the_earlier_files_whole(capsys, monkeypatch):
    assert run("forecast", series(), "--quiet", "--output", "out") == 0
    before = tree("out")
    capsys.readouterr()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("machinekit.forecasting.outputs.os.replace", full)
    assert run("forecast", series(), "--quiet", "--output", "out", "--seed", 1) == 2
    assert capsys.readouterr().err == "machinekit forecast: error: No space left on device; choose another path\n"
    assert tree("out") == before


def test_a_check_that_fails_is_said_and_is_status_1(capsys, monkeypatch):
    monkeypatch.setattr("machinekit.cli.forecast._GRADIENT", 0.0)
    assert run("forecast", series(), "--quiet") == 1
    assert "a check failed: gradient " in capsys.readouterr().out


def test_info_prints_versions_and_what_can_be_used(capsys, monkeypatch):
    assert run("info") == 0
    out = capsys.readouterr().out
    rows = dict(re.split(r" {2,}| (?=\S*$)", line, maxsplit=1) for line in out.splitlines() if "  " in line)
    assert rows["machinekit"] == mk.__version__
    assert rows["numpy"] == np.__version__
    assert re.search(r"^BLAS +\S+", out, re.M)
    assert re.search(r"^backend numpy +usable: numpy$", out, re.M)
    assert re.search(r"^backend cupy +(not )?usable: ", out, re.M)
    assert re.search(r"^MACHINEKIT_BACKEND +not set$", out, re.M)
    monkeypatch.setenv("MACHINEKIT_BACKEND", "array_api_strict")
    assert run("info") == 0
    assert re.search(r"^default backend +array_api_strict on ", capsys.readouterr().out, re.M)


def test_the_backend_flag_and_the_variable_mean_the_same(capsys, monkeypatch):
    series(n=40)
    fit = mk.fit
    monkeypatch.setattr("machinekit.forecasting.experiment.fit", lambda *a, **k: fit(*a, **{**k, "steps": 2}))
    assert run("forecast", "series.csv", "--quiet", "--backend", "array_api_strict:device1") == 0
    shown = capsys.readouterr().out
    assert "float64 on array_api_strict on array_api_strict.Device('device1')" in shown
    monkeypatch.setenv("MACHINEKIT_BACKEND", "nunpy")
    assert run("forecast", "series.csv") == 2
    assert "MACHINEKIT_BACKEND='nunpy' is no array library" in capsys.readouterr().err


def test_cupy_without_cupy_is_one_clear_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert run("forecast", "--backend", "cupy") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "backend='cupy' needs CuPy, which is not installed; install exactly one of" in err
    assert tree() == {}


@pytest.mark.parametrize(("arguments", "status"), [((), 2), (("nonsense",), 2), (("--version",), 0), (("--help",), 0)])
def test_the_top_level_answers(arguments, status, capsys):
    assert run(*arguments) == status
    shown = capsys.readouterr()
    assert (shown.err.count("\n"), bool(shown.out)) == ((1, False) if status else (0, True))


@pytest.mark.parametrize("arguments", [("info",), ("forecast", "series.csv", "--quiet"), ("forecast", "absent.csv")])
def test_python_dash_m_works_from_any_folder(arguments, tmp_path):
    series(n=40)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-m", "machinekit", *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == (2 if "absent.csv" in arguments else 0), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (1 if done.returncode else 0)
