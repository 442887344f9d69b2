"""What a solver reports: one entry per sample, on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import Array

__all__ = ["RANKS", "Info", "Outcome"]

RANKS = ("", "direct", "converged", "floor", "truncated", "max_steps", "diverged")
"""Status of a sample, the better before the worse; "" is an explicit step."""


def _settled(status: np.ndarray) -> np.ndarray:
    return (status != "max_steps") & (status != "diverged")


@dataclass
class Outcome:
    """What a solver returns.

    Attributes
    ----------
    answer : array of shape (samples, unknowns)
        The best iterate of each sample, in the unknowns of the problem.
    steps : int array of shape (samples,)
        Evaluations of the map until the sample converged, or all.
    status : array of str, of shape (samples,)
        "converged", "floor" (rounding allows no more), "direct", "truncated", "max_steps" or "diverged".
    solver : str
    y : array of shape (samples, unknowns), or None
        Where the solver knows it, what the answer is exactly σ of.
    """

    answer: Array
    steps: np.ndarray
    status: np.ndarray
    solver: str = ""
    y: Array | None = None

    @property
    def converged(self) -> np.ndarray:
        """Mask of the samples that need nothing more: all but "max_steps" and "diverged"."""
        return _settled(self.status)


class Info(Mapping[str, Any]):
    """What the state of an equilibrium tells about its solve, by attribute or by key.

    Attributes
    ----------
    steps : int array of shape (*batch,)
        Evaluations of the map, all blocks together.
    residual : float array of shape (*batch,)
        ‖y − W z − b − y0‖₂ of the state returned, whose z is exactly σ(y) + z0.
    error_bound : float array of shape (*batch,)
        A bound on ‖z − z*‖₂, z* being the equilibrium; infinite where no certificate is known.
    converged : bool array of shape (*batch,)
    status : array of str, of shape (*batch,)
        "converged"; "floor" (as good as rounding allows); "direct" (a factorisation); "truncated" (`dual_steps`);
        "max_steps"; "diverged"; "" where nothing was iterated. Of several blocks the worst.
    solver : tuple of str
        What resolved each block; "" for an explicit step.
    """

    _names = ("steps", "residual", "error_bound", "converged", "status", "solver")

    def __init__(
        self,
        steps: np.ndarray,
        residual: np.ndarray | Callable[[], np.ndarray],
        status: np.ndarray,
        solver: tuple[str, ...] = (),
        bound: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.steps, self.status, self.solver, self._left, self._bound = steps, status, solver, residual, bound
        self.converged = _settled(status)

    @cached_property
    def residual(self) -> np.ndarray:
        """Computed when it is first asked for, for it may need a product; what it reads must not have changed."""
        return self._left() if callable(self._left) else self._left

    @cached_property
    def error_bound(self) -> np.ndarray:
        """Computed when it is first asked for, for it may need norms of couplings."""
        return np.full(self.residual.shape, np.inf) if self._bound is None else self._bound()

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        words = ", ".join(
            f"{n} {s or 'explicit'}" for s, n in zip(*np.unique(self.status, return_counts=True), strict=True)
        )
        most = int(self.steps.max(initial=0))
        return f"Info({self.steps.size} samples: {words}; at most {most} steps, residual {self._worst():.2g})"

    def _worst(self) -> float:
        return float(self.residual.max(initial=0.0))

    def __getstate__(self) -> dict[str, Any]:
        known = {"residual": self.residual, "error_bound": self.error_bound}
        return {**self.__dict__, **known, "_left": self.residual, "_bound": None}
