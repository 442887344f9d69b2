"""Overlapping windows of an array: a view where the library has strides, a copy elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .backend import Array, backend_of

__all__ = ["Frame", "framed", "taps", "windows"]


class Frame:
    """Arrays of one grid, cut or padded along their grid axes, in memory used again.

    Parameters
    ----------
    starts, stops : sequences of int
        The indices to keep, one per grid axis, counted from an array's own index 0.
    fill : float
        What there is outside the grid.
    """

    def __init__(self, starts: Sequence[int], stops: Sequence[int], fill: float = 0.0) -> None:
        self.spans = tuple(zip(starts, stops, strict=True))
        self.fill = fill
        self._frame: Array | None = None
        self._cut: tuple = ()
        self._place: tuple = ()

    def of(self, array: Array) -> tuple[Array, bool]:
        """Frame an array of shape (samples, *grid, channel).

        Returns
        -------
        framed : array of shape (samples, *(stop − start), channel)
            A view of `array` where nothing is padded, else good until the next call.
        same : bool
            Whether a view of what the last call returned is a view of this; never outside NumPy.
        """
        if self._frame is None:
            inside = [
                (max(a, 0), max(min(b, n), max(a, 0))) for (a, b), n in zip(self.spans, array.shape[1:-1], strict=True)
            ]
            self._cut = (slice(None), *(slice(a, b) for a, b in inside), slice(None))
            if tuple(inside) == self.spans:
                return array[self._cut], False
            shape = (array.shape[0], *(b - a for a, b in self.spans), array.shape[-1])
            self._frame = backend_of(array).zeros(shape, array.dtype)
            if self.fill:
                self._frame[...] = self.fill
            if all(a < b for a, b in inside):
                place = (slice(lo - a, hi - a) for (lo, hi), (a, _) in zip(inside, self.spans, strict=True))
                self._place = (slice(None), *place, slice(None))
            same = False
        elif array.shape[0] < self._frame.shape[0]:
            self._frame, same = self._frame[: array.shape[0], ...], False
        else:
            same = isinstance(array, np.ndarray)
        if self._place:
            self._frame[self._place] = array[self._cut]
        return self._frame, same


def framed(array: Array, starts: Sequence[int], stops: Sequence[int], fill: float = 0.0) -> Array:
    """Frame one array; see `Frame`."""
    return Frame(starts, stops, fill).of(array)[0]


def taps(count: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[tuple]:
    """Return, for each position i of a window in C order, the index of the entries at s p + d i, p < count.

    It is one of arrays of shape (samples, *grid, …).
    """
    given = [zip(at, count, stride, dilation, strict=True) for at in itertools.product(*map(range, size))]
    return [(slice(None), *(slice(d * i, d * i + s * (n - 1) + 1, s) for i, n, s, d in each), ...) for each in given]


def windows(
    array: Array, count: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Array:
    """Return all windows: entry [b, p, i, c] is array[b, s p + d i, c].

    Parameters
    ----------
    array : array of shape (samples, *grid, channel)
        It must hold every entry asked for.
    count, size, stride, dilation : sequences of int
        Windows per axis, positions per window, steps from window to window and inside one.

    Returns
    -------
    array of shape (samples, *count, *size, channel)
        Not to be written to: on NumPy and CuPy the windows overlap in memory.
    """
    home = backend_of(array)
    shape = (array.shape[0], *count, *size, array.shape[-1])
    if home.name in ("numpy", "cupy"):
        sample, *steps, channel = array.strides
        outer = (s * n for s, n in zip(stride, steps, strict=True))
        inner = (d * n for d, n in zip(dilation, steps, strict=True))
        as_strided = home.xp.lib.stride_tricks.as_strided
        return as_strided(array, shape, (sample, *outer, *inner, channel))
    parts = [array[tap] for tap in taps(count, size, stride, dilation)]
    return home.xp.reshape(home.xp.stack(parts, axis=-2), shape)
