"""A hypergraph of ops as an endofunction of the sum of its spaces."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import Array, namespace, plus
from ..graph import Edge as GraphEdge
from ..graph import Hypergraph
from ..graph.op import pushforward, solve
from .edge import Edge
from .endofunction import Endofunction

__all__ = ["of_network"]


def of_network(net: Hypergraph) -> Endofunction:
    """Return f(x) = Σ_e f_e(x) of one sample, with the network's spaces, flattened, and edges.

    Parameters
    ----------
    net : Hypergraph

    Returns
    -------
    Endofunction
        With an edge for each of the network, under its name, and the exact derivative.
    """
    sizes = {name: math.prod(shape) for name, shape in net.spaces.items()}

    def edge(e: GraphEdge) -> Edge:
        def function(*parts: Array) -> tuple[Array, ...]:
            return _images(net, e, solve(e.op, *_shaped(net, e, parts)).outputs)

        return Edge(e.name, e.sources, tuple(dict.fromkeys(e.targets)), function)

    def derivative(x: Array, v: Array) -> Array:
        parts, along = f.split(x), f.split(v)
        moved = {name: 0 * part for name, part in along.items()}
        for e in net.edges:
            state = solve(e.op, *_shaped(net, e, [parts[s] for s in e.sources]))
            tangent = pushforward(e.op, state, _shaped(net, e, [along[s] for s in e.sources]), {})
            for target, image in zip(dict.fromkeys(e.targets), _images(net, e, tangent.outputs), strict=True):
                moved[target] = moved[target] + image
        return f.join(moved)

    f = Endofunction.sum_of(sizes, [edge(e) for e in net.edges], "network", net.like, derivative)
    return f


def _shaped(net: Hypergraph, edge: GraphEdge, parts: Any) -> list[Array]:
    return [namespace(p).reshape(p, net.spaces[s]) for s, p in zip(edge.sources, parts, strict=True)]


def _images(net: Hypergraph, edge: GraphEdge, outputs: Any) -> tuple[Array, ...]:
    """Return what an edge adds to each of its targets, flat; a target that is named twice gets the sum."""
    found: dict[str, Array] = {}
    for target, y in zip(edge.targets, outputs, strict=True):
        found[target] = plus(found[target], y) if target in found else y
    return tuple(namespace(y).reshape(y, (-1,)) for y in found.values())
