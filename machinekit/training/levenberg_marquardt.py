"""Levenberg–Marquardt: damped Gauss–Newton steps, the linear systems by conjugate gradients on products."""

from __future__ import annotations

from typing import Any

import numpy as np

from .newton import Products
from .tracker import Tracker

__all__ = ["run_levenberg_marquardt"]

_EPS = float(np.finfo(np.float64).eps)
_START = 1e-3
"""The first damping, relative to the curvature along the gradient."""
_NOISE = 16.0 * _EPS
"""Relative fall of the value that rounding hides; below it the gradient's norm judges a step."""


class _Damping:
    """μ by Nielsen's rule: down by up to 3 after a good step, up by 2, 4, 8, … after bad ones."""

    def __init__(self, start: float) -> None:
        self.value, self._growth = start, 2.0

    def ease(self, gain: float) -> None:
        """Lower μ after a step whose fall was `gain` times the model's; raise it if that was poor."""
        self.value *= max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3)
        self._growth = 2.0

    def raise_(self) -> None:
        """Raise μ after a step that was refused."""
        self.value *= self._growth
        self._growth *= 2.0


def run_levenberg_marquardt(tracker: Tracker, tolerance: float) -> tuple[bool, str]:
    """Minimise until the norm of the gradient is at most the tolerance.

    Returns
    -------
    converged : bool
    message : str

    Notes
    -----
    Each step solves (G + μ) s = −g with G the Gauss–Newton matrix, by conjugate gradients to a residual that falls
    with ‖g‖; it is taken if the value falls. μ follows Nielsen, Damping parameter in Marquardt's method,
    IMM-REP-1999-05 (Marquardt, SIAM J. Appl. Math. 11 (1963)).
    """
    theta = tracker.objective.theta0
    products = Products(tracker, "gauss_newton_product")
    value, gradient = tracker.fun(theta)
    tracker.step(theta)
    first = norm = float(np.linalg.norm(gradient))
    damping = _Damping(_START * (float(gradient @ products(theta, gradient)) / norm**2 if norm else 1.0) or _START)
    while norm > tolerance:
        s = _solve(products, theta, gradient, damping.value, min(0.01, float(np.sqrt(norm / first))))
        if float(np.linalg.norm(s)) <= _EPS * (float(np.linalg.norm(theta)) + _EPS):
            return False, f"no step lowers the value any further; the gradient has norm {norm:.3g}, not {tolerance:g}"
        fall = -float(gradient @ s) - 0.5 * float(s @ products(theta, s))  # as the model has it
        new_value, new_gradient = tracker.fun(theta + s)
        new_norm = float(np.linalg.norm(new_gradient))
        hidden = abs(fall) <= _NOISE * abs(value) and abs(new_value - value) <= _NOISE * abs(value)
        gain = (value - new_value) / fall if fall > 0.0 else 0.0
        if not (new_norm < norm if hidden else gain > 0.0):
            damping.raise_()
            continue
        damping.ease(1.0 if hidden else gain)
        theta, value, gradient, norm = theta + s, new_value, new_gradient, new_norm
        tracker.step(theta)
    return True, f"the norm of the gradient, {norm:.3g}, is not above the tolerance {tolerance:g}"


def _solve(products: Any, theta: np.ndarray, gradient: np.ndarray, damping: float, rtol: float) -> np.ndarray:
    """Return s of (G + μ) s = −g, as far as conjugate gradients come in as many steps as there are unknowns."""
    from scipy.sparse.linalg import LinearOperator, cg

    def matvec(d: np.ndarray) -> np.ndarray:
        return products(theta, d) + damping * d

    operator = LinearOperator((theta.size, theta.size), matvec=matvec, dtype=np.float64)
    return cg(operator, -gradient, rtol=rtol, atol=0.0, maxiter=theta.size)[0]
