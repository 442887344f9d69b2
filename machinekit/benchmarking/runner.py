"""One workload through the protocol: memory, correctness, then the clock."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Backend, to_host
from .agreement import difference_from_numpy
from .competitors import FORCED, OURS, CannotExpressError, Competitor, build_peer, forced, installed, ours
from .device import chosen_method, release_memory
from .floor import floor
from .memory import MemoryUse, gradient_memory
from .plan_calls import PLAN_CALLS, plan_calls_only
from .problem import Problem, mismatches, tolerance
from .timing import Pace, Stats, Task, clock_for, limit_threads, measure
from .workloads import Workload

__all__ = ["OPERATIONS", "Note", "Outcome", "run_workload", "run_workloads", "tasks"]

OPERATIONS = ("forward", "backward", "pullback", "gradient")
"""What is timed. The weights' column of the tables is pullback minus backward."""


@dataclass(frozen=True)
class Note:
    """Why a competitor was not timed; `error` tells a mistake from an honest limit."""

    competitor: str
    text: str
    error: bool


@dataclass(frozen=True)
class Outcome:
    """All that was measured on one workload.

    Attributes
    ----------
    workload : Workload
    dtype, backend : str
    threads : int
    times : mapping of (competitor, operation) to Stats
    notes : tuple of Note
    memory : MemoryUse, optional
    pools : str
        The thread pools of the process.
    method : str
        On a GPU, the method that this library chose.
    difference : float, optional
        On a GPU, the largest relative difference from NumPy's results.
    remarks : tuple of (competitor, text)
        How competitors were set up, where that must be said.
    """

    workload: Workload
    dtype: str
    backend: str
    threads: int
    times: Mapping[tuple[str, str], Stats] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    memory: MemoryUse | None = None
    pools: str = ""
    method: str = ""
    difference: float | None = None
    remarks: tuple[tuple[str, str], ...] = ()

    @property
    def on_gpu(self) -> bool:
        return self.backend.startswith("cupy")

    @property
    def statistic(self) -> str:
        """What stands in the columns: minima on a processor, whose noise only adds; medians on a GPU."""
        return "median" if self.on_gpu else "minimum"

    def time(self, competitor: str, operation: str, statistic: str | None = None) -> float | None:
        """Return seconds, or None where it was not measured; ``"weights"`` is pullback minus backward."""
        statistic = statistic or self.statistic
        if operation == "weights":
            both, one = (self.time(competitor, name, statistic) for name in ("pullback", "backward"))
            return None if both is None or one is None else both - one
        stats = self.times.get((competitor, operation))
        return None if stats is None else float(getattr(stats, statistic))

    def ratio(self, competitor: str, operation: str = "gradient", statistic: str | None = None) -> float | None:
        """Return a competitor's time over ours: above 1, we are faster."""
        theirs, own = self.time(competitor, operation, statistic), self.time(OURS, operation, statistic)
        return None if theirs is None or own is None else theirs / own

    @property
    def failed(self) -> bool:
        return any(note.error for note in self.notes)


def tasks(competitor: Competitor) -> list[Task]:
    """Return the tasks of one competitor, those it can do."""
    name, forward, gradient, finish = competitor.name, competitor.forward, competitor.gradient, competitor.finish
    found = [Task((name, "forward"), lambda _: forward(), finish=finish)]
    for operation in ("backward", "pullback"):
        call = getattr(competitor, operation)
        if call is not None:
            found.append(Task((name, operation), call, competitor.linearize or forward, finish))
    return [*found, Task((name, "gradient"), lambda _: gradient(), finish=finish)]


def run_workloads(
    workloads: Sequence[Workload], home: Backend, dtype: str, threads: int, peers: Sequence[str], pace: Pace | None,
    after: Callable[[Sequence[Outcome]], Any] = len,
) -> list[Outcome]:  # fmt: skip
    """Run workloads one after the other; `after` is called with what there is each time one is done.

    On a GPU one that fails, for want of memory say, is noted as an error, and the next is run.
    """
    outcomes: list[Outcome] = []
    for workload in workloads:
        print(f"… {workload.id}", file=sys.stderr, flush=True)
        try:
            outcomes.append(run_workload(Problem.of(workload, dtype, home, threads), peers, pace))
        except Exception as error:
            if home.name != "cupy":
                raise
            traceback.print_exc()
            note = Note(OURS, f"failed: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}", True)
            outcomes.append(Outcome(workload, dtype, str(home), threads, notes=(note,)))
            release_memory(home)
        after(outcomes)
    return outcomes


def run_workload(
    problem: Problem,
    peers: Sequence[str] = (),
    pace: Pace | None = None,
    make: Callable[[str, Problem], Competitor] = build_peer,
    methods: Sequence[str] = FORCED,
) -> Outcome:
    """Check every competitor against this library, this library against its reference sweep, then time them.

    Parameters
    ----------
    problem : Problem
    peers : sequence of str
        Those not installed are passed over.
    pace : Pace, optional
    make : callable (name, problem) -> Competitor
        Where peers come from.
    methods : sequence of str
        Of this library, to be forced and timed besides, on a GPU.

    Returns
    -------
    Outcome
        A competitor with a wrong result has a note instead of times.
    """
    home = (problem.workload, problem.dtype, str(problem.backend), problem.threads)
    memory = gradient_memory(problem)
    wrong = _against_reference(problem)
    if wrong:
        return Outcome(*home, notes=(Note(OURS, "wrong: " + "; ".join(wrong), True),), memory=memory)
    field_, notes = _entrants(problem, peers, make, methods if problem.on_gpu else ())
    remarks = tuple((entrant.name, entrant.remark) for entrant in field_ if entrant.remark)
    with limit_threads(problem.threads) as pools:
        clock = clock_for(problem.backend)
        todo = [task for competitor in (*field_, floor(problem, clock)) for task in tasks(competitor)]
        calls = None if problem.on_gpu else plan_calls_only(problem)
        if calls is not None:
            todo.append(Task((PLAN_CALLS, "gradient"), lambda _: calls()))
        times = measure(todo, clock, pace)
        difference = difference_from_numpy(problem) if problem.on_gpu else None
    method = chosen_method(problem) if problem.on_gpu else ""
    if problem.on_gpu:
        del field_, todo
        release_memory(problem.backend)
    return Outcome(*home, times, tuple(notes), memory, pools.get("BLAS", ""), method, difference, remarks)


def _entrants(
    problem: Problem, peers: Sequence[str], make: Callable[[str, Problem], Competitor], methods: Sequence[str]
) -> tuple[list[Competitor], list[Note]]:
    """Return this library and the others whose results agree with its own, and notes on the rest.

    The others are this library with a method forced, and the peers.
    """
    own = ours(problem)
    expected = own.results() if own.results else None
    entrants, notes = [own], []
    makers = [(f"{OURS} {m}", partial(forced, problem, m)) for m in methods]
    for name in peers:
        if make is build_peer and not installed(name):
            notes += [Note(name, "not installed", False)] if problem.on_gpu else []
            continue
        makers.append((name, partial(make, name, problem)))
    for name, maker in makers:
        try:
            peer = maker()
            got = peer.results() if peer.results else None
        except CannotExpressError as reason:
            notes.append(Note(name, f"cannot {'express' if name in peers else 'serve'}: {reason}", False))
            continue
        except Exception as error:  # a peer that breaks must not take the table with it
            text = str(error).strip().splitlines()
            notes.append(Note(name, f"failed: {type(error).__name__}: {text[0] if text else ''}", True))
            continue
        wrong = ["no results to check"] if expected is None or got is None else mismatches(
            expected, got, tolerance(problem.dtype)
        )  # fmt: skip
        if wrong:
            notes.append(Note(name, "wrong: " + "; ".join(wrong), True))
        else:
            entrants.append(peer)
    return entrants, notes


def _against_reference(problem: Problem) -> list[str]:
    """Compare the fast path with the reference sweep: forward and dual."""
    m, y0, seed = problem.machine, problem.y0, problem.seed
    state, plain = m.solve(y0), m.solve(y0, method="reference")
    dual, plain_dual = m.dual(state).solve(seed), m.dual(plain).solve(seed, method="reference")
    sentences = []
    for name, a, b in (("z", plain.z, state.z), ("v", plain_dual.z, dual.z)):
        a, b = to_host(a), to_host(b)
        error = float(np.max(np.abs(a - b), initial=0.0)) / (float(np.max(np.abs(a), initial=0.0)) or 1.0)
        if not error <= tolerance(problem.dtype):
            sentences.append(f"{name} differs from the reference sweep by {error:.1e} relative")
    return sentences
