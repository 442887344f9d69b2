"""A stream fed chunk by chunk is the machine fed at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_close, assert_equal, parity
from .oracle import Order
from .strategies import NAMES, Case, batches, seeds, sizes


@st.composite
def streamed(draw):
    """A machine that scans one axis forwards, and where to cut its time axis."""
    given_sizes, memory, block = draw(sizes(2, 3)), draw(st.integers(0, 6)), draw(st.integers(1, 5))
    channels, time = sum(given_sizes), draw(st.integers(0, 11))
    space = draw(st.sampled_from([None, None, 0, 1]))  # None: no other axis; else which axis is space
    if space is None:
        padding, scan, grid = ((memory, 0),), (0,), (time,)
    else:
        lags, extent = draw(st.sampled_from([(1, 2), (0, 1), (2, 0)])), draw(st.integers(1, 4))
        padding = (lags, (memory, 0)) if space == 0 else ((memory, 0), lags)
        grid, scan = ((extent, time), (1,)) if space == 0 else ((time, extent), (0,))
    reverse = draw(st.sampled_from([(), (-1,)]))
    order = Order(given_sizes, padding, scan, reverse, (block,))
    kind = "recurrent" if space is None else "grid"
    width = st.sampled_from(sorted({0, *np.cumsum(given_sizes).tolist()}))
    widths = (draw(st.just(channels) | width), draw(st.none() | st.just(channels) | width), 0, 0)
    names = draw(st.sampled_from(NAMES) | st.lists(st.sampled_from(NAMES), min_size=len(given_sizes),
                                                   max_size=len(given_sizes)).map(tuple))  # fmt: skip
    dtype = draw(st.sampled_from(("float64", "complex128", "float32", "complex64")))
    case = Case(kind, order, draw(batches()), grid, widths, draw(st.booleans()), names, dtype, draw(seeds()))
    cuts = sorted(draw(st.lists(st.integers(0, time), max_size=4)))
    return case, cuts


def pieces(array, axis, cuts):
    return [None] * (len(cuts) + 1) if array is None else np.split(array, cuts, axis=axis)


@given(streamed())
def test_any_chunking_equals_one_call(backend, case_cuts):
    """Empty chunks and chunks shorter than the memory included; ≤ 1e-12 of the scale in double precision."""
    case, cuts = case_cuts
    n, scanned = case.numbers(), case.order.scan[0]
    machine, oracle = case.machine(backend, n), case.oracle(backend, n)
    others = tuple(e for a, e in enumerate(case.grid) if a != scanned)
    stream, axis = machine.stream(case.batch, others), len(case.batch) + scanned
    ys, zs = [], []
    for y0, z0 in zip(pieces(n.y0, axis, cuts), pieces(n.z0, axis, cuts), strict=True):
        state = stream.solve(*(None if a is None else backend.from_host(a) for a in (y0, z0)))
        assert state.z.shape[axis] == y0.shape[axis]
        ys.append(to_host(state.y))
        zs.append(to_host(state.z))
    s = oracle.solution
    whole_z = oracle.full(s.z)
    ey, ez = (parity(case.dtype, oracle.full(e)) for e in (s.ey, s.ez))
    assert_close("y", np.concatenate(ys, axis=axis), oracle.full(s.y), ey, case, cuts)
    assert_close("z", np.concatenate(zs, axis=axis), whole_z, ez, case, cuts)
    memory = case.order.padding[scanned][0]
    past = np.zeros((*whole_z.shape[:axis], memory, *whole_z.shape[axis + 1 :]))
    tail = np.concatenate([past, whole_z], axis=axis)
    tail = np.take(tail, range(tail.shape[axis] - memory, tail.shape[axis]), axis=axis)
    assert_close("history", stream.history, tail, parity(case.dtype, 1 + np.abs(whole_z).max(initial=0)), case, cuts)


@given(streamed())
def test_a_history_that_is_set_continues_where_it_was_taken(backend, case_cuts):
    """history is a copy and settable: two streams with one history give one answer, bit for bit."""
    case, cuts = case_cuts
    case = case.with_(widths=(case.channels, None, 0, 0))
    n, scanned = case.numbers(), case.order.scan[0]
    machine = case.machine(backend, n)
    others = tuple(e for a, e in enumerate(case.grid) if a != scanned)
    axis = len(case.batch) + scanned
    first, *rest = (backend.from_host(a) for a in pieces(n.y0, axis, cuts))
    one, two = machine.stream(case.batch, others), machine.stream(case.batch, others)
    one.solve(first)
    history = one.history
    two.history = history
    for chunk in rest:
        assert_equal("z", two.solve(chunk).z, one.solve(chunk).z, case, cuts)
    if isinstance(history, np.ndarray) and history.size:
        kept = two.history
        history[...] = 99.0
        assert_equal("history after its source was written to", two.history, kept, case)


def a_stream(backend):
    weight = backend.from_host(np.random.default_rng(0).standard_normal((3, 3, 3)))
    machine = mk.RecurrentMachine((1, 2), memory=2, weight=weight)
    stream = machine.stream((2,))
    stream.solve(backend.from_host(np.ones((2, 4, 3))))
    return machine, stream


BAD_CHUNKS = {
    "batch": (lambda move: (move(np.ones((3, 4, 3))),), ValueError, ["(3, 4)", "(2, 0)"]),
    "axes": (lambda move: (move(np.ones((4,))),), ValueError, ["y0", "(4,)"]),
    "channels": (lambda move: (move(np.ones((2, 4, 2))),), ValueError, ["y0", "2 channels", "(1, 2)"]),
    "grid": (lambda move: (move(np.ones((2, 4, 3))), move(np.ones((2, 5, 3)))), ValueError, ["z0", "(2, 5)", "(2, 4)"]),
    "precision": (lambda move: (move(np.ones((2, 4, 3), dtype="float32")),), TypeError, ["y0", "single", "double"]),
    "list": (lambda move: ([[1.0]],), TypeError, ["y0", "list"]),
    "nothing": (lambda move: (None,), ValueError, ["y0"]),
}


@pytest.mark.parametrize("bad", BAD_CHUNKS)
def test_an_error_leaves_the_stream_unchanged(backend, bad):
    """Raised before any work: the history is what it was and the next chunk is solved as if nothing had been."""
    make, kind, words = BAD_CHUNKS[bad]
    _, stream = a_stream(backend)
    before = to_host(stream.history).copy()
    with pytest.raises(kind) as caught:
        stream.solve(*make(backend.from_host))
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert_equal("history", stream.history, before)
    _, fresh = a_stream(backend)
    chunk = backend.from_host(np.ones((2, 3, 3)))
    assert_equal("z", stream.solve(chunk).z, fresh.solve(chunk).z)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (np.zeros((2, 3, 3)), ValueError, ["history", "(2, 3, 3)", "(2, 2, 3)"]),
        (np.zeros((2, 2, 3), dtype="float32"), TypeError, ["history", "single", "double"]),
        (np.zeros((2, 2, 3), dtype="int64"), TypeError, ["history", "int64"]),
        (None, TypeError, ["history", "None"]),
        ([0.0], TypeError, ["history", "list"]),
    ],
)
def test_a_history_that_does_not_fit_is_refused(backend, value, kind, words):
    """Shape, precision and kind of the history are checked, and nothing is changed."""
    _, stream = a_stream(backend)
    before = to_host(stream.history).copy()
    moved = backend.from_host(value) if isinstance(value, np.ndarray) else value
    with pytest.raises(kind) as caught:
        stream.history = moved
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert_equal("history", stream.history, before)


def test_machines_that_cannot_be_streamed_say_why(backend):
    """One scanned axis, from its start, no lag into the future, a slope per channel at most."""
    grid = {"padding": ((1, 0), (1, 0)), "rng": 0}
    cases = [
        (mk.ConvMachine((1, 1), padding=((1, 0),), rng=0), ()),
        (mk.GridMachine((1,), scan=(0, 1), **grid), (1,)),
        (mk.RecurrentMachine((1,), memory=2, reverse=(0,), rng=0), ()),
        (mk.GridMachine((1, 1), padding=((2, 1),), scan=(0,), time_block=1, rng=0), ()),
    ]
    for machine, others in cases:
        with pytest.raises(ValueError, match="a stream needs exactly one scanned axis") as caught:
            machine.stream((), others)
        assert str(machine.partition.padding) in str(caught.value)
    machine = mk.RecurrentMachine((1,), mk.Diagonal(np.ones((4, 1))), memory=1, rng=0)
    with pytest.raises(ValueError, match="one slope per channel"):
        machine.stream()
    machine = mk.GridMachine((1,), scan=(0,), **grid)
    with pytest.raises(ValueError, match="1 extents"):
        machine.stream((2,))
    with pytest.raises(ValueError, match="at least 0"):
        machine.stream((-2,), (3,))


def test_a_stream_does_not_change_its_machine_nor_another_stream(backend):
    """The stream changes, the machine does not."""
    machine, stream = a_stream(backend)
    weight = to_host(machine.weight).copy()
    other = machine.stream((2,))
    stream.solve(backend.from_host(np.ones((2, 4, 3))))
    assert_equal("weight", machine.weight, weight)
    assert_equal("history of the other", other.history, np.zeros((2, 2, 3)))
