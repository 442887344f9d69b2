"""The order of edges between named spaces: signatures, levels, schedules, cycles."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError as _Found
from graphlib import TopologicalSorter
from typing import Protocol

__all__ = ["Arrow", "CycleError", "edge_levels", "groups_by_level", "read_signature", "space_levels", "valid_schedule"]


class Arrow(Protocol):
    """What an edge is here: a name, the spaces that it reads, the spaces that it writes to."""

    @property
    def name(self) -> str: ...

    @property
    def sources(self) -> tuple[str, ...]: ...

    @property
    def targets(self) -> tuple[str, ...]: ...


class CycleError(ValueError):
    """A sum of edges is not of finite depth: a space feeds back on itself.

    Attributes
    ----------
    cycle : tuple of str
        Names of the edges along the cycle, each feeding the next and the last the first.
    """

    def __init__(self, message: str, cycle: tuple[str, ...]) -> None:
        super().__init__(message)
        self.cycle = cycle

    def __reduce__(self) -> tuple[type[CycleError], tuple[str, tuple[str, ...]]]:
        return type(self), (str(self), self.cycle)


def read_signature(signature: str, what: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names before and after the arrow of ``"x1 x2 -> x3"``.

    Raises
    ------
    ValueError
        Unless there is one arrow.
    TypeError
        If it is not a string.
    """
    if not isinstance(signature, str):
        raise TypeError(f"{what} has the signature {signature!r}; pass a string such as 'x1 x2 -> x3'")
    left, arrow, right = signature.partition("->")
    if not arrow or "->" in right:
        raise ValueError(f"{what} has the signature {signature!r}; write 'x1 x2 -> x3', with one arrow")
    return tuple(left.split()), tuple(right.split())


def _order(spaces: Iterable[str], edges: Sequence[Arrow]) -> list[str]:
    """Return the spaces, sources before targets."""
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(spaces, ()))
    for edge in edges:
        for target in edge.targets:
            sorter.add(target, *edge.sources)
    try:
        return list(sorter.static_order())
    except _Found as error:
        around = error.args[1]
        cycle = tuple(
            next(e.name for e in edges if a in e.sources and b in e.targets) for a, b in itertools.pairwise(around)
        )
        raise CycleError(
            f"the edges make a cycle, {' -> '.join(around)}; leave one of the edges {', '.join(map(repr, cycle))} "
            "out to have finite depth, or let it write to a space of its own",
            cycle,
        ) from None


def space_levels(spaces: Iterable[str], edges: Sequence[Arrow]) -> dict[str, int]:
    """Return for each space the length of the longest path to it: 0 where nothing is written to.

    Raises
    ------
    CycleError
        If there is a cycle.
    """
    level = dict.fromkeys(spaces, 0)
    writers: dict[str, list[Arrow]] = {}
    for edge in edges:
        for target in edge.targets:
            writers.setdefault(target, []).append(edge)
    for name in _order(level, edges):
        level[name] = max((1 + max((level[s] for s in e.sources), default=0) for e in writers.get(name, ())), default=0)
    return level


def edge_levels(spaces: Iterable[str], edges: Sequence[Arrow]) -> dict[str, int]:
    """Return for each edge the earliest step, from 1, at which all that it reads is final."""
    level = space_levels(spaces, edges)
    return {e.name: 1 + max((level[s] for s in e.sources), default=0) for e in edges}


def groups_by_level(level: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Return the names of each level, lowest first, in the order of the mapping."""
    return [tuple(name for name, step in level.items() if step == k) for k in sorted(set(level.values()))]


def valid_schedule(edges: Sequence[Arrow], groups: Iterable[Iterable[str]]) -> bool:
    """Tell whether groups of edges, in this order, each edge once, read only what is final."""
    by_name = {e.name: e for e in edges}
    given = [list(g) for g in groups]
    if sorted(n for g in given for n in g) != sorted(by_name):
        return False
    for k, group in enumerate(given):
        pending = {t for later in given[k:] for n in later for t in by_name[n].targets}
        if any(s in pending for n in group for s in by_name[n].sources):
            return False
    return True
