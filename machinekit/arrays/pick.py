"""The backend flag: a word that names a library, wherever no array exists yet."""

from __future__ import annotations

import importlib
import os

from .backend import NUMPY, Backend
from .checks import near

__all__ = ["pick_backend"]


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
