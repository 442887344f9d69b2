"""Live entries in a vector: boxes and index agree with boolean masks, for every order, pruned or not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from machinekit.training.places import Places

from .strategies import orders, seeds
from .test_partition import build

DTYPES = st.sampled_from(["float32", "float64", "complex64", "complex128"])


def agree(mask, shape, seed, dtype):
    places = Places(shape, mask)
    live = np.ones(shape, dtype=bool) if mask is None else mask
    array = np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)
    vector = np.full(int(live.sum()), np.nan, "complex128" if "complex" in dtype else "float64")
    assert places.count == vector.size
    places.gather(np.asfortranarray(array), vector)
    assert np.array_equal(vector, array[live])
    back = places.scatter(vector, dtype)
    assert back.dtype == dtype
    assert np.array_equal(back, np.where(live, array, 0))
    return places


@given(kind_order=orders(), seed=seeds(), dtype=DTYPES)
def test_the_live_entries_of_every_machine(kind_order, seed, dtype):
    partition = build(kind_order[1])
    agree(partition.live(), partition.weight_shape, seed, dtype)


@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), seed=seeds(), dtype=DTYPES)
def test_any_mask(shape, seed, dtype):
    mask = np.random.default_rng(seed).random(shape) < 0.6
    agree(mask, shape, seed, dtype)
    agree(None, shape, seed, dtype)


def test_an_order_is_a_few_boxes_and_a_pruned_mask_is_an_index():
    mask = np.triu(np.ones((4, 4), dtype=bool), 1).repeat(32, 0).repeat(32, 1)
    assert len(agree(mask, mask.shape, 0, "float32")._boxes) == 3
    pruned = mask & (np.random.default_rng(0).random(mask.shape) < 0.9)
    assert agree(pruned, mask.shape, 0, "float32")._index is not None
