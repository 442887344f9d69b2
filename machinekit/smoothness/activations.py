"""Activations as pieces: the suprema of |σ|, |σ′| and |σ″| of every built-in, on the line and on [−μ, μ]."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..activations import NAMES, Activation, Diagonal, get_activation
from ..arrays import integer, namespace, to_host
from .structure import Piece, times

__all__ = ["activation_piece", "is_built_in", "lifted"]


class _Line(NamedTuple):
    """Of a function on the line: sup|σ|, sup|σ′|, sup|σ″|, and all points where |σ′| or |σ″| may be largest."""

    size: float
    lipschitz: float
    smoothness: float
    points: tuple[float, ...] = ()


_INF = math.inf
_TANH = math.log(2.0 + math.sqrt(3.0))
"""Where the third derivative of the logistic function is 0; that of tanh is 0 at half of it."""
_SELU = 1.0507009873554805 * 1.6732632423543772
_NORMAL = math.sqrt(2.0 / math.pi)

_LINES = {
    "identity": _Line(_INF, 1.0, 0.0),
    "tanh": _Line(1.0, 1.0, 4.0 / (3.0 * math.sqrt(3.0)), (0.0, 0.5 * _TANH, -0.5 * _TANH)),
    "sigmoid": _Line(1.0, 0.25, 1.0 / (6.0 * math.sqrt(3.0)), (0.0, _TANH, -_TANH)),
    "relu": _Line(_INF, 1.0, _INF),
    "selu": _Line(_INF, _SELU, _INF),
    "softplus": _Line(_INF, 1.0, 0.25, (0.0,)),
    "logsigmoid": _Line(_INF, 1.0, 0.25, (0.0,)),
    "softsign": _Line(1.0, 1.0, 2.0),
    "gelu": _Line(_INF, 1.1289041451851548, _NORMAL, (0.0, math.sqrt(2.0))),
    "gelu_tanh": _Line(_INF, 1.1289930686587717, _NORMAL, (0.0, 1.4185040087908283)),
    "silu": _Line(_INF, 1.0998393201288672, 0.5, (0.0, 2.3993572805154675)),
    "mish": _Line(_INF, 1.0884981612517280, 0.6442046372369725, (-0.0879344313149143, 1.4905711794854284)),
    "hardsigmoid": _Line(1.0, 1.0 / 6.0, _INF),
    "soft_threshold": _Line(_INF, 1.0, _INF),
    "sin": _Line(1.0, 1.0, 1.0, (0.0, 0.5 * math.pi)),
    "square": _Line(_INF, _INF, 2.0),
}


def _line(activation: Activation) -> _Line:
    """Return the suprema of a built-in."""
    options = dict(activation.options)
    match activation.name:
        case "leaky_relu":
            slope = options["slope"]
            return _Line(_INF, max(1.0, abs(slope)), 0.0 if slope == 1.0 else _INF)
        case "elu":
            return _Line(_INF, max(1.0, options["alpha"]), 1.0 if options["alpha"] == 1.0 else _INF)
        case "celu":
            return _Line(_INF, 1.0, 1.0 / options["alpha"])
        case "hardtanh":
            return _Line(max(abs(options["low"]), abs(options["high"])), 1.0, _INF)
    return _LINES[activation.name]


def activation_piece(activation: Any, coordinates: int, *, constants: Mapping[str, Piece] | None = None) -> Piece:
    """Return the constants of an activation that acts on so many coordinates.

    Parameters
    ----------
    activation : str, Activation or Diagonal
    coordinates : int
        η: samples × positions × channels. ‖a‖ and ‖a(0)‖ grow with √η, ‖Da‖ and ‖D²a‖ do not depend on it.
    constants : mapping of str to Piece, optional
        By name of an activation of your own, its constants as a function of one number: ``size`` sup|σ|,
        ``lipschitz`` sup|σ′|, ``smoothness`` sup|σ″| (infinite if σ′ jumps), ``value`` |σ(0)|, ``slope`` |σ′(0)|, and
        if they are known ``ball``, those on [−μ, μ]. What is given here is believed.

    Returns
    -------
    Piece
        Its ``ball`` gives the exact suprema on ‖x‖ ≤ μ, which are those on [−μ, μ] of one coordinate. A kink beyond μ
        does not count there: hardtanh is linear on a small ball. For an activation that is not C¹, smoothness and
        slope are infinite.

    Raises
    ------
    ValueError
        An activation that is no built-in and has no constants; an unknown name; a negative count.
    TypeError
        No activation; constants that are no `Piece`.

    Notes
    -----
    ‖Da(x)‖ = max_i |σ′(x_i)| and ‖D²a(x)‖ = max_i |σ″(x_i)|, and ‖x‖ ≤ μ allows x_i = ±μ with the others 0. On
    [−μ, μ] |σ′| and |σ″| are largest at an end, at a kink or where the next derivative is 0: sup|σ′| of swish at
    2.3993573, of gelu at √2, of its tanh form at 1.4185040, of mish at 1.4905712; sup|σ″| of tanh 4/(3√3) at
    ½ log(2 + √3), of the logistic function 1/(6√3) at log(2 + √3), of mish 0.6442046372 at −0.0879344. An activation is
    taken for a built-in by its formulas, not by its name. Constants: arXiv:2002.09051, appendix, with corrections.

    Examples
    --------
    >>> from machinekit.smoothness.activations import activation_piece
    >>> piece = activation_piece("sigmoid", 16)
    >>> piece.size, piece.lipschitz, piece.value, piece.slope
    (4.0, 0.25, 2.0, 0.25)
    >>> activation_piece("relu", 16).smoothness, activation_piece("hardtanh", 16).ball(0.5)
    (inf, (1.0, 0.0))
    """
    count = integer("coordinates", coordinates, 0)
    if isinstance(activation, Diagonal):
        largest = _largest(activation)
        return Piece(lipschitz=largest, slope=largest, name="diagonal")
    if isinstance(activation, str):
        given = (constants or {}).get(activation)
        if given is not None and activation not in NAMES:
            return lifted(_checked(activation, given), count)
        activation = get_activation(activation)
    if not isinstance(activation, Activation):
        raise TypeError(f"activation is {activation!r}; pass a name, an mk.Activation or an mk.Diagonal")
    if is_built_in(activation):
        return lifted(_piece(activation), count)
    given = (constants or {}).get(activation.name)
    if given is None:
        raise ValueError(
            f"activation {activation.name!r} is your own and its constants are not known; pass constants={{"
            f"{activation.name!r}: mk.smoothness.Piece(size=sup|σ|, lipschitz=sup|σ′|, smoothness=sup|σ″|, "
            "value=|σ(0)|, slope=|σ′(0)|)}"
        )
    return lifted(_checked(activation.name, given), count)


def lifted(piece: Piece, coordinates: int) -> Piece:
    """Return the constants of σ on each of so many coordinates, from those of σ on the line.

    Examples
    --------
    >>> from machinekit.smoothness.structure import Piece
    >>> lifted(Piece(size=2.0, lipschitz=3.0, smoothness=5.0, value=1.0), 4)
    Piece(size=4.0, lipschitz=3.0, smoothness=5.0, value=2.0, slope=1.0, ball=None, name='identity')
    """
    root = math.sqrt(coordinates)
    return replace(piece, size=times(piece.size, root), value=times(piece.value, root))


def is_built_in(activation: Activation) -> bool:
    """Tell whether an activation computes what the built-in of its name computes."""
    if activation.name not in NAMES:
        return False
    try:
        built = get_activation(activation.name, **dict(activation.options))
    except (TypeError, ValueError):
        return False
    roles = ("value", "derivative", "second")
    same = all(_formula(getattr(activation, role)) == _formula(getattr(built, role)) for role in roles)
    return same and activation.smoothness == built.smoothness and activation.kinks == built.kinks


def _formula(function: Any) -> Any:
    """Return a function, and what of it is bound."""
    return (function.func, function.args, function.keywords) if isinstance(function, partial) else function


def _checked(name: str, piece: Any) -> Piece:
    if not isinstance(piece, Piece):
        raise TypeError(f"constants[{name!r}] is {piece!r}; pass an mk.smoothness.Piece of σ on the line")
    for part in ("size", "lipschitz", "smoothness", "value", "slope"):
        if not getattr(piece, part) >= 0:
            raise ValueError(f"constants[{name!r}].{part} is {getattr(piece, part)}; pass a number at least 0")
    return replace(piece, name=name)


def _largest(diagonal: Diagonal) -> float:
    array = diagonal.array
    if not math.prod(array.shape):
        return 0.0
    xp = namespace(array)
    return float(to_host(xp.reshape(xp.max(xp.abs(array)), (1,)))[0])


def _piece(activation: Activation) -> Piece:
    """Return the constants of a built-in on the line."""
    line, zero = _line(activation), np.zeros(1)
    rough = math.isinf(line.smoothness)
    return Piece(
        size=line.size,
        lipschitz=line.lipschitz,
        smoothness=line.smoothness,
        value=float(np.abs(activation.value(zero))[0]),
        slope=_INF if rough else float(np.abs(activation.derivative(zero))[0]),
        ball=partial(_on_ball, activation, line),
        name=activation.name,
    )


def _on_ball(activation: Activation, line: _Line, mu: float) -> tuple[float, float]:
    """Return sup|σ′| and sup|σ″| on [−μ, μ]."""
    if not math.isfinite(mu):
        return line.lipschitz, line.smoothness
    kinks = [k for k in activation.kinks if abs(k) <= mu]
    sides = [math.nextafter(k, side) for k in kinks for side in (-_INF, _INF)]
    at = np.array([-mu, mu, *(p for p in line.points if abs(p) <= mu), *sides])
    with np.errstate(over="ignore", under="ignore"):
        slope = float(np.max(np.abs(activation.derivative(at))))
        bend = float(np.max(np.abs(activation.second(at))))
    rough = kinks and math.isinf(line.smoothness)
    return min(slope, line.lipschitz), _INF if rough else min(bend, line.smoothness)
