"""cuBLAS of the stand-in: products by addresses and leading dimensions, as ``cupy_backends`` has them."""

from __future__ import annotations

import ctypes
import types

import numpy as np

from .ledger import note_launch

__all__ = ["modules"]


def _at(address, rows, columns, ahead, dtype):
    """Return the matrix at an address, its columns so many entries apart, as a view."""
    entries = ahead * (columns - 1) + rows
    memory = (ctypes.c_char * (entries * dtype.itemsize)).from_address(address)
    flat = np.frombuffer(memory, dtype)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (dtype.itemsize, ahead * dtype.itemsize))


def _gemm(char):
    dtype = np.dtype(char)

    def gemm(handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        assert handle == 1
        assert min(m, n, k) > 0
        assert ldc >= m
        assert lda >= (k if transa else m)
        assert ldb >= (n if transb else k)
        note_launch("gemm")
        left = _at(a, *((k, m) if transa else (m, k)), lda, dtype)
        right = _at(b, *((n, k) if transb else (k, n)), ldb, dtype)
        out = _at(c, m, n, ldc, dtype)
        factor, kept = (_at(s, 1, 1, 1, dtype)[0, 0] for s in (alpha, beta))
        product = factor * ((left.T if transa else left) @ (right.T if transb else right))
        out[...] = product + kept * out if kept else product

    return gemm


def modules(cupy):
    """Return ``cupy_backends.cuda.libs.cublas`` and ``cupy.cuda.device``, by name, with the packages they are in."""
    names = ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs", "cupy_backends.cuda.libs.cublas")
    made = {name: types.ModuleType(name) for name in (*names, "cupy.cuda.device")}
    for name, char in {"sgemm": "f", "dgemm": "d", "cgemm": "F", "zgemm": "D"}.items():
        setattr(made[names[-1]], name, _gemm(char))
    made["cupy.cuda.device"].get_cublas_handle = lambda: 1
    cupy.cuda.device = made["cupy.cuda.device"]
    return made
