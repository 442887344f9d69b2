"""Named properties: each one statement of the paper, with a function that checks it on a random case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..testing.report import Finding
from .draws import Draws
from .lab import Lab

__all__ = ["Property", "collect", "named"]

Check = Callable[[Lab, Draws], list[Finding]]


@dataclass(frozen=True)
class Property:
    """One statement.

    Attributes
    ----------
    id : str
        Short name, ``"theorem-2-mutual"``.
    statement : str
        In words.
    source : str
        Where it is stated.
    check : callable (lab, draws) -> list of Finding
    double : bool
        Whether it is meaningful in double precision only.
    host : bool
        Whether it is about host arithmetic only: fractions, flags, counts.
    """

    id: str
    statement: str
    source: str
    check: Check
    double: bool = False
    host: bool = False

    def serves(self, lab: Lab) -> bool:
        """Tell whether the property is meaningful on a lab's dtype and backend."""
        return not (self.double and lab.dtype != "float64") and not (self.host and lab.backend.name != "numpy")


def named(id: str, source: str, *, double: bool = False, host: bool = False) -> Callable[[Check], Property]:
    """Make a property of a function; its docstring's first paragraph is the statement.

    Parameters
    ----------
    id, source : str
    double, host : bool
        See `Property`.
    """

    def make(check: Check) -> Property:
        statement = " ".join((check.__doc__ or "").split("\n\n")[0].split())
        return Property(id, statement, source, check, double, host)

    return make


def collect(*groups: tuple[Property, ...]) -> dict[str, Property]:
    """Return properties by id.

    Raises
    ------
    ValueError
        If two have one id, or one states nothing.
    """
    found: dict[str, Property] = {}
    for p in (p for group in groups for p in group):
        if p.id in found or not p.statement:
            raise ValueError(f"property {p.id!r} is there twice, or states nothing; give it a name and a docstring")
        found[p.id] = p
    return found
