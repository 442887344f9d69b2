"""The proximal operators of smooth activations: one scalar equation per entry, solved for all entries at once.

σ = prox_f makes s = prox_{αf}(x) equal to σ(p) where p solves (1 − α) σ(p) + α p = x. The left side, h, has slopes
between α and (1 − α) max σ′ + α, all above 0: there is one p for every x. For complex x the answer is the analytic
continuation: the equation is solved on the real parts, and then for the complex numbers from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, namespace, precision, real, to_host
from .core import Function

__all__ = ["ScalarProx", "Slope", "newton", "read_step", "scalar_prox"]

Slope = Callable[[Array, float], Array]
"""(v, k) ↦ −(v′ + k), a new array, for a function whose derivative is one of its value."""

_EPS = {"double": 2.0**-52, "single": 2.0**-23}
_LIMIT = 200
_TILE_BYTES = 1 << 17
"""Numbers on the host are solved for so many bytes at a time, which all the steps find in the cache."""
_FURTHER = 6
"""Steps in complex arithmetic from the solution of the real parts: one gives the derivative, more the continuation."""


def read_step(alpha: Any) -> float:
    """Return the step size of a proximal operator as a Python float, which changes no dtype.

    Raises
    ------
    ValueError
        Unless it is positive and finite.
    """
    step = float(alpha)
    if not 0.0 < step < math.inf:
        raise ValueError(f"alpha is {step}; pass a step size above 0, finite")
    return step


def newton(value: Function, slope: Slope, k: float, x: Array, steps: int) -> Array:
    """Solve v(p) + k p = x by Newton's method from x/(1 + k); return p, a new array."""
    r = real(x)
    if isinstance(r, np.ndarray) and r.nbytes > _TILE_BYTES:
        p, whole = np.empty(r.shape, r.dtype), r.reshape(-1)
        flat, tile = p.reshape(-1), _TILE_BYTES // r.itemsize
        for at in range(0, r.size, tile):
            part = whole[at : at + tile]
            flat[at : at + tile] = _newton(value, slope, k, part, part / (1.0 + k), steps)
    else:
        p = _newton(value, slope, k, r, r / (1.0 + k), steps)
    if namespace(x).isdtype(x.dtype, "complex floating"):
        p = _newton(value, slope, k, x, p + namespace(x).zeros_like(x), _FURTHER)
    return p


def _newton(value: Function, slope: Slope, k: float, x: Array, p: Array, steps: int) -> Array:
    for _ in range(steps):
        v = value(p)
        down = slope(v, k)
        v -= x
        v += k * p
        v /= down
        p += v
    return p


@dataclass(frozen=True)
class ScalarProx:
    """prox_{αf} of an increasing σ = prox_f, by Newton's method within a bracket; `scalar_prox` makes it.

    Parameters
    ----------
    value, derivative : callable
        σ and σ′.
    steepest : float
        No σ′ is above it.
    """

    value: Function
    derivative: Function
    steepest: float = 1.0

    def __call__(self, x: Array, alpha: float) -> Array:
        """Return prox_{αf}(x), a new array of the shape and dtype of `x`; σ(x) itself for α = 1."""
        alpha = read_step(alpha)
        p = x if alpha == 1.0 else self._root(real(x), alpha)
        if alpha != 1.0 and namespace(x).isdtype(x.dtype, "complex floating"):
            p = p + namespace(x).zeros_like(x)
            for _ in range(_FURTHER):
                excess = (1.0 - alpha) * self.value(p) + alpha * p - x
                p = p - excess / (alpha + (1.0 - alpha) * self.derivative(p))
        value = self.value(p)
        return value + 0 if value is x else value

    def _root(self, x: Array, alpha: float) -> Array:
        """Solve the equation for real x by Newton steps, or the middle of the bounds where one would leave them.

        Every point bounds p on both sides, by the least and the greatest slope that the left side can have.
        """
        xp, a, eps = namespace(x), 1.0 - alpha, _EPS[precision(x, "x")]
        least, most = sorted((alpha, alpha + a * self.steepest))
        p, low, high = x, xp.full_like(x, -math.inf), xp.full_like(x, math.inf)
        for _ in range(_LIMIT):
            value = a * self.value(p)
            excess = value + alpha * p - x
            noise = 4.0 * eps * (xp.abs(value) + xp.abs(alpha * p) + xp.abs(x))
            going = (xp.abs(excess) > noise) & (high - low > 4.0 * eps * xp.abs(p))
            if not to_host(xp.reshape(going, (-1,))).any():
                break
            far, near = excess / least, excess / most
            low, high = xp.maximum(low, p - xp.maximum(far, near)), xp.minimum(high, p - xp.minimum(far, near))
            new = p - excess / xp.clip(alpha + a * self.derivative(p), least, most)
            inside = (new >= low) & (new <= high)
            p = xp.where(going, xp.where(inside, new, low + 0.5 * (high - low)), p)
        return p


def scalar_prox(value: Function, derivative: Function, steepest: float = 1.0) -> ScalarProx:
    """Make the `prox` of an activation of your own, for σ smooth, increasing and nonexpansive.

    Parameters
    ----------
    value, derivative : callable
        σ and σ′, as given to `mk.Activation`; at complex points too if the proximal operator is to take them.
    steepest : float
        The largest σ′, at most 1.

    Returns
    -------
    ScalarProx
        (x, alpha) ↦ prox_{αf}(x) with σ = prox_f; it can be pickled where σ and σ′ can.

    Raises
    ------
    TypeError
        If `value` or `derivative` is not callable.
    ValueError
        Unless 0 < `steepest` ≤ 1: a map that expands is no proximal operator.

    Notes
    -----
    prox_{αf}(x) = σ(p) where (1 − α) σ(p) + α p = x. Newton's method with the slope clipped to its known bounds,
    and bisection where a step leaves those of p: some 5 to 12 evaluations of σ and σ′, 30 where σ″ changes sign often.
    J. J. Moreau, Bull. Soc. Math. France 93 (1965), 273–299; arXiv:2006.08591, §3.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> arctan = mk.Activation(
    ...     np.arctan, lambda y: 1 / (1 + y**2), prox=mk.activations.scalar_prox(np.arctan, lambda y: 1 / (1 + y**2))
    ... )
    >>> s = arctan.prox(np.array([2.0]), 0.5)  # f′(s) = tan s − s
    >>> np.round(s + 0.5 * (np.tan(s) - s), 12)
    array([2.])
    """
    for role, given in (("value", value), ("derivative", derivative)):
        if not callable(given):
            raise TypeError(f"{role} is {given!r}; pass a function of one array")
    steepest = float(steepest)
    if not 0.0 < steepest <= 1.0:
        raise ValueError(f"steepest is {steepest}; a proximal operator has slopes up to 1, pass the largest of σ")
    return ScalarProx(value, derivative, steepest)
