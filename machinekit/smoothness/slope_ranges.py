"""The slopes and the curvatures that an activation meets on an interval, exactly, for every built-in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..activations import Activation
from .activations import is_built_in
from .structure import Piece

__all__ = ["curvature_range", "slope_range"]

_FAR = 1e300
"""Stands for infinity where a formula is evaluated: every slope has its limit there."""
_SAMPLES = 33
"""Points of an interval at which the slope of an activation of one's own is taken."""
_TANH = 0.5 * math.log(2.0 + math.sqrt(3.0))


class _Turns(NamedTuple):
    """The zeros of σ″, where σ′ turns, and those of σ‴, where σ″ does; each once more after every period."""

    slope: tuple[float, ...] = ()
    curvature: tuple[float, ...] = ()
    period: float = math.inf


_SMOOTH = {
    "tanh": _Turns((0.0,), (-_TANH, _TANH)),
    "sigmoid": _Turns((0.0,), (-2.0 * _TANH, 2.0 * _TANH)),
    "softplus": _Turns((), (0.0,)),
    "logsigmoid": _Turns((), (0.0,)),
    "gelu": _Turns((-math.sqrt(2.0), math.sqrt(2.0)), (-2.0, 0.0, 2.0)),
    "gelu_tanh": _Turns((-1.4185040087908283, 1.4185040087908283), (-2.013480724624258, 0.0, 2.013480724624258)),
    "silu": _Turns((-2.3993572805154675, 2.3993572805154675), (-3.4358409935351104, 0.0, 3.4358409935351104)),
    "mish": _Turns(
        (-2.2563763963607926, 1.4905711794854284), (-3.267337846520405, -0.0879344313149143, 2.1148425630208774)
    ),
    "sin": _Turns((0.0, math.pi), (0.5 * math.pi, 1.5 * math.pi), 2.0 * math.pi),
}
"""Those not listed turn at their kinks, or nowhere."""

Ends = tuple[np.ndarray, np.ndarray]


def slope_range(
    activation: Activation, low: Any, high: Any, *, constants: Mapping[str, Piece] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return inf σ′ and sup σ′ on [low, high], entry by entry.

    Parameters
    ----------
    activation : Activation
    low, high : numbers, or float64 arrays of one shape on the host
        Ends of the intervals; they may be infinite.
    constants : mapping of str to Piece, optional
        By name of an activation of your own, ``lipschitz`` for sup|σ′| and ``smoothness`` for sup|σ″| on the line.

    Returns
    -------
    tuple of two float64 arrays
        The least and the largest slope. At a kink the slopes of both sides count.

    Raises
    ------
    ValueError
        An end that is NaN, low above high; an activation of your own of which nothing is known.

    Notes
    -----
    σ′ is least and largest at an end of the interval, at a kink or where σ″ = 0: those points are known of every
    built-in. Of an activation of your own σ′ is taken at 33 points, and |σ′(y) − σ′(p)| ≤ sup|σ″| |y − p| between them;
    one with a `prox` has slopes in [0, 1].

    Examples
    --------
    >>> import machinekit as mk
    >>> from machinekit.smoothness.slope_ranges import slope_range
    >>> relu, sin = (mk.activations.get_activation(name) for name in ("relu", "sin"))
    >>> [end.tolist() for end in slope_range(relu, [-2.0, -1.0, 1.0], [-1.0, 1.0, 2.0])]
    [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    >>> [float(end) for end in slope_range(sin, 3.0, 4.0)]  # cos turns at π
    [-1.0, -0.6536436208636119]
    """
    low, high = _ends(low, high)
    if is_built_in(activation):
        turns = _SMOOTH.get(activation.name, _Turns()).slope
        return _range(activation, activation.derivative, turns, low, high)
    return _own_slopes(activation, _piece(activation, constants), low, high)


def curvature_range(
    activation: Activation, low: Any, high: Any, *, constants: Mapping[str, Piece] | None = None
) -> np.ndarray:
    """Return sup|σ″| on [low, high], entry by entry; infinite where σ′ jumps.

    Parameters
    ----------
    activation, low, high, constants : as for `slope_range`

    Returns
    -------
    float64 array
        Of an activation of your own, its ``smoothness`` everywhere.

    Raises
    ------
    ValueError
        As `slope_range`.

    Examples
    --------
    >>> import machinekit as mk
    >>> from machinekit.smoothness.slope_ranges import curvature_range
    >>> tanh, relu = (mk.activations.get_activation(name) for name in ("tanh", "relu"))
    >>> curvature_range(tanh, [-1.0, 0.0], [1.0, 0.0]).round(9).tolist()  # 4/(3√3)
    [0.769800359, 0.0]
    >>> curvature_range(relu, [-1.0, 1.0], [1.0, 2.0]).tolist()
    [inf, 0.0]
    """
    low, high = _ends(low, high)
    if not is_built_in(activation):
        piece = _piece(activation, constants)
        return np.full(low.shape, math.inf if piece is None else piece.smoothness)
    least, most = _range(activation, activation.second, _SMOOTH.get(activation.name, _Turns()).curvature, low, high)
    found = np.maximum(np.abs(least), np.abs(most))
    for kink in activation.kinks:
        before, after = activation.derivative(_sides(kink))
        if abs(before - after) > 1e-12:
            found = np.where((low <= kink) & (kink <= high), math.inf, found)
    return found


def _ends(low: Any, high: Any) -> Ends:
    """Return both ends as float64 arrays of one shape."""
    ends = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
    wrong = ~(ends[0] <= ends[1])
    if wrong.any():
        a, b = (end[wrong].ravel()[0] for end in ends)
        raise ValueError(f"low is {a} and high is {b}; pass intervals with low at most high, and no NaN")
    return ends[0], ends[1]


def _sides(kink: float) -> np.ndarray:
    return np.array([math.nextafter(kink, -math.inf), math.nextafter(kink, math.inf)])


def _range(activation: Activation, function: Any, turns: tuple[float, ...], low: np.ndarray, high: np.ndarray) -> Ends:
    """Return the least and largest value at the ends, at the turns between them, and on both sides of a kink."""
    period = _SMOOTH.get(activation.name, _Turns()).period
    # what repeats, or has no limit, is not evaluated far out: the turns, or infinity itself, tell
    far = {"sin": 0.0, "square": math.inf}.get(activation.name, _FAR)
    finite = [np.where(np.isfinite(end), end, np.copysign(far, end)) for end in (low, high)]
    values = [function(end.reshape(-1)).reshape(end.shape) for end in finite]
    least, most = np.minimum(*values), np.maximum(*values)
    points = [(turn, function(np.array([turn]))) for turn in turns]
    points += [(kink, function(_sides(kink))) for kink in activation.kinks]
    for point, found in points:
        inside = (low <= point) & (point <= high)
        if period < math.inf:
            with np.errstate(invalid="ignore"):
                inside = point + period * np.ceil((low - point) / period) <= high
            inside |= ~(np.isfinite(low) & np.isfinite(high))
        least = np.where(inside, np.minimum(least, np.min(found)), least)
        most = np.where(inside, np.maximum(most, np.max(found)), most)
    return np.asarray(least), np.asarray(most)


def _piece(activation: Activation, constants: Mapping[str, Piece] | None) -> Piece | None:
    """Return what was said of an activation that is no built-in."""
    piece = (constants or {}).get(activation.name)
    if not (piece is None or isinstance(piece, Piece)):
        raise TypeError(f"constants[{activation.name!r}] is {piece!r}; pass an mk.smoothness.Piece of σ on the line")
    return piece


def _own_slopes(activation: Activation, piece: Piece | None, low: np.ndarray, high: np.ndarray) -> Ends:
    """Return bounds on the slopes of an activation of one's own."""
    if piece is None and activation.prox is None:
        raise ValueError(
            f"activation {activation.name!r} is your own and its slopes are unknown; pass slopes=(least, largest), or "
            f"constants={{{activation.name!r}: mk.smoothness.Piece(lipschitz=sup|σ′|, smoothness=sup|σ″|)}}"
        )
    most = math.inf if piece is None else piece.lipschitz
    floor, ceiling = (0.0, min(1.0, most)) if activation.prox is not None else (-most, most)
    shape, low, high = low.shape, low.reshape(-1), high.reshape(-1)
    least, largest = np.full(low.shape, floor), np.full(low.shape, ceiling)
    bend = math.inf if piece is None else piece.smoothness
    short = np.isfinite(low) & np.isfinite(high)
    if math.isfinite(bend) and short.any():
        a, b = low[short], high[short]
        found = activation.derivative(a + (b - a) * np.linspace(0.0, 1.0, _SAMPLES)[:, None])
        slack = 0.5 * bend * (b - a) / (_SAMPLES - 1)
        least[short] = np.maximum(least[short], np.min(found, axis=0) - slack)
        largest[short] = np.minimum(largest[short], np.max(found, axis=0) + slack)
    return least.reshape(shape), largest.reshape(shape)
