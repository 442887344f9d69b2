"""MachineRegressor: a machine with a linear head that predicts numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from .estimator import MachineEstimator
from .samples import Merged, merge, read_weights

__all__ = ["MachineRegressor"]


class MachineRegressor(RegressorMixin, MachineEstimator):
    """A machine of finite depth as a scikit-learn regressor: hidden blocks with all shortcuts, and a linear head.

    The parameters are those of `MachineClassifier`.

    Attributes
    ----------
    model_ : mk.Chain
        The network, from features to targets that are shifted and scaled.
    target_mean_ : array of shape (outputs,)
    target_scale_ : float
        ``predict`` is ``model_(X) * target_scale_ + target_mean_``.
    n_parameters_, n_iter_, loss_, loss_curve_, validation_loss_curve_, model_dtype_, n_outputs_
        As of `MachineClassifier`; losses are in units of `target_scale_` squared.
    n_features_in_, feature_names_in_

    Notes
    -----
    The loss is the mean, weighted by `sample_weight`, of ½ Σ (p − t)² over outputs, for targets t less their weighted
    mean, divided by one number for all outputs, the root of their mean variance. So `alpha` and `tol` mean the same
    for any unit of y. Equal samples are merged, see `MachineClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.interop.sklearn import MachineRegressor
    >>> X = np.linspace(-1.0, 1.0, 41)[:, None]
    >>> regressor = MachineRegressor((8, 8), "tanh", alpha=1e-3, tol=1e-7, max_iter=500, random_state=0)
    >>> y = 300.0 + np.abs(X[:, 0])
    >>> bool(regressor.fit(X, y).score(X, y) > 0.98)
    True
    """

    target_mean_: np.ndarray
    target_scale_: float

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the machine.

        Parameters
        ----------
        X : array-like of shape (samples, features)
            float32 is trained in single precision, all else in double.
        y : array-like of shape (samples,) or (samples, outputs), numbers
        sample_weight : array-like of shape (samples,), optional
            At least 0.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            NaN or infinity; shapes that disagree; parameters out of range.
        TypeError
            Parameters of the wrong kind.
        """
        X, y = self._checked(X, y)
        y = np.asarray(y, dtype=np.float64)
        weights = read_weights(sample_weight, X)
        kept = weights > 0
        X, y, weights = X[kept], y[kept], weights[kept]
        targets = y[:, None] if y.ndim == 1 else y
        samples = merge(X, targets, weights)
        mean, scale = (self.target_mean_, self.target_scale_) if self._goes_on() else _moments(samples)
        if mean.shape != targets.shape[1:]:
            raise ValueError(
                f"warm_start goes on with {mean.size} outputs, but y has {targets.shape[1]}; set warm_start=False"
            )
        scaled = ((samples.targets - mean) / scale).astype(X.dtype)
        self._learn(replace(samples, targets=scaled), "squared_error", strata=False)
        self.target_mean_, self.target_scale_, self._flat = mean, scale, y.ndim == 1
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions in the shape of `y` and the precision of the fit."""
        found = self._outputs(X)
        wide = (found * self.target_scale_ + self.target_mean_).astype(found.dtype)
        return wide[:, 0] if self._flat else wide

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"multioutput": True}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _moments(samples: Merged) -> tuple[np.ndarray, float]:
    """Return the weighted mean of each output, and the root of the mean weighted variance; 1 where that is 0."""
    weights = samples.weights.astype(np.float64)
    mean = np.average(samples.targets, axis=0, weights=weights)
    variance = float(np.mean(np.average((samples.targets - mean) ** 2, axis=0, weights=weights)))
    return mean, math.sqrt(variance) or 1.0
