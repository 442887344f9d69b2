"""Deliberately wrong variants: each differs from the right code in one entry of the lab, by one named change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .lab import Lab
from .registry import Property
from .runner import Outcome, run

__all__ = ["ENTRIES", "Mutant", "Trial", "attack", "entries_used", "gather", "mutant"]

ENTRIES = tuple(f.name for f in fields(Lab) if f.name not in ("name", "backend", "dtype"))
"""The functions of a lab, which properties call."""


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes
    ----------
    id : str
    source : str
        Where it is printed, or how it is made.
    change : str
        In words.
    entry : str
        The entry of the lab that is wrong.
    wrong : callable
        What stands in its place.
    killers : tuple of str
        Ids of properties that must notice it.
    """

    id: str
    source: str
    change: str
    entry: str
    wrong: Callable[..., Any]
    killers: tuple[str, ...]

    def make(self, lab: Lab) -> Lab:
        """Return the lab with this mistake in it."""
        return lab.but(self.id, **{self.entry: self.wrong})


@dataclass(frozen=True)
class Trial:
    """What the properties made of a mutant.

    Attributes
    ----------
    mutant : Mutant
    killed_by, unnoticed_by : tuple of str
        Ids of the properties that use the wrong entry: those that fail, and those that hold all the same.
    seconds : float
    """

    mutant: Mutant
    killed_by: tuple[str, ...]
    unnoticed_by: tuple[str, ...]
    seconds: float

    @property
    def verdict(self) -> str:
        """killed; survived; or skipped, if none of those that must notice is meaningful on this lab."""
        if self.killed_by:
            return "killed"
        return "survived" if set(self.mutant.killers).intersection(self.unnoticed_by) else "skipped"


def mutant(id: str, source: str, entry: str, killers: str) -> Callable[[Callable[..., Any]], Mutant]:
    """Make a mutant of a wrong function; its docstring says what is changed.

    Parameters
    ----------
    id, source, entry : str
        See `Mutant`.
    killers : str
        Ids, separated by spaces.
    """

    def make(wrong: Callable[..., Any]) -> Mutant:
        change = " ".join((wrong.__doc__ or "").split())
        return Mutant(id, source, change, entry, wrong, tuple(killers.split()))

    return make


def gather(*groups: tuple[Mutant, ...]) -> dict[str, Mutant]:
    """Return mutants by id.

    Raises
    ------
    ValueError
        If two have one id, or one changes no entry, says nothing or names nobody who must notice.
    """
    found: dict[str, Mutant] = {}
    for m in (m for group in groups for m in group):
        if m.id in found or m.entry not in ENTRIES or not m.change or not m.killers:
            raise ValueError(f"mutant {m.id!r} is there twice, or lacks an entry, a docstring or its killers")
        found[m.id] = m
    return found


def entries_used(property: Property, lab: Lab, examples: int, seed: int = 0) -> tuple[Outcome, frozenset[str]]:
    """Verify a property, and see which entries of the lab it calls.

    Returns
    -------
    outcome : Outcome
        Of the lab as it is: without it, a mutant's failure would show nothing.
    entries : frozenset of str
    """
    used: set[str] = set()

    def seen(name: str) -> Callable[..., Any]:
        right = getattr(lab, name)

        def call(*arguments: Any, **options: Any) -> Any:
            used.add(name)
            return right(*arguments, **options)

        return call

    outcome = run(property, lab.but(lab.name, **{name: seen(name) for name in ENTRIES}), examples, seed)
    return outcome, frozenset(used)


def attack(mutant: Mutant, lab: Lab, properties: Mapping[str, Property], examples: int = 40, seed: int = 0) -> Trial:
    """Run properties on a mutant, each until it fails.

    Parameters
    ----------
    mutant : Mutant
    lab : Lab
        The right one.
    properties : mapping of id to Property
        Those that use the wrong entry, and hold on the right lab.
    examples, seed : int
        As for `run`.
    """
    wrong = mutant.make(lab)
    outcomes = {name: run(p, wrong, examples, seed, shrink=False) for name, p in properties.items()}
    tried = {name: o for name, o in outcomes.items() if not o.skipped}
    return Trial(
        mutant,
        tuple(name for name, o in tried.items() if o.failure),
        tuple(name for name, o in tried.items() if not o.failure),
        sum(o.seconds for o in outcomes.values()),
    )
