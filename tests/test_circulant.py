"""A convolution with feedback: zero-padded products, and resolvents on a larger grid where it is circulant."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft

from machinekit.activations import get_activation
from machinekit.arrays import backend_of, dtype_name, to_host
from machinekit.linear import circulant
from machinekit.linear.circulant import CirculantOperator
from machinekit.linear.operators import best_step
from machinekit.solvers.problem import BlockProblem
from machinekit.solvers.splitting import peaceman_rachford

from .helpers import assert_close, assert_equal, locked, shares_memory, tolerance
from .oracle import explicit_matrix
from .strategies import DTYPES, seeds

ALPHAS = (0.25, 1.0, 3.0)


@st.composite
def convolutions(draw, dtypes=DTYPES, most=4, axes=(1, 2, 3)):
    """Kernel, padding, grid, dtype and generator: even and asymmetric kernels, grids shorter than they are."""
    axes, rng = draw(st.sampled_from(axes)), np.random.default_rng(draw(seeds()))
    lags = st.integers(0, 3 if axes < 3 else 1)
    padding = draw(st.tuples(*[st.tuples(lags, lags)] * axes))
    grid = draw(st.tuples(*[st.integers(1, (9, most, 2)[axes - 1])] * axes))
    dtype, channels = draw(st.sampled_from(dtypes)), draw(st.integers(1, 3 if axes < 3 else 2))
    return numbers(rng, (*(b + a + 1 for b, a in padding), channels, channels), dtype, True), padding, grid, dtype, rng


def numbers(rng, shape, dtype, contract=False):
    """Draw values; those of a kernel are scaled so that ‖W‖ is at most 0.9."""
    a = rng.uniform(-1, 1, shape)
    if dtype.startswith("complex"):
        a = a + 1j * rng.uniform(-1, 1, shape)
    if contract:
        taps = tuple(range(len(shape) - 2))
        a *= 0.9 / max(np.abs(a).sum(axis=(*taps, -1)).max(), np.abs(a).sum(axis=(*taps, -2)).max())
    return a.astype(dtype)


def wide(a):
    return a.astype("complex128" if a.dtype.kind == "c" else "float64")


def circular(kernel, padding, extents):
    """The matrix of y[g] = Σ z[(g − lag) mod N] kernel[lag], by loops, in the column convention."""
    positions, channels = list(np.ndindex(*extents)), kernel.shape[-1]
    matrix = np.zeros((len(positions), channels, len(positions), channels), kernel.dtype)
    place = {g: p for p, g in enumerate(positions)}
    for (p, g), j in itertools.product(enumerate(positions), np.ndindex(*kernel.shape[:-2])):
        source = tuple((a - (b - after)) % n for a, b, (_, after), n in zip(g, j, padding, extents, strict=True))
        matrix[p, :, place[source], :] += kernel[j].T
    return matrix.reshape(len(positions) * channels, -1)


def anew(operator):
    """The same operator, of which nothing is known."""
    return CirculantOperator(operator.kernel, operator.padding, operator.grid)


def reflected(matrix, alpha):
    """M = 2 ((1 + α) I − α W)⁻¹ − I."""
    eye = np.eye(len(matrix))
    return 2 * np.linalg.inv((1 + alpha) * eye - alpha * matrix) - eye


@given(case=convolutions(), samples=st.integers(0, 3))
def test_products_are_those_of_the_zero_padded_matrix(backend, case, samples):
    """(W z)[g] = Σ z[g − lag] K[lag], zero outside the grid; `dense` is that matrix, [in, out]."""
    kernel, padding, grid, dtype, rng = case
    matrix = explicit_matrix(padding, wide(kernel), grid)
    operator = CirculantOperator(locked(backend, kernel), padding, grid)
    s = numbers(rng, (samples, operator.unknowns), dtype)
    rows = locked(backend, s)
    got = operator.product(rows)
    assert not shares_memory(got, rows)
    assert dtype_name(got) == dtype
    assert_close("W s", got, wide(s) @ matrix.T, tolerance(dtype, np.abs(s) @ np.abs(matrix).T), padding, grid)
    assert_close("dense", operator.dense(), matrix.T, tolerance(dtype, np.abs(matrix.T)), padding, grid)


@given(case=convolutions(most=3, axes=(1, 2)))
def test_on_the_larger_grid_nothing_wraps_back(backend, case):
    """Circulant on n + max(before, after) positions or more is zero-padded on n, and on one fewer it is not."""
    kernel, padding, grid, _, rng = case
    operator = CirculantOperator(backend.from_host(kernel), padding, grid)
    least = [n + max(pair) for n, pair in zip(grid, padding, strict=True)]
    last = len(grid) - 1
    assert operator.extents == tuple(fft.next_fast_len(n, real=a == last) for a, n in enumerate(least))
    exact, channels = rng.integers(1, 9, kernel.shape).astype(float), kernel.shape[-1]
    want = explicit_matrix(padding, exact, grid)

    def compressed(extents):
        keep = np.zeros((*extents, channels), bool)
        keep[tuple(slice(0, n) for n in grid)] = True
        return circular(exact, padding, extents)[np.ix_(keep.ravel(), keep.ravel())]

    assert_equal("chosen", compressed(operator.extents), want, padding, grid)
    assert_equal("least", compressed(least), want, padding, grid)
    for axis, pair in enumerate(padding):
        if max(pair):
            short = [n - (a == axis) for a, n in enumerate(least)]
            assert np.any(compressed(short) != want), (padding, grid, axis)


@given(case=convolutions(), samples=st.integers(0, 2), alpha=st.sampled_from(ALPHAS), data=st.sampled_from("rc"))
def test_the_fold_is_the_reflected_resolvent_of_the_circulant(backend, case, samples, alpha, data):
    """h ↦ M h by transforms is the matrix, for real and complex kernels and rows; also for the transpose."""
    kernel, padding, grid, dtype, rng = case
    operator = CirculantOperator(locked(backend, kernel), padding, grid)
    kind = np.result_type(dtype, "complex64").name if data == "c" else np.empty(0, dtype).real.dtype.name
    h = numbers(rng, (samples, math.prod(operator.extents) * kernel.shape[-1]), kind)
    want = reflected(circular(wide(kernel), padding, operator.extents), alpha)
    scale = 8 * (1 + np.linalg.norm(h, axis=1, keepdims=True)) * np.ones(h.shape)
    result = min(dtype, kind)  # complex if either is
    first = operator.fold(alpha)(locked(backend, h))
    assert dtype_name(first) == result or not samples
    assert backend_of(first) == backend_of(operator.kernel)
    assert_close("M h", first, wide(h) @ want.T, tolerance(result, scale), padding, grid, alpha)
    for way, twin in (("shared", operator.transposed()), ("anew", anew(operator.transposed()))):
        assert twin.folded(alpha) == (way == "shared")
        got = twin.fold(alpha)(backend.from_host(h))
        assert_close(f"Mᵀ h, {way}", got, wide(h) @ want, tolerance(result, scale), padding, grid, alpha)


@given(case=convolutions(dtypes=("float64",)), alpha=st.sampled_from(ALPHAS))
def test_a_complex_step_of_the_kernel_gives_the_derivative_of_the_fold(backend, case, alpha):
    """An imaginary part of 1e-20 comes through in full precision: Ṁ h = 2 α V Ẇ V h, and M ḣ."""
    kernel, padding, grid, _, rng = case
    plain = CirculantOperator(backend.from_host(kernel), padding, grid)
    direction = numbers(rng, kernel.shape, "float64", True)
    h, moved = (numbers(rng, (2, math.prod(plain.extents) * kernel.shape[-1]), "float64") for _ in range(2))
    matrix, bent = (circular(k, padding, plain.extents) for k in (kernel, direction))
    v = np.linalg.inv((1 + alpha) * np.eye(len(matrix)) - alpha * matrix)
    operator = CirculantOperator(backend.from_host(kernel + 1e-20j * direction), padding, grid)
    for op, both in ((operator, True), (plain, False)):
        for turned in (False, True):
            got = (op.transposed() if turned else op).fold(alpha)(backend.from_host(h + 1e-20j * moved))
            slope, m = 2 * alpha * v @ bent @ v, 2 * v - np.eye(len(v))
            want = moved @ (m if turned else m.T) + (h @ (slope if turned else slope.T) if both else 0)
            bound = tolerance("float64", 32 * (1 + np.linalg.norm(h) + np.linalg.norm(moved)))
            assert_close("Ṁ h + M ḣ", to_host(got).imag * 1e20, want, bound, padding, grid, alpha)


@given(case=convolutions(), samples=st.integers(1, 3))
def test_rows_go_to_the_larger_grid_and_back(backend, case, samples):
    """`restrict` undoes `extend`, `masked` clears the rest, and what was there may be no number."""
    kernel, padding, grid, dtype, rng = case
    operator = CirculantOperator(backend.from_host(kernel), padding, grid)
    s = numbers(rng, (samples, operator.unknowns), dtype)
    u = operator.extend(locked(backend, s))
    assert_equal("restrict(extend(s))", operator.restrict(u), s)
    whole = to_host(u).reshape(samples, *operator.extents, -1)
    inside = (slice(None), *(slice(0, n) for n in grid))
    assert_equal("where", whole[inside], s.reshape(samples, *grid, -1))
    soiled = np.full_like(whole, np.nan)
    soiled[inside] = whole[inside]
    mine = backend.from_host(soiled.reshape(samples, -1))
    cleared = operator.masked(mine)
    assert_equal("masked", cleared, to_host(u))
    if isinstance(mine, np.ndarray):
        assert cleared is mine


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("padding", [((2, 2),), ((1, 3),), ((0, 2), (2, 1)), ((1, 1), (1, 0), (0, 1))])
def test_splitting_on_the_larger_grid_solves_the_zero_padded_equation(backend, padding, dtype):
    """s = σ(W s + b) for W and Wᵀ, against dense solves: ReLU with its own mask, slopes with zeros and ones."""
    rng = np.random.default_rng(5)
    grid, channels = {1: (7,), 2: (4, 5), 3: (3, 2, 4)}[len(padding)], 2
    shape = (*(b + a + 1 for b, a in padding), channels, channels)
    kernel = numbers(rng, shape, "float64", True)
    kernel[tuple(after for _, after in padding)] -= 0.6 * np.eye(channels)  # lag 0: no contraction any longer
    kernel = kernel.astype(dtype)
    operator = CirculantOperator(backend.from_host(kernel), padding, grid)
    matrix = explicit_matrix(padding, wide(kernel), grid)
    b = numbers(rng, (3, operator.unknowns), dtype)
    slope = np.clip(rng.uniform(-0.3, 1.3, b.shape), 0, 1).astype(dtype)
    bound = 1e-12 if dtype == "float64" else 1e-5
    for op, w in ((operator, matrix), (operator.transposed(), matrix.T)):
        for sigma, d in ((get_activation("relu"), None), (None, slope)):
            given_slope = None if d is None else backend.from_host(d)
            problem = BlockProblem(op, backend.from_host(b), sigma, given_slope, operator.monotonicity())
            alpha, _ = best_step(op.eigenvalues())
            outcome = peaceman_rachford(problem, alpha, 1e-14 if dtype == "float64" else 1e-6, 0.0, 500)
            assert outcome.converged.all(), outcome.status
            got = to_host(outcome.answer)
            assert got.dtype == dtype
            for row, bias, q in zip(got, b, slope, strict=True):
                if d is None:
                    q = (w @ row + bias > 0).astype(float)
                want = np.linalg.solve(np.eye(len(w)) - q[:, None] * w, q * bias)
                assert_close("equilibrium", row, want, bound * (1 + np.abs(want).max()), padding)


@given(case=convolutions(dtypes=("float64", "complex128", "float32"), axes=(1, 2)))
def test_what_the_spectrum_tells_is_that_of_the_circulant(backend, case):
    """Norms, monotonicity and eigenvalues of the larger circulant; those of the block are no worse."""
    kernel, padding, grid, _, _ = case
    operator = CirculantOperator(backend.from_host(kernel), padding, grid)
    around = circular(wide(kernel), padding, operator.extents)
    inside = explicit_matrix(padding, wide(kernel), grid)
    for op in (operator, operator.transposed(), anew(operator.transposed())):
        for name, got, of in (
            ("product_norm", op.product_norm(), lambda w: np.linalg.norm(w, 2)),
            ("norm", op.norm(), lambda w: np.linalg.norm(np.eye(len(w)) - w, 2)),
            ("monotonicity", -op.monotonicity(), lambda w: np.linalg.eigvalsh(0.5 * (w + w.conj().T))[-1] - 1),
        ):
            assert isinstance(got, float)
            assert_close(name, np.asarray(got), of(around), 1e-12 * (1 + abs(of(around))), padding, grid)
            assert of(inside) <= got + 1e-12, name
    got = operator.eigenvalues()
    distance = np.abs(got[:, None] - np.linalg.eigvals(around))
    for axis in range(2):
        assert distance.min(axis=axis).max() < 1e-6  # of defective ones no more digits are known
    assert operator.transposed().eigenvalues() is got


def test_of_many_eigenvalues_some_are_chosen_that_give_the_same_step(backend, monkeypatch):
    """Frequencies are left out; the largest and the smallest symbols are not."""
    rng, padding, grid = np.random.default_rng(3), ((1, 1), (1, 1)), (40, 60)
    kernel = numbers(rng, (3, 3, 2, 2), "float64") / 3
    full = CirculantOperator(backend.from_host(kernel), padding, grid).eigenvalues()
    monkeypatch.setattr(circulant, "_ENTRIES", 400)
    operator = CirculantOperator(backend.from_host(kernel), padding, grid)
    some = operator.eigenvalues()
    assert len(some) <= 2 * 400 < len(full)
    assert best_step(some)[0] == best_step(full)[0]
    for extreme in (np.max, np.min):
        assert abs(extreme(np.abs(1 - some)) - extreme(np.abs(1 - full))) < 1e-3


@pytest.mark.parametrize("channels", [2, 20])
@pytest.mark.parametrize("size", [1e-300, 1.0, 1e150])
def test_the_largest_norm_is_found_among_many(monkeypatch, channels, size):
    """Bounds by squaring leave few norms to compute, and never the largest one out, though its own is not the largest.

    The bound of a rank-one matrix is its norm, that of a unitary one above it.
    """
    rng, counted, svd = np.random.default_rng(channels), [], np.linalg.svd
    stack = np.linalg.qr(rng.standard_normal((600, channels, channels)))[0] * np.linspace(0.1, 0.98, 600)[:, None, None]
    column = rng.standard_normal((channels, 1)) + 1j * rng.standard_normal((channels, 1))
    stack = np.concatenate((stack, (column @ column.conj().T)[None] / np.linalg.norm(column) ** 2))
    monkeypatch.setattr(np.linalg, "svd", lambda a, **options: counted.append(len(a)) or svd(a, **options))
    assert circulant._largest(size * stack) == pytest.approx(size, rel=1e-12)
    assert sum(counted) < 200
    assert circulant._largest(np.zeros((4, 2, 2))) == circulant._largest(np.zeros((4, 0, 0))) == 0.0


@pytest.mark.parametrize("channels", [0, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_a_fine_batch_and_no_channel_a_fine_block(backend, channels, dtype):
    kernel = backend.from_host(np.zeros((3, channels, channels), dtype))
    operator = CirculantOperator(kernel, ((1, 1),), (4,))
    for samples in (0, 2):
        s = backend.from_host(np.zeros((samples, 4 * channels), dtype))
        assert operator.product(s).shape == s.shape
        u = operator.extend(s)
        assert operator.fold(1.0)(u).shape == u.shape
        assert operator.restrict(operator.masked(u)).shape == s.shape
        assert dtype_name(operator.fold(1.0)(u)) == dtype
    assert (operator.norm(), operator.product_norm(), operator.monotonicity()) == (float(channels > 0), 0.0, 1.0)
    assert operator.transposed().dense().shape == (4 * channels, 4 * channels)
    assert np.all(operator.eigenvalues() == 0)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_samples_are_transformed_in_pieces_and_may_be_written_where_told(backend, monkeypatch, dtype):
    """Five samples two at a time are five at a time, and `out` holds them where it is used."""
    rng = np.random.default_rng(9)
    operator = CirculantOperator(backend.from_host(numbers(rng, (3, 2, 2), dtype, True)), ((2, 0),), (6,))
    h = backend.from_host(numbers(rng, (5, 2 * operator.extents[0]), dtype))
    whole = to_host(operator.fold(1.0)(h))
    monkeypatch.setattr(circulant, "_PIECE", 1)
    monkeypatch.setattr(circulant, "_FEWEST", 2)
    room = backend.from_host(np.full(whole.shape, np.nan, dtype))
    got = operator.fold(1.0)(h, room)
    assert_close("M h", got, whole, tolerance(dtype, 8.0 + np.abs(whole)))
    assert got is room or not isinstance(room, np.ndarray) or dtype == "complex128"
