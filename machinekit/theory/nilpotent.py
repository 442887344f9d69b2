"""Nilpotent operators in exact arithmetic: the linear machines of finite depth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .subspaces import exact, read_exact

__all__ = ["neumann", "nilpotency_index"]


def _square(matrix: Any) -> np.ndarray:
    a = read_exact("matrix", matrix)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"matrix has shape {a.shape}; an operator needs a square one")
    return a


def nilpotency_index(matrix: Any) -> float:
    """Return the least k with Mᵏ = 0, exactly; ``math.inf`` if there is none.

    Parameters
    ----------
    matrix : array of shape (n, n), integers or fractions.Fraction

    Returns
    -------
    int or math.inf
        At most n if finite: a linear endofunction has finite depth iff it is nilpotent
        (arXiv:2204.12786, Remark 2).

    Raises
    ------
    TypeError
        For floats.
    ValueError
        If the matrix is not square.

    Examples
    --------
    >>> from machinekit.theory import nilpotency_index
    >>> nilpotency_index([[0, 1, 5], [0, 0, 2], [0, 0, 0]])
    3
    >>> nilpotency_index([[1]])
    inf
    """
    a = _square(matrix)
    power = exact(np.eye(a.shape[0], dtype=int))
    for k in range(a.shape[0] + 1):
        if not power.any():
            return k
        power = power @ a
    return math.inf


def neumann(matrix: Any) -> np.ndarray:
    """Return (1 − M)⁻¹ = Σ_k Mᵏ, exactly, an object array of fractions.

    Raises
    ------
    TypeError
        For floats.
    ValueError
        If the matrix is not square, or not nilpotent, so that the series does not end.

    Examples
    --------
    >>> from machinekit.theory import neumann
    >>> neumann([[0, 2], [0, 0]]).astype(int)
    array([[1, 2],
           [0, 1]])
    """
    a = _square(matrix)
    total, power = exact(np.zeros(a.shape, dtype=int)), exact(np.eye(a.shape[0], dtype=int))
    for _ in range(a.shape[0] + 1):
        if not power.any():
            return total
        total, power = total + power, power @ a
    n = a.shape[0]
    raise ValueError(
        f"matrix of shape {a.shape} is not nilpotent, its power {n} not being 0, so its Neumann series does not end; "
        "solve (1 − M) x = x0 instead"
    )
