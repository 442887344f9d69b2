"""The cost of a sweep by one kernel and by array calls: how threads are best dealt out, and which way to go.

    kernel    launch + waves · Σ over index sets (step + passes · rounds · trip, or what the arithmetic takes if longer)
    plan      array calls · call + multiply-adds / gemm

A pass is the outputs that a thread block has threads for, a round a tap and 4 input channels of one thread, a wave the
thread blocks that run at once.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Backend, near
from ..partitions import Partition
from .rates import Rates, rates_of
from .source import read_curves
from .tables import AXES, MOST_CHANNELS, MOST_THREADS, Schedule

__all__ = ["METHODS", "Dealt", "choose", "deal", "kernel_seconds", "plan_seconds", "refusal"]

METHODS = ("auto", "plan", "kernel")
_GROUPS, _THREADS, _TILES = (1, 2, 4, 8), (32, 64, 128, 256, MOST_THREADS), (1, 4)
_LANES = np.array([(a, b) for a in range(6) for b in range(6 - a)])
"""Ways to deal out up to 32 threads to an output: powers of two over taps, and over input channels."""
_ROOM, _PROCESSOR_ROOM = 48 << 10, 96 << 10
"""Shared memory in bytes: what every GPU gives a thread block unasked, and what its thread blocks share."""
_AT_ONCE, _REGISTERS = 2048, {1: 88, 4: 128}
"""Threads that a processor runs at once, and registers of each, by tile, out of 65,536."""
_SHARE = {1: 0.6, 4: 1.0}
"""Part of the rate `kernel` that a tile reaches: how many multiply-adds there are for each load."""
_COUNTED = 1 << 30
"""Threads that an index set may ask for; they are counted in 32 bits."""
_EXCHANGE = 0.1
"""Rounds that an exchange between lanes counts for."""


@dataclass(frozen=True)
class Dealt:
    """A schedule and the seconds that a sweep by it is estimated at."""

    schedule: Schedule
    seconds: float


def choose(
    partition: Partition, lead: tuple[int, ...], dtype: Any, sigma: Any, home: Backend, method: str = "auto"
) -> str:
    """Return "kernel" or "plan": which way a machine of one shape is to be run.

    Parameters
    ----------
    partition : Partition
    lead : tuple of int
        (*batch, *grid), no extent zero.
    dtype : dtype
        Of the call, real or complex.
    sigma : Pointwise
        A Blockwise, or a Diagonal.
    home : Backend
    method : {"auto", "plan", "kernel"}
        "auto": whichever is estimated to be faster, by the rates of `rates_of`.

    Raises
    ------
    TypeError
        An unknown method.
    ValueError
        If method="kernel" and there is no kernel for this; the message says why, and what to do.

    Examples
    --------
    >>> from machinekit.arrays import NUMPY
    >>> choose(Partition((2, 2)), (5,), "float64", None, NUMPY)  # kernels run on a GPU
    'plan'
    """
    if method not in METHODS:
        raise TypeError(f"method={method!r} is unknown; {near(method, METHODS)}")
    if method == "plan":
        return "plan"
    why = refusal(partition, lead, dtype, sigma, home)
    if method == "kernel":
        if why:
            raise ValueError(f"method='kernel' cannot serve {why}")
        return "kernel"
    if why:
        return "plan"
    rates = rates_of(home)
    times = [seconds(partition, lead, dtype, rates) for seconds in (kernel_seconds, plan_seconds)]
    return "kernel" if times[0] <= times[1] else "plan"


def refusal(partition: Partition, lead: tuple[int, ...], dtype: Any, sigma: Any, home: Backend) -> str:
    """Return why there is no kernel for a machine, and the remedy; empty if there is one."""
    if home.name != "cupy":
        return f"arrays of {home.name}, for kernels run on a GPU; move the machine with machine.to('cupy')"
    if np.dtype(dtype) not in (np.dtype("float32"), np.dtype("float64")):
        return f"{np.dtype(dtype)}, for kernels are real; pass real arrays of float32 or float64, or use method='plan'"
    if partition.feedback:
        return "a machine with feedback, whose index sets are solved by an iteration; use method='auto'"
    if partition.axes > AXES:
        return f"{partition.axes} grid axes, for kernels have room for {AXES}; use method='plan'"
    for activation, size in zip(getattr(sigma, "activations", ()), partition.sizes, strict=False):
        if size and read_curves([activation]) is None:
            return (
                f"activation {activation.name!r}, which is not a built-in one and so has no expression in CUDA C++; "
                "use a built-in activation, or method='plan'"
            )
    channels, positions = partition.channels, math.prod(_grid(partition, lead))
    most = max(math.prod(lead), _GROUPS[-1] * positions * (channels + 1), math.prod(partition.weight_shape))
    if most > 2**31 - 1 or channels > MOST_CHANNELS:
        return f"{math.prod(lead)} positions of {channels} channels, which 32 bits cannot count; use method='plan'"
    return ""


def kernel_seconds(partition: Partition, lead: tuple[int, ...], dtype: Any, rates: Rates) -> float:
    """Return the seconds that a sweep by one kernel is estimated at.

    Examples
    --------
    >>> kernel_seconds(Partition((2,) * 5), (32,), "float32", Rates()) < 2e-5
    True
    """
    return deal(partition, lead, np.dtype(dtype).itemsize, rates).seconds


def plan_seconds(partition: Partition, lead: tuple[int, ...], dtype: Any, rates: Rates) -> float:
    """Return the seconds that a sweep by array calls is estimated at.

    Two calls for each index set where it reads rows that lie side by side (a product and a pointwise kernel), else
    three (its taps are copied first) and three more for each time block; and four for the copies in and out.
    """
    grid = _grid(partition, lead)
    line = not partition.axes or (partition.axes == 1 and partition.scan == (0,) and partition.time_block == (1,))
    sets = partition.count(grid)
    times = sets // max(len(partition.block_order), 1) if partition.scan else 0
    calls = 4 + (2 * sets if line else 3 * sets + 3 * times)
    return calls * rates.call + _multiply_adds(partition, lead) / (rates.gemm * 4 / np.dtype(dtype).itemsize)


@lru_cache(maxsize=256)
def deal(partition: Partition, lead: tuple[int, ...], itemsize: int, rates: Rates) -> Dealt:
    """Return the best of the schedules for a machine without feedback, by the estimates of this module."""
    groups = [group for group in _GROUPS if group == 1 or group <= _samples(partition, lead)]
    options = [
        _best(partition, lead, group, threads, tile, itemsize, rates)
        for group, threads, tile in itertools.product(groups, _THREADS, _TILES)
    ]
    return min(options, key=lambda dealt: dealt.seconds)


def _samples(partition: Partition, lead: tuple[int, ...]) -> int:
    return math.prod(lead[: len(lead) - partition.axes])


def _grid(partition: Partition, lead: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(lead[len(lead) - partition.axes :])


def _multiply_adds(partition: Partition, lead: tuple[int, ...]) -> int:
    """Return the multiply-adds of a sweep: one per live weight, position and sample."""
    live = sum(
        partition.sizes[k] * sum(reads.stop - reads.start for _, reads in partition.taps[k])
        for k in partition.block_order
    )
    return live * math.prod(lead)


def _boxes(partition: Partition, grid: tuple[int, ...]) -> Counter[int]:
    """Return how many boxes there are of each number of positions."""
    counts = Counter({1: 1})
    spans = dict(zip(partition.scan, partition.time_block, strict=True))
    for axis, n in enumerate(grid):
        span = spans.get(axis, n)
        pieces = {span: n // span, n % span: 1}
        found: Counter[int] = Counter()
        for (a, times), (b, more) in itertools.product(counts.items(), pieces.items()):
            if a * b:
                found[a * b] += times * more
        counts = found
    return counts


def _reads(partition: Partition) -> np.ndarray:
    """Return, for each block that has channels: its size, its taps, and the most input channels of one."""
    rows = []
    for k in partition.block_order:
        reads = [s.stop - s.start for _, s in partition.taps[k]]
        rows.append((partition.sizes[k], len(reads), max(reads, default=0)))
    return np.array(rows, np.int64).reshape(-1, 3)


def _at_once(schedule: Schedule, partition: Partition, grid: tuple[int, ...], itemsize: int) -> int:
    """Return how many thread blocks a processor runs at once."""
    room = max(schedule.room(partition, grid, itemsize), 1)
    registers = (1 << 16) // (_REGISTERS[schedule.tile] * schedule.threads)
    return max(1, min(_AT_ONCE // schedule.threads, registers, _PROCESSOR_ROOM // room))


def _best(
    partition: Partition, lead: tuple[int, ...], group: int, threads: int, tile: int, itemsize: int, rates: Rates
) -> Dealt:
    """Return the schedule with the best lanes for a group, a number of threads and a tile."""
    grid, samples, reads = _grid(partition, lead), _samples(partition, lead), _reads(partition)
    shared = group * math.prod(grid) * (partition.channels | 1) * itemsize <= _ROOM
    schedule = Schedule(group, threads, tile, ((0, 0),) * len(partition.sizes), shared, tile)
    groups = -(-samples // group)
    together = min(_at_once(schedule, partition, grid, itemsize), -(-groups // rates.processors))
    waves = -(-groups // (rates.processors * together))
    size, taps, channels = (column[:, None] for column in reads.T)  # (blocks, lanes)
    rounds = -(-taps // (1 << _LANES[:, 0])) * -(-channels // (4 << _LANES[:, 1]))
    lanes = _LANES.sum(axis=1)
    speed = rates.kernel * _SHARE[tile] * 4 / itemsize / rates.processors
    total = np.zeros(rounds.shape)
    for positions, times in _boxes(partition, grid).items():
        items = (-(-group * positions // tile) * size) << lanes
        total[items >= _COUNTED] = math.inf
        wait = rates.step + -(-items // threads) * (rounds + _EXCHANGE * lanes) * rates.trip
        work = together * items * rounds * (4 * tile) / speed
        total += times * np.maximum(wait, work)
    chosen = total.argmin(axis=1)
    dealt = dict(zip(partition.block_order, map(tuple, _LANES[chosen].tolist()), strict=True))
    widest = int((reads[:, 0] << lanes[chosen]).max(initial=1))
    schedule = replace(
        schedule,
        lanes=tuple(dealt.get(k, (0, 0)) for k in range(len(partition.sizes))),
        product_rows=tile * max(1, 2 * threads // widest),
    )
    return Dealt(schedule, rates.launch + waves * float(total.min(axis=1).sum()))
