"""Conv and ConvTranspose as ops: memory, drawing, moving, saving, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import dtype_name, to_host
from machinekit.saving import load, save

from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked, tolerance
from .saved import bits
from .strategies import DTYPES
from .windowed import Window, back, forth, split

FIXED = Window((2, 3), (2, 1), (1, 2), ((1, 0), (0, 3)), (5, 6), (2,), 2, (2, 2), 4, 0)


@pytest.mark.parametrize("make", [forth, back])
@pytest.mark.parametrize("widths", [(4,), (1, 3)])
def test_results_share_memory_with_nothing_and_inputs_are_kept(backend, make, widths):
    weight, _, inputs, seed = FIXED.draw()
    x = seed if make is back else np.concatenate(inputs, axis=-1)
    op = make(FIXED, backend, weight, np.ones(4))
    moved = [locked(backend, np.ascontiguousarray(a)) for a in split(x, widths)]
    first, second = op.solve(*moved), op.solve(*moved)
    seed = locked(backend, np.ones(first.outputs[0].shape))
    arrays = {"y": first.outputs[0], "later y": second.outputs[0], "seed": seed}
    for name in ("first", "second"):
        c = op.pullback(first, seed)
        arrays.update({f"{name} input {k}": a for k, a in enumerate(c.inputs)})
        arrays.update({f"{name} {key}": a for key, a in c.parameters.items()})
    arrays["ẏ"] = op.pushforward(first, *moved).outputs[0]
    arrays.update({f"input {k}": a for k, a in enumerate(moved)}, **op.parameters())
    assert_no_shared_memory(arrays)


def test_a_kernel_of_one_entry_and_a_stride_beyond_it_leave_holes_of_bias(backend):
    """Where no kernel entry reaches, the adjoint is zero."""
    op = mk.ConvTranspose(1, 1, (1,), stride=3, extra=2, weight=backend.from_host(np.full((1, 1, 1), 2.0)),
                          bias=backend.from_host(np.ones(1)))  # fmt: skip
    x = backend.from_host(np.array([[1.0], [4.0]]))
    assert_equal("y", op(x), np.array([3.0, 1.0, 1.0, 9.0, 1.0, 1.0])[:, None])


def test_complex_in_one_place_makes_the_result_complex(backend):
    one = backend.from_host(np.ones((2, 1, 1), "float32"))
    x = backend.from_host(np.ones((3, 1), "float32"))
    for op, at in (
        (mk.Conv(1, 1, (2,), weight=one, bias=backend.from_host(np.full(1, 1j, "complex64"))), x),
        (mk.Conv(1, 1, (2,), weight=backend.from_host(np.full((2, 1, 1), 1j, "complex64"))), x),
        (mk.ConvTranspose(1, 1, (2,), weight=one), backend.from_host(np.full((3, 1), 1j, "complex64"))),
    ):
        assert dtype_name(op(at)) == "complex64"


def test_none_is_a_zero_direction_and_a_zero_seed(backend):
    op = forth(FIXED, backend, FIXED.draw()[0], np.ones(4))
    state = op.solve(*map(backend.from_host, FIXED.draw()[2]))
    zero = np.zeros(state.outputs[0].shape)
    assert_equal("nothing", op.pushforward(state, None, None, weight=None, bias=None).outputs[0], zero)
    assert_equal("no arguments", op.pushforward(state).outputs[0], zero)
    for cotangent in (op.pullback(state), op.pullback(state, None)):
        for array in (*cotangent.inputs, *cotangent.parameters.values()):
            assert_equal("cotangent of nothing", array, np.zeros(array.shape))


def test_weights_are_drawn_in_c_order_with_the_variance_of_their_fan_in(backend, spec):
    """N(0, 1/fan-in) in float64 on the host, then cast and moved."""
    host = np.random.default_rng(5).standard_normal((3, 2, 2, 4))
    for dtype in DTYPES:
        op = mk.Conv(4, 4, (3, 2), groups=2, rng=5, dtype=dtype, backend=spec)
        assert_equal("weight", op.weight, (host / np.sqrt(12)).astype(dtype))
        assert_equal("bias", op.bias, np.zeros(4, dtype))
        there = mk.ConvTranspose(4, 4, (3, 2), groups=2, stride=(2, 1), rng=5, dtype=dtype, backend=spec)
        bound = tolerance(dtype, np.abs(host))
        assert_close("weight", there.weight, host / np.sqrt(6), bound)
    x = backend.from_host(np.random.default_rng(0).standard_normal((50, 40, 9)))
    for op in (mk.Conv(9, 30, (4,), stride=2, rng=0, backend=spec),
               mk.ConvTranspose(9, 30, (4,), stride=2, rng=0, backend=spec)):  # fmt: skip
        assert abs(np.std(to_host(op(x))[:, 3:-3]) - 1) < 0.1


@pytest.mark.parametrize("make", [forth, back])
@pytest.mark.parametrize("bias", [True, False])
def test_astype_to_replace_save_and_load_keep_all_options(backend, spec, tmp_path, make, bias):
    op = make(FIXED, backend, FIXED.draw()[0], np.ones(4) if bias else False)
    x = [np.ones((2, 4, 5, 4))] if make is back else FIXED.draw()[2]
    want = to_host(op(*map(backend.from_host, x)))
    for dtype in DTYPES:
        cast = op.astype(dtype).to("numpy")
        got = cast(*(a.astype(dtype) for a in x))
        assert dtype_name(got) == dtype
        assert_close("y", got, want, tolerance(dtype, 100.0))
    none = op.replace(weight=op.weight * 0)
    assert_equal("the bias alone", none(*map(backend.from_host, x)), np.full(want.shape, float(bias)))
    assert none.geometry == op.geometry
    save(tmp_path / "op", op)
    again = load(tmp_path / "op", backend=spec)
    assert type(again) is type(op)
    assert repr(again) == repr(op)
    assert {n: bits(to_host(a)) for n, a in again.parameters().items()} == {
        n: bits(to_host(a)) for n, a in op.parameters().items()
    }
    assert_equal("y", again(*map(backend.from_host, x)), want)


def test_arguments_tell_the_number_of_axes(backend):
    """Sequences do; where all are integers, `axes` does, 2 by default."""
    assert mk.Conv(1, 1, 3).kernel_size == (3, 3)
    assert mk.Conv(1, 1, 3, axes=1).kernel_size == (3,)
    assert mk.Conv(1, 1, 3, padding=((1, 2),)).geometry.padding == ((1, 2),)
    assert mk.Conv(1, 1, 3, padding=(1, 2)).geometry.padding == ((1, 1), (2, 2))
    assert mk.Conv(1, 1, 3, padding=(1, (2, 0), 0), stride=2).stride == (2, 2, 2)
    assert mk.ConvTranspose(1, 1, 3, stride=2, extra=(1,)).kernel_size == (3,)


def ones(backend, *shape, dtype="float64"):
    return backend.from_host(np.ones(shape, dtype))


REFUSED = {
    "groups that do not divide": (
        lambda b, op, s: mk.Conv(3, 4, 3, groups=2), ValueError, "groups is 2 but n_in is 3 and n_out is 4; pass a d"),
    "a kernel of no entry": (lambda b, op, s: mk.Conv(1, 1, (3, 0)), ValueError, r"kernel_size\[1\] is 0; pass at l"),
    "a fraction": (lambda b, op, s: mk.Conv(1, 1, 2.5), TypeError, "kernel_size is 2.5; pass an integer"),
    "a stride of zero": (lambda b, op, s: mk.Conv(1, 1, 3, stride=0), ValueError, "stride is 0; pass at least 1"),
    "a dilation of zero": (lambda b, op, s: mk.Conv(1, 1, 3, dilation=(1, 0)), ValueError, r"dilation\[1\] is 0"),
    "negative padding": (lambda b, op, s: mk.Conv(1, 1, 3, padding=-1), ValueError, "padding is -1|padding.0. is -1"),
    "a triple of padding": (
        lambda b, op, s: mk.Conv(1, 1, (3,), padding=((1, 1, 1),)), ValueError, r"padding\[0\] is \(1, 1, 1\); pass a"),
    "axes that disagree": (
        lambda b, op, s: mk.Conv(1, 1, (3, 3), stride=(1,)), ValueError,
        r"kernel_size is \(3, 3\) but stride is \(1,\); give each one entry per grid axis"),
    "axes that disagree with the number": (
        lambda b, op, s: mk.Conv(1, 1, (3, 3), axes=1), ValueError, r"axes is 1 but kernel_size is \(3, 3\)"),
    "no axes": (lambda b, op, s: mk.Conv(1, 1, ()), ValueError, "kernel_size is empty"),
    "extra as long as the stride": (
        lambda b, op, s: mk.ConvTranspose(1, 1, (3, 3), stride=2, extra=(0, 2)), ValueError,
        r"extra is \(0, 2\) but stride is \(2, 2\); pass less than the stride"),
    "a weight of another shape": (
        lambda b, op, s: mk.Conv(4, 2, (3,), groups=2, weight=ones(b, 3, 4, 2)), ValueError,
        r"weight has shape \(3, 4, 2\); pass \(3, 2, 2\)"),
    "a weight of the other order": (
        lambda b, op, s: mk.ConvTranspose(4, 2, (3,), weight=ones(b, 3, 4, 2)), ValueError, r"pass \(3, 2, 4\)"),
    "a bias of another shape": (
        lambda b, op, s: mk.ConvTranspose(3, 2, (1,), bias=ones(b, 3)), ValueError, r"bias has shape \(3,\); pass \(2"),
    "another dtype than the weight's": (
        lambda b, op, s: mk.Conv(1, 1, (1,), weight=ones(b, 1, 1, 1), dtype="float32"), TypeError, "dtype='float32' b"),
    "a grid too short": (
        lambda b, op, s: op.solve(ones(b, 1, 5, 4)), ValueError,
        r"the grid \(1, 5\) .* too short: Conv reads windows over \(3, 3\) .* has \(1, 8\) with padding .*; pad more"),
    "too few axes": (lambda b, op, s: op.solve(ones(b, 5, 4)), ValueError, r"shape \(5, 4\) but this Conv reads 2"),
    "an empty grid": (
        lambda b, op, s: mk.ConvTranspose(1, 1, (3,), weight=ones(b, 3, 1, 1)).solve(ones(b, 0, 1)), ValueError,
        r"the grid \(0,\) of inputs\[0\] gives the grid"),
    "padding that leaves nothing": (
        lambda b, op, s: mk.ConvTranspose(1, 1, (3,), padding=2, weight=ones(b, 3, 1, 1)).solve(ones(b, 1, 1)),
        ValueError, r"gives the grid \(-1,\); pass at least one position per axis, or pad less than"),
    "too few channels": (lambda b, op, s: op.solve(ones(b, 5, 5, 2)), ValueError, "inputs have 2 channels but n_in"),
    "too many inputs": (lambda b, op, s: op.solve(*[ones(b, 5, 5, 4)] * 2), ValueError, r"inputs have 4 \+ 4 channels"),
    "grids that disagree": (
        lambda b, op, s: op.solve(ones(b, 5, 5, 2), ones(b, 5, 4, 2)), ValueError, "all axes but the last must agree"),
    "no input": (lambda b, op, s: op.solve(), TypeError, "Conv takes at least one array"),
    "a list": (lambda b, op, s: op.solve([1.0]), TypeError, r"inputs\[0\] is a list, not an array"),
    "single precision": (lambda b, op, s: op.solve(ones(b, 5, 5, 4, dtype="float32")), TypeError, "single precision"),
    "integers": (lambda b, op, s: op.solve(ones(b, 5, 5, 4, dtype="int64")), TypeError, "dtype int64"),
    "a seed of another shape": (lambda b, op, s: op.pullback(s, ones(b, 5, 5, 4)), ValueError, "a seed has the o"),
    "a direction of another shape": (
        lambda b, op, s: op.pushforward(s, ones(b, 5, 5, 3)), ValueError, "a direction has the input's"),
    "an unknown parameter": (lambda b, op, s: op.pushforward(s, gain=ones(b, 2)), TypeError, "'gain' is no parameter"),
    "a change": (lambda b, op, s: setattr(op, "stride", (1, 1)), AttributeError, "an op does not change"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_with_the_values_and_the_remedy(backend, what):
    op = mk.Conv(4, 2, 3, padding=((0, 0), (1, 2)), weight=ones(backend, 3, 3, 4, 2))
    call, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        call(backend, op, op.solve(ones(backend, 2, 5, 5, 4)))
