"""Reshape, Add, Concatenate, Select and Embed move entries, and their transposes move them back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_close, assert_equal, locked, tolerance
from .leaf_laws import check_leaf, kinds, normal
from .strategies import DTYPES, batches, mostly, seeds

extents = mostly(st.integers(1, 3), st.just(0))
RESHAPES = [((), ()), ((), (1, 1)), ((6,), (2, 3)), ((2, 3), (3, 2)), ((1,), ()), ((0, 2), (5, 0)), ((2, 1, 2), (4,))]


@given(lead=batches(), shapes=st.sampled_from(RESHAPES), turned=st.booleans(), dtype=st.sampled_from(DTYPES),
       seed=seeds())  # fmt: skip
def test_reshape_keeps_the_entries_of_a_sample_in_c_order(backend, lead, shapes, turned, dtype, seed):
    """Any batch axes lead; transposed memory makes no difference."""
    before, after = reversed(shapes) if turned else shapes
    rng = np.random.default_rng(seed)
    op = mk.Reshape(before, after)
    check_leaf(op, backend, [normal(rng, (*lead, *before))], seed)
    x, seed_y = normal(rng, (*lead, *before), dtype), normal(rng, (*lead, *after), dtype)
    state = op.solve(locked(backend, x))
    for at in itertools.product(*map(range, lead)):
        assert_equal("y", state.outputs[0][(*at, ...)], np.array(x[at].ravel().tolist(), dtype).reshape(after))
    assert_equal("x̄", op.pullback(state, locked(backend, seed_y)).inputs[0], seed_y.reshape(x.shape))
    assert kinds(op, backend, [x], seed_y) == {dtype}


@pytest.mark.parametrize("order", ["C", "F"])
def test_reshape_reads_no_memory_order(order):
    x = np.asarray(np.arange(12.0).reshape(2, 2, 3), order=order)
    assert_equal("y", mk.Reshape((2, 3), 6)(x), np.arange(12.0).reshape(2, 6))


@given(lead=batches(), n=extents, count=st.integers(1, 4), dtype=st.sampled_from(DTYPES), seed=seeds())
def test_add_is_the_sum_and_gives_every_input_the_seed(backend, lead, n, count, dtype, seed):
    """All verbs; one input is copied; the same array may be given twice; arrays without axes too."""
    rng, op = np.random.default_rng(seed), mk.Add()
    shape = (*lead, n) if n else lead
    check_leaf(op, backend, [normal(rng, shape) for _ in range(count)], seed)
    xs, seed_y = [normal(rng, shape, dtype) for _ in range(count)], normal(rng, shape, dtype)
    moved = [locked(backend, x) for x in xs]
    state = op.solve(*moved, moved[0])
    want = sum(x.astype(complex) for x in (*xs, xs[0]))
    assert_close("y", state.outputs[0], want, tolerance(dtype, sum(map(np.abs, xs)) + np.abs(xs[0])))
    cotangent = op.pullback(state, locked(backend, seed_y))
    assert len(cotangent.inputs) == count + 1
    for back in cotangent.inputs:
        assert_equal("x̄", back, seed_y)
    assert kinds(op, backend, xs, seed_y) == {dtype}


@given(lead=batches(), widths=st.lists(extents, min_size=1, max_size=3), axis=st.integers(-3, -1),
       dtype=st.sampled_from(DTYPES), seed=seeds())  # fmt: skip
def test_concatenate_puts_arrays_one_behind_the_other(backend, lead, widths, axis, dtype, seed):
    rng, op = np.random.default_rng(seed), mk.Concatenate(axis)
    rest = (*lead, 2, 1, 2)

    def shape(width):
        return (*rest[:axis], width, *rest[len(rest) + axis + 1 :])

    check_leaf(op, backend, [normal(rng, shape(w)) for w in widths], seed)
    xs, seed_y = [normal(rng, shape(w), dtype) for w in widths], normal(rng, shape(sum(widths)), dtype)
    state = op.solve(*(locked(backend, x) for x in xs))
    cotangent = op.pullback(state, locked(backend, seed_y))
    y, place = np.moveaxis(to_host(state.outputs[0]), axis, 0), 0
    for x, back in zip(xs, cotangent.inputs, strict=True):
        for line, got in zip(np.moveaxis(x, axis, 0), np.moveaxis(to_host(back), axis, 0), strict=True):
            assert_equal("y", y[place], line)
            assert_equal("x̄", got, np.moveaxis(seed_y, axis, 0)[place])
            place += 1
    assert place == len(y)
    assert kinds(op, backend, xs, seed_y) == {dtype}


def test_real_and_complex_inputs_make_a_complex_output(backend):
    """Inputs agree in precision, not in kind: the complex step of one input needs it."""
    x, z = backend.from_host(np.ones(2)), backend.from_host(np.full(2, 1j))
    assert_equal("sum", mk.Add()(x, z, x), np.full(2, 2 + 1j))
    assert_equal("concatenation", mk.Concatenate()(x, z), np.array([1, 1, 1j, 1j]))


@st.composite
def selections(draw):
    """Return blocks, sizes or None, and the list of the channels that they mean, out of how many."""
    if draw(st.booleans()):
        sizes = draw(st.lists(extents, min_size=1, max_size=4))
        blocks = draw(st.lists(st.integers(-len(sizes), len(sizes) - 1), max_size=4))
        edges = np.cumsum([0, *sizes]).tolist()
        meant = [c for b in blocks for c in range(edges[b % len(sizes)], edges[b % len(sizes) + 1])]
        return blocks[0] if len(blocks) == 1 and draw(st.booleans()) else blocks, sizes, meant, edges[-1]
    n = draw(extents)
    bounds = st.none() | st.integers(-n, n)
    pairs = draw(st.lists(st.tuples(bounds, bounds), max_size=3))
    pairs = [p for p in pairs if slice(*p).indices(n)[0] <= slice(*p).indices(n)[1]]
    slices = [slice(*p) if draw(st.booleans()) else p for p in pairs]
    meant = [c for p in pairs for c in range(n)[slice(*p)]]
    return slice(*pairs[0]) if len(pairs) == 1 else slices, None, meant, n


@given(lead=batches(), selection=selections(), dtype=st.sampled_from(DTYPES), seed=seeds())
def test_select_takes_the_channels_that_are_named_in_that_order(backend, lead, selection, dtype, seed):
    """Slices, block numbers, negative ones, the same twice, none at all; the cotangents of repeats add."""
    blocks, sizes, meant, n = selection
    rng, op = np.random.default_rng(seed), mk.Select(blocks, sizes=sizes)
    check_leaf(op, backend, [normal(rng, (*lead, n))], seed)
    x, seed_y = normal(rng, (*lead, n), dtype), normal(rng, (*lead, len(meant)), dtype)
    state = op.solve(locked(backend, x))
    y, back = to_host(state.outputs[0]), np.zeros_like(x)
    assert y.shape == seed_y.shape
    for place, channel in enumerate(meant):
        assert_equal("y", y[..., place], x[..., channel])
        back[..., channel] += seed_y[..., place]
    bound = tolerance(dtype, np.abs(seed_y).sum(-1, keepdims=True) + 0 * np.abs(back))
    assert_close("x̄", op.pullback(state, locked(backend, seed_y)).inputs[0], back, bound)
    assert kinds(op, backend, [x], seed_y) == {dtype}


def test_select_narrows_a_machine_to_its_last_block(backend):
    """z over all blocks, of which the last is the answer; the seeds of the others are zero."""
    machine = mk.DenseMachine((2, 3, 2), rng=0).to(backend)
    x = backend.from_host(np.random.default_rng(0).standard_normal((4, 2)))
    chain = mk.Chain([machine, mk.Select(-1, sizes=machine.sizes)])
    assert_equal("y", chain(x), to_host(machine(x))[:, 5:])
    named = mk.Select(machine.partition.blocks[2])
    assert_equal("y", named(machine(x)), chain(x))
    mk.testing.check_op(chain, x, rng=0)


@given(lead=batches(), n=extents, start=st.integers(0, 2), after=st.integers(0, 2), dtype=st.sampled_from(DTYPES),
       seed=seeds())  # fmt: skip
def test_embed_is_the_transpose_of_select(backend, lead, n, start, after, dtype, seed):
    """y is x between zeros, and each op's pullback is the other's value."""
    rng, op = np.random.default_rng(seed), mk.Embed(start + n + after, start)
    check_leaf(op, backend, [normal(rng, (*lead, n))], seed)
    x, seed_y = normal(rng, (*lead, n), dtype), normal(rng, (*lead, start + n + after), dtype)
    state, select = op.solve(locked(backend, x)), mk.Select(slice(start, start + n))
    want = [np.zeros((*lead, start), dtype), x, np.zeros((*lead, after), dtype)]
    assert_equal("y", state.outputs[0], np.concatenate(want, axis=-1))
    assert_equal("x̄", op.pullback(state, locked(backend, seed_y)).inputs[0], select(locked(backend, seed_y)))
    selected = select.solve(locked(backend, seed_y))
    assert_equal("the transpose", select.pullback(selected, locked(backend, x)).inputs[0], state.outputs[0])
    assert kinds(op, backend, [x], seed_y) == {dtype}


OPS = [mk.Reshape(4, (2, 2)), mk.Add(), mk.Concatenate(), mk.Select(slice(1, 3)), mk.Embed(6, 1)]


@pytest.mark.parametrize("op", OPS, ids=repr)
def test_ops_that_move_entries_go_anywhere_and_keep_no_outputs(backend, spec, op):
    x = backend.from_host(np.arange(8.0).reshape(2, 4))
    for other in (op.to(spec), op.astype("float32"), op.replace()):
        assert repr(other) == repr(op)
        assert_equal("y", other(x), op(x))
    assert (op.parameters(), op.backend, op.reads_outputs) == ({}, None, False)
    with pytest.raises(AttributeError, match="an op does not change"):
        op.axis = 3


def test_a_residual_network_of_small_ops(backend):
    """Reshape, a branch, Add and Norm in a network: every cotangent by the complex step."""
    rng = np.random.default_rng(0)
    net = mk.Hypergraph(
        {"image": (2, 2), "x": 4, "h": 3, "both": 7, "y": 7, "size": 1},
        [
            mk.Edge("flat", mk.Reshape((2, 2), 4), "image -> x"),
            mk.Edge("hidden", mk.Chain([mk.Affine(4, 3, rng=rng), mk.Pointwise("tanh")]).to(backend), "x -> h"),
            mk.Edge("join", mk.Concatenate(), "x h -> both"),
            mk.Edge("normal", mk.LayerNorm(7).to(backend), "both -> y"),
            mk.Edge("skip", mk.Add(), "both both -> y"),
            mk.Edge("length", mk.Norm(), "y -> size"),
        ],
    )
    mk.testing.check_op(net, backend.from_host(rng.standard_normal((3, 2, 2))), rng=0)


def ones(backend, *shape, dtype="float64"):
    return backend.from_host(np.ones(shape, dtype))


REFUSED = {
    "other sizes": (lambda b: mk.Reshape((2, 3), 5), ValueError, r"\(2, 3\) has 6 entries but after \(5,\) has 5"),
    "a negative extent": (lambda b: mk.Reshape(4, (2, -1)), ValueError, r"after\[1\] is -1; pass at least 0"),
    "a word for a shape": (lambda b: mk.Reshape("4", 4), TypeError, "before is '4'; pass an integer"),
    "another sample": (
        lambda b: mk.Reshape((2, 2), 4)(ones(b, 2, 4)), ValueError, r"\(2, 4\); Reshape\(\(2, 2\), \(4,\)\) reads"),
    "too few axes": (lambda b: mk.Reshape((2, 2), 4)(ones(b, 2)), ValueError, r"inputs\[0\] has shape \(2,\)"),
    "nothing to add": (lambda b: mk.Add()(), TypeError, "Add takes at least one array"),
    "two shapes": (
        lambda b: mk.Add()(ones(b, 2), ones(b, 2), ones(b, 1)), ValueError,
        r"inputs\[2\] has shape \(1,\) but inputs\[0\] \(2,\); .* broadcasts nothing"),
    "two precisions": (lambda b: mk.Add()(ones(b, 2), ones(b, 2, dtype="float32")), TypeError, "is in single"),
    "integers": (lambda b: mk.Add()(ones(b, 2, dtype="int64")), TypeError, "dtype int64"),
    "nothing to join": (lambda b: mk.Concatenate()(), TypeError, "Concatenate takes at least one array"),
    "axes that disagree": (
        lambda b: mk.Concatenate()(ones(b, 2, 3), ones(b, 3, 3)), ValueError, "all axes but -1 must agree"),
    "another number of axes": (
        lambda b: mk.Concatenate()(ones(b, 2, 3), ones(b, 3)), ValueError, r"\[\(2, 3\), \(3,\)\]"),
    "an axis that is not there": (lambda b: mk.Concatenate(-2)(ones(b, 2)), ValueError, r"inputs\[0\] .* no axis -2"),
    "an axis from the front": (lambda b: mk.Concatenate(1), ValueError, "axis is 1; count from the end"),
    "a block without sizes": (
        lambda b: mk.Select(-1), TypeError, "blocks is -1, the number of a block; pass sizes=machine.sizes"),
    "no such block": (
        lambda b: mk.Select([0, 2], sizes=(1, 2)), ValueError, r"\[1\] is 2 but sizes \(1, 2\) has 2 blocks, 0 to 1"),
    "a step": (lambda b: mk.Select(slice(0, 4, 2)), ValueError, "pass a slice of step 1"),
    "a mask": (lambda b: mk.Select("last"), TypeError, "blocks is 'last'; pass a slice of channels, or a block number"),
    "a fraction": (lambda b: mk.Select(slice(0, 1.5)), TypeError, "blocks has the bound 1.5; pass integers or None"),
    "channels that are not there": (
        lambda b: mk.Select(slice(1, 5))(ones(b, 2, 4)), ValueError, r"has 4 channels, too few for slice\(1, 5\)"),
    "channels before the first": (lambda b: mk.Select(slice(-5, None))(ones(b, 4)), ValueError, "nothing is clipped"),
    "backwards": (lambda b: mk.Select(slice(3, 1))(ones(b, 4)), ValueError, r"slice\(3, 1\) runs backwards"),
    "other sizes than the blocks": (
        lambda b: mk.Select(0, sizes=(1, 2))(ones(b, 4)), ValueError, r"has 4 channels but sizes \(1, 2\) sum to 3"),
    "no axis": (lambda b: mk.Select(slice(0, 1))(ones(b)), ValueError, r"inputs\[0\] has shape \(\)"),
    "a start behind the end": (lambda b: mk.Embed(3, 4), ValueError, "start is 4 but there are 3 channels"),
    "too many channels": (lambda b: mk.Embed(3, 2)(ones(b, 2)), ValueError, r"shape \(2,\); Embed\(3, start=2\) reads"),
    "two arrays": (lambda b: mk.Embed(3)(ones(b, 2), ones(b, 2)), TypeError, "Embed takes 1 array, not 2"),
    "a parameter": (
        lambda b: mk.Add().pushforward(mk.Add().solve(ones(b, 2)), weight=ones(b, 2)), TypeError, "'weight' is no par"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_with_the_values_and_the_remedy(backend, what):
    call, error, words = REFUSED[what]
    with pytest.raises(error, match=words):
        call(backend)
