"""The recursion with a matrix per block, which knows what varies with what: for shortcuts and shared parameters.

The bounds of a network are themselves a network, on the same blocks with the same edges: where the one holds x_i, the
other holds D_i and S_i, bounds of all first and second derivatives of x_i. It is solved as any other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from ..graph import Edge, Hypergraph
from .composition import Local
from .extended import product, spectral
from .structure import Layer, Structure

__all__ = ["Derivatives", "LayerGrowth", "derivatives", "sources"]


class Derivatives(NamedTuple):
    """Bounds of ‖∂x_i/∂s‖ and ‖∂²x_i/∂s∂s′‖ for blocks i and sources s.

    Attributes
    ----------
    first : array of shape (blocks, sources)
    second : array of shape (blocks, sources, sources)
    parameters : array of shape (sources,), bool
        Which sources are parameters; the others are starts ξ_i.
    """

    first: np.ndarray
    second: np.ndarray
    parameters: np.ndarray

    def of(self, which: str) -> Derivatives:
        """Return those in some sources: inputs, parameters, or both."""
        kept = {"inputs": ~self.parameters, "parameters": self.parameters}.get(which, np.ones_like(self.parameters))
        return Derivatives(self.first[:, kept], self.second[:, kept][:, :, kept], self.parameters[kept])

    def pairs(self) -> list[tuple[float, float]]:
        """Return l_i = ‖D_i‖ and L_i = ‖S_i‖ of each block."""
        return [(spectral(d[None, :]), spectral(s)) for d, s in zip(self.first, self.second, strict=True)]

    def whole(self, blocks: Sequence[int]) -> tuple[float, float]:
        """Return l = ‖(D_i)_i‖ and L = ‖[S_1, S_2, …]‖ ≤ (Σ_i ‖S_i‖²)^½ of some blocks together."""
        return spectral(self.first[list(blocks)]), spectral(*(self.second[i] for i in blocks))


def sources(structure: Structure) -> tuple[tuple[int, ...], tuple[Hashable, ...]]:
    """Return the blocks whose starts vary, and the parameters that do, each once."""
    terms = [t for layer in structure.layers for t in layer.terms]
    starts = tuple(i for i, varies in enumerate(structure.inputs) if varies)
    return starts, tuple(dict.fromkeys(t.parameter for t in terms if t.varies))


class LayerGrowth:
    """What one layer adds to D and S of its target, from those of the blocks that it reads: an op.

    Parameters
    ----------
    layer : Layer
    local : Local
        Its constants where its inputs and parameters are.
    place : mapping of parameter to int
        The places of the sources.
    width : int
        Their number.

    Notes
    -----
    With D_P = (Σ_j D_j²)^½ over the blocks that a map reads, S_P likewise, entry by entry, and 1_v the unit vector of
    the map's parameter::

        g    = Σ_e lˣ_e D_P + lᵛ_e 1_v
        D_i += l_t g
        S_i += L_t g gᵀ + l_t Σ_e (lˣ_e S_P + L_e (D_P 1_vᵀ + 1_v D_Pᵀ))
    """

    def __init__(self, layer: Layer, local: Local, place: dict[Hashable, int], width: int) -> None:
        self.layer, self.local, self.place, self.width = layer, local, place, width
        self.reads = tuple(dict.fromkeys(j for term in layer.terms for j in term.parents))

    def __call__(self, *blocks: np.ndarray) -> np.ndarray:
        """Return [l_t g, …], of shape (sources, 1 + sources), from arrays [D_j, S_j] of that shape."""
        at = dict(zip(self.reads, blocks, strict=True))
        g, curved = np.zeros(self.width), np.zeros((self.width, self.width))
        for term, (of_z, of_v) in zip(self.layer.terms, self.local.terms, strict=True):
            read = np.zeros((self.width, 1 + self.width))
            for j in term.parents:
                read = np.hypot(read, at[j])
            slope = read[:, 0]
            g += product(of_z, slope)
            curved += product(of_z, read[:, 1:])
            if term.varies:
                v = self.place[term.parameter]
                mixed = product(term.map.bilinear, slope)
                g[v] += of_v
                curved[:, v] += mixed
                curved[v, :] += mixed
        curved = product(self.local.lipschitz, curved)
        curved += product(self.local.smoothness, product(g[:, None], g[None, :]))
        return np.concat([product(self.local.lipschitz, g)[:, None], curved], axis=1)


def derivatives(structure: Structure, local: Sequence[Local]) -> Derivatives:
    """Return the bounds of the derivatives of all blocks in all sources, by solving the network of bounds.

    Parameters
    ----------
    structure : Structure
    local : sequence of Local
        What `localise` found for each layer.

    Notes
    -----
    A start that varies has D_i = 1_{ξ_i} to begin with. Where each map reads one block the network is linear in D, and
    its solution D = (1 − Λ)⁻¹ [1, Λ_p], with Λ_ij = l_t lˣ_ij strictly lower triangular; S = (1 − Λ)⁻¹ of the terms
    of second order. Induction along the order of the blocks: the chain rule and its derivative, the triangle
    inequality, and that the norm of a block operator is at most that of the matrix of the norms of its blocks, which is
    why the parameters may be shared. It costs sources² for each map, and as much memory for each layer.

    Examples
    --------
    >>> from machinekit.smoothness.composition import localise
    >>> from machinekit.smoothness.structure import BiAffine, Layer, Structure, Term
    >>> double = BiAffine(linear=2.0)
    >>> line = Structure(("a", "b"), (1.0, 0.0), (Layer(1, (Term(double, (0,)),)),))
    >>> derivatives(line, localise(line)[1]).first
    array([[1.],
           [2.]])
    """
    starts, params = sources(structure)
    width, count = len(starts) + len(params), len(structure.names)
    place = {p: k for k, p in enumerate(params, start=len(starts))}
    begin = np.zeros((count, width, 1 + width))
    begin[list(starts), list(range(len(starts))), 0] = 1.0
    edges = []
    for k, (layer, constants) in enumerate(zip(structure.layers, local, strict=True)):
        op = LayerGrowth(layer, constants, place, width)
        if op.reads:
            edges.append(Edge(f"t{k}", op, f"{' '.join(f'x{j}' for j in op.reads)} -> x{layer.target}"))
        else:
            begin[layer.target] += op()
    network = Hypergraph({f"x{i}": begin.shape[1:] for i in range(count)}, edges)
    solved = network.solve({f"x{i}": begin[i] for i in range(count)})
    values = np.stack([solved[f"x{i}"] for i in range(count)])
    return Derivatives(values[:, :, 0], values[:, :, 1:], np.arange(width) >= len(starts))
