"""Settling a component of a network: in every sweep the same, a fixed point of one pass through its edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, namespace, precision, to_host
from ..solvers import RANKS, Equilibrium, Info, Outcome, settle_cycle
from ..solvers.picard import picard
from ..solvers.watch import sizes
from .components import Component
from .passes import Act, AffinePass, Layout, Pass, Round, Way
from .values import Values

if TYPE_CHECKING:
    from .verbs import NetworkVerbs

__all__ = ["Settling", "options_of"]


def options_of(net: NetworkVerbs) -> Equilibrium:
    """Return how the cycles of a network are solved."""
    return net.cycles or Equilibrium()


class Settling:
    """How the components of a network are settled in one sweep, and what has come of it.

    The unknowns are the values of the spaces that are cut; g runs the edges once.

    Parameters
    ----------
    net : network
        With its edges, and the options of its cycles.
    way : callable (groups, values, act, records)
        Runs edges, forwards or backwards.
    act : callable (place, arrays) -> record
        What an edge does.
    values : Values
        Of the sweep; they tell the batch.
    pose : callable (round, like) -> Pass or AffinePass
        Returns the problem of one component.
    steps : int, optional
        Take exactly so many steps.
    at : mapping of str to array, optional
        The values of the spaces at the state where this is a derivative; the unknowns are complex where these are.
    turned : bool
        Edges run backwards, and read what arrives at their targets.
    """

    def __init__(
        self,
        net: NetworkVerbs,
        way: Way,
        act: Act,
        values: Values,
        pose: Callable[[Round, Array], Pass | AffinePass],
        steps: int | None = None,
        at: Mapping[str, Array] | None = None,
        turned: bool = False,
    ) -> None:
        self.edges, self.options, self.way = net.edges, options_of(net), way
        self.act, self.pose, self.fixed, self.at, self.turned = act, pose, steps, at, turned
        name, shape = next(iter(net.spaces.items()))
        self.batch = values.full[name][: len(values.full[name]) - len(shape)]
        samples = math.prod(self.batch)
        self.steps, self.rank, self.squares = np.zeros(samples, int), np.zeros(samples, int), np.zeros(samples)
        self.solvers: list[str] = []

    def settle(self, component: Component, values: Values, records: Any) -> None:
        """Settle a component: write its values and what it adds elsewhere to `values`, and what edges say to `records`.

        After the iteration each edge is run once more, so that its record is that of the answer.
        """
        self._check_finite(component, values)
        layout = Layout(component.cut, values.full, self.batch)
        around = Round(component, values, layout, self.way)
        like = values.like if self.at is None else self.at[component.cut[0]]
        problem = self.pose(around, like)
        outcome = self._outcome(problem)
        loop = around.run(layout.unpack(outcome.answer, own=True), self.act, records)
        with np.errstate(all="ignore"):
            residual = sizes(layout.pack(loop.fed, outcome.answer) - outcome.answer)
            self.squares += np.sum(residual * residual, axis=0)
        self.steps += outcome.steps
        self.rank = np.maximum(self.rank, np.array([RANKS.index(word) for word in outcome.status], int))
        self.solvers.append(outcome.solver)
        for name in component.spaces:
            values[name] = loop[name] if loop.zeros else loop.get(name)
        for name, image in loop.beyond.items():
            values.add(name, image)

    def _outcome(self, problem: Pass | AffinePass) -> Outcome:
        options = self.options
        if not math.prod(problem.shape):
            start, samples = problem.start(), problem.shape[0]
            return Outcome(start, np.zeros(samples, int), np.full(samples, ""), "")
        rtol = options.tolerance(precision(problem.like, "the network"))
        if self.fixed is not None:
            return picard(problem, rtol, options.atol, self.fixed, steps=self.fixed)
        return settle_cycle(problem, options, rtol)

    def _check_finite(self, component: Component, values: Values) -> None:
        """Refuse what is not finite, unless it comes of another component that has not converged."""
        fine = self.rank < RANKS.index("max_steps")
        mine = [self.edges[k] for k in component.edges]
        read = {s for e in mine for s in (e.targets if self.turned else e.sources)}
        for name in sorted(read & values.keys()):
            a = values[name]
            if a is None:
                continue
            xp, width = namespace(a), math.prod(a.shape[len(self.batch) :])
            good = to_host(xp.all(xp.reshape(xp.isfinite(a), (len(fine), width)), axis=1))
            if np.any(fine & ~good):
                raise ValueError(
                    f"what reaches the space {name!r} of the cycle of {', '.join(component.names)} is not finite, so "
                    "that no iteration can converge; pass finite numbers"
                )

    @cached_property
    def told(self) -> Info:
        """What the solvers tell in the end, sample by sample; of several components the sums, and the worst status."""
        steps, residual = self.steps.reshape(self.batch), np.sqrt(self.squares).reshape(self.batch)
        return Info(steps, residual, np.array(RANKS)[self.rank].reshape(self.batch), tuple(self.solvers))
