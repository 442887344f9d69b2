"""Subspaces of Kⁿ by bases: spans, ranks, annihilators; in floats by singular values, in fractions exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["annihilator", "contains", "exact", "is_exact", "span"]

_RANK = 1e-9
"""Singular values below this, relative to the largest, count as zero."""


def is_exact(array: np.ndarray) -> bool:
    """Tell whether an array holds integers or fractions."""
    return array.dtype.kind in "Oiub"


def exact(array: Any) -> np.ndarray:
    """Return integers or fractions as an object array of Fractions, which cannot overflow.

    Raises
    ------
    TypeError
        For floats: what they round to zero need not be zero.
    """
    given = np.asarray(array)
    if not is_exact(given):
        raise TypeError(f"the array is {given.dtype}; exact arithmetic needs integers or fractions.Fraction entries")
    out = np.empty(given.shape, dtype=object)
    for index, value in np.ndenumerate(given):
        if not isinstance(value, int | np.integer | np.bool_ | Fraction):
            raise TypeError(
                f"entry {index} is {value!r}; exact arithmetic needs integers or fractions.Fraction entries"
            )
        out[index] = value if isinstance(value, Fraction) else Fraction(int(value))
    return out


def span(vectors: np.ndarray, scale: float = 0.0) -> np.ndarray:
    """Return a basis, in columns, of the span of the columns: orthonormal in floats, echelon in fractions.

    In floats, what is below rounding of the largest vector, or of `scale`, counts as zero.
    """
    if vectors.shape[1] == 0:
        return vectors
    if is_exact(vectors):
        return _echelon(exact(vectors))
    u, s, _ = np.linalg.svd(vectors, full_matrices=False)
    small = 1e-3 if vectors.dtype.name in ("float32", "complex64") else _RANK
    return u[:, s > small * max(float(s[0]), scale, np.finfo(float).tiny)] if s.size else vectors[:, :0]


def contains(basis: np.ndarray, vectors: np.ndarray, scale: float = 0.0) -> float:
    """Return how far columns are from the span of `basis`, relative to the largest norm or to `scale`; 0 if within."""
    if vectors.shape[1] == 0:
        return 0.0
    if is_exact(vectors) and is_exact(basis):
        both = np.concatenate([exact(basis), exact(vectors)], axis=1)
        return 0.0 if span(both).shape[1] == span(basis).shape[1] else float("inf")
    q = span(basis)
    outside = vectors - q @ (q.conj().T @ vectors) if q.shape[1] else vectors
    size = max(float(np.linalg.norm(vectors, axis=0).max()), scale)
    return float(np.linalg.norm(outside, axis=0).max()) / size if size else 0.0


def annihilator(basis: np.ndarray) -> np.ndarray:
    """Return a basis of the functionals that vanish on the span: {w: wᵀ v = 0 for all v in it}."""
    n = basis.shape[0]
    if is_exact(basis):
        return _null_space(exact(basis).T, n)
    u, s, _ = np.linalg.svd(basis, full_matrices=True)
    rank = int((s > _RANK * float(s[0])).sum()) if s.size and s[0] > 0 else 0
    return np.conj(u[:, rank:])


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
