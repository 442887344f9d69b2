"""The tables that the kernels read say the same as the partition: carried out one by one, they are the reference."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.activations import Diagonal
from machinekit.engine import sweep
from machinekit.gpu.tables import AXES, Schedule, make_table, turned
from machinekit.linear import apply, transpose, weight_cotangent
from machinekit.partitions import Partition

from .helpers import assert_close, tolerance
from .strategies import orders
from .table_reading import Reading

PADS = ((0, 0), (1, 0), (0, 2), (2, 1))


def partition_of(order):
    reverse = tuple(sorted(order.reverse))
    return Partition(order.sizes, order.padding, order.scan, reverse, order.time_block)


def schedule(partition, **changes):
    lanes = tuple((k % 3, k % 2) for k in range(len(partition.sizes)))
    given_ = {"group": 2, "threads": 64, "tile": 4, "lanes": lanes, "shared": True, "product_rows": 3}
    return Schedule(**{**given_, **changes})


def check(partition, samples, grid, seed=0):
    """Sweep, dual sweep, products and weight cotangent of one machine, by its tables and by the reference."""
    rng = np.random.default_rng(seed)
    lead, c = (samples, *grid), partition.channels
    weight = np.where(partition.live(), rng.uniform(-1, 1, partition.weight_shape), 0.0)
    y0, z0, slope, seed_z = (rng.uniform(-1, 1, (*lead, c)) for _ in range(4))

    def flat(array):
        return array.reshape(-1, c)

    def table(p):
        return Reading(make_table(p, samples, grid, schedule(p)))

    for p, w in ((partition, weight), (partition.dual(), transpose(partition, weight))):
        reading = table(p)
        got = reading.sweep(w.reshape(-1), lambda y, k, at: flat(slope)[at] * y, flat(y0), flat(z0))
        want = sweep(p, w, Diagonal.trusted(slope), y0, z0)
        bound = tolerance("float64", 16.0 * max(c, 1) * max(math.prod(grid), 1) * (1 + np.abs(want[1]).max(initial=0)))
        for name, a, b in zip("yz", got, want, strict=True):
            assert_close(name, a, flat(b), bound, p, grid)
        image = reading.products(w.reshape(-1), flat(seed_z))
        assert_close("products", image, flat(apply(p, w, seed_z)), bound, p, grid)
    out, bias = table(partition.dual()).contract(flat(z0), flat(seed_z))
    want = weight_cotangent(partition, z0, seed_z)
    size = tolerance("float64", 4.0 * (1 + math.prod(lead)))
    assert_close("weight", out.reshape(want.shape), want, size, partition, grid)
    assert_close("bias", bias, flat(seed_z).sum(axis=0), size, partition, grid)
    assert not out.reshape(want.shape)[~partition.live()].any()


@pytest.mark.parametrize("samples", [1, 3])
def test_dense_tables_are_the_reference(samples):
    for sizes, reverse in itertools.product([(2,), (2, 1, 3), (0, 2, 0, 1), (1, 40)], [(), (-1,)]):
        check(Partition(sizes, reverse=reverse), samples, ())


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("n", [1, 4])
def test_every_order_on_one_axis_is_the_reference(pad, n):
    for reverse, block in itertools.product([(), (-1,), (0,), (-1, 0)], [1, 2, 3]):
        check(Partition((1, 2), (pad,), (0,), reverse, (block,)), 2, (n,))
    for reverse in ((), (-1,)):
        check(Partition((2, 0, 1), (pad,), (), reverse), 2, (n,))


@pytest.mark.parametrize("scan", [(), (0,), (1,), (0, 1), (1, 0)])
def test_every_scan_of_two_axes_is_the_reference(scan):
    for reverse in itertools.chain.from_iterable(itertools.combinations((-1, *sorted(scan)), r) for r in range(3)):
        for pads, grid in ((((1, 0), (0, 1)), (2, 3)), (((2, 1), (0, 0)), (3, 2)), (((0, 1), (1, 2)), (2, 2))):
            check(Partition((1, 1), pads, scan, reverse, (2, 1)[: len(scan)]), 2, grid)


@pytest.mark.parametrize("scan", [(), (1,), (2, 0)])
def test_three_axes_are_the_reference(scan):
    check(Partition((1, 2), ((1, 0), (0, 1), (1, 1)), scan, scan[:1], (1, 2)[: len(scan)]), 2, (2, 3, 2))


@given(kind_order=orders(), samples=st.integers(1, 3), data=st.data())
def test_tables_are_the_reference(kind_order, samples, data):
    partition = partition_of(kind_order[1])
    if partition.channels:
        grid = tuple(data.draw(st.integers(1, 4)) for _ in range(partition.axes))
        check(partition, samples, grid, data.draw(st.integers(0, 99)))


@given(kind_order=orders(), dtype=st.sampled_from(["float32", "float64"]))
def test_a_transposed_kernel_is_recognised_by_its_strides(kind_order, dtype):
    """The dual's weight is a view of the machine's own; kernels read it where it lies."""
    partition = partition_of(kind_order[1])
    view = transpose(partition, np.zeros(partition.weight_shape, dtype))
    if partition.channels:
        steps = zip(view.shape, view.strides, turned(partition, view.itemsize), strict=True)
        assert all(n == 1 or a == b for n, a, b in steps)


def test_rows_that_lie_side_by_side_are_one_run():
    """A lag of zero meets all rows in order; a lag along the last axis leaves a run a line."""
    partition = Partition((2, 3), ((1, 0), (0, 1))).dual()
    reading = Reading(make_table(partition, 5, (4, 6), schedule(partition)))
    taps = partition.dual().lags
    meeting = reading.record("MEETINGS", "MEETING_SIZE", taps.index((0, 0)))
    assert [meeting(f"COUNT{a}") for a in range(4)] == [1, 1, 1, 5 * 4 * 6]
    meeting = reading.record("MEETINGS", "MEETING_SIZE", taps.index((0, -1)))
    assert [meeting(f"COUNT{a}") for a in range(4)] == [5, 1, 4, 5]
    meeting = reading.record("MEETINGS", "MEETING_SIZE", taps.index((1, 0)))
    assert [meeting(f"COUNT{a}") for a in range(4)] == [1, 5, 1, 18]
    assert AXES == 3
