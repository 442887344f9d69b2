"""Where kernels are tested: on CuPy if the suite runs on it, else on the stand-in, in every order of threads."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import numpy as np
import pytest

from machinekit.arrays import pick_backend, to_host
from machinekit.gpu.cost import deal
from machinekit.gpu.rates import Rates

from .helpers import assert_close, tolerance
from .standin import ndarray
from .standin.install import installed
from .standin.kernels import COMPILER, ORDERS, thread_order

__all__ = ["DEALT", "Fenced", "close", "dealt", "device", "every_order", "is_standin"]

DEALT = {
    "as estimated": {},
    "two samples, four rows, lanes over taps": {"group": 2, "threads": 64, "tile": 4, "bits": (3, 0)},
    "one warp, lanes over channels": {"group": 3, "threads": 32, "tile": 1, "bits": (0, 4)},
    "z in global memory": {"group": 2, "threads": 96, "tile": 4, "bits": (1, 1), "shared": False},
    "z in global memory, one row": {"group": 1, "threads": 32, "tile": 1, "bits": (2, 3), "shared": False},
    "no lanes": {"group": 1, "threads": 64, "tile": 1, "bits": (0, 0)},
}
"""Ways to deal out threads; between them, each of the four sweeps."""

_FENCE = 64
"""Entries on either side of an array that is fenced."""


@contextlib.contextmanager
def device(spec):
    """Yield CuPy if that is what the suite runs on, else the stand-in in its place."""
    if spec == "cupy":
        yield pick_backend("cupy")
        return
    if COMPILER is None:
        pytest.skip("g++ is not installed, so the stand-in cannot run kernels")
    with installed():
        yield pick_backend("cupy")


def dealt(partition, lead, dtype, name):
    """Return the schedule that a name of `DEALT` stands for; None where there is nothing to do."""
    if 0 in lead or not partition.channels:
        return None
    schedule = deal(partition, tuple(lead), np.dtype(dtype).itemsize, Rates(processors=4)).schedule
    changes = dict(DEALT[name])
    bits = changes.pop("bits", None)
    if bits is not None:
        changes["lanes"] = (bits,) * len(partition.sizes)
    return replace(schedule, **changes)


def close(what, got, want, dtype, *context):
    size = np.abs(want).max(initial=0.0) + 1.0
    assert_close(what, got, want, 16 * tolerance(dtype, size * (1 + want.size)), *context)


def is_standin(home) -> bool:
    return home.xp.ndarray is ndarray


def every_order(home, call, *context):
    """Return what a call returns; on the stand-in in each order of threads, which must not change a bit."""
    if not is_standin(home):
        return call()
    answers = []
    for order in ORDERS:
        with thread_order(order):
            answers.append(call())
    for order, other in zip(ORDERS[1:], answers[1:], strict=True):
        for k, (a, b) in enumerate(zip(answers[0], other, strict=True)):
            same = a is b is None or np.array_equal(to_host(a), to_host(b), equal_nan=True)
            assert same, f"result {k} depends on the order of threads ({order}); {context!r}"
    return answers[0]


class Fenced:
    """Arrays that lie between fences of what is not a number, so that reads and writes beside them show.

    New arrays of the library are fenced, and filled with what is not a number, inside the block.
    """

    def __init__(self, home):
        self.home, self._buffers = home, []

    def of(self, host):
        """Copy a host array to between fences; None stays None."""
        if host is None or not is_standin(self.home):
            return None if host is None else self.home.from_host(host)
        array = self._new(host.shape, host.dtype)
        array._host[...] = host
        return array

    def _new(self, shape, dtype=float):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        size, dtype = int(np.prod(shape, dtype=np.int64)), np.dtype(dtype)
        fill = np.nan if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind == "i" else 1
        buffer = np.full(size + 2 * _FENCE, fill, dtype)
        self._buffers.append(buffer)
        return ndarray._of(buffer[_FENCE : _FENCE + size].reshape(shape))

    @contextlib.contextmanager
    def block(self):
        """Fence what is made in a block of code; the fences must stand when it ends."""
        xp = self.home.xp
        if not is_standin(self.home):
            yield self
            return
        empty = xp.empty
        xp.empty = lambda shape, dtype=float: self._new(shape, dtype)
        try:
            yield self
        finally:
            xp.empty = empty
        for buffer in self._buffers:
            for k in itertools.chain(range(_FENCE), range(-_FENCE, 0)):
                stands = np.isnan(buffer[k]) if buffer.dtype.kind == "f" else buffer[k] in (1, np.iinfo("int32").min)
                assert stands, "a fence fell"
