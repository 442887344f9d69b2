"""MachineClassifier: a machine with a linear head that tells classes apart."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from .estimator import MachineEstimator
from .samples import merge, read_weights

__all__ = ["MachineClassifier"]


class MachineClassifier(ClassifierMixin, MachineEstimator):
    """A machine of finite depth as a scikit-learn classifier: hidden blocks with all shortcuts, and a linear head.

    Parameters
    ----------
    hidden : int or sequence of int
        Units of each hidden block, or channels where there is an `input_shape`. ``()`` leaves the linear head alone.
    activation : str, Activation, or a sequence of them, one for each hidden block
    alpha : float
        Strength of the penalty (alpha/2N) Σ w² on all weights, biases excluded, beside the mean of the loss over N
        samples, or samples of the total weight N: the `alpha` of ``MLPClassifier`` and ``Ridge``.
    input_shape : sequence of int, optional
        ``(height, width)`` or ``(height, width, channels)`` of an image, ``(length,)`` of a series, or
        ``(length, channels)`` with a `kernel_size` of one entry. The features are its entries in C order. The machine
        is then a convolution machine. By default it is a dense one.
    kernel_size : int or sequence of int
        Entries of the kernel along each grid axis; of an even number, one more looks back than ahead.
    solver : {"lbfgs", "adam"}
    max_iter : int
        The most iterations, of "adam" passes over the data.
    tol : float
        "lbfgs" has converged when the loss falls by less, or no entry of its gradient is larger; "adam" when the loss
        has not fallen by more for `n_iter_no_change` passes.
    learning_rate, batch_size : float, int or None
        For "adam"; None is all samples at once.
    early_stopping : bool
        Hold out `validation_fraction` of the samples, keep the parameters of the least loss on them, and stop when it
        has not fallen for `n_iter_no_change` iterations. Classes are held out in proportion.
    validation_fraction : float
    n_iter_no_change : int
    warm_start : bool
        Start a fit from the network of the last one; the moments of "adam" start anew.
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        For initial weights, minibatches and the held-out samples.
    verbose : bool
        A bar on stderr, if that is a terminal.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Those of samples of positive weight. For labels of shape (samples, labels): ``0, …, labels − 1``.
    model_ : mk.Chain
        The network, from features to log odds or logits; an op like any other.
    n_parameters_ : int
        Live parameters.
    n_iter_, loss_, loss_curve_
        Steps taken, the objective at `model_`, and at the start and after every step.
    validation_loss_curve_ : list or None
        The loss on the held-out samples, likewise.
    model_dtype_, n_outputs_, n_features_in_, feature_names_in_

    Notes
    -----
    The loss is the mean, weighted by `sample_weight`, of the cross entropy: of a softmax for several classes, of
    logistic functions for two classes and for label indicators. Equal samples are merged and sorted first, their
    weights added, so a fit does not depend on the order of the samples, an integer weight is a repetition, and a
    weight of 0 the sample left out, bit by bit. There is no ``partial_fit``.

    Parameters are looked at when `fit` is called: ValueError and TypeError name them.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.interop.sklearn import MachineClassifier
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> classifier = MachineClassifier((4,), "tanh", alpha=0.01, random_state=0).fit(X, ["no", "yes", "yes", "no"])
    >>> classifier.predict(X), classifier.n_parameters_
    (array(['no', 'yes', 'yes', 'no'], dtype='<U3'), 21)
    """

    classes_: np.ndarray
    _several: bool

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the machine.

        Parameters
        ----------
        X : array-like of shape (samples, features)
            float32 is trained in single precision, all else in double.
        y : array-like of shape (samples,), or 0/1 array of shape (samples, labels)
        sample_weight : array-like of shape (samples,), optional
            At least 0.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            NaN or infinity; shapes that disagree; labels of another kind, or of one class; parameters out of range.
        TypeError
            Parameters of the wrong kind.
        """
        X, y = self._checked(X, y)
        y = self._read_labels(y)
        weights = read_weights(sample_weight, X)
        kept = weights > 0
        X, y, weights = X[kept], y[kept], weights[kept]
        several = y.ndim == 2
        classes = np.arange(y.shape[1]) if several else np.unique(y)
        if not several and len(classes) < 2:
            raise ValueError(
                f"y has one class only, {classes[0]}, among the samples of positive weight; pass at least 2 classes"
            )
        if self._goes_on() and (several != self._several or not np.array_equal(classes, self.classes_)):
            raise ValueError(
                f"warm_start goes on with the classes {self.classes_}, but y has {classes}; set warm_start=False"
            )
        binary = not several and len(classes) == 2
        targets = y if several else y[:, None] == (classes[1:] if binary else classes)
        loss = "logistic" if several or binary else "softmax_cross_entropy"
        self._learn(merge(X, targets.astype(X.dtype), weights), loss, strata=not several)
        self.classes_, self._several = classes, several
        return self

    def _read_labels(self, y: Any) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y.toarray() if issparse(y) else y, warn=True)
        check_classification_targets(y)
        if type_of_target(y) == "multiclass-multioutput":
            raise ValueError(
                f"y has shape {y.shape} and several classes in a column; pass 0/1 indicators, "
                "or use MultiOutputClassifier"
            )
        return y.toarray() if issparse(y) else y

    def decision_function(self, X: Any) -> np.ndarray:
        """Return log odds of shape (samples,) for two classes, of (samples, labels) for indicators, else logits.

        Parameters
        ----------
        X : array-like of shape (samples, features)

        Returns
        -------
        array in the precision of the fit
        """
        found = self._outputs(X)
        return found if self._several or found.shape[1] > 1 else found[:, 0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities of shape (samples, n_classes); for indicators those of 1, each label for itself."""
        found = self._outputs(X)
        if self._several:
            return expit(found)
        return np.hstack([expit(-found), expit(found)]) if found.shape[1] == 1 else softmax(found, axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`, exact where these are rounded to 0."""
        found = self._outputs(X)
        if self._several:
            return log_expit(found)
        return np.hstack([log_expit(-found), log_expit(found)]) if found.shape[1] == 1 else log_softmax(found, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each sample, or indicators of the labels more probable than not."""
        found = self._outputs(X)
        if self._several:
            return (found > 0).astype(np.int64)
        best = (found[:, 0] > 0).astype(np.intp) if found.shape[1] == 1 else np.argmax(found, axis=1)
        return self.classes_[best]

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"multilabel": True, "multioutput": True}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
