"""Functions of the stand-in: NumPy's, with CuPy's names, keywords and refusals."""

from __future__ import annotations

import numpy as np

from .arrays import SCALARS, checked, ndarray, result, unwrap, wrap
from .ledger import note, note_launch

__all__ = ["array", "asarray", "asnumpy", "copyto", "fresh", "function", "gemm", "take"]

_UFUNC = {"out", "dtype", "casting"}
_HOST = {"isdtype", "result_type", "can_cast", "promote_types", "ndim", "shape", "size", "broadcast_shapes",
         "min_scalar_type", "issubdtype", "isscalar", "iscomplexobj", "isrealobj", "common_type", "fft.fftfreq",
         "fft.rfftfreq", "indices"}  # fmt: skip
"""What looks at dtypes and shapes only, or takes no array."""
_VIEWS = {"reshape", "permute_dims", "matrix_transpose", "expand_dims", "squeeze", "broadcast_to", "transpose",
          "swapaxes", "moveaxis", "ravel", "lib.stride_tricks.as_strided", "lib.stride_tricks.sliding_window_view",
          "real", "imag",
          "flip", "broadcast_arrays", "atleast_1d", "atleast_2d", "atleast_3d", "rollaxis", "linalg.matrix_transpose",
          "diagonal", "split", "array_split"}  # fmt: skip
_KEPT = {"zeros_like", "ones_like", "full_like", "empty_like", "astype", "copy", "asanyarray", "asfortranarray",
         "ascontiguousarray", "require"}  # fmt: skip
"""What keeps the memory order of its argument; all else lies in C order, whatever went in."""
_UNSURE = {"linalg.solve", "linalg.inv", "linalg.cholesky"}
"""What NumPy refuses and CuPy answers with numbers that mean nothing."""
_WAITS = {"nonzero", "argwhere", "flatnonzero", "unique", "array_equal", "allclose", "linalg.matrix_rank", "extract",
          "unique_all", "unique_counts", "unique_inverse", "unique_values", "histogram", "bincount"}  # fmt: skip
_NO_ARRAY = ("N", "n", "shape", "start", "dimensions", "M", "*operands", "condlist", "prototype")
"""First parameters that are not always an array."""
_SHARES = {"shares_memory", "may_share_memory"}


def function(name, original, parameters):
    """Return a function of CuPy by NumPy's of the same name, with CuPy's parameters."""
    universal = isinstance(parameters, str)
    allowed = _UFUNC if universal else set(parameters)
    open_ended = any(p.startswith("*") for p in allowed)
    short = name.rpartition(".")[2]

    def call(*args, **kwargs):
        extra = set(kwargs) - allowed
        if extra and not open_ended:
            raise TypeError(f"{short}() got an unexpected keyword argument {sorted(extra)[0]!r}")
        if name in _HOST:
            return original(*(a.dtype if isinstance(a, ndarray) else a for a in args), **kwargs)
        if name in _SHARES:
            return original(*(unwrap(a, short) for a in args))
        if name not in _VIEWS:
            note_launch(short)
        if name in _WAITS:
            note("wait", short)
        if universal and len(args) > original.nin:
            kwargs["out"], args = args[original.nin], args[: original.nin]
        (_check_numbers if universal else _check_arrays)(short, parameters, args)
        out = kwargs.pop("out", None)
        if isinstance(out, tuple):
            (out,) = out
        casting = kwargs.get("casting", "same_kind") if universal else None
        args = tuple(unwrap(a, short) for a in args)
        kwargs = {k: unwrap(v, short) for k, v in kwargs.items()}
        if name.startswith("fft.") and 0 in args[0].shape:
            raise ValueError("Invalid number of FFT data points (0) specified.")
        if name == "linalg.solve" and args[1].ndim > 1 and args[0].shape[:-1] != args[1].shape[:-1]:
            raise ValueError("a must have (..., M, M) shape and b must have (..., M, K) for multidimensional b")
        with np.errstate(all="ignore"):
            found = _unsure(original, args, kwargs) if name in _UNSURE else original(*args, **kwargs)
        if isinstance(found, np.ndarray | np.generic) and not (name in _VIEWS or name in _KEPT or "." in name):
            found = np.asarray(found, order="C")
        return result(found, out, casting)

    call.__name__ = short
    return call


def _check_numbers(short, parameters, args):
    """Refuse lists and arrays of the host, and complex numbers where no universal function takes them."""
    for a in args:
        if not isinstance(a, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(a)}")
        if parameters == "gufunc" and not isinstance(a, ndarray):
            raise TypeError(f"{short} takes arrays, not {type(a)}")
        if parameters == "real ufunc" and np.iscomplexobj(getattr(a, "_host", a)):
            raise TypeError(f"Wrong type ({a.dtype}) of arguments for cupy_{short}")


def _check_arrays(short, parameters, args):
    """Refuse a first argument that is neither an array nor a sequence of arrays; two arrays where two are meant."""
    if not args or parameters[0] in _NO_ARRAY:
        return
    arrays = args[:1] if parameters[:2] not in (["a", "b"], ["a1", "a2"], ["x1", "x2"]) else args[:2]
    for a in arrays:
        if not all(isinstance(x, ndarray) for x in (a if isinstance(a, list | tuple) else [a])):
            raise TypeError(f"cupy.{short} takes arrays of CuPy, not {type(a)}")


def _unsure(original, args, kwargs):
    """Return what NumPy does, of each singular matrix of a stack what is no number."""
    try:
        return original(*args, **kwargs)
    except np.linalg.LinAlgError:
        if args[0].ndim == 2:
            return np.full(args[-1].shape, np.nan, np.result_type(*args))
        return np.stack([_unsure(original, each, kwargs) for each in zip(*args, strict=True)])


def fresh(name, original, allowed):
    """Return a constructor without array arguments: np.zeros and its kin."""

    def call(*args, **kwargs):
        extra = set(kwargs) - set(allowed)
        if extra:
            raise TypeError(f"{name}() got an unexpected keyword argument {sorted(extra)[0]!r}")
        note_launch(name)
        return wrap(checked(original(*args, **kwargs)))

    return call


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False, up="asarray"):
    """``cupy.asarray``: what lies on the host is copied to the device."""
    if isinstance(a, ndarray):
        return wrap(checked(np.array(a._host, dtype, order=order or "K", copy=copy)))
    if isinstance(a, list | tuple):
        a = [x._host if isinstance(x, ndarray) else x for x in a]
    if copy is False:
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    made = checked(np.array(a, dtype, order=order or "K"))
    note("up", up, made.size)
    return wrap(made)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """``cupy.array``."""
    return asarray(obj, dtype, order, copy=copy or None, up="array")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """``cupy.asnumpy``."""
    if not isinstance(a, ndarray):
        return np.asarray(a)
    note("down", "asnumpy", a.size)
    return np.array(a._host, order="K" if order == "A" else order)


def copyto(dst, src, casting="same_kind", where=None):
    """``cupy.copyto``."""
    note_launch("copyto")
    if isinstance(src, np.ndarray) or isinstance(where, np.ndarray):
        raise TypeError("Unsupported type numpy.ndarray in cupy.copyto")
    mask = True if where is None else where._host if isinstance(where, ndarray) else where
    np.copyto(dst._host, src._host if isinstance(src, ndarray) else src, casting=casting, where=mask)


def take(a, indices, axis=None, out=None):
    """``cupy.take``."""
    return a.take(indices, axis, out)


def gemm(transa, transb, a, b, out=None, alpha=1.0, beta=0.0):
    """``cupy.cublas.gemm``."""
    note_launch("gemm")
    left = a._host.T if transa == "T" else a._host
    right = b._host.T if transb == "T" else b._host
    assert a.ndim == b.ndim == 2
    assert a.dtype == b.dtype
    product = alpha * (left @ right)
    if out is None:
        return wrap(np.asfortranarray(product.astype(a.dtype)))
    assert out.ndim == 2
    assert out.shape == product.shape
    assert out.dtype == a.dtype
    out._host[...] = product + (beta * out._host if beta else 0)
    return out
