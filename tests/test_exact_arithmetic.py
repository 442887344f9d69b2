"""The reference sweep in exact arithmetic: the resolvent of a nilpotent f is Σ f^k, bit for bit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.activations import Diagonal, read_activation
from machinekit.arrays import to_host
from machinekit.engine import sweep
from machinekit.partitions import Partition

from .helpers import assert_equal
from .oracle import explicit_matrix
from .strategies import batches, grids, orders, seeds


def neumann(matrix, slope, y0, z0):
    """Return Σ_k f^k (y0, z0) for f(y, z) = (M z, a y), the sum ending where a term vanishes."""
    y, z, total_y, total_z = y0, z0, y0, z0
    for _ in range(2 * matrix.shape[0] + 2):
        y, z = z @ matrix.T, slope * y
        if not (y.any() or z.any()):
            return total_y, total_z
        total_y, total_z = total_y + y, total_z + z
    raise AssertionError("f is not nilpotent")


def draw(data, numbers):
    """Return partition and exact arrays of small integers or fractions."""
    _, order = data.draw(orders(most=2))
    grid, batch = data.draw(grids(len(order.padding))), data.draw(batches())
    rng = np.random.default_rng(data.draw(seeds()))
    partition = Partition(order.sizes, order.padding, order.scan, order.reverse, order.time_block)
    live, shape = order.live(), (*batch, *grid, partition.channels)

    def exact(shape, low=-3, high=3):
        whole = rng.integers(low, high + 1, shape)
        if numbers == "int64":
            return whole
        out = np.empty(shape, dtype=object)
        for index in np.ndindex(*shape):
            out[index] = Fraction(int(whole[index]), int(rng.integers(1, 8)))
        return out

    sparse = rng.random(partition.weight_shape) < 0.5
    weight = np.where(live & sparse, exact(partition.weight_shape, -1, 1), 0 * exact(partition.weight_shape))
    return partition, weight, exact(shape), exact(shape), exact(shape, -1, 2), (order, batch, grid)


def check(partition, weight, sigma, slope, y0, z0, context, move=lambda a: a):
    order, batch, grid = context
    n = math.prod(grid) * partition.channels
    flat = (math.prod(batch), n)
    matrix = explicit_matrix(order.padding, weight, grid)
    want_y, want_z = neumann(matrix, slope.reshape(flat), y0.reshape(flat), z0.reshape(flat))
    y, z = sweep(partition, move(weight), sigma, move(y0), move(z0))
    for what, got, want in (("y", y, want_y), ("z", z, want_z)):
        assert to_host(got).dtype == weight.dtype, (what, to_host(got).dtype)
        assert_equal(what, got, want.reshape(y0.shape), *context)
    return y, z


@given(data=st.data())
def test_the_resolvent_of_a_diagonal_machine_is_the_neumann_series_in_integers(backend, data):
    """Linear: finite depth ⇔ nilpotent; R = Σ f^k, exact in int64 (MATH §6)."""
    partition, weight, y0, z0, slope, context = draw(data, "int64")
    move = backend.from_host
    check(partition, weight, Diagonal.trusted(move(slope)), slope, y0, z0, context, move)


@given(data=st.data())
def test_the_resolvent_of_a_diagonal_machine_is_the_neumann_series_in_fractions(data):
    """The same over the rationals: every entry a Fraction, none ever rounded."""
    partition, weight, y0, z0, slope, context = draw(data, "fraction")
    y, z = check(partition, weight, Diagonal.trusted(slope), slope, y0, z0, context)
    assert all(isinstance(a, Fraction | int) for a in (*y.ravel(), *z.ravel()))


@pytest.mark.parametrize("numbers", ["int64", "fraction"])
@given(data=st.data())
def test_the_identity_activation_is_exact(backend, numbers, data):
    """σ = id passes integers and fractions through unrounded."""
    partition, weight, y0, z0, slope, context = draw(data, numbers)
    move = backend.from_host if numbers == "int64" else (lambda a: a)
    sigma = read_activation("identity", partition.blocks)
    y, z = check(partition, weight, sigma, 0 * slope + 1, y0, z0, context, move)
    if numbers == "fraction":
        assert all(isinstance(a, Fraction | int) for a in (*y.ravel(), *z.ravel()))


@pytest.mark.parametrize("activation", ["identity", "diagonal"])
def test_integers_beyond_the_53_bits_of_a_double_stay_exact(backend, activation):
    """2^53 + 1 is no double: a detour over floating point would show here."""
    partition = Partition((1, 1))
    weight, y0 = np.array([[0, 3], [0, 0]]), np.array([2**53 + 1, 1])
    one = backend.from_host(np.ones(2, dtype=np.int64))
    sigma = Diagonal.trusted(one) if activation == "diagonal" else read_activation("identity", partition.blocks)
    y, z = sweep(partition, backend.from_host(weight), sigma, backend.from_host(y0))
    want = np.array([2**53 + 1, 3 * (2**53 + 1) + 1])
    assert_equal("y", y, want)
    assert_equal("z", z, want)


@given(data=st.data())
def test_the_dual_sweep_is_the_transposed_resolvent_in_integers(backend, data):
    """⟨v, y0⟩ + ⟨u, z0⟩ = ⟨v0, y⟩ + ⟨u0, z⟩ exactly: Algorithm 1 backward, with seeds on both y and z."""
    from machinekit.linear import transpose

    partition, weight, y0, z0, slope, context = draw(data, "int64")
    move = backend.from_host
    rng = np.random.default_rng(7)
    seed_y, seed_z = (rng.integers(-3, 4, y0.shape) for _ in range(2))
    sigma = Diagonal.trusted(move(slope))
    y, z = sweep(partition, move(weight), sigma, move(y0), move(z0))
    u, v = sweep(partition.dual(), transpose(partition, move(weight)), sigma, move(seed_z), move(seed_y))
    y, z, u, v = (to_host(a).astype(object) for a in (y, z, u, v))
    assert (v * y0).sum() + (u * z0).sum() == (seed_y * y).sum() + (seed_z * z).sum(), context
