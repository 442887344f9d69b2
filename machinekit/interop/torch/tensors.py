"""Tensors and arrays of one memory: looked at once at the door, then exchanged without a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...arrays import DTYPES, NUMPY, Array, Backend, astype, pick_backend
from .library import torch

__all__ = ["KINDS", "Home", "backend_flag", "own_tensors", "to_tensor"]

KINDS = {
    "single": (torch.float32, torch.complex64),
    "double": (torch.float64, torch.complex128),
}
"""The dtypes of each precision."""

_ALL = (*KINDS["single"], *KINDS["double"])
_Tensor, _STRIDED = torch.Tensor, torch.strided
_LIBRARIES = {"cpu": "NumPy", "cuda": "CuPy"}


class Home:
    """Where a module computes: a library of arrays, a device of tensors, and a precision.

    Parameters
    ----------
    backend : Backend or None
        Where the model's parameters are; None, of a model without parameters, serves what it is given.
    parameter : Tensor or None
        One of the module's.
    """

    def __init__(self, backend: Backend | None, parameter: Any) -> None:
        self.backend = backend
        self.free = parameter is None
        self.device = torch.device("cpu") if self.free else parameter.device
        self.dtype = None if self.free else parameter.dtype
        kinds = (kind for kind in KINDS.values() if self.dtype in kind)
        self.dtypes = _ALL if self.free else next(kinds, ())
        self.on_host = backend is None or backend.name == "numpy"

    def arrays(self, tensors: Sequence[Any], names: Callable[[], Iterable[str]]) -> list[Any]:
        """Return the arrays of inputs, in their memory; None is passed through.

        Raises
        ------
        TypeError
            No tensor; another device, precision or layout than the module's; integers.
        """
        dtypes, on_host = self.dtypes, self.on_host
        for t in tensors:
            if t is not None and not (
                on_host and isinstance(t, _Tensor) and t.is_cpu and t.dtype in dtypes and t.layout is _STRIDED
            ):
                break
        else:
            return [None if t is None else _host_array(t) for t in tensors]
        for name, t in zip(names(), tensors, strict=False):
            self._check(name, t)
        return [self.array(t) for t in tensors]

    def array(self, tensor: Any) -> Array:
        """Return a tensor that was looked at as an array, in its memory."""
        if tensor is None:
            return None
        if tensor.is_cpu and self.on_host:
            return _host_array(tensor)
        tensor = _plain(tensor.detach())
        if self.backend is None:
            return pick_backend(backend_flag(tensor.device)).xp.from_dlpack(tensor)
        with self.backend.context():
            return self.backend.xp.from_dlpack(tensor)

    def _check(self, name: str, tensor: Any) -> None:
        if tensor is None:
            return
        if not isinstance(tensor, _Tensor):
            made = "torch.from_numpy" if isinstance(tensor, np.ndarray) else "torch.tensor"
            raise TypeError(f"{name} is a {type(tensor).__name__}, not a tensor; pass {made}({name})")
        if tensor.dtype not in _ALL:
            raise TypeError(
                f"{name} is {tensor.dtype} but machines compute in {', '.join(DTYPES)}: "
                f"cast it explicitly, as in {name}.to({self.dtype or torch.float64})"
            )
        if tensor.device != self.device and not (self.free and tensor.device.type in _LIBRARIES):
            raise TypeError(self._elsewhere(name, str(tensor.device), tensor.device.type))
        if tensor.dtype not in self.dtypes:
            cast = "float" if self.dtype in KINDS["single"] else "double"
            other = "double" if cast == "float" else "float"
            raise TypeError(
                f"{name} is {tensor.dtype} but the module's parameters are {self.dtype}, and a call has one "
                f"precision; cast one of them: {name}.{cast}() or module.{other}()"
            )
        if tensor.layout is not torch.strided:
            raise TypeError(f"{name} is {tensor.layout} but machines take {torch.strided}; pass {name}.to_dense()")

    def _elsewhere(self, name: str, there: str, kind: str) -> str:
        here = str(self.device)
        if self.free or kind not in _LIBRARIES:
            return (
                f"{name} is on {there} but machines compute on cpu, with NumPy, and on cuda, with CuPy; "
                f"pass {name}.to({here!r})"
            )
        return (
            f"{name} is on {there} but the module computes on {here}, with {_LIBRARIES[self.device.type]}; nothing is "
            f"moved silently: pass {name}.to({here!r}), or move the module with module.to({there!r})"
        )


def _plain(tensor: Any) -> Any:
    """Return a tensor whose memory holds its values, no conjugation or sign being left to do."""
    return tensor.resolve_conj().resolve_neg() if tensor.is_neg() or tensor.is_complex() else tensor


def _host_array(tensor: Any) -> np.ndarray:
    array: np.ndarray = _plain(tensor.detach() if tensor.requires_grad else tensor).numpy()
    return array


def to_tensor(array: Array) -> Any:
    """Return an array as a tensor in its memory, copied only if a tensor cannot have it: read-only, or backwards."""
    if isinstance(array, np.ndarray):
        if not array.flags.writeable:
            array = array.copy()
        try:
            return torch.from_numpy(array)
        except ValueError:  # a tensor has no negative strides
            return torch.from_numpy(array.copy())
    if isinstance(array, np.generic):
        return torch.from_numpy(np.asarray(array))
    return torch.from_dlpack(array)


def own_tensors(arrays: Iterable[Any], given: Sequence[Any]) -> list[Any]:
    """Return arrays as tensors that share memory with none of the given ones, and no array twice.

    Ops of this library return new memory; a user's own op may hand back what it was given.
    """
    made: list[Any] = []
    seen = {id(a) for a in given}
    for array in arrays:
        if array is None:
            made.append(None)
            continue
        view = getattr(array, "base", None) is not None
        if id(array) in seen or (view and any(_overlap(array, a) for a in given)):
            array = astype(array)
        seen.add(id(array))
        made.append(to_tensor(array))
    return made


def _overlap(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def backend_flag(device: Any) -> str:
    """Return the backend flag for a device of tensors.

    Raises
    ------
    TypeError
        For a device that is no CPU and no CUDA GPU.
    """
    if device.type == "cpu":
        return NUMPY.name
    if device.type == "cuda":
        return "cupy" if device.index is None else f"cupy:{device.index}"
    raise TypeError(
        f"the device is {device} but machines compute on cpu, with NumPy, and on cuda, with CuPy; "
        "move the module with module.to('cpu')"
    )
