"""Objectives F = h ∘ ψ + r: constants of the losses and penalties of the library, and of the gradient of F."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..arrays import Array, integer
from .structure import times

__all__ = ["check_numbers", "loss_constants", "objective_bound", "penalty_constants"]


def objective_bound(
    lipschitz: float,
    smoothness: float,
    loss: tuple[float, float],
    penalty_smoothness: float = 0.0,
    *,
    gradient: float = math.inf,
    diameter: float = math.inf,
) -> float:
    """Return L_F ≤ l̃_h L_ψ + L_h l_ψ² + L_r, with which gradient descent of step 1/L_F does not increase F = h ∘ ψ + r.

    Parameters
    ----------
    lipschitz, smoothness : float
        l_ψ and L_ψ of the model on a convex set, as in `Bounds`.
    loss : (float, float)
        l_h and L_h, as from `loss_constants`; l_h may be infinite.
    penalty_smoothness : float
        L_r.
    gradient, diameter : float
        ‖∇h(y_0)‖ at one prediction y_0 = ψ(w_0) and the diameter of the set: l̃_h = min(l_h, ‖∇h(y_0)‖ + L_h l_ψ diam).

    Raises
    ------
    ValueError
        A number that is negative, or none.

    Notes
    -----
    ∇²F[u, u] = ∇h · D²ψ[u, u] + ∇²h[Dψ u, Dψ u] + ∇²r[u, u] (arXiv:2002.09051, §4).

    Examples
    --------
    >>> objective_bound(2.0, 3.0, (0.5, 0.25), 1.0)
    3.5
    >>> objective_bound(2.0, 3.0, (float("inf"), 0.25), gradient=0.5, diameter=1.0)
    4.0
    """
    l_h, bend = loss
    given = {
        "lipschitz": lipschitz, "smoothness": smoothness, "loss[0]": l_h, "loss[1]": bend,
        "penalty_smoothness": penalty_smoothness, "gradient": gradient, "diameter": diameter,
    }  # fmt: skip
    check_numbers(given)
    slope = min(l_h, gradient + times(times(bend, lipschitz), diameter))
    return times(slope, smoothness) + times(bend, times(lipschitz, lipschitz)) + penalty_smoothness


def loss_constants(
    loss: Any, samples: int, channels: int, *, size: float = math.inf, targets: float = math.inf
) -> tuple[float, float]:
    """Return l_h and L_h of a loss of the library, its mean over the samples included.

    Parameters
    ----------
    loss : str or loss
        A name or an object of `mk.losses`.
    samples, channels : int
        n, those that are counted (batch × grid), and the channels c of each.
    size, targets : float
        ‖y‖ ≤ size, the m of the model, and ‖t‖, of the counted samples together; where l_h depends on them.

    Returns
    -------
    lipschitz, smoothness : float
        Of y ↦ h(y) as a function of all predictions together.

    Raises
    ------
    ValueError
        An unknown name; no sample.
    TypeError
        A loss of your own: give its two numbers where they are asked for.

    Notes
    -----
    =====================  ==========================  =======
    loss                   l_h                         L_h
    =====================  ==========================  =======
    squared_error          (size + ‖t‖)/n              1/n
    softmax_cross_entropy  √(2/n), 0 for one class     1/(2n)
    logistic               √(c/n)                      1/(4n)
    huber(δ)               min(δ √(c/n), that above)   1/n
    =====================  ==========================  =======

    Targets of softmax_cross_entropy are probabilities: ‖s − t‖ ≤ √2, and its Hessian is a covariance, at most ½.
    Printed as (2, 2) in arXiv:2002.09051. −log p of probabilities p has no finite constant: no softmax before it.

    Examples
    --------
    >>> loss_constants("softmax_cross_entropy", 8, 10), loss_constants("squared_error", 4, 3, size=2.0, targets=6.0)
    ((0.5, 0.0625), (2.0, 0.25))
    """
    from ..training import losses

    n, c = integer("samples", samples, 1), integer("channels", channels, 1)
    check_numbers({"size": size, "targets": targets})
    h = losses.get_loss(loss)
    reach = (size + targets) / n
    if h == losses.squared_error:
        return reach, 1.0 / n
    if h == losses.softmax_cross_entropy:
        return (math.sqrt(2.0 / n), 0.5 / n) if c > 1 else (0.0, 0.0)
    if h == losses.logistic:
        return math.sqrt(c / n), 0.25 / n
    if type(h) is type(losses.huber):
        return min(h.delta * math.sqrt(c / n), reach), 1.0 / n
    raise TypeError(
        f"loss is {loss!r}, which is your own; its constants (l_h, L_h) are not known: give the two numbers"
    )


def penalty_constants(penalty: Any, parameters: Mapping[str, Array], radius: float) -> tuple[float, float]:
    """Return l_r and L_r of a penalty of the library on ‖w‖ ≤ radius.

    Parameters
    ----------
    penalty : L2 or LagSmoothness
    parameters : mapping of str to array
        Those of the model; only names and shapes are read.
    radius : float
        Bounds the norm of all that it penalises together.

    Raises
    ------
    TypeError
        Another penalty: input gradients and their like depend on model and data.

    Notes
    -----
    Both are quadratic, l_r = L_r radius. ``l2(λ)`` is ½ λ ‖w‖²: L_r = λ. ``lag_smoothness(λ)``: λ times the sum over
    lag axes of 4 sin²(π (k − 1)/(2k)), the largest eigenvalue of a path of k taps; dead taps only lower it.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.training import penalties
    >>> penalty_constants(penalties.l2(0.5), {"weight": np.zeros((2, 2))}, 4.0)
    (2.0, 0.5)
    """
    from ..training.penalties import L2, LagSmoothness

    check_numbers({"radius": radius})
    if type(penalty) not in (L2, LagSmoothness):
        raise TypeError(
            f"penalty is {penalty!r}, whose constants depend on model and data; give L_r itself, or an l2 or "
            "lag_smoothness penalty"
        )
    shapes = [tuple(parameters[name].shape) for name in penalty._select(parameters)]
    bends = [1.0 if isinstance(penalty, L2) else sum(map(_path, shape[:-2])) for shape in shapes if math.prod(shape)]
    bend = penalty.strength * max(bends, default=0.0)
    return times(bend, radius), bend


def _path(taps: int) -> float:
    """Return the largest eigenvalue of the Laplacian of a path."""
    return 4.0 * math.sin(0.5 * math.pi * (taps - 1) / taps) ** 2


def check_numbers(given: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError unless all are numbers, at least 0 or infinite."""
    for name, value in given.items():
        if isinstance(value, bool | str) or not hasattr(value, "__float__"):
            raise TypeError(f"{name} is {value!r}; pass a number")
        if not value >= 0:
            raise ValueError(f"{name} is {value}; pass a number at least 0, or math.inf")
