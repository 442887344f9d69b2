"""The protocol: competitors interleaved, samples long enough for the clock, minimum, median and spread.

Frequency, caches and neighbours drift over seconds; competitors timed one after the other would each meet
another machine. Here a round times every task once (A B C, A B C, …), so that all see the same drift and the
ratios inside one run mean something even where the absolute times do not.

On a GPU first calls compile kernels, try algorithms out and record graphs. There every task is called, untimed,
until two calls in a row take the same time to a tenth: at least three times, at most as often as its clock says.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .clocks import Clock, DeviceClock, HostClock, clock_for

__all__ = [
    "Clock", "DeviceClock", "HostClock", "Pace", "Stats", "Task", "clock_for", "core_count", "limit_threads", "measure",
]  # fmt: skip


@dataclass(frozen=True)
class Stats:
    """Seconds per call over all samples of one task."""

    minimum: float
    median: float
    low: float
    high: float
    samples: int
    repeats: int

    @classmethod
    def of(cls, seconds: Sequence[float], repeats: int) -> Stats:
        """Summarise samples; `low` and `high` are their 10th and 90th percentiles."""
        low, median, high = (float(q) for q in np.percentile(seconds, (10, 50, 90)))
        return cls(float(min(seconds)), median, low, high, len(seconds), repeats)


@dataclass(frozen=True)
class Task:
    """A call to be timed; ``call(prepare())``, of which only the call counts.

    `finish`, where given, waits for the result of the last of a loop of calls, inside the clock.
    """

    key: tuple[str, str]
    call: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None
    finish: Callable[[Any], Any] | None = None

    def seconds(self, clock: Clock, argument: Any, repeats: int) -> float:
        """Return the seconds of ``repeats`` calls."""
        if self.finish is None:
            return clock.time(self.call, argument, repeats)
        return clock.time(self.call, argument, repeats, self.finish)


@dataclass(frozen=True)
class Pace:
    """How much time to spend.

    Parameters
    ----------
    seconds : float
        Aim for all tasks of one `measure` together.
    rounds : (int, int)
        At least, at most.
    sample : float
        Seconds that a sample shall last; short calls are repeated inside it.
    """

    seconds: float = 4.0
    rounds: tuple[int, int] = (7, 200)
    sample: float = 1e-3


def measure(tasks: Sequence[Task], clock: Clock, pace: Pace | None = None) -> dict[tuple[str, str], Stats]:
    """Time all tasks in interleaved rounds.

    Parameters
    ----------
    tasks : sequence of Task
    clock : Clock
    pace : Pace, optional

    Returns
    -------
    dict of task key to Stats

    Notes
    -----
    Each sample prepares its own argument, then makes one call that is not timed (caches, and worker threads
    of the competitor before it that still spin), then `repeats` calls that are. Calls of more than 50 samples'
    length go without the untimed one. The garbage collector is off while the clock runs.
    """
    pace = pace or Pace()
    if not tasks:
        return {}
    sample = max(pace.sample, getattr(clock, "sample", 0.0))
    plans = [(task, *_calibrate(task, clock, sample)) for task in tasks]
    one_round = sum(cost for *_, cost in plans)
    rounds = min(max(int(pace.seconds / max(one_round, 1e-9)), pace.rounds[0]), pace.rounds[1])
    seconds: dict[tuple[str, str], list[float]] = {task.key: [] for task in tasks}
    with _no_collection():
        for _ in range(rounds):
            for task, repeats, cost in plans:
                argument = task.prepare()
                if cost < 50 * sample:
                    task.seconds(clock, argument, 1)
                seconds[task.key].append(task.seconds(clock, argument, repeats) / repeats)
            gc.collect(0)
    return {task.key: Stats.of(seconds[task.key], repeats) for task, repeats, _ in plans}


def _calibrate(task: Task, clock: Clock, sample: float) -> tuple[int, float]:
    """Return how many calls fill a sample, and the seconds of that sample with its preparation."""
    _warm_up(task, clock)
    start = time.perf_counter()
    argument = task.prepare()
    preparation = time.perf_counter() - start
    task.seconds(clock, argument, 1)
    repeats = 1
    while (elapsed := task.seconds(clock, argument, repeats)) < sample:
        # one step nearly there, then a margin: the first guesses are made on cold calls
        repeats = max(repeats + 1, int(repeats * min(1.2 * sample / max(elapsed, 1e-9), 100)))
    return repeats, elapsed + elapsed / repeats + preparation


def _warm_up(task: Task, clock: Clock) -> None:
    """Call until two calls in a row take the same time to a tenth, where the clock asks for warmth."""
    most, before = getattr(clock, "warm_up", 0), 0.0
    argument = task.prepare() if most else None
    for done in range(most):
        now = task.seconds(clock, argument, 1)
        if done >= 2 and abs(now - before) <= 0.1 * max(now, before):
            return
        before = now


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def limit_threads(threads: int) -> Iterator[Mapping[str, str]]:
    """Limit the BLAS and OpenMP pools of the process; yield what is known about them.

    Without `threadpoolctl` nothing is limited here and the answer says so: then only environment variables
    set before the start (``OPENBLAS_NUM_THREADS``) help.
    """
    if importlib.util.find_spec("threadpoolctl") is None:
        yield {"BLAS": "threads not limited: threadpoolctl is not installed"}
        return
    control = importlib.import_module("threadpoolctl")
    with control.threadpool_limits(limits=threads):
        found = control.threadpool_info()
        pools = [f"{pool['internal_api']} {pool.get('version')} × {pool['num_threads']}" for pool in found]
        yield {"BLAS": ", ".join(pools) or "no pool found"}
