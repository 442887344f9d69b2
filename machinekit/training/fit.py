"""fit: minimise an objective, by methods of first or second order, and keep the best by value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, near
from ..machines.build import integer
from .adam import Batches, run_adam
from .levenberg_marquardt import run_levenberg_marquardt
from .newton import FIRST_ORDER, SECOND_ORDER, run_scipy
from .objective import Objective
from .options import positive
from .result import FitResult
from .samples import weigh_samples
from .tracker import StopFit, Tracker

__all__ = ["METHODS", "fit"]

METHODS = (*FIRST_ORDER, *SECOND_ORDER, "levenberg-marquardt", "adam")
"""The methods that `fit` knows."""


def fit(
    model: Any,
    loss: Any,
    inputs: Array | tuple[Array, ...],
    targets: Array,
    method: str = "L-BFGS-B",
    *,
    penalties: Any = (),
    mask: Array | None = None,
    weights: Array | None = None,
    steps: int = 500,
    tolerance: float = 1e-9,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    validation: tuple | None = None,
    patience: int = 20,
    rng: Any = None,
    progress: bool = True,
    callback: Callable[[int, float, np.ndarray], Any] | None = None,
) -> FitResult:
    """Train a model: minimise loss + penalties over its live parameters.

    Parameters
    ----------
    model, loss, inputs, targets, penalties, mask, weights
        As for `Objective`.
    method : str
        ``"L-BFGS-B"``, ``"BFGS"``, ``"CG"``, ``"TNC"``, ``"SLSQP"``: SciPy's methods that take gradients.
        ``"trust-ncg"``, ``"trust-krylov"``, ``"Newton-CG"``: SciPy's that take exact Hessian products.
        ``"gauss-newton"``: trust-ncg with the Gauss–Newton matrix for the Hessian. ``"levenberg-marquardt"``: damped
        Gauss–Newton steps. ``"adam"``.
    steps : int
        The most iterations; for "adam", passes over the training set.
    tolerance : float
        SciPy's `tol`; the norm of the gradient for "levenberg-marquardt" and the trust-region methods. "adam" has
        converged when no entry of the full gradient is larger.
    learning_rate : float, optional
        For "adam", 0.01 by default.
    batch_size : int, optional
        For "adam": samples of the first batch axis per update, shuffled anew in every pass. By
        default all of them, one update per pass.
    validation : (inputs, targets), (inputs, targets, mask) or (inputs, targets, mask, weights), optional
        A held-out set; its mask may be None. The best parameters are then those of the least loss on it (no penalties).
    patience : int
        Stop when the validation loss has not fallen for so many steps.
    rng : numpy.random.Generator, int or None
        For the shuffling.
    progress : bool
        Show a bar on stderr, if that is a terminal.
    callback : callable, optional
        Called after every step as ``callback(step, value, theta)``; a true answer ends the fit.

    Returns
    -------
    FitResult
        With the best parameters by value, not the last ones; of values that agree to rounding, those of the smallest
        gradient. A value that is not finite ends the fit, and so does an interrupt from the keyboard; the best so
        far is returned.

    Raises
    ------
    TypeError
        An unknown method (the message lists near names); an option that the method does not have; complex data.
    ValueError
        No live parameter; options out of range; a batch size where there is no batch axis.
    TypeError, ValueError
        As `Objective` and `Objective.fun`.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.training import fit
    >>> head = mk.Affine(1, 1, weight=np.zeros((1, 1)))
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> result = fit(head, "squared_error", x, 2.0 * x + 1.0, progress=False)
    >>> np.round(result.theta, 3)
    array([2., 1.])
    """
    if method not in METHODS:
        raise TypeError(f"method={method!r} is unknown; {near(method, METHODS)}")
    _check_options(method, {"learning_rate": learning_rate, "batch_size": batch_size})
    steps, patience = integer("steps", steps, 1), integer("patience", patience, 1)
    tolerance = positive("tolerance", tolerance)
    rate = positive("learning_rate", 0.01 if learning_rate is None else learning_rate)
    _check_real(inputs, targets)
    objective = Objective(model, loss, inputs, targets, penalties, mask, weights)
    if not objective.size:
        raise ValueError("the model has no live parameters, so there is nothing to fit; see model.describe()")
    held_out = None if validation is None else _held_out(model, loss, validation)
    batches = None
    if batch_size is not None:
        counted = mask if weights is None else weigh_samples(mask, weights)[0]
        batches = Batches(model, targets, counted, integer("batch_size", batch_size, 1), rng)
    with Tracker(objective, held_out, steps, patience, callback, progress) as tracker:
        try:
            # a value that is not finite is reported as such; NumPy need not warn of it too
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                if method == "adam":
                    converged, message = run_adam(tracker, rate, tolerance, batches)
                elif method == "levenberg-marquardt":
                    converged, message = run_levenberg_marquardt(tracker, tolerance)
                else:
                    converged, message = run_scipy(tracker, method, tolerance)
        except StopFit as stop:
            converged, message = False, str(stop)
        except KeyboardInterrupt:
            converged, message = False, f"interrupted at step {tracker.steps}; these are the best parameters so far"
        return _result(tracker, method, converged, message)


def _check_options(method: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and method != "adam":
            raise TypeError(f"{name}={value!r} is an option of method='adam'; {method!r} has none, leave it out")


def _check_real(inputs: Any, targets: Any) -> None:
    """Refuse complex data: the value would be complex, and has no least."""
    named = {f"inputs[{k}]": x for k, x in enumerate(inputs)} if isinstance(inputs, tuple) else {"inputs": inputs}
    for name, array in {**named, "targets": targets}.items():
        if "complex" in str(getattr(array, "dtype", "")):
            raise TypeError(
                f"{name} is {array.dtype}; a complex value has no least, pass real data, "
                "with real and imaginary parts as channels"
            )


def _held_out(model: Any, loss: Any, validation: Any) -> Objective:
    if not isinstance(validation, tuple) or len(validation) not in (2, 3, 4):
        raise TypeError(
            f"validation is {type(validation).__name__}; pass (inputs, targets), maybe with mask and weights, "
            "where inputs is an array or a tuple of arrays"
        )
    inputs, targets, *rest = validation
    return Objective(model, loss, inputs, targets, (), *rest)


def _result(tracker: Tracker, method: str, converged: bool, message: str) -> FitResult:
    """Return the best point as a model; the start, if nothing finite was seen."""
    objective, best = tracker.objective, tracker.best
    theta = objective.theta0 if best is None else best.theta
    value, norm = (math.nan, math.nan) if best is None else (best.value, best.norm)
    if norm is None:
        tracker.evaluations += 1
        value, gradient = objective.fun(theta)
        norm = float(np.linalg.norm(gradient))
    model = objective.model(theta)
    return FitResult(
        model=model, theta=objective.pack(model.parameters()), value=value, gradient_norm=norm, steps=tracker.steps,
        evaluations=tracker.evaluations, converged=converged, message=message, history=tuple(tracker.history),
        validation_history=tuple(tracker.validation_history), best_step=0 if best is None else best.step,
        seconds=tracker.seconds, method=method, products=tracker.products,
    )  # fmt: skip
