"""Activations that are analytic on the real line, with two derivatives each.

Every formula is stable at ±1e4 and analytic in a strip around the real axis: branches are taken
on the real part and no absolute value, maximum or clip touches a complex number, so that the
complex step sees the true derivative.
"""

from __future__ import annotations

import math

from ..arrays import Array, erfc, namespace, real

__all__ = [
    "TANH_CUBE",
    "TANH_SCALE",
    "above_zero",
    "below_zero",
    "gelu",
    "gelu_second",
    "gelu_slope",
    "gelu_tanh",
    "gelu_tanh_inner",
    "gelu_tanh_second",
    "gelu_tanh_slope",
    "identity",
    "identity_slope",
    "logistic_pair",
    "logsigmoid",
    "logsigmoid_second",
    "logsigmoid_slope",
    "minus_size",
    "mish",
    "mish_parts",
    "mish_second",
    "mish_slope",
    "normal_density",
    "sigmoid",
    "sigmoid_second",
    "sigmoid_second_of_value",
    "sigmoid_slope",
    "sigmoid_slope_of_value",
    "silu",
    "silu_second",
    "silu_slope",
    "sin",
    "sin_second",
    "sin_slope",
    "softplus",
    "square",
    "square_second",
    "square_slope",
    "tanh",
    "tanh_second",
    "tanh_second_of_value",
    "tanh_slope",
    "tanh_slope_of_value",
    "within_tails",
    "zero",
]

_ROOT = math.sqrt(0.5)
_NORMAL = 1.0 / math.sqrt(2.0 * math.pi)
TANH_SCALE = math.sqrt(2.0 / math.pi)
TANH_CUBE = 0.044715


def identity(y: Array) -> Array:
    return y + 0


def identity_slope(y: Array) -> Array:
    return namespace(y).ones_like(y)


def zero(y: Array) -> Array:
    return namespace(y).zeros_like(y)


def square(y: Array) -> Array:
    return y * y


def square_slope(y: Array) -> Array:
    return 2.0 * y


def square_second(y: Array) -> Array:
    return namespace(y).full_like(y, 2.0)


def sin(y: Array) -> Array:
    return namespace(y).sin(y)


def sin_slope(y: Array) -> Array:
    return namespace(y).cos(y)


def sin_second(y: Array) -> Array:
    return -namespace(y).sin(y)


def tanh(y: Array) -> Array:
    return namespace(y).tanh(y)


def tanh_slope(y: Array) -> Array:
    return tanh_slope_of_value(tanh(y))


def tanh_slope_of_value(t: Array) -> Array:
    s = t * t  # one new array, and then in place
    s *= -1.0
    s += 1.0
    return s


def tanh_second(y: Array) -> Array:
    return tanh_second_of_value(tanh(y))


def tanh_second_of_value(t: Array) -> Array:
    s = t * t
    s -= 1.0
    s *= t
    s *= 2.0
    return s


def minus_size(y: Array) -> Array:
    """−|y|, analytic on either side of 0; a new array."""
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating"):
        size = xp.abs(y)
        size *= -1.0
        return size
    return xp.where(real(y) <= 0, y, -y)


def above_zero(y: Array) -> Array:
    """max(y, 0), the maximum being taken on the real part; a new array."""
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating"):
        return xp.clip(y, 0.0, None)
    return xp.where(real(y) <= 0, xp.zeros_like(y), y)


def below_zero(y: Array) -> Array:
    """min(y, 0), the minimum being taken on the real part; a new array."""
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating"):
        return xp.clip(y, None, 0.0)
    return xp.where(real(y) <= 0, y, xp.zeros_like(y))


def logistic_pair(y: Array) -> tuple[Array, Array]:
    """Return s(y) and 1 − s(y), both to full relative accuracy: e^−|y| is never above 1."""
    xp = namespace(y)
    negative = real(y) <= 0
    e = xp.exp(minus_size(y))
    small, large = e / (1.0 + e), 1.0 / (1.0 + e)
    return xp.where(negative, small, large), xp.where(negative, large, small)


def sigmoid(y: Array) -> Array:
    return logistic_pair(y)[0]


def sigmoid_slope(y: Array) -> Array:
    s, c = logistic_pair(y)
    return s * c


def sigmoid_slope_of_value(s: Array) -> Array:
    return s * (1.0 - s)


def sigmoid_second_of_value(s: Array) -> Array:
    return s * (1.0 - s) * (1.0 - 2.0 * s)


def sigmoid_second(y: Array) -> Array:
    s, c = logistic_pair(y)
    return s * c * (c - s)


def softplus(y: Array) -> Array:
    xp = namespace(y)
    v = xp.log1p(xp.exp(minus_size(y)))
    v += above_zero(y)
    return v


def logsigmoid(y: Array) -> Array:
    return -softplus(-y)


def logsigmoid_slope(y: Array) -> Array:
    return logistic_pair(y)[1]


def logsigmoid_second(y: Array) -> Array:
    return -sigmoid_slope(y)


def silu(y: Array) -> Array:
    return y * sigmoid(y)


def silu_slope(y: Array) -> Array:
    s, c = logistic_pair(y)
    return s * (1.0 + y * c)


def silu_second(y: Array) -> Array:
    s, c = logistic_pair(y)
    return s * c * (2.0 + y * (c - s))


def mish_parts(y: Array) -> tuple[Array, Array]:
    """Return t = tanh(softplus y) and 1 − t², from e = e^−|y|, without cancellation."""
    xp = namespace(y)
    negative = real(y) < 0
    e = xp.exp(xp.where(negative, y, -y))
    below, above = e * e + 2.0 * e + 2.0, 1.0 + 2.0 * e + 2.0 * e * e
    t = xp.where(negative, e * (e + 2.0) / below, (1.0 + 2.0 * e) / above)
    head = (1.0 + e) * (1.0 + e)
    return t, xp.where(negative, 4.0 * head / (below * below), 4.0 * e * e * head / (above * above))


def mish(y: Array) -> Array:
    return y * mish_parts(y)[0]


def mish_slope(y: Array) -> Array:
    t, rest = mish_parts(y)
    return t + y * rest * sigmoid(y)


def mish_second(y: Array) -> Array:
    t, rest = mish_parts(y)
    s, c = logistic_pair(y)
    return rest * s * (2.0 + y * (c - 2.0 * t * s))


def gelu(y: Array) -> Array:
    return 0.5 * y * erfc(-_ROOT * y)


def within_tails(y: Array) -> Array:
    """y, taken to ±40 beyond, where every Gaussian and logistic tail has long vanished: no power overflows."""
    xp = namespace(y)
    low = xp.where(real(y) < -40.0, xp.full_like(y, -40.0), y)
    return xp.where(real(y) > 40.0, xp.full_like(y, 40.0), low)


def normal_density(y: Array) -> Array:
    return _NORMAL * namespace(y).exp(-0.5 * (y * y))


def gelu_slope(y: Array) -> Array:
    y = within_tails(y)
    return 0.5 * erfc(-_ROOT * y) + y * normal_density(y)


def gelu_second(y: Array) -> Array:
    y = within_tails(y)
    return normal_density(y) * (2.0 - y * y)


def gelu_tanh_inner(y: Array) -> Array:
    """2p with p = √(2/π)(y + 0.044715 y³): ½(1 + tanh p) is the logistic function of 2p."""
    return 2.0 * TANH_SCALE * (y + TANH_CUBE * (y * y * y))


def gelu_tanh(y: Array) -> Array:
    return y * sigmoid(gelu_tanh_inner(within_tails(y)))


def gelu_tanh_slope(y: Array) -> Array:
    y = within_tails(y)
    s, c = logistic_pair(gelu_tanh_inner(y))
    return s + y * s * c * (2.0 * TANH_SCALE * (1.0 + 3.0 * TANH_CUBE * (y * y)))


def gelu_tanh_second(y: Array) -> Array:
    y = within_tails(y)
    s, c = logistic_pair(gelu_tanh_inner(y))
    first = 2.0 * TANH_SCALE * (1.0 + 3.0 * TANH_CUBE * (y * y))
    bent = 12.0 * TANH_SCALE * TANH_CUBE * y
    return s * c * (2.0 * first + y * ((c - s) * first * first + bent))
