"""Forecasts to beat: persistence, seasonal, and autoregression by least squares."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["autoregression", "persistence", "seasonal"]


def persistence(values: np.ndarray, horizon: int) -> np.ndarray:
    """Return the last value seen `horizon` steps before each position; NaN at the start.

    Examples
    --------
    >>> persistence(np.array([1.0, 2.0, 4.0]), 1)
    array([nan,  1.,  2.])
    """
    return _shift(values, horizon)


def seasonal(values: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """Return the value a whole number of seasons earlier, the fewest that are known `horizon` steps ahead.

    Examples
    --------
    >>> seasonal(np.array([1.0, 2.0, 4.0, 8.0]), 1, 2)
    array([nan, nan,  1.,  2.])
    """
    return _shift(values, season * math.ceil(horizon / season))


def _shift(values: np.ndarray, by: int) -> np.ndarray:
    out = np.full(values.shape, math.nan)
    out[by:] = values[: max(len(values) - by, 0)]
    return out


def autoregression(values: np.ndarray, horizon: int, order: int, train: int) -> np.ndarray:
    """Return AR(order) forecasts, iterated to the horizon, fitted by least squares on the first `train` values.

    Parameters
    ----------
    values : float64 array of shape (time,)
        NaN is a gap: a window with a gap neither fits nor forecasts.
    horizon, order, train : int

    Returns
    -------
    array of shape (time,)
        The forecast of each position from what was known `horizon` steps before; NaN where unknown.
    """
    windows = _windows(values, order)
    target = values[order:]
    known = np.isfinite(windows).all(axis=1) & np.isfinite(target)
    fit = known & (np.arange(order, len(values)) < train)
    if fit.sum() <= order:
        return np.full(values.shape, math.nan)
    design = np.column_stack([windows, np.ones(len(windows))])
    coefficients = np.linalg.lstsq(design[fit], target[fit], rcond=None)[0]
    lines = _windows(np.append(values, math.nan), order)  # one window for every origin, the last included
    for _ in range(horizon):
        following = lines @ coefficients[:-1] + coefficients[-1]
        lines = np.column_stack([lines[:, 1:], following])
    out = np.full(len(values) + horizon, math.nan)
    out[order - 1 + horizon :] = following  # window k ends at order − 1 + k
    return out[: len(values)]


def _windows(values: np.ndarray, order: int) -> np.ndarray:
    """Return the `order` values before each position that has so many."""
    if len(values) <= order:
        return np.empty((0, order))
    return np.lib.stride_tricks.sliding_window_view(values[:-1], order)
