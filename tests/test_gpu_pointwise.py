"""The built-in activations in CUDA C++ are those of `machinekit.activations`, and each pointwise step is one launch."""

from functools import partial

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import NAMES, Activation, Blockwise, get_activation
from machinekit.arrays import pick_backend
from machinekit.gpu.expressions import expressions
from machinekit.gpu.pointwise import bent, in_order, scaled_into, slope_into, value_into
from machinekit.gpu.products import Product, lies, multiply

from .helpers import eps, tolerance
from .standin.install import installed
from .standin.ledger import launches

OPTIONS = [
    ("leaky_relu", {"slope": -0.25}), ("leaky_relu", {"slope": 0.0}), ("leaky_relu", {"slope": 1.5}),
    ("elu", {"alpha": 0.5}), ("celu", {"alpha": 1e-3}), ("hardtanh", {"low": -0.5, "high": 2.0}),
    ("soft_threshold", {"threshold": 1.25}),
]  # fmt: skip
ACTIVATIONS = [*((name, {}) for name in NAMES), *OPTIONS]


@pytest.fixture(scope="module", autouse=True)
def cupy():
    with installed() as module:
        yield module


def points(dtype):
    """Kinks and their neighbours, signed zeros, tails, what overflows, what is not finite."""
    kinks = np.array([0.0, -0.0, 0.5, 1.0, 1.25, 2.0, 3.0, 40.0], dtype)
    near = [np.nextafter(kinks, np.array(end, dtype)) for end in (-np.inf, np.inf)]
    far = np.array([1e-30, 1e-8, 1e-3, 0.1, 0.7, 5.5, 12.0, 30.0, 88.0, 90.0, 700.0, 720.0, 1e4, np.inf, np.nan], dtype)
    ordinary = np.random.default_rng(0).uniform(-6, 6, 400).astype(dtype)
    all_of_them = np.concatenate([kinks, *near, far, ordinary])
    return np.concatenate([all_of_them, -all_of_them])


def agree(got, want, dtype, smallest):
    """Compare relative to the value, down to `smallest`: tails must not be lost to cancellation."""
    assert got.dtype == want.dtype == np.dtype(dtype)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    infinite = np.isinf(want)
    assert np.array_equal(got[infinite], want[infinite])
    got, want = got[np.isfinite(want)], want[np.isfinite(want)]
    assert (np.abs(got - want) <= tolerance(dtype, np.abs(want) + smallest)).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_expressions_are_the_formulas_of_the_catalogue(cupy, name, options, dtype):
    """σ, σ′ and σ′ from the stored σ, kinks, tails and what is not a number included, for strided arrays too."""
    activation, y = get_activation(name, **options), points(dtype)
    same = partial(agree, dtype=dtype, smallest=1.0 if name == "tanh" else 1e-6)  # 1 − t² has no tails to lose
    with np.errstate(all="ignore"):
        want, slope = activation.value(y), activation.derivative(y)
        stored = None if activation.slope_of_value is None else activation.slope_of_value(want)
    with np.errstate(all="ignore"):
        second = activation.second(y)
    curve, ones = Blockwise([activation], [slice(0, y.size)]), cupy.ones(y.size, dtype)
    given = cupy.asarray(np.stack([y, y[::-1]]))
    for here in (given[0], given[::-1].T[:, 1]):
        wide = cupy.empty((y.size, 3), dtype)
        out = wide[:, 1]
        with launches() as seen:
            value_into(cupy, activation, here, out)()
            same(out.get(), want)
            slope_into(cupy, activation, here, None, out)
            same(out.get(), slope)
            twice = bent(cupy, curve, here, None, ones, ones)
            same(twice.get(), second)
            if stored is not None:
                slope_into(cupy, activation, here, cupy.asarray(want), out)
                same(out.get(), stored)
        assert len([name for name in seen if name != "empty"]) == 3 + (stored is not None), seen
    if activation.second_of_value is not None:
        with np.errstate(all="ignore"):
            stored = activation.second_of_value(want)
        same(bent(cupy, curve, given[0], cupy.asarray(want), ones, ones).get(), stored)


def test_an_activation_is_known_by_its_functions_not_by_its_name():
    assert expressions(mk.Activation(np.tanh, name="tanh")) is None
    tanh = get_activation("tanh")
    assert expressions(tanh).value == "tanh(y)"
    assert expressions(Activation(tanh.value, lambda y: y, name="tanh")) is None
    assert expressions(mk.Activation(partial(np.clip, a_min=0, a_max=1), name="hardtanh")) is None
    assert expressions(Activation(tanh.value, tanh.derivative, name="elu", options=(("alpha", -1.0),))) is None
    assert "0.125" in expressions(mk.activations.elu(0.125)).value


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("with_z0", [False, True])
def test_a_linear_step_is_one_launch(cupy, dtype, with_z0):
    rng = np.random.default_rng(0)
    slope, y, added = (rng.standard_normal((4, 3)).astype(dtype) for _ in range(3))
    z = cupy.empty((3, 4), dtype).T
    with launches() as seen:
        scaled_into(cupy, *map(cupy.asarray, (slope, y)), z, cupy.asarray(added) if with_z0 else None)()
    assert np.allclose(z.get(), slope * y + with_z0 * added, rtol=4 * eps(dtype), atol=4 * eps(dtype))
    assert len(seen) == (1 if dtype != "complex128" else 1 + with_z0)


def test_views_run_along_memory(cupy):
    a, b = cupy.empty((2, 3, 4)).transpose(2, 0, 1), cupy.empty((4, 2, 3))
    assert [x.shape for x in in_order(a, b, None)] == [(2, 3, 4)] * 2
    assert in_order(a)[0].flags.c_contiguous


@pytest.mark.parametrize("char", "fdFD")
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_product_reads_and_writes_blocks_where_they_lie(cupy, char, beta):
    """Rows or columns contiguous, a leading dimension apart: every combination, extents of 1 too, in one launch."""
    home, rng = pick_backend("cupy"), np.random.default_rng(0)

    def laid(rows, columns, kind):
        wide = cupy.asarray(rng.standard_normal((rows + 3, columns + 2)).astype(char))
        if kind == "block":
            return wide[1 : 1 + rows, 2:]
        turned = cupy.asarray(rng.standard_normal((columns + 2, rows + 3)).astype(char)).T
        return turned[1 : 1 + rows, 2:] if kind == "columns" else wide[:rows, :columns] + 0

    kinds = ("block", "columns", "whole")
    for m, n, k in [(4, 3, 5), (1, 3, 2), (4, 1, 3), (3, 4, 1), (1, 1, 1)]:
        for ka in kinds:
            for kb in kinds:
                for kc in kinds:
                    a, b, out = laid(m, k, ka), laid(k, n, kb), laid(m, n, kc)
                    want = a.get() @ b.get() + beta * out.get()
                    with launches() as seen:
                        Product(home, a, b, out, beta)()
                    assert seen == ["gemm"]
                    assert np.allclose(out.get(), want, rtol=64 * eps(char), atol=64 * eps(char))


def test_a_product_copies_what_lies_in_neither_rows_nor_columns(cupy):
    home, rng = pick_backend("cupy"), np.random.default_rng(0)
    a, b = rng.standard_normal((6, 8)), rng.standard_normal((4, 3)).astype("float32")
    odd, out = cupy.asarray(a)[::2, ::2], cupy.empty((3, 3))
    assert lies(odd) is None
    assert lies(cupy.broadcast_to(cupy.empty(3), (2, 3))) is None
    with pytest.raises(ValueError, match="neither rows nor columns are contiguous"):
        Product(home, odd, cupy.asarray(b.astype(float)), out)
    with pytest.raises(ValueError, match="of one dtype"):
        Product(home, odd, cupy.asarray(b), out)
    multiply(home, odd, cupy.asarray(b), out)
    assert np.allclose(out.get(), a[::2, ::2] @ b)
