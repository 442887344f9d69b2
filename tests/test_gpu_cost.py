"""Which way a machine is run on a GPU: the estimates, the rates they rest on, and what is refused with which words."""

import json
import math
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.activations import read_activation
from machinekit.arrays import NUMPY, pick_backend
from machinekit.gpu import Rates, calibrate, choose, rates_of, read_rates, write_rates
from machinekit.gpu.cost import deal, kernel_seconds, plan_seconds
from machinekit.gpu.tables import MOST_THREADS
from machinekit.partitions import Partition

from .standin.install import installed
from .standin.kernels import COMPILER
from .strategies import cases


@pytest.fixture(scope="module")
def home(spec):
    """CuPy, or its stand-in; nothing is compiled here."""
    if spec == "cupy":
        yield pick_backend("cupy")
        return
    with installed():
        yield pick_backend("cupy")


@pytest.fixture(autouse=True)
def _no_file(monkeypatch):
    monkeypatch.delenv("MACHINEKIT_GPU_RATES", raising=False)


def tanh(partition):
    return read_activation("tanh", partition.blocks)


SMALL = Partition((2,) * 5)
LARGE = Partition((1024,) * 3, ((1, 1), (1, 1)))


def test_small_machines_are_one_kernel_and_large_ones_array_calls(home):
    assert choose(SMALL, (2,), "float32", tanh(SMALL), home) == "kernel"
    assert choose(LARGE, (16, 64, 64), "float32", tanh(LARGE), home) == "plan"
    assert choose(SMALL, (2,), "float32", tanh(SMALL), home, "plan") == "plan"
    assert choose(LARGE, (16, 64, 64), "float32", tanh(LARGE), home, "kernel") == "kernel"
    assert choose(SMALL, (2,), "float32", mk.Diagonal(np.ones(10, "float32")), home) == "kernel"


def test_rates_decide(home, tmp_path, monkeypatch):
    """They are read at call time, and again when the file changes."""
    path = tmp_path / "rates.json"
    monkeypatch.setenv("MACHINEKIT_GPU_RATES", str(path))
    write_rates(Rates(launch=1.0), path)
    assert choose(SMALL, (2,), "float32", tanh(SMALL), home) == "plan"
    write_rates(Rates(processors=7), path)
    os.utime(path, ns=(1, 1))
    assert rates_of(home) == Rates(processors=7)
    assert choose(SMALL, (2,), "float32", tanh(SMALL), home) == "kernel"
    monkeypatch.delenv("MACHINEKIT_GPU_RATES")
    assert replace(rates_of(home), processors=Rates().processors) == Rates()


def test_a_wrong_file_of_rates_is_named(tmp_path, monkeypatch, home):
    path = tmp_path / "rates.json"
    monkeypatch.setenv("MACHINEKIT_GPU_RATES", str(path))
    with pytest.raises(ValueError, match=r"MACHINEKIT_GPU_RATES=.*cannot be read.*write_rates"):
        rates_of(home)
    for k, text in enumerate(("no JSON", "[1]", json.dumps({**asdict(Rates()), "more": 1}))):
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(k, k))
        with pytest.raises(ValueError, match="MACHINEKIT_GPU_RATES"):
            read_rates(path)
    with pytest.raises(ValueError, match=r"step is -1\.0; pass a positive"):
        Rates(step=-1.0)


CUBE = mk.Activation(lambda y: y**3, name="cube")
REFUSED = {
    "complex": (SMALL, (2,), "complex64", None, r"complex64, for kernels are real; .*method='plan'"),
    "own activation": (SMALL, (2,), "float32", CUBE, r"activation 'cube', which is not a built-in.*method='plan'"),
    "four axes": (Partition((1, 1), ((1, 0),) * 4), (2,) * 5, "float32", None, r"4 grid axes.*room for 3.*'plan'"),
    "feedback": (replace(SMALL, feedback=True), (2,), "float32", None, r"feedback.*iteration.*method='auto'"),
    "too large": (LARGE, (1, 30000, 30000), "float32", None, r"32 bits cannot count; use method='plan'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_kernel_serves_is_refused_with_the_remedy_and_left_to_the_plan(home, name):
    partition, lead, dtype, activation, text = REFUSED[name]
    sigma = read_activation(activation or "tanh", partition.blocks)
    with pytest.raises(ValueError, match=r"method='kernel' cannot serve .*" + text):
        choose(partition, lead, dtype, sigma, home, "kernel")
    assert choose(partition, lead, dtype, sigma, home) == "plan"


def test_other_libraries_and_unknown_methods_are_refused(home):
    with pytest.raises(ValueError, match=r"arrays of numpy, for kernels run on a GPU; .*to\('cupy'\)"):
        choose(SMALL, (2,), "float32", tanh(SMALL), NUMPY, "kernel")
    with pytest.raises(TypeError, match=r"method='kernl' is unknown; did you mean 'kernel'"):
        choose(SMALL, (2,), "float32", tanh(SMALL), home, "kernl")
    with pytest.raises(ValueError, match="kernels run on a GPU"):
        calibrate("numpy")


def test_an_activation_of_a_block_without_channels_does_not_matter(home):
    partition = Partition((2, 0, 1))
    sigma = read_activation(["tanh", CUBE, "relu"], partition.blocks)
    assert choose(partition, (2,), "float64", sigma, home, "kernel") == "kernel"


@given(case=cases(dtypes=["float32", "float64"], least=1), processors=st.integers(1, 200))
def test_every_schedule_is_one_that_a_gpu_can_run(case, processors):
    partition, lead = case.machine(NUMPY, case.numbers()).partition, (*case.batch, *case.grid)
    if 0 in lead or not partition.channels:
        return
    itemsize = np.dtype(case.dtype).itemsize
    found = deal(partition, lead, itemsize, Rates(processors=processors))
    s = found.schedule
    assert math.isfinite(found.seconds)
    assert s.threads % 32 == 0
    assert s.threads <= MOST_THREADS
    assert s.tile in (1, 4)
    assert all(0 <= sum(bits) <= 5 and min(bits) >= 0 for bits in s.lanes)
    assert len(s.lanes) == len(partition.sizes)
    assert s.room(partition, case.grid, itemsize) <= 48 << 10
    assert s.product_rows % s.tile == 0
    assert 1 <= s.group <= max(1, math.prod(case.batch))


@given(case=cases(dtypes=["float32"], least=1), factor=st.floats(1, 100))
def test_estimates_grow_with_what_they_are_made_of(case, factor):
    """With each time, and inversely with each rate."""
    partition, lead = case.machine(NUMPY, case.numbers()).partition, (*case.batch, *case.grid)
    if 0 in lead or not partition.channels:
        return
    for seconds, slower in (
        (kernel_seconds, {name: getattr(Rates(), name) * factor for name in ("launch", "step", "trip")}),
        (kernel_seconds, {"kernel": Rates().kernel / factor}),
        (plan_seconds, {"call": Rates().call * factor, "gemm": Rates().gemm / factor}),
    ):
        one, other = (seconds(partition, lead, "float32", r) for r in (Rates(), replace(Rates(), **slower)))
        assert one <= other * (1 + 1e-12)


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed, so the stand-in cannot run kernels")
def test_calibration_measures_every_rate(home, tmp_path):
    """On the stand-in the numbers mean nothing; that they are made, kept and read does."""
    rates = calibrate(home, size=8)
    assert rates.processors == home.xp.cuda.runtime.getDeviceProperties(0)["multiProcessorCount"]
    write_rates(rates, tmp_path / "rates.json")
    assert read_rates(tmp_path / "rates.json") == rates
    with pytest.raises(ValueError, match="size is 7; pass at least 8"):
        calibrate(home, size=7)


def test_machines_pass_the_refusal_on(home):
    machine = mk.DenseMachine((1, 2), CUBE, rng=0).to(home)
    y0 = home.from_host(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="'cube'"):
        machine.solve(y0, method="kernel")
    with pytest.raises(ValueError, match="GPU"):
        mk.DenseMachine((1, 2), rng=0).solve(np.zeros((2, 3)), method="kernel")
