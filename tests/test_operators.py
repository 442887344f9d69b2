"""Blocks as operators: a matrix, what an operator shares with its transpose, and step sizes from a spectrum."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from machinekit.arrays import dtype_name, to_host
from machinekit.linear.circulant import CirculantOperator
from machinekit.linear.operators import DenseOperator, best_step

from .helpers import assert_close, assert_equal, locked, tolerance
from .strategies import DTYPES


def numbers(rng, shape, dtype):
    a = rng.uniform(-1, 1, shape)
    return (a + 1j * rng.uniform(-1, 1, shape) if dtype.startswith("complex") else a).astype(dtype)


SMALL = {"dense": ((4, 4), DenseOperator), "circulant": ((3, 2, 2), lambda k: CirculantOperator(k, ((2, 0),), (5,)))}


@pytest.mark.parametrize("kind", SMALL)
def test_an_operator_and_its_transpose_share_what_is_known(backend, monkeypatch, kind):
    """One inverse and one spectrum for both, the transpose's transpose is the operator, and nobody is kept alive."""
    shape, make = SMALL[kind]
    kernel = backend.from_host(numbers(np.random.default_rng(0), shape, "float64"))
    operator, calls = make(kernel), []
    plain = type(operator)._inverted
    monkeypatch.setattr(type(operator), "_inverted", lambda self, alpha: calls.append(alpha) or plain(self, alpha))
    twin = operator.transposed()
    assert twin.transposed() is operator
    assert operator.transposed() is twin
    assert twin.norm() == operator.norm()
    assert not operator.folded(0.5)
    h = operator.extend(backend.from_host(np.ones((1, operator.unknowns))))
    for alpha in (0.5, 2.0, 0.5, 2.0):
        assert_equal("M", twin.fold(alpha)(h), twin.fold(alpha)(h))
        operator.fold(alpha)(h)
        assert (operator.folded(alpha), twin.folded(alpha)) == (True, True)
    assert calls == [0.5, 2.0]
    operator.fold(8.0)
    assert not any(0.5 in folds for folds in operator._folds[:1])
    gone = weakref.ref(operator)
    del operator
    assert gone() is None  # at once: there is no cycle
    assert_equal("transposed again", twin.transposed().dense(), np.asarray(to_host(twin.dense())).T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("alpha", [0.25, 3.0])
def test_a_matrix_is_its_own_operator(backend, dtype, n, alpha):
    """Products, resolvents, spectrum and the transpose of each, against NumPy."""
    rng = np.random.default_rng(n)
    kernel = numbers(rng, (n, n), dtype) / 5
    w = kernel.T.astype(complex)
    operator, eye = DenseOperator(locked(backend, kernel)), np.eye(n)
    s = numbers(rng, (3, n), dtype)
    rows = locked(backend, s)
    for op, matrix in ((operator, w), (operator.transposed(), w.T)):
        folded = 2 * np.linalg.inv((1 + alpha) * eye - alpha * matrix) - eye
        for name, got, want in (
            ("W s", op.product(rows), s @ matrix.T),
            ("M s", op.fold(alpha)(rows), s @ folded.T),
            ("dense", op.dense(), matrix.T),
        ):
            assert dtype_name(got) == dtype
            assert_close(name, got, want, tolerance(dtype, 64), n)
        assert op.restrict(op.masked(op.extend(rows))) is rows
        if n:
            rest = eye - matrix
            assert op.norm() == pytest.approx(np.linalg.norm(rest, 2))
            assert op.product_norm() == pytest.approx(np.linalg.norm(matrix, 2))
            assert op.monotonicity() == pytest.approx(np.linalg.eigvalsh((rest + rest.conj().T) / 2)[0])
        else:
            assert (op.norm(), op.product_norm(), op.monotonicity()) == (0.0, 0.0, 1.0)
        found = np.abs(op.eigenvalues()[:, None] - np.linalg.eigvals(matrix))
        assert found.shape == (n, n)
        assert found.size == 0 or max(found.min(axis=0).max(), found.min(axis=1).max()) < 1e-5


@pytest.mark.parametrize("transposed", [False, True])
def test_a_complex_step_of_a_matrix_comes_through_its_fold(backend, transposed):
    """Ṁ = 2 α V Ẇ V: the imaginary part is resolved though it is 1e-20 of the real one."""
    rng, alpha, n = np.random.default_rng(8), 2.0, 6
    kernel, bent = (numbers(rng, (n, n), "float64") / 4 for _ in range(2))
    operator = DenseOperator(backend.from_host(kernel + 1e-20j * bent))
    h = numbers(rng, (2, n), "float64")
    got = (operator.transposed() if transposed else operator).fold(alpha)(backend.from_host(h + 0j))
    v = np.linalg.inv((1 + alpha) * np.eye(n) - alpha * kernel)
    slope = 2 * alpha * v @ bent @ v
    assert_close("Ṁ h", to_host(got).imag * 1e20, h @ (slope.T if transposed else slope), tolerance("float64", 64))


def test_the_best_step_is_that_of_the_spectrum():
    """(1 − αf)/(1 + αf) is least for one f at α = 1/f, for two at their geometric mean's inverse."""
    assert best_step(1 - np.array([4.0])) == (0.25, 0.0)
    alpha, rate = best_step(1 - np.array([0.25, 1.0, 4.0]))
    assert (alpha, rate) == (1.0, pytest.approx(0.6))
    assert best_step(1 - np.array([0.5 + 2j, 0.5 - 2j]))[0] == pytest.approx(1 / abs(0.5 + 2j), rel=0.1)
    assert best_step(np.zeros(0))[1] == 0.0
