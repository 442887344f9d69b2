"""Methods that learn from their steps: one loop; Anderson's and Broyden's differ by what they learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ..arrays import Array, astype
from .problem import FixedPoint
from .record import Outcome
from .rows import Rows, pick
from .watch import Watch

__all__ = ["Learner", "learn"]


class Learner(Protocol):
    """What is known of the map from the steps so far, of every sample."""

    def next(self, x: Array, f: Array, fresh: np.ndarray) -> Array:
        """Return the next iterate from the last, x, and its residual f; samples in fresh units forget what they had."""


def learn(
    problem: FixedPoint,
    name: str,
    make: Callable[[Array], Learner],
    rtol: float,
    atol: float,
    limit: int,
    warm: tuple[Array, Array] | None,
) -> Outcome:
    """Iterate until the residual of every sample is small: one evaluation of g a step.

    Parameters
    ----------
    problem : FixedPoint
    name : str
        Of the method.
    make : callable
        Returns a learner for residuals like the one given, which is the first.
    rtol, atol, limit, warm : as for every solver
    """
    s = problem.start() if warm is None else astype(warm[1])
    rows, watch = Rows(s), Watch(s, rtol, atol, limit, noise=problem.noise, careful=True)
    learner: Learner | None = None
    with np.errstate(all="ignore"):
        for step in range(1, limit + 1):
            image = problem.image(s)
            fresh = rows.fit(image)
            x = rows.pack(s)
            f = rows.pack(image) - x
            if watch.see(step, s, *rows.sizes_of(f, beside=s), exact=True) or step == limit:
                break
            if learner is None:
                learner = make(f)
            s = pick(watch.open, rows.unpack(learner.next(x, f, fresh)), s)
    return watch.outcome(s, name)
