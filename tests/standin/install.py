"""The modules ``cupy`` and ``cupyx`` of the stand-in."""

from __future__ import annotations

import contextlib
import json
import sys
import types
from pathlib import Path

import numpy as np

from . import blas, cuda, functions
from .arrays import checked, ndarray, wrap
from .ledger import note, note_launch
from .operators import equip

__all__ = ["NAMES", "VERSION", "build", "install", "installed"]

VERSION = "14.2.0"
NAMES = json.loads((Path(__file__).parent / "names.json").read_text(encoding="utf-8"))
"""Functions of CuPy that NumPy has too, and methods of CuPy's arrays: their parameters, or a word; see `names`."""

_CONSTANTS = ("float16", "float32", "float64", "complex64", "complex128", "int8", "int16", "int32", "int64", "uint8",
              "uint16", "uint32", "uint64", "intp", "uintp", "bool_", "bool", "inf", "nan", "pi", "e", "newaxis",
              "dtype", "generic", "floating", "integer", "number", "inexact", "complexfloating", "finfo", "iinfo",
              "ndindex", "s_", "index_exp")  # fmt: skip
_FRESH = ("zeros", "ones", "empty", "eye", "identity", "arange", "linspace", "tri")

equip(NAMES)


def _module(name, **entries):
    module = types.ModuleType(name)
    module.__dict__.update(entries)
    return module


def _full(shape, fill_value, dtype=None, order="C"):
    note_launch("full")
    value = fill_value._host if isinstance(fill_value, ndarray) else fill_value
    return wrap(checked(np.full(shape, value, dtype, order)))


def _from_dlpack(array, *, device=None, copy=None):
    if not isinstance(array, ndarray):
        note("up", "from_dlpack")
    return wrap(array._host if isinstance(array, ndarray) else np.from_dlpack(array))


def _erfc(x):
    from scipy import special

    note_launch("erfc")
    if x.dtype.kind == "c":
        raise TypeError(f"Wrong type ({x.dtype}) of arguments for cupyx_scipy_special_erfc")
    return wrap(np.asarray(special.erfc(x._host), order="C"))


def build():
    """Return the modules by name."""
    from .kernels import ElementwiseKernel, RawKernel, RawModule

    cupy = _module("cupy", __version__=VERSION, ndarray=ndarray)
    inner = {"": cupy, "linalg": _module("cupy.linalg"), "fft": _module("cupy.fft")}
    inner["lib.stride_tricks"] = _module("cupy.lib.stride_tricks")
    originals = {"": np, "linalg": np.linalg, "fft": np.fft, "lib.stride_tricks": np.lib.stride_tricks}
    for name, parameters in NAMES.items():
        home, _, short = name.rpartition(".")
        if home != "ndarray":
            setattr(inner[home], short, functions.function(name, getattr(originals[home], short), parameters))
    for name in _FRESH:
        setattr(cupy, name, functions.fresh(name, getattr(np, name), NAMES[name]))
    cupy.asarray, cupy.array, cupy.asnumpy = functions.asarray, functions.array, functions.asnumpy
    cupy.copyto, cupy.take, cupy.full, cupy.from_dlpack = functions.copyto, functions.take, _full, _from_dlpack
    for name in _CONSTANTS:
        setattr(cupy, name, getattr(np, name))
    runtime, pool = cuda.module(_module)
    gemm = _module("cupy.cublas", gemm=functions.gemm)
    cupy.__dict__.update(
        linalg=inner["linalg"], fft=inner["fft"], cuda=runtime, RawKernel=RawKernel, RawModule=RawModule,
        ElementwiseKernel=ElementwiseKernel, lib=_module("cupy.lib", stride_tricks=inner["lib.stride_tricks"]),
        get_default_memory_pool=lambda: pool, get_array_module=lambda *a: cupy,
        random=_module("cupy.random"),
    )  # fmt: skip
    special = _module("cupyx.scipy.special", erfc=_erfc)
    scipy = _module("cupyx.scipy", special=special)
    modules = (*inner.values(), runtime, runtime.runtime, gemm, cupy.lib, special, scipy, _module("cupyx", scipy=scipy))
    return {module.__name__: module for module in modules} | blas.modules(cupy)


def install():
    """Put the stand-in in the place of CuPy."""
    sys.modules.update(build())


@contextlib.contextmanager
def installed():
    """Have the stand-in in the place of CuPy for a block of code."""
    modules = build()
    found = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield modules["cupy"]
    finally:
        for name, module in found.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
