"""How an equilibrium is solved: the method, when it is good enough, and what happens when it is not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..arrays import integer, near

__all__ = ["DUAL_SOLVERS", "SOLVERS", "Equilibrium"]

SOLVERS = (
    "auto", "peaceman-rachford", "forward-backward", "active-set", "anderson", "broyden", "newton-krylov", "picard",
)  # fmt: skip
"""Methods for the equilibrium itself."""
DUAL_SOLVERS = (
    "auto", "peaceman-rachford", "forward-backward", "direct", "bicgstab", "anderson", "broyden", "picard",
)  # fmt: skip
"""Methods for its tangent and its dual, which are linear."""
_FAILURES = ("raise", "warn", "return")
_RTOL = {"double": 1e-6, "single": 1e-5}


@dataclass(frozen=True, kw_only=True)
class Equilibrium:
    """How the equilibria of a machine, or of the cycles of a hypergraph, are solved.

    Parameters
    ----------
    solver : str
        "auto"; for blocks that are monotone, with a σ that is a proximal operator, "peaceman-rachford",
        "forward-backward" or, for σ in linear pieces, "active-set"; for anything "anderson", "broyden",
        "newton-krylov" or "picard".
    dual_solver : str
        Of the tangent and of the dual, which are linear: "auto", "peaceman-rachford", "forward-backward", "direct"
        (one dense factorisation per sample), "bicgstab", "anderson", "broyden" or "picard".
    rtol : float, optional
        A sample has converged when the estimated error of its iterate is at most ``atol + rtol ‖iterate‖``; by
        default 1e-6 in double precision and 1e-5 in single. The dual is solved to the same.
    atol : float
        The same, absolutely.
    max_steps : int
        Evaluations of the map per solve, those of a finish included.
    on_failure : {"raise", "warn", "return"}
        What to do when a sample has not converged: raise `ConvergenceError`, which carries the best iterate; warn
        with `ConvergenceWarning` and return it; return it, ``state.info.converged`` telling.
    dual_steps : int, optional
        Stop the dual after so many steps, whatever its error: a cheaper, inexact gradient. 0 drops the inverse
        altogether (the Jacobian-free gradient). Second derivatives then raise.
    damping : float
        τ of the damped Picard iteration s ← (1 − τ) s + τ σ(W s + b).
    history : int, optional
        Differences that "anderson" keeps (5), or pairs that "broyden" does (20).

    Raises
    ------
    ValueError, TypeError
        A name that is none of these, or a number out of range.

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.Equilibrium(solver="anderson", rtol=1e-9).solver
    'anderson'
    """

    solver: str = "auto"
    dual_solver: str = "auto"
    rtol: float | None = None
    atol: float = 0.0
    max_steps: int = 10_000
    on_failure: str = "raise"
    dual_steps: int | None = None
    damping: float = 1.0
    history: int | None = None

    def __post_init__(self) -> None:
        for name, words in (("solver", SOLVERS), ("dual_solver", DUAL_SOLVERS), ("on_failure", _FAILURES)):
            given = getattr(self, name)
            if given not in words:
                raise ValueError(f"{name}={given!r} is unknown; {near(given, words)}")
        if self.rtol is not None:
            _number("rtol", self.rtol, 0.0, 1.0, open_below=True)
        _number("atol", self.atol, 0.0, math.inf)
        _number("damping", self.damping, 0.0, 1.0, open_below=True)
        integer("max_steps", self.max_steps, 0)
        if self.dual_steps is not None:
            integer("dual_steps", self.dual_steps, 0)
        if self.history is not None:
            integer("history", self.history, 1)

    def tolerance(self, precision: str) -> float:
        """Return rtol, or its default for ``"single"`` or ``"double"`` precision."""
        return _RTOL[precision] if self.rtol is None else float(self.rtol)


def _number(name: str, value: Any, low: float, high: float, open_below: bool = False) -> None:
    try:
        inside = low <= value <= high and not (open_below and value == low) and value < math.inf
    except TypeError:
        raise TypeError(f"{name} is {value!r}; pass a number") from None
    if not inside:
        above = f"above {low:g}" if open_below else f"at least {low:g}"
        raise ValueError(
            f"{name} is {value}; pass a number {above}" + ("" if math.isinf(high) else f", at most {high:g}")
        )
