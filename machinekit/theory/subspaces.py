"""Subspaces of Kⁿ by bases: spans, ranks, annihilators; in floats by singular values, in fractions exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ..arrays import NUMPY, Array, backend_of, dtype_name, to_host
from .checks import columns

__all__ = ["annihilator", "contains", "draw", "exact", "inner_product", "is_exact", "read_exact", "span"]

_RANK = 1e-9
"""Singular values below this, relative to the largest, count as zero; in single precision below 1e-3."""


def is_exact(array: Array) -> bool:
    """Tell whether an array has a dtype of integers or fractions."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "Oiub"


def exact(array: Any) -> np.ndarray:
    """Return integers or fractions as an object array of Fractions, which cannot overflow.

    Parameters
    ----------
    array : array, or nested sequences

    Raises
    ------
    TypeError
        For floats: what they round to zero need not be zero.
    """
    return read_exact("array", array)


def read_exact(name: str, array: Any) -> np.ndarray:
    """Return `exact` of an argument, which a TypeError names."""
    given = to_host(array) if hasattr(array, "shape") else np.asarray(array, dtype=object)
    if not is_exact(given):
        raise TypeError(f"{name} is {given.dtype}; exact arithmetic needs integers or fractions.Fraction entries")
    out = np.empty(given.shape, dtype=object)
    for index, value in np.ndenumerate(given):
        if not isinstance(value, int | np.integer | np.bool_ | Fraction):
            raise TypeError(
                f"{name}{list(index) or ''} is {value!r}; exact arithmetic needs integers or fractions.Fraction entries"
            )
        out[index] = value if isinstance(value, Fraction) else Fraction(int(value))
    return out


def draw(like: Array | None, n: int, rng: np.random.Generator) -> Array:
    """Return a random vector of an array's library and dtype: normal; in exact arithmetic, fractions of integers."""
    if like is None:
        return rng.normal(size=n)
    if is_exact(like):
        return exact(rng.integers(-9, 10, n))
    home = backend_of(like) if not isinstance(like, np.ndarray) else NUMPY
    return home.from_host(rng.normal(size=n).astype(dtype_name(like)))


def inner_product(x: Array, y: Array) -> Any:
    """Return Σ x_i y_i, without conjugation; exact for integers and fractions, which do not overflow.

    Raises
    ------
    TypeError
        If one of them is no array.
    ValueError
        For two shapes.
    """
    backend_of(x, "x")
    backend_of(y, "y")
    if tuple(x.shape) != tuple(y.shape):
        raise ValueError(f"x has shape {tuple(x.shape)}, y {tuple(y.shape)}; give vectors of one space")
    pairs = zip(to_host(x).ravel().tolist(), to_host(y).ravel().tolist(), strict=True)
    return sum((p * q for p, q in pairs), start=0)


def span(vectors: np.ndarray, scale: float = 0.0) -> np.ndarray:
    """Return a basis, in columns, of the span of the columns: orthonormal in floats, echelon in fractions.

    In floats, what is below rounding of the largest vector, or of `scale`, counts as zero.

    Raises
    ------
    ValueError
        Unless `vectors` has shape (n, count).
    """
    vectors = columns("vectors", vectors)
    if vectors.shape[1] == 0:
        return vectors
    if is_exact(vectors):
        return _echelon(exact(vectors))
    u, s, _ = np.linalg.svd(vectors, full_matrices=False)
    return u[:, : _rank(s, vectors, scale)]


def contains(basis: np.ndarray, vectors: np.ndarray, scale: float = 0.0) -> float:
    """Return how far columns are from the span of `basis`, relative to the largest norm or to `scale`; 0 if within.

    Exact if both are; floats otherwise.

    Raises
    ------
    ValueError
        Unless both have shape (n, count), with one n.
    """
    basis = columns("basis", basis)
    vectors = columns("vectors", vectors, basis.shape[0])
    if vectors.shape[1] == 0:
        return 0.0
    if is_exact(vectors) and is_exact(basis):
        both = np.concatenate([exact(basis), exact(vectors)], axis=1)
        return 0.0 if span(both).shape[1] == span(basis).shape[1] else float("inf")
    basis, vectors = (a.astype(float) if is_exact(a) else a for a in (basis, vectors))
    q = span(basis)
    outside = vectors - q @ (q.conj().T @ vectors) if q.shape[1] else vectors
    size = max(float(np.linalg.norm(vectors, axis=0).max()), scale)
    return float(np.linalg.norm(outside, axis=0).max()) / size if size else 0.0


def annihilator(basis: np.ndarray) -> np.ndarray:
    """Return a basis of the functionals that vanish on the span: {w: wᵀ v = 0 for all v in it}.

    Raises
    ------
    ValueError
        Unless `basis` has shape (n, count).
    """
    basis = columns("basis", basis)
    if is_exact(basis):
        return _null_space(exact(basis).T, basis.shape[0])
    u, s, _ = np.linalg.svd(basis, full_matrices=True)
    return np.conj(u[:, _rank(s, basis) :])


def _rank(singular: np.ndarray, of: np.ndarray, scale: float = 0.0) -> int:
    small = 1e-3 if of.dtype.name in ("float32", "complex64") else _RANK
    largest = max(float(singular.max(initial=0.0)), scale, float(np.finfo(float).tiny))
    return int((singular > small * largest).sum())


def _reduced(rows: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return the reduced row echelon form and its pivot columns."""
    a, pivots, r = rows.copy(), [], 0
    for c in range(a.shape[1]):
        k = next((i for i in range(r, a.shape[0]) if a[i, c] != 0), None)
        if k is None:
            continue
        a[[r, k]] = a[[k, r]]
        a[r] = a[r] / a[r, c]
        for i in range(a.shape[0]):
            if i != r and a[i, c] != 0:
                a[i] = a[i] - a[i, c] * a[r]
        pivots.append(c)
        r += 1
        if r == a.shape[0]:
            break
    return a[:r], pivots


def _echelon(columns: np.ndarray) -> np.ndarray:
    rows, _ = _reduced(columns.T)
    return rows.T


def _null_space(rows: np.ndarray, n: int) -> np.ndarray:
    reduced, pivots = _reduced(rows) if rows.shape[0] else (rows, [])
    free = [c for c in range(n) if c not in pivots]
    out = exact(np.zeros((n, len(free)), dtype=int))
    for k, c in enumerate(free):
        out[c, k] = Fraction(1)
        for r, p in enumerate(pivots):
            out[p, k] = -reduced[r, c]
    return out
