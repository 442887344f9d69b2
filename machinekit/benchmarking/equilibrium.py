"""Equilibrium layers: a whole step against a plain loop and against PyTorch, all compared with the exact solution.

A step is what a training loop does between two updates: W and its inverse from new A and B, the equilibrium of a
batch, the dual, and the cotangents of A, B, U and b.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import pick_backend
from ..linear.operators import DenseOperator, best_step
from .bars import Verdict
from .competitors import OURS
from .equilibrium_layers import Layer, Results, digits, exact, hard, init, present, trained
from .equilibrium_peers import textbook
from .equilibrium_tables import Accuracy, MemoryRow, Run, memory_table, solver_table, tolerance_grid
from .timing import HostClock, Pace, Stats, Task, limit_threads, measure

__all__ = [
    "MON",
    "TEXTBOOK",
    "TORCHDEQ",
    "Answer",
    "EquilibriumReport",
    "StepOutcome",
    "judge_equilibrium",
    "run_equilibrium",
]

TEXTBOOK, MON, TORCHDEQ = "textbook loop", "MON (torch)", "torchdeq Broyden"
_PEERS = {MON: ("torch", "MonLayer"), TORCHDEQ: ("torchdeq", "TorchdeqLayer")}
_LOOSE = 100.0
"""An error of so many tolerances means that a competitor has not converged: its times stand without a ratio."""
_JUDGED = ("init200", "digits200", "hard200")
"""The layers of full size; the first is the one that the bars of `solve` are about."""


@dataclass(frozen=True)
class Answer:
    """What a competitor found: steps forward and backward, and errors against the exact solution."""

    steps: tuple[int, ...]
    error: float
    gradient_error: float | None = None

    def lost(self, rtol: float) -> bool:
        """Tell whether it has not converged."""
        worst = self.error if self.gradient_error is None else max(self.error, self.gradient_error)
        return not worst <= _LOOSE * rtol


@dataclass(frozen=True)
class StepOutcome:
    """What was measured on one layer in one precision."""

    layer: str
    dtype: str
    rtol: float
    threads: int
    times: Mapping[tuple[str, str], Stats]
    answers: Mapping[tuple[str, str], Answer]

    def time(self, competitor: str, operation: str) -> float | None:
        """Return the least time in seconds, None if there is none."""
        stats = self.times.get((competitor, operation))
        return None if stats is None else stats.minimum

    def ratio(self, competitor: str, operation: str) -> float | None:
        """Return how many times longer a competitor takes, of minima; None if it has not converged."""
        theirs, own = self.time(competitor, operation), self.time(OURS, operation)
        if theirs is None or own is None or self.answers[competitor, operation].lost(self.rtol):
            return None
        return theirs / own


@dataclass(frozen=True)
class EquilibriumReport:
    """All tables, and what there is to say about them."""

    steps: Sequence[StepOutcome]
    memory: Sequence[MemoryRow]
    solvers: Sequence[Run]
    grids: Mapping[str, Sequence[Accuracy]]
    remarks: Sequence[str] = ()
    wrong: Sequence[str] = ()


def run_equilibrium(
    backend: Any = None, threads: int = 1, pace: Pace | None = None, quick: bool = False
) -> EquilibriumReport:
    """Measure everything; `quick` takes small layers and short budgets.

    Raises
    ------
    ValueError
        For a backend other than NumPy, which the plain loops and the memory table are written for.
    """
    if pick_backend(backend).name != "numpy":
        raise ValueError(f"backend={backend!r}: the tables of equilibria run on NumPy; leave --backend out")
    n, samples = (24, 16) if quick else (200, 128)
    layers = [init(n, samples), hard(n, samples)]
    learned = None if quick else trained(n, samples)
    if learned is not None:
        layers.insert(1, learned)
    with limit_threads(threads):
        answers = {layer.id: exact(layer) for layer in layers}
        steps = [
            _run(layer.astype(dtype), dtype, answers[layer.id], threads, pace)
            for layer in layers
            for dtype in ("float32", "float64")
        ]
        _say("solvers")
        limit = 50 if quick else 1000
        solvers = [run for layer in layers for run in solver_table(layer, answers[layer.id], pace, limit)]
        _say("tolerances")
        grids = {layer.id: tolerance_grid(layer, answers[layer.id]) for layer in layers[-2:]}
        _say("memory")
        memory = memory_table((5, 10) if quick else (10, 100, 1000), n, samples)
    return EquilibriumReport(steps, memory, solvers, grids, _remarks(layers[0]), _wrong(steps))


def _remarks(layer: Layer) -> list[str]:
    missing = [package for package in ("torch", "torchdeq") if not present(package)]
    operator = DenseOperator(layer.W.T)
    began = time.perf_counter()
    best_step(operator.eigenvalues())
    spent = time.perf_counter() - began
    step = (
        f"The step size α comes from the eigenvalues of W, {spent * 1e3:.0f} ms at {operator.unknowns} units. Machines "
        "derived by `replace` keep it, and look again after a hundred updates or when steps have grown; `step` does "
        "not count it."
    )
    return [f"Inputs: {digits(1)[2]}.", step, *(["Not installed: " + ", ".join(missing) + "."] if missing else [])]


def _wrong(steps: Sequence[StepOutcome]) -> list[str]:
    return [
        f"{o.layer}, {o.dtype}: {operation} of {OURS} is off by {max(a.error, a.gradient_error or 0.0):.1e}"
        for o in steps
        for (who, operation), a in o.answers.items()
        if who == OURS and a.lost(o.rtol)
    ]


def _say(word: str) -> None:
    print(f"… {word}", file=sys.stderr, flush=True)


def _run(layer: Layer, dtype: str, truth: Results, threads: int, pace: Pace | None) -> StepOutcome:
    _say(f"{layer.id} {dtype}")
    machine, start = layer.machine(), layer.start
    state = machine.solve(start)
    cotangent = machine.pullback(state, layer.seed)
    info, back = state.info, cotangent.saved.info
    counts = (int(info.steps.max()), int(back.steps.max()))
    found = (truth.error(state.z), truth.gradient_error(layer.cotangents(cotangent)))
    answers = {(OURS, "solve"): Answer(counts[:1], found[0]), (OURS, "step"): Answer(counts, *found)}
    tasks = [
        _task(OURS, "solve", lambda: machine.solve(start)),
        _task(OURS, "dual", lambda: machine.dual(state).solve(layer.seed)),
        _task(OURS, "pullback", lambda: machine.pullback(state, layer.seed)),
    ]
    alpha = machine._blocks.step(0, (), None)
    for name, step, contiguous in (
        (TEXTBOOK, alpha, False),
        (f"{TEXTBOOK}, contiguous", alpha, True),
        (f"{TEXTBOOK}, α = 1", 1.0, False),
    ):
        loop = textbook(layer.W, start, layer.rtol, step, contiguous=contiguous)
        z, count = loop()
        answers[name, "solve"] = Answer((count,), truth.error(z))
        tasks.append(_task(name, "solve", loop))
    clock = HostClock()
    times = dict(measure(tasks, clock, pace))
    whole = [_task(OURS, "step", lambda: layer.step(machine))]
    for name, (package, kind) in _PEERS.items():
        if present(package) and present("torch"):
            peer = getattr(importlib.import_module(".torch_equilibrium", __package__), kind)(layer, threads)
            z, bars = peer.results()
            answers[name, "step"] = Answer(peer.steps, truth.error(z), truth.gradient_error(bars))
            whole.append(_task(name, "step", peer.step))
    times |= measure(whole, clock, pace)
    return StepOutcome(layer.id, dtype, layer.rtol, threads, times, answers)


def _task(name: str, operation: str, call: Callable[[], Any]) -> Task:
    return Task((name, operation), lambda _: call())


def judge_equilibrium(report: EquilibriumReport) -> list[Verdict]:
    """Judge every bar that was measured, on the layers of full size."""
    found = []
    for o in report.steps:
        wanted: list[tuple[str, float | None, float, bool]] = []
        if o.layer in _JUDGED:
            wanted += [
                ("step vs MON in torch, times faster", o.ratio(MON, "step"), 1.5, True),
                ("step vs torchdeq Broyden, times faster", o.ratio(TORCHDEQ, "step"), 10.0, True),
            ]
        if o.layer == _JUDGED[0]:
            forward, dual = o.time(OURS, "solve"), o.time(OURS, "dual")
            share = None if forward is None or dual is None else dual / forward
            wanted += [
                ("steps of Peaceman–Rachford", float(o.answers[OURS, "solve"].steps[0]), 20.0, False),
                ("dual / forward, no less", share, 0.7, True),
                ("dual / forward, no more", share, 1.6, False),
            ]
            if o.dtype == "float32":
                wanted.append(("solve vs textbook loop, times faster", o.ratio(TEXTBOOK, "solve"), 1.3, True))
        where = f"{o.layer} {o.dtype}"
        found += [Verdict(bar, where, o.threads, v, must, None, up) for bar, v, must, up in wanted if v is not None]
    peaks = [row.ours for row in report.memory]
    if peaks:
        share = max(peaks) / min(peaks)
        found.append(Verdict("peak memory, largest / least", "all budgets", 1, share, 1.02, None, False))
    return found
