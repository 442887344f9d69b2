"""Linear systems, one per sample: BiCGSTAB, factorisations, and pieces of piecewise linear maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.arrays import to_host
from machinekit.solvers import BlockProblem
from machinekit.solvers import direct as direct_module
from machinekit.solvers.anderson import _Mixing, anderson
from machinekit.solvers.bicgstab import bicgstab
from machinekit.solvers.direct import active_set, direct
from machinekit.solvers.krylov import BiCGStab
from machinekit.solvers.rows import Rows, inner
from machinekit.solvers.small import solve_each

from .fixed_points import Affine, block, contraction, exact, monotone, solved, worst
from .helpers import assert_close, assert_equal, locked, tolerance
from .strategies import seeds

SKEW = np.array([[0.0, 1.0], [-1.0, 0.0]])


@given(seed=seeds(), n=st.integers(1, 8))
def test_bicgstab_solves_whatever_the_spectral_radius(backend, seed, n):
    """Random regular systems, half of whose A have eigenvalues outside the disc of radius 2."""
    rng = np.random.default_rng(seed)
    u, _ = np.linalg.qr(rng.standard_normal((2, n, n)))
    v, _ = np.linalg.qr(rng.standard_normal((2, n, n)))
    left = (u * rng.uniform(0.5, 4.0, (2, 1, n))) @ v
    c = rng.standard_normal((2, n))
    outcome = bicgstab(Affine(np.eye(n) - left, c, backend), 1e-11, 0.0, 4000)
    assert outcome.converged.all(), (outcome, seed)
    assert worst(to_host(outcome.answer), np.linalg.solve(left, c[:, :, None])[:, :, 0]) < 1e-8


@pytest.mark.parametrize("copies", [1, 4])
def test_bicgstab_solves_skew_systems_on_which_it_breaks_down(backend, copies):
    """⟨r, B r⟩ = 0 for every r: both halves of the plain method divide by zero in the first step."""
    left = np.kron(np.diag(np.arange(1.0, copies + 1)), SKEW)
    c = np.random.default_rng(0).standard_normal((3, 2 * copies))
    outcome = bicgstab(Affine(np.eye(2 * copies) - np.stack([left] * 3), c, backend), 1e-11, 0.0, 200)
    assert outcome.converged.all(), outcome
    assert worst(to_host(outcome.answer), c @ np.linalg.inv(left).T) < 1e-9


def test_bicgstab_starts_again_per_sample(backend):
    """One sample breaks down, one is singular, one is solved as if it were alone."""
    left = np.stack([np.kron(np.eye(2), SKEW), np.diag([1.0, 1, 1, 0]), np.diag([1.0, 2, 3, 4]) + np.eye(4, k=1)])
    c = np.arange(1.0, 13).reshape(3, 4)
    outcome = bicgstab(Affine(np.eye(4) - left, c, backend), 1e-11, 0.0, 100)
    assert outcome.converged.tolist() == [True, False, True]
    for k in (0, 2):
        assert worst(to_host(outcome.answer)[k : k + 1], np.linalg.solve(left[k], c[k])[None]) < 1e-9
    assert np.isfinite(to_host(outcome.answer)).all()


@pytest.mark.parametrize("warm", [False, True])
def test_bicgstab_knows_that_nothing_gives_nothing(backend, warm):
    a, c = np.stack([2 * SKEW] * 2), np.array([[0.0, 0.0], [1.0, 2.0]])
    start = locked(backend, np.full((2, 2), 3.0))
    outcome = bicgstab(Affine(a, c, backend), 1e-9, 0.0, 50, warm=(start, start) if warm else None)
    assert outcome.converged.all()
    assert_equal("answer", outcome.answer[0, :], np.zeros(2))
    assert outcome.steps[0] <= 2


def test_bicgstab_returns_nothing_unverified(backend):
    """Products that are a little wrong make a recursion that converges, to something else."""

    class Wrong(Affine):
        def linearise(self, s):
            return lambda p: self._product(p) * (1 + 1e-4)

    rng = np.random.default_rng(1)
    problem = Wrong(monotone(rng, 5)[None], rng.standard_normal((1, 5)), backend)
    outcome = bicgstab(problem, 1e-9, 0.0, 16)
    answer = to_host(outcome.answer)
    residual = np.linalg.norm(to_host(problem.image(outcome.answer)) - answer)
    assert outcome.converged[0] == (residual <= 1e-9 * np.linalg.norm(answer))
    assert not outcome.converged[0]
    again = bicgstab(problem, 1e-9, 0.0, 200)  # starting again from the true residual mends it
    assert again.converged[0]


def test_one_singular_matrix_of_a_stack_spoils_no_other(backend):
    rng = np.random.default_rng(2)
    matrices, right = rng.standard_normal((7, 3, 3)), rng.standard_normal((7, 3, 1))
    matrices[[1, 5]] = 0.0
    got = to_host(solve_each(backend.from_host(matrices), backend.from_host(right)))
    good = np.array([0, 2, 3, 4, 6])
    assert_close("x", got[good], np.linalg.solve(matrices[good], right[good]), 1e-12)
    assert not np.isfinite(got[[1, 5]]).any()


def test_anderson_takes_the_plain_step_where_its_system_is_unusable(backend):
    """Three samples: the same difference again and again, one that is no number, one that is fine."""
    mixing = _Mixing(backend.from_host(np.zeros((3, 4))), 3)
    rng = np.random.default_rng(3)
    x, f = rng.standard_normal((2, 5, 3, 4))
    for k in range(5):
        x[k, 0], f[k, 0] = k, 1.0 - k / 8
        f[k, 1] = np.nan if k == 3 else f[k, 1]
    with np.errstate(all="ignore"):
        got = [to_host(mixing.next(*map(backend.from_host, (x[k], f[k])), np.zeros(3, bool))) for k in range(5)]
    assert np.isfinite(got[4][[0, 2]]).all()
    assert_close("the fixed point of a line", got[4][0], np.full(4, 8.0), 1e-6)
    alone = _Mixing(backend.from_host(np.zeros((1, 4))), 3)
    for k in range(5):
        last = alone.next(*(backend.from_host(a[k, 2:]) for a in (x, f)), np.zeros(1, bool))
    assert_close("alone", last, got[4][2:], tolerance("float64", 1e4))


def test_the_ridge_of_anderson_is_relative(backend):
    """An absolute ridge of 1e-10 takes over at residuals of 1e-5, and one of 1e-4 at 1e-2."""
    rng = np.random.default_rng(4)
    w, b = monotone(rng, 10, 0.2, 0.4), rng.standard_normal((4, 10))
    for scale in (1.0, 1e-9):
        outcome = anderson(block(w, scale * b, backend=backend), 1e-12, 0.0, 80)
        assert outcome.converged.all(), outcome
        assert worst(to_host(outcome.answer) / scale, exact(w, b, "relu")) < 1e-11


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64", "complex128"])
def test_rows_are_packed_and_unpacked_exactly(backend, kind):
    rng = np.random.default_rng(5)
    a = (rng.standard_normal((3, 4)) * np.array([[1.0], [1e-20], [1e15]])).astype(kind)
    a = a + (1e-20j * a).astype(kind) if kind[0] == "c" else a
    moved = backend.from_host(a)
    rows = Rows(moved)
    fresh = rows.fit(moved)
    packed = rows.pack(moved)
    assert_equal("unpacked", rows.unpack(packed), a)
    squares = to_host(inner(packed, packed)).astype(float)
    assert (squares > 1e-20).all()
    assert (squares < 1e40).all()
    assert fresh.tolist() == ([False, True, True] if kind[0] == "f" else [True] * 3)
    assert not rows.fit(moved).any()
    np.testing.assert_allclose(rows.sizes(packed)[0], np.linalg.norm(a.real.astype(float), axis=1), rtol=1e-5)


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("matrices", [1, 3, 100])
def test_direct_is_the_dense_solution_however_the_stack_is_cut(backend, monkeypatch, kind, matrices):
    rng = np.random.default_rng(6)
    w, b, slope = monotone(rng, 4), rng.standard_normal((7, 4)), rng.uniform(0, 1, (7, 4))
    if kind is complex:
        w, b, slope = (a + 1j * rng.standard_normal(a.shape) for a in (w, b, slope))
    monkeypatch.setattr(direct_module, "_BYTES", matrices * 16 * b.dtype.itemsize)
    outcome = direct(block(w, b, slope=slope, backend=backend))
    assert outcome.status.tolist() == ["direct"] * 7
    assert outcome.converged.all()
    assert worst(to_host(outcome.answer), solved(w, b, slope)) < 1e-12


def test_direct_flags_the_singular_sample_only(backend):
    slope = np.array([[1.0, 1], [0.5, 1], [0.25, 0.5]])
    w, b = np.diag([2.0, 0.5]), np.ones((3, 2))
    outcome = direct(block(w, b, slope=slope, backend=backend))
    assert outcome.status.tolist() == ["direct", "diverged", "direct"]
    assert_close("s", outcome.answer, np.array([[-1.0, 2], [0.5, 1], [0.5, 2 / 3]]), 1e-15)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_factorisations_of_nothing(backend, shape):
    problem = block(np.zeros((shape[1],) * 2), np.zeros(shape), slope=np.ones(shape), backend=backend)
    assert direct(problem).answer.shape == shape
    pieces = block(np.zeros((shape[1],) * 2), np.zeros(shape), backend=backend)
    outcome = active_set(pieces, 1e-9, 0.0, 5, pieces.start())
    assert outcome.answer.shape == shape
    assert outcome.converged.all()


@pytest.mark.parametrize("sigma", ["relu", "hardtanh", "leaky_relu", "soft_threshold", "hardsigmoid"])
@pytest.mark.parametrize("kind", ["float64", "float32", "complex128"])
def test_an_active_set_turns_a_loose_solution_into_an_exact_one(backend, sigma, kind):
    rng = np.random.default_rng(7)
    w, b = monotone(rng, 12, 0.2, 0.4), rng.standard_normal((9, 12))
    want = exact(w, b, sigma)
    start = want * (1 + 1e-3 * rng.standard_normal(want.shape))
    problem = block(w.astype(kind), b.astype(kind), sigma, backend=backend)
    s = locked(backend, start.astype(kind))
    outcome = active_set(problem, 1e-14, 0.0, 20, s)
    assert outcome.status.tolist() == ["direct"] * 9
    assert outcome.steps.max() <= 5
    assert worst(to_host(outcome.answer), want) < (1e-12 if kind != "float32" else 1e-4)
    assert_equal("start", s, start.astype(kind))


def test_an_active_set_passes_the_complex_step(backend):
    rng = np.random.default_rng(8)
    w, b, db = monotone(rng, 8, 0.2, 0.4), rng.standard_normal((5, 8)), rng.standard_normal((5, 8))
    want = exact(w, b, "hardtanh")
    outcome = active_set(
        block(w, b + 1e-20j * db, "hardtanh", backend=backend), 1e-9, 0.0, 9, backend.from_host(want + 0j)
    )
    slope = 1.0 * (np.abs(want @ w.T + b) < 1)
    assert (outcome.status == "direct").all()
    assert worst(to_host(outcome.answer).imag / 1e-20, solved(w, db, slope)) < 1e-9


def test_an_active_set_that_goes_astray_keeps_its_iterate(backend):
    """From (0, 0) case H3 is found; on a map without a fixed point the round that goes back is refused."""
    w = np.array([[0.0, 1.0], [-1.0, 0.0]])
    outcome = active_set(
        block(w, np.array([[1.0, -3.0]]), backend=backend), 1e-9, 0.0, 9, backend.from_host(np.zeros((1, 2)))
    )
    assert_equal("answer", outcome.answer, np.array([[1.0, 0.0]]))
    assert outcome.status.tolist() == ["direct"]
    start = backend.from_host(np.array([[5.0], [5.0]]))
    outcome = active_set(block(np.array([[2.0]]), np.array([[1.0], [-1.0]]), backend=backend), 1e-9, 0.0, 9, start)
    assert_equal("answer", outcome.answer, np.array([[-1.0], [1.0]]))  # s = relu(2 s + 1) has none: 5, −1, and not 0
    assert outcome.status.tolist() == ["max_steps", "direct"]


def test_an_active_set_ends_at_a_kink(backend):
    """y = 0 up to rounding: the piece is a matter of chance, the residual tells."""
    rng = np.random.default_rng(11)
    w, s = monotone(rng, 10, 0.2, 0.4), np.maximum(rng.standard_normal((20, 10)), 0)
    y = np.where((s == 0) & (rng.uniform(size=s.shape) < 0.5), -1.0, s)  # y is 0 in half of the others
    problem = block(w, y - s @ w.T, backend=backend)
    outcome = active_set(problem, 1e-14, 0.0, 30, backend.from_host(s + 1e-4 * rng.standard_normal(s.shape)))
    assert (outcome.status == "direct").all(), outcome
    assert worst(to_host(outcome.answer), s) < 1e-12


def test_an_active_set_ends_where_the_pieces_repeat(backend):
    """However little rounding is allowed for."""

    class Exact(BlockProblem):
        noise = 0.0

    rng = np.random.default_rng(12)
    w, b = monotone(rng, 10, 0.2, 0.4), rng.standard_normal((9, 10))
    made = block(w, b, "hardtanh", backend=backend)
    problem = Exact(made.operator, made.b, made.sigma, None, 0.2)
    want = exact(w, b, "hardtanh")
    outcome = active_set(problem, 1e-14, 0.0, 30, backend.from_host(want + 1e-4))
    assert (outcome.status == "direct").all(), outcome
    assert worst(to_host(outcome.answer), want) < 1e-12


def test_pieces_are_told_apart_by_slope_and_offset(backend):
    """Both ends of hardtanh have slope 0; soft thresholding has slope 1 on either side."""
    for sigma, low, also_low, high in (("hardtanh", -3.0, -2.0, 3.0), ("soft_threshold", -3.0, -2.2, 3.0)):
        problem = block(np.zeros((1, 1)), np.zeros((1, 1)), sigma, backend=backend)
        problem.b = backend.from_host(np.array([[low]]))
        zero = backend.from_host(np.zeros((1, 1)))
        here = direct_module._Piece(problem, zero)
        for other, same in ((also_low, True), (high, False), (0.01, False)):
            problem.b = backend.from_host(np.array([[other]]))
            assert here.same(direct_module._Piece(problem, zero), 1e-14).tolist() == [same], (sigma, other)


def test_samples_at_rest_are_left_alone_by_bicgstab(backend):
    rng = np.random.default_rng(13)
    left, c = backend.from_host(np.eye(4) + 0.1 * rng.standard_normal((4, 4))), rng.standard_normal((3, 4))
    core = BiCGStab(backend.from_host(c))
    with np.errstate(invalid="ignore"):
        core.step(lambda p: p @ left, np.array([True, False, True]))
    assert_equal("x", core.x[1, :], np.zeros(4))
    assert_equal("r", core.r[1, :], c[1])
    assert np.abs(to_host(core.x)[[0, 2]]).min() > 0
    assert_close("r", core.r, c - to_host(core.x) @ to_host(left), 1e-14)


def test_a_step_that_leaves_the_numbers_is_not_taken(backend):
    huge = backend.from_host(np.array([[1.0], [1e308]]))
    core = BiCGStab(backend.from_host(np.full((2, 2), 1e10)))
    with np.errstate(all="ignore"):
        for _ in range(2):
            core.step(lambda p: p * huge, np.ones(2, bool))
    assert core.broken.tolist() == [False, True]
    assert_close("x", core.x, np.array([[1e10, 1e10], [0.0, 0.0]]), 1e-3)
    assert np.isfinite(to_host(core.r)).all()


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_an_active_set_keeps_to_its_budget(backend, limit):
    rng = np.random.default_rng(9)
    w, b = monotone(rng, 6), rng.standard_normal((4, 6))
    start = rng.standard_normal((4, 6))
    outcome = active_set(block(w, b, backend=backend), 1e-12, 0.0, limit, backend.from_host(start))
    assert (outcome.steps <= limit).all()
    if limit < 2:
        assert_equal("answer", outcome.answer, start)
        assert outcome.status.tolist() == ["max_steps"] * 4


def test_an_active_set_counts_what_is_near_enough_as_converged(backend):
    rng = np.random.default_rng(10)
    w, b = contraction(rng, 6), rng.standard_normal((4, 6))
    start = exact(w, b, "relu") + 1e-6
    outcome = active_set(block(w, b, backend=backend), 1e-3, 0.0, 1, backend.from_host(start))
    assert outcome.status.tolist() == ["converged"] * 4
    assert_equal("answer", outcome.answer, start)
