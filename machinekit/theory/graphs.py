"""The order of edges: which can run when, how deep they are, and the shortcut graph of figure 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..graph import order as _order
from ..machines.build import read_generator
from .checks import check_call, listed, whole
from .edge import Edge
from .endofunction import Endofunction, check_endofunction

__all__ = ["edge_levels", "is_schedule", "levels", "read_groups", "shortcut_graph", "space_levels"]


def _edges(f: Endofunction) -> tuple[Edge, ...]:
    check_endofunction("f", f)
    if f.edges is None:
        raise ValueError(f"{f!r} is no sum of edges; make it with Endofunction.of_edges")
    return f.edges


def space_levels(f: Endofunction) -> dict[str, int]:
    """Return for each space the length of the longest path to it: 0 where nothing is written to."""
    edges = _edges(f)
    return _order.space_levels(f.sizes, edges)


def edge_levels(f: Endofunction) -> dict[str, int]:
    """Return for each edge the earliest step, from 1, at which all that it reads is final."""
    edges = _edges(f)
    return _order.edge_levels(f.sizes, edges)


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
    CycleError
        If there is a cycle.
    """
    if order not in ("earliest", "latest"):
        raise TypeError(f"order={order!r} is unknown; 'earliest' or 'latest'")
    if order == "earliest":
        return _order.groups_by_level(edge_levels(f))
    of_space = space_levels(f)
    return _order.groups_by_level({e.name: min(of_space[t] for t in e.targets) for e in _edges(f)})


def is_schedule(f: Endofunction, groups: Iterable[Iterable[str]]) -> bool:
    """Tell whether groups of edges, in this order, each once, read only what is final.

    Raises
    ------
    TypeError
        If a group is a string, or a name is none.
    ValueError
        If f is no sum of edges.
    """
    edges = _edges(f)
    return _order.valid_schedule(edges, read_groups("groups", groups))


def read_groups(name: str, groups: Iterable[Iterable[str]]) -> list[tuple[str, ...]]:
    """Return groups of edge names as tuples; TypeError where a group is a string, or a name is none."""
    given = listed(name, groups, "groups of edge names")
    for k, group in enumerate(given):
        if isinstance(group, str):
            raise TypeError(f"{name}[{k}] is {group!r}, a string; give groups of edge names, as in [({group!r},)]")
        given[k] = tuple(listed(f"{name}[{k}]", group, "edge names"))
        for one in given[k]:
            if not isinstance(one, str):
                raise TypeError(f"{name}[{k}] holds {one!r}, a {type(one).__name__}; give names of edges, as strings")
    return given


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
    TypeError
        If it is no whole number, or `edge` cannot be called.
    """
    nodes = whole("nodes", nodes, 1)
    if edge is not None:
        check_call("edge", edge)
    rng = read_generator(rng)

    def scale(_: int, __: int) -> Callable[[Any], Any]:
        factor = float(rng.random() + 0.5)
        return lambda x: factor * x

    make = edge or scale
    pairs = [(i, j) for i in range(nodes) for j in range(i + 1, nodes)]
    return Endofunction.of_edges({f"x{k}": 1 for k in range(nodes)}, {f"x{i} -> x{j}": make(i, j) for i, j in pairs})
