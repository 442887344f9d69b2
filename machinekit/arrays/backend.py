"""A library and a device, read from the arrays themselves; moving to the host is explicit."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

__all__ = [
    "NUMPY",
    "Array",
    "Backend",
    "astype",
    "backend_of",
    "dtype_name",
    "every",
    "namespace",
    "real",
    "to_host",
]

Array = Any
"""An array of NumPy, CuPy or any library of the array API standard."""

_WORDS = {np.dtype(word): word for word in ("float32", "float64", "complex64", "complex128")}
_REFUSED = (np.ma.MaskedArray, np.matrix)


@dataclass(frozen=True)
class Backend:
    """A library and one of its devices.

    Attributes
    ----------
    name : str
        Import name of the library: ``"numpy"``, ``"cupy"``, …
    xp : module
        The namespace of the library.
    device : object
        The device, in that library's own words; None for NumPy.
    """

    name: str
    xp: ModuleType
    device: Any = None

    def __str__(self) -> str:
        return self.name if self.device is None else f"{self.name} on {self.device}"

    def context(self) -> Any:
        """Return a context in which new arrays land on this device; each its own, for it restores what it found."""
        return self.xp.cuda.Device(self.device.id) if self.name == "cupy" else nullcontext()

    def dtype(self, name: str) -> Any:
        """Return this library's dtype of the given name."""
        return getattr(self.xp, name)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return zeros on this device; `dtype` is a name or a dtype of this library."""
        dtype = self.dtype(dtype) if isinstance(dtype, str) else dtype
        if self.name in ("numpy", "cupy"):
            with self.context():
                return self.xp.zeros(shape, dtype=dtype)
        return self.xp.zeros(shape, dtype=dtype, device=self.device)

    def eye(self, size: int, dtype: Any) -> Array:
        """Return the identity matrix on this device; `dtype` is one of this library."""
        if self.name in ("numpy", "cupy"):
            with self.context():
                return self.xp.eye(size, dtype=dtype)
        return self.xp.eye(size, dtype=dtype, device=self.device)

    def arange(self, count: int) -> Array:
        """Return the integers 0, 1, …, count − 1 on this device."""
        if self.name in ("numpy", "cupy"):
            with self.context():
                return self.xp.arange(count)
        return self.xp.arange(count, device=self.device)

    def from_host(self, array: np.ndarray, dtype: str | None = None) -> Array:
        """Copy a host array to this device, cast to `dtype` when one is given."""
        host = np.array(array, dtype=dtype or array.dtype, order="C")
        if self.name == "numpy":
            return host
        with self.context():
            if self.name == "cupy":
                return self.xp.asarray(host)
            return self.xp.asarray(host, device=self.device)


NUMPY = Backend("numpy", np)


def namespace(array: Array) -> ModuleType:
    """Return the namespace of one array; the fast form of ``backend_of(array).xp``."""
    if isinstance(array, np.ndarray | np.generic):
        return np
    return backend_of(array).xp


def backend_of(array: Array, name: str = "array") -> Backend:
    """Return the backend of one array, or raise TypeError naming the argument."""
    if isinstance(array, np.ndarray):
        if isinstance(array, _REFUSED):
            raise TypeError(
                f"{name} is a numpy {type(array).__name__}, whose rules differ from an array's; "
                "pass numpy.asarray of it (gaps go into a mask argument)"
            )
        return NUMPY
    root = type(array).__module__.partition(".")[0]
    if root == "cupy":
        return Backend("cupy", importlib.import_module("cupy"), array.device)
    if root in ("jax", "jaxlib"):
        raise TypeError(
            f"{name} is a JAX array ({type(array).__name__}), which JAX may trace but a model cannot be traced; use "
            f"machinekit.interop.jax.to_function(model), or numpy.asarray({name}) outside of jax.jit, vmap and grad"
        )
    if hasattr(array, "__array_namespace__") and not isinstance(array, np.generic):
        xp = array.__array_namespace__()
        return Backend(xp.__name__, xp, array.device)
    raise TypeError(
        f"{name} is a {type(array).__name__}, not an array; pass numpy.asarray({name}, dtype=float) "
        "or an array of the machine's own library"
    )


def dtype_name(array: Array) -> str:
    """Return the plain name of an array's dtype, the same word in every library."""
    if type(array) is np.ndarray:
        return _WORDS.get(array.dtype) or str(array.dtype.name)
    return str(getattr(array.dtype, "name", array.dtype)).rpartition(".")[2]


def astype(array: Array, dtype: Any = None) -> Array:
    """Return a copy of an array, cast to a dtype of its library when one is given."""
    dtype = array.dtype if dtype is None else dtype
    if isinstance(array, np.ndarray):  # NumPy 2.0 has the method, not yet the function
        return array.astype(dtype)
    return backend_of(array).xp.astype(array, dtype, copy=True)


def real(array: Array) -> Array:
    """Return the real part; a real array itself."""
    if dtype_name(array).startswith("complex"):
        return namespace(array).real(array)
    return array


def to_host(array: Array) -> np.ndarray:
    """Copy an array to the host, explicitly; a NumPy array is returned as it is."""
    if isinstance(array, np.ndarray):
        return array
    home = backend_of(array)
    if home.name == "cupy":
        return home.xp.asnumpy(array)
    if hasattr(home.xp, "Device"):
        array = array.to_device(home.xp.Device("CPU_DEVICE"))
    return np.asarray(array)


def every(mask: Array) -> bool:
    """Tell whether all entries of a bool array hold: one number is copied to the host, explicitly."""
    return bool(mask.all()) if isinstance(mask, np.ndarray) else bool(to_host(backend_of(mask).xp.all(mask)))
