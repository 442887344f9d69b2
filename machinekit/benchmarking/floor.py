"""The gemm floor: the bare matrix products that the live weights need, and nothing else.

No input is read, no activation applied, no window gathered: operands and results lie ready, contiguous, and
every product writes into an ``out=``. What remains is what arithmetic alone costs on this machine through this
BLAS, in the shapes in which an ideal implementation would ask for it. With r rows (samples × the positions of a
time block) and K lags:

=========  ===========================================  =================================================
group      forward, per block (dual: after for before)  weight cotangent, once
=========  ===========================================  =================================================
near lags  (r, K·before) @ (K·before, own)              (K·before, rows) @ (rows, own), per block
far lags   (r, K·all) @ (K·all, all), per time block    (K·all, rows) @ (rows, all)
=========  ===========================================  =================================================

Near lags read earlier blocks only (all lags of a dense or convolution machine, those below the time block of a
recurrent one); far lags read every channel of the past, except in the first time block, which has none. Long
products are cut into tiles, of the size that is fastest here, and a tile's operands stay where they are, as if
always warm. It is a floor of arithmetic, not a bound: on small machines, where calls are the cost, merging the
products of several blocks can be faster.

On a GPU the products are cuBLAS's ``gemm`` by CuPy's thin function for it, uncut, each writing into its result;
factors hold random numbers, for constant ones draw less power, and products of one shape share them. A product
that takes less time than launching it counts as its launch.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array
from .competitors import Competitor
from .problem import Problem
from .timing import Clock

__all__ = ["FLOOR", "Product", "floor", "products"]

FLOOR = "gemm floor"
"""Its name in the tables."""

_TILES = (1 << 16, 1 << 18, 1 << 20, None)


@dataclass(frozen=True)
class Product:
    """``times`` products (rows, inner) @ (inner, cols); `along` is the axis that may be cut into tiles."""

    rows: int
    inner: int
    cols: int
    times: int = 1
    along: str = "rows"


def products(problem: Problem) -> dict[str, list[Product]]:
    """Return the products of the forward pass, the dual and the weight cotangent, by those names."""
    w, bounds = problem.workload, problem.bounds
    taps = math.prod(problem.machine.partition.kernel)
    near, far = (min(w.time_block, taps), max(taps - w.time_block, 0)) if w.kind == "recurrent" else (taps, 0)
    total = bounds[-1]
    before = [(a, b - a) for a, b in pairwise(bounds) if a and b > a]
    after = [(total - b, b - a) for a, b in pairwise(bounds) if total > b > a]
    passes: dict[str, list[Product]] = {"forward": [], "dual": []}
    for index, (rows, times) in enumerate(_time_blocks(problem)):
        for name, reads in (("forward", before), ("dual", after)):
            if far and index:
                passes[name].append(Product(rows, far * total, total, times))
            passes[name] += [Product(rows, near * width, own, times) for width, own in reads]
    rows = w.positions
    passes["weight"] = [Product(near * width, rows, own, along="inner") for width, own in before]
    if far:
        passes["weight"].append(Product(far * total, rows, total, along="inner"))
    return passes


def _time_blocks(problem: Problem) -> list[tuple[int, int]]:
    """Return (rows, how many) for the first time block, the full ones after it and the last, partial one."""
    w = problem.workload
    if w.kind != "recurrent":
        return [(w.positions, 1)]
    extent = w.grid[0]
    first = min(extent, w.time_block)
    full, rest = divmod(extent - first, w.time_block)
    return [(w.batch * first, 1), (w.batch * w.time_block, full), (w.batch * rest, 1 if rest else 0)]


def _operands(problem: Problem, product: Product, tile: int | None) -> list[tuple[Array, Array, Array]]:
    """Return (left, right, out) of each call; equal tiles share their operands."""
    xp, itemsize = problem.backend.xp, problem.y0.dtype.itemsize
    length, width = (product.rows, product.inner) if product.along == "rows" else (product.inner, product.rows)
    step = length if tile is None else max(1, min(length, tile // (width * itemsize)))
    calls: list[tuple[Array, Array, Array]] = []
    for n, times in ((step, length // step), (length % step, 1)):
        if not n:
            continue
        data = problem.backend.zeros((n, width), problem.dtype)
        data[...] = 0.5  # written once, so that the pages exist
        if product.along == "rows":
            left, right = data, problem.backend.zeros((product.inner, product.cols), problem.dtype)
        else:
            left, right = xp.matrix_transpose(data), problem.backend.zeros((n, product.cols), problem.dtype)
        right[...] = 0.5
        out = problem.backend.zeros((left.shape[0], product.cols), problem.dtype)
        calls += [(left, right, out)] * (times * product.times)
    return calls


def _loop(problem: Problem, work: list[Product], tile: int | None) -> Callable[[], None]:
    matmul = problem.backend.xp.matmul
    calls = [call for product in work if product.times for call in _operands(problem, product, tile)]

    def run() -> None:
        for left, right, out in calls:
            matmul(left, right, out=out)

    return run


def _fastest(problem: Problem, work: list[Product], clock: Clock) -> Callable[[], None]:
    """Return the loop with the best tile size; candidates that make the same calls are tried once."""
    bytes_ = max((p.inner * p.rows * problem.y0.dtype.itemsize for p in work if p.times), default=0)
    tiles = [t for t in _TILES if t is None or t < bytes_]
    loops = [_loop(problem, work, tile) for tile in tiles]
    if len(loops) == 1:
        return loops[0]
    costs = [min(clock.time(_ignoring(run), None, 1) for _ in range(4)) for run in loops]
    return loops[costs.index(min(costs))]


class _Room:
    """Device memory for factors and results, filled once with random numbers; products share it."""

    def __init__(self, problem: Problem, work: Iterable[Product]) -> None:
        sizes = [(p.rows * p.inner, p.inner * p.cols, p.rows * p.cols) for p in work if p.times]
        self._flat = [_random(problem, max(size)) for size in zip(*sizes, strict=True)] if sizes else []

    def operands(self, p: Product) -> tuple[str, Array, Array, Array]:
        """Return how the left factor is to be read, both factors and the result."""
        turned = p.along == "inner"
        left, right, out = (
            flat[: rows * cols].reshape(rows, cols)
            for flat, (rows, cols) in zip(
                self._flat,
                ((p.inner, p.rows) if turned else (p.rows, p.inner), (p.inner, p.cols), (p.rows, p.cols)),
                strict=True,
            )
        )
        return "T" if turned else "N", left, right, out


def _random(problem: Problem, size: int) -> Array:
    """Return numbers of N(0, 1) on the device, a million of them over and over."""
    part = problem.backend.from_host(np.random.default_rng(0).standard_normal(min(size, 1 << 20)), problem.dtype)
    flat = problem.backend.zeros((size,), problem.dtype)
    for start in range(0, size, part.shape[0]):
        here = flat[start : start + part.shape[0]]
        here[...] = part[: here.shape[0]]
    return flat


def _gemms(problem: Problem, work: list[Product], room: _Room) -> Callable[[], None]:
    gemm = importlib.import_module(f"{problem.backend.xp.__name__}.cublas").gemm
    calls = [call for p in work for call in [room.operands(p)] * p.times if p.times]

    def run() -> None:
        for trans, left, right, out in calls:
            gemm(trans, "N", left, right, out=out)

    return run


def _ignoring(run: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _: run()


def floor(problem: Problem, clock: Clock) -> Competitor:
    """Return the floor as a competitor that computes nothing of use.

    Parameters
    ----------
    problem : Problem
    clock : Clock
        Chooses the tile size.
    """
    work, names = products(problem), ("forward", "dual", "weight")
    if problem.on_gpu:
        room = _Room(problem, [p for each in work.values() for p in each])
        forward, dual, weight = (_gemms(problem, work[name], room) for name in names)
    else:
        forward, dual, weight = (_fastest(problem, work[name], clock) for name in names)

    def pullback(_: Any) -> None:
        dual()
        weight()

    def gradient() -> None:
        forward()
        dual()
        weight()

    return Competitor(FLOOR, gradient, forward, _ignoring(dual), pullback)
