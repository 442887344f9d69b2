"""fit: minimise an objective, with SciPy's gradient methods or Adam, and keep the best by value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, near, to_host
from ..graph.op import parts
from ..machines.build import integer, read_generator
from .objective import Objective
from .result import FitResult
from .tracker import StopFit, Tracker

__all__ = ["METHODS", "fit"]

_SCIPY = ("L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP")
METHODS = (*_SCIPY, "adam")
"""The methods that `fit` knows."""

_ENDLESS = 2**31 - 1


def fit(
    model: Any,
    loss: Any,
    inputs: Array | tuple[Array, ...],
    targets: Array,
    method: str = "L-BFGS-B",
    *,
    penalties: Any = (),
    mask: Array | None = None,
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
    model, loss, inputs, targets, penalties, mask
        As for `Objective`.
    method : {"L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "adam"}
        One of SciPy's gradient methods, or Adam.
    steps : int
        The most iterations; for "adam", passes over the training set.
    tolerance : float
        SciPy's `tol`. "adam" has converged when no entry of the full gradient is larger.
    learning_rate : float, optional
        For "adam", 0.01 by default.
    batch_size : int, optional
        For "adam": samples of the first batch axis per update, shuffled anew in every pass. By
        default all of them, one update per pass.
    validation : (inputs, targets) or (inputs, targets, mask), optional
        A held-out set. The best parameters are then those of the least loss on it (no penalties).
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
        With the best parameters by value, not the last ones. A value that is not finite ends the
        fit, and so does an interrupt from the keyboard; the best so far is returned.

    Raises
    ------
    TypeError
        An unknown method (the message lists near names); an option that the method does not have.
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
    tolerance = _positive("tolerance", tolerance)
    rate = _positive("learning_rate", 0.01 if learning_rate is None else learning_rate)
    objective = Objective(model, loss, inputs, targets, penalties, mask)
    if not objective.size:
        raise ValueError("the model has no live parameters, so there is nothing to fit; see model.describe()")
    held_out = None if validation is None else _held_out(model, loss, validation)
    batches = None if batch_size is None else _Batches(model, targets, mask, integer("batch_size", batch_size, 1), rng)
    with Tracker(objective, held_out, steps, patience, callback, progress) as tracker:
        try:
            # a value that is not finite is reported as such; NumPy need not warn of it too
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                if method == "adam":
                    converged, message = _adam(tracker, rate, tolerance, batches)
                else:
                    converged, message = _scipy(tracker, method, tolerance)
        except StopFit as stop:
            converged, message = False, str(stop)
        except KeyboardInterrupt:
            converged, message = False, f"interrupted at step {tracker.steps}; these are the best parameters so far"
        return _result(tracker, method, converged, message)


def _check_options(method: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and method != "adam":
            raise TypeError(f"{name}={value!r} is an option of method='adam'; {method!r} has none, leave it out")


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}; pass a positive number")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; pass a positive finite number")
    return float(value)


def _held_out(model: Any, loss: Any, validation: Any) -> Objective:
    if not isinstance(validation, tuple) or len(validation) not in (2, 3):
        raise TypeError(
            f"validation is {type(validation).__name__}; pass (inputs, targets) or (inputs, targets, mask), "
            "where inputs is an array or a tuple of arrays"
        )
    inputs, targets, *mask = validation
    return Objective(model, loss, inputs, targets, mask=mask[0] if mask else None)


def _scipy(tracker: Tracker, method: str, tolerance: float) -> tuple[bool, str]:
    """Minimise by a method of SciPy; the tracker sees every evaluation and every iteration."""
    from scipy.optimize import minimize

    theta = tracker.objective.theta0
    tracker.fun(theta)
    tracker.step(theta)
    options: dict[str, Any] = {"maxiter": tracker.limit}
    if method == "TNC":  # counts evaluations; the tracker counts its iterations
        options = {"maxfun": _ENDLESS}
    elif method == "L-BFGS-B":
        options["maxfun"] = _ENDLESS

    def stepped(xk: np.ndarray) -> None:
        tracker.step(xk)

    found = minimize(tracker.fun, theta, jac=True, method=method, tol=tolerance, options=options, callback=stepped)
    return bool(found.success), str(found.message)


class _Batches:
    """The minibatches of each pass: a fresh shuffle of the samples that the mask counts at least in part."""

    def __init__(self, model: Any, targets: Array, mask: Array | None, size: int, rng: Any) -> None:
        lead = tuple(targets.shape[:-1]) if mask is None else tuple(mask.shape)
        if len(lead) <= _grid_axes(model):
            raise ValueError(
                f"batch_size={size} but targets of shape {tuple(targets.shape)} have no batch axis before the grid; "
                "leave batch_size out, or stack several series along a first axis"
            )
        samples = np.arange(lead[0])
        if mask is not None:
            samples = samples[to_host(mask).reshape(lead[0], -1).any(axis=1)]
        self._samples, self._size, self._rng = samples, size, read_generator(rng)

    def __call__(self) -> list[np.ndarray]:
        order = self._rng.permutation(self._samples)
        return [order[a : a + self._size] for a in range(0, len(order), self._size)]


def _grid_axes(op: Any) -> int:
    """Return the most grid axes of a machine in the model."""
    own = getattr(getattr(op, "partition", None), "axes", 0)
    return max([own, *(_grid_axes(part) for part in parts(op).values())])


class _Adam:
    """The update of Adam, with its moments (Kingma & Ba, arXiv:1412.6980, Algorithm 1)."""

    def __init__(self, rate: float, size: int) -> None:
        self._rate, self._first, self._second, self._count = rate, np.zeros(size), np.zeros(size), 0

    def move(self, theta: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return θ after one update."""
        self._count += 1
        self._first += 0.1 * (gradient - self._first)
        self._second += 0.001 * (gradient * gradient - self._second)
        mean, square = self._first / (1.0 - 0.9**self._count), self._second / (1.0 - 0.999**self._count)
        return theta - self._rate * mean / (np.sqrt(square) + 1e-8)


def _adam(tracker: Tracker, rate: float, tolerance: float, batches: _Batches | None) -> tuple[bool, str]:
    """Run Adam until its gradient is small or the tracker stops it."""
    theta = tracker.objective.theta0
    adam = _Adam(rate, theta.size)
    while True:
        if batches is not None:
            tracker.step(theta)
            for index in batches():
                theta = adam.move(theta, tracker.objective.subset(index).fun(theta)[1])
            continue
        _, gradient = tracker.fun(theta)
        tracker.step(theta)
        if np.max(np.abs(gradient)) <= tolerance:
            return True, f"no entry of the gradient is above the tolerance {tolerance:g}"
        theta = adam.move(theta, gradient)


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
        seconds=tracker.seconds, method=method,
    )  # fmt: skip
