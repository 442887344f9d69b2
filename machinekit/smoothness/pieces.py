"""Pieces that couple coordinates: softmax, normalisation, pooling; and activations that are no built-ins."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import integer, near
from .structure import Piece, times

__all__ = [
    "batch_norm_constants",
    "linear_piece",
    "log_sum_exp_pooling",
    "max_pooling",
    "normalisation",
    "norms",
    "smoothed_relu",
    "softmax",
    "softplus",
    "squared_relu",
]

_CUMULANT = math.sqrt(2.0 / 27.0)
_SQRT_BEND = 48.0 / (25.0 * math.sqrt(5.0))
_FORMS = ("eps+sigma", "sqrt")


def softmax(classes: int, samples: int, *, temperature: float = 1.0) -> Piece:
    """Return the constants of softmax(τ x) on each of so many samples.

    Parameters
    ----------
    classes, samples : int
        k and m.
    temperature : float
        τ > 0, the factor of x.

    Notes
    -----
    m = √m, l = τ/2, L = τ² √(2/27), ‖a(0)‖ = √(m/k), ‖Da(0)‖ = τ/k; attained for k ≥ 2, or in the limit. The derivative
    is the covariance of p: uᵀ D u = Var_p(u) ≤ (range u)²/4 ≤ ½ ‖u‖². The second is its third cumulant, symmetric, so
    that its norm is attained on one vector (Banach): the third central moment on an interval of length ρ is at most
    ρ³/(6√3), ρ ≤ √2 ‖u‖. Printed as (2, 4) in arXiv:2002.09051. One class is constant.

    Examples
    --------
    >>> piece = softmax(4, 16)
    >>> piece.size, piece.lipschitz, round(piece.smoothness, 10), piece.value, piece.slope
    (4.0, 0.5, 0.272165527, 2.0, 0.25)
    """
    k, m, tau = integer("classes", classes, 0), integer("samples", samples, 0), _positive("temperature", temperature)
    if k < 2:
        root = math.sqrt(m) if k else 0.0
        return Piece(size=root, lipschitz=0.0, smoothness=0.0, value=root, slope=0.0, name="softmax")
    return Piece(
        size=math.sqrt(m), lipschitz=0.5 * tau, smoothness=_CUMULANT * tau * tau, value=math.sqrt(m / k),
        slope=tau / k, name="softmax",
    )  # fmt: skip


def batch_norm_constants(
    features: int, samples: int, epsilon: float, form: str = "eps+sigma"
) -> tuple[float, float, float]:
    """Return m, l and L of batch normalisation without gains.

    Parameters
    ----------
    features : int
        δ, how many groups are normalised: channels, or coordinates of a sample.
    samples : int
        m, how many entries a group has.
    epsilon : float
        ε > 0.
    form : {"eps+sigma", "sqrt"}
        (Z − mean)/(ε + σ) or (Z − mean)/√(ε + σ²).

    Returns
    -------
    size, lipschitz, smoothness : float

    Raises
    ------
    ValueError
        ε = 0 or less: neither bound is finite then; no such form; a group without entries.
    TypeError
        No numbers.

    Notes
    -----
    ====================  ======  ========  ==========================
    form                  m       l         L
    ====================  ======  ========  ==========================
    (Z − mean)/(ε + σ)    √(δ m)  1/ε       2/(√m ε²)
    (Z − mean)/√(ε + σ²)  √(δ m)  1/√ε      48/(25 √5)/(√m ε)
    ====================  ======  ========  ==========================

    l and L are attained for m ≥ 2 (one entry has σ = 0 and the value 0); m is a supremum. A group w = √m σ of the first
    form is √m h(w/(√m ε)) with h = ∇(r − log(1 + r)), r = |v|, D²h largest along v at 0; of the second √m h(w/√(m ε))
    with h = ∇√(1 + r²), whose third derivative 3 t (1 + t²)^(−5/2) is largest at t = ½. Groups are apart, so that norms
    are their largest. The constants of arXiv:2002.09051 are larger, and were printed with the other form. The same
    holds of layer and RMS normalisation, with m entries in each of δ groups.

    Examples
    --------
    >>> batch_norm_constants(4, 16, 0.5)
    (8.0, 2.0, 2.0)
    >>> batch_norm_constants(4, 16, 0.25, "sqrt")[:2]
    (8.0, 2.0)
    """
    delta, m = integer("features", features, 0), integer("samples", samples, 1)
    if form not in _FORMS:
        raise ValueError(f"form is {form!r}; {near(form, _FORMS)}")
    if isinstance(epsilon, bool | str) or not hasattr(epsilon, "__float__"):
        raise TypeError(f"epsilon is {epsilon!r}; pass a number")
    eps = float(epsilon)
    if not (math.isfinite(eps) and eps > 0):
        raise ValueError(
            f"epsilon is {epsilon}; pass a positive finite number: without it normalisation is not even continuous, "
            "where a group is constant"
        )
    size, root = math.sqrt(delta * m), math.sqrt(m)
    if form == "sqrt":
        return size, 1.0 / math.sqrt(eps), _SQRT_BEND / (root * eps)
    return size, 1.0 / eps, 2.0 / (root * eps * eps)


def normalisation(
    features: int, samples: int, epsilon: float, form: str = "eps+sigma", *, name: str = "batch normalisation"
) -> Piece:
    """Return `batch_norm_constants` as a piece: ‖a(0)‖ = 0 and ‖Da(0)‖ = l.

    Examples
    --------
    >>> normalisation(4, 16, 0.5).slope
    2.0
    """
    size, slope, bend = batch_norm_constants(features, samples, epsilon, form)
    return Piece(size=size, lipschitz=slope, smoothness=bend, value=0.0, slope=slope, name=name)


def linear_piece(norm: float, value: float = 0.0, *, name: str = "linear") -> Piece:
    """Return a fixed affine map of this norm: average pooling, a reshape, a normalisation with fixed statistics.

    Examples
    --------
    >>> linear_piece(0.5).smoothness
    0.0
    """
    return Piece(lipschitz=norm, smoothness=0.0, value=value, slope=norm, name=name)


def max_pooling(overlap: int, *, name: str = "max pooling") -> Piece:
    """Return the constants of maxima over windows, an entry being in at most `overlap` of them.

    Notes
    -----
    l = √overlap, 1 for disjoint windows; not C¹. Overlapping windows that share one large entry repeat it, so that l is
    not 1, as is printed in arXiv:2002.09051.

    Examples
    --------
    >>> max_pooling(4).lipschitz, max_pooling(4).smoothness
    (2.0, inf)
    """
    slope = math.sqrt(integer("overlap", overlap, 0))
    return Piece(lipschitz=slope, smoothness=math.inf, value=0.0, slope=math.inf, name=name)


def log_sum_exp_pooling(overlap: int, window: int, outputs: int, *, sharpness: float = 1.0) -> Piece:
    """Return the constants of (1/τ) log Σ exp(τ x) over windows, a smooth stand-in for their maxima.

    Parameters
    ----------
    overlap, window : int
        In how many windows an entry is at most, and entries of a window.
    outputs : int
        Windows × channels × samples, of which ‖a(0)‖ = √outputs log(window)/τ.
    sharpness : float
        τ > 0.

    Notes
    -----
    l = √overlap, L = (τ/2) √overlap, ‖Da(0)‖ ≤ √(overlap/window): per window the gradient is a softmax and the Hessian
    τ times its covariance, so that |D²[u, u]| ≤ (τ/2) ‖u‖² there.

    Examples
    --------
    >>> piece = log_sum_exp_pooling(1, 4, 9, sharpness=2.0)
    >>> piece.lipschitz, piece.smoothness, piece.slope
    (1.0, 1.0, 0.5)
    """
    c, k, count = integer("overlap", overlap, 0), integer("window", window, 1), integer("outputs", outputs, 0)
    tau, root = _positive("sharpness", sharpness), math.sqrt(c)
    return Piece(
        lipschitz=root, smoothness=0.5 * tau * root, value=math.sqrt(count) * math.log(k) / tau,
        slope=math.sqrt(c / k), name="log-sum-exp pooling",
    )  # fmt: skip


def norms(*, name: str = "norm") -> Piece:
    """Return the constants of x ↦ ‖x‖ over the channels, position by position: l = 1, not C¹ at 0.

    Examples
    --------
    >>> norms().lipschitz
    1.0
    """
    return Piece(lipschitz=1.0, smoothness=math.inf, value=0.0, slope=math.inf, name=name)


def smoothed_relu(width: float) -> Piece:
    """Return, on the line, the ReLU smoothed to t²/(4ν) on [0, 2ν] and t − ν beyond, ν = `width`.

    Notes
    -----
    l = 1, L = 1/(2ν); on [−μ, μ] l = min(1, μ/(2ν)). Give it for an activation of your own as
    ``constants={"its name": smoothed_relu(0.5)}``.

    Examples
    --------
    >>> piece = smoothed_relu(0.25)
    >>> piece.smoothness, piece.ball(0.25)
    (2.0, (0.5, 2.0))
    """
    bend = 0.5 / _positive("width", width)
    return Piece(
        lipschitz=1.0, smoothness=bend, value=0.0, slope=0.0, ball=lambda mu: (min(1.0, times(bend, mu)), bend),
        name="smoothed_relu",
    )  # fmt: skip


def softplus(sharpness: float) -> Piece:
    """Return, on the line, log(1 + e^{βt})/β: l = 1, L = β/4, log 2/β at 0; on [−μ, μ] l = 1/(1 + e^{−βμ}).

    Examples
    --------
    >>> softplus(8.0).smoothness, softplus(8.0).ball(0.0)
    (2.0, (0.5, 2.0))
    """
    beta = _positive("sharpness", sharpness)
    return Piece(
        lipschitz=1.0, smoothness=0.25 * beta, value=math.log(2.0) / beta, slope=0.5,
        ball=lambda mu: (1.0 / (1.0 + math.exp(-beta * mu)), 0.25 * beta), name="softplus",
    )  # fmt: skip


def squared_relu() -> Piece:
    """Return, on the line, max(t, 0)²: l = ∞, on [−μ, μ] 2μ; L = 2.

    Examples
    --------
    >>> squared_relu().ball(3.0)
    (6.0, 2.0)
    """
    return Piece(
        lipschitz=math.inf, smoothness=2.0, value=0.0, slope=0.0, ball=lambda mu: (2.0 * mu, 2.0), name="squared_relu"
    )


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}; pass a positive number")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; pass a positive finite number")
    return float(value)
