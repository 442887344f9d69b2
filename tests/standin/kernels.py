"""Kernels of the stand-in: CUDA C++ compiled for the host, and run thread block by thread block; see ``shim.h``.

`thread_order` sets in which order the threads of a block run between two barriers: what depends on it lacks one.
"""

from __future__ import annotations

import contextlib
import ctypes

import numpy as np

from .arrays import ndarray
from .elementwise import ElementwiseKernel
from .host_compiler import COMPILER, compiled
from .ledger import note_launch

__all__ = ["COMPILER", "ORDERS", "ElementwiseKernel", "LaunchError", "RawKernel", "RawModule", "thread_order"]

ORDERS = ("ascending", "descending", 7)
"""Orders to test with: two opposite ones, and the seed of shuffles that differ from barrier to barrier."""
_MOST_SHARED, _MOST_SHARED_ASKED = 48 << 10, 227 << 10
_how = [0]


class LaunchError(RuntimeError):
    """A launch that CUDA would refuse, or that went wrong in a way that the shim notices."""


@contextlib.contextmanager
def thread_order(order):
    """Run the threads of a block "ascending", "descending", or shuffled anew between barriers, by a seed above 1."""
    before, _how[0] = _how[0], {"ascending": 0, "descending": 1}.get(order, order)
    try:
        yield
    finally:
        _how[0] = before


class RawKernel:
    """See ``cupy.RawKernel``. Arguments are checked against the parameters, which CuPy leaves to the caller."""

    def __init__(self, code, name, options=(), backend="nvrtc", *, translate_cucomplex=False,
                 enable_cooperative_groups=False, jitify=False):  # fmt: skip
        if not (isinstance(code, str) and isinstance(name, str) and isinstance(options, tuple)):
            raise TypeError("code and name are str, options is a tuple")
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self.max_dynamic_shared_size_bytes = _MOST_SHARED
        self._function = self._parameters = None

    def compile(self, log_stream=None):
        """Make the kernel ready, as its first call would."""
        if self._function is None:
            library = compiled(f"{self.code}\nSTANDIN_KERNEL({self.name})\n")
            text = ctypes.create_string_buffer(1024)
            getattr(library, f"signature_{self.name}")(text)
            self._parameters = text.value.decode().split()
            self._function = getattr(library, f"launch_{self.name}")
            self._function.restype = ctypes.c_char_p

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        if not all(isinstance(given, tuple) for given in (grid, block, args)):
            raise TypeError("grid, block and args are tuples")
        self.compile()
        grid, block = (tuple(max(1, int(n)) for n in (*given, 1, 1)[:3]) for given in (grid, block))
        if max(grid[1:]) > 65535 or grid[0] > 2**31 - 1 or np.prod(block) > 1024 or block[2] > 64:
            raise LaunchError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block}")
        if not 0 <= shared_mem <= min(self.max_dynamic_shared_size_bytes, _MOST_SHARED_ASKED):
            raise LaunchError(f"CUDA_ERROR_INVALID_VALUE: {shared_mem} bytes of shared memory")
        if len(args) != len(self._parameters):
            raise TypeError(f"{self.name} takes {len(self._parameters)} arguments, {len(args)} are given")
        note_launch(self.name)
        values = [_argument(a, p, k) for k, (a, p) in enumerate(zip(args, self._parameters, strict=True))]
        pointers = (ctypes.c_void_p * max(len(values), 1))(*(v.ctypes.data for v in values))
        wrong = self._function((ctypes.c_uint * 6)(*grid, *block), ctypes.c_ulonglong(shared_mem), pointers, _how[0])
        if wrong:
            raise LaunchError(f"{self.name}: {wrong.decode()}")


def _argument(given, parameter, place):
    """Return an array on the host with the bytes of one argument."""
    kind, pointer = parameter[-1], parameter[0] == "p"
    if isinstance(given, ndarray):
        if not pointer or kind not in ("v", given.dtype.char.replace("l", "q").replace("L", "Q")):
            raise TypeError(f"argument {place} is an array of {given.dtype}, the parameter is {parameter!r}")
        return np.array(given._host.ctypes.data if given.size else 0, np.uint64)
    if type(given) is int:
        given = np.int64(given)
    elif type(given) in (float, bool):
        given = np.float64(given) if type(given) is float else np.bool_(given)
    if not isinstance(given, np.generic) or given.dtype.char not in "?bhilqBHILQefdFD":
        raise TypeError(f"Unsupported type {type(given)}")
    if pointer and (given.itemsize != 8 or given.dtype.kind not in "iu" or given):
        raise TypeError(f"argument {place} is {given!r}, the parameter is a pointer")
    if not pointer and given.dtype.char.replace("l", "q").replace("L", "Q") != kind:
        raise TypeError(f"argument {place} is {given!r} of {given.dtype}, the parameter is {parameter!r}")
    return np.asarray(given)


class RawModule:
    """See ``cupy.RawModule``. Its kernels are compiled together when the first is asked for."""

    def __init__(self, *, code=None, path=None, options=(), backend="nvrtc", translate_cucomplex=False,
                 enable_cooperative_groups=False, name_expressions=None, jitify=False):  # fmt: skip
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if path is not None or name_expressions is not None:
            raise NotImplementedError("the stand-in compiles plain source only")
        if not isinstance(options, tuple):
            raise TypeError("options is a tuple")
        self.code, self.options = code, options

    def get_function(self, name):
        return RawKernel(self.code, name, self.options)
