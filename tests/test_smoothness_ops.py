"""What ops are to the recursions: pools, normalisations, selections, sums, and ops of one's own."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.smoothness.maps import IDENTITY, pooling_norm, window_overlap
from machinekit.smoothness.ops import read_op
from machinekit.smoothness.pieces import log_sum_exp_pooling, max_pooling
from machinekit.smoothness.stages import Part, Reading, Stage
from machinekit.smoothness.structure import BiAffine

from .windowed import back, conv_windows, forth, pool_windows


def single(reading):
    """Return the one map, or the one piece, of a reading."""
    (stage,) = reading.stages
    return stage.pieces[0] if stage.pieces else stage.parts[0].map


def matrix(op, shape):
    """Return the matrix of a linear op on one sample."""
    entries = math.prod(shape)
    return op(np.eye(entries).reshape(entries, *shape)).reshape(entries, -1).T


@given(window=pool_windows(most=2), count_padding=st.booleans())
def test_average_pooling_has_exactly_its_norm(window, count_padding):
    op = mk.AvgPool(window.size, stride=window.stride, padding=window.padding, count_padding=count_padding)
    piece = single(read_op(op, [(*window.grid, 1)], 2))
    np.testing.assert_allclose(piece.lipschitz, np.linalg.norm(matrix(op, (*window.grid, 1)), 2), rtol=1e-12)
    assert piece.smoothness == piece.value == 0.0
    if not any(map(sum, window.padding)):
        c = [window_overlap(k, s, 1, n) for k, s, n in zip(window.size, window.stride, window.count(), strict=True)]
        assert piece.lipschitz <= math.sqrt(math.prod(c) / math.prod(window.size)) * (1 + 1e-12)


def test_pools_over_long_lines_are_bounded_without_singular_values():
    for n, k, s in [(1200, 3, 1), (1300, 5, 2)]:
        bound = pooling_norm((n,), (k,), (s,), ((0, 0),))
        exact = np.linalg.norm(matrix(mk.AvgPool((k,), stride=s), (n, 1)), 2)
        assert exact <= bound <= 1.1 * exact
    assert pooling_norm((0,), (2,), (2,), ((1, 1),)) == 0.0


@given(window=pool_windows(most=2))
def test_max_pooling_repeats_an_entry_as_often_as_windows_overlap(window):
    op = mk.MaxPool(window.size, stride=window.stride, padding=window.padding)
    piece = single(read_op(op, [(*window.grid, 1)], 2))
    spikes = matrix(op, (*window.grid, 1)) > 0  # each entry alone, the others 0
    if math.prod(window.size) > 1:
        assert math.sqrt(spikes.sum(axis=0).max()) <= piece.lipschitz
    rng = np.random.default_rng(window.seed)
    x, d = (rng.standard_normal((2, *window.grid, 1)) for _ in range(2))
    assert np.linalg.norm(op(x + d) - op(x)) <= piece.lipschitz * np.linalg.norm(d) * (1 + 1e-12)
    assert math.isinf(piece.smoothness)
    assert math.isinf(piece.slope)


def test_max_pooling_of_overlapping_windows_is_not_one_lipschitz():
    spike = np.zeros((1, 5, 5, 1))
    spike[0, 2, 2] = 1.0
    op = mk.MaxPool(3, stride=1)
    assert np.linalg.norm(op(spike)) == single(read_op(op, [(5, 5, 1)], 1)).lipschitz == 3.0
    assert max_pooling(1).lipschitz == single(read_op(mk.MaxPool(2), [(4, 4, 1)], 1)).lipschitz == 1.0


def test_log_sum_exp_pooling_attains_its_constants():
    """Disjoint windows: l by one large entry; L by two equal entries moved against each other; g by equal entries."""
    tau, k = 3.0, 4
    piece = log_sum_exp_pooling(1, k, 5, sharpness=tau)
    value = lambda x: np.logaddexp.reduce(tau * x, axis=-1) / tau  # noqa: E731
    u, h = np.zeros(k), 1e-4
    u[:2] = np.array([1, -1]) / math.sqrt(2)
    x = np.array([0.0, 0.0, -50, -50])
    np.testing.assert_allclose((value(x + h * u) - 2 * value(x) + value(x - h * u)) / h**2, piece.smoothness, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm([value(np.zeros(k))] * 5), piece.value, rtol=1e-14)
    ones = np.ones(k) / 2
    np.testing.assert_allclose((value(h * ones) - value(-h * ones)) / (2 * h), piece.slope, rtol=1e-8)
    assert piece.lipschitz == 1.0
    assert log_sum_exp_pooling(4, 9, 5).lipschitz == 2.0


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (mk.Upsample((2,)), (5, 1)), (mk.Upsample((3, 2)), (1, 4, 2)), (mk.Upsample((2,), method="linear"), (5, 1)),
        (mk.Upsample((3, 4), method="linear"), (2, 3, 1)), (mk.Select(slice(1, 3)), (2, 4)), (mk.Embed(5, 1), (2, 3)),
        (mk.Select([slice(0, 2), slice(1, 3), slice(-3, 2)]), (4,)), (mk.Select([0, -1, 0], sizes=(2, 1)), (3,)),
        (mk.Reshape((2, 3), 6), (2, 3)),
        (mk.BatchNorm(3, epsilon=0.5, scale=False, bias=False, mean=np.ones(3), variance=np.arange(1.0, 4.0)), (2, 3)),
    ],
)  # fmt: skip
def test_fixed_linear_ops_have_exactly_their_norms(op, shape):
    reading = read_op(op, [shape], 1)
    entries = math.prod(shape)
    at_zero = op(np.zeros((1, *shape)))
    steps = op(np.eye(entries).reshape(entries, *shape)) - at_zero
    piece = single(reading)
    np.testing.assert_allclose(piece.lipschitz, np.linalg.norm(steps.reshape(entries, -1), 2), rtol=1e-13)
    np.testing.assert_allclose(piece.value, np.linalg.norm(at_zero), rtol=1e-14)
    assert reading.stages[0].only_pieces
    assert reading.shape == at_zero.shape[1:]
    assert piece.smoothness == 0.0


def test_fixed_statistics_of_both_forms(backend):
    mean, variance = (backend.from_host(np.array(a)) for a in ([1.0, -2.0], [1.0, 4.0]))
    for form, divisor in [("sqrt", np.sqrt([1.5, 4.5])), ("eps+sigma", np.array([1.5, 2.5]))]:
        op = mk.BatchNorm(2, form=form, epsilon=0.5, mean=mean, variance=variance, backend=backend.name)
        first, second = read_op(op, [(5, 2)], 3).stages
        (piece,) = first.pieces
        np.testing.assert_allclose(piece.lipschitz, (1 / divisor).max(), rtol=1e-14)
        zero = op.replace(bias=backend.zeros((2,), mean.dtype))(backend.zeros((3, 5, 2), mean.dtype))
        np.testing.assert_allclose(piece.value, np.linalg.norm(to_host(zero)), rtol=1e-14)
        assert second.parts[0].parameters == ("scale", "bias")


def test_normalisations_count_groups_and_entries():
    shape, batch = (4, 5, 3), 6
    of_batch = read_op(mk.BatchNorm(3, epsilon=0.25), [shape], batch).stages[0].pieces[0]
    of_layer = read_op(mk.LayerNorm((5, 3), epsilon=0.25), [shape], batch).stages[0].pieces[0]
    x = 1e9 * np.random.default_rng(0).standard_normal((batch, *shape))
    for piece, op in [(of_batch, mk.BatchNorm(3, epsilon=0.25)), (of_layer, mk.LayerNorm((5, 3), epsilon=0.25))]:
        np.testing.assert_allclose(np.linalg.norm(op(x)), piece.size, rtol=1e-12)
        assert piece.lipschitz == 2.0
    np.testing.assert_allclose(of_layer.smoothness / of_batch.smoothness, math.sqrt(6 * 4 * 5 / 15), rtol=1e-12)


def test_sums_concatenations_and_norms():
    added = read_op(mk.Add(), [(3,), (3,), (3,)], 2).stages[0]
    assert added.parts == tuple(Part(IDENTITY, (k,)) for k in range(3))
    assert not added.only_pieces
    joined = read_op(mk.Concatenate(), [(3,), (4,)], 2)
    assert joined.stages[0].parts[0].inputs == (0, 1)
    assert joined.shape == (7,)
    assert joined.stages[0].parts[0].map.linear == 1.0
    several = read_op(mk.Affine(7, 2), [(3,), (4,)], 2).stages[0].parts[0]
    assert several.inputs == (0, 1)
    assert several.parameters == ("weight", "bias")
    norm = read_op(mk.Norm(), [(5, 3)], 2)
    assert single(norm).lipschitz == 1.0
    assert math.isinf(single(norm).smoothness)
    assert norm.shape == (5, 1)


def test_pointwise_and_softmax_count_coordinates():
    piece = single(read_op(mk.Pointwise("sigmoid"), [(4, 2)], 8))
    assert (piece.size, piece.value, piece.name) == (8.0, 4.0, "sigmoid")
    piece = single(read_op(mk.Softmax(axis=-2), [(5, 4, 9)], 5))
    np.testing.assert_allclose((piece.size, piece.slope), (15.0, 0.25), rtol=1e-15)
    cube = mk.Pointwise(mk.Activation(lambda y: y**3, name="cube"))
    with pytest.raises(ValueError, match="'cube' is your own"):
        read_op(cube, [(4, 2)], 8)


@given(window=conv_windows(most=2))
def test_readings_do_not_depend_on_the_library(backend, window):
    weight, bias, *_ = window.draw()
    shapes = [(*window.grid, w) for w in window.widths]
    got = read_op(forth(window, backend, weight, bias), shapes, 4)
    want = read_op(
        mk.Conv(window.n_in, window.n_out, window.size, weight=weight, bias=bias, **window.options()), shapes, 4
    )
    assert got == want
    assert got.stages[0].parts[0].inputs == tuple(range(len(window.widths)))
    assert single(read_op(back(window, backend, weight), [(*window.count(), window.n_out)], 4)).bias == 0.0


def test_an_op_of_ones_own_joins_the_table_by_its_class():
    class Twice:
        def __call__(self, x):
            return 2.0 * x

    class Thrice(Twice):
        pass

    with pytest.raises(TypeError, match=r"read_op.register"):
        read_op(Twice(), [(3,)], 2)

    @read_op.register
    def _(op: Twice, shapes, batch, constants=None):
        return Reading((Stage((Part(BiAffine(linear=2.0)),)),), shapes[0])

    assert single(read_op(Thrice(), [(3,)], 2)).linear == 2.0


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (mk.Affine(3, 2), [(4,)], "4"), (mk.Conv(1, 1, 3), [(2, 2, 1)], "too short"),
        (mk.Conv(1, 1, 3), [(9, 1)], "grid axes"), (mk.AvgPool(2), [(9, 1)], "grid axes"),
        (mk.Softmax(axis=-3), [(2, 2)], "couple samples"), (mk.Concatenate(-2), [(2,), (2,)], "couple samples"),
        (mk.Add(), [(2,), (3,)], "one shape"), (mk.Select(slice(0, 5)), [(3,)], "too few"),
        (mk.Affine(3, 2), [], "at least one"), (mk.BatchNorm(3), [(4,)], "4"),
    ],
)  # fmt: skip
def test_inputs_that_an_op_does_not_take_are_refused(op, shapes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read_op(op, shapes, 2)
    with pytest.raises(ValueError, match="batch is -1"):
        read_op(mk.Affine(3, 2), [(3,)], -1)
