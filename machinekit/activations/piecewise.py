"""Activations in pieces; at a kink the derivative is the one-sided value from the left piece.

The exceptions follow custom: hardtanh and hardsigmoid have slope 0 at both ends. Second
derivatives follow the same side. Branches look at the real part only.
"""

from __future__ import annotations

from ..arrays import Array, astype, namespace, real

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
        return xp.maximum(y, xp.zeros((), dtype=y.dtype, device=y.device))
    return _pick(y, y, _flat(y, 0.0))


def relu_slope(y: Array) -> Array:
    """1 for y > 0, else 0; of σ(y) it is the same function, for σ(y) > 0 iff y > 0."""
    return astype(namespace(y).logical_not(real(y) <= 0), y.dtype)


def leaky_relu(y: Array, *, slope: float) -> Array:
    return _pick(y, y, slope * y)


def leaky_relu_slope(y: Array, *, slope: float) -> Array:
    return _pick(y, _flat(y, 1.0), _flat(y, slope))


def _exp_below(y: Array) -> Array:
    """e^min(y, 0), the minimum being taken on the real part."""
    return namespace(y).exp(_pick(y, _flat(y, 0.0), y))


def _expm1_below(y: Array) -> Array:
    return namespace(y).expm1(_pick(y, _flat(y, 0.0), y))


def elu(y: Array, *, alpha: float) -> Array:
    return _pick(y, y, alpha * _expm1_below(y))


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
    return _pick(y, y, alpha * _expm1_below(y / alpha))


def celu_slope(y: Array, *, alpha: float) -> Array:
    return _pick(y, _flat(y, 1.0), _exp_below(y / alpha))


def celu_second(y: Array, *, alpha: float) -> Array:
    return _pick(y, _flat(y, 0.0), _exp_below(y / alpha) / alpha)


def _one_plus_size(y: Array) -> Array:
    """1 + |y|, analytic on either side of 0."""
    return 1.0 + _pick(y, y, -y)


def softsign(y: Array) -> Array:
    return y / _one_plus_size(y)


def softsign_slope(y: Array) -> Array:
    shrunk = 1.0 / _one_plus_size(y)
    return shrunk * shrunk


def softsign_second(y: Array) -> Array:
    shrunk = 1.0 / _one_plus_size(y)
    return _pick(y, _flat(y, -2.0), _flat(y, 2.0)) * (shrunk * shrunk * shrunk)


def _between(y: Array, low: float, high: float, inside: Array, below: float, above: float) -> Array:
    xp = namespace(y)
    lower = xp.where(real(y) <= low, _flat(y, below), inside)
    return xp.where(real(y) >= high, _flat(y, above), lower)


def hardtanh(y: Array, *, low: float, high: float) -> Array:
    return _between(y, low, high, y, low, high)


def hardtanh_slope(y: Array, *, low: float, high: float) -> Array:
    return _between(y, low, high, _flat(y, 1.0), 0.0, 0.0)


def hardsigmoid(y: Array) -> Array:
    return _between(y, -3.0, 3.0, y / 6.0 + 0.5, 0.0, 1.0)


def hardsigmoid_slope(y: Array) -> Array:
    return _between(y, -3.0, 3.0, _flat(y, 1.0 / 6.0), 0.0, 0.0)
