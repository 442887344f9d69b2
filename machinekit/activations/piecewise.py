"""Activations in pieces; at a kink the derivative is the one-sided value from the left piece.

The exceptions follow custom: hardtanh, hardsigmoid and soft_threshold have slope 0 at both
kinks. Second derivatives follow the same side. Branches look at the real part only.
"""

from __future__ import annotations

from ..arrays import Array, astype, namespace, real
from .smooth import above_zero, below_zero, minus_size

__all__ = [
    "celu",
    "celu_second",
    "celu_slope",
    "elu",
    "elu_second",
    "elu_slope",
    "hardsigmoid",
    "hardsigmoid_slope",
    "hardtanh",
    "hardtanh_slope",
    "leaky_relu",
    "leaky_relu_slope",
    "relu",
    "relu_slope",
    "selu",
    "selu_second",
    "selu_slope",
    "soft_threshold",
    "soft_threshold_slope",
    "soft_threshold_slope_of_value",
    "softsign",
    "softsign_second",
    "softsign_slope",
]

_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_ALPHA = 1.6732632423543772848170429916717


def _pick(y: Array, right: Array, left: Array) -> Array:
    """Choose by side; the kink belongs to the left, and what is not a number goes right, where it shows."""
    return namespace(y).where(real(y) <= 0, left, right)


def _flat(y: Array, level: float) -> Array:
    return namespace(y).full_like(y, level)


def relu(y: Array) -> Array:
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating"):
        return xp.maximum(y, 0.0)
    return _pick(y, y, _flat(y, 0.0))


def relu_slope(y: Array) -> Array:
    """1 for y > 0, else 0; of σ(y) it is the same function, for σ(y) > 0 iff y > 0."""
    return astype(namespace(y).logical_not(real(y) <= 0), y.dtype)


def leaky_relu(y: Array, *, slope: float) -> Array:
    xp = namespace(y)
    if 0.0 < slope <= 1.0 and xp.isdtype(y.dtype, "real floating"):
        return xp.maximum(y, slope * y)
    return _pick(y, y, slope * y)


def leaky_relu_slope(y: Array, *, slope: float) -> Array:
    return _pick(y, _flat(y, 1.0), _flat(y, slope))


def _exp_below(y: Array) -> Array:
    """e^min(y, 0), the minimum being taken on the real part."""
    return namespace(y).exp(below_zero(y))


def elu(y: Array, *, alpha: float) -> Array:
    return alpha * namespace(y).expm1(below_zero(y)) + above_zero(y)


def elu_slope(y: Array, *, alpha: float) -> Array:
    return _pick(y, _flat(y, 1.0), alpha * _exp_below(y))


def elu_second(y: Array, *, alpha: float) -> Array:
    return _pick(y, _flat(y, 0.0), alpha * _exp_below(y))


def selu(y: Array) -> Array:
    return _SELU_SCALE * elu(y, alpha=_SELU_ALPHA)


def selu_slope(y: Array) -> Array:
    return _SELU_SCALE * elu_slope(y, alpha=_SELU_ALPHA)


def selu_second(y: Array) -> Array:
    return _SELU_SCALE * elu_second(y, alpha=_SELU_ALPHA)


def celu(y: Array, *, alpha: float) -> Array:
    return alpha * namespace(y).expm1(below_zero(y) / alpha) + above_zero(y)


def celu_slope(y: Array, *, alpha: float) -> Array:
    return _pick(y, _flat(y, 1.0), _exp_below(y / alpha))


def celu_second(y: Array, *, alpha: float) -> Array:
    return _pick(y, _flat(y, 0.0), _exp_below(y / alpha) / alpha)


def softsign(y: Array) -> Array:
    return y / (1.0 - minus_size(y))


def softsign_slope(y: Array) -> Array:
    shrunk = 1.0 / (1.0 - minus_size(y))
    return shrunk * shrunk


def softsign_second(y: Array) -> Array:
    shrunk = 1.0 / (1.0 - minus_size(y))
    return _pick(y, _flat(y, -2.0), _flat(y, 2.0)) * (shrunk * shrunk * shrunk)


def _between(y: Array, low: float, high: float, inside: Array, below: float, above: float) -> Array:
    xp = namespace(y)
    lower = xp.where(real(y) <= low, _flat(y, below), inside)
    return xp.where(real(y) >= high, _flat(y, above), lower)


def hardtanh(y: Array, *, low: float, high: float) -> Array:
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating"):
        return xp.clip(y, low, high)
    return _between(y, low, high, y, low, high)


def hardtanh_slope(y: Array, *, low: float, high: float) -> Array:
    return _between(y, low, high, _flat(y, 1.0), 0.0, 0.0)


def hardsigmoid(y: Array) -> Array:
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating"):
        return xp.clip(y / 6.0 + 0.5, 0.0, 1.0)
    return _between(y, -3.0, 3.0, y / 6.0 + 0.5, 0.0, 1.0)


def hardsigmoid_slope(y: Array) -> Array:
    return _between(y, -3.0, 3.0, _flat(y, 1.0 / 6.0), 0.0, 0.0)


def _within(y: Array, bound: float) -> Array:
    return (real(y) >= -bound) & (real(y) <= bound)


def soft_threshold(y: Array, *, threshold: float) -> Array:
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating"):
        return y - xp.clip(y, -threshold, threshold)
    shrunk = xp.where(real(y) < 0, y + threshold, y - threshold)
    return xp.where(_within(y, threshold), _flat(y, 0.0), shrunk)


def soft_threshold_slope(y: Array, *, threshold: float) -> Array:
    """1 where |y| > λ, else 0."""
    return astype(namespace(y).logical_not(_within(y, threshold)), y.dtype)


def soft_threshold_slope_of_value(z: Array) -> Array:
    """σ(y) = 0 iff |y| ≤ λ, differences of unequal numbers being never 0."""
    return astype(namespace(z).logical_not(real(z) == 0), z.dtype)
