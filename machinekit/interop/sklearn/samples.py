"""Samples: the data of a fit in one canonical form, in which order and repetition are forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Merged", "merge", "read_weights", "split"]


@dataclass(frozen=True)
class Merged:
    """Samples that differ from each other, in the order of their bytes.

    Attributes
    ----------
    X : array of shape (samples, features)
    targets : array of shape (samples, outputs)
    weights : array of shape (samples,)
        The sums of the weights of what was merged, in the precision of `X`.
    """

    X: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    @property
    def total(self) -> float:
        """The sum of the weights: the number of samples, where they have none."""
        return float(np.sum(self.weights, dtype=np.float64))

    def part(self, index: np.ndarray) -> Merged:
        """Return some of the samples."""
        return Merged(self.X[index], self.targets[index], self.weights[index])


def merge(X: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Merged:
    """Merge samples of equal features and targets, adding their weights, and sort the rest.

    Parameters
    ----------
    X : array of shape (samples, features), float32 or float64
    targets : array of shape (samples, outputs), numbers
    weights : float64 array of shape (samples,)

    Returns
    -------
    Merged
        With the dtypes of `X` and `targets`; the weights have that of `X`.

    Notes
    -----
    The loss is a weighted mean over samples, so none of this changes it. It changes rounding and the draws of
    minibatches and of the validation set: after it, repeating a sample and giving it an integer weight are the same
    fit bit by bit, and so are two orders of the samples, if the weights are integers.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.interop.sklearn.samples import merge
    >>> merged = merge(np.array([[2.0], [0.0], [2.0]]), np.array([[1.0], [0.0], [1.0]]), np.array([1.0, 1.0, 2.0]))
    >>> merged.X[:, 0], merged.weights
    (array([0., 2.]), array([1., 3.]))
    """
    rows = np.ascontiguousarray(np.concatenate([X, targets], axis=1) + 0.0)  # adding zero: −0 and 0 are equal
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, owner = np.unique(keys, return_index=True, return_inverse=True)
    sums = np.bincount(owner.ravel(), weights=weights, minlength=len(first))
    kept = rows[first]
    features = X.shape[1]
    return Merged(kept[:, :features].astype(X.dtype), kept[:, features:].astype(targets.dtype), sums.astype(X.dtype))


def split(samples: Merged, fraction: float, strata: bool, rng: np.random.Generator) -> tuple[Merged, Merged]:
    """Return the samples to train on, and those held out.

    Parameters
    ----------
    samples : Merged
    fraction : float
        Of the samples, to hold out; at least one is.
    strata : bool
        Hold out samples of each target in proportion; one of each is left to train on.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If there is none to spare.
    """
    count = len(samples.X)
    wanted = max(1, round(fraction * count))
    labels = np.unique(samples.targets, axis=0, return_inverse=True)[1].ravel() if strata else np.zeros(count, int)
    sizes = np.bincount(labels)
    if wanted > count - len(sizes):
        raise ValueError(
            f"early_stopping cannot hold out {wanted} of {count} different samples and leave one sample at least of "
            f"each of {len(sizes)} targets; lower validation_fraction={fraction:g}, or set early_stopping=False"
        )
    held = np.minimum((fraction * sizes).astype(int), sizes - 1)
    for _ in range(wanted - int(held.sum())):
        held[np.argmax(np.where(held < sizes - 1, fraction * sizes - held, -np.inf))] += 1
    order = rng.permutation(count)
    test = np.concatenate([order[labels[order] == k][:size] for k, size in enumerate(held)])
    train = np.setdiff1d(order, test)
    return samples.part(train), samples.part(np.sort(test))


def read_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """Return the weights as float64, one per sample.

    Raises
    ------
    ValueError
        Another shape; weights that are not finite, negative, or all zero.
    """
    from sklearn.utils.validation import _check_sample_weight

    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight has negative entries, the least {weights.min():g}; pass numbers at least 0")
    if not weights.any():  # newer versions of scikit-learn have said so themselves
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return np.array(weights)
