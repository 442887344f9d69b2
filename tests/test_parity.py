"""Every machine equals the explicit matrix of its definition: outputs, tangents and all cotangents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit import State

from .helpers import assert_close, assert_equal, parity
from .strategies import KINDS, cases


def prepare(case, backend):
    """Return the machine, the oracle, the numbers, the moved numbers and the solved state."""
    n = case.numbers()
    moved = {k: None if a is None else backend.from_host(a) for k, a in vars(n).items()}
    machine = case.machine(backend, n)
    return machine, case.oracle(backend, n), n, moved, machine.solve(moved["y0"], moved["z0"])


def check(what, got, want, scale, case):
    assert_close(what, got, want, parity(case.dtype, scale), case)


def compare_all(case, backend):
    """Compare state, all cotangents and the pushforward with the oracle."""
    machine, oracle, n, moved, state = prepare(case, backend)
    s = oracle.solution
    check("y", state.y, oracle.full(s.y), oracle.full(s.ey), case)
    check("z", state.z, oracle.full(s.z), oracle.full(s.ez), case)
    assert_equal("live", machine.live, oracle.live, case)

    cotangent, want = machine.pullback(state, moved["seed_z"], y=moved["seed_y"]), oracle.pullback(n.seed_z, n.seed_y)
    for name, given_array in (("y0", n.y0), ("z0", n.z0)):
        cut = (..., slice(0, case.channels if given_array is None else given_array.shape[-1]))
        check(f"cotangent of {name}", getattr(cotangent, name), getattr(want, name)[cut],
              getattr(want.scale, name)[cut], case)  # fmt: skip
    check("cotangent of weight", cotangent.weight, want.weight, want.scale.weight, case)
    assert (cotangent.bias is None) == (not case.bias)
    assert (cotangent.slope is None) == (not case.linear)
    if case.bias:
        check("cotangent of bias", cotangent.bias, want.bias, want.scale.bias, case)
    if case.linear:
        check("cotangent of slope", cotangent.slope, want.slope, want.scale.slope, case)

    along = {"y0": n.dy0, "z0": n.dz0, "weight": n.dweight, "bias": n.dbias, "slope": n.dslope}
    along = {k: a for k, a in along.items() if a is not None}
    push, want = machine.pushforward(state, **{k: moved["d" + k] for k in along}), oracle.tangent(**along)
    check("ẏ", push.y, want.y, want.ey, case)
    check("ż", push.z, want.z, want.ez, case)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_outputs_tangents_and_all_cotangents_equal_the_explicit_matrices(backend, kind, data):
    """y = W z + b + y0, z = σ(y) + z0 and Proposition 2, Theorem 3: §3, eqs. (10)–(14)."""
    compare_all(data.draw(cases(kind, linear=False)), backend)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_linear_machines_equal_the_explicit_matrices_with_the_slope_cotangent(backend, kind, data):
    """σ(y) = a y with a broadcast along any axes; the cotangent of a is Σ y u, of the shape of a."""
    compare_all(data.draw(cases(kind, linear=True)), backend)


@given(case=cases())
def test_tangent_and_dual_are_machines_with_the_oracles_solutions(backend, case):
    """Theorem 3: the tangent and the dual are linear machines of the same class, solved by the same procedure."""
    machine, oracle, n, moved, state = prepare(case, backend)
    want, along = oracle.pullback(n.seed_z, n.seed_y), oracle.tangent(n.dy0, n.dz0)
    dual, tangent = machine.dual(state), machine.tangent(state)
    assert type(dual) is type(tangent) is type(machine)
    assert dual.bias is None
    assert tangent.bias is None
    if n.seed_z is not None or n.seed_y is not None:
        solved = dual.solve(moved["seed_z"], moved["seed_y"])
        check("u", solved.y, want.z0, want.scale.z0, case)
        check("v", solved.z, want.y0, want.scale.y0, case)
    solved = tangent.solve(moved["dy0"], moved["dz0"])
    check("ẏ", solved.y, along.y, along.ey, case)
    check("ż", solved.z, along.z, along.ez, case)


@given(case=cases())
def test_the_dual_of_the_dual_is_the_tangent(backend, case):
    """Transposing twice is nothing: the same weight, order and slope bit for bit, and the tangent's solution.

    The solution to rounding only: memory orders may differ, and with them the order in which a product sums.
    """
    machine, oracle, n, moved, state = prepare(case, backend)
    tangent, dual = machine.tangent(state), machine.dual(state)
    other = dual.dual(dual.solve(moved["dy0"], moved["dz0"]))
    assert other.partition == tangent.partition
    for name in ("weight", "live", "slope_array"):
        assert_equal(name, getattr(other, name), getattr(tangent, name), case)
    got, want = other.solve(moved["dy0"], moved["dz0"]), oracle.tangent(n.dy0, n.dz0)
    check("ẏ", got.y, want.y, want.ey, case)
    check("ż", got.z, want.z, want.ez, case)


@given(case=cases())
def test_apply_is_the_endofunction_and_the_solution_its_shifted_fixed_point(backend, case):
    """x = f(x) + x0: f(y, z) = (W z + b, σ(y)) for any x, and the residual vanishes at the solution only."""
    machine, oracle, n, moved, state = prepare(case, backend)
    image = machine.apply(moved["dy0"], moved["dz0"])
    dy, dz = oracle.flat(n.dy0), oracle.flat(n.dz0)
    scale = np.abs(dz) @ np.abs(oracle.M).T + np.abs(oracle.flat_bias())
    check("W z + b", image.y, oracle.full(dz @ oracle.M.T + oracle.flat_bias()), oracle.full(scale), case)
    sigma = oracle.pointwise(dy, 0)
    scale = np.abs(sigma) + np.abs(dy * oracle.pointwise(dy, 1)) + np.abs(dy)
    check("σ(y)", image.z, oracle.full(sigma), oracle.full(scale), case)
    residual, s = machine.residual(state, moved["y0"], moved["z0"]), oracle.solution
    check("residual in y", residual.y, 0 * oracle.full(s.y), oracle.full(s.ey), case)
    check("residual in z", residual.z, 0 * oracle.full(s.z), oracle.full(s.ez), case)
    away = machine.residual(State(state.y + 1.0, state.z), moved["y0"], moved["z0"])
    check("residual one off", away.y, 1 + 0 * oracle.full(s.y), 1 + oracle.full(s.ey), case)


@given(case=cases(dtypes=("float64",)))
def test_the_oracle_itself_needs_no_more_steps_than_there_are_index_sets(backend, case):
    """Theorem 1: iterating from zero is stationary, bit for bit, after at most one step per index set.

    On X that is a depth of 2n + 1 for n + 1 sets, and one more if the bias of the first set is not zero.
    """
    n = case.numbers()
    oracle, machine = case.oracle(backend, n), case.machine(backend, n)
    assert oracle.solution is not None
    assert oracle.steps <= oracle.index_sets
    sets = oracle.index_sets
    assert machine.depth_bound(case.grid) == (2 * sets - 1 + case.bias if sets else 0), case
