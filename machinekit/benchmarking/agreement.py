"""Is it right, is it the same each time: agreement with NumPy, and two runs compared bit by bit.

Both go through all workloads, solve and pull back with seeds on z and on y, and look at y, z and the cotangents of
y0, z0 and the weight, for every method that serves. The error of an array is its largest absolute difference over
the largest absolute value of NumPy's; a workload's is that of its worst array.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import NUMPY, Array, Backend, pick_backend, to_host
from ..machines import Machine
from .competitors import FORCED, ours
from .device import release_memory
from .problem import Problem, tolerance
from .tables import format_table
from .timing import limit_threads
from .workloads import Workload

__all__ = [
    "Check", "agreement", "difference_from_numpy", "format_agreement", "format_reproducible", "reproducible",
]  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One workload, dtype and method.

    Attributes
    ----------
    workload, dtype, method : str
    difference : float or None
        Agreement: the largest relative difference. Two runs: how many arrays differ in a bit. None: not served.
    where : str
        The array of the largest difference, or those that differ.
    limit : float
        The most that is right.
    note : str
        Why the method does not serve.
    """

    workload: str
    dtype: str
    method: str
    difference: float | None
    where: str = ""
    limit: float = 0.0
    note: str = ""

    @property
    def size(self) -> float:
        """The difference as a number to sort by: nan is the largest, a method that does not serve the smallest."""
        found = -1.0 if self.difference is None else self.difference
        return math.inf if math.isnan(found) else found

    @property
    def failed(self) -> bool:
        return self.size > self.limit


def agreement(
    workloads: Sequence[Workload], backend: str | Backend | None = None, threads: int = 1,
    dtypes: Sequence[str] = ("float64", "float32"),
) -> list[Check]:  # fmt: skip
    """Compare every method of a backend with NumPy; NumPy itself is compared with the reference sweep."""
    home, checks = pick_backend(backend), []
    with limit_threads(threads):
        for workload in workloads:
            print(f"… {workload.id}", file=sys.stderr, flush=True)
            for dtype in dtypes:
                run = _Run.of(workload, dtype)
                there, limit, here = run.arrays("auto"), tolerance(dtype), run.to(home)
                for method in _methods(home):
                    try:
                        where, difference = _worst(there, here.arrays(method))
                    except Exception as error:
                        checks.append(_failed(workload, dtype, method, error))
                    else:
                        checks.append(Check(workload.id, dtype, method, difference, where, limit))
                release_memory(home)
    return checks


def reproducible(
    workloads: Sequence[Workload], backend: str | Backend | None = None, threads: int = 1,
    dtypes: Sequence[str] = ("float64", "float32"),
) -> list[Check]:  # fmt: skip
    """Run every method twice on one machine, and once on a machine made anew, and compare bits."""
    home, checks = pick_backend(backend), []
    with limit_threads(threads):
        for workload in workloads:
            print(f"… {workload.id}", file=sys.stderr, flush=True)
            for dtype in dtypes:
                run = _Run.of(workload, dtype)
                first, fresh = run.to(home), run.to(home)
                for method in _methods(home):
                    try:
                        one = first.arrays(method)
                        others = [first.arrays(method), fresh.arrays(method)]
                    except Exception as error:
                        checks.append(_failed(workload, dtype, method, error))
                        continue
                    differ = [k for k, a in one.items() if any(a.tobytes() != o[k].tobytes() for o in others)]
                    checks.append(Check(workload.id, dtype, method, len(differ), ", ".join(differ)))
                release_memory(home)
    return checks


def difference_from_numpy(problem: Problem) -> float:
    """Return the largest relative difference of z and the gradients, as they are timed, from NumPy's."""
    m, y0, seed = problem.machine.to("numpy"), to_host(problem.y0), to_host(problem.seed)
    there = ours(replace(problem, machine=m, y0=y0, seed=seed, backend=NUMPY)).results
    here = ours(problem).results
    if there is None or here is None:
        raise TypeError("this library has results")
    return _worst(vars(there()), vars(here()))[1]


@dataclass(frozen=True)
class _Run:
    """A workload's machine and data, and what is compared of them."""

    machine: Machine
    y0: Array
    seed: Array
    seed_y: Array

    @classmethod
    def of(cls, workload: Workload, dtype: str) -> _Run:
        """Draw all on the host."""
        draw = np.random.default_rng(workload.rng + 2).standard_normal
        return cls(workload.machine(dtype, NUMPY), *workload.signals(dtype, NUMPY), draw(workload.shape).astype(dtype))

    def to(self, home: Backend) -> _Run:
        """Return the same on a backend, for a machine that keeps nothing of other runs."""
        y0, seed, seed_y = (home.from_host(a) for a in (self.y0, self.seed, self.seed_y))
        return _Run(copy.copy(self.machine).to(home), y0, seed, seed_y)  # a copy drops plans, which are shared

    def arrays(self, method: str) -> dict[str, np.ndarray]:
        """Return y, z and all cotangents, on the host."""
        chosen: dict[str, Any] = {} if method == "auto" else {"method": method}
        state = self.machine.solve(self.y0, **chosen)
        cotangent = self.machine.pullback(state, z=self.seed, y=self.seed_y, **chosen)
        arrays = {
            "y": state.y, "z": state.z, "the cotangent of y0": cotangent.y0, "the cotangent of z0": cotangent.z0,
            "the cotangent of the weight": cotangent.weight,
        }  # fmt: skip
        return {name: to_host(array) for name, array in arrays.items()}


def _methods(home: Backend) -> tuple[str, ...]:
    return ("auto", "reference", *(FORCED if home.name == "cupy" else ()))


def _failed(workload: Workload, dtype: str, method: str, error: Exception) -> Check:
    """Return what an exception means: a forced method that refuses does not serve, anything else is a failure."""
    text = (str(error).strip().splitlines() or [""])[0]
    if method in FORCED and isinstance(error, TypeError | ValueError):
        return Check(workload.id, dtype, method, None, note=text)
    return Check(workload.id, dtype, method, math.inf, f"{type(error).__name__}: {text}")


def _worst(there: Mapping[str, np.ndarray], here: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """Return the name of the array with the largest relative difference, and that difference; nan is the largest."""
    found = []
    for name, a in there.items():
        if a.shape != here[name].shape:
            return name, float("inf")
        scale = float(np.max(np.abs(a), initial=0.0)) or 1.0
        found.append((name, float(np.max(np.abs(a - here[name]), initial=0.0)) / scale))
    return max(found, key=lambda pair: math.inf if math.isnan(pair[1]) else pair[1])


def format_agreement(checks: Sequence[Check]) -> str:
    """Return the differences as a markdown table, the largest of each dtype, and what did not serve."""
    rows = [
        [c.workload, c.dtype, c.method, f"{c.difference:.1e}", c.where, f"≤ {c.limit:g}", ("pass", "FAIL")[c.failed]]
        for c in checks if c.difference is not None
    ]  # fmt: skip
    table = format_table(("workload", "dtype", "method", "largest difference", "in", "must hold", "verdict"), rows)
    largest = []
    for dtype in dict.fromkeys(c.dtype for c in checks):
        top = max((c for c in checks if c.dtype == dtype), key=lambda c: c.size)
        if top.difference is not None:
            largest.append(f"* {dtype}: {top.difference:.1e} ({top.workload}, {top.method}, {top.where})")
    return "\n\n".join([table, "Largest relative difference from NumPy:", "\n".join(largest), *_unable(checks)])


def format_reproducible(checks: Sequence[Check]) -> str:
    """Return the count of equal runs, those that differ as a markdown table, and what did not serve."""
    served = [c for c in checks if c.difference is not None]
    lines = []
    for method in dict.fromkeys(c.method for c in served):
        each = [c for c in served if c.method == method]
        lines.append(f"* {method}: {sum(not c.failed for c in each)} of {len(each)}")
    rows = [[c.workload, c.dtype, c.method, c.where] for c in served if c.failed]
    parts = ["Runs that are bitwise equal (workloads × dtypes; y, z and all cotangents):", "\n".join(lines)]
    parts += [format_table(("workload", "dtype", "method", "differ"), rows)] if rows else []
    return "\n\n".join([*parts, *_unable(checks)])


def _unable(checks: Sequence[Check]) -> list[str]:
    """Return one paragraph of the methods that do not serve, with the workloads of each reason."""
    where: dict[tuple[str, str], dict[str, None]] = {}
    for c in checks:
        if c.difference is None:
            where.setdefault((c.method, c.note), {})[c.workload] = None
    lines = [f"* {method} on {', '.join(ids)}: {note}" for (method, note), ids in where.items()]
    return ["Not served:", "\n".join(lines)] if lines else []
