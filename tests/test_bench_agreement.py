"""Agreement with NumPy and bitwise equal runs: what differs is found, on the stand-in for CuPy."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from machinekit.arrays import NUMPY, pick_backend
from machinekit.benchmarking import Problem
from machinekit.benchmarking import agreement as agreement_module
from machinekit.benchmarking.agreement import (
    Check,
    agreement,
    difference_from_numpy,
    format_agreement,
    format_reproducible,
    reproducible,
)
from machinekit.benchmarking.cli import main
from machinekit.benchmarking.competitors import ours
from machinekit.benchmarking.problem import tolerance

from .gpu_bench import TINY, cupy_here

__all__ = ["cupy_here"]  # a fixture for all tests here


def test_difference_from_numpy_is_of_what_is_timed(monkeypatch):
    problem = Problem.of(TINY[1], "float64", "cupy")
    assert difference_from_numpy(problem) < 1e-12

    def off(p):
        found = ours(p).results()
        return SimpleNamespace(results=lambda: found if p.backend is NUMPY else replace(found, y0=1.25 * found.y0))

    monkeypatch.setattr(agreement_module, "ours", off)
    assert difference_from_numpy(problem) == pytest.approx(0.25)
    assert Check("w", "float64", "auto", float("nan"), limit=1.0).failed
    arrays = list(agreement_module._Run.of(TINY[1], "float64").arrays("auto").values())
    assert not any(np.array_equal(a, b) for k, a in enumerate(arrays) for b in arrays[:k])


def test_a_run_moved_twice_shares_no_plans():
    run = agreement_module._Run.of(TINY[0], "float64")
    machines = [run.to(pick_backend(name)).machine for name in ("numpy", "cupy", "cupy")] + [run.machine]
    assert len({id(m._plans) for m in machines}) == 4
    assert np.array_equal(machines[0].weight, run.machine.weight)


def test_agreement_finds_what_differs(monkeypatch, capsys):
    checks = agreement(TINY, "cupy")
    served = [c for c in checks if c.difference is not None]
    assert {(c.workload, c.dtype) for c in served} == {(w.id, d) for w in TINY for d in ("float64", "float32")}
    assert {"auto", "reference"} <= {c.method for c in served}
    assert not any(c.failed for c in checks)
    assert all(c.limit == tolerance(c.dtype) for c in served)
    text = format_agreement(checks)
    assert "Largest relative difference from NumPy" in text
    assert "* float32: " in text
    honest = agreement_module._Run.arrays

    def off(self, method):
        arrays = honest(self, method)
        return arrays if isinstance(self.y0, np.ndarray) else {**arrays, "y": arrays["y"] * (1 + 1e-8)}

    monkeypatch.setattr(agreement_module._Run, "arrays", off)
    wrong = {(c.dtype, c.where) for c in agreement(TINY, "cupy") if c.failed}
    assert wrong == {("float64", "y")}
    assert main(["--agreement", "--workload", "dense-small", "--backend", "cupy"]) == 1
    assert "FAIL" in capsys.readouterr().out


@pytest.mark.parametrize("check", [agreement, reproducible])
def test_a_forced_method_may_refuse_and_nothing_else_may(check, monkeypatch):
    honest = agreement_module._Run.arrays

    def refusing(self, method):
        if isinstance(self.y0, np.ndarray):
            return honest(self, method)
        raise {"auto": ValueError, "reference": RuntimeError, "plan": ValueError, "kernel": MemoryError}[method]("no")

    monkeypatch.setattr(agreement_module._Run, "arrays", refusing)
    checks = check(TINY[:1], "cupy", dtypes=("float32",))
    assert {c.method: (c.failed, c.note) for c in checks} == {
        "auto": (True, ""), "reference": (True, ""), "plan": (False, "no"), "kernel": (True, ""),
    }  # fmt: skip
    form = format_agreement if check is agreement else format_reproducible
    assert "* plan on dense: no" in form(checks)
    assert "MemoryError: no" in form(checks)


def test_reproducible_compares_bits(monkeypatch, tmp_path, capsys):
    checks = reproducible(TINY, "cupy")
    assert not any(c.failed for c in checks)
    assert "* auto: 6 of 6" in format_reproducible(checks)
    options = ["--reproducible", "--workload", "dense-small", "--backend", "cupy", "--output", str(tmp_path)]
    assert main(options) == 0
    assert (tmp_path / "reproducible-cupy.md").exists()
    assert "5 blocks" not in capsys.readouterr().out


@pytest.mark.parametrize("where", ["second run", "fresh machine"])
def test_a_last_bit_that_differs_is_found(where, monkeypatch):
    honest, runs = agreement_module._Run.arrays, []

    def drifting(self, method):
        runs.append(id(self))
        arrays = honest(self, method)
        off = runs.count(id(self)) == 2 if where == "second run" else id(self) != runs[0]
        flat = arrays["z"].copy()
        flat[0, 0] = np.nextafter(flat[0, 0], np.float32(9)) if off else flat[0, 0]
        return {**arrays, "z": flat}

    monkeypatch.setattr(agreement_module._Run, "arrays", drifting)
    monkeypatch.setattr(agreement_module, "_methods", lambda _: ("auto",))
    (check,) = reproducible(TINY[:1], "cupy", dtypes=("float32",))
    assert (check.failed, check.where) == (True, "z")
    assert "* auto: 0 of 1" in format_reproducible([check])
