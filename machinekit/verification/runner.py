"""Run properties on random cases: Hypothesis draws and shrinks, the worst error is kept."""

from __future__ import annotations

import builtins
import time
from dataclasses import dataclass, field
from typing import Any

from ..testing.report import Finding, LawError
from .draws import Draws
from .lab import Lab
from .registry import Property

__all__ = ["Outcome", "run"]


@dataclass
class Outcome:
    """What verifying one property has shown.

    Attributes
    ----------
    property : Property
    examples : int
        Random cases that were tried.
    worst : Finding or None
        The one with the largest error relative to its tolerance.
    failure : str
        Empty if all held; else the broken law with both numbers, the case and the seed.
    skipped : str
        Why it was not run.
    seconds : float
    """

    property: Property
    examples: int = 0
    worst: Finding | None = None
    failure: str = ""
    skipped: str = ""
    seconds: float = 0.0
    checked: int = field(default=0, repr=False)

    @builtins.property
    def ok(self) -> bool:
        """Whether it held in every case, and there was one."""
        return not self.failure and (bool(self.checked) or bool(self.skipped))

    @builtins.property
    def ratio(self) -> float:
        """The worst error over its tolerance."""
        return _ratio(self.worst) if self.worst else 0.0


def _ratio(finding: Finding) -> float:
    if finding.error == 0:
        return 0.0
    return finding.error / finding.allowed if finding.allowed else float("inf")


def run(property: Property, lab: Lab, examples: int = 40, seed: int = 0, *, shrink: bool = True) -> Outcome:
    """Verify one property.

    Parameters
    ----------
    property : Property
    lab : Lab
    examples : int
        Random cases to try.
    seed : int
        The same seed draws the same cases.
    shrink : bool
        Whether to look for a small failing case.

    Raises
    ------
    ModuleNotFoundError
        Without Hypothesis.
    """
    try:
        import hypothesis
        from hypothesis import strategies as st
    except ModuleNotFoundError:
        raise ModuleNotFoundError("verify draws its cases with Hypothesis; pip install 'machinekit[test]'") from None
    outcome = Outcome(property)
    if not property.serves(lab):
        outcome.skipped = "double precision only" if lab.dtype != "float64" and property.double else "host only"
        return outcome
    phases = [hypothesis.Phase.generate, hypothesis.Phase.shrink] if shrink else [hypothesis.Phase.generate]

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, database=None, deadline=None, phases=phases, print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @hypothesis.given(st.data())
    def test(data: Any) -> None:
        draws = Draws(lab, lambda low, high: data.draw(st.integers(low, high)))
        try:
            findings = property.check(lab, draws)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise LawError(f"  BROKEN {type(error).__name__}: {error}\n         case: {_case(draws)}") from error
        _tally(outcome, findings)
        broken = [f for f in findings if not f.ok]
        if broken:
            raise LawError("\n".join([*map(str, broken), f"         case: {_case(draws)}"]))

    start = time.perf_counter()
    try:
        test()
    except LawError as error:
        outcome.failure = f"{error}\n         seed: {seed}"
    except Exception as error:  # a property that raises is broken, whatever it raises
        outcome.failure = f"  BROKEN {type(error).__name__}: {error}\n         seed: {seed}"
    outcome.seconds = time.perf_counter() - start
    return outcome


def _case(draws: Draws) -> str:
    return "; ".join(draws.log) or "fixed"


def _tally(outcome: Outcome, findings: list[Finding]) -> None:
    outcome.examples += 1
    for finding in findings:
        if finding.checked:
            outcome.checked += 1
            if outcome.worst is None or _ratio(finding) > outcome.ratio:
                outcome.worst = finding
