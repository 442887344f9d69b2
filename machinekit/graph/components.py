"""Cycles of a hypergraph: its strongly connected components, and the order that is left between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from . import order
from .order import Arrow, CycleError

__all__ = ["Component", "Schedule", "schedule", "space_steps", "valid_groups"]


@dataclass(frozen=True)
class Component:
    """Edges that feed back on each other, to be settled together.

    Attributes
    ----------
    names : tuple of str
        The edges, in the order of declaration.
    edges : tuple of int
        Their places in that order.
    spaces : tuple of str
        The spaces that feed back on themselves through them.
    cut : tuple of str
        Spaces of these without which there is no cycle: the unknowns. All others follow in one pass.
    groups : tuple of tuple of int
        The edges by the steps of one pass.
    """

    names: tuple[str, ...]
    edges: tuple[int, ...]
    spaces: tuple[str, ...]
    cut: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]


class Schedule(NamedTuple):
    """In which order the edges run.

    Attributes
    ----------
    levels : list of tuple of str
        Names of edges by step.
    groups : tuple
        The same by place, for each step the edges without a cycle, then every component by itself.
    components : tuple of Component
    """

    levels: list[tuple[str, ...]]
    groups: tuple[tuple[int, ...] | Component, ...]
    components: tuple[Component, ...]


class _Arrow(NamedTuple):
    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]


def schedule(sizes: Mapping[str, int], edges: Sequence[Arrow], cycles: bool) -> Schedule:
    """Return the order of edges.

    Parameters
    ----------
    sizes : mapping of str to int
        The numbers that one sample has in each space: where there is a choice, small spaces are cut.
    edges : sequence of edges
    cycles : bool
        Whether there may be any.

    Raises
    ------
    CycleError
        If there is one that may not be.
    """
    places = {e.name: k for k, e in enumerate(edges)}
    components = _components(sizes, edges) if cycles else ()
    if components:
        nodes, arrows = _condense(sizes, edges, components)
        found = order.edge_levels(nodes, arrows)
        member = _members(components)
        levels = {e.name: found[member.get(e.name, e.name)] for e in edges}
    else:
        try:
            levels = order.edge_levels(sizes, edges)
        except CycleError as error:
            remedy = "; or pass cycles=mk.Equilibrium(), to have cycles solved as equilibria"
            raise CycleError(str(error) + remedy, error.cycle) from None
    groups: list[tuple[int, ...] | Component] = []
    by_level = order.groups_by_level(levels)
    for names in by_level:
        plain = tuple(places[n] for n in names if not any(n in c.names for c in components))
        groups += [plain] if plain else []
        groups += [c for c in components if c.names[0] in names]
    return Schedule(by_level, tuple(groups), components)


def space_steps(
    spaces: Iterable[str], edges: Sequence[Arrow], components: Sequence[Component]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return for each space the step after which it is final, and for each edge the step at which it runs."""
    spaces, member = list(spaces), _members(components)
    nodes, arrows = _condense(spaces, edges, components)
    of_node, of_arrow = order.space_levels(nodes, arrows), order.edge_levels(nodes, arrows)
    home = {s: f"after {k}" for k, c in enumerate(components) for s in c.spaces}
    at = {e.name: of_arrow[member.get(e.name, e.name)] for e in edges}
    return {s: of_node[home.get(s, s)] for s in spaces}, at


def valid_groups(edges: Sequence[Arrow], components: Sequence[Component], groups: Iterable[Iterable[str]]) -> bool:
    """Tell whether groups of edges, in this order, each edge once, read only what is final.

    The edges of a component belong into one group.
    """
    given = [list(group) for group in groups]
    if not components:
        return order.valid_schedule(edges, given)
    if sorted(n for group in given for n in group) != sorted(e.name for e in edges):
        return False
    member = _members(components)
    merged = [list(dict.fromkeys(member.get(n, n) for n in group)) for group in given]
    return order.valid_schedule(_condense((), edges, components)[1], merged)


def _members(components: Sequence[Component]) -> dict[str, str]:
    """Return for each edge of a component the name of the arrow that stands for it."""
    return {name: f"cycle {k}" for k, c in enumerate(components) for name in c.names}


def _condense(
    spaces: Iterable[str], edges: Sequence[Arrow], components: Sequence[Component]
) -> tuple[list[str], list[Arrow]]:
    """Return the network in which each component is one edge, from what arrives at its spaces to what they become.

    Names with a blank in them are no user's.
    """
    home = {s: k for k, c in enumerate(components) for s in c.spaces}
    inside = {n: k for k, c in enumerate(components) for n in c.names}

    def reads(e: Arrow, own: int | None) -> tuple[str, ...]:
        return tuple(f"after {home[s]}" if s in home else s for s in e.sources if home.get(s, -1) != own)

    def writes(e: Arrow, own: int | None) -> tuple[str, ...]:
        return tuple(f"before {home[t]}" if t in home else t for t in e.targets if home.get(t, -1) != own)

    arrows: list[Arrow] = [_Arrow(e.name, reads(e, None), writes(e, None)) for e in edges if e.name not in inside]
    for k in range(len(components)):
        mine = [e for e in edges if inside.get(e.name) == k]
        sources = (f"before {k}", *(s for e in mine for s in reads(e, k)))
        arrows.append(_Arrow(f"cycle {k}", sources, (f"after {k}", *(t for e in mine for t in writes(e, k)))))
    ends = [f"{side} {k}" for k in range(len(components)) for side in ("before", "after")]
    return [*(s for s in spaces if s not in home), *ends], arrows


def _components(sizes: Mapping[str, int], edges: Sequence[Arrow]) -> tuple[Component, ...]:
    found = []
    for knot in _strong(list(sizes), edges):
        inside = frozenset(knot)
        places = tuple(k for k, e in enumerate(edges) if inside & set(e.sources) and inside & set(e.targets))
        mine = [edges[k] for k in places]
        cut = _cut(knot, mine, sizes)
        # what is fed back goes to a space of its own, so that one pass has an order
        opened = [_Arrow(str(k), e.sources, _renamed(e.targets, cut)) for k, e in zip(places, mine, strict=True)]
        nodes = {s for a in opened for s in (*a.sources, *a.targets)}
        steps = order.groups_by_level(order.edge_levels(nodes, opened))
        groups = tuple(tuple(int(n) for n in step) for step in steps)
        found.append(Component(tuple(e.name for e in mine), places, knot, cut, groups))
    return tuple(found)


def _renamed(targets: Sequence[str], cut: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"fed {t}" if t in cut else t for t in targets)


def _cut(knot: Sequence[str], edges: Sequence[Arrow], sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Return spaces without which the edges make no cycle: few, and small ones, none of them for nothing.

    The fewest would be NP-hard to find. Until no cycle is left, the space with the most ways through it is taken
    away; then what is not needed is put back.
    """
    cut: list[str] = []

    def key(name: str, inner: tuple[str, ...]) -> tuple[int, int]:
        reads = sum(name in e.sources and not set(inner).isdisjoint(e.targets) for e in edges)
        writes = sum(name in e.targets and not set(inner).isdisjoint(e.sources) for e in edges)
        return -reads * writes, sizes[name]

    while rest := _strong([s for s in knot if s not in cut], edges):
        cut += [min(inner, key=partial(key, inner=inner)) for inner in rest]
    for name in tuple(cut):
        if not _strong([s for s in knot if s not in cut or s == name], edges):
            cut.remove(name)
    return tuple(s for s in knot if s in cut)


def _strong(spaces: Sequence[str], edges: Sequence[Arrow]) -> list[tuple[str, ...]]:
    """Return the sets of these spaces that feed back on themselves through these spaces, in the order given."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    place = {name: k for k, name in enumerate(spaces)}
    pairs = {(place[s], place[t]) for e in edges for s in e.sources if s in place for t in e.targets if t in place}
    if not pairs:
        return []
    rows, columns = np.array(sorted(pairs)).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(spaces),) * 2)
    _, label = connected_components(graph, connection="strong")
    loops = {int(label[a]) for a, b in pairs if label[a] == label[b]}
    first = sorted(loops, key=list(label).index)
    return [tuple(s for s, here in zip(spaces, label, strict=True) if here == k) for k in first]
