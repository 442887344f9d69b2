"""The pointwise step in place: σ(y) into z, σ′ into a slope, with as few array passes as each σ allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..activations import Activation, Blockwise, get_activation

__all__ = ["into", "slopes_into"]

_TANH = get_activation("tanh").value
_IN_PLACE: dict[Any, Callable[..., Any]] = {
    _TANH: np.tanh,
    get_activation("sin").value: np.sin,
    get_activation("square").value: np.square,
    get_activation("identity").value: np.positive,
}


def into(activation: Activation) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Return a function that writes σ of its first argument into its second."""
    value = activation.value
    try:
        if value in _IN_PLACE:
            return _IN_PLACE[value]
    except TypeError:  # a user's callable that cannot be hashed
        pass

    def assign(y: np.ndarray, z: np.ndarray) -> None:
        z[...] = value(y)

    return assign


def slopes_into(sigma: Blockwise, y: np.ndarray, value: np.ndarray | None, out: np.ndarray, axis: int) -> None:
    """Write σ′(y) into `out`, from the stored values σ(y) where that is stable and cheaper.

    Parameters
    ----------
    y, out : arrays of one shape
        The channels along `axis`.
    value : array of that shape, or None
        σ(y), where nothing was added to it.
    """
    if sigma.single is not None:
        _slope_into(sigma.single, y, value, out)
        return
    before = (slice(None),) * axis
    for activation, block in zip(sigma.activations, sigma.blocks, strict=True):
        if block.stop > block.start:
            part = (*before, block)
            _slope_into(activation, y[part], None if value is None else value[part], out[part])


def _slope_into(activation: Activation, y: np.ndarray, value: np.ndarray | None, out: np.ndarray) -> None:
    if value is None or activation.slope_of_value is None:
        out[...] = activation.derivative(y)
    elif activation.value is _TANH:
        np.multiply(value, value, out)
        np.subtract(1.0, out, out)
    else:
        out[...] = activation.slope_of_value(value)
