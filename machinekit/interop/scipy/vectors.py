"""Vectors: several arrays side by side in one flat vector, as the operators of SciPy take them."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...arrays import Array, Backend, astype, backend_of, dtype_name, namespace, real

__all__ = ["Space", "adjoint", "as_operator"]

_LIBRARIES = {"numpy": "scipy.sparse.linalg", "cupy": "cupyx.scipy.sparse.linalg"}
Map = Callable[[Array], Array]


class Space:
    """A sum of arrays, each of which is flat, in C order, and without its dead entries.

    Parameters
    ----------
    shapes : sequence of tuple of int
    masks : sequence of bool host array or None
        Which entries are live; None: all.
    home : Backend
    dtype : str

    Attributes
    ----------
    size : int
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], masks: Sequence[Any], home: Backend, dtype: str) -> None:
        self.shapes, self._home, self._dtype = list(shapes), home, dtype
        self._counts = [math.prod(s) if m is None else int(m.sum()) for s, m in zip(shapes, masks, strict=True)]
        self._places = [None if m is None else self._indices(m) for m in masks]
        self.size = sum(self._counts)

    def _indices(self, mask: np.ndarray) -> tuple[Array, Array]:
        """Return where live entries lie, and for all entries which of the live they are; dead ones are one more."""
        flat, live = mask.reshape(-1), np.flatnonzero(mask)
        back = np.where(flat, np.cumsum(flat) - 1, live.size)
        return self._home.from_host(live), self._home.from_host(back)

    def pack(self, arrays: Sequence[Array | None]) -> Array:
        """Return the vector of arrays, None being zero; it is new."""
        parts = []
        for array, count, places in zip(arrays, self._counts, self._places, strict=True):
            if array is None:
                parts.append(self._home.zeros((count,), self._dtype))
                continue
            xp = namespace(array)
            flat = xp.reshape(array, (-1,))
            parts.append(flat if places is None else xp.take(flat, places[0]))
        if not parts:
            return self._home.zeros((0,), self._dtype)
        return namespace(parts[0]).concat(parts)

    def unpack(self, vector: Array) -> list[Array]:
        """Return the arrays of a vector, zero where dead."""
        xp, found, start = namespace(vector), [], 0
        for shape, count, places in zip(self.shapes, self._counts, self._places, strict=True):
            part = vector[start : start + count]
            start += count
            if places is not None:
                part = xp.take(xp.concat([part, self._home.zeros((1,), part.dtype)]), places[1])
            found.append(xp.reshape(part, shape))
        return found


def adjoint(transpose: Map) -> Map:
    """Return v ↦ conj(Aᵀ conj(v)), the adjoint Aᴴ, from the transpose."""

    def act(vector: Array) -> Array:
        if not dtype_name(vector).startswith("complex"):
            return transpose(vector)
        xp = namespace(vector)
        image = transpose(xp.conj(vector))
        return xp.conj(image) if dtype_name(image).startswith("complex") else image

    return act


def as_operator(shape: tuple[int, int], forward: Map, transpose: Map, home: Backend, dtype: str) -> Any:
    """Return the linear operator of a library, from its action on vectors of that dtype and that of its transpose."""
    if home.name not in _LIBRARIES:
        raise TypeError(
            f"the model is in {home}, which has no linear operators; use model.to('numpy') or model.to('cupy')"
        )
    kind = importlib.import_module(_LIBRARIES[home.name]).LinearOperator
    matvec, rmatvec = (_Action(f, home, dtype) for f in (forward, adjoint(transpose)))
    return kind(shape, matvec=matvec, rmatvec=rmatvec, dtype=home.dtype(dtype))


class _Action:
    """A linear map on the vectors of SciPy: of any real or complex dtype, flat or a column."""

    def __init__(self, act: Map, home: Backend, dtype: str) -> None:
        self._act, self._home, self._dtype = act, home, dtype

    def __call__(self, vector: Array) -> Array:
        home = backend_of(vector, "the vector")
        if home.name != self._home.name:
            raise TypeError(f"the vector is in {home} but the operator in {self._home}; copy one of them")
        flat = namespace(vector).reshape(vector, (-1,))
        word = dtype_name(flat)
        if not word.startswith(("float", "complex", "int", "uint", "bool")):
            raise TypeError(f"the vector has dtype {vector.dtype}; pass real or complex numbers")
        if word.startswith("complex") and not self._dtype.startswith("complex"):
            xp = namespace(flat)
            return self._cast(real(flat)) + 1j * self._cast(xp.imag(flat))
        return self._cast(flat)

    def _cast(self, flat: Array) -> Array:
        return self._act(astype(flat, self._home.dtype(self._dtype)))
