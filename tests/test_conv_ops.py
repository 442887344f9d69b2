"""Conv is its formula, ConvTranspose its adjoint, and their verbs are derivatives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import dtype_name, to_host
from machinekit.linear import strided, taps

from .helpers import assert_close, assert_equal, locked, tolerance
from .leaf_laws import check_second
from .strategies import DTYPES
from .windowed import back, conv, conv_adjoint, conv_weight, conv_windows, forth, normal, split

RELATIVE = 1e-12


@given(window=conv_windows(), dtype=st.sampled_from(DTYPES), bias=st.booleans())
def test_conv_equals_its_formula_written_in_loops(backend, window, dtype, bias):
    """y, x̄ split as the inputs were, W̄ and b̄, for any stride, dilation, groups, padding, batch and dtype."""
    weight, offset, inputs, seed = window.draw(dtype)
    x = np.concatenate(inputs, axis=-1)
    op = forth(window, backend, weight, offset if bias else False)
    state = op.solve(*(locked(backend, a) for a in inputs))
    size = conv(window, np.abs(weight), np.abs(x)) + np.abs(offset)
    assert_close("y", state.outputs[0], conv(window, weight, x) + bias * offset, tolerance(dtype, size), window)
    cotangent = op.pullback(state, locked(backend, seed))
    want, size = conv_adjoint(window, weight, seed), conv_adjoint(window, np.abs(weight), np.abs(seed))
    for k, (part, bound) in enumerate(zip(split(want, window.widths), split(size, window.widths), strict=True)):
        assert_close(f"input {k}", cotangent.inputs[k], part, tolerance(dtype, bound), window)
    want, size = conv_weight(window, x, seed), conv_weight(window, np.abs(x), np.abs(seed))
    assert_close("weight", cotangent.parameters["weight"], want, tolerance(dtype, size), window)
    if bias:
        flat = seed.reshape(math.prod(seed.shape[:-1]), window.n_out)
        assert_close("bias", cotangent.parameters["bias"], flat.sum(0), tolerance(dtype, np.abs(flat).sum(0)), window)
    assert list(cotangent.parameters) == list(op.parameters()) == ["weight", "bias"][: 1 + bias]
    assert {dtype_name(a) for a in (*state.outputs, *cotangent.inputs, *cotangent.parameters.values())} == {dtype}


@given(window=conv_windows(), dtype=st.sampled_from(DTYPES), bias=st.booleans())
def test_conv_transpose_equals_its_formula_written_in_loops(backend, window, dtype, bias):
    """The grids that `extra` chooses among, forward and dual, and W̄ with the two swapped."""
    weight, _, _, x = window.draw(dtype)
    rng = np.random.default_rng(window.seed + 1)
    offset, seed = normal(rng, (window.n_in,), dtype), normal(rng, (*window.batch, *window.grid, window.n_in), dtype)
    op = back(window, backend, weight, offset if bias else False)
    state = op.solve(locked(backend, x))
    size = conv_adjoint(window, np.abs(weight), np.abs(x)) + np.abs(offset)
    want = conv_adjoint(window, weight, x) + bias * offset
    assert_close("y", state.outputs[0], want, tolerance(dtype, size), window)
    cotangent = op.pullback(state, locked(backend, seed))
    size = conv(window, np.abs(weight), np.abs(seed))
    assert_close("x", cotangent.inputs[0], conv(window, weight, seed), tolerance(dtype, size), window)
    want, size = conv_weight(window, seed, x), conv_weight(window, np.abs(seed), np.abs(x))
    assert_close("weight", cotangent.parameters["weight"], want, tolerance(dtype, size), window)
    assert op.parameters()["weight"].shape == weight.shape
    assert {dtype_name(a) for a in (*state.outputs, *cotangent.inputs, *cotangent.parameters.values())} == {dtype}


@given(window=conv_windows())
def test_conv_transpose_is_the_adjoint_of_conv(backend, window):
    """⟨ȳ, Conv x⟩ = ⟨ConvTranspose ȳ, x⟩ with one weight, to 1e-12 relative."""
    weight, _, inputs, y = window.draw()
    x = np.concatenate(inputs, axis=-1)
    left = to_host(forth(window, backend, weight)(*map(backend.from_host, inputs)))
    right = to_host(back(window, backend, weight)(backend.from_host(y)))
    scale = np.linalg.norm(left) * np.linalg.norm(y) + np.linalg.norm(right) * np.linalg.norm(x)
    assert right.shape == x.shape
    assert abs(np.vdot(y, left) - np.vdot(right, x)) <= RELATIVE * scale, window


@given(window=conv_windows(most=2), transposed=st.booleans(), bias=st.booleans())
def test_all_verbs_are_derivatives_of_solve(backend, window, transposed, bias):
    """Adjoint identity, complex step and differences in every input and parameter."""
    weight, offset, inputs, seed = window.draw()
    if transposed:
        offset, inputs = normal(np.random.default_rng(0), (window.n_in,)), [seed]
    op = (back if transposed else forth)(window, backend, weight, offset if bias else False)
    report = mk.testing.check_op(op, *(locked(backend, x) for x in inputs), rng=window.seed)
    assert all(f.checked for f in report.findings), str(report)


@given(window=conv_windows(most=2), transposed=st.booleans(), bias=st.booleans())
def test_the_pullbacks_have_their_derivatives(backend, window, transposed, bias):
    """By the complex step, each motion alone and all at once: what does not move is not multiplied."""
    weight, offset, inputs, seed = window.draw()
    if transposed:
        offset, inputs = normal(np.random.default_rng(0), (window.n_in,)), [seed]
    op = (back if transposed else forth)(window, backend, weight, offset if bias else False)
    check_second(op, backend, inputs, window.seed, 1.0)


@given(window=conv_windows(), dtype=st.sampled_from(DTYPES))
def test_the_derivative_of_the_pullback_of_conv_in_loops(backend, window, dtype):
    """x̄˙ = Wᵀ ȳ˙ + Ẇᵀ ȳ, split as the inputs were; W̄˙ = x ⊗ ȳ˙ + ẋ ⊗ ȳ; b̄˙ = Σ ȳ˙."""
    weight, offset, inputs, seed = window.draw(dtype)
    moved_weight, _, moved, change = replace(window, seed=window.seed + 1).draw(dtype)
    op = forth(window, backend, weight, offset)
    state = op.solve(*(locked(backend, a) for a in inputs))
    tangent = op.pushforward(state, *(locked(backend, a) for a in moved), weight=locked(backend, moved_weight))
    cotangent = op.pullback_inputs(state, locked(backend, seed))
    got = op.pullback_tangent(state, cotangent, tangent, locked(backend, change))
    x, x_dot = (np.concatenate(a, axis=-1) for a in (inputs, moved))
    want = conv_adjoint(window, weight, change) + conv_adjoint(window, moved_weight, seed)
    size = sum(conv_adjoint(window, abs(w), abs(y)) for w, y in ((weight, change), (moved_weight, seed)))
    for k, (part, bound) in enumerate(zip(split(want, window.widths), split(size, window.widths), strict=True)):
        assert_close(f"input {k}", got.inputs[k], part, tolerance(dtype, bound), window)
    want = conv_weight(window, x, change) + conv_weight(window, x_dot, seed)
    size = conv_weight(window, abs(x), abs(change)) + conv_weight(window, abs(x_dot), abs(seed))
    assert_close("weight", got.parameters["weight"], want, tolerance(dtype, size), window)
    flat = change.reshape(math.prod(change.shape[:-1]), window.n_out)
    assert_close("bias", got.parameters["bias"], flat.sum(0), tolerance(dtype, np.abs(flat).sum(0)), window)
    assert {dtype_name(a) for a in (*got.inputs, *got.parameters.values())} == {dtype}


@given(window=conv_windows(), transposed=st.booleans(), data=st.data())
def test_the_pushforward_is_exact_by_the_complex_step(backend, window, transposed, data):
    """Im f(x + i h ẋ, W + i h Ẇ, b + i h ḃ)/h, each direction given or None."""
    h = 1e-20
    weight, offset, inputs, seed = window.draw()
    if transposed:
        offset, inputs = np.ones(window.n_in), [seed]
    make = back if transposed else forth
    op = make(window, backend, weight, offset)
    state = op.solve(*map(backend.from_host, inputs))
    rng = np.random.default_rng(window.seed)
    along = [normal(rng, x.shape) if data.draw(st.booleans()) else None for x in inputs]
    moved = {"weight": normal(rng, weight.shape), "bias": normal(rng, offset.shape)}
    moved = {name: d if data.draw(st.booleans()) else None for name, d in moved.items()}

    def lift(d):
        return None if d is None else backend.from_host(d)

    def step(x, d):
        return x + 1j * h * (np.zeros_like(x) if d is None else d)

    got = op.pushforward(state, *map(lift, along), **{name: lift(d) for name, d in moved.items()}).outputs[0]
    there = make(window, backend, step(weight, moved["weight"]), step(offset, moved["bias"]))
    want = to_host(there(*(backend.from_host(step(x, d)) for x, d in zip(inputs, along, strict=True)))).imag / h
    assert_close("ẏ", got, want, RELATIVE * (1 + np.abs(want).max(initial=0) * 10), window)


@given(window=conv_windows())
def test_the_three_maps_are_one_trilinear_form_in_integers(backend, window):
    """⟨W x, y⟩ = ⟨x, Wᵀ y⟩ = ⟨W, Q⟩, exactly."""
    rng = np.random.default_rng(window.seed)
    samples = math.prod(window.batch)
    shapes = ((*window.size, window.n_in // window.groups, window.n_out), (samples, *window.grid, window.n_in),
              (samples, *window.count(), window.n_out))  # fmt: skip
    weight, x, y = (rng.integers(-9, 10, shape) for shape in shapes)
    g = taps.Strided(window.size, window.stride, window.dilation, window.padding, window.groups)
    assert g.count(window.grid) == window.count()
    assert g.reached(window.count(), window.extra()) == window.grid
    w, a, b = map(backend.from_host, (weight, x, y))
    one = int(np.sum(to_host(strided.apply(g, w, a)) * y))
    assert one == int(np.sum(to_host(strided.adjoint(g, w, b, window.grid)) * x)), window
    assert one == int(np.sum(to_host(strided.weight_cotangent(g, a, b)) * weight)), window


@given(window=conv_windows(most=2), most=st.sampled_from([1, 7, 40]))
def test_nothing_depends_on_how_many_windows_are_copied_at_a_time(backend, window, most):
    """Samples and lines are taken a few at a time; in integers the sums are the same to the bit."""
    rng = np.random.default_rng(window.seed)
    g = taps.Strided(window.size, window.stride, window.dilation, window.padding, window.groups)
    shapes = ((*window.size, window.n_in // window.groups, window.n_out), (3, *window.grid, window.n_in),
              (3, *window.count(), window.n_out))  # fmt: skip
    w, x, y = (backend.from_host(rng.integers(-9, 10, shape)) for shape in shapes)

    def all_three():
        return strided.apply(g, w, x), strided.adjoint(g, w, y, window.grid), strided.weight_cotangent(g, x, y)

    whole = all_three()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taps, "_PART", {backend.name: most})
        parts = all_three()
    for name, a, b in zip(("apply", "adjoint", "weight"), parts, whole, strict=True):
        assert_equal(name, a, b, window)


@given(window=conv_windows(), most=st.integers(1, 400))
def test_no_more_windows_are_copied_at_a_time_than_the_memory_for_them(backend, window, most):
    """At most `most` entries, or one line; together they are all windows, each once."""
    g = taps.Strided(window.size, window.stride, window.dilation, window.padding, window.groups)
    x = backend.from_host(np.ones((3, *window.grid, window.n_in)))
    seen = np.zeros((3, *window.count()), int)
    line = math.prod(window.count()[1:]) * math.prod(window.size) * window.n_in
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taps, "_PART", {backend.name: most})
        for index, rows in taps.tap_matrices(x, g, tuple(-b for b, _ in window.padding), window.count()):
            assert math.prod(rows.shape) <= max(most, line)
            assert rows.shape[1] == seen[index].size
            seen[index] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("padding", [((2, 1),), ((0, 2), (1, 0)), ((1, 1), (0, 1), (2, 0))])
def test_at_stride_and_dilation_one_conv_is_the_convolution_of_a_machine(backend, padding):
    """The machine's block 1 reads block 0 at the same lags; so do the cotangents."""
    rng, axes = np.random.default_rng(0), len(padding)
    kernel = normal(rng, (*(b + a + 1 for b, a in padding), 2, 3))
    full = np.zeros((*kernel.shape[:-2], 5, 5))
    full[..., :2, 2:] = kernel
    machine = mk.ConvMachine((2, 3), "identity", padding=padding, weight=backend.from_host(full), bias=True)
    op = mk.Conv(2, 3, kernel.shape[:axes], padding=padding, weight=backend.from_host(kernel))
    x, seed = normal(rng, (2, *(5, 4, 3)[:axes], 2)), normal(rng, (2, *(5, 4, 3)[:axes], 3))
    y0 = np.concatenate([x, np.zeros((*x.shape[:-1], 3))], axis=-1)
    state, whole = op.solve(backend.from_host(x)), machine.solve(backend.from_host(y0))
    bound = tolerance("float64", 10 * np.abs(kernel).sum())
    assert_close("y", state.outputs[0], to_host(whole.z)[..., 2:], bound)
    ours = op.pullback(state, backend.from_host(seed))
    theirs = machine.pullback(whole, backend.from_host(np.concatenate([0 * x, seed], axis=-1)))
    assert_close("x", ours.inputs[0], to_host(theirs.y0)[..., :2], bound)
    assert_close("weight", ours.parameters["weight"], to_host(theirs.weight)[..., :2, 2:], 10 * bound)
    assert_close("bias", ours.parameters["bias"], to_host(theirs.bias)[2:], 10 * bound)
