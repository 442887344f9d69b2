"""Norm, LayerNorm and BatchNorm are their formulas; the statistics have derivatives of their own."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import dtype_name, to_host

from .helpers import assert_close, assert_equal, locked, tolerance
from .leaf_laws import check_leaf, kinds, normal
from .strategies import DTYPES, batches, mostly, seeds

FORMS = ("sqrt", "eps+sigma")
forms = st.sampled_from(FORMS)
epsilons = st.sampled_from([1e-5, 1e-2, 1.0])
gains = st.tuples(st.booleans(), st.booleans())


def divided(entries, form, epsilon):
    """Return n, mean and variance of one group, in Python."""
    mean = sum(entries) / len(entries)
    variance = sum((t - mean) ** 2 for t in entries) / len(entries)
    d = (epsilon + variance) ** 0.5 if form == "sqrt" else epsilon + variance**0.5
    return [(t - mean) / d for t in entries], mean, variance


def draw(rng, backend, kind, shape, gain, form, epsilon, dtype="float64"):
    """Return the op, and its scale and bias on the host."""
    values = {name: normal(rng, shape, dtype) for name in ("scale", "bias")}
    arguments = {name: backend.from_host(values[name]) if on else False for name, on in zip(values, gain, strict=True)}
    more = {} if any(gain) else {"dtype": dtype}
    op = kind(shape if kind is mk.LayerNorm else shape[0], form=form, epsilon=epsilon, **arguments, **more)
    neutral = {"scale": np.ones(shape), "bias": np.zeros(shape)}
    return op, *(values[name] if on else neutral[name] for name, on in zip(values, gain, strict=True))


def spread(rng, shape):
    """Draw entries that keep their distance from zero and each other, so that 1/σ ≤ 4 and differences can be taken."""
    size = math.prod(shape)
    return (rng.permutation(size) + rng.uniform(0.25, 0.5, size)).reshape(shape) * rng.choice([-1.0, 1.0])


def mild(rng, shape, dtype):
    """Draw entries whose imaginary parts are small, so that variances keep clear of the branch cut."""
    a = normal(rng, shape, dtype)
    return (a.real + 0.1j * a.imag).astype(dtype) if a.dtype.kind == "c" else a


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
    op, scale, _ = draw(rng, backend, mk.LayerNorm, tail, gain, form, epsilon)
    check_leaf(op, backend, [spread(rng, (*lead, *tail))], seed, 4 * np.abs(scale).max(initial=0))


@given(lead=batches(), tail=tails, form=forms, gain=gains, dtype=st.sampled_from(DTYPES), seed=seeds())
def test_layer_norm_equals_its_definition_written_in_loops(backend, lead, tail, form, gain, dtype, seed):
    rng = np.random.default_rng(seed)
    op, scale, bias = draw(rng, backend, mk.LayerNorm, tail, gain, form, 0.5, dtype)
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
    op, scale, _ = draw(rng, backend, mk.BatchNorm, (n,), gain, form, epsilon)
    check_leaf(op, backend, [spread(rng, shape)], seed, 4 * np.abs(scale).max(initial=0))


@given(lead=batches(), grid=grids, form=forms, gain=gains, dtype=st.sampled_from(DTYPES), seed=seeds())
def test_batch_norm_equals_its_definition_written_in_loops(backend, lead, grid, form, gain, dtype, seed):
    """Statistics over batch and grid, channel by channel; they are in the state, the op does not change."""
    rng = np.random.default_rng(seed)
    op, scale, bias = draw(rng, backend, mk.BatchNorm, (2,), gain, form, 0.5, dtype)
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


@given(lead=batches(), form=forms, gain=gains, seed=seeds())
def test_batch_norm_with_fixed_statistics_is_affine_and_reads_no_neighbours(backend, lead, form, gain, seed):
    """All verbs by complex step; each sample alone has the same y; y is affine in x."""
    rng = np.random.default_rng(seed)
    op, *_ = draw(rng, backend, mk.BatchNorm, (2,), gain, form, 0.5)
    ready = op.with_statistics(op.solve(backend.from_host(normal(rng, (5, 2)))))
    a, b = (normal(rng, (*lead, 2)) for _ in range(2))
    check_leaf(ready, backend, [a], seed)
    ya, yb, mixed = (to_host(ready(backend.from_host(x))) for x in (a, b, 0.25 * a + 0.75 * b))
    assert_close("a mixture", mixed, 0.25 * ya + 0.75 * yb, tolerance("float64", 8 * (1 + np.abs(ya) + np.abs(yb))))
    for at in itertools.product(*map(range, lead)):
        assert_close("alone", ready(backend.from_host(a[at])), ya[at], tolerance("float64", 1 + np.abs(ya[at])))
    assert ready.solve(backend.from_host(a)).saved is None


def test_statistics_of_several_batches_are_those_of_all_of_them(backend):
    """Pooled with the counts as weights; a momentum blends with what was there; no state takes them away."""
    rng = np.random.default_rng(0)
    op = mk.BatchNorm(3).to(backend)
    parts = [3.0 * k + normal(rng, (k + 1, 2, 3)) for k in range(3)]
    states = [op.solve(backend.from_host(x)) for x in parts]
    whole = np.concatenate(parts)
    pooled = op.with_statistics(*states)
    bound = tolerance("float64", 100.0)
    assert_close("mean", pooled.mean, whole.mean((0, 1)), bound)
    assert_close("variance", pooled.variance, whole.var((0, 1)), bound)
    running = op.with_statistics(states[0]).with_statistics(states[1], momentum=0.125)
    for name, of in (("mean", np.mean), ("variance", np.var)):
        want = 0.875 * of(parts[0], axis=(0, 1)) + 0.125 * of(parts[1], axis=(0, 1))
        assert_close(name, getattr(running, name), want, bound)
    again = running.with_statistics(states[2])
    assert_close("mean", again.mean, parts[2].mean((0, 1)), bound)
    x = backend.from_host(parts[0])
    assert_equal("y", running.with_statistics()(x), op(x))
    assert running.with_statistics().mean is None


def test_statistics_go_where_the_parameters_go(backend, spec):
    """to, astype, replace and pickle keep them; they are no parameters; constructors copy."""
    mean, variance = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    op = mk.BatchNorm(2, mean=backend.from_host(mean), variance=backend.from_host(variance), scale=False)
    assert list(op.parameters()) == ["bias"]
    x = backend.from_host(np.ones((1, 2)))
    moved = op.replace(bias=backend.from_host(np.ones(2)))
    for other in (op.to("numpy").to(spec), moved):
        assert_equal("mean", other.mean, mean)
        assert_equal("variance", other.variance, variance)
    assert_close("y", moved(x), to_host(op(x)) + 1.0, tolerance("float64", 4.0))
    for dtype in DTYPES:
        cast = op.astype(dtype)
        assert {dtype_name(a) for a in (cast.mean, cast.variance, cast.bias)} == {dtype}
    bare = mk.BatchNorm(2, mean=backend.from_host(mean), variance=backend.from_host(variance), scale=False, bias=False)
    assert bare.backend == backend.name
    assert (bare.parameters(), mk.BatchNorm(2, scale=False, bias=False).backend) == ({}, None)
    here = mk.BatchNorm(2, mean=mean, variance=variance)
    mean[...] = 7.0
    assert_equal("mean", here.mean, np.array([1.0, 2.0]))
    assert_equal("mean", pickle.loads(pickle.dumps(here)).mean, np.array([1.0, 2.0]))
    assert not here.mean.flags.writeable


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
    "half of the statistics": (lambda b, op: mk.BatchNorm(2, mean=ones(b, 2)), ValueError, "variance is missing; pass"),
    "other channels": (lambda b, op: op(ones(b, 4, 3)), ValueError, r"shape \(4, 3\); BatchNorm\(2, .* 2\)"),
    "no axis": (lambda b, op: mk.Norm()(ones(b)), ValueError, r"inputs\[0\] has shape \(\); Norm reads a channel axis"),
    "too few axes": (lambda b, op: mk.LayerNorm((2, 2)).to(b)(ones(b, 2)), ValueError, r"reads \(…, 2, 2\)"),
    "single precision": (lambda b, op: op(ones(b, 4, 2, dtype="float32")), TypeError, "single precision"),
    "single precision against statistics": (
        lambda b, op: mk.BatchNorm(2, scale=False, bias=False, mean=ones(b, 2), variance=ones(b, 2))(
            ones(b, 1, 2, dtype="float32")), TypeError, "single precision"),
    "statistics as parameters": (
        lambda b, op: op.replace(mean=ones(b, 2)), TypeError, "'mean' is no parameter .* it has scale, bias"),
    "a state of something else": (
        lambda b, op: op.with_statistics(mk.Norm().solve(ones(b, 2))), TypeError, r"states\[0\] is State"),
    "a state with fixed statistics": (
        lambda b, op: op.with_statistics(op.with_statistics(op.solve(ones(b, 2, 2))).solve(ones(b, 2, 2))), TypeError,
        "no statistics of a batch"),
    "a state of other channels": (
        lambda b, op: op.with_statistics(mk.BatchNorm(3).to(b).solve(ones(b, 2, 3))), ValueError, "but this op"),
    "a state of an empty batch": (
        lambda b, op: op.with_statistics(op.solve(ones(b, 0, 2))), ValueError, r"states\[0\] is of an empty batch"),
    "a state in single precision": (
        lambda b, op: op.with_statistics(op.astype("float32").solve(ones(b, 2, 2, dtype="float32"))), TypeError,
        r"the mean of states\[0\] is in single precision"),
    "a momentum with nothing to blend": (
        lambda b, op: op.with_statistics(op.solve(ones(b, 2, 2)), momentum=0.5), ValueError,
        "momentum is 0.5 but this op has no statistics yet"),
    "a momentum above one": (
        lambda b, op: op.with_statistics(op.solve(ones(b, 2, 2)), momentum=1.5), ValueError, "from 0 to 1"),
    "a word for a momentum": (
        lambda b, op: op.with_statistics(op.solve(ones(b, 2, 2)), momentum="0.1"), TypeError, "pass a number"),
    "a loss of the imaginary part": (
        lambda b, op: mk.BatchNorm(1, scale=False, bias=False, mean=1j * ones(b, 1), variance=ones(b, 1)).astype(
            "float64"), TypeError, "mean is .*complex128 and would lose its imaginary part"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_with_the_values_and_the_remedy(backend, what):
    call, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        call(backend, mk.BatchNorm(2).to(backend))
