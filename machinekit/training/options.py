"""Numbers given as options: positive or at least 0, finite, or an error that names them."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["nonnegative", "positive"]


def positive(name: str, value: Any) -> float:
    """Return a positive finite number as a float.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not positive, or not finite.
    """
    if _number(name, value, "a positive number") > 0:
        return float(value)
    raise ValueError(f"{name} is {value}; pass a positive finite number")


def nonnegative(name: str, value: Any) -> float:
    """Return a finite number, at least 0, as a float; raises as `positive`."""
    if _number(name, value, "a number, at least 0") >= 0:
        return float(value)
    raise ValueError(f"{name} is {value}; pass a finite number, at least 0")


def _number(name: str, value: Any, wanted: str) -> float:
    """Return a finite number, or NaN for one that is not."""
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}; pass {wanted}")
    return float(value) if math.isfinite(value) else math.nan
