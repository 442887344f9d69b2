"""Measuring the rates of `machinekit.gpu.Rates` on the GPU at hand."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

from ..activations import Blockwise, get_activation
from ..arrays import Backend, integer, pick_backend
from ..partitions import Partition
from .plan import KernelPlan
from .rates import Rates
from .tables import Schedule

__all__ = ["calibrate"]

_REPEATS = 7
_CALLS = 100
_LEAST = 1e-9
"""No time is taken to be shorter, in seconds."""


def calibrate(backend: str | Backend | None = "cupy", *, size: int = 1024) -> Rates:
    """Measure the rates of a GPU: some seconds, mostly for compiling.

    Parameters
    ----------
    backend : str or Backend
        CuPy, on the device to be measured.
    size : int
        Scale of what is run; smaller ones are for tests.

    Returns
    -------
    Rates
        Medians, in single precision. `write_rates` puts them where ``MACHINEKIT_GPU_RATES`` can name them.

    Raises
    ------
    ValueError
        If the backend is not CuPy, or `size` is below 8.

    Notes
    -----
    launch, call: time of the host for a call among many. step: of an index set among 4 · size of them. trip: of a round
    among `size` of them in one thread. kernel, gemm: multiply-adds by time of a dense sweep and of a square product
    that fill the GPU.
    """
    home = pick_backend(backend)
    size = integer("size", size, 8)
    if home.name != "cupy":
        raise ValueError(f"backend is {home}; kernels run on a GPU, pass backend='cupy'")
    with home.context():
        trip = _sweep(home, Partition((4 * size, 1)), (1,), _schedule(32, 1, 2)) / size
        line = Partition((1,), ((1, 0),), (0,), (), (1,))
        step = _sweep(home, line, (1, 4 * size), _schedule(32, 1, 1)) / (4 * size) - trip
        properties = home.xp.cuda.runtime.getDeviceProperties(getattr(home.device, "id", 0))
        processors = int(properties["multiProcessorCount"])
        return Rates(
            processors=processors,
            launch=_launch(home),
            call=_call(home),
            step=max(step, _LEAST),
            trip=trip,
            kernel=_kernel(home, processors, size),
            gemm=_gemm(home, 4 * size),
        )


def _schedule(threads: int, tile: int, blocks: int, group: int = 1) -> Schedule:
    """Return a schedule without lanes."""
    return Schedule(group, threads, tile, ((0, 0),) * blocks, True, tile)


def _solver(home: Backend, partition: Partition, lead: tuple[int, ...], schedule: Schedule | None) -> Callable[[], Any]:
    """Return the call of one sweep of zeros."""
    plan = KernelPlan(partition, lead, "float32", home, schedule)
    sigma = Blockwise([get_activation("tanh")] * len(partition.sizes), partition.blocks)
    weight, y0 = home.zeros(partition.weight_shape, "float32"), home.zeros((*lead, partition.channels), "float32")
    return lambda: plan.solve(weight, None, sigma, y0, None)


def _seconds(home: Backend, call: Callable[[], Any]) -> float:
    """Return the median time of a call on the device."""
    cuda = home.xp.cuda
    call()
    times = []
    for _ in range(_REPEATS):
        start, stop = cuda.Event(), cuda.Event()
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(cuda.get_elapsed_time(start, stop) * 1e-3)
    return max(statistics.median(times), _LEAST)


def _host_seconds(home: Backend, call: Callable[[], Any]) -> float:
    """Return the median time of a call on the host, among calls that are not waited for."""
    call()
    times = []
    for _ in range(_REPEATS):
        home.xp.cuda.runtime.deviceSynchronize()
        start = time.perf_counter()
        for _ in range(_CALLS):
            call()
        times.append((time.perf_counter() - start) / _CALLS)
    return max(statistics.median(times), _LEAST)


def _sweep(home: Backend, partition: Partition, lead: tuple[int, ...], schedule: Schedule) -> float:
    return _seconds(home, _solver(home, partition, lead, schedule))


def _launch(home: Backend) -> float:
    return _host_seconds(home, _solver(home, Partition((1,)), (1,), None))


def _call(home: Backend) -> float:
    a, b, out = (home.zeros((8, 8), "float32") for _ in range(3))

    def calls() -> None:
        home.xp.matmul(a, b, out=out)
        home.xp.add(a, b, out=out)

    return _host_seconds(home, calls) / 2


def _kernel(home: Backend, processors: int, size: int) -> float:
    block = max(size // 16, 1)
    partition, lead = Partition((block,) * 4), (8 * processors * max(size // 64, 1),)
    live = 6 * block**2  # of 4 equal blocks, each reads those before it
    return live * math.prod(lead) / _sweep(home, partition, lead, _schedule(256, 4, 4, group=8))


def _gemm(home: Backend, size: int) -> float:
    a, b, out = (home.zeros((size, size), "float32") for _ in range(3))
    return size**3 / _seconds(home, lambda: home.xp.matmul(a, b, out=out))
