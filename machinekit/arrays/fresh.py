"""Results in memory that is new, or was given: sums, products, and one block for many arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .backend import Array, namespace

__all__ = ["Slab", "add_to", "plus", "product"]

_BLOCK = 1 << 22
"""Bytes from which one block pays: NumPy asks the system for large pages, so that few are touched first."""


def plus(a: Array, b: Array) -> Array:
    """Return a + b as an array, where NumPy would make a scalar of two arrays without axes."""
    total = a + b
    return np.asarray(total) if isinstance(total, np.generic) else total


def add_to(fresh: Array, b: Array) -> Array:
    """Return a + b, in the memory of the first where that holds the sum; it must be nobody else's."""
    holds = fresh.dtype == b.dtype or namespace(fresh).result_type(fresh, b) == fresh.dtype
    if isinstance(fresh, np.generic) or fresh.ndim < b.ndim or not holds:
        return plus(fresh, b)
    fresh += b
    return fresh


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """Return the product of two matrices, in given memory if that is a NumPy array of its dtype."""
    if type(out) is np.ndarray and out.dtype == a.dtype == b.dtype:
        return np.matmul(a, b, out=out)
    return a @ b


class Slab:
    """Where arrays like some others lie in one block of memory.

    Parameters
    ----------
    arrays : mapping of str to array

    Attributes
    ----------
    pays : bool
        Whether one block is worth it: NumPy arrays of one dtype, 4 MiB or more in all.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._places: dict[str, tuple[int, int, tuple[int, ...]]] = {}
        self.pays = False
        if not all(type(a) is np.ndarray for a in arrays.values()) or len({a.dtype for a in arrays.values()}) != 1:
            return
        self._dtype = next(iter(arrays.values())).dtype
        line = max(64 // self._dtype.itemsize, 1)
        self._total = 0
        for name, a in arrays.items():
            self._places[name] = (self._total, self._total + a.size, a.shape)
            self._total += -(-a.size // line) * line
        self.pays = self._total * self._dtype.itemsize >= _BLOCK

    def new(self) -> dict[str, np.ndarray]:
        """Return new memory, uninitialised, or {} if it does not pay; who keeps one of the arrays keeps the block."""
        if not self.pays:
            return {}
        block = np.empty(self._total, self._dtype)
        return {name: block[a:b].reshape(shape) for name, (a, b, shape) in self._places.items()}
