"""Affine is y = x W + b with its tangent, its dual, and nothing hidden."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import dtype_name, to_host

from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked, tolerance
from .leaf_laws import check_second
from .strategies import DTYPES, batches, seeds

widths = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple)


def draw(rng, shape, dtype="float64"):
    values = rng.standard_normal((2, *shape))
    return (values[0] + 1j * values[1] if dtype.startswith("complex") else values[0]).astype(dtype)


def case(backend, batch, widths, n_out, seed, bias=True, dtype="float64"):
    """Return the op, its inputs on the backend, and all numbers on the host."""
    rng = np.random.default_rng(seed)
    weight, offset = draw(rng, (sum(widths), n_out), dtype), draw(rng, (n_out,), dtype)
    inputs = [draw(rng, (*batch, w), dtype) for w in widths]
    moved = backend.from_host(offset) if bias else False
    op = mk.Affine(sum(widths), n_out, weight=backend.from_host(weight), bias=moved)
    return op, [locked(backend, x) for x in inputs], inputs, weight, offset if bias else np.zeros_like(offset), rng


@given(batch=batches(), widths=widths, n_out=st.integers(0, 3), bias=st.booleans(), seed=seeds())
def test_all_verbs_of_affine_are_derivatives_of_its_solve(backend, batch, widths, n_out, bias, seed):
    """Adjoint identity, complex step and differences, for any batch, any split of the input, with and without bias."""
    op, moved, *_ = case(backend, batch, widths, n_out, seed, bias)
    report = mk.testing.check_op(op, *moved, rng=seed)
    assert all(f.checked for f in report.findings), str(report)


@given(batch=batches(), widths=widths, n_out=st.integers(0, 3), bias=st.booleans(), seed=seeds())
def test_the_pullback_of_affine_has_its_derivative(backend, batch, widths, n_out, bias, seed):
    """x̄˙ = ȳ˙ Wᵀ + ȳ Ẇᵀ, W̄˙ = Σ xᵀ ȳ˙ + ẋᵀ ȳ, b̄˙ = Σ ȳ˙, each motion alone and all at once."""
    op, _, inputs, *_ = case(backend, batch, widths, n_out, seed, bias)
    check_second(op, backend, inputs, seed, 1.0)


@given(batch=batches(), widths=widths, n_out=st.integers(0, 3), bias=st.booleans(), dtype=st.sampled_from(DTYPES),
       seed=seeds())  # fmt: skip
def test_affine_equals_its_definition_written_in_loops(backend, batch, widths, n_out, bias, dtype, seed):
    """y = Σ x W + b, x̄ = ȳ Wᵀ split as the inputs were, W̄ = Σ xᵀ ȳ, b̄ = Σ ȳ: sums over the batch, never means."""
    op, moved, inputs, weight, offset, rng = case(backend, batch, widths, n_out, seed, bias, dtype)
    x = np.concatenate(inputs, axis=-1)
    y = sum((x[..., c, None] * weight[c] for c in range(len(weight))), np.zeros((*batch, n_out), dtype)) + offset
    state = op.solve(*moved)
    size = np.abs(x) @ np.abs(weight) + np.abs(offset)
    assert_close("y", state.outputs[0], y, tolerance(dtype, size))
    assert_equal("the call", op(*moved), state.outputs[0])
    assert dtype_name(state.outputs[0]) == dtype
    seed_y = draw(rng, (*batch, n_out), dtype)
    cotangent = op.pullback(state, locked(backend, seed_y))
    back, size = seed_y @ weight.T, np.abs(seed_y) @ np.abs(weight.T)
    for k, (edge, w) in enumerate(zip(np.cumsum((0, *widths)), widths, strict=False)):
        cut = (..., slice(edge, edge + w))
        assert_close(f"input {k}", cotangent.inputs[k], back[cut], tolerance(dtype, size[cut]))
    samples = int(np.prod(batch))
    rows, flat = x.reshape(samples, len(weight)), seed_y.reshape(samples, n_out)
    want, size = np.einsum("sc,so->co", rows, flat), np.einsum("sc,so->co", np.abs(rows), np.abs(flat))
    assert_close("weight", cotangent.parameters["weight"], want, tolerance(dtype, size))
    if bias:
        assert_close("bias", cotangent.parameters["bias"], flat.sum(0), tolerance(dtype, np.abs(flat).sum(0)))
    assert list(cotangent.parameters) == list(op.parameters()) == ["weight", "bias"][: 1 + bias]


@pytest.mark.parametrize("widths", [(3,), (1, 2)])
def test_results_of_affine_share_memory_with_nothing(backend, widths):
    op, moved, *_ = case(backend, (2,), widths, 3, 0)
    first, second = op.solve(*moved), op.solve(*moved)
    seed = locked(backend, np.ones((2, 3)))
    a, b = op.pullback(first, seed), op.pullback(first, seed)
    arrays = {"y": first.outputs[0], "later y": second.outputs[0], "seed": seed}
    for name, c in (("first", a), ("second", b)):
        arrays.update({f"{name} input {k}": x for k, x in enumerate(c.inputs)})
        arrays.update({f"{name} {key}": x for key, x in c.parameters.items()})
    arrays.update({f"input {k}": x for k, x in enumerate(moved)}, **op.parameters())
    assert_no_shared_memory(arrays)


def test_affine_copies_what_it_is_given(backend):
    weight, bias = (backend.from_host(np.ones(shape)) for shape in ((2, 1), (1,)))
    op = mk.Affine(2, 1, weight=weight, bias=bias)
    moved = op.replace(weight=weight)
    weight[...] = 7.0
    bias[...] = 7.0
    assert_equal("y", op(backend.from_host(np.ones((1, 2)))), np.array([[3.0]]))
    assert_equal("y of the copy", moved(backend.from_host(np.ones((1, 2)))), np.array([[3.0]]))
    with pytest.raises(AttributeError, match="an op does not change"):
        op.weight = weight


def test_none_is_a_zero_direction_and_a_zero_seed(backend):
    op, moved, *_ = case(backend, (2,), (1, 2), 2, 0)
    state = op.solve(*moved)
    nothing = op.pushforward(state, None, None, weight=None, bias=None)
    assert_equal("tangent of nothing", nothing.outputs[0], np.zeros((2, 2)))
    assert_equal("tangent of no arguments", op.pushforward(state).outputs[0], np.zeros((2, 2)))
    for cotangent in (op.pullback(state), op.pullback(state, None)):
        for array in (*cotangent.inputs, *cotangent.parameters.values()):
            assert_equal("cotangent of nothing", array, np.zeros(array.shape))


def test_the_same_seed_draws_the_same_weights_for_any_dtype_and_backend(backend, spec):
    """Weights are drawn in float64 on the host, N(0, 1/n_in), then cast and moved."""
    want = np.random.default_rng(5).standard_normal((3, 2)) / np.sqrt(3)
    for dtype in DTYPES:
        op = mk.Affine(3, 2, rng=5, dtype=dtype, backend=spec)
        assert_equal("weight", op.weight, want.astype(dtype))
        assert_equal("bias", op.bias, np.zeros(2, dtype))
        assert op.backend == backend.name
    wide = mk.Affine(400, 50, rng=0, backend=spec)
    assert abs(np.std(to_host(wide.weight)) * 20 - 1) < 0.05


def test_astype_and_to_change_precision_and_place_and_nothing_else(backend, spec):
    op = mk.Affine(2, 3, rng=0)
    there = op.to(spec)
    assert there.backend == backend.name
    for dtype in DTYPES:
        cast = there.astype(dtype)
        assert_equal("weight", cast.weight, op.weight.astype(dtype))
        assert_equal("bias", cast.bias, op.bias.astype(dtype))
    assert_equal("back", there.to("numpy").weight, op.weight)


def ones(backend, *shape, dtype="float64"):
    return backend.from_host(np.ones(shape, dtype))


REFUSED = {
    "a negative count": (lambda b, op, s: mk.Affine(-1, 2), ValueError, "n_in is -1; pass at least 0"),
    "a fraction": (lambda b, op, s: mk.Affine(1, 2.5), TypeError, "n_out is 2.5; pass an integer"),
    "a weight of another shape": (
        lambda b, op, s: mk.Affine(3, 2, weight=ones(b, 2, 3)), ValueError, r"weight has shape \(2, 3\); pass \(3,"),
    "a bias of another shape": (
        lambda b, op, s: mk.Affine(3, 2, weight=ones(b, 3, 2), bias=ones(b, 3)), ValueError, "bias has shape"),
    "a list for a weight": (lambda b, op, s: mk.Affine(1, 1, weight=[[1.0]]), TypeError, "weight is a list"),
    "another dtype than the weight's": (
        lambda b, op, s: mk.Affine(1, 1, weight=ones(b, 1, 1), dtype="float32"), TypeError, "dtype='float32' but"),
    "too few channels": (lambda b, op, s: op.solve(ones(b, 4, 2)), ValueError, "inputs have 2 channels but the weight"),
    "too many inputs": (lambda b, op, s: op.solve(*[ones(b, 4, 2)] * 2), ValueError, r"inputs have 2 \+ 2 channels"),
    "batches that disagree": (
        lambda b, op, s: op.solve(ones(b, 4, 1), ones(b, 3, 2)), ValueError, "all axes but the last must agree"),
    "a number": (lambda b, op, s: op.solve(3.0), TypeError, r"inputs\[0\] is a float, not an array"),
    "no input": (lambda b, op, s: op.solve(), TypeError, "at least one array"),
    "single precision": (lambda b, op, s: op.solve(ones(b, 4, 3, dtype="float32")), TypeError, "single precision"),
    "integers": (lambda b, op, s: op.solve(ones(b, 4, 3, dtype="int64")), TypeError, "dtype int64"),
    "a seed of another shape": (
        lambda b, op, s: op.pullback(s, ones(b, 4, 3)), ValueError, r"y has shape \(4, 3\); a seed has the output's"),
    "a seed of another precision": (
        lambda b, op, s: op.pullback(s, ones(b, 4, 2, dtype="float32")), TypeError, "y is in single precision"),
    "a direction of another shape": (
        lambda b, op, s: op.pushforward(s, ones(b, 3)), ValueError, r"inputs\[0\] has shape \(3,\); a direction has"),
    "too many directions": (
        lambda b, op, s: op.pushforward(s, None, None), TypeError, "2 directions for 1 inputs; pass one per input"),
    "a weight direction of another shape": (
        lambda b, op, s: op.pushforward(s, weight=ones(b, 2, 3)), ValueError, r"weight has shape \(2, 3\)"),
    "an unknown parameter": (
        lambda b, op, s: op.pushforward(s, gain=ones(b, 2)), TypeError, "'gain' is no parameter .* it has weight"),
    "an unknown parameter to replace": (lambda b, op, s: op.replace(w=ones(b, 3, 2)), TypeError, "'w' is no parameter"),
    "a bias that is not there": (
        lambda b, op, s: mk.Affine(1, 1, bias=False).replace(bias=np.ones(1)), TypeError, "'bias' is no parameter"),
    "a loss of the imaginary part": (
        lambda b, op, s: op.astype("complex128").astype("float64"), TypeError, "would lose its imaginary part"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_affine_refuses_with_the_argument_the_values_and_the_remedy(backend, what):
    op = mk.Affine(3, 2, weight=ones(backend, 3, 2), bias=ones(backend, 2))
    call, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        call(backend, op, op.solve(ones(backend, 4, 3)))
