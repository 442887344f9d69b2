"""W = (1 − m) I − Π(AᵀA) + B − Bᵀ as a function of A, B and m, its derivatives, and that it is monotone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.arrays import dtype_name, to_host
from machinekit.machines.monotone_form import MonotoneForm

from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked, parity, tolerance
from .oracle import explicit_matrix
from .strategies import seeds, sizes

NAMES = ("A", "B", "m")


@st.composite
def forms(draw, axes=(0, 1, 2, 3)):
    """A form of one to four blocks, empty ones included, with its numbers in float64 on the host."""
    axes = draw(st.sampled_from(axes))
    blocks = draw(sizes(3, 4) if axes < 2 else sizes(2, 3))
    lags = st.integers(0, (0, 3, 2, 1)[axes])
    padding = tuple((draw(lags), draw(lags)) for _ in range(axes))
    form = MonotoneForm(blocks, padding, draw(st.booleans()), draw(st.booleans()))
    rng = np.random.default_rng(draw(seeds()))
    shapes = (form.shape, form.shape, draw(st.sampled_from([(), (len(blocks),)])))
    return form, *([rng.standard_normal(shape) for shape in shapes] for _ in range(2)), rng


def kernel_shape(form):
    return (*(before + after + 1 for before, after in form.lags), form.channels, form.channels)


def block_of(form):
    return np.repeat(np.arange(len(form.sizes)), form.sizes)


def kept(form):
    """Π as a matrix of factors [out, in], by the definition."""
    block = block_of(form)
    row, column = block[:, None], block[None, :]
    below = (row < column) if form.reverse else (row > column)
    return 1.0 * (row == column) + 2.0 * below * form.tiers


def live(form):
    """Which entries of A and of B are used, by the definition."""
    block = block_of(form)
    gap = block[:, None] - block[None, :]
    a, b = (gap == 0) | ((gap == 1) & form.tiers), gap == 0
    return np.broadcast_to(a, form.shape), np.broadcast_to(b, form.shape)


def columns(form, a, grid, padding=None):
    """The matrix of z ↦ Σ_j a[j] z[g − (j − after)], zero outside the grid."""
    return explicit_matrix(form.padding if padding is None else padding, np.swapaxes(a, -1, -2), grid)


def margins(form, m):
    return np.broadcast_to(m, (len(form.sizes),))[block_of(form)]


@given(case=forms())
def test_the_kernel_is_its_definition_on_a_grid_larger_than_it_reaches(backend, case):
    """P AᵀA Pᵀ with A on a grid so large that nothing is lost at its border, and B − Bᵀ, restricted to the grid."""
    form, (a, b, m), _, _ = case
    w = form.kernel(*(locked(backend, x) for x in (a, b, m)))
    assert tuple(w.shape) == kernel_shape(form)
    assert dtype_name(w) == "float64"
    grid = tuple(2 if len(form.padding) > 1 else 3 for _ in form.padding)
    reach = [max(pair) for pair in form.padding]
    large = tuple(n + 2 * r for n, r in zip(grid, reach, strict=True))
    inside = np.zeros((*large, form.channels), bool)
    inside[tuple(slice(r, r + n) for n, r in zip(grid, reach, strict=True))] = True
    live_a, live_b = live(form)
    wide = columns(form, np.where(live_a, a, 0), large)[:, inside.ravel()]
    skew = columns(form, np.where(live_b, b, 0), grid)
    positions = math.prod(grid)
    want = -np.tile(kept(form), (positions, positions)) * (wide.T @ wide) + skew - skew.T
    want += np.diag(np.tile(1 - margins(form, m), positions))
    got = explicit_matrix(form.lags, to_host(w), grid)
    scale = (np.abs(wide).T @ np.abs(wide)) * 2 + np.abs(skew) + np.abs(skew.T) + 1 + np.abs(m).max()
    assert_close("W", got, want, parity("float64", scale), form)
    dead = np.abs(np.tile(kept(form), (positions, positions))) == 0
    assert not got[dead].any()


@given(case=forms())
def test_the_mirrored_form_makes_the_transpose(backend, case):
    """W of (A, −B, m) with the blocks above the diagonal is Wᵀ: lags reversed, channels swapped."""
    form, (a, b, m), _, _ = case
    w = to_host(form.kernel(*map(backend.from_host, (a, b, m))))
    turned = form.mirrored().kernel(*map(backend.from_host, (a, -b, m)))
    axes = tuple(range(len(form.padding)))
    want = np.swapaxes(np.flip(w, axis=axes), -1, -2)
    assert_close("Wᵀ", turned, want, tolerance("float64", 64 * (1 + np.abs(w).max(initial=0))), form)
    assert form.mirrored().mirrored() == form


@given(case=forms(), which=st.sets(st.sampled_from(NAMES)))
def test_the_pushforward_is_the_derivative_of_the_kernel(backend, case, which):
    """Complex step along any of A, B and m; without a direction there is none."""
    form, point, moves, _ = case
    steps = [x + 1e-20j * d * (n in which) for n, x, d in zip(NAMES, point, moves, strict=True)]
    want = to_host(form.kernel(*map(backend.from_host, steps))).imag * 1e20
    given_moves = [backend.from_host(d) if n in which else None for n, d in zip(NAMES, moves, strict=True)]
    got = form.pushforward(*(locked(backend, x) for x in point), *given_moves)
    if not which:
        assert got is None
        return
    assert dtype_name(got) == "float64"
    assert_close("Ẇ", got, want, tolerance("float64", size(*point, *moves)), form, which)


def size(*arrays):
    """A bound on the sums of products of pairs of these arrays."""
    total = 1 + sum(float(np.abs(x).sum()) for x in arrays)
    return total * total


@given(case=forms())
def test_the_pullback_is_the_adjoint_of_the_pushforward(backend, case):
    """⟨Q, Ẇ⟩ = ⟨Ā, Ȧ⟩ + ⟨B̄, Ḃ⟩ + m̄ ṁ, each apart; of its own shape, zero where dead, whatever Q holds there."""
    form, point, moves, rng = case
    q = rng.standard_normal(kernel_shape(form))
    factors = kept(form).T != 0
    first = (lambda gap: np.abs(gap) < 2)(block_of(form)[:, None] - block_of(form)[None, :])
    soiled = np.where(factors & first, q, np.nan)
    arrays = [locked(backend, x) for x in point]
    seed = locked(backend, soiled)
    cotangents = form.pullback(*arrays, seed)
    assert_no_shared_memory({**dict(zip("ABm", cotangents, strict=True)), "Q": seed, "A given": arrays[0]}, form)
    for k, (name, got, x, d) in enumerate(zip(NAMES, cotangents, point, moves, strict=True)):
        assert tuple(got.shape) == x.shape, (name, form)
        alone = [backend.from_host(d) if k == j else None for j in range(3)]
        want = np.vdot(q, to_host(form.pushforward(*map(backend.from_host, point), *alone)))
        bound = tolerance("float64", size(*point, q) * (1 + np.abs(d).sum()))
        assert_close(name, np.asarray(np.vdot(to_host(got), d)), want, bound, form)
        if k < 2:
            assert not to_host(got)[~live(form)[k]].any(), (name, form)


@given(case=forms(), which=st.sets(st.sampled_from((*NAMES, "Q"))))
def test_the_pullback_tangent_is_the_derivative_of_the_pullback(backend, case, which):
    """Complex step along any of A, B, m and Q."""
    form, point, moves, rng = case
    point, moves = ([*given_ones, rng.standard_normal(kernel_shape(form))] for given_ones in (point, moves))
    names = (*NAMES, "Q")
    steps = [x + 1e-20j * d * (n in which) for n, x, d in zip(names, point, moves, strict=True)]
    want = form.pullback(*map(backend.from_host, steps))
    directions = [locked(backend, d) if n in which else None for n, d in zip(names, moves, strict=True)]
    got = form.pullback_tangent(*(locked(backend, x) for x in point), *directions)
    for name, one, other in zip(NAMES, got, want, strict=True):
        assert dtype_name(one) == "float64"
        bound = tolerance("float64", size(*point, *moves))
        assert_close(name, one, to_host(other).imag * 1e20, bound, form, which)


@given(case=forms(axes=(0,)))
def test_tiers_have_the_block_formulas_of_the_paper(backend, case):
    """Matrices, block by block: W and the cotangents of A_ii, A_{i+1,i}, B_ii and m_i."""
    form, (a, b, m), _, rng = case
    form = MonotoneForm(form.sizes, (), tiers=True)
    a, b, count = np.where(live(form)[0], a, 0), np.where(live(form)[1], b, 0), len(form.sizes)
    cut = np.cumsum((0, *form.sizes))
    part = [slice(x, y) for x, y in itertools.pairwise(cut)]
    w = to_host(form.kernel(*map(backend.from_host, (a, b, m)))).T
    q = rng.standard_normal(w.shape)
    got_a, got_b, got_m = map(to_host, form.pullback(*map(backend.from_host, (a, b, m, q.T.copy()))))
    bound = tolerance("float64", size(a, b, q, np.asarray(m)))
    traces = np.zeros(count)
    for i, p in enumerate(part):
        own = a[p, p]
        want = (1 - np.broadcast_to(m, (count,))[i]) * np.eye(len(own)) - own.T @ own + b[p, p] - b[p, p].T
        total = q[p, p] + q[p, p].T
        cotangent = -own @ total
        if i + 1 < count:
            n = part[i + 1]
            want -= a[n, p].T @ a[n, p]
            assert_close("W_{i+1,i}", w[n, p], -2 * a[n, n].T @ a[n, p], bound, form)
            assert_close("Ā_{i+1,i}", got_a[n, p], -a[n, p] @ total - 2 * a[n, n] @ q[n, p], bound, form)
        if i:
            o = part[i - 1]
            cotangent -= 2 * a[p, o] @ q[p, o].T
        assert_close("W_ii", w[p, p], want, bound, form)
        assert_close("Ā_ii", got_a[p, p], cotangent, bound, form)
        assert_close("B̄_ii", got_b[p, p], q[p, p] - q[p, p].T, bound, form)
        traces[i] = -np.trace(q[p, p])
    assert_close("m̄", got_m, traces if np.ndim(m) else traces.sum(), bound, form)


@given(case=forms())
def test_i_minus_w_is_monotone_with_the_margin(backend, case):
    """λ_min(sym(I − W)) ≥ min m on any grid, tiers or not: the couplings that tiers make leave it so."""
    form, (a, b, m), _, _ = case
    m = np.abs(m)
    grid = tuple(2 if len(form.padding) > 1 else 5 for _ in form.padding)
    w = explicit_matrix(form.lags, to_host(form.kernel(*map(backend.from_host, (a, b, m)))), grid)
    if w.size:
        found = np.linalg.eigvalsh(np.eye(len(w)) - 0.5 * (w + w.T))[0]
        assert found >= m.min() - 1e-12 * np.abs(w).sum(), form


@given(case=forms(), seed=seeds())
def test_draws_and_masks_are_the_live_entries(case, seed):
    """N(0, 1/(3 fan-in)): drawn alike from one seed, exact zeros where dead."""
    form = case[0]
    for got, want in ((form.live_A, live(form)[0]), (form.live_B, live(form)[1])):
        assert got.dtype == bool
        assert_equal("live", got, want, form)
    first, second = (form.draw(np.random.default_rng(seed)) for _ in range(2))
    rng = np.random.default_rng(seed)
    for one, other, mask in zip(first, second, live(form), strict=True):
        assert_equal("same seed", one, other)
        rows = mask.sum(axis=-1).reshape(math.prod(form.shape[:-2]), form.channels).sum(axis=0)
        want = rng.standard_normal(form.shape) / np.sqrt(3.0 * np.maximum(rows, 1))[:, None]
        assert_close("drawn", one, np.where(mask, want, 0), 1e-15 * np.abs(want), form)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
def test_precision_and_kind_are_those_given(backend, dtype):
    """A complex direction of real parameters makes a complex answer; single stays single."""
    form, rng = MonotoneForm((2, 1), ((1, 0),), tiers=True), np.random.default_rng(0)
    real = np.empty(0, dtype).real.dtype.name
    a, b, q = (backend.from_host(rng.standard_normal(s), real) for s in (form.shape, form.shape, kernel_shape(form)))
    m = backend.from_host(np.array([0.5, 1.0]), real)
    moved = backend.from_host(rng.standard_normal(form.shape) * (1j if dtype.startswith("complex") else 1), dtype)
    assert {dtype_name(x) for x in (form.kernel(a, b, m), *form.pullback(a, b, m, q))} == {real}
    for directions in ((moved,), (None, moved), (moved, moved)):
        assert dtype_name(form.pushforward(a, b, m, *directions)) == dtype
    assert dtype_name(form.pullback_tangent(a, b, m, q, moved)[0]) == dtype


def test_worked_by_hand(backend):
    """One unit, W = 1 − m − a²; and a lag of one: S[0] = Σ a², S[±1] = a₀ a₁."""
    one = MonotoneForm((1,)).kernel(*map(backend.from_host, (np.array([[2.0]]), np.array([[9.0]]), np.asarray(0.25))))
    assert_equal("W", one, np.array([[-3.25]]))
    a, b = (np.array(x).reshape(2, 1, 1) for x in ([2.0, 3.0], [0.0, 5.0]))
    form = MonotoneForm((1,), ((1, 0),))
    assert form.lags == ((1, 1),)
    lagged = form.kernel(*map(backend.from_host, (a, b, np.asarray(1.0))))
    assert_equal("W", lagged, np.array([-6.0 - 5.0, -13.0, -6.0 + 5.0]).reshape(3, 1, 1))
