"""W, Wᵀ and Q are one trilinear form: ⟨W z, v⟩ = ⟨z, Wᵀ v⟩ = ⟨W, Q⟩, exactly, in integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.arrays import to_host
from machinekit.linear import apply, overlap, transpose, weight_cotangent
from machinekit.partitions import Partition

from .helpers import assert_equal
from .oracle import explicit_matrix
from .strategies import batches, grids, orders, seeds

KINDS = ("float64", "int64")


def draw(data, kind):
    """Return partition, projected weight, z, v as small integers, with their shapes."""
    _, order = data.draw(orders())
    grid, batch = data.draw(grids(len(order.padding))), data.draw(batches())
    rng = np.random.default_rng(data.draw(seeds()))
    partition = Partition(order.sizes, order.padding, order.scan, order.reverse, order.time_block)
    weight = np.where(order.live(), rng.integers(-9, 10, partition.weight_shape), 0).astype(kind)
    z, v = (rng.integers(-9, 10, (*batch, *grid, partition.channels)).astype(kind) for _ in range(2))
    return partition, weight, z, v, (batch, grid, order)


def inner(a, b) -> int:
    return sum(int(x) * int(y) for x, y in zip(to_host(a).ravel(), to_host(b).ravel(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_apply_is_the_explicit_matrix(backend, kind, data):
    """(W z)[g, o] = Σ z[g − (j − after), c] W[j, c, o], zero outside the grid."""
    partition, weight, z, _, (batch, grid, order) = draw(data, kind)
    n = math.prod(grid) * partition.channels
    want = z.reshape(math.prod(batch), n) @ explicit_matrix(order.padding, weight, grid).T
    got = apply(partition, backend.from_host(weight), backend.from_host(z))
    assert_equal("W z", got, want.reshape(z.shape), order, batch, grid)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_adjoint_identity_holds_exactly(backend, kind, data):
    """⟨W z, v⟩ = ⟨z, Wᵀ v⟩ = ⟨W, Q⟩ with W'[k−1−j, o, c] = W[j, c, o], paddings swapped: eqs. (12)–(14)."""
    partition, weight, z, v, context = draw(data, kind)
    w, a, b = map(backend.from_host, (weight, z, v))
    one = inner(apply(partition, w, a), v)
    assert one == inner(z, apply(partition.dual(), transpose(partition, w), b)), context
    q = weight_cotangent(partition, a, b)
    assert one == inner(weight, q), context
    live = partition.live()
    assert not to_host(q)[~live].any(), context


@given(data=st.data())
def test_transposing_twice_is_nothing(backend, data):
    """(Wᵀ)ᵀ = W, and Wᵀ is the explicit matrix transposed."""
    partition, weight, _, _, (_, grid, order) = draw(data, "float64")
    w = backend.from_host(weight)
    turned = transpose(partition, w)
    assert_equal("Wᵀᵀ", transpose(partition.dual(), turned), weight, order)
    mirrored = explicit_matrix(partition.dual().padding, to_host(turned), grid)
    assert_equal("matrix of Wᵀ", mirrored, explicit_matrix(order.padding, weight, grid).T, order, grid)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_weight_cotangent_is_the_sum_over_batch_and_grid(backend, kind, data):
    """Q[j, c, o] = Σ z[g − (j − after), c] v[g, o]: by loops over positions, negative lags included."""
    partition, _, z, v, (batch, grid, order) = draw(data, kind)
    want = np.zeros(partition.weight_shape, dtype=kind)
    flat_z, flat_v = (a.reshape(math.prod(batch), *grid, partition.channels) for a in (z, v))
    for j in np.ndindex(*order.kernel()):
        for g in np.ndindex(*grid):
            h = tuple(a - (i - after) for a, i, (_, after) in zip(g, j, order.padding, strict=False))
            if all(0 <= a < n for a, n in zip(h, grid, strict=False)):
                want[j] += np.einsum("sc,so->co", flat_z[(slice(None), *h)], flat_v[(slice(None), *g)])
    got = weight_cotangent(partition, backend.from_host(z), backend.from_host(v))
    assert_equal("Q", got, np.where(order.live(), want, 0), order, batch, grid)


@given(st.integers(0, 6), st.integers(-8, 8), st.integers(0, 6), st.integers(0, 6))
def test_overlap_is_where_the_lagged_position_lies_on_the_grid(n, lag, start, stop):
    """Positions g in the box with 0 ≤ g − lag < n, and those g − lag."""
    box = range(min(start, n), min(stop, n))
    want = [(g, g - lag) for g in box if 0 <= g - lag < n]
    met = overlap((slice(box.start, box.stop),), (lag,), (n,))
    got = [] if met is None else list(zip(range(n)[met[0][0]], range(n)[met[1][0]], strict=True))
    assert got == want


def test_a_kernel_written_by_hand(backend):
    """Lag 1 looks at the lower index: y[g] = 10 z[g + 1] + 100 z[g] + 1000 z[g − 1], with before = after = 1."""
    partition = Partition((1, 1), ((1, 1),))
    weight = np.zeros((3, 2, 2))
    weight[:, 0, 1] = [10.0, 100.0, 1000.0]  # lags −1, 0, 1
    z = np.zeros((3, 2))
    z[:, 0] = [1.0, 2.0, 3.0]
    got = apply(partition, backend.from_host(weight), backend.from_host(z))
    assert_equal("W z", got, np.array([[0.0, 120.0], [0.0, 1230.0], [0.0, 2300.0]]))
