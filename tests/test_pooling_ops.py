"""AvgPool, MaxPool and Upsample are their formulas, and their verbs are derivatives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import dtype_name, to_host
from machinekit.saving import load, save

from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked, tolerance
from .leaf_laws import check_second
from .strategies import DTYPES, batches, mostly, seeds
from .windowed import normal, places, pool_windows

RELATIVE = 1e-12


def members(window):
    """Return, for every window, the grid positions in it in C order."""
    found = {}
    for p, j, q in places(window):
        i = tuple(k - 1 - a for k, a in zip(window.size, j, strict=True))
        found.setdefault(p, []).append((i, q))
    return {p: [q for _, q in sorted(each)] for p, each in found.items()}


def average(window, x, count_padding):
    y = np.zeros((*window.batch, *window.count(), x.shape[-1]), x.dtype)
    for p, inside in members(window).items():
        y[(..., *p, slice(None))] = sum(x[(..., *q, slice(None))] for q in inside)
        y[(..., *p, slice(None))] /= math.prod(window.size) if count_padding else len(inside)
    return y


def largest(window, x, seed):
    """Return y and the cotangent of x, entry by entry in Python."""
    y, back = np.zeros_like(seed), np.zeros(x.shape, seed.dtype)
    for p, inside in members(window).items():
        for at in itertools.product(*map(range, (*window.batch, x.shape[-1]))):
            where = [(*at[:-1], *q, at[-1]) for q in inside]
            values = [x[q].real for q in where]
            nans = [k for k, v in enumerate(values) if math.isnan(v)]
            first = nans[0] if nans else max(range(len(values)), key=lambda k: (values[k], -k))
            y[(*at[:-1], *p, at[-1])] = x[where[first]]
            back[where[first]] += seed[(*at[:-1], *p, at[-1])]
    return y, back


def options(window):
    return {"stride": window.stride, "padding": window.padding}


@given(window=pool_windows(), dtype=st.sampled_from(DTYPES), count_padding=st.booleans())
def test_avg_pool_equals_its_formula_written_in_loops(backend, window, dtype, count_padding):
    """The mean over the entries inside the grid, or over all with count_padding; x̄ by the transposed loops."""
    rng = np.random.default_rng(window.seed)
    x = normal(rng, (*window.batch, *window.grid, window.n_in), dtype)
    op = mk.AvgPool(window.size, count_padding=count_padding, **options(window))
    state = op.solve(locked(backend, x))
    scale = average(window, np.abs(x), count_padding)
    assert_close("y", state.outputs[0], average(window, x, count_padding), tolerance(dtype, scale), window)
    seed, back = normal(rng, scale.shape, dtype), np.zeros_like(x)
    for p, inside in members(window).items():
        for q in inside:
            share = math.prod(window.size) if count_padding else len(inside)
            back[(..., *q, slice(None))] += seed[(..., *p, slice(None))] / share
    cotangent = op.pullback(state, locked(backend, seed))
    bound = tolerance(dtype, np.abs(seed).max(initial=0) * math.prod(window.size))
    assert_close("x", cotangent.inputs[0], back, bound, window)
    assert cotangent.parameters == {}
    assert {dtype_name(a) for a in (*state.outputs, *cotangent.inputs)} == {dtype}


@given(window=pool_windows(), dtype=st.sampled_from(DTYPES), kind=st.sampled_from(["normal", "ties", "special"]))
def test_max_pool_equals_its_formula_written_in_loops(backend, window, dtype, kind):
    """Ties go to the first position in C order; padding never wins, not even against −∞; NaN is passed on."""
    rng = np.random.default_rng(window.seed)
    shape = (*window.batch, *window.grid, window.n_in)
    x = normal(rng, shape, dtype)
    if kind == "ties":
        x = rng.integers(0, 2, shape).astype(dtype)
    elif kind == "special":
        x = rng.choice([-np.inf, -np.inf, -np.inf, np.nan, 1.0], shape).astype(dtype)
    seed = normal(rng, (*window.batch, *window.count(), window.n_in), dtype)
    y, back = largest(window, x, seed)
    op = mk.MaxPool(window.size, **options(window))
    state = op.solve(locked(backend, x))
    assert np.array_equal(to_host(state.outputs[0]), y, equal_nan=True), (window, x)
    cotangent = op.pullback(state, locked(backend, seed))
    assert_close("x", cotangent.inputs[0], back, tolerance(dtype, np.abs(seed).max(initial=0) * 27), window, x)
    assert {dtype_name(a) for a in (*state.outputs, *cotangent.inputs)} == {dtype}
    direction = normal(rng, shape, dtype)
    tangent = to_host(op.pushforward(state, locked(backend, direction)).outputs[0])
    left, right = np.sum(seed * tangent), np.sum(back * direction)
    assert abs(left - right) <= tolerance(dtype, np.sum(np.abs(seed * tangent)) + np.sum(np.abs(back * direction)))


def test_ties_give_the_whole_cotangent_to_the_first_in_c_order(backend):
    """All four are equal: the one at (0, 0) receives everything, and `saved` names it."""
    op = mk.MaxPool(2)
    state = op.solve(backend.from_host(np.ones((2, 2, 1))))
    assert_equal("saved", state.saved, np.zeros((1, 1, 1)))
    cotangent = op.pullback(state, backend.from_host(np.full((1, 1, 1), 5.0)))
    assert_equal("x", cotangent.inputs[0], np.array([[5.0, 0.0], [0.0, 0.0]])[..., None])


def test_a_window_of_more_entries_than_a_byte_counts(backend):
    x = np.arange(169.0)[:, None]
    op = mk.MaxPool((169,))
    state = op.solve(backend.from_host(x))
    assert_equal("y", state.outputs[0], x[-1:])
    assert_equal("x", op.pullback(state, backend.from_host(np.ones((1, 1)))).inputs[0], (x == 168) * 1.0)


def upsample_matrix(n, f, method):
    """Return the (f n, n) matrix of one axis, entry by entry from the formula."""
    matrix = np.zeros((f * n, n))
    for q, r in itertools.product(range(n), range(f)):
        delta = (r + 0.5) / f - 0.5 if method == "linear" else 0.0
        other = min(max(q + (1 if delta > 0 else -1), 0), n - 1)
        matrix[f * q + r, q] += 1 - abs(delta)
        matrix[f * q + r, other] += abs(delta)
    return matrix


@given(axes=st.integers(1, 3), method=st.sampled_from(["nearest", "linear"]), dtype=st.sampled_from(DTYPES),
       batch=batches(), seed=seeds(), data=st.data())  # fmt: skip
def test_upsample_equals_its_matrices(backend, axes, method, dtype, batch, seed, data):
    """One matrix per axis, written from the formula; x̄ by their transposes."""
    factor = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    grid = data.draw(st.tuples(*[mostly(st.integers(1, 4), st.just(0))] * axes))
    rng = np.random.default_rng(seed)
    x = normal(rng, (*batch, *grid, 2), dtype)
    fine = tuple(f * n for f, n in zip(factor, grid, strict=True))
    seed_y = normal(rng, (*batch, *fine, 2), dtype)
    want, back = x, seed_y
    for axis, (f, n) in enumerate(zip(factor, grid, strict=True)):
        matrix, at = upsample_matrix(n, f, method), len(batch) + axis
        want = np.moveaxis(np.tensordot(matrix, want, (1, at)), 0, at)
        back = np.moveaxis(np.tensordot(matrix.T, back, (1, at)), 0, at)
    op = mk.Upsample(factor, method=method)
    state = op.solve(locked(backend, x))
    assert_close("y", state.outputs[0], want, tolerance(dtype, np.abs(x).max(initial=0)))
    cotangent = op.pullback(state, locked(backend, seed_y))
    assert_close("x", cotangent.inputs[0], back, tolerance(dtype, np.abs(seed_y).max(initial=0) * math.prod(factor)))
    assert {dtype_name(a) for a in (*state.outputs, *cotangent.inputs)} == {dtype}


@given(window=pool_windows(most=2), which=st.integers(0, 4))
def test_all_verbs_are_derivatives_of_solve(backend, window, which):
    """Adjoint identity, complex step and differences; MaxPool away from ties, whose pattern a step keeps."""
    op = [mk.AvgPool(window.size, **options(window)), mk.AvgPool(window.size, count_padding=True, **options(window)),
          mk.MaxPool(window.size, **options(window)), mk.Upsample(window.stride),
          mk.Upsample(window.stride, method="linear")][which]  # fmt: skip
    shape = (*window.batch, *window.grid, window.n_in)
    entries = math.prod(shape)
    x = np.random.default_rng(window.seed).permutation(entries).reshape(shape) * 0.5 - entries / 8
    report = mk.testing.check_op(op, locked(backend, x), rng=window.seed)
    assert all(f.checked for f in report.findings) != isinstance(op, mk.MaxPool), str(report)
    if not isinstance(op, mk.MaxPool):
        check_second(op, backend, [x], window.seed)
    step, h = normal(np.random.default_rng(1), shape), 1e-20
    got = op.pushforward(op.solve(backend.from_host(x)), backend.from_host(step)).outputs[0]
    want = to_host(op(backend.from_host(x + 1j * h * step))).imag / h
    assert_close("ẏ", got, want, RELATIVE * np.abs(step).max(initial=0) * 10, window)


OPS = [mk.AvgPool(1), mk.AvgPool((2, 1), padding=((1, 0), 0)), mk.AvgPool(2, stride=1, count_padding=True),
       mk.MaxPool(1), mk.MaxPool((2, 3), stride=1, padding=(1, (0, 2))), mk.Upsample(1), mk.Upsample((1, 3)),
       mk.Upsample(1, method="linear"), mk.Upsample(2, method="linear")]  # fmt: skip


@pytest.mark.parametrize("op", OPS, ids=repr)
def test_results_share_memory_with_nothing(backend, op):
    x = locked(backend, np.random.default_rng(0).standard_normal((2, 4, 5, 3)))
    state, later = op.solve(x), op.solve(x)
    seed = locked(backend, np.ones(state.outputs[0].shape))
    a, b = op.pullback(state, seed), op.pullback(state, seed)
    assert_no_shared_memory(
        {"x": x, "y": state.outputs[0], "later": later.outputs[0], "seed": seed, "a": a.inputs[0], "b": b.inputs[0],
         "ẏ": op.pushforward(state, x).outputs[0]}
    )  # fmt: skip


@pytest.mark.parametrize("op", OPS, ids=repr)
def test_none_is_zero_and_options_survive_moving_and_saving(backend, spec, tmp_path, op):
    x = backend.from_host(np.random.default_rng(0).standard_normal((2, 4, 5, 3)))
    state = op.solve(x)
    zero = np.zeros(state.outputs[0].shape)
    for tangent in (op.pushforward(state), op.pushforward(state, None)):
        assert_equal("nothing", tangent.outputs[0], zero)
    for cotangent in (op.pullback(state), op.pullback(state, None)):
        assert_equal("nothing", cotangent.inputs[0], np.zeros(x.shape))
    save(tmp_path / "op", mk.Chain([op]))
    for other in (load(tmp_path / "op").ops[0], op.to(spec), op.astype("float32"), op.replace()):
        assert (type(other), repr(other)) == (type(op), repr(op))
        assert_equal("y", other(x), state.outputs[0])
    assert op.parameters() == {}
    assert op.backend is None


def test_arguments_tell_the_number_of_axes():
    assert mk.AvgPool(2).size == mk.MaxPool(2).stride == mk.Upsample(2).factor == (2, 2)
    assert mk.AvgPool(2, axes=1).size == mk.MaxPool((2,)).size == mk.Upsample(2, axes=1).factor == (2,)
    assert mk.MaxPool(3, padding=((1, 0), 2, 1)).geometry.padding == ((1, 0), (2, 2), (1, 1))


REFUSED = {
    "a size of zero": (lambda x: mk.AvgPool(0), ValueError, "size is 0; pass at least 1"),
    "a fraction": (lambda x: mk.MaxPool((2, 1.5)), TypeError, r"size\[1\] is 1.5; pass an integer"),
    "a stride of zero": (lambda x: mk.MaxPool(2, stride=(1, 0)), ValueError, r"stride\[1\] is 0"),
    "padding as long as the size": (
        lambda x: mk.MaxPool((2, 3), padding=((0, 1), (3, 0))), ValueError,
        r"padding\[1\] is \(3, 0\) but size\[1\] is 3; every window must reach the grid: pad less than the size"),
    "axes that disagree": (
        lambda x: mk.AvgPool((2, 2), stride=(1,)), ValueError, r"size is \(2, 2\) but stride is \(1,\)"),
    "a word for a flag": (lambda x: mk.AvgPool(2, count_padding="no"), TypeError, "count_padding is 'no'; pass True"),
    "an unknown method": (lambda x: mk.Upsample(2, method="liner"), ValueError, "method is 'liner'; did you mean 'li"),
    "a factor of zero": (lambda x: mk.Upsample((2, 0)), ValueError, r"factor\[1\] is 0; pass at least 1"),
    "a grid too short": (
        lambda x: mk.AvgPool((3, 5))(x), ValueError, r"the grid \(3, 4\) .* too short: AvgPool reads windows over"),
    "too few axes": (
        lambda x: mk.MaxPool((1,) * 4)(x), ValueError, r"shape \(2, 3, 4, 1\) but this MaxPool reads 4 grid axes"),
    "too few axes to refine": (lambda x: mk.Upsample((1,) * 4)(x), ValueError, "this Upsample reads 4 grid axes"),
    "two arrays": (lambda x: mk.AvgPool(2).solve(x, x), TypeError, "AvgPool takes 1 array, not 2"),
    "a list": (lambda x: mk.Upsample(2)([[1.0]]), TypeError, r"inputs\[0\] is a list, not an array"),
    "a parameter": (
        lambda x: mk.MaxPool(2).pushforward(mk.MaxPool(2).solve(x), x, weight=x), TypeError, "'weight' is no p"),
    "a seed of another shape": (
        lambda x: mk.MaxPool(2).pullback(mk.MaxPool(2).solve(x), x), ValueError, "a seed has the output's"),
    "a direction of another shape": (
        lambda x: mk.Upsample(2).pushforward(mk.Upsample(2).solve(x), x[:1, ...]), ValueError, "a direction has"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_with_the_values_and_the_remedy(backend, what):
    call, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        call(backend.from_host(np.ones((2, 3, 4, 1))))
