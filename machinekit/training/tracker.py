"""Tracker: what watches a fit. It keeps the best point by value, the histories, and says when to stop."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np

from .objective import Objective

__all__ = ["Point", "StopFit", "Tracker"]

_NOT_FINITE = (
    "the {what} is {value} at step {step}; the best parameters before it are kept. Look for NaN in inputs and targets "
    "(a mask leaves samples out), else scale the data, or take smaller steps"
)


_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)
"""Relative difference of two values that says nothing."""


class StopFit(Exception):
    """Ends a method from inside; carries why."""


@dataclass(frozen=True)
class Point:
    """A θ that was tried: the score it is ranked by, the objective's value, and its gradient's norm where known."""

    theta: np.ndarray
    score: float
    value: float
    norm: float | None
    step: int


class Tracker:
    """Watches the evaluations and the steps of one fit.

    Parameters
    ----------
    objective, validation : Objective
        The second may be None. Without it points are ranked by the first, at every evaluation, and by
        its gradient where the values agree to rounding; with it by the second, at every step.
    steps, patience : int
    callback : callable or None
    progress : bool
        A bar on stderr, if that is a terminal.

    Notes
    -----
    The tracker lives as long as one call of `fit`; nothing else holds state.
    """

    def __init__(
        self,
        objective: Objective,
        validation: Objective | None,
        steps: int,
        patience: int,
        callback: Callable[[int, float, np.ndarray], Any] | None,
        progress: bool,
    ) -> None:
        self.objective, self.validation, self.limit, self.patience = objective, validation, steps, patience
        self.callback = callback
        self.steps, self.evaluations, self.products = 0, 0, 0
        self.history: list[float] = []
        self.validation_history: list[float] = []
        self.best: Point | None = None
        self.last: Point | None = None
        self.here: Point | None = None
        self._started = time.perf_counter()
        self._bar: Any = None
        if progress and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, unit="step", file=sys.stderr, leave=False)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def fun(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Evaluate the objective, as SciPy calls it.

        Raises
        ------
        StopFit
            If the value or the gradient is not finite.
        """
        self.evaluations += 1
        value, gradient = self.objective.fun(np.array(theta, dtype=np.float64))
        self._finite("value", value)
        norm = float(np.linalg.norm(gradient))
        self._finite("gradient norm", norm)
        self.last = Point(np.array(theta), value, value, norm, self.steps)
        if self.validation is None:
            self._rank(self.last)
        return value, gradient

    def product(self, vector: np.ndarray) -> np.ndarray:
        """Count a product with second derivatives and hand it on.

        Raises
        ------
        StopFit
            If it is not finite.
        """
        self.products += 1
        self._finite("norm of a Hessian product", float(np.linalg.norm(vector)))
        return vector

    def step(self, theta: np.ndarray) -> None:
        """Record a step that the method has taken, the start included.

        Raises
        ------
        StopFit
            No step is left, the validation loss has stopped falling, the callback has asked, or a
            value is not finite.
        """
        self.steps = len(self.history)
        at = self.here = self._at(np.array(theta, dtype=np.float64))
        self.history.append(at.value)
        if self.validation is not None:
            score = self.validation.value(at.theta)
            self._finite("validation loss", score)
            self.validation_history.append(score)
            self._rank(Point(at.theta, score, at.value, at.norm, self.steps))
        self._report(at)
        if self.callback is not None and self.steps and self.callback(self.steps, at.value, at.theta.copy()):
            raise StopFit(f"the callback asked for it at step {self.steps}")
        if self.validation is not None and self.best is not None and self.steps - self.best.step >= self.patience:
            raise StopFit(
                f"early stop: the validation loss has not fallen for {self.patience} steps, since step {self.best.step}"
            )
        if self.steps >= self.limit:
            raise StopFit(f"the limit of {self.limit} steps is reached; more steps may lower the value further")

    def _at(self, theta: np.ndarray) -> Point:
        """Return the point of a step: nearly always the last one evaluated, or that of the step before."""
        known = next((p for p in (self.last, self.here) if p is not None and np.array_equal(p.theta, theta)), None)
        if known is not None:
            point = replace(known, step=self.steps)
        else:
            self.evaluations += 1
            value = self.objective.value(theta)
            self._finite("value", value)
            point = Point(theta, value, value, None, self.steps)
        if self.validation is None:
            self._rank(point)
        return point

    def _rank(self, point: Point) -> None:
        if self.best is None or self._better(point, self.best):
            self.best = point
        elif np.array_equal(point.theta, self.best.theta) and point.norm is not None:
            self.best = point  # the same, now known to be a step

    def _better(self, point: Point, best: Point) -> bool:
        """Compare scores; where rounding does not tell them apart, the norms of the gradient."""
        alike = abs(point.score - best.score) <= _ROUNDING * abs(best.score)
        if alike and self.validation is None and point.norm is not None and best.norm is not None:
            return point.norm < best.norm
        return point.score < best.score

    def _finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise StopFit(_NOT_FINITE.format(what=what, value=value, step=self.steps))

    def _report(self, at: Point) -> None:
        if self._bar is None:
            return
        words = {"value": f"{at.value:.4g}"}
        if self.validation_history:
            words["validation"] = f"{self.validation_history[-1]:.4g}"
        self._bar.set_postfix(words, refresh=False)
        self._bar.update(self.steps - self._bar.n)
