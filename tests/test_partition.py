"""The index sets: every position once, in a strict order, mirrored by the dual."""

from __future__ import annotations

import itertools
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.arrays import NUMPY
from machinekit.machines import form
from machinekit.partitions import Partition

from .strategies import cases, grids, orders


def build(order):
    return Partition(order.sizes, order.padding, order.scan, order.reverse, order.time_block)


def owner(partition, grid):
    """Return for each (position, channel) the number of the step that computes it."""
    steps = np.full((*grid, partition.channels), -1)
    for number, step in enumerate(partition.steps(grid)):
        assert (steps[step.index] == -1).all(), "two index sets overlap"
        steps[step.index] = number
    return steps


@given(kind_order=orders(), data=st.data())
def test_index_sets_cover_every_position_exactly_once_in_the_defined_order(kind_order, data):
    """I_0 ⊔ … ⊔ I_N of §3: (⌊g/b⌋ per scanned axis in order, block), reversed axes descending."""
    _, order = kind_order
    grid = data.draw(grids(len(order.padding)))
    partition = build(order)
    steps = owner(partition, grid)
    assert (steps >= 0).all(), "a position belongs to no index set"
    entries = [(g, c, k) for g in np.ndindex(*grid) for c, k in enumerate(order.block_of)]
    for (g, c, k), (h, o, m) in itertools.product(entries[:40], entries[-40:]):
        assert (steps[(*g, c)] < steps[(*h, o)]) == order.before(g, k, h, m), (order, g, c, h, o)


@given(kind_order=orders(), data=st.data())
def test_count_is_the_number_of_non_empty_index_sets(kind_order, data):
    """The n of the depth bound 2n + 1 counts non-empty index sets."""
    _, order = kind_order
    grid = data.draw(grids(len(order.padding)))
    partition = build(order)
    sets = {(order.place(g), k) for g in np.ndindex(*grid) for k in order.block_of}
    assert partition.count(grid) == len(sets)
    assert len(np.unique(owner(partition, grid))) == len(sets)
    if all(grid):
        assert len(list(partition.steps(grid))) == len(sets)


@given(kind_order=orders())
def test_live_mask_and_taps_equal_the_definition(kind_order):
    """§2: live iff all pairs of positions that the entry couples are strictly ordered."""
    _, order = kind_order
    partition, want = build(order), order.live()
    assert np.array_equal(partition.live(), want), (order, partition.live() ^ want)
    for k, taps in enumerate(partition.taps):
        reads = np.zeros_like(want)
        for lag, source in taps:
            assert source.stop > source.start
            reads[(*partition.tap(lag), source, partition.blocks[k])] = True
        assert np.array_equal(reads[..., partition.blocks[k]], want[..., partition.blocks[k]])


@given(kind_order=orders(), data=st.data())
def test_the_dual_computes_the_same_sets_last_first(kind_order, data):
    """Theorem 3: the dual's cofiltration is the annihilators in reverse order; twice is nothing."""
    _, order = kind_order
    grid = data.draw(grids(len(order.padding)))
    partition = build(order)
    dual = partition.dual()
    assert dual.dual() == partition
    assert dual.padding == tuple((after, before) for before, after in order.padding)
    steps, mirrored = owner(partition, grid), owner(dual, grid)
    if steps.size:
        assert np.array_equal(steps + mirrored, np.full_like(steps, steps.max()))
    axes = tuple(range(len(order.padding)))
    assert np.array_equal(dual.live(), np.swapaxes(np.flip(partition.live(), axes), -1, -2))


@given(kind_order=orders())
def test_lags_are_listed_in_the_order_of_the_kernel(kind_order):
    """Kernel index j is lag j − after; the kernel has before + after + 1 taps per axis."""
    _, order = kind_order
    partition = build(order)
    assert partition.kernel == order.kernel()
    want = [
        tuple(j - a for j, (_, a) in zip(index, order.padding, strict=False)) for index in np.ndindex(*order.kernel())
    ]
    assert list(partition.lags) == want
    assert [partition.tap(lag) for lag in want] == list(np.ndindex(*order.kernel()))


def test_a_hand_written_recurrent_order():
    """Two time blocks of two, two channel blocks: four sets; a reversed one runs from the end."""
    partition = Partition((1, 2), ((3, 0),), (0,), (), (2,))
    assert owner(partition, (3,)).tolist() == [[0, 1, 1], [0, 1, 1], [2, 3, 3]]
    partition = Partition((1, 2), ((0, 3),), (0,), (-1, 0), (2,))
    assert owner(partition, (3,)).tolist() == [[3, 2, 2], [3, 2, 2], [1, 0, 0]]


def test_a_hand_written_raster_order():
    """scan=(1, 0): columns first, and within a column from the last row."""
    partition = Partition((1,), ((1, 0), (1, 0)), (1, 0), (0,), (1, 1))
    assert owner(partition, (2, 3))[..., 0].tolist() == [[1, 3, 5], [0, 2, 4]]


@given(kind_order=orders())
def test_dead_boxes_are_what_the_mask_leaves_out(kind_order):
    partition = build(kind_order[1])
    mask = np.ones(partition.weight_shape, dtype=bool)
    for box in partition.dead:
        mask[box] = False
    assert np.array_equal(mask, partition.live())


@pytest.mark.parametrize("box", [0, 10**9])
@given(case=cases(dtypes=("float64", "complex64")))
def test_projection_by_boxes_and_by_mask_are_one(box, case):
    """Dead entries become exact zeros, whatever they were; the array given is left alone."""
    numbers = case.numbers()
    machine = case.machine(NUMPY, numbers)
    weight = numbers.weight.copy()
    weight[~machine.live] = np.nan
    before = weight.copy()
    with patch.object(form, "_BOX", box):
        found = machine.project(weight)
    assert np.array_equal(found, np.where(machine.live, weight, 0))
    assert found.dtype == weight.dtype
    assert np.array_equal(weight, before, equal_nan=True)
    assert not np.shares_memory(found, weight)
