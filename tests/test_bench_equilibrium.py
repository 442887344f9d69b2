"""The bench of equilibria: it runs, compares before it times, judges what it measured, and needs no other library."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from machinekit.benchmarking import equilibrium, equilibrium_layers, equilibrium_tables
from machinekit.benchmarking.cli import main
from machinekit.benchmarking.competitors import OURS
from machinekit.benchmarking.equilibrium import MON, TEXTBOOK, TORCHDEQ, Answer, judge_equilibrium, run_equilibrium
from machinekit.benchmarking.equilibrium_layers import Results, exact, hard, init, present, trained
from machinekit.benchmarking.equilibrium_peers import textbook, unrolled
from machinekit.benchmarking.equilibrium_report import equilibrium_csv, format_equilibrium
from machinekit.benchmarking.equilibrium_tables import MemoryRow, memory_table, solver_table, tolerance_grid
from machinekit.benchmarking.timing import Pace, Stats

HASTE = Pace(0.02, (1, 2), 1e-4)


def absent(package):
    return False


@pytest.fixture(scope="module")
def report():
    """A quick run as where nothing else is installed: no torch, no scikit-learn."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (equilibrium, equilibrium_layers):
            patch.setattr(module, "present", absent)
        return run_equilibrium(None, 1, HASTE, quick=True)


def test_a_quick_run_needs_nothing_else(report):
    assert [(o.layer, o.dtype) for o in report.steps] == [
        (layer, dtype) for layer in ("init24", "hard24") for dtype in ("float32", "float64")
    ]
    assert not report.wrong
    for o in report.steps:
        assert {who for who, _ in o.times} == {
            OURS,
            TEXTBOOK,
            f"{TEXTBOOK}, contiguous",
            f"{TEXTBOOK}, α = 1",
        }
        assert {what for who, what in o.times if who == OURS} == {"solve", "dual", "pullback", "step"}
        assert o.ratio(TEXTBOOK, "solve") > 0
        assert o.ratio(MON, "step") is None
        own = o.answers[OURS, "step"]
        assert max(own.error, own.gradient_error) <= 10 * o.rtol
    page = format_equilibrium(report)
    assert "drawn standard normal" in page
    assert "Not installed: torch, torchdeq." in page
    rows = list(csv.DictReader(equilibrium_csv({"date": "today"}, report).splitlines()[1:]))
    assert {row["table"] for row in rows} == {"step", "memory", "solver", "tolerance"}
    assert all(np.isfinite(float(row["value"])) for row in rows)


def test_the_exact_solution_is_one():
    """In the machine equation, in the dual one, and in the directional derivative of ⟨seed, z⟩."""
    for layer in (init(12, 7), hard(12, 7)):
        truth, slope = exact(layer), exact(layer).z > 0
        assert np.allclose(truth.z, np.maximum(truth.z @ layer.W.T + layer.start, 0.0), atol=1e-13)
        assert np.allclose(truth.v, slope * (truth.v @ layer.W + layer.seed), atol=1e-12)
        rng, h = np.random.default_rng(0), 1e-6
        for name, bar in truth.cotangents.items():
            along = rng.standard_normal(bar.shape)
            there, back = (exact(replace(layer, **{name: getattr(layer, name) + t * along})).z for t in (h, -h))
            slope_along = float(np.sum(layer.seed * (there - back))) / (2 * h)
            assert abs(slope_along - np.sum(bar * along)) <= 1e-6 * np.linalg.norm(bar) * np.linalg.norm(along), name


def test_the_textbook_loop_and_the_unrolled_network_reach_the_exact_solution():
    layer = init(12, 7)
    truth = exact(layer)
    for alpha, contiguous in ((0.5, False), (1.0, False), (1.0, True)):
        z, steps = textbook(layer.W, layer.start, 1e-10, alpha, contiguous=contiguous)()
        assert truth.error(z) < 1e-8
        assert steps < 200
    inverse = np.linalg.inv(2.0 * np.eye(12) - layer.W.T)
    z, _ = unrolled(2.0 * inverse - np.eye(12), 2.0 * layer.start @ inverse, layer.seed, 200)
    assert truth.error(z) < 1e-10


def test_the_unrolled_network_is_differentiated_rightly():
    rng = np.random.default_rng(0)
    m, c, seed, along = rng.standard_normal((4, 4, 4)) * 0.3
    h = 1e-7
    (there, _), (back, _) = (unrolled(m + t * along, c, seed, 3) for t in (h, -h))
    assert np.sum(seed * (there - back)) / (2 * h) == pytest.approx(
        np.sum(unrolled(m, c, seed, 3)[1] * along), rel=1e-6
    )


def test_memory_grows_with_the_steps_of_the_unrolled_network_alone():
    rows = memory_table((5, 40), 16, 300)
    assert rows[1].ours / rows[0].ours < 1.02
    assert rows[1].unrolled - rows[0].unrolled == pytest.approx(35, abs=1)


def test_a_budget_that_is_not_used_up_is_told(monkeypatch):
    monkeypatch.setattr(equilibrium_tables, "slow", init)
    with pytest.raises(ArithmeticError, match=r"max_steps=500.*steps"):
        memory_table((500,), 8, 4)


def test_solvers_and_tolerances_are_held_against_the_exact_solution():
    layer = init(12, 7)
    runs = {(r.what, r.solver): r for r in solver_table(layer, exact(layer), HASTE, 60)}
    assert runs["solve", "peaceman-rachford"].error < 1e-5
    assert runs["dual", "direct"].error < 1e-10
    assert runs["solve", "picard"].seconds is None
    assert runs["solve", "picard"].steps == 60
    grid = {(a.forward, a.backward): a.error for a in tolerance_grid(layer, exact(layer))}
    assert grid[1e-6, 1e-6] < 1e-5 < grid[1e-6, 1e-2]
    assert len(grid) == 9


def took(seconds):
    return Stats(seconds, seconds, seconds, seconds, 1, 1)


def full(report, **changes):
    """The first outcome as if of the full layer: every bar met, but for the changes."""
    seconds = {(OURS, "solve"): 1.0, (OURS, "dual"): 1.2, (OURS, "step"): 2.0, (TEXTBOOK, "solve"): 1.4}
    seconds |= {(MON, "step"): 4.0, (TORCHDEQ, "step"): 30.0, **changes.pop("seconds", {})}
    answers = {key: Answer((12,), 1e-6, 1e-6) for key in seconds} | changes.pop("answers", {})
    times = {key: took(s) for key, s in seconds.items()}
    one = replace(report.steps[0], layer="init200", times=times, answers=answers)
    return replace(
        report, **{"steps": [one], "memory": [MemoryRow(10, 14.0, 20.0), MemoryRow(99, 14.1, 99.0)], **changes}
    )


def test_bars_are_judged_on_what_was_measured(report):
    assert {v.bar for v in judge_equilibrium(report)} == {"peak memory, largest / least"}
    verdicts = judge_equilibrium(full(report))
    assert len(verdicts) == 7
    assert not any(v.failed for v in verdicts)
    for slow, bar in (
        ({(OURS, "solve"): 1.2}, "textbook"), ({(OURS, "step"): 2.9}, "MON"), ({(OURS, "dual"): 1.7}, "no more"),
        ({(OURS, "dual"): 0.6}, "no less"), ({(TORCHDEQ, "step"): 19.0}, "torchdeq"),
    ):  # fmt: skip
        failed = [v.bar for v in judge_equilibrium(full(report, seconds=slow)) if v.failed]
        assert len(failed) == 1, failed
        assert bar in failed[0]
    many = full(report, answers={(OURS, "solve"): Answer((24,), 1e-6)})
    assert [v.bar for v in judge_equilibrium(many) if v.failed] == ["steps of Peaceman–Rachford"]
    lost = full(report, answers={(TORCHDEQ, "step"): Answer((100, 0), 1e-1, 1e-1)})
    assert not any("torchdeq" in v.bar for v in judge_equilibrium(lost)), "what has not converged has no ratio"
    assert "| NC " in format_equilibrium(lost)
    grown = full(report, memory=[MemoryRow(10, 14.0, 20.0), MemoryRow(99, 14.5, 99.0)])
    assert [v.bar for v in judge_equilibrium(grown) if v.failed] == ["peak memory, largest / least"]


def test_a_wrong_result_of_our_own_fails_the_run(report, monkeypatch, capsys):
    def bent(layer):
        truth = exact(layer)
        return Results(truth.z, truth.v, {k: 1.01 * g for k, g in truth.cotangents.items()})

    monkeypatch.setattr(equilibrium, "exact", bent)
    monkeypatch.setattr(equilibrium, "present", absent)
    assert main(["--quick", "--equilibrium", "--seconds", "0.02"]) == 1
    assert "WRONG: init24, float32: step of machinekit is off by" in capsys.readouterr().out


def test_the_command_writes_a_page_and_a_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(equilibrium, "present", absent)
    assert main(["--quick", "--equilibrium", "--seconds", "0.02", "--output", str(tmp_path)]) == 0
    assert "## Tolerances" in (tmp_path / "equilibrium.md").read_text(encoding="utf-8")
    assert "peaceman-rachford" in (tmp_path / "equilibrium.csv").read_text(encoding="utf-8")
    assert "# Equilibrium" in capsys.readouterr().out


def test_another_backend_is_refused(capsys):
    assert main(["--quick", "--equilibrium", "--backend", "array_api_strict"]) == 2
    assert "run on NumPy" in capsys.readouterr().err


@pytest.mark.skipif(not present("sklearn"), reason="trains on scikit-learn's digits")
def test_a_trained_layer_is_another_one():
    layer, first = trained(16, 64, epochs=1), init(16, 64)
    assert layer.id == "digits16"
    for name in "ABUb":
        assert not np.allclose(getattr(layer, name), getattr(first, name))
    assert exact(layer).error(layer.machine().solve(layer.start).z) < 1e-5


@pytest.mark.skipif(not present("torch"), reason="needs torch")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_layers_of_torch_agree_with_the_exact_solution(dtype):
    from machinekit.benchmarking.torch_equilibrium import MonLayer, TorchdeqLayer

    layer = init(16, 8)
    truth = exact(layer)
    for kind in [MonLayer, *([TorchdeqLayer] if present("torchdeq") else [])]:
        peer = kind(layer.astype(dtype), 1)
        z, cotangents = peer.results()
        assert truth.error(z) < 1e-4
        assert truth.gradient_error(cotangents) < 1e-4
        assert peer.steps[0] > 0


def test_peers_are_timed_where_they_are_installed(monkeypatch):
    layer = init(8, 4).astype("float64")
    truth = exact(layer)

    class Peer:
        steps = (3, 4)

        def __init__(self, layer, threads):
            assert threads == 1

        def results(self):
            return truth.z, truth.cotangents

        def step(self):
            return None

    module = SimpleNamespace(MonLayer=Peer, TorchdeqLayer=Peer)
    monkeypatch.setattr(equilibrium, "present", lambda package: True)
    monkeypatch.setattr(equilibrium.importlib, "import_module", lambda *name: module)
    outcome = equilibrium._run(layer, "float64", truth, 1, HASTE)
    assert outcome.answers[MON, "step"].steps == (3, 4)
    assert outcome.ratio(TORCHDEQ, "step") > 0
