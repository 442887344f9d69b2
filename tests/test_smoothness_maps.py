"""Norms of bi-affine maps, on real ops and where they are attained: dense layers, convolutions, adjoints, gains."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.smoothness.maps import convolution, linear, window_overlap
from machinekit.smoothness.ops import read_op

from .windowed import conv_windows


def unit(array):
    norm = np.linalg.norm(array)
    return array / norm if norm else array


def tensor_norm(op, shape, steps=60):
    """Return the norm of (w, z) ↦ y, by alternating over y, z and w from positive arrays.

    The tensor of a convolution is non-negative, so that the supremum is reached from there.
    """
    z, w, found = unit(np.ones(shape)), unit(np.ones_like(op.weight)), 0.0
    for _ in range(steps):
        for which in ("z", "w"):
            op = op.replace(weight=w)
            state = op.solve(z)
            found = np.linalg.norm(state.outputs[0])
            cotangent = op.pullback(state, unit(state.outputs[0]))
            if which == "z":
                z = unit(cotangent.inputs[0])
            else:
                w = unit(cotangent.parameters["weight"])
    return found


def single(reading):
    """Return the one map, or the one piece, of a reading."""
    (stage,) = reading.stages
    return stage.pieces[0] if stage.pieces else stage.parts[0].map


@pytest.mark.parametrize(("k", "s", "e", "c"), [(3, 1, 1, 3), (3, 2, 1, 2), (3, 3, 1, 1), (5, 2, 1, 3), (3, 2, 2, 3)])
def test_window_overlap(k, s, e, c):
    assert window_overlap(k, s, e, 100) == c
    op = mk.Conv(1, 1, (k,), stride=s, dilation=e, padding=(k - 1) * e // 2, bias=False)
    found, bound = tensor_norm(op, (1, 20, 1), 300) ** 2, single(read_op(op, [(20, 1)], 1)).bilinear ** 2
    assert found <= bound * (1 + 1e-12)
    assert bound <= found + 0.3


@given(k=st.integers(1, 6), s=st.integers(1, 6), e=st.integers(1, 6), n=st.integers(0, 40))
def test_window_overlap_counts_the_windows_that_read_an_entry(k, s, e, n):
    met = [s * p + e * a for p in range(n) for a in range(k)]
    most = max((met.count(i) for i in met), default=0)
    assert most <= window_overlap(k, s, e, n)
    if n >= k * e:
        assert most == window_overlap(k, s, e, n)


@given(window=conv_windows(most=2))
def test_no_convolution_exceeds_its_norm_and_the_adjoint_has_the_same(window):
    """L_b is that of the trilinear form ⟨y, W z⟩, which does not know which of the two maps is the forward one."""
    weight, *_ = window.draw()
    op = mk.Conv(window.n_in, window.n_out, window.size, weight=weight, bias=False, **window.options())
    turned = mk.ConvTranspose(
        window.n_out, window.n_in, window.size, extra=window.extra(), weight=weight, bias=False, **window.options()
    )
    there = read_op(op, [(*window.grid, window.n_in)], 3)
    again = read_op(turned, [(*window.count(), window.n_out)], 3)
    assert there.shape == (*window.count(), window.n_out)
    assert again.shape == (*window.grid, window.n_in)
    assert single(there).bilinear == single(again).bilinear
    slack = 1 + 1e-12
    assert tensor_norm(op, (3, *window.grid, window.n_in), 20) <= single(there).bilinear * slack
    assert tensor_norm(turned, (3, *window.count(), window.n_out), 20) <= single(there).bilinear * slack


def test_an_entry_alone_is_not_read_more_often_than_it_is_there():
    """One entry, three windows that reach it: y_p = w_{2−p} z has norm ‖w‖ |z|, not √3 of it."""
    op = mk.Conv(1, 1, (3,), padding=2, bias=False)
    assert single(read_op(op, [(1, 1)], 1)).bilinear == 1.0
    assert convolution((3,), (1,), 3, 1).bilinear == 1.0


def test_long_convolutions_attain_their_norm_in_the_limit():
    for size, stride, want in [((3, 3), 1, 3.0), ((4, 4), 2, 2.0)]:
        op = mk.Conv(2, 3, size, stride=stride, padding=1, bias=False)
        bound = single(read_op(op, [(40, 40, 2)], 1)).bilinear
        assert bound == pytest.approx(want, rel=1e-14)
        assert tensor_norm(op, (1, 40, 40, 2)) > 0.97 * bound


def test_constants_of_a_convolution_to_the_digits():
    op = mk.Conv(3, 4, 3, padding=1)
    b = single(read_op(op, [(8, 8, 3)], 2))
    np.testing.assert_allclose((b.bilinear, b.bias), (3.0, 11.3137085), rtol=1e-8)
    assert b.disjoint
    assert b.linear == b.constant == 0.0
    np.testing.assert_allclose(single(read_op(mk.AvgPool(2), [(8, 8, 4)], 2)).lipschitz, 0.5, rtol=1e-15)


def bias_norm(op, *inputs):
    state = op.solve(*inputs)
    direction = np.zeros(op.bias.shape)
    direction.flat[0] = 1.0
    return np.linalg.norm(op.pushforward(state, bias=direction).outputs[0])


def test_the_bias_of_a_one_by_one_convolution_counts_every_position():
    """Printed as 1; the true constant of one filter on 5 × 5 positions is 5."""
    op = mk.Conv(1, 1, 1)
    assert single(read_op(op, [(5, 5, 1)], 1)).bias == bias_norm(op, np.zeros((1, 5, 5, 1))) == 5.0


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (mk.Affine(3, 2), (3,)), (mk.Affine(3, 2), (4, 5, 3)), (mk.Conv(2, 3, (3,), stride=2, padding=1), (9, 2)),
        (mk.ConvTranspose(2, 3, (3,), stride=2, padding=1), (9, 2)), (mk.Conv(2, 3, (2,)), (6, 9, 2)),
        (mk.BatchNorm(3), (4, 3)), (mk.LayerNorm((4, 3)), (5, 4, 3)), (mk.BatchNorm(3, scale=False), (3,)),
    ],
)  # fmt: skip
def test_the_bias_of_every_op_attains_its_norm(op, shape):
    batch = 6
    x = np.random.default_rng(0).standard_normal((batch, *shape))
    reading = read_op(op, [shape], batch)
    (part,) = reading.stages[-1].parts
    np.testing.assert_allclose(part.map.bias, bias_norm(op, x), rtol=1e-14)
    assert part.parameters == tuple(op.parameters())
    assert reading.shape == op(x).shape[1:]
    bare = type(op)._with(op, {})
    bare.__dict__.update(bias=None, _parameters={k: v for k, v in op._parameters.items() if k != "bias"})
    assert all(p.map.bias == 0.0 for s in read_op(bare, [shape], batch).stages for p in s.parts)


def test_dense_layers_and_gains_attain_their_norms():
    b = single(read_op(mk.Affine(3, 2), [(3,)], 5))
    z, weight = np.outer(np.ones(5), [1.0, 2.0, 2.0]), np.outer([1.0, 2.0, 2.0], [3.0, 4.0])
    np.testing.assert_allclose(np.linalg.norm(z @ weight), b.bilinear * np.linalg.norm(z) * np.linalg.norm(weight))
    gain = read_op(mk.LayerNorm(3), [(3,)], 5).stages[1].parts[0].map
    n, scale = np.zeros((5, 3)), np.array([0.0, 2.0, 0.0])
    n[:, 1] = 3.0
    assert np.linalg.norm(n * scale) == gain.bilinear * np.linalg.norm(n) * np.linalg.norm(scale)
    assert read_op(mk.BatchNorm(3, scale=False), [(3,)], 5).stages[1].parts[0].map.linear == 1.0
    assert len(read_op(mk.BatchNorm(3, scale=False, bias=False), [(3,)], 5).stages) == 1


def test_fixed_maps_are_given_by_norms():
    assert (linear(2.0, 3.0).linear, linear(2.0, 3.0).constant, linear(2.0).bilinear) == (2.0, 3.0, 0.0)
    with pytest.raises(ValueError, match="norm is -1"):
        linear(-1.0)
