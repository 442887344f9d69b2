"""The CUDA source of the kernels, joined from the files of this folder, and its compiled modules."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from importlib import resources
from typing import Any

import numpy as np

from ..activations import Activation
from ..arrays import Backend
from .expressions import HELPERS, Expressions, expressions
from .tables import constants

__all__ = ["OPTIONS", "Modules", "known_source", "read_curves", "sweep_source"]

OPTIONS = ("--std=c++17",)
"""What NVRTC is told; CuPy adds the architecture and flushes single-precision numbers below 1e-38 to zero."""
_TYPES = {np.dtype("float32"): "float", np.dtype("float64"): "double"}
Curves = tuple[Expressions, ...]


def read_curves(activations: Iterable[Activation]) -> Curves | None:
    """Return the set of activations in CUDA C++, in an order of their own; None if one has no expression.

    Examples
    --------
    >>> from machinekit.activations import get_activation
    >>> [curve.value for curve in read_curves([get_activation("sin"), get_activation("identity")])]
    ['sin(y)', 'y']
    """
    found = [expressions(activation) for activation in activations]
    known = {curve for curve in found if curve is not None}
    return None if None in found else tuple(sorted(known, key=repr))


def sweep_source(dtype: Any, curves: Curves) -> str:
    """Return the source of the sweeps, for one dtype and one set of activations, the first of which has id 0."""
    return "\n".join((_prelude(dtype), HELPERS, _switches(curves), _read("linear.cuh"), _read("sweep.cu")))


def known_source(dtype: Any) -> str:
    """Return the source of the kernels for a z that is known."""
    return "\n".join((_prelude(dtype), _read("linear.cuh"), _read("contract.cu")))


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _prelude(dtype: Any) -> str:
    names = ", ".join(f"{name} = {value}" for name, value in constants().items())
    return f"typedef {_TYPES[np.dtype(dtype)]} T;\nenum {{ {names} }};"


def _switches(curves: Curves) -> str:
    """Return σ and σ′ by id, the latter also as a function of σ(y) where there is one."""
    values, slopes = [c.value for c in curves], [c.slope for c in curves]
    of_value = [c.slope_of_value or "T(0)" for c in curves]
    by_value = ["false" if c.slope_of_value is None else "true" for c in curves]
    return "\n".join((
        _switch("T", "activate", "int id, T y", values or ["y"]),
        _switch("T", "slope_of", "int id, T y", slopes or ["T(1)"]),
        _switch("T", "slope_of_value", "int id, T z", of_value or ["T(1)"]),
        _switch("bool", "by_value", "int id", by_value or ["true"]),
    ))  # fmt: skip


def _switch(kind: str, name: str, arguments: str, cases: list[str]) -> str:
    if len(set(cases)) == 1:
        return f"__device__ __forceinline__ {kind} {name}({arguments}) {{ return {cases[0]}; }}"
    listed = "\n".join(f"    case {k}: return {case};" for k, case in enumerate(cases[:-1]))
    return (
        f"__device__ __forceinline__ {kind} {name}({arguments})\n{{\n    switch (id) {{\n{listed}\n"
        f"    default: return {cases[-1]};\n    }}\n}}"
    )


class Modules:
    """Compiled modules by (library, device, dtype, activations), the one used longest ago dropped first.

    Safe under threads: two that need the same module at once may both make it; one of the two is kept.
    """

    def __init__(self, most: int = 32) -> None:
        self.most = most
        self._modules: OrderedDict[tuple, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._modules)

    def sweeps(self, home: Backend, dtype: Any, curves: Curves) -> Any:
        """Return the module of the sweeps."""
        return self._module(home, np.dtype(dtype), curves)

    def known(self, home: Backend, dtype: Any) -> Any:
        """Return the module of the kernels for a z that is known."""
        return self._module(home, np.dtype(dtype), None)

    def _module(self, home: Backend, dtype: Any, curves: Curves | None) -> Any:
        key = (home.xp.RawModule, getattr(home.device, "id", 0), dtype, curves)
        with self._lock:
            found = self._modules.get(key)
            if found is not None:
                self._modules.move_to_end(key)
                return found
        code = known_source(dtype) if curves is None else sweep_source(dtype, curves)
        made = home.xp.RawModule(code=code, options=OPTIONS)
        with self._lock:
            found = self._modules.setdefault(key, made)
            while len(self._modules) > self.most:
                self._modules.popitem(last=False)
        return found
