"""Around a point: blocks with the norms of their weights there, and the slopes that they meet."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..activations import Diagonal
from ..arrays import to_host
from .builder import Builder
from .maps import IDENTITY
from .slope_ranges import curvature_range, slope_range
from .structure import BiAffine, Piece, Term, hyp, times

__all__ = ["LEAST", "Around", "Constants", "Weights", "as_real", "norm_of"]

LEAST = 1e-300
"""Stands for a radius of 0: derivatives in a parameter that stays where it is, which 0 would make a constant."""

Constants = Mapping[str, Piece] | None


class Weights(NamedTuple):
    """One affine map into a block, at the point.

    Attributes
    ----------
    parents : tuple of int
    norm : float
        ‖W*‖, the operator norm of the weight or a bound of it.
    bilinear, bias : float
        L_b and lᵛ of the change of (weight, bias).
    parameter : hashable
        None for a map that is fixed.
    radius : float
        Of that change; `LEAST` for none.
    """

    parents: tuple[int, ...]
    norm: float
    bilinear: float = 0.0
    bias: float = 0.0
    parameter: Hashable = None
    radius: float = 0.0


class Around:
    """A structure around a point, block by block in the order of computation.

    Notes
    -----
    Of block i, with x* the point and all norms of whole batches,

        dy_i = s_i + Σ_e [ ‖W*_e‖ δ_P + r_e ((L_e (‖x*_P‖ + δ_P))² + lᵛ_e²)^½ ] ,    δ_i = t_i + λ_i dy_i ,

    bounds how far y_i and x_i move, where s_i and t_i bound the changes of the starts inside and behind the
    nonlinearity; λ_i and L_i are the suprema of |σ′| and |σ″| on [y* − dy_i, y* + dy_i], unit by unit. The recursions
    then read ‖W*‖ + L r for L R, ‖x*‖ + δ for m, and these slopes.
    """

    def __init__(self, constants: Constants) -> None:
        self.builder, self.constants = Builder(), constants
        self.moved: dict[int, float] = {}
        self.sizes: dict[int, float] = {}

    def start(self, name: str, size: float, moves: float) -> int:
        """Add a block that is a start; `size` is its norm at the point."""
        block = self.builder.block(name, moves)
        self.moved[block], self.sizes[block] = moves, size
        if size:
            self.builder.layer(block, (), (Piece(size, 0.0, 0.0, size, 0.0, name="the point"),))
        return block

    def block(
        self,
        name: str,
        maps: Sequence[Weights],
        activation: Any,
        y: np.ndarray,
        size: float,
        inside: float | None = None,
        behind: float | None = None,
    ) -> int:
        """Add a block σ(Σ …), of norm `size` at the point, where its argument is y."""
        change = inside or 0.0
        terms = []
        for map in maps:
            moved = hyp(*(self.moved[j] for j in map.parents))
            reach = hyp(*(self.sizes[j] + self.moved[j] for j in map.parents))
            change += times(map.norm, moved)
            change += times(map.radius, hyp(times(map.bilinear, reach), map.bias))
            of = BiAffine(map.bilinear, map.bias, map.norm)
            terms.append(Term(of, map.parents, map.parameter, map.radius))
        if inside is not None:
            terms.append(Term(IDENTITY, (self.builder.block(f"{name} y0", inside, shown=False),)))
        slope, bend = _met(activation, y, change, self.constants)
        block = self.builder.block(name, behind)
        self.sizes[block], self.moved[block] = size, times(slope, change) + (behind or 0.0)
        piece = Piece(size + times(slope, change), slope, bend, math.inf, slope, name=activation.name)
        self.builder.layer(block, terms, (piece,))
        return block


def _met(activation: Any, y: np.ndarray, change: float, constants: Constants) -> tuple[float, float]:
    """Return sup|σ′| and sup|σ″| on the intervals about y."""
    if isinstance(activation, Diagonal):
        return float(np.max(np.abs(as_real(activation.array)), initial=0.0)), 0.0
    if not y.size:
        return 0.0, 0.0
    at = np.asarray(y, dtype=float)
    low, high = at - change, at + change
    slopes = slope_range(activation, low, high, constants=constants)
    bends = curvature_range(activation, low, high, constants=constants)
    return float(np.max(np.abs(slopes))), float(np.max(bends))


def as_real(array: Any) -> np.ndarray:
    """Return a real array on the host, in double precision."""
    host = to_host(array)
    if host.dtype.kind == "c":
        raise TypeError(f"at is for real models, and this one has {host.dtype}; build it anew from real arrays")
    return np.asarray(host, dtype=np.float64)


def norm_of(array: np.ndarray) -> float:
    """Return the Euclidean norm of all entries."""
    return float(np.linalg.norm(array.ravel()))
