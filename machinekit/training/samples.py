"""Samples at the door of a loss: predictions, targets, mask and weights looked at once, and what is not counted put
out of reach.

A masked sample may hold anything, NaN included, and so may a sample of weight 0. It is replaced before any
arithmetic, never multiplied away: 0 · NaN is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, as_array, astype, backend_of, common_backend, dtype_name, namespace, precision, to_host

__all__ = ["Samples", "count_samples", "read_samples", "sum_of", "total", "weigh_samples"]


def total(*arrays: Array) -> Any:
    """Return the sum over all entries of all arrays as a Python float, or complex; the one transfer to the host."""
    return sum_of(arrays)


def sum_of(arrays: Iterable[Array]) -> Any:
    """Return the same of arrays that need not be there at once; of none, 0."""
    found: Any = None
    for array in arrays:
        part = namespace(array).sum(array)
        part = part.item() if isinstance(array, np.ndarray) else part
        found = part if found is None else found + part
    if found is None:
        return 0.0
    return to_host(found).item() if hasattr(found, "dtype") else found


@dataclass(frozen=True)
class Samples:
    """What a loss is computed from.

    Attributes
    ----------
    p, t : arrays of shape (*batch, *grid, channel)
        Masked samples are zero in both. Integer labels `t` have no channel axis.
    d : array of the shape of p, or None
        A direction of p, likewise.
    count : int or float
        The number of samples that are counted, or the sum of their weights.
    keep : bool array of shape (*batch, *grid, 1), or None
        True = counted; None = all are.
    weights : array of shape (*batch, *grid, 1), or None
        Zero where a sample is not counted; None = all are one.
    """

    p: Array
    t: Array
    d: Array | None
    count: float
    keep: Array | None
    weights: Array | None = None

    def mean(self, terms: Array) -> Any:
        """Return the mean over samples of the sum over channels of `terms`, on the host."""
        return total(self.drop(terms if self.weights is None else self.weights * terms)) / self.count

    def shares(self, slopes: Array) -> Array:
        """Return what each entry of `slopes` adds to the mean; exactly zero where a sample is not counted."""
        if self.weights is None:
            return self.drop(slopes / float(self.count))
        return self.drop((self.weights / float(self.count)) * slopes)

    def drop(self, array: Array) -> Array:
        """Return `array` with exact zeros where a sample is masked."""
        return array if self.keep is None else _blank(array, self.keep)


def _blank(array: Array, keep: Array) -> Array:
    xp = namespace(array)
    return xp.where(keep, array, xp.zeros_like(array))


def read_samples(
    p: Array,
    t: Array,
    mask: Array | None,
    d: Array | None,
    weights: Array | None = None,
    *,
    labels: bool,
    count: int | None = None,
) -> Samples:
    """Check the arguments of a loss and blank the samples that are not counted.

    Parameters
    ----------
    p : array of shape (*batch, *grid, channel), real or complex floating
    t : array of the same shape and precision; or, with `labels`, integers of shape (*batch, *grid)
    mask : bool array of shape (*batch, *grid), or None
    d : array of the shape and precision of `p`, or None
    labels : bool
        Whether integer targets are understood.
    weights : array of shape (*batch, *grid), or None
        Real, of the precision of `p`.
    count : int, optional
        How many samples the mask counts, if that is known and there are no weights.

    Raises
    ------
    TypeError
        Lists or objects; mixed libraries, devices or precisions; a mask that is not bool; complex weights.
    ValueError
        Shapes that disagree; no sample to average over; weights that are negative, not finite, or all zero.
    """
    backend_of(t, "t")
    common_backend({"p": p, "t": t, "mask": mask, "d": d, "weights": weights})
    precision(as_array(p, "p"), "p")
    if not p.ndim:
        raise ValueError("p has shape (); predictions have a channel axis, (*batch, *grid, channel)")
    lead = tuple(p.shape[:-1])
    if labels and "int" in dtype_name(t):
        _check_labels(t, lead)
    else:
        _check_like("t", t, p)
    if d is not None:
        _check_like("d", d, p)
    if mask is not None:
        _check_mask(mask, lead)
    keep = column = None
    if weights is None:
        whole: float = count_samples(mask, lead) if count is None else count
    else:
        _check_weights(weights, p, lead)
        mask, weights, whole = weigh_samples(mask, weights)
        column = weights[..., None]
    if mask is not None:
        keep = mask[..., None]
        t = _blank(t, keep if t.ndim == p.ndim else mask)
        p, d = _blank(p, keep), d if d is None else _blank(d, keep)
    return Samples(p, t, d, whole, keep, column)


def _check_labels(t: Array, lead: tuple[int, ...]) -> None:
    if tuple(t.shape) != lead:
        raise ValueError(
            f"t holds integer labels ({dtype_name(t)}) of shape {tuple(t.shape)} but p has samples of shape {lead}; "
            "labels have no channel axis (cast one-hot targets to the dtype of p)"
        )


def _check_like(name: str, array: Array, p: Array) -> None:
    if precision(array, name) != precision(p, "p"):
        raise TypeError(
            f"{name} is {dtype_name(array)} but p is {dtype_name(p)}; cast one of them to the other's precision"
        )
    if tuple(array.shape) != tuple(p.shape):
        raise ValueError(
            f"{name} has shape {tuple(array.shape)} but p has {tuple(p.shape)}; "
            "they must be equal (nothing is broadcast)"
        )


def _check_mask(mask: Array, lead: tuple[int, ...]) -> None:
    if dtype_name(mask) != "bool":
        raise TypeError(f"mask is {dtype_name(mask)}; pass a bool array, True where a sample is counted")
    if tuple(mask.shape) != lead:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)} but p has samples of shape {lead}; "
            "pass one entry per sample, no channel axis"
        )


def _check_weights(weights: Array, p: Array, lead: tuple[int, ...]) -> None:
    if not namespace(weights).isdtype(weights.dtype, "real floating") or precision(weights, "weights") != precision(
        p, "p"
    ):
        raise TypeError(
            f"weights is {dtype_name(weights)} but p is {dtype_name(p)}; pass real floating weights of its precision"
        )
    if tuple(weights.shape) != lead:
        raise ValueError(
            f"weights has shape {tuple(weights.shape)} but p has samples of shape {lead}; "
            "pass one number per sample, no channel axis"
        )


def weigh_samples(mask: Array | None, weights: Array) -> tuple[Array, Array, float]:
    """Return which samples are counted, their weights, zero elsewhere, and the sum of these.

    Parameters
    ----------
    mask : bool array of shape (*batch, *grid), or None
    weights : real array of the same shape

    Raises
    ------
    ValueError
        Weights that are negative or not finite where the mask counts; no sample of positive weight.
    """
    xp = backend_of(weights).xp
    weights = weights if mask is None else _blank(weights, mask)
    if not math.prod(weights.shape):
        raise ValueError(f"weights has shape {tuple(weights.shape)}, no sample to average over; pass at least one")
    count, least = to_host(xp.stack([xp.sum(weights), xp.min(weights)])).tolist()
    if not (math.isfinite(count) and least >= 0):
        raise ValueError(
            f"weights has the sum {count:g} and the least entry {least:g}; pass finite numbers, at least 0"
        )
    if not count:
        raise ValueError(
            "weights are zero for every sample that is counted, and a mean over nothing; "
            "give at least one a positive weight"
        )
    return weights > 0, weights, count


def count_samples(mask: Array | None, lead: tuple[int, ...]) -> int:
    """Return how many samples of a shape a mask counts; None counts all.

    Raises
    ------
    ValueError
        If it is none.
    """
    samples = math.prod(lead)
    if mask is None:
        if not samples:
            raise ValueError(f"p has samples of shape {lead}, none at all, and a mean over nothing; pass at least one")
        return samples
    xp = backend_of(mask).xp
    count = int(total(astype(mask, xp.int64)))
    if not count:
        raise ValueError(
            f"mask counts none of the {samples} samples, and a mean over nothing; set at least one entry to True"
        )
    return count
