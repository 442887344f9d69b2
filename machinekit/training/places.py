"""Places: where the live entries of one parameter lie, found once, and copied from and to a vector."""

from __future__ import annotations

import itertools
import math

import numpy as np

__all__ = ["Places"]

_BOX = 256
"""Entries for each box from which copying boxes is faster than an index of entries."""


class Places:
    """The live entries of an array, in C order.

    Parameters
    ----------
    shape : tuple of int
    mask : bool host array of that shape, or None
        Absent: all entries are live.

    Attributes
    ----------
    count : int
        How many there are.
    size : int
        How many entries the array has.
    whole : bool
        Whether all entries are live.

    Notes
    -----
    A mask whose rows have one run each, as the order of a machine makes them, is a few boxes: rows with the same run,
    one after the other, are a matrix in the array and in the vector. Any other mask, a pruned one, is an index.
    """

    def __init__(self, shape: tuple[int, ...], mask: np.ndarray | None) -> None:
        self.shape, self.size = shape, math.prod(shape)
        self._live = mask
        self._index: np.ndarray | None = None
        # (rows, columns) of the array, and the run of the vector that they fill
        self._boxes: list[tuple[slice, slice, slice]] = []
        if mask is None:
            self.count, self.whole = self.size, True
            self.rows = (1, self.count)
            self._boxes = [(slice(0, 1), slice(0, self.count), slice(0, self.count))]
            return
        self.count = int(mask.sum())
        self.whole = self.count == self.size
        table = mask.reshape(math.prod(shape[:-1]), shape[-1])
        self.rows = table.shape
        boxes = _boxes(table) if table.size else []
        if boxes is None or len(boxes) * _BOX > max(self.count, _BOX):
            self._index = np.flatnonzero(mask)
        else:
            self._boxes = boxes

    def index(self) -> np.ndarray:
        """Return where the live entries lie in the flat array."""
        return np.arange(self.size) if self._live is None else np.flatnonzero(self._live)

    def gather(self, array: np.ndarray, vector: np.ndarray) -> None:
        """Write the live entries into a vector of their number, casting them to its dtype."""
        if self._index is not None:
            vector[...] = array.reshape(-1)[self._index]
            return
        table = array.reshape(self.rows)
        for rows, columns, run in self._boxes:
            part = table[rows, columns]
            vector[run].reshape(part.shape)[...] = part

    def scatter(self, vector: np.ndarray, dtype: np.dtype | str) -> np.ndarray:
        """Return a new array of a dtype with these live entries, zero elsewhere."""
        array = np.zeros(self.shape, dtype)
        if self._index is not None:
            array.reshape(-1)[self._index] = vector
            return array
        table = array.reshape(self.rows)
        for rows, columns, run in self._boxes:
            part = table[rows, columns]
            part[...] = vector[run].reshape(part.shape)
        return array


def _boxes(table: np.ndarray) -> list[tuple[slice, slice, slice]] | None:
    """Return the boxes of a mask whose rows have one run each, else None."""
    first, length = table.argmax(axis=1), table.sum(axis=1)
    column = np.arange(table.shape[1])
    runs = (column >= first[:, None]) & (column < (first + length)[:, None])
    if not np.array_equal(runs, table):
        return None
    new = np.flatnonzero(np.diff(first, prepend=-1) | np.diff(length, prepend=-1))
    boxes, start = [], 0
    for a, b in itertools.pairwise([*new.tolist(), len(first)]):
        at, n = int(first[a]), int(length[a])
        if n:
            boxes.append((slice(a, b), slice(at, at + n), slice(start, start + (b - a) * n)))
            start += (b - a) * n
    return boxes
