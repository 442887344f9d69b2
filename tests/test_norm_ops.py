"""Norm, LayerNorm and BatchNorm are their formulas; the statistics have derivatives of their own."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import dtype_name

from .helpers import assert_close, assert_equal, locked, tolerance
from .leaf_laws import check_leaf, kinds, normal
from .normed import FORMS, divided, draw_norm, epsilons, forms, gains, mild, spread
from .strategies import DTYPES, batches, mostly, seeds


@given(lead=batches(), n=mostly(st.integers(1, 3), st.just(0)), seed=seeds())
def test_all_verbs_of_norm_are_derivatives_of_its_solve(backend, lead, n, seed):
    check_leaf(mk.Norm(), backend, [spread(np.random.default_rng(seed), (*lead, 2, n))], seed)


@given(lead=batches(), n=mostly(st.integers(1, 4), st.just(0)), dtype=st.sampled_from(DTYPES), seed=seeds(),
       size=st.sampled_from([1.0, 1e30, 1e-30, 0.0]))  # fmt: skip
def test_norm_equals_its_definition_at_every_size(backend, lead, n, dtype, seed, size):
    """y = √(Σ x²) on one channel, x̄ = ȳ x / y; squares of 1e±30 are beyond single precision, the norm is not."""
    rng = np.random.default_rng(seed)
    x, seed_y = (mild(rng, (*lead, n), dtype) * size).astype(dtype), normal(rng, (*lead, 1), dtype)
    wide = x.astype("complex128")
    y = np.sqrt((wide * wide).sum(-1, keepdims=True))
    op = mk.Norm()
    state = op.solve(locked(backend, x))
    assert_close("y", state.outputs[0], y, tolerance(dtype, np.abs(wide).sum(-1, keepdims=True)))
    back = np.where(y == 0, 0, seed_y * wide / np.where(y == 0, 1, y))
    assert_close("x̄", op.pullback(state, locked(backend, seed_y)).inputs[0], back, tolerance(dtype, 4 * abs(seed_y)))
    assert kinds(op, backend, [x], seed_y) == {dtype}


def test_the_norm_of_zero_has_the_gradient_zero(backend):
    """No gradient exists there; the value 0 is documented, comes without a warning, and leaves other rows alone."""
    op, x = mk.Norm(), np.array([[0.0, 0.0], [3.0, -4.0]])
    state = op.solve(backend.from_host(x))
    assert_equal("y", state.outputs[0], np.array([[0.0], [5.0]]))
    seed = backend.from_host(np.full((2, 1), 5.0))
    assert_equal("x̄", op.pullback(state, seed).inputs[0], np.array([[0.0, 0.0], [3.0, -4.0]]))
    tangent = op.pushforward(state, backend.from_host(np.ones((2, 2))))
    assert_close("ẏ", tangent.outputs[0], np.array([[0.0], [-0.2]]), tolerance("float64", 2.0))


def test_an_infinite_entry_has_an_infinite_norm(backend):
    assert_equal("y", mk.Norm()(backend.from_host(np.array([[np.inf, 1.0]]))), np.array([[np.inf]]))


tails = st.lists(mostly(st.integers(1, 3), st.just(0)), min_size=1, max_size=2).map(tuple)


@given(lead=batches(), tail=tails, form=forms, epsilon=epsilons, gain=gains, seed=seeds())
def test_all_verbs_of_layer_norm_are_derivatives_of_its_solve(backend, lead, tail, form, epsilon, gain, seed):
    """Complex step of every entry of x, scale and bias; the terms of mean and variance included."""
    rng = np.random.default_rng(seed)
    if form == "eps+sigma" and math.prod(tail) < 2:
        tail = (2,)  # one entry has σ = 0, where this form has no derivative
    epsilon = epsilon if math.prod(tail) > 2 else 1.0  # of two entries n = ±1 up to ε: all terms cancel
    op, scale, _ = draw_norm(rng, backend, mk.LayerNorm, tail, gain, form, epsilon)
    check_leaf(op, backend, [spread(rng, (*lead, *tail))], seed, 4 * np.abs(scale).max(initial=0))


@given(lead=batches(), tail=tails, form=forms, gain=gains, dtype=st.sampled_from(DTYPES), seed=seeds())
def test_layer_norm_equals_its_definition_written_in_loops(backend, lead, tail, form, gain, dtype, seed):
    rng = np.random.default_rng(seed)
    op, scale, bias = draw_norm(rng, backend, mk.LayerNorm, tail, gain, form, 0.5, dtype)
    x, seed_y = mild(rng, (*lead, *tail), dtype), normal(rng, (*lead, *tail), dtype)
    n = np.zeros(x.shape, complex)
    for at in itertools.product(*map(range, lead)):
        if math.prod(tail):
            n[at] = np.reshape(divided(x[at].astype(complex).ravel().tolist(), form, 0.5)[0], tail)
    state = op.solve(locked(backend, x))
    size = 8 * (1 + np.abs(n)) * np.abs(scale) + np.abs(bias)
    assert_close("y", state.outputs[0], n * scale + bias, tolerance(dtype, size))
    parameters = op.pullback(state, locked(backend, seed_y)).parameters
    axes = tuple(range(len(lead)))
    for name, terms in (("scale", n * seed_y), ("bias", seed_y + 0 * n)):
        if name in op.parameters():
            bound = tolerance(dtype, 8 * np.abs(seed_y).sum(axes) * (1 + np.abs(n).max(initial=0)))
            assert_close(name, parameters[name], terms.sum(axes), bound)
    assert kinds(op, backend, [x], seed_y) == {dtype}


grids = st.sampled_from([(), (2,), (1, 3), (0,)])


@given(lead=batches(), grid=grids, n=mostly(st.integers(1, 2), st.just(0)), form=forms, epsilon=epsilons, gain=gains,
       seed=seeds())  # fmt: skip
def test_all_verbs_of_batch_norm_are_derivatives_of_its_solve(backend, lead, grid, n, form, epsilon, gain, seed):
    """A step in one sample moves the outputs of all, through mean and variance: both verbs have those terms."""
    rng = np.random.default_rng(seed)
    shape = (*lead, *grid, n)
    if form == "eps+sigma" and math.prod(shape[:-1]) == 1:
        shape = (2, n)
    epsilon = epsilon if math.prod(shape[:-1]) > 2 else 1.0  # of two entries n = ±1 up to ε: all terms cancel
    op, scale, _ = draw_norm(rng, backend, mk.BatchNorm, (n,), gain, form, epsilon)
    check_leaf(op, backend, [spread(rng, shape)], seed, 4 * np.abs(scale).max(initial=0))


@given(lead=batches(), grid=grids, form=forms, gain=gains, dtype=st.sampled_from(DTYPES), seed=seeds())
def test_batch_norm_equals_its_definition_written_in_loops(backend, lead, grid, form, gain, dtype, seed):
    """Statistics over batch and grid, channel by channel; they are in the state, the op does not change."""
    rng = np.random.default_rng(seed)
    op, scale, bias = draw_norm(rng, backend, mk.BatchNorm, (2,), gain, form, 0.5, dtype)
    x = mild(rng, (*lead, *grid, 2), dtype)
    n, means, variances = np.zeros(x.shape, complex), np.zeros(2, complex), np.zeros(2, complex)
    for c in range(2):
        entries = x[..., c].astype(complex).ravel().tolist()
        if entries:
            values, means[c], variances[c] = divided(entries, form, 0.5)
            n[..., c] = np.reshape(values, x.shape[:-1])
    state = op.solve(locked(backend, x))
    size = 8 * (1 + np.abs(n)) * np.abs(scale) + np.abs(bias)
    assert_close("y", state.outputs[0], n * scale + bias, tolerance(dtype, size))
    bound = tolerance(dtype, 1 + np.abs(x).max(initial=0) ** 2)
    assert_close("mean", state.saved.mean, means, bound)
    assert_close("variance", state.saved.variance, variances, bound)
    assert state.saved.entries == x.size // 2
    assert kinds(op, backend, [x], normal(rng, x.shape, dtype)) == {dtype}
    if x.size:
        ready = op.with_statistics(state)
        assert_close("y with these statistics", ready(locked(backend, x)), n * scale + bias, tolerance(dtype, size))
    assert op.mean is op.variance is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [mk.LayerNorm, mk.BatchNorm])
def test_equal_entries_have_finite_derivatives(backend, kind, form):
    """At σ = 0 the form ε + σ takes the derivative of σ as 0: x̄ = (n̄ − mean n̄)/ε; √(ε + σ²) has one, over √ε."""
    op = kind(2, form=form, epsilon=0.25).to(backend)
    x = np.full((2, 2), 3.0)
    state = op.solve(backend.from_host(x))
    assert_equal("y", state.outputs[0], np.zeros((2, 2)))
    seed = np.array([[1.0, 5.0], [3.0, 2.0]])
    d, axis = (0.5, 0.25)[form == "eps+sigma"], (0, 1)[kind is mk.LayerNorm]
    want = (seed - seed.mean(axis, keepdims=True)) / d
    assert_equal("x̄", op.pullback(state, backend.from_host(seed)).inputs[0], want)
    assert_equal("ẏ", op.pushforward(state, backend.from_host(seed)).outputs[0], want)


def test_the_epsilon_is_inside_the_root_or_outside(backend):
    """Mean 4, σ = 3: 3/(1 + 3) against 3/√(7 + 9), and the variance divides by the count."""
    x = backend.from_host(np.array([[1.0], [7.0]]))
    for form, epsilon in (("eps+sigma", 1.0), ("sqrt", 7.0)):
        y = mk.BatchNorm(1, form=form, epsilon=epsilon).to(backend)(x)
        assert_equal(form, y, np.array([[-0.75], [0.75]]))


def test_a_state_made_by_hand_serves(backend):
    """State(inputs, outputs) without statistics: they are computed again."""
    op, x = mk.LayerNorm(3).to(backend), backend.from_host(normal(np.random.default_rng(0), (2, 3)))
    state = op.solve(x)
    bare = mk.State(state.inputs, state.outputs)
    assert_equal("x̄", op.pullback(bare, x).inputs[0], op.pullback(state, x).inputs[0])


@pytest.mark.parametrize("kind", [mk.LayerNorm, mk.BatchNorm])
def test_gains_start_as_ones_and_zeros_of_any_dtype(backend, spec, kind):
    for dtype in DTYPES:
        op = kind(2, dtype=dtype, backend=spec)
        assert_equal("scale", op.scale, np.ones(2, dtype))
        assert_equal("bias", op.bias, np.zeros(2, dtype))
        assert {dtype_name(op.scale), dtype_name(op.bias)} == {dtype}
    single = kind(2, scale=backend.from_host(np.ones(2, "float32")))
    assert dtype_name(single.bias) == "float32"


def ones(backend, *shape, dtype="float64"):
    return backend.from_host(np.ones(shape, dtype))


REFUSED = {
    "an unknown form": (lambda b, op: mk.BatchNorm(2, form="eps+sgima"), ValueError, "form is 'eps.*did you mean 'eps"),
    "an epsilon of zero": (lambda b, op: mk.LayerNorm(2, epsilon=0.0), ValueError, "epsilon is 0.0; pass a positive"),
    "no epsilon": (lambda b, op: mk.LayerNorm(2, epsilon=None), TypeError, "epsilon is None; pass a number"),
    "a negative count": (lambda b, op: mk.BatchNorm(-1), ValueError, "channels is -1; pass at least 0"),
    "two counts": (lambda b, op: mk.BatchNorm((1, 2)), TypeError, r"channels is \(1, 2\); pass an integer"),
    "no count": (lambda b, op: mk.LayerNorm(()), ValueError, "channels is empty"),
    "a scale of another shape": (
        lambda b, op: mk.BatchNorm(2, scale=ones(b, 3)), ValueError, r"scale has shape \(3,\); pass \(2,\)"),
    "a list": (lambda b, op: mk.LayerNorm(2, bias=[1.0, 2.0]), TypeError, "bias is a list, not an array"),
    "two precisions": (
        lambda b, op: mk.LayerNorm(2, scale=ones(b, 2), bias=ones(b, 2, dtype="float32")), TypeError,
        "bias is in single precision"),
    "another dtype": (
        lambda b, op: mk.LayerNorm(2, scale=ones(b, 2), dtype="float32"), TypeError, "dtype='float32' but scale is"),
    "other channels": (lambda b, op: op(ones(b, 4, 3)), ValueError, r"shape \(4, 3\); BatchNorm\(2, .* 2\)"),
    "no axis": (lambda b, op: mk.Norm()(ones(b)), ValueError, r"inputs\[0\] has shape \(\); Norm reads a channel axis"),
    "too few axes": (lambda b, op: mk.LayerNorm((2, 2)).to(b)(ones(b, 2)), ValueError, r"reads \(…, 2, 2\)"),
    "single precision": (lambda b, op: op(ones(b, 4, 2, dtype="float32")), TypeError, "single precision"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_with_the_values_and_the_remedy(backend, what):
    call, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        call(backend, mk.BatchNorm(2).to(backend))
