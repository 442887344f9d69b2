"""Fixed statistics make a BatchNorm affine; they are pooled, blended, moved and refused."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given

import machinekit as mk
from machinekit.arrays import dtype_name, to_host

from .helpers import assert_close, assert_equal, tolerance
from .leaf_laws import check_leaf, normal
from .normed import draw_norm, forms, gains
from .strategies import DTYPES, batches, seeds


@given(lead=batches(), form=forms, gain=gains, seed=seeds())
def test_batch_norm_with_fixed_statistics_is_affine_and_reads_no_neighbours(backend, lead, form, gain, seed):
    """All verbs by complex step; each sample alone has the same y; y is affine in x."""
    rng = np.random.default_rng(seed)
    op, *_ = draw_norm(rng, backend, mk.BatchNorm, (2,), gain, form, 0.5)
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
    host = op.to("numpy")
    assert all(isinstance(a, np.ndarray) for a in (host.mean, host.variance, host.bias))
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


def ones(backend, *shape, dtype="float64"):
    return backend.from_host(np.ones(shape, dtype))


REFUSED = {
    "half of the statistics": (lambda b, op: mk.BatchNorm(2, mean=ones(b, 2)), ValueError, "variance is missing; pass"),
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
