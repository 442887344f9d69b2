"""The order of edges: which can run when, how deep they are, and the shortcut graph of figure 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from .endofunction import Edge, Endofunction

__all__ = ["edge_levels", "is_schedule", "levels", "shortcut_graph", "space_levels"]


def _edges(f: Endofunction) -> tuple[Edge, ...]:
    if f.edges is None:
        raise ValueError(f"{f!r} has no edges; make it with Endofunction.of_edges")
    return f.edges


def _order(f: Endofunction) -> list[str]:
    """Return the spaces, sources before targets.

    Raises
    ------
    ValueError
        If there is a cycle, named in the message.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(f.sizes, ()))
    for edge in _edges(f):
        for target in edge.targets:
            sorter.add(target, *edge.sources)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise ValueError(f"the edges make a cycle, {cycle}; leave one of them out to have finite depth") from None


def space_levels(f: Endofunction) -> dict[str, int]:
    """Return for each space the length of the longest path to it: 0 where nothing is written to."""
    level = dict.fromkeys(f.sizes, 0)
    for name in _order(f):
        into = [e for e in _edges(f) if name in e.targets]
        level[name] = max((1 + max((level[s] for s in e.sources), default=0) for e in into), default=0)
    return level


def edge_levels(f: Endofunction) -> dict[str, int]:
    """Return for each edge the earliest step, from 1, at which all that it reads is final."""
    level = space_levels(f)
    return {e.name: 1 + max((level[s] for s in e.sources), default=0) for e in _edges(f)}


def levels(f: Endofunction, order: str = "earliest") -> list[tuple[str, ...]]:
    """Return the edges grouped into steps.

    Parameters
    ----------
    order : {"earliest", "latest"}
        As soon as all that an edge reads is final, or when first one of its targets must be.

    Raises
    ------
    TypeError
        For another order.
    ValueError
        If there is a cycle.
    """
    if order not in ("earliest", "latest"):
        raise TypeError(f"order={order!r} is unknown; 'earliest' or 'latest'")
    of_space, of_edge = space_levels(f), edge_levels(f)
    if order == "latest":
        of_edge = {e.name: min(of_space[t] for t in e.targets) for e in _edges(f)}
    steps = sorted(set(of_edge.values()))
    return [tuple(name for name, step in of_edge.items() if step == k) for k in steps]


def is_schedule(f: Endofunction, groups: Sequence[Iterable[str]]) -> bool:
    """Tell whether groups of edges, in this order, each once, read only what is final."""
    by_name = {e.name: e for e in _edges(f)}
    given = [list(g) for g in groups]
    if sorted(n for g in given for n in g) != sorted(by_name):
        return False
    for k, group in enumerate(given):
        pending = {t for later in given[k:] for n in later for t in by_name[n].targets}
        if any(s in pending for n in group for s in by_name[n].sources):
            return False
    return True


def shortcut_graph(
    nodes: int, edge: Callable[[int, int], Callable[[Any], Any]] | None = None, rng: np.random.Generator | int = 0
) -> Endofunction:
    """Return the graph of figure 1: `nodes` spaces of one dimension, an edge from each to every later one.

    Parameters
    ----------
    nodes : int
    edge : callable (source, target) -> function, optional
        By default multiplication by a random positive number.

    Raises
    ------
    ValueError
        If `nodes` is less than 1.
    """
    if nodes < 1:
        raise ValueError(f"nodes is {nodes}; a graph has at least 1")
    rng = np.random.default_rng(rng)

    def scale(_: int, __: int) -> Callable[[Any], Any]:
        factor = float(rng.random() + 0.5)
        return lambda x: factor * x

    make = edge or scale
    pairs = [(i, j) for i in range(nodes) for j in range(i + 1, nodes)]
    return Endofunction.of_edges({f"x{k}": 1 for k in range(nodes)}, {f"x{i} -> x{j}": make(i, j) for i, j in pairs})
