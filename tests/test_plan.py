"""Whatever plan exists is equal to the reference sweep, under every schedule, and leaks nothing."""

import copy
import gc
import pickle
import threading
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import NUMPY
from machinekit.engine import grid as grid_module
from machinekit.engine import line as line_module
from machinekit.engine import tiles as tiles_module
from machinekit.engine.folded import FoldedLine
from machinekit.engine.grid import GridWorkspace, lag_boxes
from machinekit.engine.plain import PlainLine
from machinekit.linear import sum_to, weight_cotangent
from machinekit.testing.instruments import Majorant

from .helpers import assert_close, tolerance
from .strategies import cases

SCHEDULES = {
    "as chosen": {},
    "plain lines": {"_FOLD": -1},
    "plain lines that keep their buffers": {"_FOLD": -1, "_OWN_BYTES": 0},
    "tiles of one sample": {"_FOLD": -1, "_LINE_BYTES": 1, "_TILE_BYTES": 1},
    "folded tiles": {"_LINE_BYTES": 1},
    "the live half only": {"_WHOLE_PRODUCT": -1},
    "no masks": {"_MASKED": -1},
}


@contextmanager
def schedule(name):
    """Plan under other measured constants, as for machines of another size."""
    modules = (tiles_module, line_module, grid_module)
    old = [(m, key, getattr(m, key)) for m in modules for key in SCHEDULES[name] if hasattr(m, key)]
    try:
        for module, key, _ in old:
            setattr(module, key, SCHEDULES[name][key])
        yield
    finally:
        for module, key, value in old:
            setattr(module, key, value)


def reference_pullback(machine, state, seed_z, seed_y):
    """Return u, v and all cotangents by the reference sweep alone."""
    nothing = np.zeros(state.y.shape, state.y.dtype)
    dual = machine.dual(state).solve(nothing if seed_z is None else seed_z, seed_y, method="reference")
    weight = machine.project(weight_cotangent(machine.partition, state.z, dual.z))
    bias = None if machine.bias is None else sum_to(dual.z, machine.bias.shape)
    return dual, weight, bias


@pytest.mark.parametrize("name", SCHEDULES)
@given(case=cases(), twice=st.booleans())
def test_every_schedule_equals_the_reference_sweep(name, case, twice):
    """Forward, tangent, dual and weight cotangent; any width of input and seed; Algorithm 1."""
    numbers = case.numbers()
    with schedule(name):
        machine = case.machine(NUMPY, numbers)
        for _ in range(1 + twice):  # a workspace that has been used is as good as a new one
            state = machine.solve(numbers.y0, numbers.z0)
            dual = machine.pullback(state, numbers.seed_z, y=numbers.seed_y)
        tangent = machine.tangent(state).solve(numbers.dy0, numbers.dz0)
        swept = machine.dual(state).solve(numbers.seed_z if numbers.seed_z is not None else numbers.dy0)
    want = machine.solve(numbers.y0, numbers.z0, method="reference")
    full = [np.zeros(state.y.shape) for _ in range(2)]
    for target, given_ in zip(full, (numbers.y0, numbers.z0), strict=True):
        if given_ is not None:
            target[..., : given_.shape[-1]] = np.abs(given_)
    majorant = Majorant(machine, want, *full)
    for what, got, wanted, scale in zip("yz", (state.y, state.z), (want.y, want.z), majorant.solution, strict=True):
        assert_close(what, got, wanted, tolerance(case.dtype, scale), case, name)

    def same(what, got, wanted, dtype=case.dtype):
        size = np.abs(wanted).max(initial=0.0) + 1.0
        assert_close(what, got, wanted, 16 * tolerance(dtype, size * (1 + max(case.channels, wanted.size))), case, name)

    at = mk.State(state.y, state.z)
    u_v, weight, bias = reference_pullback(machine, at, numbers.seed_z, numbers.seed_y)
    same("u", dual.saved.y, u_v.y)
    same("v", dual.saved.z, u_v.z)
    same("weight", dual.weight, weight)
    assert not dual.weight[~machine.live].any(), "a dead weight has a cotangent"
    if bias is not None:
        same("bias", dual.bias, bias)
    by_reference = machine.tangent(at).solve(numbers.dy0, numbers.dz0, method="reference")
    same("tangent", tangent.z, by_reference.z)
    seed = numbers.seed_z if numbers.seed_z is not None else numbers.dy0
    same("dual machine", swept.z, machine.dual(at).solve(seed, method="reference").z)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@given(case=cases(linear=False, dtypes=["float64"], least=1), data=st.data())
def test_what_is_not_finite_spreads_as_in_the_reference_sweep(bad, case, data):
    """An identity among folded weights must not turn 0 · ∞ into NaN for block-mates."""
    numbers = case.numbers()
    if not numbers.y0.size:
        return
    y0 = numbers.y0.copy()
    y0.flat[data.draw(st.integers(0, y0.size - 1))] = bad
    machine = case.machine(NUMPY, numbers)
    with np.errstate(all="ignore"):
        got, want = machine.solve(y0, numbers.z0), machine.solve(y0, numbers.z0, method="reference")
    for a, b in ((got.y, want.y), (got.z, want.z)):
        assert np.array_equal(np.isfinite(a), np.isfinite(b)), (case, a, b)


@given(case=cases(linear=False, dtypes=["float64"], least=1))
def test_pruned_weights_stay_dead_under_every_schedule(case):
    numbers = case.numbers()
    machine = case.machine(NUMPY, numbers)
    pruned = machine.prune(np.random.default_rng(case.seed).random(machine.weight.shape) < 0.5)
    for name in SCHEDULES:
        with schedule(name):
            again = pruned.replace(weight=numbers.weight)
            state = again.solve(numbers.y0, numbers.z0)
            cotangent = again.pullback(state, numbers.seed_z, y=numbers.seed_y)
        assert not cotangent.weight[~pruned.live].any()


def test_lag_boxes_are_the_live_rule():
    """The boxes of lags of the grid schedule and `Partition.sources` are two readings of one rule."""
    for scan, reverse, block in [((), (), ()), ((0,), (), (2,)), ((1, 0), (0,), (1, 3)), ((0, 1), (1, -1), (2, 1))]:
        m = mk.GridMachine((1, 1), padding=((3, 2), (1, 2)), scan=scan, reverse=reverse, time_block=block, rng=0)
        everything, ordered = lag_boxes(m.partition)
        for lag in m.partition.lags:
            inside = [all(ell in r for ell, r in zip(lag, box, strict=True)) for box in everything]
            reads = [m.partition.sources(lag, k) for k in range(2)]
            assert sum(inside) == all(s == slice(0, 2) for s in reads), lag
            is_ordered = all(ell in r for ell, r in zip(lag, ordered, strict=True))
            assert is_ordered == (any(s.stop > s.start for s in reads) and not sum(inside)), lag


def test_each_kind_of_machine_gets_the_schedule_that_is_documented():
    def workspace(machine, shape):
        plan = machine._plan(shape, None)
        return type(plan._new(plan.tile))

    assert workspace(mk.DenseMachine((2, 2), rng=0), (3,)) is FoldedLine
    assert workspace(mk.DenseMachine((128, 128), rng=0), (64,)) is PlainLine
    assert workspace(mk.RecurrentMachine((2, 2), memory=2, rng=0), (3, 9)) is FoldedLine
    assert workspace(mk.RecurrentMachine((2, 2), memory=2, time_block=2, rng=0), (3, 9)) is GridWorkspace
    assert workspace(mk.ConvMachine((2, 2), padding=((1, 2),), rng=0), (3, 9)) is GridWorkspace


MACHINES = [
    mk.DenseMachine((3, 4, 2), "tanh", bias=True, rng=0),
    mk.DenseMachine((40, 50, 60), ["tanh", "sigmoid", "relu"], rng=0),
    mk.ConvMachine((2, 3, 2), padding=((2, 1),), rng=0),
    mk.RecurrentMachine((2, 3), memory=3, rng=0, bias=True),
    mk.RecurrentMachine((2, 3), memory=3, time_block=2, rng=0),
]


def call(machine, batch, seed):
    rng = np.random.default_rng(seed)
    shape = (*batch, *(7,) * machine.partition.axes, machine.partition.channels)
    state = machine.solve(rng.standard_normal(shape))
    cotangent = machine.pullback(state, rng.standard_normal(shape))
    return [state.y, state.z, cotangent.y0, cotangent.z0, cotangent.weight]


@pytest.mark.parametrize("machine", MACHINES, ids=repr)
def test_eight_threads_on_one_machine_get_bitwise_the_serial_results(machine):
    serial = [call(machine, (3,), seed) for seed in range(24)]
    results: dict = {}

    def work(start):
        for seed in range(start, 24, 8):
            results[seed] = call(machine, (3,), seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed, want in enumerate(serial):
        assert all(np.array_equal(a, b) for a, b in zip(results[seed], want, strict=True)), seed


@pytest.mark.parametrize("machine", MACHINES, ids=repr)
def test_results_alias_neither_each_other_nor_workspaces(machine):
    first = call(machine, (3,), 0)
    kept = [a.copy() for a in first]
    second = call(machine, (3,), 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True)), "a later call wrote to a result"
    everything = [*first, *second]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(everything) for b in everything[:i])
    held = [w for plan in machine._plans._plans.values() for pool in plan._pools.values() for w in pool]
    assert held, "nothing was pooled"
    buffers = [a for w in held for a in (*w.y, *w.z_full, *w.kernels)]
    assert not any(np.shares_memory(a, b) for a in everything for b in buffers)


def test_the_cache_of_plans_is_bounded():
    machine = mk.DenseMachine((2, 2), rng=0)
    for batch in range(1, 60):
        machine.solve(np.zeros((batch, 4)))
    assert len(machine._plans) <= machine._plans.most
    assert len(machine._known) <= 32


def test_plans_are_shared_by_derived_machines_and_dropped_on_pickling():
    machine = mk.DenseMachine((2, 3), bias=True, rng=0)
    y0 = np.ones((2, 5))
    want = machine.solve(y0).z
    assert machine.replace(weight=machine.weight)._plans is machine._plans
    for other in (pickle.loads(pickle.dumps(machine)), copy.deepcopy(machine)):
        assert len(other._plans) == 0
        assert np.array_equal(other.solve(y0).z, want)


def test_another_weight_is_gathered_anew():
    machine = mk.DenseMachine((2, 2, 2), "identity", rng=0)
    y0 = np.ones((2, 6))
    for weight in (np.ones((6, 6)), np.full((6, 6), 2.0)):
        other = machine.replace(weight=weight)
        assert np.array_equal(other.solve(y0).z, other.solve(y0, method="reference").z)
        assert np.array_equal(machine.solve(y0).z, machine.solve(y0).z)


@pytest.mark.parametrize("machine", MACHINES, ids=repr)
def test_memory_does_not_grow_with_the_number_of_calls(machine):
    call(machine, (3,), 0)
    gc.collect()
    tracemalloc.start()
    try:
        call(machine, (3,), 0)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            call(machine, (3,), 0)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000


def test_method_is_checked():
    machine = mk.DenseMachine((1, 1), rng=0)
    with pytest.raises(TypeError, match=r"referense.*did you mean 'reference'"):
        machine.solve(np.zeros((1, 2)), method="referense")


@pytest.mark.parametrize(("dtype", "large"), [("float32", 1e30), ("float64", 1e200), ("complex64", 1e30)])
@pytest.mark.parametrize("name", ["as chosen", "folded tiles"])
def test_large_finite_values_pass_without_a_warning(name, dtype, large):
    """To look for what is not finite must not itself overflow; warnings are errors here."""
    with schedule(name):
        machine = mk.DenseMachine((1, 1), "identity", weight=np.ones((2, 2), dtype))
        y0 = np.array([[large, -large], [large, large]], dtype)
        state = machine.solve(y0)
        cotangent = machine.pullback(state, y0[::-1].copy() / np.array(large, dtype))
    assert np.array_equal(state.z, np.array([[large, 0.0], [large, 2 * large]], dtype))
    assert np.isfinite(cotangent.weight).all()


@pytest.mark.parametrize("machine", MACHINES, ids=repr)
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("tile", [5, 2])
def test_every_machine_under_every_schedule_in_tiles_that_need_not_divide_the_batch(machine, name, tile, monkeypatch):
    """Each schedule certainly meets each kind of machine here, and a last tile that is smaller than the others."""
    monkeypatch.setattr(tiles_module.Tiles, "_tile", lambda plan: min(tile, plan.samples))
    with schedule(name):
        got = call(copy.deepcopy(machine), (5,), 3)  # a copy has no plans yet
    rng = np.random.default_rng(3)
    shape = got[0].shape
    state = machine.solve(rng.standard_normal(shape), method="reference")
    u_v, weight, _ = reference_pullback(machine, state, rng.standard_normal(shape), None)
    for a, b in zip(got, [state.y, state.z, u_v.z, u_v.y, weight], strict=True):
        assert_close(repr(machine), a, b, 16 * tolerance("float64", a.size * (1.0 + np.abs(b).max())), name, tile)
