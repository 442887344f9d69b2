"""SciPy's methods, first and second order: the tracker sees every evaluation, every step and every product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .curvature import Curvature
from .tracker import StopFit, Tracker

__all__ = ["FIRST_ORDER", "SECOND_ORDER", "Products", "run_scipy"]

FIRST_ORDER = ("L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP")
"""SciPy's methods that take gradients."""

SECOND_ORDER = {
    "trust-ncg": ("trust-ncg", "hessp"),
    "trust-krylov": ("trust-krylov", "hessp"),
    "Newton-CG": ("Newton-CG", "hessp"),
    "gauss-newton": ("trust-ncg", "gauss_newton_product"),
}
"""Those that take products too: SciPy's name, and which product."""

_ENDLESS = 2**31 - 1
_ROUNDING = 2
"""The status of SciPy's trust-region methods when the quadratic model predicts no fall."""


class Products:
    """Products with the Hessian, or the Gauss–Newton matrix, whose forward pass is kept while θ stays the same.

    Parameters
    ----------
    tracker : Tracker
        Counts them, and ends the fit at one that is not finite.
    verb : {"hessp", "gauss_newton_product"}
    """

    def __init__(self, tracker: Tracker, verb: str) -> None:
        self._tracker, self._verb = tracker, verb
        self._theta: np.ndarray | None = None
        self._product: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, theta: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Return the product of θ and d.

        Raises
        ------
        StopFit
            If d or the product is not finite.
        """
        if not np.isfinite(d).all():
            raise StopFit(
                f"the method has broken down at step {self._tracker.steps}: it asks for a product with a direction "
                "that is not finite; take a larger tolerance, or method='trust-ncg'"
            )
        if self._product is None or self._theta is None or not np.array_equal(self._theta, theta):
            self._theta = np.array(theta, dtype=np.float64)
            self._product = getattr(Curvature(self._tracker.objective, self._theta), self._verb)
        return self._tracker.product(self._product(np.array(d, dtype=np.float64)))


def run_scipy(tracker: Tracker, method: str, tolerance: float) -> tuple[bool, str]:
    """Minimise by a method of SciPy; return whether it has converged, and its message."""
    from scipy.optimize import minimize

    theta = tracker.objective.theta0
    tracker.fun(theta)
    tracker.step(theta)
    name, more = method, {}
    options: dict[str, Any] = {"maxiter": tracker.limit}
    if method in SECOND_ORDER:
        name, verb = SECOND_ORDER[method]
        more = {"hessp": Products(tracker, verb)}
    elif method == "TNC":  # counts evaluations; the tracker counts its iterations
        options = {"maxfun": _ENDLESS}
    elif method == "L-BFGS-B":
        options["maxfun"] = _ENDLESS

    def stepped(xk: np.ndarray) -> None:
        tracker.step(xk)

    found = minimize(
        tracker.fun, theta, jac=True, method=name, tol=tolerance, options=options, callback=stepped, **more
    )
    if name.startswith("trust") and found.status == _ROUNDING:
        norm = float(np.linalg.norm(found.jac))
        return norm <= tolerance, f"rounding hides any further fall of the value; the gradient has norm {norm:.3g}"
    return bool(found.success), str(found.message)
