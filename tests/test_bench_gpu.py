"""What the benchmarks do on a GPU, as far as it can be checked without one: on the stand-in for CuPy."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from machinekit.benchmarking import GPU_WORKLOADS, WORKLOADS, Pace, Problem, pick_workloads, run_workload
from machinekit.benchmarking import runner as runner_module
from machinekit.benchmarking.bars import judge
from machinekit.benchmarking.cli import QUICK, main
from machinekit.benchmarking.competitors import OURS, PEERS, CannotExpressError, forced, ours
from machinekit.benchmarking.device import chosen_method, describe_device, describe_precision
from machinekit.benchmarking.figures import can_draw
from machinekit.benchmarking.floor import FLOOR, floor, products
from machinekit.benchmarking.problem import mismatches
from machinekit.benchmarking.report import markdown, to_csv
from machinekit.benchmarking.runner import Outcome
from machinekit.benchmarking.table1 import format_table1, run_table1
from machinekit.benchmarking.timing import HostClock, Stats

from .gpu_bench import TINY, cupy_here
from .standin import ledger
from .standin.arrays import ndarray as StandInArray

__all__ = ["cupy_here"]  # a fixture for all tests here

HASTE = Pace(0.0, (2, 2), 1e-5)
PEERS_HERE = tuple(name for name in PEERS if name != "thinc")  # it brings kernels that the stand-in cannot compile


@pytest.fixture
def haste(monkeypatch):
    monkeypatch.setattr("machinekit.benchmarking.clocks.DeviceClock.sample", 0.0)
    monkeypatch.setattr("machinekit.benchmarking.clocks.DeviceClock.warm_up", 3)


def stats(*medians: float) -> list[Stats]:
    return [Stats(t / 2, t, t, t, 1, 1) for t in medians]


def test_gpu_sizes_are_the_same_machines_and_fit():
    assert [(w.id, w.kind, w.large, w.memory, w.padding) for w in GPU_WORKLOADS] == [
        (w.id, w.kind, w.large, w.memory, w.padding) for w in WORKLOADS
    ]
    for w, paper in zip(GPU_WORKLOADS, WORKLOADS, strict=True):
        assert (w == paper) == ("small" in w.id)
        assert w.positions * w.channels * 4 <= 256 << 20
    assert pick_workloads(["dense-large"], "gpu")[0].shape == (4096, 8192)
    assert str(pick_workloads(["conv2d"], "gpu")[0]) == "5 blocks of 64, 64 × 64, batch 32"
    with pytest.raises(ValueError, match="gpu"):
        pick_workloads(None, "gpus")


def test_quick_run_goes_through_from_clock_to_files(tmp_path, capsys, haste):
    peers = ",".join(PEERS_HERE)
    options = ["--quick", "--seconds", "0.01", "--backend", "cupy", "--peers", peers, "--output", str(tmp_path)]
    assert main(options) == 0
    assert "conv-small" in capsys.readouterr().out
    stem = tmp_path / "quick-cupy-float32"
    text = stem.with_suffix(".md").read_text()
    for words in ("GPU: ", "CUDA: driver", "TF32: CuPy off", "sizes: gpu", "medians", "## Machines", "5 blocks of 2",
                  "largest relative difference from NumPy", "bare cuBLAS", "CUDA graphs"):  # fmt: skip
        assert words in text
    lines = stem.with_suffix(".csv").read_text().splitlines()
    assert any(line.startswith("# size of dense-small: 5 blocks of 2, batch 2") for line in lines)
    rows = list(csv.DictReader(line for line in lines if line[0] != "#"))
    assert {row["workload"] for row in rows} == set(QUICK)
    timed = {row["competitor"] for row in rows if row["minimum_us"]}
    assert {OURS, FLOOR} <= timed
    assert all(row["note"].startswith("method chosen: ") for row in rows if row["competitor"] == OURS)
    for name in (*PEERS_HERE, f"{OURS} plan", f"{OURS} kernel"):
        mine = [row for row in rows if row["competitor"] == name]
        assert mine, "neither timed nor said why not"
        assert all(row["minimum_us"] or row["note"] for row in mine)
    assert stem.with_suffix(".png").exists() == can_draw()


def test_a_workload_that_breaks_does_not_take_the_table_with_it(tmp_path, haste, monkeypatch):
    honest, kept = runner_module.run_workload, []

    def breaking(problem, *args, **kwargs):
        kept.append({path.name for path in tmp_path.glob("*.md")})
        if problem.workload.id == "dense-small":
            raise MemoryError("out of memory\nat all")
        return honest(problem, *args, **kwargs)

    monkeypatch.setattr(runner_module, "run_workload", breaking)
    options = ["--quick", "--workload", "dense-small", "conv-small", "--seconds", "0.01", "--output", str(tmp_path)]
    assert main([*options, "--backend", "cupy"]) == 1
    text = (tmp_path / "quick-cupy-float32.md").read_text()
    assert "machinekit on dense-small: failed: MemoryError: out of memory" in text
    assert "| conv-small  | gemm floor" in text
    assert kept == [set(), {"quick-cupy-float32.md"}]  # written after each, for a run may be cut off
    with pytest.raises(MemoryError):
        main([*options, "--backend", "numpy"])


def test_sizes_of_the_other_kind_are_written_elsewhere(tmp_path, haste):
    options = ["--workload", "dense-small", "--peers", "none", "--seconds", "0.01", "--backend", "cupy"]
    main([*options, "--sizes", "cpu", "--output", str(tmp_path)])
    assert {path.suffix for path in tmp_path.glob("table-cupy-float32-cpu-sizes.*")} >= {".csv", ".md"}


def test_columns_and_ratios_are_medians_on_a_gpu_and_minima_on_a_processor():
    times = dict(zip([(OURS, "gradient"), ("torch", "gradient")], stats(1e-5, 6e-5), strict=True))
    times["torch", "gradient"] = replace(times["torch", "gradient"], minimum=1e-5)
    here = Outcome(TINY[0], "float32", "cupy on <CUDA Device 0>", 1, times, method="kernel")
    assert here.ratio("torch") == pytest.approx(6.0)
    assert replace(here, backend="numpy").ratio("torch") == pytest.approx(2.0)
    text = " ".join(markdown({}, [here]).split())
    assert "| dense | machinekit | – | – | – | 10.0 | 5.00 | 10.0–10.0 | 1.00 |" in text
    assert "| 60.0 | 10.0 | 60.0–60.0 | 6.00 |" in text
    assert "method chosen: kernel" in to_csv({}, [here])


def test_bars_of_a_gpu():
    (small, large) = pick_workloads(["dense-small", "dense-large"], "gpu")
    keys = [(name, "gradient") for name in (OURS, "torch", "torch-compile", FLOOR)]
    right = dict(zip(keys, stats(1.0, 5.1, 1.6, 0.8), strict=True))
    wrong = dict(zip(keys, stats(1.0, 4.9, 1.4, 0.7), strict=True))

    def words(workload, times, difference):
        outcome = Outcome(workload, "float32", "cupy", 1, times, difference=difference)
        return {v.bar: v.word for v in judge([outcome])[0]}

    eager, graphs, bare, numpy = (
        "gradient vs torch eager, times faster", "gradient vs torch.compile with CUDA graphs, times faster",
        "gradient / bare cuBLAS products", "largest relative difference from NumPy",
    )  # fmt: skip
    assert words(small, right, 0.9e-4) == {eager: "pass", graphs: "pass", numpy: "pass"}
    assert words(small, wrong, 1.1e-4) == {eager: "FAIL", graphs: "FAIL", numpy: "FAIL"}
    assert words(large, right, 0.0) == {eager: "orientation", graphs: "orientation", bare: "pass", numpy: "pass"}
    assert words(large, wrong, float("nan"))[bare] == "FAIL"
    assert words(large, wrong, float("nan"))[numpy] == "FAIL"
    _, unmeasured = judge([Outcome(small, "float32", "cupy", 1)])
    assert graphs in unmeasured
    assert "backward / forward" not in unmeasured
    assert not any("NumPy" in bar for bar in judge([])[1])


def test_a_method_that_cannot_serve_says_why_and_a_wrong_one_is_an_error(haste, monkeypatch):
    def serve(problem, method):
        if method == "kernel":
            raise CannotExpressError("too wide for one kernel")
        honest, off = ours(problem), ours(problem).results().y0
        return replace(honest, name=f"{OURS} {method}", results=lambda: replace(honest.results(), z=off))

    monkeypatch.setattr("machinekit.benchmarking.runner.forced", serve)
    monkeypatch.setattr("machinekit.benchmarking.runner.difference_from_numpy", lambda _: 0.125)
    outcome = run_workload(Problem.of(TINY[0], "float32", "cupy"), (), HASTE)
    assert {(n.competitor, n.error) for n in outcome.notes} == {(f"{OURS} plan", True), (f"{OURS} kernel", False)}
    assert "cannot serve: too wide for one kernel" in {n.text for n in outcome.notes}
    assert (OURS, "gradient") in outcome.times
    assert outcome.difference == 0.125


def test_forcing_writes_the_method_in_every_call():
    problem, seen = Problem.of(TINY[0], "float32", "cupy"), []

    class Spy:
        """A machine, or its dual, that notes the methods it is called with."""

        def __init__(self, machine):
            self.machine = machine

        def _call(self, name, args, method, kwargs):
            if method == "kernel":
                raise ValueError("too wide\nreally")
            seen.append((name, method))
            return getattr(self.machine, name)(*args, **kwargs)

        def solve(self, *args, method="none"):
            return self._call("solve", args, method, {})

        def pullback(self, *args, method="none", **kwargs):
            return self._call("pullback", args, method, kwargs)

        def dual(self, state):
            return Spy(self.machine.dual(state))

    spied = replace(problem, machine=Spy(problem.machine))
    with pytest.raises(CannotExpressError, match=r"^too wide$"):
        forced(spied, "kernel")
    competitor = forced(spied, "plan")
    competitor.gradient()
    competitor.backward(competitor.forward())
    competitor.results()
    assert {name for name, _ in seen} == {"solve", "pullback"}
    assert {method for _, method in seen} == {"plan"}


def test_forcing_the_reference_sweep_gives_what_ours_gives():
    problem = Problem.of(TINY[2], "float64", "cupy")
    assert mismatches(ours(problem).results(), forced(problem, "reference").results(), 1e-12) == []


@pytest.mark.parametrize("workload", TINY, ids=lambda w: w.id)
def test_floor_launches_the_products_and_nothing_else(workload):
    problem = Problem.of(workload, "float32", "cupy")
    bare, work = floor(problem, HostClock()), products(problem)
    if not isinstance(problem.y0, StandInArray):
        pytest.skip("only the stand-in counts launches")
    with ledger.launches() as launched:
        bare.gradient()
    assert set(launched) == {"gemm"}
    assert len(launched) == sum(p.times for each in work.values() for p in each)


def test_table1_has_gpu_rows_with_the_method(haste, monkeypatch):
    monkeypatch.setattr("machinekit.benchmarking.table1.ROWS", ("dense-small", "conv-small", "rec-small"))
    outcomes, remark = run_table1(pace=Pace(0.0, (2, 2), 1e-5))
    assert remark == ""
    assert [o.on_gpu for o in outcomes] == [False] * 3 + [True] * 3
    assert {o.dtype for o in outcomes if o.on_gpu} == {"float32"}
    assert not any(o.failed or o.notes for o in outcomes)
    assert {name for name, _ in outcomes[-1].times} == {OURS, FLOOR}
    table = format_table1(outcomes)
    assert table.count("| GPU") == 3
    assert "method" in table.splitlines()[0]
    assert "method" not in format_table1(outcomes[:3]).splitlines()[0]


def test_the_head_says_what_the_device_is(monkeypatch):
    problem = Problem.of(TINY[0], "float32", "cupy")
    runtime = problem.backend.xp.cuda.runtime
    p = {"name": b"Some GPU", "major": 9, "minor": 0, "multiProcessorCount": 132, "totalGlobalMem": 80 << 30,
         "l2CacheSize": 50 << 20}  # fmt: skip
    monkeypatch.setattr(runtime, "getDeviceProperties", lambda index: p)
    monkeypatch.setattr(runtime, "driverGetVersion", lambda: 13000)
    monkeypatch.setenv("CUPY_TF32", "1")
    head = describe_device(problem.backend)
    assert head["GPU"].startswith("Some GPU, device 0, compute capability 9.0, 132 multiprocessors, 80 GiB")
    assert "for CUDA 13.0" in head["CUDA"]
    assert head["cache"].endswith("L2 of 50 MiB")
    assert "CUPY_TF32=1" in head["GPU environment"]
    assert describe_precision()["TF32"].startswith("CuPy on")
    assert chosen_method(problem)
