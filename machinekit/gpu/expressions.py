"""The built-in activations in CUDA C++: σ, σ′ and σ″ as expressions, numerically as careful as the array formulas.

Of type T, float or double, in `y`; what is given by the value σ(y) is in `z`. Kinks, NaN and infinities are
treated as in `machinekit.activations`: at a kink the left piece, and what is not a number stays visible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..activations import NAMES, Activation, get_activation
from ..activations.smooth import TANH_CUBE, TANH_SCALE

__all__ = ["HELPERS", "Expressions", "expressions"]


@dataclass(frozen=True)
class Expressions:
    """An activation in CUDA C++.

    Attributes
    ----------
    value, slope, second : str
        σ, σ′ and σ″, expressions of type T in `y`, which they may name more than once.
    slope_of_value, second_of_value : str or None
        σ′ and σ″ in `z` = σ(y), where there are stable ones.
    """

    value: str
    slope: str
    second: str = "T(0)"
    slope_of_value: str | None = None
    second_of_value: str | None = None


HELPERS = f"""
template <typename T> __device__ inline T mk_small(T y) {{ T e = exp(-fabs(y)); return e / (T(1) + e); }}
template <typename T> __device__ inline T mk_large(T y) {{ return T(1) / (T(1) + exp(-fabs(y))); }}
template <typename T> __device__ inline T mk_sigmoid(T y) {{
    T e = exp(-fabs(y));
    return (y <= T(0) ? e : T(1)) / (T(1) + e);
}}
template <typename T> __device__ inline T mk_sigmoid_slope(T y) {{
    T e = exp(-fabs(y)), large = T(1) / (T(1) + e);
    return e / (T(1) + e) * large;
}}
template <typename T> __device__ inline T mk_sigmoid_second(T y) {{
    T e = exp(-fabs(y)), small = e / (T(1) + e), large = T(1) / (T(1) + e);
    return small * large * (y <= T(0) ? large - small : small - large);
}}
template <typename T> __device__ inline T mk_tanh_second(T t) {{ return (t * t - T(1)) * t * T(2); }}
template <typename T> __device__ inline T mk_tanh_slope(T y) {{ T t = tanh(y); return T(1) - t * t; }}
template <typename T> __device__ inline T mk_softplus(T y) {{ return log1p(exp(-fabs(y))) + (y < T(0) ? T(0) : y); }}
template <typename T> __device__ inline T mk_softsign_slope(T y) {{ T r = T(1) / (T(1) + fabs(y)); return r * r; }}
template <typename T> __device__ inline T mk_softsign_second(T y) {{
    T r = T(1) / (T(1) + fabs(y));
    return (y <= T(0) ? T(2) : T(-2)) * (r * r * r);
}}
template <typename T> __device__ inline T mk_clip(T y, T low, T high) {{ return y < low ? low : y > high ? high : y; }}
template <typename T> __device__ inline T mk_gelu(T y) {{
    return T(0.5) * y * erfc(T({-math.sqrt(0.5)!r}) * y);
}}
template <typename T> __device__ inline T mk_gelu_slope(T y) {{
    y = mk_clip(y, T(-40), T(40));
    return T(0.5) * erfc(T({-math.sqrt(0.5)!r}) * y) + y * (T({1 / math.sqrt(2 * math.pi)!r}) * exp(T(-0.5) * (y * y)));
}}
template <typename T> __device__ inline T mk_gelu_second(T y) {{
    y = mk_clip(y, T(-40), T(40));
    return T({1 / math.sqrt(2 * math.pi)!r}) * exp(T(-0.5) * (y * y)) * (T(2) - y * y);
}}
template <typename T> __device__ inline T mk_gelu_inner(T y) {{
    return T({2 * TANH_SCALE!r}) * (y + T({TANH_CUBE!r}) * (y * y * y));
}}
template <typename T> __device__ inline T mk_gelu_tanh(T y) {{
    return y * mk_sigmoid(mk_gelu_inner(mk_clip(y, T(-40), T(40))));
}}
template <typename T> __device__ inline T mk_gelu_tanh_slope(T y) {{
    y = mk_clip(y, T(-40), T(40));
    T q = mk_gelu_inner(y);
    return mk_sigmoid(q) + y * mk_sigmoid_slope(q) * (T({2 * TANH_SCALE!r}) * (T(1) + T({3 * TANH_CUBE!r}) * (y * y)));
}}
template <typename T> __device__ inline T mk_gelu_tanh_second(T y) {{
    y = mk_clip(y, T(-40), T(40));
    T q = mk_gelu_inner(y), e = exp(-fabs(q)), small = e / (T(1) + e), large = T(1) / (T(1) + e);
    T first = T({2 * TANH_SCALE!r}) * (T(1) + T({3 * TANH_CUBE!r}) * (y * y));
    T turn = (q <= T(0) ? large - small : small - large) * first * first + T({12 * TANH_SCALE * TANH_CUBE!r}) * y;
    return small * large * (T(2) * first + y * turn);
}}
template <typename T> __device__ inline T mk_silu_second(T y) {{
    T e = exp(-fabs(y)), small = e / (T(1) + e), large = T(1) / (T(1) + e);
    return small * large * (T(2) + y * (y <= T(0) ? large - small : small - large));
}}
template <typename T> __device__ inline T mk_silu_slope(T y) {{
    T e = exp(-fabs(y)), small = e / (T(1) + e), large = T(1) / (T(1) + e);
    return y <= T(0) ? small * (T(1) + y * large) : large * (T(1) + y * small);
}}
template <typename T> __device__ inline T mk_mish(T y) {{
    T e = exp(-fabs(y));
    T t = y < T(0) ? e * (e + T(2)) / (e * e + T(2) * e + T(2)) : (T(1) + T(2) * e) / (T(1) + T(2) * e + T(2) * e * e);
    return y * t;
}}
template <typename T> __device__ inline T mk_mish_slope(T y) {{
    T e = exp(-fabs(y)), head = (T(1) + e) * (T(1) + e);
    T below = e * e + T(2) * e + T(2), above = T(1) + T(2) * e + T(2) * e * e;
    T t = y < T(0) ? e * (e + T(2)) / below : (T(1) + T(2) * e) / above;
    T rest = y < T(0) ? T(4) * head / (below * below) : T(4) * e * e * head / (above * above);
    return t + y * rest * ((y <= T(0) ? e : T(1)) / (T(1) + e));
}}
template <typename T> __device__ inline T mk_mish_second(T y) {{
    T e = exp(-fabs(y)), head = (T(1) + e) * (T(1) + e), small = e / (T(1) + e), large = T(1) / (T(1) + e);
    T below = e * e + T(2) * e + T(2), above = T(1) + T(2) * e + T(2) * e * e;
    T t = y < T(0) ? e * (e + T(2)) / below : (T(1) + T(2) * e) / above;
    T rest = y < T(0) ? T(4) * head / (below * below) : T(4) * e * e * head / (above * above);
    T s = y <= T(0) ? small : large, c = y <= T(0) ? large : small;
    return rest * s * (T(2) + y * (c - T(2) * t * s));
}}
"""
"""Device functions that the expressions call; they go before the kernel."""

_SCALE, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _leaky_relu(slope: str) -> Expressions:
    return Expressions(f"(y <= T(0) ? {slope} * y : y)", f"(y <= T(0) ? {slope} : T(1))")


def _elu(alpha: str) -> Expressions:
    curved = f"(y <= T(0) ? {alpha} * exp(y) : T({{}}))"
    return Expressions(f"(y <= T(0) ? {alpha} * expm1(y) : y)", curved.format(1), curved.format(0))


def _celu(alpha: str) -> Expressions:
    return Expressions(
        f"(y <= T(0) ? {alpha} * expm1(y / {alpha}) : y)", f"(y <= T(0) ? exp(y / {alpha}) : T(1))",
        f"(y <= T(0) ? exp(y / {alpha}) / {alpha} : T(0))",
    )  # fmt: skip


def _hardtanh(low: str, high: str) -> Expressions:
    return Expressions(f"mk_clip(y, {low}, {high})", f"(y <= {low} || y >= {high} ? T(0) : T(1))")


def _soft_threshold(threshold: str) -> Expressions:
    t = threshold
    return Expressions(
        f"(y - mk_clip(y, -{t}, {t}))", f"(y >= -{t} && y <= {t} ? T(0) : T(1))",
        slope_of_value="(z == T(0) ? T(0) : T(1))",
    )  # fmt: skip


def _selu(below: str, above: str) -> str:
    return f"(T({_SCALE}) * (y <= T(0) ? T({_ALPHA}) * {below} : {above}))"


_STEP = "({} <= T(0) ? T(0) : T(1))"
_TABLE: dict[str, Expressions | Callable[..., Expressions]] = {
    "identity": Expressions("y", "T(1)", slope_of_value="T(1)"),
    "tanh": Expressions(
        "tanh(y)", "mk_tanh_slope(y)", "mk_tanh_second(tanh(y))", "(T(1) - z * z)", "mk_tanh_second(z)"
    ),
    "sigmoid": Expressions(
        "mk_sigmoid(y)", "mk_sigmoid_slope(y)", "mk_sigmoid_second(y)",
        "(z * (T(1) - z))", "(z * (T(1) - z) * (T(1) - T(2) * z))",
    ),
    "relu": Expressions("(y <= T(0) ? T(0) : y)", _STEP.format("y"), slope_of_value=_STEP.format("z")),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": Expressions(_selu("expm1(y)", "y"), _selu("exp(y)", "T(1)"), _selu("exp(y)", "T(0)")),
    "celu": _celu,
    "softplus": Expressions("mk_softplus(y)", "mk_sigmoid(y)", "mk_sigmoid_slope(y)"),
    "softsign": Expressions("(y / (T(1) + fabs(y)))", "mk_softsign_slope(y)", "mk_softsign_second(y)"),
    "gelu": Expressions("mk_gelu(y)", "mk_gelu_slope(y)", "mk_gelu_second(y)"),
    "gelu_tanh": Expressions("mk_gelu_tanh(y)", "mk_gelu_tanh_slope(y)", "mk_gelu_tanh_second(y)"),
    "silu": Expressions("(y * mk_sigmoid(y))", "mk_silu_slope(y)", "mk_silu_second(y)"),
    "mish": Expressions("mk_mish(y)", "mk_mish_slope(y)", "mk_mish_second(y)"),
    "hardtanh": _hardtanh,
    "hardsigmoid": Expressions(
        "mk_clip(y / T(6) + T(0.5), T(0), T(1))", f"(y <= T(-3) || y >= T(3) ? T(0) : T({1 / 6!r}))"
    ),
    "soft_threshold": _soft_threshold,
    "logsigmoid": Expressions(
        "(-mk_softplus(-y))", "(y <= T(0) ? mk_large(y) : mk_small(y))", "(-mk_sigmoid_slope(y))"
    ),
    "sin": Expressions("sin(y)", "cos(y)", "(-sin(y))"),
    "square": Expressions("(y * y)", "(T(2) * y)", "T(2)"),
}  # fmt: skip


def _same(a: Any, b: Any) -> bool:
    """Tell whether two functions are one, or one with the same arguments bound."""
    if isinstance(a, partial) and isinstance(b, partial):
        return a.func is b.func and a.args == b.args and a.keywords == b.keywords
    return a is b


def expressions(activation: Activation) -> Expressions | None:
    """Return a built-in activation in CUDA C++, its options as literals; None for one of the user's own.

    An activation counts as built in if σ, σ′ and σ″ are the built-in functions of its name and options.
    The expressions may call what `HELPERS` defines.

    Examples
    --------
    >>> import machinekit as mk
    >>> expressions(mk.leaky_relu(0.25)).slope
    '(y <= T(0) ? T(0.25) : T(1))'
    """
    if activation.name not in NAMES:
        return None
    options = dict(activation.options)
    try:
        known = get_activation(activation.name, **options)
    except (TypeError, ValueError):
        return None
    for role in ("value", "derivative", "second", "slope_of_value", "second_of_value"):
        if not _same(getattr(activation, role), getattr(known, role)):
            return None
    made = _TABLE[activation.name]
    if isinstance(made, Expressions):
        return made
    return made(**{name: f"T({value!r})" for name, value in known.options})
