"""Bases: matrices B whose columns are functions on 0 … n − 1, for weights W = B θ that are smooth by construction."""

from __future__ import annotations

import math

import numpy as np

from ..machines.build import integer
from .options import positive

__all__ = ["bspline", "cosine", "gaussian"]


def bspline(n: int, count: int, degree: int = 3) -> np.ndarray:
    """Return clamped B-splines with equally spaced knots on [0, n − 1], at the integers.

    Parameters
    ----------
    n : int
        Positions, such as the lags of a kernel.
    count : int
        Splines, more than `degree` and at most `n`.
    degree : int
        At least 0; 3 are cubic splines, with two continuous derivatives.

    Returns
    -------
    float64 host array of shape (n, count)
        Not negative; every row sums to 1.

    Raises
    ------
    ValueError, TypeError
        Counts out of range, or no integers.

    Notes
    -----
    ``scipy.interpolate.BSpline.design_matrix``. A penalty on differences of adjacent coefficients, as
    `mk.penalties.lag_smoothness`, makes them P-splines (Eilers & Marx, Statistical Science 11 (1996)).

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.bases.bspline(5, 3, degree=1)
    array([[1. , 0. , 0. ],
           [0.5, 0.5, 0. ],
           [0. , 1. , 0. ],
           [0. , 0.5, 0.5],
           [0. , 0. , 1. ]])
    """
    from scipy.interpolate import BSpline

    degree = integer("degree", degree, 0)
    n, count = _counts(n, count)
    if count <= degree:
        raise ValueError(f"count is {count} but degree {degree}; pass a count of at least {degree + 1}")
    if n == 1:
        return np.ones((1, 1))
    ends = (np.zeros(degree), np.linspace(0.0, n - 1.0, count - degree + 1), np.full(degree, n - 1.0))
    return BSpline.design_matrix(np.arange(float(n)), np.concatenate(ends), degree).toarray()


def gaussian(n: int, count: int, width: float) -> np.ndarray:
    """Return the bumps exp(−½ ((l − c)/width)²) at l = 0 … n − 1, with centres c equally spaced on [0, n − 1].

    Parameters
    ----------
    n, count : int
        Positions, and bumps, at least 1 and at most `n`. One bump is in the middle.
    width : float
        The standard deviation, in positions.

    Returns
    -------
    float64 host array of shape (n, count)

    Raises
    ------
    ValueError, TypeError
        As `bspline`; a width that is not positive.

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.bases.gaussian(3, 2, 1.0).round(3)
    array([[1.   , 0.135],
           [0.607, 0.607],
           [0.135, 1.   ]])
    """
    n, count = _counts(n, count)
    width = positive("width", width)
    centres = np.linspace(0.0, n - 1.0, count) if count > 1 else np.array([0.5 * (n - 1)])
    return np.exp(-0.5 * ((np.arange(n)[:, None] - centres) / width) ** 2)


def cosine(n: int, count: int) -> np.ndarray:
    """Return the first cosines √(2/n) cos(π k (l + ½)/n) at l = 0 … n − 1, the constant 1/√n first.

    Parameters
    ----------
    n, count : int
        Positions, and functions, at least 1 and at most `n`.

    Returns
    -------
    float64 host array of shape (n, count)
        Orthonormal columns: the first of the discrete cosine transform (DCT-II).

    Raises
    ------
    ValueError, TypeError
        As `bspline`.

    Examples
    --------
    >>> import machinekit as mk
    >>> basis = mk.bases.cosine(4, 2)
    >>> (basis.T @ basis).round(12) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    n, count = _counts(n, count)
    k = np.arange(count)
    scale = np.where(k == 0, math.sqrt(1.0 / n), math.sqrt(2.0 / n))
    angle = math.pi / n * k * (np.arange(n)[:, None] + 0.5)
    return np.asarray(scale * np.cos(angle))


def _counts(n: int, count: int) -> tuple[int, int]:
    n, count = integer("n", n, 1), integer("count", count, 1)
    if count > n:
        raise ValueError(f"count is {count} but n is {n}; pass at most n, else the coefficients are not determined")
    return n, count
