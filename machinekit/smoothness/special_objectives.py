"""Objectives that the library has no loss for, and layers that are given by an equation: their constants."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..arrays import integer
from .objectives import check_numbers
from .structure import hyp, times

__all__ = [
    "FixedPoint",
    "convex_clustering",
    "fixed_point",
    "implicit_layer",
    "ridge",
    "soft_assignment",
    "spectral_clustering",
]


def ridge(strength: float, radius: float) -> tuple[float, float]:
    """Return l and L of λ ‖w‖² on ‖w‖ ≤ R: (2 λ R, 2 λ).

    >>> ridge(0.5, 3.0)
    (3.0, 1.0)
    """
    check_numbers({"strength": strength, "radius": radius})
    return times(2.0 * strength, radius), 2.0 * strength


def convex_clustering(points: int) -> tuple[float, float]:
    """Return l and L of Ŷ ↦ min_Y ½ ‖Y − Ŷ‖² + Σ_{i<j} ‖y_i − y_j‖, n points: (n √((n − 1)/2), 1).

    Notes
    -----
    A Moreau envelope: its gradient is a subgradient of the sum, whose norm is largest where the y_i are a regular
    simplex.

    Examples
    --------
    >>> convex_clustering(9)
    (18.0, 1.0)
    """
    n = integer("points", points, 1)
    return n * math.sqrt((n - 1) / 2), 1.0


def soft_assignment(
    diameter: float, temperature: float, *, size: float = math.inf, reach: float = math.inf
) -> tuple[float, float]:
    """Return l and L of Y ↦ −τ Σ_i log Σ_c exp(−‖y_i − c‖²/(2τ)), the soft assignment to fixed centres.

    Parameters
    ----------
    diameter : float
        Of the set of centres.
    temperature : float
        τ > 0.
    size, reach : float
        ‖Y‖ ≤ size, and √n max ‖c‖: l = size + reach.

    Notes
    -----
    The Hessian is I − Cov_p(c)/τ, with eigenvalues from 1 − diam²/(4τ) to 1: L = max(1, diam²/(4τ) − 1).

    Examples
    --------
    >>> soft_assignment(4.0, 1.0, size=2.0, reach=3.0)
    (5.0, 3.0)
    """
    check_numbers({"diameter": diameter, "size": size, "reach": reach})
    tau = _positive("temperature", temperature)
    return size + reach, max(1.0, diameter * diameter / (4.0 * tau) - 1.0)


def spectral_clustering(size: float, ridge: float = 0.0) -> tuple[float, float]:
    """Return l and L of Y ↦ min_P ½ tr((I − P) Y Yᵀ) + (ν/2) ‖P‖² on ‖Y‖ ≤ μ: (μ, 1 + μ²/ν), ν = `ridge`.

    Notes
    -----
    P with 0 ≤ P ≤ I and tr P = k; the gradient is (I − P*) Y, and P* the projection of Y Yᵀ/(2ν), 1/(2ν)-Lipschitz in
    Y Yᵀ. With ν = 0, which is k-means or spectral clustering, eigenvalues may tie and L is infinite.

    Examples
    --------
    >>> spectral_clustering(2.0, 1.0), spectral_clustering(2.0)
    ((2.0, 5.0), (2.0, inf))
    """
    check_numbers({"size": size, "ridge": ridge})
    return size, 1.0 + size * size / ridge if ridge else math.inf


def implicit_layer(convexity: float, smoothness: float, curvature: float) -> tuple[float, float]:
    """Return l_g and L_g of g(α) = argmin_β ζ(α, β): l_g = L_ζ/μ and L_g = (H_ζ/μ)(1 + l_g²).

    Parameters
    ----------
    convexity : float
        μ > 0: ζ is μ-strongly convex in β.
    smoothness, curvature : float
        L_ζ and H_ζ, Lipschitz constants of the gradient and the Hessian of ζ.

    Examples
    --------
    >>> implicit_layer(2.0, 4.0, 1.0)
    (2.0, 2.5)
    """
    check_numbers({"smoothness": smoothness, "curvature": curvature})
    mu = _positive("convexity", convexity)
    slope = smoothness / mu
    return slope, times(curvature / mu, 1.0 + slope * slope)


class FixedPoint(NamedTuple):
    """Lipschitz constants of a fixed point in x_0, in p and in both, and the smoothness in both."""

    start: float
    parameters: float
    lipschitz: float
    smoothness: float


def fixed_point(contraction: float, parameters: float = 0.0, smoothness: float = 0.0) -> FixedPoint:
    """Return the constants of (p, x_0) ↦ x with x = f(p, x) + x_0.

    Parameters
    ----------
    contraction : float
        κ < 1 with ‖∂_x f‖ ≤ κ.
    parameters, smoothness : float
        ‖∂_p f‖ ≤ l_f and ‖D²f‖ ≤ L_f, in (p, x) jointly.

    Raises
    ------
    ValueError
        κ not in [0, 1).

    Notes
    -----
    In x_0 1/(1 − κ), in p l_f/(1 − κ), in both l = √(1 + l_f²)/(1 − κ), and L = L_f (1 + l²)/(1 − κ):
    D²x = (I − ∂_x f)⁻¹ D²f[(ṗ, ẋ), (ṗ, ẋ)] with ‖(ṗ, ẋ)‖² ≤ (1 + l²) ‖(ṗ, ẋ_0)‖².

    Examples
    --------
    >>> fixed_point(0.5, 0.0, 1.0)
    FixedPoint(start=2.0, parameters=0.0, lipschitz=2.0, smoothness=10.0)
    """
    check_numbers({"parameters": parameters, "smoothness": smoothness})
    if not 0 <= contraction < 1:
        raise ValueError(
            f"contraction is {contraction}; pass a number from 0 to less than 1, else x need not be unique"
        )
    gap = 1.0 - contraction
    both = hyp(1.0, parameters) / gap
    return FixedPoint(1.0 / gap, parameters / gap, both, times(smoothness, 1.0 + both * both) / gap)


def _positive(name: str, value: Any) -> float:
    check_numbers({name: value})
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} is {value}; pass a positive finite number")
    return float(value)
