"""The complementary error function, of real and complex arrays of every library."""

from __future__ import annotations

import importlib
import math
from types import ModuleType

from .backend import Array, backend_of, dtype_name, real

__all__ = ["erfc"]

_TERMS = 12
_STEP = math.sqrt(math.pi / _TERMS)
_FAR = 30.0
"""From here on erfc is 0 or 2 in double precision, its derivative 0."""


def erfc(array: Array) -> Array:
    """Return the complementary error function.

    NumPy has SciPy's, CuPy its own for real arrays. Elsewhere it is a trapezoidal rule with the residues of the poles
    added, in array functions only, to some 4e-15 of its value: with h² = π/12 and t = h/2, 3h/2, …, for Re z ≥ 0,

        erfc z = e^(−z²) (2hz/π) Σ e^(−t²) / (z² + t²) + 2 / (1 + e^(2πz/h)),   the last term where Re z < π/h,

    and where Im z is near such a t, the same rule with t = h, 2h, …, and half a term at 0.

    Parameters
    ----------
    array : array, real or complex floating

    Returns
    -------
    array of the same shape and dtype

    Notes
    -----
    Al Azah and Chandler-Wilde, *Computation of the complex error function using modified trapezoidal rules*,
    SIAM J. Numer. Anal. 59 (2021), arXiv:2010.05659.

    Examples
    --------
    >>> import numpy as np
    >>> erfc(np.array([-30.0, 0.0]))
    array([2., 1.])
    """
    home = backend_of(array)
    if home.name == "numpy":
        from scipy import special

        return special.erfc(array)
    if home.name == "cupy" and not dtype_name(array).startswith("complex"):
        return importlib.import_module("cupyx.scipy.special").erfc(array)
    return _by_trapezoids(home.xp, array)


def _by_trapezoids(xp: ModuleType, array: Array) -> Array:
    """Return erfc by the rule above, in the functions of an array namespace."""
    left, number = real(array) < 0, array == array
    z = xp.where(left, -array, array)
    z = xp.where(number, xp.where(real(z) > _FAR, xp.full_like(z, _FAR), z), xp.zeros_like(z))
    near = real(z) < math.pi / _STEP
    pole = xp.exp((2 * math.pi / _STEP) * xp.where(near, z, xp.zeros_like(z)))
    total, correction = _sum(z * z, 0.5), 2.0 / (1.0 + pole)
    if dtype_name(array).startswith("complex"):
        phase = xp.abs(xp.imag(z)) / _STEP
        phase = phase - xp.floor(phase)
        # near a knot of the one rule its poles cancel digits; the other's knots are half a step away
        middle = (phase > 0.25) & (phase < 0.75)
        square = xp.where(middle, z * z, xp.ones_like(z))
        total = xp.where(middle, _sum(square, 1.0) + 0.5 / square, total)
        other = 2.0 / (1.0 - xp.where(middle & near, pole, xp.zeros_like(pole)))
        correction = xp.where(middle, other, correction)
    correction = xp.where(near, correction, xp.zeros_like(correction))
    found = _normal(xp, z) * ((2 * _STEP / math.pi) * z * total) + correction
    return xp.where(number, xp.where(left, 2.0 - found, found), array)


def _normal(xp: ModuleType, z: Array) -> Array:
    """Return e^(−z²): z² is rounded where it is small, its whole part being exact."""
    whole = xp.round(16.0 * real(z)) / 16.0
    return xp.exp(-whole * whole) * xp.exp((whole - z) * (whole + z))


def _sum(square: Array, first: float) -> Array:
    """Return Σ e^(−t²) / (z² + t²) over t = first · h, (first + 1) h, …"""
    knots = [(first + k) * _STEP for k in range(_TERMS)]
    total = math.exp(-(knots[0] ** 2)) / (square + knots[0] ** 2)
    for t in knots[1:]:
        total = total + math.exp(-t * t) / (square + t * t)
    return total
