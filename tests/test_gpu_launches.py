"""What a plan of kernels launches and copies, and that its results are nobody else's."""

import threading

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import Diagonal
from machinekit.arrays import to_host
from machinekit.engine import sweep
from machinekit.gpu import KernelPlan
from machinekit.linear import sum_to, transpose, weight_cotangent

from .gpu_runs import Fenced, close, device, every_order, is_standin
from .standin.ledger import launches, transfers


@pytest.fixture(scope="module")
def home(spec):
    with device(spec) as found:
        yield found


MACHINES = [
    mk.DenseMachine((3, 4, 2), "tanh", bias=True, rng=0),
    mk.DenseMachine((40, 0, 50), ["tanh", "tanh", "softplus"], rng=0),
    mk.ConvMachine((2, 3, 2), padding=((2, 1),), rng=0),
    mk.RecurrentMachine((2, 3), memory=3, rng=0, bias=True),
    mk.RecurrentMachine((2, 3), memory=3, time_block=2, reverse=(0,), rng=0),
]


def gradient(machine, y0, seed):
    state = machine.solve(y0, method="kernel")
    cotangent = machine.pullback(state, seed, method="kernel")
    return state.z, cotangent.y0, cotangent.weight


def signals(machine, home, batch, seed=0):
    rng = np.random.default_rng(seed)
    shape = (*batch, *(7,) * machine.partition.axes, machine.partition.channels)
    return [home.from_host(rng.standard_normal(shape)) for _ in range(2)]


@pytest.mark.parametrize("machine", MACHINES, ids=repr)
def test_a_gradient_is_three_launches_and_no_transfer(home, machine):
    """One for each sweep, one for the cotangents of weight and bias."""
    moved = machine.to(home)
    arrays = signals(moved, home, (3,))
    gradient(moved, *arrays)
    with launches() as launched, transfers() as copied:
        gradient(moved, *arrays)
    if is_standin(home):
        names = [name.partition("_")[0].rstrip("14") for name in launched if name != "empty"]
        assert names == ["sweep", "sweep", "contract"]
        assert copied == []


@pytest.mark.parametrize("machine", MACHINES, ids=repr)
def test_many_samples_are_contracted_in_chunks_with_the_same_sums(home, machine):
    """And then one launch more adds the chunks up."""
    moved, p = machine.to(home), machine.partition
    arrays = signals(moved, home, (2, 37))
    lead = arrays[0].shape[:-1]
    dual = KernelPlan(p.dual(), lead, "float64", home, chunks=5)
    with Fenced(home).block() as fenced:
        z, v = (fenced.of(to_host(a)) for a in arrays)
        out, bias = every_order(home, lambda: dual._contracted(z, v, None, True))
        with launches() as launched:
            dual._contracted(z, v, None, True)
    if is_standin(home):
        assert launched == ["contract", "total"]
    host = [to_host(a) for a in arrays]
    close("weight", out, weight_cotangent(p, *host), "float64")
    close("bias", bias, sum_to(host[1], (p.channels,)), "float64")


@pytest.mark.parametrize("machine", MACHINES, ids=repr)
def test_two_runs_give_equal_bits_and_inputs_stay(home, machine):
    moved = machine.to(home)
    arrays = signals(moved, home, (5,))
    before = [to_host(a).copy() for a in arrays]
    first, second = gradient(moved, *arrays), gradient(moved, *arrays)
    assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(first, second, strict=True))
    assert all(np.array_equal(a, to_host(b)) for a, b in zip(before, arrays, strict=True))


def test_threads_may_share_a_plan(home):
    machine = MACHINES[3].to(home)
    inputs = [signals(machine, home, (3,), seed) for seed in range(8)]
    serial = [gradient(machine, *arrays) for arrays in inputs]
    results: dict = {}

    def work(start):
        for k in range(start, 8, 4):
            results[k] = gradient(machine, *inputs[k])

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    for k, want in enumerate(serial):
        assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(results[k], want, strict=True))


def test_arrays_that_do_not_lie_in_c_order_are_copied_first(home):
    """A weight with other strides than its own or its transpose's, inputs, slopes, and a mask of pruned weights."""
    m = MACHINES[2]
    p, c, lead = m.partition, m.partition.channels, (3, 7)
    rng = np.random.default_rng(0)
    y0, slope = rng.standard_normal((2, *lead, c))
    plan = KernelPlan(p, lead, "float64", home)

    def strided(a):
        return home.from_host(np.repeat(a, 2, axis=-1))[..., ::2]

    for diagonal in (slope, slope[0], slope[0, :, :1], np.array(0.5)):
        sigma = Diagonal.trusted(strided(diagonal) if diagonal.ndim else home.from_host(diagonal))
        y, z = plan.solve(strided(m.weight), None, sigma, strided(y0), None)
        want = sweep(p, m.weight, Diagonal.trusted(diagonal), y0)
        close("y", y, want[0], "float64")
        close("z", z, want[1], "float64")
    dead = rng.random(p.weight_shape) < 0.5
    dual = KernelPlan(p.dual(), lead, "float64", home)
    state = tuple(home.from_host(a) for a in want)
    args = (transpose(p, strided(m.weight)), sigma, (*state, None), (strided(y0), None), strided(dead), None)
    _, v, out, _ = dual.pullback(*args)
    assert not to_host(out)[dead].any()
    close("weight", out, np.where(dead, 0, weight_cotangent(p, want[1], to_host(v))), "float64")
