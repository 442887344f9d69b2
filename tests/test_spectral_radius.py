"""The spectral radius of D W against explicit matrices: complex pairs, blocks, convolutions, numbers far from 1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .feedback import explicit
from .helpers import assert_close, locked, tolerance


def radius(matrices):
    return np.max(np.abs(np.linalg.eigvals(matrices)), axis=-1, initial=0.0)


def turning(rng, radii, angles):
    """A normal matrix with eigenvalues r exp(±iφ)."""
    matrix = np.zeros((2 * len(radii),) * 2)
    for k, (r, phi) in enumerate(zip(radii, angles, strict=True)):
        c, s = r * np.cos(phi), r * np.sin(phi)
        matrix[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[c, s], [-s, c]]
    q, _ = np.linalg.qr(rng.standard_normal(matrix.shape))
    return q @ matrix @ q.T


@given(seed=st.integers(0, 2**32 - 1), pairs=st.integers(1, 4), dtype=st.sampled_from(("float64", "float32")))
def test_of_complex_pairs_it_is_their_modulus(backend, seed, pairs, dtype):
    """Only the pair furthest out counts; its angle does not."""
    rng = np.random.default_rng(seed)
    radii = np.array([1.0, *rng.uniform(0.0, 0.5, pairs - 1)]) * rng.uniform(0.1, 8.0)
    weight = turning(rng, radii, rng.uniform(0.0, np.pi, pairs)).astype(dtype)
    machine = mk.EquilibriumMachine((2 * pairs,), "identity", weight=locked(backend, weight.T.copy()))
    zeros = backend.from_host(np.zeros((3, 2 * pairs), dtype))
    found = mk.spectral_radius(machine, mk.State(zeros, zeros))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    assert_close(
        "ρ", found, np.full(3, radii[0]), 1e-10 * radii[0] + tolerance(dtype, 100 * np.abs(weight).sum()), radii
    )
    of_matrix = mk.spectral_radius(locked(backend, weight))
    assert type(of_matrix) is float
    assert_close("of the matrix", np.array(of_matrix), radii[0], tolerance(dtype, np.abs(weight).sum()), radii)


def test_a_rayleigh_quotient_would_be_zero():
    turn = 2.0 * np.array([[0.0, 1.0], [-1.0, 0.0]])
    v = np.random.default_rng(0).standard_normal(2)
    assert abs(v @ turn @ v) <= 1e-15 * (v @ v)
    machine = mk.EquilibriumMachine((2,), "identity", weight=turn)
    assert_close("ρ", mk.spectral_radius(machine, machine.solve(np.ones(2))), np.array(2.0), 1e-12)


@pytest.mark.parametrize("kind", ["one block", "blocks", "convolution", "two axes"])
def test_every_sample_has_that_of_its_own_slopes(backend, kind):
    """Random matrices have crowded spectra: the average of 400 steps is within a percent."""
    padding = {"convolution": ((2, 1),), "two axes": ((1, 1), (0, 1))}.get(kind)
    sizes = {"one block": (7,), "blocks": (3, 0, 4)}.get(kind, (2,))
    grid = {"convolution": (6,), "two axes": (3, 2)}.get(kind, ())
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weight = 0.8 * rng.standard_normal((*(sum(p) + 1 for p in padding or ()), sum(sizes), sum(sizes)))
        machine = mk.EquilibriumMachine(sizes, "tanh", padding=padding, weight=locked(backend, weight))
        y, z = (backend.from_host(rng.standard_normal((2, 3, *grid, sum(sizes)))) for _ in range(2))
        state = mk.State(y, z)
        found = mk.spectral_radius(machine, state, steps=400, rng=seed)
        want = radius(explicit(machine, state))
        assert found.shape == want.shape == (2, 3)
        assert np.ptp(want) > 0.02
        assert_close("ρ", found, want, 0.01 * want, seed)
        alone = mk.spectral_radius(machine, mk.State(y[1, 2, ...], z[1, 2, ...]), steps=400, rng=seed)
        assert alone.shape == ()
        assert_close("without its batch mates", alone, found[1, 2], tolerance("float64", 1e3))


def test_couplings_have_no_part_in_it(backend):
    """Eigenvalues of a block-triangular matrix are those of its blocks; with couplings the growth would start later."""
    weight = np.diag([0.5, -0.25, 0.5]) + 1e6 * np.triu(np.ones((3, 3)), 1)
    machine = mk.EquilibriumMachine((1, 1, 1), "identity", weight=locked(backend, weight))
    zeros = backend.from_host(np.zeros((2, 3)))
    assert_close("ρ", mk.spectral_radius(machine, mk.State(zeros, zeros)), np.full(2, 0.5), 1e-10)


def test_finite_depth_has_zero(backend):
    rng = np.random.default_rng(0)
    weight = np.triu(rng.standard_normal((6, 6)), 1)
    here, zeros = locked(backend, weight), backend.from_host(np.zeros((4, 6)))
    for machine in (
        mk.DenseMachine((1,) * 6, weight=here),
        mk.EquilibriumMachine((1,) * 6, weight=here),
        mk.EquilibriumMachine((6,), weight=here),  # nilpotent, which only the products show
    ):
        assert mk.spectral_radius(machine, mk.State(zeros, zeros)).tolist() == [0.0] * 4
    assert mk.spectral_radius(here) == 0.0
    recurrent = mk.RecurrentMachine((1, 1), memory=2, rng=0)
    assert mk.spectral_radius(recurrent, recurrent.solve(np.ones((300, 2)))).tolist() == 0.0


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1e200, "float64"), (1e-200, "float64"), (1e30, "float32"), (1e-30, "float32")]
)
def test_nothing_overflows_or_underflows(backend, scale, dtype):
    weight = (scale * np.array([[0.0, 1.0], [-1.0, 0.0]])).astype(dtype)
    machine = mk.EquilibriumMachine((2,), "identity", weight=locked(backend, weight))
    zeros = backend.from_host(np.zeros((1, 2), dtype))
    found = mk.spectral_radius(machine, mk.State(zeros, zeros))
    assert_close("ρ", found, np.array([scale]), tolerance(dtype, 100 * scale))


def test_what_is_not_finite_is_not_taken_for_stable(backend):
    machine = mk.EquilibriumMachine((2,), "tanh", weight=locked(backend, np.eye(2)))
    y = backend.from_host(np.array([[0.0, 0.0], [np.nan, 0.0]]))
    found = mk.spectral_radius(machine, mk.State(y, y))
    assert np.isnan(found).tolist() == [False, True]


def test_complex_machines_have_one(backend):
    weight = np.diag([0.3j, 1.5 * np.exp(0.7j), -0.2])
    machine = mk.EquilibriumMachine((3,), "identity", weight=locked(backend, weight))
    zeros = backend.from_host(np.zeros((2, 3), complex))
    assert_close("ρ", mk.spectral_radius(machine, mk.State(zeros, zeros)), np.full(2, 1.5), 1e-12)
    assert_close("of the matrix", np.array(mk.spectral_radius(locked(backend, weight))), 1.5, 1e-14)


@pytest.mark.parametrize("rho", [0.9, 1.1])
def test_it_tells_whether_plain_iteration_converges(backend, rho):
    turn = rho * np.array([[0.0, 1.0], [-1.0, 0.0]])
    machine = mk.EquilibriumMachine((2,), "tanh", weight=locked(backend, turn), solver="picard", on_failure="return")
    y0 = backend.from_host(np.array([[1e-3, 2e-3]]))
    picard = machine.with_options(max_steps=500).solve(y0)
    state = machine.with_options(solver="newton-krylov").solve(y0)
    assert state.info.converged.all()
    (found,) = mk.spectral_radius(machine, state)
    assert abs(found - rho) < 1e-4
    assert bool(picard.info.converged.all()) is bool(found < 1.0)


def test_empty_states_have_no_radius(backend):
    machine = mk.EquilibriumMachine((2,), padding=((1, 1),), weight=locked(backend, np.ones((3, 2, 2))))
    for shape, batch in (((0, 4, 2), (0,)), ((3, 0, 2), (3,)), ((2, 0, 4, 2), (2, 0))):
        zeros = backend.from_host(np.zeros(shape))
        found = mk.spectral_radius(machine, mk.State(zeros, zeros))
        assert found.shape == batch
        assert not found.any()
    assert mk.spectral_radius(locked(backend, np.zeros((0, 0)))) == 0.0


def test_nothing_is_written_to(backend):
    weight = locked(backend, np.eye(3) * 0.5)
    machine = mk.EquilibriumMachine((3,), "tanh", weight=weight)
    y = locked(backend, np.ones((2, 3)))
    before = [to_host(a).copy() for a in (weight, y)]
    mk.spectral_radius(machine, mk.State(y, y))
    mk.spectral_radius(weight)
    mk.monotonicity(weight)
    assert all(np.array_equal(to_host(a), b) for a, b in zip((weight, y), before, strict=True))
