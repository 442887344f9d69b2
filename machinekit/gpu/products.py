"""Products by cuBLAS, added to what is there: one launch, no copy, no allocation.

`cupy.matmul` and `cupy.dot` cannot add, and `cupy.cublas.gemm` copies what is not contiguous. cuBLAS itself takes any
matrix whose rows, or columns, are contiguous, whatever lies between them: blocks of a weight are read where they lie,
and blocks of channels are written where they belong. Single precision is computed in single precision, never in TF32.
"""

from __future__ import annotations

import importlib

import numpy as np

from ..arrays import Array, Backend

__all__ = ["Product", "lies", "multiply"]

_NAMES = {"f": "sgemm", "d": "dgemm", "F": "cgemm", "D": "zgemm"}


def lies(matrix: Array) -> tuple[bool, int] | None:
    """Return whether the columns of a matrix are contiguous, else its rows, and the entries from one to the next.

    None where neither are.
    """
    (rows, columns), (down, across), size = matrix.shape, matrix.strides, matrix.itemsize
    if across == size or columns == 1:
        ahead = down // size if rows > 1 else max(columns, 1)
        if down % size == 0 and ahead >= columns:
            return False, ahead
    if down == size or rows == 1:
        ahead = across // size if columns > 1 else max(rows, 1)
        if across % size == 0 and ahead >= rows:
            return True, ahead
    return None


class Product:
    """The call that does out = a b + beta · out.

    The arrays must stay where they are; the call is made on the current stream, in the context of their device.

    Parameters
    ----------
    home : Backend
        CuPy and a device.
    a, b, out : arrays of shapes (m, k), (k, n), (m, n) and of one dtype, no extent zero
        The rows or the columns of each are contiguous; `out` overlaps neither of the others.
    beta : float
        0: what is in `out` is not read.

    Raises
    ------
    ValueError
        Shapes or dtypes that do not fit; an array that does not lie so.
    """

    __slots__ = ("_arguments", "_gemm", "_handle", "_kept")

    def __init__(self, home: Backend, a: Array, b: Array, out: Array, beta: float = 1.0) -> None:
        (m, k), n = a.shape, b.shape[-1]
        if b.shape != (k, n) or out.shape != (m, n) or not a.dtype == b.dtype == out.dtype:
            told = ", ".join(f"{x.shape} {x.dtype}" for x in (a, b, out))
            raise ValueError(f"a product takes (m, k), (k, n) and (m, n) of one dtype; these are {told}")
        places = [lies(x) for x in (a, b, out)]
        if None in places:
            raise ValueError(f"neither rows nor columns are contiguous, of strides {[x.strides for x in (a, b, out)]}")
        (a_columns, lda), (b_columns, ldb), (columns, ldc) = places  # type: ignore[misc]
        scalars = np.array([1.0, beta], a.dtype)
        one, other = scalars.ctypes.data, scalars.ctypes.data + scalars.itemsize
        name = home.xp.__name__
        blas = importlib.import_module(f"{name}_backends.cuda.libs.cublas")
        self._handle = importlib.import_module(f"{name}.cuda.device").get_cublas_handle
        gemm, left, right = getattr(blas, _NAMES[a.dtype.char]), a.data.ptr, b.data.ptr
        # cuBLAS counts along columns: what lies in rows is the transposed, and outᵀ = bᵀ aᵀ
        if columns:
            sides = int(not a_columns), int(not b_columns), m, n, k, one, left, lda, right, ldb
        else:
            sides = int(b_columns), int(a_columns), n, m, k, one, right, ldb, left, lda
        self._gemm, self._arguments = gemm, (*sides, other, out.data.ptr, ldc)
        self._kept = (a, b, out, scalars)  # the call knows addresses only

    def __call__(self) -> None:
        """Launch it."""
        self._gemm(self._handle(), *self._arguments)


def multiply(home: Backend, a: Array, b: Array, out: Array, beta: float = 0.0) -> None:
    """Do out = a b + beta · out at once; `a` and `b` are copied where they lie in neither rows nor columns.

    Parameters
    ----------
    home, a, b, out, beta : as for `Product`
        `a` and `b` may have other dtypes and are then cast.
    """
    Product(home, _laid(home, a, out), _laid(home, b, out), out, beta)()


def _laid(home: Backend, x: Array, out: Array) -> Array:
    return home.xp.ascontiguousarray(x, dtype=out.dtype) if x.dtype != out.dtype or lies(x) is None else x
