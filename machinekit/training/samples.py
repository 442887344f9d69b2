"""Samples at the door of a loss: predictions, targets and mask looked at once, and the masked ones put out of reach.

A masked sample may hold anything, NaN included. It is replaced before any arithmetic, never
multiplied away: 0 · NaN is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, as_array, astype, backend_of, common_backend, dtype_name, namespace, precision, to_host

__all__ = ["Samples", "count_samples", "read_samples", "sum_of", "total"]


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
    count : int
        The number of samples that are counted.
    keep : bool array of shape (*batch, *grid, 1), or None
        True = counted; None = all are.
    """

    p: Array
    t: Array
    d: Array | None
    count: int
    keep: Array | None

    def drop(self, array: Array) -> Array:
        """Return `array` with exact zeros where a sample is masked."""
        return array if self.keep is None else _blank(array, self.keep)


def _blank(array: Array, keep: Array) -> Array:
    xp = namespace(array)
    return xp.where(keep, array, xp.zeros_like(array))


def read_samples(
    p: Array, t: Array, mask: Array | None, d: Array | None, *, labels: bool, count: int | None = None
) -> Samples:
    """Check the arguments of a loss and blank the masked samples.

    Parameters
    ----------
    p : array of shape (*batch, *grid, channel), real or complex floating
    t : array of the same shape and precision; or, with `labels`, integers of shape (*batch, *grid)
    mask : bool array of shape (*batch, *grid), or None
    d : array of the shape and precision of `p`, or None
    labels : bool
        Whether integer targets are understood.
    count : int, optional
        How many samples the mask counts, if that is known.

    Raises
    ------
    TypeError
        Lists or objects; mixed libraries, devices or precisions; a mask that is not bool.
    ValueError
        Shapes that disagree; no sample to average over.
    """
    backend_of(t, "t")
    common_backend({"p": p, "t": t, "mask": mask, "d": d})
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
    keep = None
    if mask is not None:
        _check_mask(mask, lead)
        keep = mask[..., None]
        t = _blank(t, keep if t.ndim == p.ndim else mask)
        p, d = _blank(p, keep), d if d is None else _blank(d, keep)
    return Samples(p, t, d, count_samples(mask, lead) if count is None else count, keep)


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
