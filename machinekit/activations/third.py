"""Third derivatives of the built-in activations, which 3-jets and the duals of 2-jets need.

Stable at ±1e4 and analytic on either side of a kink, as the formulas they derive. Those of elu and selu are
their second derivatives, that of softplus is the second derivative of the logistic function.
"""

from __future__ import annotations

from ..arrays import Array, namespace, real
from .smooth import (
    TANH_CUBE,
    TANH_SCALE,
    gelu_tanh_inner,
    logistic_pair,
    mish_parts,
    normal_density,
    sigmoid_second,
    within_tails,
)

__all__ = [
    "celu_third",
    "gelu_tanh_third",
    "gelu_third",
    "logsigmoid_third",
    "mish_third",
    "sigmoid_third",
    "sigmoid_third_of_value",
    "silu_third",
    "sin_third",
    "softsign_third",
    "tanh_third",
    "tanh_third_of_value",
]


def sin_third(y: Array) -> Array:
    return -namespace(y).cos(y)


def tanh_third(y: Array) -> Array:
    return tanh_third_of_value(namespace(y).tanh(y))


def tanh_third_of_value(t: Array) -> Array:
    q = t * t
    return (q - 1.0) * (2.0 - 6.0 * q)


def sigmoid_third(y: Array) -> Array:
    s, c = logistic_pair(y)
    p = s * c
    return p * (1.0 - 6.0 * p)


def sigmoid_third_of_value(s: Array) -> Array:
    p = s * (1.0 - s)
    return p * (1.0 - 6.0 * p)


def logsigmoid_third(y: Array) -> Array:
    return -sigmoid_second(y)


def silu_third(y: Array) -> Array:
    s, c = logistic_pair(y)
    p, d = s * c, c - s
    return p * (3.0 * d + y * (d * d - 2.0 * p))


def mish_third(y: Array) -> Array:
    """With g = (1 − t²) s = t′ and h = g′/g = c − 2 t s: σ″ = g (2 + y h), σ‴ = g (3 h + y (h² + h′))."""
    t, rest = mish_parts(y)
    s, c = logistic_pair(y)
    g, h = rest * s, c - 2.0 * t * s
    return g * (3.0 * h + y * (h * h - s * (c + 2.0 * g + 2.0 * t * c)))


def gelu_third(y: Array) -> Array:
    y = within_tails(y)
    return normal_density(y) * y * (y * y - 4.0)


def gelu_tanh_third(y: Array) -> Array:
    """With f = s(q(y)), s the logistic function: σ = y f, σ‴ = 3 f″ + y f‴."""
    y = within_tails(y)
    q3 = 12.0 * TANH_SCALE * TANH_CUBE
    q2, q1 = q3 * y, 2.0 * TANH_SCALE * (1.0 + 3.0 * TANH_CUBE * (y * y))
    s, c = logistic_pair(gelu_tanh_inner(y))
    p, d = s * c, c - s
    return p * (3.0 * (d * q1 * q1 + q2) + y * ((1.0 - 6.0 * p) * q1 * q1 * q1 + 3.0 * d * q1 * q2 + q3))


def softsign_third(y: Array) -> Array:
    shrunk = 1.0 / (1.0 + namespace(y).where(real(y) <= 0, -y, y))
    square = shrunk * shrunk
    return 6.0 * (square * square)


def celu_third(y: Array, *, alpha: float) -> Array:
    xp = namespace(y)
    below = real(y) <= 0
    zero = xp.zeros_like(y)
    return xp.where(below, xp.exp(xp.where(below, y, zero) / alpha) / (alpha * alpha), zero)
