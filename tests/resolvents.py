"""Random machines of finite depth as matrices, boxes of slopes, and the largest norm of a resolvent by brute force."""

import itertools
import math

import numpy as np
from hypothesis import strategies as st

import machinekit as mk

UP = 1.0 + 1e-9
"""A certificate may fall short of the truth by rounding only."""


def drawn(rng, sizes, chain=False):
    """Return a Gaussian weight of unit gain, with all shortcuts or none."""
    block = np.repeat(np.arange(len(sizes)), sizes)
    reads = block[:, None] - block[None, :]
    live = (reads == 1) if chain else (reads >= 1)
    w = np.where(live, rng.standard_normal(live.shape), 0.0) / np.sqrt(np.maximum(live.sum(axis=1), 1))[:, None]
    return np.ascontiguousarray(w.T)


def corners(weight, least, most):
    """Yield (I − D W)⁻¹ at all corners of a box of slopes."""
    n = len(weight)
    for picked in itertools.product((0, 1), repeat=n):
        d = np.where(picked, most, least)
        yield np.linalg.inv(np.eye(n) - d[:, None] * weight.T)


def largest(weight, least, most, rows=slice(None), columns=slice(None)):
    return max(np.linalg.norm(r[rows, columns], 2) for r in corners(weight, least, most))


def jacobian(machine, d, grid):
    """Return (I − D W)⁻¹ of a machine on a grid, from the sweep of its linear twin."""
    shape = (*grid, machine.partition.channels)
    n = math.prod(shape)
    linear = machine._derive(sigma=mk.Diagonal(d))
    return linear(None, np.eye(n).reshape(n, *shape)).reshape(n, n).T


@st.composite
def boxes(draw):
    """Draw a small machine and any box of slopes, negative and degenerate ones included."""
    sizes = tuple(draw(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(lambda s: 0 < sum(s) <= 7)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    weight = draw(st.sampled_from((0.3, 1.0, 3.0))) * drawn(rng, sizes, chain=draw(st.booleans()))
    least = rng.normal(size=sum(sizes))
    most = least + rng.exponential(size=sum(sizes)) * rng.integers(0, 2, size=sum(sizes))
    return sizes, weight, least, most
