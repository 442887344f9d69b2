"""Machines, and comparisons bit by bit, for the tests of saving."""

import numpy as np


def bits(array):
    return None if array is None else (array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def same_machine(a, b):
    assert type(a) is type(b)
    assert a.partition == b.partition
    assert bits(a.weight) == bits(b.weight)
    assert bits(a.bias) == bits(b.bias)
    assert bits(a.slope_array) == bits(b.slope_array)
    assert bits(a.live) == bits(b.live)
    assert a.pointwise.name == b.pointwise.name
    assert a.describe() == b.describe()
    assert repr(a.activation) == repr(b.activation)
