"""The built-in activations by name, and the reading of an `activation=` argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..arrays import near
from . import piecewise as p
from . import proximal as x
from . import smooth as s
from . import third as t
from .core import Activation
from .pointwise import Blockwise, Diagonal, Pointwise

__all__ = ["NAMES", "celu", "elu", "get_activation", "hardtanh", "leaky_relu", "read_activation", "soft_threshold"]


def _positive(name: str, value: float) -> float:
    value = float(value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; pass a positive finite number")
    return value


def leaky_relu(slope: float = 0.01) -> Activation:
    """Return y for y > 0, else slope · y; of class C^0, σ′(0) = slope; proximal for slopes in [0, 1].

    Raises
    ------
    ValueError
        If `slope` is not finite.
    """
    slope = float(slope)
    if not math.isfinite(slope):
        raise ValueError(f"slope is {slope}; pass a finite number")
    return Activation(
        partial(p.leaky_relu, slope=slope), partial(p.leaky_relu_slope, slope=slope), s.zero,
        name="leaky_relu", smoothness=0, kinks=(0.0,), options=(("slope", slope),), third=s.zero,
        prox=partial(x.leaky_relu_prox, slope=slope) if 0.0 <= slope <= 1.0 else None,
    )  # fmt: skip


def elu(alpha: float = 1.0) -> Activation:
    """Return y for y > 0, else α(e^y − 1); of class C^1 for α = 1, else C^0; σ′(0) = α; proximal for α ≤ 1.

    Raises
    ------
    ValueError
        If `alpha` is not positive and finite.
    """
    alpha = _positive("alpha", alpha)
    bound = {"alpha": alpha}
    return Activation(
        partial(p.elu, **bound), partial(p.elu_slope, **bound), partial(p.elu_second, **bound),
        name="elu", smoothness=1 if alpha == 1.0 else 0, kinks=(0.0,), options=(("alpha", alpha),),
        third=partial(p.elu_second, **bound), prox=partial(x.elu_prox, scale=alpha) if alpha <= 1.0 else None,
    )  # fmt: skip


def celu(alpha: float = 1.0) -> Activation:
    """Return y for y > 0, else α(e^(y/α) − 1); of class C^1; proximal.

    Raises
    ------
    ValueError
        If `alpha` is not positive and finite.
    """
    alpha = _positive("alpha", alpha)
    bound = {"alpha": alpha}
    return Activation(
        partial(p.celu, **bound), partial(p.celu_slope, **bound), partial(p.celu_second, **bound),
        name="celu", smoothness=1, kinks=(0.0,), options=(("alpha", alpha),), third=partial(t.celu_third, **bound),
        prox=partial(x.celu_prox, scale=alpha),
    )  # fmt: skip


def hardtanh(low: float = -1.0, high: float = 1.0) -> Activation:
    """Return y clipped to [low, high]; of class C^0, slope 0 at both ends; proximal.

    Raises
    ------
    ValueError
        Unless low < high, both finite.
    """
    low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"low is {low} and high is {high}; pass finite numbers, low below high")
    bound = {"low": low, "high": high}
    return Activation(
        partial(p.hardtanh, **bound), partial(p.hardtanh_slope, **bound), s.zero,
        name="hardtanh", smoothness=0, kinks=(low, high), options=(("low", low), ("high", high)), third=s.zero,
        prox=partial(x.hardtanh_prox, **bound),
    )  # fmt: skip


def soft_threshold(threshold: float = 0.5) -> Activation:
    """Return y moved towards 0 by λ = `threshold`, and 0 for |y| ≤ λ; of class C^0, slope 0 at both kinks; proximal.

    Raises
    ------
    ValueError
        If `threshold` is not positive and finite.
    """
    threshold = _positive("threshold", threshold)
    bound = {"threshold": threshold}
    return Activation(
        partial(p.soft_threshold, **bound), partial(p.soft_threshold_slope, **bound), s.zero,
        name="soft_threshold", smoothness=0, kinks=(-threshold, threshold), options=(("threshold", threshold),),
        slope_of_value=p.soft_threshold_slope_of_value, third=s.zero, prox=partial(x.soft_threshold_prox, **bound),
    )  # fmt: skip


def _smooth(
    name: str, value: Any, slope: Any, second: Any, third: Any, *of_value: Any, prox: Any = None
) -> Callable[[], Activation]:
    """What follows σ‴ are σ′, σ″ and σ‴ as functions of σ(y)."""
    given = dict(zip(("slope_of_value", "second_of_value", "third_of_value"), of_value, strict=False))
    return partial(Activation, value, slope, second, name=name, smoothness=math.inf, third=third, prox=prox, **given)


def _kinked(
    name: str, value: Any, slope: Any, second: Any, third: Any, k: int, kinks: tuple, of_value: Any = None,
    prox: Any = None,
) -> Callable[[], Activation]:  # fmt: skip
    return partial(
        Activation, value, slope, second, name=name, smoothness=k, kinks=kinks, slope_of_value=of_value, third=third,
        prox=prox,
    )  # fmt: skip


_MAKERS: dict[str, Callable[..., Activation]] = {
    "identity": _smooth(
        "identity", s.identity, s.identity_slope, s.zero, s.zero, s.identity_slope, prox=x.identity_prox
    ),
    "tanh": _smooth(
        "tanh", s.tanh, s.tanh_slope, s.tanh_second, t.tanh_third,
        s.tanh_slope_of_value, s.tanh_second_of_value, t.tanh_third_of_value, prox=x.tanh_prox,
    ),
    "sigmoid": _smooth(
        "sigmoid", s.sigmoid, s.sigmoid_slope, s.sigmoid_second, t.sigmoid_third,
        s.sigmoid_slope_of_value, s.sigmoid_second_of_value, t.sigmoid_third_of_value, prox=x.sigmoid_prox,
    ),
    "relu": _kinked("relu", p.relu, p.relu_slope, s.zero, s.zero, 0, (0.0,), p.relu_slope, x.relu_prox),
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": _kinked("selu", p.selu, p.selu_slope, p.selu_second, p.selu_second, 0, (0.0,)),
    "celu": celu,
    "softplus": _smooth("softplus", s.softplus, s.sigmoid, s.sigmoid_slope, s.sigmoid_second, prox=x.softplus_prox),
    "softsign": _kinked(
        "softsign", p.softsign, p.softsign_slope, p.softsign_second, t.softsign_third, 1, (0.0,), prox=x.softsign_prox
    ),
    "gelu": _smooth("gelu", s.gelu, s.gelu_slope, s.gelu_second, t.gelu_third),
    "gelu_tanh": _smooth("gelu_tanh", s.gelu_tanh, s.gelu_tanh_slope, s.gelu_tanh_second, t.gelu_tanh_third),
    "silu": _smooth("silu", s.silu, s.silu_slope, s.silu_second, t.silu_third),
    "mish": _smooth("mish", s.mish, s.mish_slope, s.mish_second, t.mish_third),
    "hardtanh": hardtanh,
    "hardsigmoid": _kinked(
        "hardsigmoid", p.hardsigmoid, p.hardsigmoid_slope, s.zero, s.zero, 0, (-3.0, 3.0), prox=x.hardsigmoid_prox
    ),
    "soft_threshold": soft_threshold,
    "logsigmoid": _smooth(
        "logsigmoid", s.logsigmoid, s.logsigmoid_slope, s.logsigmoid_second, t.logsigmoid_third,
        prox=x.logsigmoid_prox,
    ),
    "sin": _smooth("sin", s.sin, s.sin_slope, s.sin_second, t.sin_third),
    "square": _smooth("square", s.square, s.square_slope, s.square_second, s.zero),
}  # fmt: skip

NAMES = tuple(_MAKERS)
"""The names that `activation=` understands."""


def get_activation(name: str, **options: float) -> Activation:
    """Return the built-in activation of a name.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    **options : float
        Parameters of the parametrised ones, as in ``get_activation("elu", alpha=0.5)``.

    Raises
    ------
    ValueError
        If there is no such name; the message lists near names.
    TypeError
        If the activation takes no such option.
    """
    if name not in _MAKERS:
        raise ValueError(f"activation={name!r} is unknown; {near(name, NAMES)}")
    try:
        return _MAKERS[name](**options)
    except TypeError:
        raise TypeError(f"activation {name!r} takes no option among {sorted(options)}") from None


def read_activation(given: Any, blocks: Sequence[slice]) -> Pointwise:
    """Turn an `activation=` argument into the pointwise part of a machine.

    Parameters
    ----------
    given : str, Activation, Diagonal, or a sequence of names and Activations, one per block
    blocks : sequence of slice

    Raises
    ------
    ValueError
        Unknown name, wrong number of entries, or a Diagonal inside a list.
    TypeError
        Anything else.
    """
    if isinstance(given, Diagonal | Blockwise):
        return given
    if isinstance(given, list | tuple):
        if len(given) != len(blocks):
            raise ValueError(
                f"activation has {len(given)} entries for {len(blocks)} blocks; give one per block, or one for all"
            )
        return Blockwise([_one(entry, f"activation[{k}]") for k, entry in enumerate(given)], blocks)
    return Blockwise([_one(given, "activation")] * len(blocks), blocks)


def _one(given: Any, where: str) -> Activation:
    if isinstance(given, Activation):
        return given
    if isinstance(given, Diagonal):
        raise ValueError(f"{where} is a Diagonal, which serves all blocks at once; pass activation=mk.Diagonal(array)")
    if isinstance(given, str):
        return get_activation(given)
    if callable(given):
        hint = getattr(given, "__name__", "f")
        raise TypeError(
            f"{where} is a bare callable; wrap it: mk.Activation({hint}) takes its derivative by the complex step"
        )
    raise TypeError(f"{where} is {given!r}; pass a name, an mk.Activation or one per block")
