"""Scaling: the time of a gradient against batch, width, depth and length, with fitted exponents.

The work is one multiply-add per live weight, sample and position, three times over: linear in batch and length,
quadratic in width and in depth (block i reads all blocks before it). A fitted exponent well above that of the
work means that something superlinear is done; below it, that overhead still counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .competitors import ours
from .problem import Problem
from .report import format_table, microseconds
from .timing import Pace, Task, clock_for, limit_threads, measure
from .workloads import Workload

__all__ = ["CURVES", "Curve", "Fit", "fit_power", "format_fits", "run_curve"]


@dataclass(frozen=True)
class Curve:
    """A family of workloads along one axis.

    Attributes
    ----------
    id, title, axis : str
    xs : tuple of int
    make : callable (int) -> Workload
    """

    id: str
    title: str
    axis: str
    xs: tuple[int, ...]
    make: Callable[[int], Workload]


@dataclass(frozen=True)
class Fit:
    """A curve, its times, and the line through its upper range in log-log.

    Attributes
    ----------
    curve : Curve
    x : tuple of int
    seconds : tuple of float
    exponent, level : float
        seconds ≈ level · x ** exponent on the last `used` points.
    work_exponent : float
        The same fit to the number of multiply-adds: what is to be expected.
    used : int
    """

    curve: Curve
    x: tuple[int, ...]
    seconds: tuple[float, ...]
    exponent: float
    level: float
    work_exponent: float
    used: int


CURVES: tuple[Curve, ...] = (
    Curve("batch", "dense, 8 blocks of 32", "batch", (16, 64, 256, 1024, 4096, 8192),
          lambda x: Workload("batch", "dense", (32,) * 8, x)),
    Curve("width", "dense, 5 blocks, batch 64", "units per block", (8, 32, 64, 128, 256, 512),
          lambda x: Workload("width", "dense", (x,) * 5, 64)),
    Curve("depth", "dense, blocks of 16, batch 64", "blocks", (4, 8, 16, 32, 64, 96, 128),
          lambda x: Workload("depth", "dense", (16,) * x, 64)),
    Curve("length-conv", "convolution, 4 blocks of 8, 7 taps, batch 8", "length", (16, 64, 256, 1024, 4096),
          lambda x: Workload("length-conv", "conv", (8,) * 4, 8, (x,), ((3, 3),))),
    Curve("length-rec", "recurrent, 3 blocks of 8, memory 4, batch 16", "length", (16, 32, 64, 128, 256, 512),
          lambda x: Workload("length-rec", "recurrent", (8,) * 3, 16, (x,), memory=4)),
)  # fmt: skip
"""The curves of ``--scaling``."""


def fit_power(x: Sequence[float], y: Sequence[float], used: int) -> tuple[float, float]:
    """Fit y = level · x ** exponent to the last `used` points by least squares on logarithms.

    Returns
    -------
    exponent, level : float
    """
    slope, intercept = np.polyfit(np.log(x[-used:]), np.log(y[-used:]), 1)
    return float(slope), math.exp(intercept)


def run_curve(
    curve: Curve, dtype: str = "float32", backend: str | None = None, threads: int = 1, pace: Pace | None = None,
    points: int | None = None,
) -> Fit:  # fmt: skip
    """Time the gradient at every point of a curve, all points interleaved, and fit the upper half.

    Parameters
    ----------
    curve : Curve
    dtype, backend, threads, pace
        As for a table.
    points : int, optional
        Use the first ones only.
    """
    xs = curve.xs[:points]
    problems = [Problem.of(curve.make(x), dtype, backend, threads) for x in xs]
    todo = [Task((str(x), "gradient"), _call(problem)) for x, problem in zip(xs, problems, strict=True)]
    with limit_threads(threads):
        times = measure(todo, clock_for(problems[0].backend), pace)
    seconds = tuple(times[task.key].minimum for task in todo)
    work = [float(p.machine.live.sum()) * p.workload.positions for p in problems]
    used = max(min(3, len(xs)), (len(xs) + 1) // 2)
    exponent, level = fit_power(xs, seconds, used)
    return Fit(curve, xs, seconds, exponent, level, fit_power(xs, work, used)[0], used)


def _call(problem: Problem) -> Callable[[object], object]:
    gradient = ours(problem).gradient
    return lambda _: gradient()


def format_fits(fits: Sequence[Fit]) -> str:
    """Return the curves and their exponents as markdown tables."""
    header = ("curve", "machine", "exponent", "of the work", "points fitted")
    rows = [[f.curve.id, f.curve.title, f"{f.exponent:.2f}", f"{f.work_exponent:.2f}", str(f.used)] for f in fits]
    parts = [format_table(header, rows)]
    for f in fits:
        rows = [[str(x), microseconds(t)] for x, t in zip(f.x, f.seconds, strict=True)]
        parts.append(format_table((f.curve.axis, f"{f.curve.id}: gradient, µs"), rows))
    return "\n\n".join(parts)
