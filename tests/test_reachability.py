"""Which weights influence the output: exactly the live ones, no more, no fewer, and pruning is for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_close, assert_equal, parity
from .strategies import KINDS, Case, cases, orders, seeds


def positive_case(kind, order, seed=0):
    """A case whose grid shows every lag to every time block."""
    block = dict(zip(order.scan, order.time_block, strict=False))
    grid = tuple(2 * block.get(a, 1) + n for a, n in enumerate(order.kernel()))
    return Case(kind, order, (), grid, (0, 0, 0, 0), False, "identity", "float64", seed)


def transposed(mask, axes):
    return np.swapaxes(np.flip(mask, tuple(range(axes))), -1, -2)


@given(kind_order=orders())
def test_live_mask_equals_the_brute_force_definition(backend, kind_order):
    """§2: an entry is live iff every pair of positions that it couples is strictly ordered."""
    kind, order = kind_order
    case = positive_case(kind, order)
    machine = case.machine(backend, case.numbers())
    want = order.live()
    assert_equal("live", machine.live, want, order)
    assert machine.parameter_count == want.sum()
    assert_equal("dead weights", to_host(machine.weight)[~want], np.zeros((~want).sum()), order)


@given(kind_order=orders(most=2, blocks=3), seed=seeds())
def test_the_weights_that_influence_the_output_are_exactly_the_live_ones(backend, kind_order, seed):
    """With positive weights nothing cancels: raising one entry changes the solution iff it is live.

    The number Σ y + Σ z is a polynomial with positive coefficients in the live weights; its gradient is
    the pullback of ones. All entries are raised one by one where there are few, else twelve at random.
    """
    kind, order = kind_order
    case, rng = positive_case(kind, order), np.random.default_rng(seed)
    numbers = case.numbers()
    scale = 0.5 / max(1, int(np.prod(numbers.weight.shape[:-1])))
    numbers.weight = rng.uniform(0.5, 1.0, numbers.weight.shape) * scale
    machine, live = case.machine(backend, numbers), order.live()
    ones = backend.from_host(np.ones((*case.grid, case.channels)))
    state = machine.solve(ones, ones)
    gradient = to_host(machine.pullback(state, ones, y=ones).weight)
    assert_equal("where the gradient is positive", gradient > 0, live, order)
    base = np.concatenate([to_host(state.y), to_host(state.z)])
    entries = list(np.ndindex(*live.shape))
    for k in rng.permutation(len(entries))[:12]:
        raised = np.array(numbers.weight)
        raised[entries[k]] += 1.0
        other = machine.replace(weight=backend.from_host(raised)).solve(ones, ones)
        changed = not np.array_equal(base, np.concatenate([to_host(other.y), to_host(other.z)]))
        assert changed == live[entries[k]], (order, entries[k])


@pytest.mark.parametrize("memory", [1, 4])
def test_a_recurrent_machine_is_full_at_lag_one_and_block_triangular_at_lag_zero(backend, memory):
    """§2: b = 1 gives full kernels at every lag ≥ 1 and a non-empty block-triangular one at lag 0."""
    sizes = (1, 2, 2)
    machine = mk.RecurrentMachine(sizes, memory=memory, rng=0, backend=str_of(backend))
    block = np.repeat(np.arange(3), sizes)
    assert_equal("lag 0", machine.live[0], block[:, None] < block[None, :])
    assert machine.live[0].any()
    assert machine.live[1:].all()
    assert (to_host(machine.weight)[machine.live] != 0).all(), "a live weight was drawn as zero"


@pytest.mark.parametrize("block", [2, 3, 5])
def test_a_recurrent_machine_has_recurrence_for_any_time_block(backend, block):
    """Lags below the time block keep the block-triangular taps, lags from it on are full."""
    machine = mk.RecurrentMachine((2, 1), memory=6, time_block=block, rng=0, backend=str_of(backend))
    counts = machine.live.sum(axis=(1, 2)).tolist()
    assert counts == [2] * block + [9] * (7 - block)


def str_of(backend):
    """The flag of a backend."""
    if backend.name in ("numpy", "cupy"):
        return backend.name
    return f"{backend.name}:device1"


@given(case=cases(), junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e30]))
def test_dead_weights_are_projected_and_meet_no_value(backend, case, junk):
    """Dead entries are exact zeros, whatever was given there, in weight, directions and cotangents."""
    numbers, live = case.numbers(), case.order.live()
    clean = case.machine(backend, numbers)
    numbers.weight = np.where(live, numbers.weight, np.asarray(junk).astype("float32")).astype(case.dtype)
    machine = case.machine(backend, numbers)
    assert_equal("weight", machine.weight, clean.weight, case)
    assert_equal("replaced", clean.replace(weight=backend.from_host(numbers.weight)).weight, clean.weight, case)
    y0 = backend.from_host(numbers.dy0)
    state = machine.solve(y0)
    assert_equal("solution", state.z, clean(y0), case)
    direction = np.where(live, numbers.dweight, np.asarray(junk).astype("float32")).astype(case.dtype)
    a = machine.pushforward(state, weight=backend.from_host(direction))
    b = machine.pushforward(state, weight=backend.from_host(numbers.dweight))
    assert_equal("ż", a.z, b.z, case)
    gradient = to_host(machine.pullback(state, y0, y=y0).weight)
    assert not gradient[~live].any()


@given(case=cases())
def test_pruning_is_permanent(backend, case):
    """live ∧ mask is carried by replace, to, astype, dual and tangent; pruned entries have zero gradient."""
    numbers = case.numbers()
    rng = np.random.default_rng(case.seed)
    keep, axes = rng.random(numbers.weight.shape) < 0.5, len(case.order.padding)
    whole = case.machine(backend, numbers)
    machine, want = whole.prune(keep), case.order.live() & keep
    y0 = backend.from_host(numbers.dy0)
    state = machine.solve(y0)
    full = machine.replace(weight=backend.from_host(np.ones_like(numbers.weight)))
    versions = {
        "prune": machine,
        "replace": full,
        "to": machine.to(str_of(backend)),
        "astype": machine.astype("complex128"),
        "tangent": machine.tangent(state),
        "twice": machine.prune(np.ones_like(keep)),
        "dual of dual": machine.dual(state).dual(state),
    }
    for name, version in versions.items():
        assert_equal(f"live after {name}", version.live, want, case)
        assert not to_host(version.weight)[~want].any(), name
        assert to_host(version.project(version.weight + 1)).astype(bool).sum() <= want.sum(), name
    assert_equal("all kept weights replaced", full.weight, want.astype(case.dtype), case)
    assert_equal("live of dual", machine.dual(state).live, transposed(want, axes), case)
    assert machine.parameter_count == want.sum() + (case.channels if case.bias else 0)
    assert not to_host(machine.pullback(state, y0, y=y0).weight)[~want].any()
    assert_equal("live of the pruned machine's origin", whole.live, case.order.live(), case)


@given(case=cases(linear=False, dtypes=("float64",)))
def test_a_pruned_machine_equals_the_oracle_with_those_weights_zero(backend, case):
    """Classical networks are recovered by masking shortcuts: the pruned machine is the one without them."""
    numbers = case.numbers()
    keep = np.random.default_rng(case.seed).random(numbers.weight.shape) < 0.5
    machine = case.machine(backend, numbers).prune(keep)
    numbers.weight = np.where(keep, numbers.weight, 0.0)
    oracle = case.oracle(backend, numbers)
    given_arrays = [None if a is None else backend.from_host(a) for a in (numbers.y0, numbers.z0)]
    state, s = machine.solve(*given_arrays), oracle.solution
    assert_close("z", state.z, oracle.full(s.z), parity(case.dtype, oracle.full(s.ez)), case)
    seeds_ = [None if a is None else backend.from_host(a) for a in (numbers.seed_z, numbers.seed_y)]
    got, want = machine.pullback(state, seeds_[0], y=seeds_[1]), oracle.pullback(numbers.seed_z, numbers.seed_y)
    expected, scale = np.where(keep, want.weight, 0.0), want.scale.weight
    assert_close("cotangent of weight", got.weight, expected, parity(case.dtype, scale), case)


@pytest.mark.parametrize("time_block", [1, 3])
def test_a_stream_keeps_the_pruning(backend, time_block):
    """A stream of a pruned machine gives the pruned machine's solution, not the whole one's."""
    rng = np.random.default_rng(3)
    keep = rng.random((4, 3, 3)) < 0.5
    whole = mk.RecurrentMachine((1, 2), memory=3, time_block=time_block, rng=1, backend=str_of(backend))
    machine = whole.prune(keep)
    y0 = rng.standard_normal((8, 3))
    stream, want = machine.stream(), to_host(machine(backend.from_host(y0)))
    got = [to_host(stream.solve(backend.from_host(chunk)).z) for chunk in np.split(y0, [3, 4])]
    assert_close("z", np.concatenate(got), want, parity("float64", 10.0))
    assert np.abs(to_host(whole(backend.from_host(y0))) - want).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_single_block_is_live_unless_time_passes(backend, kind):
    """n = 0: one block reads nothing, except through a scanned axis."""
    order = {
        "dense": mk.DenseMachine((3,), backend=str_of(backend)),
        "conv1d": mk.ConvMachine((3,), padding=((1, 2),), backend=str_of(backend)),
        "conv2d": mk.ConvMachine((3,), padding=((1, 2), (2, 0)), backend=str_of(backend)),
        "recurrent": mk.RecurrentMachine((3,), memory=2, time_block=2, backend=str_of(backend)),
        "grid": mk.GridMachine((3,), padding=((1, 0), (1, 1)), scan=(0, 1), backend=str_of(backend)),
    }
    counts = {"dense": 0, "conv1d": 0, "conv2d": 0, "recurrent": 9, "grid": 36}
    assert order[kind].parameter_count == counts[kind]
