"""The mistakes printed in the sources, put in by hand: the check that the right code passes rejects each of them.

The check is the adjoint identity of the whole solution map, and the explicit-matrix oracle. A variant
differs from the right code by one change; every one is rejected on seeds and inputs that are all non-zero.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import Diagonal, get_activation
from machinekit.arrays import to_host
from machinekit.engine import sweep
from machinekit.linear import transpose, weight_cotangent

from .helpers import assert_close, parity
from .oracle import Order, explicit_matrix, kernel_cotangent
from .strategies import Case

CASES = {
    "dense": Case("dense", Order((2, 1, 2)), (3,), (), (5, 5, 5, 5), True, "tanh", "float64", 1),
    "conv": Case("conv1d", Order((1, 2, 1), ((2, 1),)), (2,), (5,), (4, 4, 4, 4), True, "silu", "float64", 2),
    "recurrent": Case("recurrent", Order((1, 2), ((3, 0),), (0,), (), (2,)), (2,), (6,), (3, 3, 3, 3), True, "tanh",
                      "float64", 3),
}  # fmt: skip
EVERYWHERE = tuple(CASES)


def load(name, backend):
    """Return machine, oracle, numbers, and the solved state."""
    case = CASES[name]
    n = case.numbers()
    machine = case.machine(backend, n)
    moved = {k: backend.from_host(getattr(n, k)) for k in ("y0", "z0", "seed_y", "seed_z")}
    return SimpleNamespace(
        case=case, machine=machine, oracle=case.oracle(backend, n), n=n, state=machine.solve(moved["y0"], moved["z0"]),
        backend=backend, **moved,
    )  # fmt: skip


def check(at, u, v, weight=None):
    """The check: (u, v), the weight cotangent and the bias cotangent equal the oracle's."""
    want = at.oracle.pullback(at.n.seed_z, at.n.seed_y)
    weight = at.machine.project(weight_cotangent(at.machine.partition, at.state.z, v)) if weight is None else weight
    for name, got in (("y0", v), ("z0", u), ("weight", weight)):
        scale = getattr(want.scale, name)
        assert_close(f"cotangent of {name}", got, getattr(want, name), parity("float64", scale), at.case)


def check_forward(at, y, z):
    s = at.oracle.solution
    for name, got, want, scale in (("y", y, s.y, s.ey), ("z", z, s.z, s.ez)):
        assert_close(name, got, at.oracle.full(want), parity("float64", at.oracle.full(scale)), at.case)


def rejected(function, *arguments):
    with pytest.raises(AssertionError, match=r"entries differ"):
        function(*arguments)


def backward(at, masked=True, add_v0=True):
    """Algorithm 1 backward on explicit matrices, in place as printed; v starts as v0, over all index sets."""
    p, oracle = at.machine.partition, at.oracle
    raw = explicit_matrix(p.padding, at.n.weight, at.case.grid)
    L = oracle.M if masked else raw
    D = oracle.solution.D
    u, v = oracle.flat(at.n.seed_z), oracle.flat(at.n.seed_y)
    positions = np.arange(D.shape[1]).reshape(*at.case.grid, p.channels)
    for step in reversed(list(p.steps(at.case.grid))):
        rows = positions[step.index].ravel()
        u[:, rows] += v @ L[:, rows]
        v[:, rows] = D[:, rows] * u[:, rows] + (v[:, rows] if add_v0 else 0)
    return at.backend.from_host(oracle.full(u)), at.backend.from_host(oracle.full(v))


@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_right_code_passes_the_check(backend, name):
    """The control: without a change, every check below accepts."""
    at = load(name, backend)
    check_forward(at, at.state.y, at.state.z)
    dual = at.machine.dual(at.state).solve(at.seed_z, at.seed_y)
    check(at, dual.y, dual.z)
    check(at, dual.y, dual.z, at.machine.pullback(at.state, at.seed_z, y=at.seed_y).weight)
    check(at, *backward(at))


@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_derivative_at_the_input_is_rejected(backend, name):
    """Proposition 2 prints the derivative at x0; it is that at the solution R_f(x0)."""
    at = load(name, backend)
    wrong = at.machine.dual(mk.State(at.y0 + at.machine.bias, at.z0)).solve(at.seed_z, at.seed_y)
    rejected(check, at, wrong.y, wrong.z)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_the_unmasked_matrix_in_line_3_of_the_dual_is_rejected(backend, name):
    """Algorithm 1 backward, line 3 prints L for W: entries meant to be dead meet the v0 of sets not yet computed."""
    at = load(name, backend)
    rejected(check, at, *backward(at, masked=False))


def test_the_unmasked_matrix_is_invisible_without_a_seed_on_y(backend):
    """Why every check here has seeds on both: with v0 = 0 this dense machine cannot tell L strictly above from W."""
    at = load("dense", backend)
    at.n.seed_y = 0 * at.n.seed_y
    strict = np.where(np.tri(5, dtype=bool), at.n.weight, at.oracle.W)  # own and later blocks added back
    at.n.weight = strict
    u, v = backward(at, masked=False)
    check(at, u, v)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_dual_without_v0_is_rejected(backend, name):
    """The equivariant dual prints v = σ′(y) ⊙ u; it is v = σ′(y) ⊙ u + v0."""
    at = load(name, backend)
    rejected(check, at, *backward(at, add_v0=False))
    wrong = at.machine.dual(at.state).solve(at.seed_z)
    rejected(check, at, wrong.y, wrong.z)


@pytest.mark.parametrize("name", ["dense", "conv"])
def test_the_mask_of_eq_14_in_the_other_storage_is_rejected(backend, name):
    """Q[I_j, I_i] = 0 for j ≤ i is right for [out, in] storage; in [in, out] the mask is transposed."""
    at = load(name, backend)
    dual = at.machine.dual(at.state).solve(at.seed_z, at.seed_y)
    p = at.machine.partition
    gram = np.einsum("sp,sq->pq", at.oracle.flat(to_host(dual.z)), at.oracle.solution.z)
    whole = kernel_cotangent(p.padding, gram, at.case.grid, p.channels)
    live = at.machine.live
    check(at, dual.y, dual.z, backend.from_host(np.where(live, whole, 0.0)))
    rejected(check, at, dual.y, dual.z, backend.from_host(np.where(np.swapaxes(live, -1, -2), whole, 0.0)))
    rejected(check, at, dual.y, dual.z, backend.from_host(whole))


@pytest.mark.parametrize("rule", ["blocks at every lag", "lag 0 lost", "full from the time block on, nothing before"])
@pytest.mark.parametrize("block", [1, 2])
def test_index_projections_applied_to_a_kernel_are_rejected(backend, rule, block):
    """Liveness is about pairs of positions (§2): no rule on the kernel's channels or on lag 0 alone reproduces it."""
    order = Order((1, 2), ((3, 0),), (0,), (), (block,))
    channels = np.array(order.block_of)
    below = np.broadcast_to(channels[:, None] < channels[None, :], (4, 3, 3))
    lag = np.arange(4)[:, None, None]
    wrong = {
        "blocks at every lag": below,
        "lag 0 lost": np.where(lag == 0, False, np.where(lag >= block, True, below)),
        "full from the time block on, nothing before": np.broadcast_to(lag >= block, (4, 3, 3)),
    }[rule]
    machine = mk.RecurrentMachine((1, 2), memory=3, time_block=block, rng=0)
    assert np.array_equal(machine.live, order.live())
    assert not np.array_equal(wrong, order.live())
    narrow = machine.prune(wrong)
    y0 = np.random.default_rng(0).standard_normal((6, 3))
    assert np.abs(narrow(y0) - machine(y0)).max() > 1e-3, "the lost weights would have been seen in the output"


def test_causal_lags_only_in_the_weight_cotangent_are_rejected(backend):
    """Q̂ prints causal lags; a two-sided kernel has negative ones too."""
    at = load("conv", backend)
    cotangent = at.machine.pullback(at.state, at.seed_z, y=at.seed_y)
    weight = np.array(to_host(cotangent.weight))
    weight[: at.machine.partition.padding[0][1]] = 0.0
    rejected(check, at, cotangent.z0, cotangent.y0, backend.from_host(weight))


@pytest.mark.parametrize("name", EVERYWHERE)
def test_z_and_y_swapped_is_rejected(backend, name):
    """§3 prints w : Y → Z; it is w : Z → Y. Fed by y instead of z, solution and cotangents are other ones."""
    at = load(name, backend)
    sigma, oracle = get_activation(at.case.activation), at.oracle
    y = z = oracle.flat(None)
    for _ in range(oracle.index_sets + 1):
        y = y @ oracle.M.T + oracle.flat_bias() + oracle.flat(at.n.y0)
        z = sigma(y) + oracle.flat(at.n.z0)
    rejected(check_forward, at, backend.from_host(oracle.full(y)), backend.from_host(oracle.full(z)))
    dual = at.machine.dual(at.state).solve(at.seed_z, at.seed_y)
    swapped = at.machine.project(weight_cotangent(at.machine.partition, at.state.y, dual.z))
    rejected(check, at, dual.y, dual.z, swapped)
    swapped = at.machine.project(weight_cotangent(at.machine.partition, at.state.z, dual.y))
    rejected(check, at, dual.y, dual.z, swapped)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_gradient_by_the_jacobian_instead_of_its_transpose_is_rejected(backend, name):
    """[F] prints gradient = J · gradient; it is Jᵀ · gradient."""
    at = load(name, backend)
    wrong = at.machine.tangent(at.state).solve(at.seed_y, at.seed_z)
    rejected(check, at, wrong.z, wrong.y)


@pytest.mark.parametrize("mistake", ["padding not swapped", "lags not reversed", "first block first"])
@pytest.mark.parametrize("name", ["conv", "recurrent"])
def test_a_transpose_that_is_not_one_is_rejected(backend, name, mistake):
    """W'[k−1−j, o, c] = W[j, c, o] with paddings swapped and the partition reversed: all of it is needed."""
    at = load(name, backend)
    p = at.machine.partition
    dual, weight = p.dual(), transpose(p, at.machine.weight)
    if mistake == "padding not swapped":
        dual = type(p)(p.sizes, p.padding, dual.scan, dual.reverse, dual.time_block)
    elif mistake == "lags not reversed":
        weight = backend.xp.flip(weight, axis=0)
    else:
        dual = type(p)(p.sizes, dual.padding, p.scan, p.reverse, p.time_block)
    sigma = Diagonal.trusted(at.machine.slope(at.state))
    rejected(check, at, *sweep(dual, weight, sigma, at.seed_z, at.seed_y))
    check(at, *sweep(p.dual(), transpose(p, at.machine.weight), sigma, at.seed_z, at.seed_y))


def test_means_instead_of_sums_over_the_batch_are_rejected(backend):
    """Cotangents are sums over the batch, never means: the loss owns its mean."""
    at = load("dense", backend)
    cotangent = at.machine.pullback(at.state, at.seed_z, y=at.seed_y)
    rejected(check, at, cotangent.z0, cotangent.y0, cotangent.weight / 3)
