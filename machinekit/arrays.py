"""The array module: library, device and precision are read from the arrays, never guessed.

Every public call asks here, once, which library its arrays belong to, and is refused if
they disagree; nothing is ever moved or cast silently. This is the only place, besides the
GPU kernels, where the name ``cupy`` appears.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

__all__ = [
    "DTYPES",
    "Array",
    "Backend",
    "as_array",
    "backend_of",
    "common_backend",
    "dtype_name",
    "erfc",
    "namespace",
    "near",
    "pick_backend",
    "precision",
    "real",
    "to_host",
]

Array = Any
"""An array of NumPy, CuPy or any library of the array API standard."""

DTYPES = ("float32", "float64", "complex64", "complex128")
_PRECISION = {"float32": "single", "complex64": "single", "float64": "double", "complex128": "double"}
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
        """Return a context in which new arrays land on this device."""
        return self.device if self.name == "cupy" else nullcontext()

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


def near(word: Any, words: Any) -> str:
    """Return a hint that lists the names nearest to `word`, else all of them."""
    words = [str(w) for w in words]
    close = difflib.get_close_matches(str(word), words, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(w) for w in close) + "?"
    return "choose from " + ", ".join(words)


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
    if hasattr(array, "__array_namespace__") and not isinstance(array, np.generic):
        xp = array.__array_namespace__()
        return Backend(xp.__name__, xp, array.device)
    raise TypeError(
        f"{name} is a {type(array).__name__}, not an array; pass numpy.asarray({name}, dtype=float) "
        "or an array of the machine's own library"
    )


def as_array(array: Array, name: str) -> Array:
    """Return `array` if it is a floating array; raise TypeError naming the argument otherwise."""
    backend_of(array, name)
    precision(array, name)
    return array


def common_backend(arrays: Mapping[str, Array]) -> Backend:
    """Return the one backend of all arrays given by name; None entries are passed over.

    Raises
    ------
    TypeError
        If two arrays belong to different libraries or devices; the message names the call
        that moves one of them.
    """
    first, home = "", NUMPY
    for name, array in arrays.items():
        if array is None:
            continue
        here = backend_of(array, name)
        if not first:
            first, home = name, here
        elif (here.name, here.device) != (home.name, home.device):
            raise TypeError(
                f"{first} is in {home} but {name} is in {here}; nothing is moved silently: "
                f"{_mend(name, here, home)}, or move the model with model.to({_spec(here)!r})"
            )
    return home


def _spec(backend: Backend) -> str:
    if backend.name == "numpy":
        return "numpy"
    device = getattr(backend.device, "id", None)
    if backend.name == "cupy":
        return f"cupy:{device}" if device else "cupy"
    word = str(backend.device).partition("'")[2].rstrip("')") or str(backend.device)
    return f"{backend.name}:{word}"


def _mend(name: str, here: Backend, home: Backend) -> str:
    if home.name == "numpy" and here.name == "cupy":
        return f"bring {name} to the host with cupy.asnumpy({name})"
    if home.name == here.name != "cupy":
        return f"move it with {name}.to_device(…)"
    return f"copy it with {home.name}.asarray({name})"


def dtype_name(array: Array) -> str:
    """Return the plain name of an array's dtype, the same word in every library."""
    return str(getattr(array.dtype, "name", array.dtype)).rpartition(".")[2]


def precision(array: Array, name: str) -> str:
    """Return ``"single"`` or ``"double"``; raise TypeError for any other kind of number."""
    kind = dtype_name(array)
    if kind not in _PRECISION:
        raise TypeError(
            f"{name} has dtype {kind}; machines compute in {', '.join(DTYPES)}: "
            f"cast it explicitly, as in {name}.astype('float64')"
        )
    return _PRECISION[kind]


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


def erfc(array: Array) -> Array:
    """Return the complementary error function, for the libraries that have one.

    Raises
    ------
    TypeError
        Where the library has none: complex arrays on CuPy, any array elsewhere.
    """
    home = backend_of(array)
    if home.name == "numpy":
        from scipy import special

        return special.erfc(array)
    if home.name == "cupy" and not dtype_name(array).startswith("complex"):
        return importlib.import_module("cupyx.scipy.special").erfc(array)
    raise TypeError(
        f"{home.name} has no erf of {dtype_name(array)} arrays, which the exact gelu needs; "
        "use activation='gelu_tanh', or NumPy arrays"
    )


def pick_backend(spec: str | Backend | None = None) -> Backend:
    """Resolve a backend flag: ``"numpy"``, ``"cupy"``, ``"cupy:1"`` or ``"library:device"``.

    None reads ``MACHINEKIT_BACKEND``, at call time, and falls back to NumPy.

    Raises
    ------
    ValueError
        If the name is of no usable library.
    ModuleNotFoundError
        If CuPy is asked for and not installed.
    RuntimeError
        If CuPy is installed but finds no GPU.
    """
    if isinstance(spec, Backend):
        return spec
    source = "backend"
    if spec is None:
        source, spec = "MACHINEKIT_BACKEND", os.environ.get("MACHINEKIT_BACKEND") or "numpy"
    if not isinstance(spec, str):
        raise TypeError(f"backend is {spec!r}; pass a name such as 'numpy', 'cupy' or 'cupy:1'")
    name, _, device = spec.partition(":")
    if name == "numpy":
        return NUMPY
    if name == "cupy":
        return _cupy(source, device)
    try:
        xp = importlib.import_module(name) if name.isidentifier() else None
    except ImportError:
        xp = None
    if xp is None or not hasattr(xp, "__array_api_version__"):
        raise ValueError(f"{source}={spec!r} is no array library; {near(name, ('numpy', 'cupy'))}")
    return Backend(name, xp, xp.Device(device) if device else xp.zeros(()).device)


def _cupy(source: str, device: str) -> Backend:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        raise ModuleNotFoundError(
            f"{source}='cupy' needs CuPy, which is not installed; install exactly one of "
            "'machinekit[cuda12]' and 'machinekit[cuda13]', or use backend='numpy'"
        ) from None
    if not cupy.cuda.is_available():
        raise RuntimeError(
            f"{source}='cupy': CuPy {cupy.__version__} is installed but finds no usable GPU "
            "(driver missing or no device); check nvidia-smi, or use backend='numpy'"
        )
    count = cupy.cuda.runtime.getDeviceCount()
    if device and not (device.isdigit() and int(device) < count):
        raise ValueError(f"{source}='cupy:{device}': this machine has devices 0 to {count - 1}")
    return Backend("cupy", cupy, cupy.cuda.Device(int(device) if device else None))
