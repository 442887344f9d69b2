"""FitResult: what a fit hands back, and its report."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["FitResult"]


@dataclass(frozen=True, eq=False)
class FitResult:
    """The best model of a fit.

    Attributes
    ----------
    model : op
        The model with the best parameters.
    theta : float64 host vector
        These parameters.
    value : float
        The training objective there, penalties included.
    gradient_norm : float
        The Euclidean norm of its gradient there.
    steps : int
        Steps taken: iterations of the method, or passes over the data for "adam".
    evaluations : int
        Calls of the objective, over the whole training set.
    converged : bool
        Whether the method's own test was met; False after an early stop, an interrupt, the last step allowed.
    message : str
        Why it ended.
    history : tuple of float
        The training objective at the start and after every step.
    validation_history : tuple of float
        The loss on the validation set, likewise; empty without one.
    best_step : int
        The step after which the best parameters were found.
    seconds : float
        Wall time.
    method : str
    products : int
        Products with the Hessian or the Gauss–Newton matrix, for the methods that take them.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.training import fit
    >>> model = mk.DenseMachine((1, 1), "identity", weight=np.zeros((2, 2)))
    >>> x = np.array([[1.0], [2.0]])
    >>> result = fit(model, "squared_error", x, np.concatenate([x, 4.0 * x], axis=1), progress=False)
    >>> result.converged, round(float(result.model.weight[0, 1]), 3)
    (True, 4.0)
    """

    model: Any
    theta: np.ndarray = field(repr=False)
    value: float
    gradient_norm: float
    steps: int
    evaluations: int
    converged: bool
    message: str
    history: tuple[float, ...] = field(repr=False)
    validation_history: tuple[float, ...] = field(repr=False)
    best_step: int
    seconds: float
    method: str
    products: int = 0

    def __str__(self) -> str:
        start = self.history[0] if self.history else math.nan
        end = "converged" if self.converged else "stopped"
        products = f"{self.products} products, " if self.products else ""
        work = f"{self.evaluations} evaluations, {products}{self.seconds:.2f} s"
        rows = [
            f"{self.method}: {end} after {self.steps} steps, {work}",
            f"  value          {self.value:.6g} (at the start {start:.6g}), kept from step {self.best_step}",
            f"  gradient norm  {self.gradient_norm:.3g}",
        ]
        if self.validation_history:
            best = min(self.validation_history)
            rows.append(f"  validation     {best:.6g} (at the start {self.validation_history[0]:.6g})")
        return "\n".join([*rows, f"  parameters     {self.theta.size}", f"  because        {self.message}"])
