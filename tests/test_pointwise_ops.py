"""Pointwise is its activation and Softmax its formula, and their verbs are derivatives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.activations import NAMES
from machinekit.arrays import namespace, to_host

from .helpers import assert_close, assert_equal, locked, shares_memory, tolerance
from .leaf_laws import check_leaf, kinds, normal
from .strategies import DTYPES, batches, seeds

shapes = st.sampled_from([(), (3,), (2, 2), (0,), (3, 0), (0, 2), (1, 2, 2)])


@given(name=st.sampled_from(NAMES), shape=shapes, seed=seeds())
def test_all_verbs_of_pointwise_are_derivatives_of_its_solve(backend, name, shape, seed):
    """Complex step of every entry, adjoint identity, differences; memory; arrays without axes too."""
    op = mk.Pointwise(name)
    x = normal(np.random.default_rng(seed), shape)
    for kink in op.activation.kinks:  # differences must not step over one
        x = np.where(np.abs(x - kink) < 0.01, kink + 0.01, x)
    check_leaf(op, backend, [x], seed, second=op.activation.smoothness >= 1)
    assert all(hasattr(a, "ndim") and not isinstance(a, np.generic) for a in op.solve(backend.from_host(x)).outputs)


@given(name=st.sampled_from(NAMES), batch=batches(), dtype=st.sampled_from(DTYPES), seed=seeds())
def test_pointwise_is_a_machine_of_one_block(backend, name, batch, dtype, seed):
    """Nothing feeds a single block: z = σ(y0), and the cotangent of y0 is that of x."""
    rng, name = np.random.default_rng(seed), name
    # imaginary parts are small: tanh and its kin have poles
    x, seed_y = ((a.real + 0.1j * a.imag if a.dtype.kind == "c" else a).astype(dtype)
                 for a in (normal(rng, (*batch, 3), dtype), normal(rng, (*batch, 3), dtype)))  # fmt: skip
    machine, op = mk.DenseMachine((3,), name, dtype=dtype, backend=None).to(backend), mk.Pointwise(name)
    state, solved = op.solve(locked(backend, x)), machine.solve(backend.from_host(x))
    assert_close("y", state.outputs[0], to_host(solved.z), tolerance(dtype, 1 + np.abs(to_host(solved.z))))
    got = op.pullback(state, locked(backend, seed_y)).inputs[0]
    want = to_host(machine.pullback(solved, backend.from_host(seed_y)).y0)
    assert_close("x̄", got, want, tolerance(dtype, np.abs(seed_y) + np.abs(want)))
    assert kinds(op, backend, [x], seed_y) == {dtype}


KNOWN = {
    "tanh": (math.tanh, lambda t: 1 / math.cosh(t) ** 2),
    "relu": (lambda t: max(t, 0.0), lambda t: float(t > 0)),
    "sigmoid": (lambda t: 1 / (1 + math.exp(-t)), lambda t: math.exp(-t) / (1 + math.exp(-t)) ** 2),
    "softplus": (lambda t: math.log1p(math.exp(t)), lambda t: 1 / (1 + math.exp(-t))),
    "sin": (math.sin, math.cos),
    "identity": (lambda t: t, lambda t: 1.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_pointwise_in_plain_python(backend, name):
    """σ and σ′ from the math module; relu has slope 0 at 0."""
    points = [-2.0, -0.5, 0.0, 0.25, 3.0]
    value, slope = KNOWN[name]
    op = mk.Pointwise(name)
    state = op.solve(backend.from_host(np.array(points)))
    assert_close("y", state.outputs[0], [value(t) for t in points], tolerance("float64", 4.0))
    seed = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    want = [g * slope(t) for g, t in zip(seed, points, strict=True)]
    assert_close("x̄", op.pullback(state, backend.from_host(seed)).inputs[0], want, tolerance("float64", 5.0))


def cube(y):
    return y * y * y


OWN = {
    "a value": mk.Activation(cube),
    "a derivative": mk.Activation(cube, lambda y: 3 * y * y, name="cube"),
    "a slope of the value": mk.Activation(
        lambda y: namespace(y).exp(y), lambda y: namespace(y).exp(y), name="exp", slope_of_value=lambda v: v
    ),
    "its argument": mk.Activation(lambda y: y, lambda y: namespace(y).ones_like(y), name="same"),
    "its argument as a slope": mk.Activation(lambda y: y * y / 2, lambda y: y, name="half square"),
    "built in, with an option": mk.elu(0.5),
}


@pytest.mark.parametrize("what", OWN)
@pytest.mark.parametrize("shape", [(), (3, 2)])
def test_an_activation_of_ones_own_serves_as_in_machines(backend, what, shape):
    """By value alone, with its derivative, returning its very argument: derivatives right, no memory shared."""
    second = what not in ("a value", "built in, with an option")  # no σ″ of a value alone; elu(0.5) is of class C⁰
    check_leaf(mk.Pointwise(OWN[what]), backend, [normal(np.random.default_rng(0), shape)], second=second)


def test_the_slope_comes_from_the_stored_value_where_there_is_a_formula(backend):
    """tanh′ = 1 − y² of the stored y, so y is read; relu, identity and softplus read x, and y need not be kept."""
    x = backend.from_host(np.array([0.5]))
    stored = mk.State((x,), (backend.from_host(np.array([0.5])),))
    got = mk.Pointwise("tanh").pullback(stored, backend.from_host(np.array([1.0]))).inputs[0]
    assert_equal("x̄", got, np.array([0.75]))
    assert mk.Pointwise("tanh").reads_outputs
    assert not any(mk.Pointwise(name).reads_outputs for name in ("relu", "identity", "softplus"))


@given(batch=batches(), n=st.integers(0, 3), axis=st.integers(-3, -1), seed=seeds())
def test_all_verbs_of_softmax_are_derivatives_of_its_solve(backend, batch, n, axis, seed):
    shape = (*batch, 2, n, 2)
    check_leaf(mk.Softmax(axis), backend, [normal(np.random.default_rng(seed), shape)], seed)


@given(batch=batches(), n=st.integers(0, 4), axis=st.integers(-2, -1), dtype=st.sampled_from(DTYPES), seed=seeds())
def test_softmax_equals_its_definition_written_in_loops(backend, batch, n, axis, dtype, seed):
    """y_i = exp(x_i) / Σ_j exp(x_j), x̄_i = Σ_j (y_i δ_ij − y_i y_j) ȳ_j, entry by entry."""
    rng = np.random.default_rng(seed)
    x, seed_y = normal(rng, (*batch, 2, n), dtype), normal(rng, (*batch, 2, n), dtype)
    x, seed_y = ((a.real + 0.1j * a.imag if a.dtype.kind == "c" else a).astype(dtype) for a in (x, seed_y))
    y, back = np.zeros(x.shape, complex), np.zeros(x.shape, complex)
    lines = (np.moveaxis(a, axis, -1) for a in (x, seed_y, y, back))
    xs, gs, ys, bs = lines
    for at in itertools.product(*map(range, xs.shape[:-1])):
        powers = [complex(np.exp(complex(t))) for t in xs[at]]
        ys[at] = [p / sum(powers) for p in powers]
        for i, j in itertools.product(range(len(powers)), repeat=2):
            bs[(*at, i)] += ys[at][i] * ((i == j) - ys[at][j]) * gs[at][j]
    op = mk.Softmax(axis)
    state = op.solve(locked(backend, x))
    assert_close("y", state.outputs[0], y, tolerance(dtype, 1.0 + 0 * np.abs(y)))
    total = np.abs(seed_y).sum(axis=axis, keepdims=True) + 0 * np.abs(y)
    assert_close("x̄", op.pullback(state, locked(backend, seed_y)).inputs[0], back, tolerance(dtype, total))
    assert kinds(op, backend, [x], seed_y) == {dtype}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softmax_does_not_overflow_and_masks_with_minus_infinity(backend, dtype):
    """Shifting all entries changes nothing; −∞ gets 0 and no cotangent."""
    x = np.array([[1e4, 1e4, -1e4], [0.0, -np.inf, 0.0], [-3e38, -3e38, -3e38]], dtype)
    op = mk.Softmax()
    state = op.solve(backend.from_host(x))
    assert_close("y", state.outputs[0], [[0.5, 0.5, 0], [0.5, 0, 0.5], [1 / 3] * 3], tolerance(dtype, 1.0))
    seed = np.array([[4.0, 0.0, 7.0], [4.0, 9.0, 0.0], [3.0, 0.0, 0.0]], dtype)
    want = np.array([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0], [2 / 3, -1 / 3, -1 / 3]])
    assert_close("x̄", op.pullback(state, backend.from_host(seed)).inputs[0], want, tolerance(dtype, 9.0))


@pytest.mark.parametrize("op", [mk.Pointwise("tanh"), mk.Softmax()], ids=repr)
def test_ops_without_parameters_go_anywhere(backend, spec, op):
    x = backend.from_host(np.array([[0.5, -0.5]]))
    for other in (op.to(spec), op.astype("float32"), op.replace()):
        assert repr(other) == repr(op)
        assert_equal("y", other(x), op(x))
    assert (op.parameters(), op.backend) == ({}, None)
    assert not shares_memory(op(x), x)


REFUSED = {
    "an unknown name": (lambda x: mk.Pointwise("tahn"), ValueError, "activation='tahn' is unknown; did you mean"),
    "a bare callable": (lambda x: mk.Pointwise(np.tanh), TypeError, r"bare callable; wrap it: mk.Activation\(tanh\)"),
    "a number": (lambda x: mk.Pointwise(7), TypeError, "activation is 7; pass a name, an mk.Activation"),
    "one per block": (
        lambda x: mk.Pointwise(["tanh"]), TypeError, r"activation is \['tanh'\]; a Pointwise has one"),
    "a Diagonal": (lambda x: mk.Pointwise(mk.Diagonal(x)), TypeError, "activation is a Diagonal; a Pointwise has one"),
    "two arrays": (lambda x: mk.Pointwise("tanh").solve(x, x), TypeError, "Pointwise takes 1 array, not 2"),
    "a list": (lambda x: mk.Pointwise("tanh")([1.0]), TypeError, r"inputs\[0\] is a list, not an array"),
    "a parameter": (
        lambda x: mk.Pointwise("tanh").pushforward(mk.Pointwise("tanh").solve(x), slope=x), TypeError, "'slope' is no"),
    "a seed of another shape": (
        lambda x: mk.Softmax().pullback(mk.Softmax().solve(x), x[:1, ...]), ValueError, "a seed has the output's"),
    "a direction of another shape": (
        lambda x: mk.Softmax().pushforward(mk.Softmax().solve(x), x[:1, ...]), ValueError, "a direction has"),
    "an axis from the front": (lambda x: mk.Softmax(0), ValueError, "axis is 0; count from the end"),
    "a fraction": (lambda x: mk.Softmax(-0.5), TypeError, "axis is -0.5; pass an integer"),
    "an axis that is not there": (
        lambda x: mk.Softmax(-3)(x), ValueError, r"inputs\[0\] has shape \(2, 3\) and no axis -3"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_with_the_values_and_the_remedy(backend, what):
    call, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        call(backend.from_host(np.ones((2, 3))))
