"""The bench of Hessian products: it runs, compares before it times, and says what it did not time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from machinekit.benchmarking.cli import main
from machinekit.benchmarking.competitors import OURS, installed
from machinekit.benchmarking.hessians import HessianOutcome, HessianPeer, format_hessians, run_hessians
from machinekit.benchmarking.timing import Pace, Stats

HASTE = Pace(0.05, (1, 2), 1e-4)


def test_the_products_are_timed_and_told():
    peers = [name for name in ("torch", "jax") if installed(name)]
    (outcome,) = run_hessians("float64", None, 1, HASTE, ["dense-small"], peers)
    assert not outcome.remarks
    assert {who for who, _ in outcome.times} == {OURS, *peers}
    assert {what for _, what in outcome.times} == {"fun", "hessp"}
    assert outcome.ratio() > 0
    assert "dense-small" in format_hessians([outcome])


def test_a_peer_that_disagrees_is_not_timed(monkeypatch):
    """A product by another Hessian, here the identity's, is told by its error."""
    from machinekit.benchmarking import hessians

    def wrong(problem, along):
        return HessianPeer(lambda: None, lambda: None, lambda: along)

    class Module:
        hessian = staticmethod(wrong)

    monkeypatch.setattr(hessians, "installed", lambda name: True)
    monkeypatch.setattr(hessians, "importlib", SimpleNamespace(import_module=lambda *name: Module))
    (outcome,) = run_hessians("float64", None, 1, HASTE, ["dense-small"], ["torch"])
    assert {who for who, _ in outcome.times} == {OURS}
    assert "torch: not timed, its product differs by" in outcome.remarks[0]
    assert "dense-small, torch: not timed" in format_hessians([outcome])


def test_a_product_beyond_the_bar_is_told():
    def took(seconds):
        return Stats(seconds, seconds, seconds, seconds, 1, 1)

    outcome = HessianOutcome("dense-small", {(OURS, "fun"): took(1.0), (OURS, "hessp"): took(4.0)})
    assert "hessp/fun is 4.00, the bar is 3.3" in format_hessians([outcome])
    outcome = HessianOutcome("dense-small", {(OURS, "fun"): took(1.0), (OURS, "hessp"): took(3.0)})
    assert "bar" not in format_hessians([outcome])


def test_the_command_writes_a_page(tmp_path, capsys):
    assert main(["--quick", "--hessians", "--workload", "dense-small", "--output", str(tmp_path)]) == 0
    page = (tmp_path / "hessians.md").read_text(encoding="utf-8")
    assert "| dense-small" in page
    assert "# Hessians" in capsys.readouterr().out
    assert np.all([word in page for word in ("hessp/fun", "× ours")])
