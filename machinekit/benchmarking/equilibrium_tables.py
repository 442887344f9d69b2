"""Tables of equilibria that need no other library: solvers, tolerances, memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..solvers import DUAL_SOLVERS, SOLVERS
from .equilibrium_layers import Layer, Results, slow
from .equilibrium_peers import unrolled
from .timing import HostClock, Pace, Task, measure

__all__ = ["Accuracy", "MemoryRow", "Run", "memory_table", "solver_table", "tolerance_grid"]

_TOLERANCES = (1e-2, 1e-4, 1e-6)


@dataclass(frozen=True)
class Run:
    """One solver on one layer; `seconds` is None where it has not converged."""

    layer: str
    what: str
    solver: str
    steps: int
    seconds: float | None
    error: float


@dataclass(frozen=True)
class Accuracy:
    """The error of a gradient whose equilibrium and dual were solved to some tolerances."""

    forward: float
    backward: float
    error: float


@dataclass(frozen=True)
class MemoryRow:
    """Peak memory of a forward and a backward pass, in states: bytes over those of z."""

    steps: int
    ours: float
    unrolled: float


def solver_table(layer: Layer, truth: Results, pace: Pace | None = None, limit: int = 1000) -> list[Run]:
    """Run every solver of the equilibrium and of its dual on one layer, in double precision, to 1e-6."""
    layer = layer.astype("float64")
    start, seed = layer.start, layer.seed
    rest = {"max_steps": limit, "on_failure": "return"}
    good = layer.machine(rtol=1e-12).solve(start)
    found = []
    for what, names, option in (("solve", SOLVERS, "solver"), ("dual", DUAL_SOLVERS, "dual_solver")):
        for name in names:
            machine = layer.machine(**{option: name}, **rest)
            call = _call(machine, start, None) if what == "solve" else _call(machine, seed, good)
            answer = call()
            converged = bool(answer.info.converged.all())
            error = truth.error(answer.z, what == "dual")
            seconds = _time(call, pace) if converged else None
            found.append(Run(layer.id, what, name, int(answer.info.steps.max()), seconds, error))
    return found


def _call(machine: Any, signal: np.ndarray, state: Any) -> Callable[[], Any]:
    if state is None:
        return lambda: machine.solve(signal)
    return lambda: machine.dual(state).solve(signal)


def _time(call: Callable[[], Any], pace: Pace | None) -> float:
    short = Pace(0.3, (3, 50)) if pace is None else Pace(min(pace.seconds, 0.3), (3, 50))
    return measure([Task(("", ""), lambda _: call())], HostClock(), short)["", ""].minimum


def tolerance_grid(layer: Layer, truth: Results, rtols: Sequence[float] = _TOLERANCES) -> list[Accuracy]:
    """Return the error of the gradient for every pair of tolerances, in double precision."""
    layer = layer.astype("float64")
    machine = layer.machine()
    found = []
    for forward in rtols:
        state = machine.with_options(rtol=forward).solve(layer.start)
        for backward in rtols:
            cotangent = machine.with_options(rtol=backward).pullback(state, layer.seed)
            found.append(Accuracy(forward, backward, truth.gradient_error(layer.cotangents(cotangent))))
    return found


def memory_table(budgets: Sequence[int], n: int = 200, samples: int = 128) -> list[MemoryRow]:
    """Measure a forward and a backward pass of so many steps each, and of an unrolled network as long.

    The layer needs more steps than any budget, so that all of them are made; the inverse is there before.

    Raises
    ------
    ArithmeticError
        If a budget was not used up.
    """
    layer = slow(n, samples)
    forced = {"solver": "peaceman-rachford", "dual_solver": "peaceman-rachford", "on_failure": "return"}
    machine, start = layer.machine(rtol=1e-14, **forced), layer.start
    matrix = np.linalg.inv(2.0 * np.eye(n) - layer.W.T) * 2.0 - np.eye(n)

    def both(steps: int) -> None:
        short = machine.with_options(max_steps=steps)
        state = short.solve(start)
        cotangent = short.pullback(state, layer.seed)
        taken = {int(s) for info in (state.info, cotangent.saved.info) for s in info.steps}
        if taken != {steps}:
            raise ArithmeticError(f"max_steps={steps}, but samples took {sorted(taken)} steps; pass a harder layer")

    both(budgets[0])
    return [
        MemoryRow(
            k, *(_peak(call) / start.nbytes for call in (lambda k=k: both(k), lambda k=k: _unroll(matrix, layer, k)))
        )
        for k in budgets
    ]


def _unroll(matrix: np.ndarray, layer: Layer, steps: int) -> None:
    unrolled(matrix, layer.start, layer.seed, steps)


def _peak(call: Callable[[], None]) -> float:
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return float(tracemalloc.get_traced_memory()[1] - before)
    finally:
        if not tracing:
            tracemalloc.stop()
