"""What is computed only when it is asked for is what it would have been."""

import pickle

import numpy as np
import pytest
from hypothesis import given

import machinekit as mk
from machinekit.arrays import NUMPY

from .helpers import assert_close, tolerance
from .strategies import cases


@given(case=cases(linear=False, least=1))
def test_u_is_the_dual_start_whether_it_was_kept_or_not(case):
    """u = Wᵀ v + u0, v = D u + v0, from a state of y0 alone, of both inputs, and after pickling; Algorithm 1."""
    n = case.numbers()
    machine = case.machine(NUMPY, n)
    for z0 in (None, n.z0):
        state = machine.solve(n.y0, z0)
        dual = machine.pullback(state, n.seed_z, y=n.seed_y)
        want = machine.dual(state).solve(n.dy0 * 0 if n.seed_z is None else n.seed_z, n.seed_y, method="reference")
        again = pickle.loads(pickle.dumps(machine.pullback(state, n.seed_z, y=n.seed_y)))
        size = 1 + np.abs(want.y).max(initial=0.0)
        for got in (dual, again):
            assert_close("u", got.saved.y, want.y, 16 * tolerance(case.dtype, size * (1 + case.channels)), case)
            assert np.array_equal(got.z0, got.saved.y[..., : got.z0.shape[-1]])
            assert np.array_equal(got.y0, dual.saved.z[..., : got.y0.shape[-1]])


def test_the_dual_of_one_sample_serves_a_batch_of_seeds():
    """Its slope, not computed before it is needed, broadcasts like any Diagonal."""
    machine = mk.DenseMachine((2, 3, 2), rng=0)
    rng = np.random.default_rng(0)
    state, seeds = machine.solve(rng.normal(size=7)), rng.normal(size=(4, 7))
    swept = machine.dual(state).solve(seeds)
    for seed, v in zip(seeds, swept.z, strict=True):
        np.testing.assert_allclose(v, machine.dual(state).solve(seed).z, rtol=1e-13)


@pytest.mark.parametrize("verb", ["dual", "tangent"])
def test_a_state_that_the_user_made_is_read_at_once(verb):
    """Its arrays are the user's to change afterwards."""
    machine = mk.DenseMachine((2, 3), rng=0)
    solved = machine.solve(np.ones(5))
    own = mk.State(solved.y.copy(), solved.z.copy())
    linear = getattr(machine, verb)(own)
    own.y[...], own.z[...] = np.nan, np.nan
    assert np.array_equal(linear.slope_array, getattr(machine, verb)(solved).slope_array)


def test_a_tangent_pickles_with_its_slope():
    machine = mk.RecurrentMachine((2, 3), "gelu", memory=2, rng=0)
    state = machine.solve(np.ones((4, 5)))
    tangent = machine.tangent(state)
    again = pickle.loads(pickle.dumps(tangent))
    start = np.ones((4, 5))
    assert np.array_equal(again.solve(start).z, tangent.solve(start).z)
    assert np.array_equal(again.slope_array, machine.slope(state))
