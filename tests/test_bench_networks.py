"""Networks in the benchmark: right results, a peer that is checked before it is timed, a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import machinekit as mk
from machinekit.benchmarking.competitors import OURS, installed
from machinekit.benchmarking.networks import (
    NETWORKS,
    NetworkOutcome,
    NetworkWorkload,
    dag,
    format_networks,
    run_networks,
    unet,
)
from machinekit.benchmarking.timing import Pace, Stats

HASTE = Pace(0.0, (1, 1), 1e-6)


def small(dtype, backend):
    return unet(dtype, backend, image=8, channels=2)


def test_the_dag_has_fifty_edges_and_one_way_through():
    net = dag(4, "float64")
    assert (len(net.edges), len(net.spaces), net.depth) == (50, 20, 19)
    assert net.signature == "x0 -> x19"
    assert len({e.signature for e in net.edges}) == 50


@pytest.mark.parametrize("name", ["dag", "unet"])
def test_their_gradients_are_right(name):
    net = dag(3, "float64", spaces=5, edges=7) if name == "dag" else unet("float64", None, 8, 2, "tanh")
    (name,) = net.inputs
    x = np.random.default_rng(0).uniform(-1, 1, (2, *net.spaces[name]))
    report = mk.testing.check_op(net, x, rng=0)
    assert report.ok, str(report)


def test_they_are_timed_and_told():
    workloads = [NetworkWorkload("dag-4", lambda dtype, backend: dag(4, dtype, backend), 2),
                 NetworkWorkload("unet-8", small, 2)]  # fmt: skip
    outcomes = run_networks("float64", None, 1, HASTE, workloads)
    assert not any(o.wrong for o in outcomes)
    for o in outcomes:
        assert {(OURS, "forward"), (OURS, "gradient")} <= set(o.times)
        assert (o.ratio() is not None) == installed("torch")
    text = format_networks(outcomes)
    assert "dag-4" in text
    assert "unet-8" in text


def test_a_wrong_peer_is_told():
    stats = Stats(1e-3, 1e-3, 1e-3, 1e-3, 1, 1)
    times = {(OURS, "forward"): stats, (OURS, "gradient"): stats}
    right = NetworkOutcome(NETWORKS[0], {**times, ("torch", "forward"): stats, ("torch", "gradient"): stats})
    assert right.ratio() == 1.0
    wrong = NetworkOutcome(NETWORKS[0], times, "the cotangent of input differs by 1.0e+00 relative")
    assert wrong.ratio() is None
    assert "dag-16: torch is not timed, the cotangent of input differs" in format_networks([wrong])
    assert replace(wrong, wrong="").ratio() is None
