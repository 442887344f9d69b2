"""Products of stacks of matrices, in memory used again, and in pieces that a cache holds."""

from __future__ import annotations

import math

import numpy as np

from .backend import Array, namespace

__all__ = ["Buffer", "products_into", "sum_of_products"]

_SMALL = 10**6
"""Multiply-adds up to which OpenBLAS multiplies two matrices as they lie; larger ones it copies first."""
_FEWEST = 32
"""Rows below which a piece is not worth its call."""


class Buffer:
    """Room for one array at a time, used again by the next; fresh each time where the library is not NumPy."""

    def __init__(self) -> None:
        self._room: np.ndarray | None = None

    def room(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return a NumPy array of any entries; valid until the next."""
        size = math.prod(shape)
        if self._room is None or self._room.size < size or self._room.dtype != dtype:
            self._room = np.empty(size, dtype)
        return self._room[:size].reshape(shape)

    def copy(self, view: Array, shape: tuple[int, ...]) -> Array:
        """Return the entries of a view, in its own order, in another shape; valid until the next."""
        if not isinstance(view, np.ndarray):
            return namespace(view).reshape(view, shape)
        room = self.room(view.shape, view.dtype)
        np.copyto(room, view)
        return room.reshape(shape)


def products_into(out: Array, index: tuple, a: Array, b: Array, more: Buffer | None = None) -> None:
    """Write products of stacks of matrices as ``out[index]``, or add them to it.

    Parameters
    ----------
    out : array, of the dtype of the products
        ``out[index]`` is contiguous, of as many entries as the stack has rows, times groups · out.
    a : array of shape (groups, *stack, rows, in)
    b : array of shape (groups, in, out)
    more : Buffer, optional
        Where given, what is there already is added to, and this holds the products meanwhile.
    """
    here, (groups, *stack, rows, inner), outer = out[index], a.shape, b.shape[-1]
    if not isinstance(out, np.ndarray):
        xp = namespace(out)
        product = a @ xp.reshape(b, (groups, *(1 for _ in stack), inner, outer))
        turned = xp.permute_dims(product, (*range(1, a.ndim - 1), 0, a.ndim - 1))
        out[index] = xp.reshape(turned, here.shape) + (here if more else 0)
        return
    each = _piece(rows, inner * outer)
    stack += rows // each, each
    axes = len(stack)
    target = here if more is None else more.room(here.shape, here.dtype)
    turned = target.reshape(*stack, groups, outer).transpose(axes, *range(axes), axes + 1)
    # (groups, *stack, pieces, rows, in) @ (groups, *ones, in, out) -> (groups, *stack, pieces, rows, out)
    np.matmul(a.reshape(groups, *stack, inner), b.reshape(groups, *(1,) * (axes - 1), inner, outer), out=turned)
    if more is not None:
        here += target


def sum_of_products(a: Array, y: Array) -> Array:
    """Return the sum over a stack of aᵀ y, of shape (groups, in, out).

    Parameters
    ----------
    a : array of shape (groups, *stack, rows, in)
    y : contiguous array of as many entries as the stack has rows, times groups · out
    """
    (groups, *stack, rows, inner), outer = a.shape, y.shape[-1] // a.shape[0]
    xp, each = namespace(a), _piece(rows, inner * outer) if isinstance(a, np.ndarray) else rows
    stack += [rows // each, each] if each else [rows]
    axes = len(stack)
    right = xp.permute_dims(xp.reshape(y, (*stack, groups, outer)), (axes, *range(axes), axes + 1))
    left = xp.permute_dims(xp.reshape(a, (groups, *stack, inner)), (*range(axes), axes + 1, axes))
    # (groups, *stack, pieces, in, rows) @ (groups, *stack, pieces, rows, out) -> (groups, *stack, pieces, in, out)
    products = left @ right
    return xp.sum(products, axis=tuple(range(1, axes)), dtype=products.dtype) if axes > 1 else products


def _piece(rows: int, each: int) -> int:
    """Return how many of the rows to multiply at a time, a divisor; a row costs so many multiply-adds."""
    fewest = -(-rows * each // _SMALL)
    return rows // next((n for n in range(max(fewest, 1), rows // _FEWEST + 1) if rows % n == 0), 1) or 1
