"""Hessian products against double back-propagation in PyTorch and ``jvp ∘ grad`` in JAX.

The objective is the squared error of all blocks against random targets, as a function of the weights. A product
starts from the weights: nothing is kept from an earlier call. The ratio hessp/fun is of this library's own calls;
its natural value is 8/3, as eight products of live size stand against three.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import to_host
from ..training import Objective
from .competitors import OURS, CannotExpressError, installed
from .problem import Problem, tolerance
from .report import format_table, microseconds
from .timing import Pace, Stats, Task, clock_for, limit_threads, measure
from .workloads import pick_workloads

__all__ = ["HESSIANS", "HessianOutcome", "HessianPeer", "format_hessians", "run_hessians"]

HESSIANS = ("dense-small", "dense-medium", "conv-medium", "rec-medium", "dense-large")
"""The workloads that are timed."""
_BAR = 3.3
"""The most that a product may take, in times of a value with its gradient."""


@dataclass(frozen=True)
class HessianPeer:
    """The two calls of a peer: the value with its gradient, and the product; each returns when it is done.

    Attributes
    ----------
    fun, hessp : callable () -> object
    result : callable () -> array
        The product as a weight of the machine.
    """

    fun: Callable[[], Any]
    hessp: Callable[[], Any]
    result: Callable[[], np.ndarray]


@dataclass(frozen=True)
class HessianOutcome:
    """What was measured on one workload, and why a peer was not."""

    workload: str
    times: Mapping[tuple[str, str], Stats]
    remarks: Sequence[str] = ()

    def ratio(self) -> float:
        """Return the time of a product over that of a value with its gradient, of minima."""
        return self.times[OURS, "hessp"].minimum / self.times[OURS, "fun"].minimum


def run_hessians(
    dtype: str = "float32", backend: Any = None, threads: int = 1, pace: Pace | None = None,
    workloads: Sequence[str] = HESSIANS, peers: Sequence[str] = ("torch", "jax"),
) -> list[HessianOutcome]:  # fmt: skip
    """Time the workloads, with the peers that are installed and agree."""
    return [_run(Problem.of(w, dtype, backend, threads), pace, peers) for w in pick_workloads(workloads)]


def _run(problem: Problem, pace: Pace | None, peers: Sequence[str]) -> HessianOutcome:
    print(f"… {problem.workload.id}", file=sys.stderr, flush=True)
    objective = Objective(problem.machine, "squared_error", problem.y0, problem.seed)
    theta = objective.theta0
    direction = np.random.default_rng(2).standard_normal(theta.shape)
    along = to_host(objective.unpack(direction)["weight"])
    todo = [
        Task((OURS, "fun"), lambda _: objective.fun(theta)),
        Task((OURS, "hessp"), lambda _: objective.hessp(theta, direction)),
    ]
    wanted = to_host(objective.unpack(objective.hessp(theta, direction))["weight"])
    remarks = []
    with limit_threads(problem.threads):
        for name in peers:
            if not installed(name):
                continue
            try:
                peer = importlib.import_module(f".{name}_peer", __package__).hessian(problem, along)
            except CannotExpressError as error:
                remarks.append(f"{name}: {error}")
                continue
            off = float(np.max(np.abs(peer.result() - wanted)) / (np.max(np.abs(wanted)) or 1.0))
            if not off <= 10 * tolerance(problem.dtype):
                remarks.append(f"{name}: not timed, its product differs by {off:.1e} relative")
                continue
            todo += [Task((name, "fun"), _call(peer.fun)), Task((name, "hessp"), _call(peer.hessp))]
        times = measure(todo, clock_for(problem.backend), pace)
    return HessianOutcome(problem.workload.id, times, remarks)


def _call(function: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda _: function()


def format_hessians(outcomes: Sequence[HessianOutcome]) -> str:
    """Return the times as a markdown table, the bar, and why peers are missing."""
    rows = []
    for o in outcomes:
        for name in dict.fromkeys(competitor for competitor, _ in o.times):
            fun, hessp = (o.times[name, call] for call in ("fun", "hessp"))
            cells = [microseconds(fun.minimum), microseconds(hessp.minimum), microseconds(hessp.median)]
            own = f"{hessp.minimum / fun.minimum:.2f}"
            over = [f"{getattr(hessp, k) / getattr(o.times[OURS, 'hessp'], k):.2f}" for k in ("minimum", "median")]
            rows.append([o.workload, name, *cells, own, *over])
    head = ("workload", "competitor", "fun", "hessp", "median", "hessp/fun", "× ours", "× ours (medians)")
    remarks = [f"{o.workload}, {text}" for o in outcomes for text in o.remarks]
    late = [f"{o.workload}: hessp/fun is {o.ratio():.2f}, the bar is {_BAR}" for o in outcomes if o.ratio() > _BAR]
    return "\n\n".join([format_table(head, rows), *remarks, *late])
