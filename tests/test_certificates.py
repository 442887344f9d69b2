"""Monotonicity, which certifies one equilibrium, against explicit matrices; and what both certificates refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import backend_of, to_host

from .feedback import explicit
from .helpers import assert_close, locked, tolerance

DTYPES = ("float64", "float32", "complex128", "complex64")


def draw(rng, shape, dtype="float64"):
    array = rng.standard_normal(shape)
    return (array + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else array).astype(dtype)


def least(matrix):
    """The smallest eigenvalue of the Hermitian part of I − W."""
    rest = np.eye(len(matrix)) - matrix
    return np.min(np.linalg.eigvalsh(0.5 * (rest + rest.conj().T)), initial=1.0 if not len(matrix) else np.inf)


@given(n=st.integers(0, 6), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 2**32 - 1))
def test_monotonicity_is_the_least_eigenvalue_of_the_symmetric_part(backend, n, dtype, seed):
    host = draw(np.random.default_rng(seed), (n, n), dtype)
    found = mk.monotonicity(locked(backend, host))
    assert type(found) is float
    bound = tolerance("float64", 1.0 + np.abs(host).sum())
    assert_close("m", np.array(found), np.array(least(host)), bound, host)
    assert_close("of the transpose", np.array(mk.monotonicity(locked(backend, host.T.copy()))), found, bound)


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_of_a_machine_it_is_that_of_every_diagonal_block(backend, sizes, seed):
    rng = np.random.default_rng(seed)
    weight = 3.0 * rng.standard_normal((sum(sizes),) * 2)
    machine = mk.EquilibriumMachine(sizes, "tanh", weight=locked(backend, weight), rng=0)
    found = mk.monotonicity(machine)
    want = [least(weight[b, b]) for b in machine.partition.blocks]
    assert isinstance(found, np.ndarray)
    assert_close("m", found, np.array(want), tolerance("float64", 1.0 + np.abs(weight).sum()), sizes)


def test_blocks_that_do_not_read_themselves_have_one():
    weight = np.array([[0.0, 7.0, 7.0], [0.0, 5.0, 7.0], [0.0, 0.0, 0.0]])
    assert mk.monotonicity(mk.EquilibriumMachine((1, 1, 1), weight=weight)).tolist() == [1.0, -4.0, 1.0]
    assert mk.monotonicity(mk.DenseMachine((1, 0, 2), rng=0)).tolist() == [1.0, 1.0, 1.0]
    assert mk.monotonicity(mk.RecurrentMachine((1, 2), memory=3, rng=0), grid=(4,)).tolist() == [1.0, 1.0]


@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=3).filter(sum),
    margin=st.sampled_from((0.05, 0.5, 2.0)),
    tiers=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_monotone_machine_has_the_margin_that_it_says(spec, sizes, margin, tiers, seed):
    """It is computed from the kernel: a kernel that is not what A, B and the margin make is found out."""
    machine = mk.MonotoneMachine(sizes, "relu", margin=margin, tiers=tiers, rng=seed, backend=spec)
    found, kernel = mk.monotonicity(machine), to_host(machine.kernel)
    bound = tolerance("float64", 1.0 + margin + np.abs(kernel).sum())
    want = np.array([least(kernel[b, b]) for b in machine.partition.blocks])
    assert_close("m", found, want, bound, sizes)
    assert all(m >= margin - bound for m, size in zip(found, sizes, strict=True) if size)
    wrong = machine._derive(
        kernel=machine.kernel * 0.0 + backend_of(machine.kernel).from_host(4.0 * np.eye(sum(sizes)))
    )
    wrong.__dict__.pop("_blocks", None)
    assert mk.monotonicity(wrong).tolist() == [-3.0 if size else 1.0 for size in sizes]


@pytest.mark.parametrize("grid", [(1,), (4,), (9,)])
@pytest.mark.parametrize("padding", [((1, 1),), ((3, 0),), ((0, 2),)])
def test_of_a_convolution_it_is_a_bound_that_the_circulant_attains(spec, backend, padding, grid):
    rng = np.random.default_rng(0)
    (before, after), (n,) = padding[0], grid
    weight = 0.7 * rng.standard_normal((before + after + 1, 2, 2))
    machine = mk.EquilibriumMachine((2,), "identity", padding=padding, weight=locked(backend, weight))
    (found,) = mk.monotonicity(machine, grid)
    zeros = backend.from_host(np.zeros((n, 2)))
    matrix = explicit(machine, mk.State(zeros, zeros))  # slopes are 1
    assert found <= least(matrix) + tolerance("float64", np.abs(weight).sum())
    length = machine._blocks.operator(0, grid).extents[0]
    assert length >= n + max(before, after)
    lags = np.arange(-after, before + 1)
    symbols = [np.einsum("l,lio->oi", np.exp(-2j * np.pi * k * lags / length), weight) for k in range(length)]
    assert_close(
        "m", np.array(found), np.array(min(map(least, symbols))), tolerance("float64", 1 + 2 * np.abs(weight).sum())
    )


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
def test_the_certificate_bounds_the_error_of_an_unfinished_solve(spec, backend, activation):
    """‖z − z*‖ ≤ ‖W (z' − σ(W z' + b))‖ / m, and not by far too much."""
    rng = np.random.default_rng(3)
    machine = mk.MonotoneMachine((12,), activation, margin=0.3, rng=rng, backend=spec, rtol=1e-12)
    (m,) = mk.monotonicity(machine)
    y0 = backend.from_host(2.0 * rng.standard_normal((5, 12)))
    exact = to_host(machine.solve(y0).z)
    tight = []
    for steps in (2, 4, 8):
        rough = machine.with_options(on_failure="return", max_steps=steps, rtol=1e-9).solve(y0)
        error = np.linalg.norm(to_host(rough.z) - exact, axis=-1)
        assert (error <= rough.info.residual / m * (1.0 + 1e-9)).all()
        tight.append(np.max(error * m / rough.info.residual))
    assert max(tight) > 0.02


# bad input ----------------------------------------------------------------------------------------

MACHINE = mk.EquilibriumMachine((2,), rng=0)
CONVOLUTION = mk.EquilibriumMachine((2,), padding=((1, 1),), rng=0)
STATE = mk.State(np.zeros((1, 2)), np.zeros((1, 2)))


@pytest.mark.parametrize("function", [mk.monotonicity, mk.spectral_radius])
@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [
        ([[1.0]], TypeError, r"weight is a list.*numpy\.asarray"),
        (np.eye(2, dtype=int), TypeError, "weight has dtype int64.*cast it"),
        (np.zeros((2, 3)), ValueError, r"weight has shape \(2, 3\); pass a square matrix"),
        (np.zeros((2, 3, 3)), ValueError, r"weight has shape \(2, 3, 3\).*or a machine"),
        (np.array([[np.nan]]), ValueError, "weight has 1 entries that are not finite"),
    ],
)
def test_a_weight_that_is_none_is_refused(function, weight, error, words):
    with pytest.raises(error, match=words):
        function(weight)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mk.monotonicity(np.eye(2), grid=(3,)), ValueError, r"grid is \(3,\) but weight is a matrix"),
        (lambda: mk.monotonicity(CONVOLUTION), ValueError, r"grid is \(\) but the machine has 1 grid axes"),
        (lambda: mk.monotonicity(MACHINE, grid=(2, 2)), ValueError, r"grid is \(2, 2\) but the machine has 0"),
        (lambda: mk.monotonicity(CONVOLUTION, grid=(-1,)), ValueError, r"grid\[0\] is -1"),
        (lambda: mk.monotonicity(CONVOLUTION, grid=5), TypeError, "grid is 5; pass a tuple"),
        (lambda: mk.spectral_radius(MACHINE), TypeError, r"state is None.*machine\.solve"),
        (lambda: mk.spectral_radius(np.eye(2), STATE), TypeError, "state is a MachineState but weight is a matrix"),
        (lambda: mk.spectral_radius(MACHINE, STATE, steps=0), ValueError, "steps is 0; pass at least 1"),
        (lambda: mk.spectral_radius(MACHINE, STATE, steps=1.5), TypeError, "steps is 1.5"),
        (lambda: mk.spectral_radius(MACHINE, np.zeros((1, 2))), TypeError, "state is a ndarray"),
        (
            lambda: mk.spectral_radius(MACHINE, mk.State(np.zeros((1, 3)), np.zeros((1, 3)))),
            ValueError,
            "end in 2 channels",
        ),
    ],
)
def test_wrong_arguments_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
