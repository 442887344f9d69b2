"""The proximal operators prox_{αf} of the built-in activations σ = prox_f, by closed form or by Newton's method.

Each takes (x, alpha) and returns a new array; alpha = 1 gives σ(x). Branches look at the real part only, as those
of σ do, so that complex numbers see the analytic continuation. arXiv:2006.08591, §3; J. J. Moreau, 1965.

The smooth ones solve v(p) + k p = w for p with v = tanh, softplus or e^p − 1 by Newton's method, in a number of
steps that depends on α alone: no look at the data, no transfer. It starts where v(p) = p would solve the equation;
the left side being convex or concave between there and the solution, on the right side, all steps go one way.
"""

from __future__ import annotations

import math

from ..arrays import Array, namespace, precision
from . import piecewise as pw
from . import smooth as s
from .scalar import newton, read_step
from .smooth import minus_size

__all__ = [
    "celu_prox",
    "elu_prox",
    "hardsigmoid_prox",
    "hardtanh_prox",
    "identity_prox",
    "leaky_relu_prox",
    "logsigmoid_prox",
    "relu_prox",
    "sigmoid_prox",
    "soft_threshold_prox",
    "softplus_prox",
    "softsign_prox",
    "tanh_prox",
]


def identity_prox(x: Array, alpha: float) -> Array:
    """f = 0."""
    read_step(alpha)
    return x + 0


def relu_prox(x: Array, alpha: float) -> Array:
    """f is the indicator of [0, ∞): the projection, whatever α."""
    read_step(alpha)
    return pw.relu(x)


def hardtanh_prox(x: Array, alpha: float, *, low: float, high: float) -> Array:
    """f is the indicator of [low, high]."""
    read_step(alpha)
    return pw.hardtanh(x, low=low, high=high)


def leaky_relu_prox(x: Array, alpha: float, *, slope: float) -> Array:
    """f(s) = ½ (1/k − 1) min(s, 0)² with slope k in [0, 1]: x < 0 is multiplied by k/(k + α (1 − k))."""
    return pw.leaky_relu(x, slope=slope / (slope + read_step(alpha) * (1.0 - slope)))


def soft_threshold_prox(x: Array, alpha: float, *, threshold: float) -> Array:
    """f(s) = λ |s|: the threshold is αλ."""
    return pw.soft_threshold(x, threshold=read_step(alpha) * threshold)


def hardsigmoid_prox(x: Array, alpha: float) -> Array:
    """f(s) = 5/2 s² − 3 s on [0, 1]: (x + 3 α)/(1 + 5 α), clipped."""
    alpha = read_step(alpha)
    return pw.hardtanh((x + 3.0 * alpha) / (1.0 + 5.0 * alpha), low=0.0, high=1.0)


def softsign_prox(x: Array, alpha: float) -> Array:
    """f(s) = −log(1 − |s|) − |s| − ½ s²: the root of (1 − α) s² − (1 + |x|) s + |x| = 0 in [0, 1), with the sign of x.

    With c = 1/(1 + |x|) and u = x c that is 2 u/(1 + √((c − |u|)² + 4 α c |u|)): nothing cancels or overflows.
    """
    alpha, xp = read_step(alpha), namespace(x)
    size = minus_size(x)
    c = 1.0 / (1.0 - size)
    size *= c
    rest = c + size
    return 2.0 * (x * c) / (1.0 + xp.sqrt(rest * rest - 4.0 * alpha * (c * size)))


def _steps(alpha: float, x: Array) -> int:
    """Return how many Newton steps reach rounding for all x, as counted on fine grids of x and α."""
    base, far = (2 if precision(x, "x") == "double" else 1), abs(math.log2(alpha))
    return base + math.ceil(2.0 * min(far, 1.0) - 0.1) + math.ceil(0.65 * max(far - 1.0, 0.0))


def _tanh_slope(t: Array, k: float) -> Array:
    s = t * t
    s -= 1.0 + k
    return s


def tanh_prox(x: Array, alpha: float) -> Array:
    """f′(s) = artanh s − s: (1 − α) tanh p + α p = x."""
    alpha = read_step(alpha)
    if alpha == 1.0:
        return s.tanh(x)
    a = 1.0 - alpha
    return s.tanh(newton(s.tanh, _tanh_slope, alpha / a, x / a, _steps(alpha, x)))


def sigmoid_prox(x: Array, alpha: float) -> Array:
    """f′(s) = logit s − s; with p = 2 q and σ(p) = ½ (1 + tanh q): ½ (1 − α) tanh q + 2 α q = x − ½ (1 − α)."""
    alpha = read_step(alpha)
    if alpha == 1.0:
        return s.sigmoid(x)
    a = 0.5 * (1.0 - alpha)
    return s.sigmoid(2.0 * newton(s.tanh, _tanh_slope, 2.0 * alpha / a, (x - a) / a, _steps(alpha, x)))


def _softplus_slope(v: Array, k: float) -> Array:
    e = namespace(v).exp(-v)
    e -= 1.0 + k
    return e


def softplus_prox(x: Array, alpha: float) -> Array:
    """f′(s) = log(e^s − 1) − s: (1 − α) softplus p + α p = x."""
    alpha = read_step(alpha)
    if alpha == 1.0:
        return s.softplus(x)
    a = 1.0 - alpha
    return s.softplus(newton(s.softplus, _softplus_slope, alpha / a, x / a, _steps(alpha, x)))


def logsigmoid_prox(x: Array, alpha: float) -> Array:
    """σ(y) = −softplus(−y), and so is its proximal operator."""
    return -softplus_prox(-x, alpha)


def _exponential_slope(v: Array, k: float) -> Array:
    return -(1.0 + k) - v


def _below(x: Array, alpha: float, scale: float) -> Array:
    """Return e^p − 1 with (1 − α) a (e^p − 1) + α p = min(x, 0)."""
    xp, a = namespace(x), (1.0 - alpha) * scale
    return xp.expm1(newton(xp.expm1, _exponential_slope, alpha / a, s.below_zero(x) / a, _steps(alpha, x)))


def elu_prox(x: Array, alpha: float, *, scale: float) -> Array:
    """f′(s) = log(1 + s/a) − s below 0, for a ≤ 1: (1 − α) a (e^p − 1) + α p = x."""
    alpha = read_step(alpha)
    return pw.elu(x, alpha=scale) if alpha == 1.0 else scale * _below(x, alpha, scale) + s.above_zero(x)


def celu_prox(x: Array, alpha: float, *, scale: float) -> Array:
    """σ(y) = a elu(y/a) with elu of a = 1, and so is its proximal operator."""
    alpha = read_step(alpha)
    return pw.celu(x, alpha=scale) if alpha == 1.0 else scale * _below(x / scale, alpha, 1.0) + s.above_zero(x)
