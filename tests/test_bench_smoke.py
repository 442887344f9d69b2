"""The benchmarks run, write what they promise, and refuse to time a wrong result."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from machinekit.benchmarking import WORKLOADS, Pace, Problem, Results, mismatches, ours, pick_workloads, run_workload
from machinekit.benchmarking.bars import judge
from machinekit.benchmarking.cli import QUICK, main
from machinekit.benchmarking.competitors import OURS, PEERS, CannotExpressError, build_peer, installed, pick_peers
from machinekit.benchmarking.figures import can_draw
from machinekit.benchmarking.floor import FLOOR, floor, products
from machinekit.benchmarking.memory import gradient_memory
from machinekit.benchmarking.plan_calls import PLAN_CALLS
from machinekit.benchmarking.problem import tolerance
from machinekit.benchmarking.report import markdown, microseconds
from machinekit.benchmarking.runner import Outcome
from machinekit.benchmarking.scaling import CURVES, fit_power, format_fits, run_curve
from machinekit.benchmarking.slices import block_weights, from_blocks, from_windows, window_weights
from machinekit.benchmarking.table1 import format_table1, run_table1
from machinekit.benchmarking.timing import DeviceClock, HostClock, Stats, Task, core_count, measure

HASTE = Pace(0.01, (2, 3), 1e-5)
SMALL = tuple(w.id for w in WORKLOADS if "small" in w.id)


def problem(name: str) -> Problem:
    (workload,) = pick_workloads([name])
    return Problem.of(workload, backend="numpy")


def load_benchmarks():
    path = Path(__file__).parents[1] / "bench" / "benchmarks.py"
    spec = importlib.util.spec_from_file_location("asv_benchmarks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.id)
def test_every_workload_builds_its_machine_and_data(workload):
    machine = workload.machine(backend="numpy")
    y0, seed = workload.signals(backend="numpy")
    assert y0.shape == seed.shape == workload.shape
    assert y0.dtype == seed.dtype == machine.dtype == np.float32
    assert machine.live.any()
    assert machine.partition.grid(y0.shape) == workload.grid


def test_every_workload_has_a_class_for_asv():
    module = load_benchmarks()
    classes = {c.workload: c for c in vars(module).values() if getattr(c, "__module__", "") == module.__name__}
    classes.pop("")  # the base class
    assert set(classes) == {w.id for w in WORKLOADS}
    benchmark = classes["dense-small"]()
    benchmark.setup()
    for name in ("time_forward", "time_backward", "time_gradient", "peakmem_gradient"):
        getattr(benchmark, name)()


def test_unknown_words_are_answered_with_near_ones():
    with pytest.raises(ValueError, match="dense-small"):
        pick_workloads(["dense-smal"])
    with pytest.raises(ValueError, match="torch"):
        pick_peers("torsh")
    assert pick_peers("none") == ()
    assert pick_peers("all") == tuple(PEERS)
    assert main(["--workload", "dense-smal"]) == 2


def test_quick_run_writes_csv_markdown_and_figure(tmp_path, capsys):
    assert main(["--quick", "--seconds", "0.02", "--backend", "numpy", "--output", str(tmp_path)]) == 0
    stem = tmp_path / "quick-numpy-float32-threads-1"
    rows = [line for line in stem.with_suffix(".csv").read_text().splitlines() if line[0] != "#"]
    rows = list(csv.DictReader(rows))
    assert {row["workload"] for row in rows} == set(QUICK)
    assert {OURS, FLOOR} <= {row["competitor"] for row in rows} <= {OURS, FLOOR, PLAN_CALLS}
    assert all(float(row["minimum_us"]) <= float(row["median_us"]) for row in rows)
    text = stem.with_suffix(".md").read_text()
    assert all(word in text for word in ("## Bars", "dtype: float32", "threads: 1"))
    assert text in capsys.readouterr().out
    assert stem.with_suffix(".png").exists() == can_draw()


@pytest.mark.parametrize("name", ["dense-small", "dense-deep", "conv-small", "rec-small", "rec-small-t1"])
def test_floor_multiplies_what_is_live_and_nothing_else(name):
    p = problem(name)
    w = p.workload
    cost = {k: sum(q.rows * q.inner * q.cols * q.times for q in work) for k, work in products(p).items()}
    live = int(p.machine.live.sum()) * w.positions
    assert cost["weight"] == live
    lags = w.memory + 1 - w.time_block if w.kind == "recurrent" else 0
    first = w.batch * w.time_block * lags * w.channels**2  # the first time block has no past
    assert cost["forward"] == cost["dual"] == live - first
    floor(p, HostClock()).gradient()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("wrong", ["z", "y0", "weight", "shape", "nan", "missing"])
def test_a_wrong_peer_is_an_error_and_is_never_timed(name, wrong):
    def liar(_, p):
        honest = ours(p).results()
        field = "z" if wrong in ("shape", "nan") else wrong
        false = {
            "shape": honest.z[:-1],
            "nan": honest.z * np.nan,
        }.get(wrong, getattr(honest, field, 0) * np.float32(1.001))
        results = None if wrong == "missing" else lambda: replace(honest, **{field: false})
        return replace(ours(p), name="liar", results=results, gradient=pytest.fail)

    outcome = run_workload(problem(name), ["liar"], HASTE, liar)
    assert outcome.failed
    assert outcome.notes[0].competitor == "liar"
    assert not any(competitor == "liar" for competitor, _ in outcome.times)
    assert "ERROR" in markdown({}, [outcome])


def test_a_right_peer_is_timed_and_a_broken_or_unable_one_is_noted():
    def make(name, p):
        if name == "broken":
            raise RuntimeError("out of order")
        if name == "unable":
            raise CannotExpressError("no such layer")
        return replace(ours(p), name=name)

    outcome = run_workload(problem("dense-small"), ["twin", "broken", "unable"], HASTE, make)
    assert ("twin", "gradient") in outcome.times
    assert [(n.competitor, n.error) for n in outcome.notes] == [("broken", True), ("unable", False)]
    assert outcome.ratio("twin") > 0
    assert outcome.time(OURS, "weights") is not None


def test_tolerance_is_relative_to_the_largest_entry():
    ones = np.ones((2, 2))
    mine = Results(ones, ones, ones)
    assert mismatches(mine, replace(mine, z=ones + 0.9e-4), tolerance("float32")) == []
    (sentence,) = mismatches(mine, replace(mine, weight=ones + 1.1e-4), tolerance("float32"))
    assert "weight" in sentence


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("peer", PEERS)
def test_installed_peers_agree(peer, name):
    if not installed(peer) or peer == "torch-compile":  # minutes of compiling are no smoke test
        pytest.skip(f"{peer} is not installed, or slow")
    p = replace(problem(name), threads=core_count())
    try:
        other = build_peer(peer, p)
    except CannotExpressError as reason:
        pytest.skip(str(reason))
    assert mismatches(ours(p).results(), other.results(), tolerance("float32")) == []


@pytest.mark.parametrize("name", SMALL)
def test_slices_take_the_weight_apart_and_put_it_together(name):
    p = problem(name)
    weight = p.host()[0]
    if p.workload.kind == "recurrent":
        b = p.workload.time_block
        again = from_windows(weight.shape, p.bounds, b, *window_weights(weight, p.bounds, b))
    else:
        again = from_blocks(weight.shape, p.bounds, block_weights(weight, p.bounds))
    assert np.array_equal(again, weight)


def test_measure_interleaves_and_prepares_outside_the_clock():
    log = []

    class Clock:
        def time(self, call, argument, repeats):
            call(argument)
            return 1e-3 * repeats

    tasks = [Task((n, "gradient"), lambda a, n=n: log.append((n, a)), lambda n=n: n.lower()) for n in "ABC"]
    times = measure(tasks, Clock(), Pace(0.0, (2, 2), 1e-3))
    timed = [name for name, _ in log][6:]  # two calls each while calibrating
    assert timed == list("AABBCC" * 2)
    assert all(argument == name.lower() for name, argument in log)
    assert times["A", "gradient"] == Stats(1e-3, 1e-3, 1e-3, 1e-3, 2, 1)


def test_device_clock_reads_events():
    log = []

    class Event:
        def record(self):
            log.append("record")

        def synchronize(self):
            log.append("synchronize")

    cuda = SimpleNamespace(
        Event=Event,
        runtime=SimpleNamespace(deviceSynchronize=lambda: log.append("device")),
        get_elapsed_time=lambda start, stop: 6.0,
    )
    backend = SimpleNamespace(xp=SimpleNamespace(cuda=cuda), context=contextlib.nullcontext)
    assert DeviceClock(backend).time(log.append, "call", 2) == pytest.approx(6e-3)
    assert log == ["device", "record", "call", "call", "record", "synchronize", "device"]


def test_memory_counts_results_and_what_stays():
    use = gradient_memory(problem("conv-medium"))
    assert use.peak >= use.held >= 0
    assert use.peak > use.needed / 2
    assert use.tile > 0


def test_bars_judge_only_what_was_measured():
    (workload,) = pick_workloads(["dense-small"])
    stats = [Stats(t, t, t, t, 1, 1) for t in (1e-5, 2e-5)]
    times = {(OURS, "forward"): stats[0], (OURS, "backward"): stats[1], (OURS, "gradient"): stats[1]}
    outcome = Outcome(workload, "float32", "numpy", 1, {**times, ("torch", "gradient"): stats[1]})
    verdicts, unmeasured = judge([outcome])
    words = {v.bar: v.word for v in verdicts}
    assert words["backward / forward"] == "FAIL"
    assert words["gradient vs torch eager, times faster"] == "FAIL"
    assert "public gradient / plan calls only" in unmeasured


def test_fit_recovers_a_power_law():
    x = [1.0, 2.0, 4.0, 8.0]
    assert fit_power(x, [3 * a**1.5 for a in x], 3) == pytest.approx((1.5, 3.0))
    fit = run_curve(CURVES[0], backend="numpy", pace=HASTE, points=3)
    assert fit.work_exponent == pytest.approx(1.0)
    assert "batch" in format_fits([fit])


def test_table1_has_twelve_rows_or_says_why_six():
    outcomes, remark = run_table1(pace=HASTE)
    assert len(outcomes) == (6 if remark else 12)
    assert not any(o.failed for o in outcomes)
    assert format_table1(outcomes).count("\n") == len(outcomes) + 1


def test_numbers_have_three_digits():
    words = {1.234e-6: "1.23", 12.34e-6: "12.3", 123.4e-6: "123", 1.234e-3: "1234", -1e-6: "< 0", None: "–"}
    assert [microseconds(t) for t in words] == list(words.values())


def test_importing_the_benchmarks_imports_no_other_library():
    code = (
        "import sys, machinekit, machinekit.benchmarking.cli; "
        "print([m for m in ('torch', 'jax', 'thinc', 'matplotlib', 'threadpoolctl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_of_the_readme_comes_from_the_kept_results():
    from bench.readme import ROOT, insert, table

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == insert(readme, table())
