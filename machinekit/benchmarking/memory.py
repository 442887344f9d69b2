"""Peak memory of a gradient, against the arrays that a gradient cannot do without."""

from __future__ import annotations

import gc
import math
import tracemalloc
from dataclasses import dataclass, replace
from typing import Any

from .problem import Problem
from .workloads import Workload

__all__ = ["MemoryUse", "gradient_memory"]


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of one gradient.

    Attributes
    ----------
    peak : int
        The most that was allocated at one time, results, workspaces and temporaries together.
    held : int
        What stays allocated once the results are gone: prepared weights, workspaces kept for the next call.
    needed : int
        The arrays y, z, u, v, σ′(y) and the two gradients, of y0 and of the weight.
    tile : int
        Convolutions: the taps of one sample side by side, an allowance that the bar grants besides.
    """

    peak: int
    held: int
    needed: int
    tile: int

    @property
    def ratio(self) -> float:
        """Peak, less the allowance, over what is needed."""
        return max(self.peak - self.tile, 0) / self.needed


def gradient_memory(problem: Problem) -> MemoryUse | None:
    """Measure one gradient of a fresh machine with `tracemalloc`, to which NumPy reports; None on a GPU.

    The machine is fresh so that what its first call prepares and keeps is counted too. A tiny machine of the
    same kind runs before, so that modules which are imported late do not count.
    """
    if problem.on_gpu:
        return None
    w = problem.workload
    tiny = replace(w, sizes=(1, 1), batch=1, grid=tuple(2 for _ in w.grid))
    _gradient(tiny.machine(problem.dtype), *tiny.signals(problem.dtype))
    machine = w.machine(problem.dtype)
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        gc.collect()
        start = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        results = _gradient(machine, problem.y0, problem.seed)
        peak = tracemalloc.get_traced_memory()[1] - start
        del results
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - start
    finally:
        if not tracing:
            tracemalloc.stop()
    signal, weight = problem.y0.nbytes, problem.machine.weight.nbytes
    return MemoryUse(peak, max(held, 0), 6 * signal + weight, _tile(w, signal))


def _gradient(machine: Any, y0: Any, seed: Any) -> tuple[Any, ...]:
    state = machine.solve(y0)
    cotangent = machine.pullback(state, z=seed)
    return state, cotangent, cotangent.y0, cotangent.weight


def _tile(workload: Workload, signal: int) -> int:
    taps = math.prod(before + after + 1 for before, after in workload.padding)
    return taps * signal // workload.batch if workload.kind == "conv" else 0
