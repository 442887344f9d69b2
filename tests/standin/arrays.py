"""The array of the stand-in: host memory behind the methods and the refusals of ``cupy.ndarray``."""

from __future__ import annotations

from types import SimpleNamespace
from weakref import WeakValueDictionary

import numpy as np

from .indexing import read_key, written_key
from .ledger import note, note_launch

__all__ = ["SCALARS", "checked", "ndarray", "result", "unwrap", "wrap"]

SCALARS = (bool, int, float, complex, np.generic)


def wrap(value):
    """Return results as arrays of the stand-in; NumPy's scalars become arrays without axes."""
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        return type(value)(*map(wrap, value)) if fields else tuple(map(wrap, value))
    if isinstance(value, list):
        return list(map(wrap, value))
    if isinstance(value, np.ndarray | np.generic):
        return ndarray._of(np.asarray(value))
    return value


def unwrap(value, call):
    """Return host arrays for those of the stand-in; refuse NumPy's own."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)} in cupy.{call}")
    if isinstance(value, list | tuple):
        return type(value)(unwrap(v, call) for v in value)
    return value


def result(host, out, casting=None):
    """Return a new array, or fill `out`, which must be of its shape, and of its dtype where no casting is given."""
    if out is None:
        return wrap(host)
    if not isinstance(out, ndarray):
        raise TypeError("Output arguments type must be cupy.ndarray")
    host = np.asarray(host)
    if out.shape != host.shape:
        raise ValueError("Out shape is mismatched")
    if out.dtype != host.dtype and not (casting and np.can_cast(host.dtype, out.dtype, casting)):
        raise TypeError(f"output dtype mismatch: {out.dtype} and {host.dtype}")
    np.copyto(out._host, host, casting=casting or "no")
    return out


def checked(host):
    """Refuse dtypes that there are none of on a GPU."""
    if host.dtype.kind not in "biufc" or host.dtype.char in "gG":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    return host


class _Flags:
    """``cupy.ndarray.flags``: no word on writing, for CuPy's arrays are never locked."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata
        self.fnc, self.forc = flags.fnc, flags.forc

    def __getitem__(self, name):
        return {"C_CONTIGUOUS": self.c_contiguous, "F_CONTIGUOUS": self.f_contiguous, "OWNDATA": self.owndata}[name]


_OWNERS: WeakValueDictionary[int, ndarray] = WeakValueDictionary()
"""The arrays that own their memory, by that of the host: views are of one and the same."""


def _owner(host):
    """Return the array whose memory a view is of, None for one that owns its own."""
    found = host
    while getattr(found, "base", None) is not None:
        found = found.base
    return found if isinstance(found, np.ndarray) and found is not host else None


class ndarray:
    """See ``cupy.ndarray``."""

    __module__ = "cupy"
    __slots__ = ("__weakref__", "_host", "base")
    __array_priority__ = 100
    __hash__ = None

    @classmethod
    def _of(cls, host):
        self = object.__new__(cls)
        self._host, self.base = host, None
        owner = _owner(host)
        if owner is None:
            _OWNERS[id(host)] = self
        else:
            known = _OWNERS.get(id(owner))
            self.base = cls._of(owner) if known is None else known
        return self

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        self._host, self.base = np.empty(shape, dtype, order), None
        _OWNERS[id(self._host)] = self

    # what it is ------------------------------------------------------------------------------

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    T = property(lambda self: wrap(self._host.T))
    mT = property(lambda self: wrap(np.swapaxes(self._host, -1, -2)))
    real = property(lambda self: wrap(self._host.real))
    imag = property(lambda self: wrap(self._host.imag if self._host.dtype.kind == "c" else np.zeros_like(self._host)))
    flags = property(lambda self: _Flags(self._host.flags))
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data, device_id=0))

    @property
    def device(self):
        from .cuda import DEVICE

        return DEVICE

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    def __repr__(self):
        note("down", "repr")
        return f"cupy {self._host!r}"

    def __str__(self):
        note("down", "str")
        return str(self._host)

    def __format__(self, spec):
        note("down", "format")
        return format(self._host.item() if not self.ndim else self._host, spec)

    # to the host: only when asked to, and counted --------------------------------------------

    def get(self, stream=None, order="C", out=None, blocking=True):
        note("down", "get")
        return np.array(self._host, order="K" if order == "A" else order)

    def item(self):
        note("down", "item")
        return self._host.item()

    def tolist(self):
        note("down", "tolist")
        return self._host.tolist()

    def tobytes(self, order="C"):
        note("down", "tobytes")
        return self._host.tobytes(order)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        raise TypeError(f"np.{ufunc.__name__} of a CuPy array works by accident, if at all; use its own namespace")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"np.{function.__name__} of a CuPy array works by accident, if at all; use its own namespace")

    def __dlpack__(self, **named):
        raise BufferError("memory of a GPU cannot be read by NumPy")

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        note("down", "pickle")
        return _restored, (self._host,)

    # indexing --------------------------------------------------------------------------------

    def __getitem__(self, key):
        return wrap(self._host[read_key(key, self._host.shape)])

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        if isinstance(value, list | tuple):
            raise ValueError("setting an array element with a sequence")
        note_launch("setitem")
        key = written_key(key, self._host.shape, isinstance(value, ndarray) and value.ndim > 0)
        with np.errstate(all="ignore"):
            self._host[key] = value._host if isinstance(value, ndarray) else value

    # methods that NumPy has with the same meaning ---------------------------------------------

    def reshape(self, *shape, order="C", copy=None):
        return wrap(self._host.reshape(*shape, order=order))

    def transpose(self, *axes):
        return wrap(self._host.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        return wrap(self._host.swapaxes(axis1, axis2))

    def squeeze(self, axis=None):
        return wrap(self._host.squeeze(axis))

    def diagonal(self, offset=0, axis1=0, axis2=1):
        return wrap(self._host.diagonal(offset, axis1, axis2))

    def ravel(self, order="C"):
        return wrap(self._host.ravel(order))

    def flatten(self, order="C"):
        note_launch("flatten")
        return wrap(self._host.flatten(order))

    def view(self, dtype=None, type=None):
        return wrap(self._host.view() if dtype is None else self._host.view(dtype))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        note_launch("astype")
        with np.errstate(all="ignore"):
            return wrap(checked(self._host.astype(dtype, order, casting or "unsafe", copy=copy)))

    def copy(self, order="C"):
        note_launch("copy")
        return wrap(self._host.copy(order))

    def fill(self, value):
        note_launch("fill")
        self._host.fill(value._host if isinstance(value, ndarray) else value)

    def set(self, arr, stream=None):
        note("up", "set")
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise (TypeError if arr.dtype != self.dtype else ValueError)(f"{arr.dtype} array of shape {arr.shape}")
        self._host[...] = arr

    def dot(self, b, out=None):
        note_launch("dot")
        if out is not None and not out.flags.c_contiguous:
            raise ValueError("Output array must be C-contiguous")
        return result(np.dot(self._host, unwrap(b, "dot")), out)

    def conj(self):
        note_launch("conj")
        return wrap(self._host.conj())

    conjugate = conj


def _restored(host):
    note("up", "unpickle")
    return wrap(host)
