"""What classifier and regressor share: parameters, the fit, and what it leaves behind."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from ...graph.op import parameters
from ...training import FitResult, fit, penalties
from .network import build_network, check_same_network
from .options import Options, read_generator_of, read_options
from .samples import Merged, split

__all__ = ["MachineEstimator", "validated"]


def validated(estimator: Any, *arrays: Any, **options: Any) -> Any:
    """Call scikit-learn's ``validate_data``, which was a method before version 1.6."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:
        return estimator._validate_data(*arrays, **options)
    return validate_data(estimator, *arrays, **options)


class MachineEstimator(BaseEstimator):
    """A machine with a linear head and the parameters of scikit-learn; see `MachineClassifier`."""

    def __init__(
        self,
        hidden: Any = (32, 32),
        activation: Any = "relu",
        *,
        alpha: float = 0.3,
        input_shape: Any = None,
        kernel_size: Any = 3,
        solver: str = "lbfgs",
        max_iter: int = 200,
        tol: float = 1e-5,
        learning_rate: float = 1e-3,
        batch_size: int | None = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.alpha = alpha
        self.input_shape = input_shape
        self.kernel_size = kernel_size
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _goes_on(self) -> bool:
        """Tell whether a fit starts from the last one."""
        return bool(self.warm_start) and hasattr(self, "model_")

    def _checked(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the data of a fit as arrays, X in single precision if it came so, else in double."""
        return validated(
            self, X, y, multi_output=True, dtype=(np.float64, np.float32), order="C", reset=not self._goes_on()
        )

    def _learn(self, samples: Merged, loss: str, strata: bool) -> None:
        """Fit the network to merged data.

        Parameters
        ----------
        samples : Merged
            Targets have the dtype of `X`.
        loss : str
        strata : bool
            Whether the validation set has each target in proportion.
        """
        features, dtype, held_out = samples.X.shape[1], samples.X.dtype, None
        options = read_options(self, features)
        rng = read_generator_of(self.random_state)
        model = build_network(options, features, samples.targets.shape[1], dtype.name, rng)
        if self._goes_on():
            check_same_network(self.model_, model)
            model = self.model_ if self.model_dtype_ == dtype else self.model_.astype(dtype.name)
        if options.early_stopping:
            samples, held_out = split(samples, options.validation_fraction, strata, rng)
        plateau = _Plateau(options) if options.method == "adam" and held_out is None else None
        penalty = penalties.l2(options.alpha / samples.total)
        result = fit(
            model, loss, samples.X, samples.targets, options.method, penalties=penalty,
            weights=samples.weights, steps=options.max_iter, tolerance=options.tol, rng=rng, callback=plateau,
            progress=bool(self.verbose), **_more(options, samples, held_out),
        )  # fmt: skip
        _check_end(result, options, plateau is not None and plateau.reached)
        self._keep(result)

    def _keep(self, result: FitResult) -> None:
        arrays = list(parameters(result.model).values())
        self.model_ = result.model
        self.model_dtype_ = np.dtype(str(arrays[0].dtype))
        self.n_outputs_ = arrays[-1].shape[0]
        self.n_parameters_ = result.theta.size
        self.n_iter_ = max(result.steps, 1)
        self.loss_ = result.value
        self.loss_curve_ = list(result.history)
        self.validation_loss_curve_ = list(result.validation_history) or None

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the network, of shape (samples, outputs)."""
        check_is_fitted(self)
        return self.model_(validated(self, X, dtype=self.model_dtype_, order="C", reset=False))


class _Plateau:
    """Ends a fit whose loss has not fallen by more than `tol` below the least so far for so many steps."""

    def __init__(self, options: Options) -> None:
        self._tol, self._patience, self._best, self._idle = options.tol, options.patience, math.inf, 0

    @property
    def reached(self) -> bool:
        return self._idle >= self._patience

    def __call__(self, step: int, value: float, theta: np.ndarray) -> bool:
        self._idle = 0 if value < self._best - self._tol else self._idle + 1
        self._best = min(self._best, value)
        return self.reached


def _more(options: Options, samples: Merged, held_out: Merged | None) -> dict[str, Any]:
    """Return the options of `mk.fit` that not every fit has."""
    more: dict[str, Any] = {}
    if held_out is not None:
        more["validation"] = (held_out.X, held_out.targets, None, held_out.weights)
        more["patience"] = options.patience
    if options.method == "adam":
        size = options.batch_size
        more["learning_rate"] = options.learning_rate
        more["batch_size"] = None if size is None else min(size, len(samples.X))
    return more


def _check_end(result: FitResult, options: Options, plateau: bool) -> None:
    """Refuse a fit that has not begun, and warn of one that has not come to its end."""
    if not math.isfinite(result.value):
        raise ValueError(
            f"the loss is {result.value} at the start, so there is nothing to fit; scale X, as with StandardScaler"
        )
    early = bool(result.validation_history) and result.steps - result.best_step >= options.patience
    if not (result.converged or early or plateau):
        warnings.warn(f"not converged: {result.message}", ConvergenceWarning, stacklevel=4)
