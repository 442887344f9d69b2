"""What the recursions are run on: constants of pieces and maps, and the blocks and layers that they make up."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["BiAffine", "Layer", "Piece", "Structure", "Term", "hyp", "times"]


def hyp(*numbers: float) -> float:
    """Return the Euclidean norm of numbers, infinity included."""
    return math.hypot(*numbers)


def times(a: float, b: float) -> float:
    """Return a product in which 0 · ∞ is 0."""
    return 0.0 if a == 0.0 or b == 0.0 else a * b


@dataclass(frozen=True)
class Piece:
    """A map a of one variable: an activation on all coordinates, a pooling, a normalisation, a softmax.

    Attributes
    ----------
    size : float
        m = sup ‖a‖ over the whole space.
    lipschitz : float
        l = sup ‖Da‖.
    smoothness : float
        L = sup ‖D²a‖; infinite for a piece that is not C¹.
    value, slope : float
        ‖a(0)‖ and ‖Da(0)‖.
    ball : callable, optional
        μ ↦ (l, L), the exact suprema of ‖Da‖ and ‖D²a‖ on ‖x‖ ≤ μ, where they are known.
    name : str
        What tables call it, and what is blamed for L = ∞.
    """

    size: float = math.inf
    lipschitz: float = 1.0
    smoothness: float = 0.0
    value: float = 0.0
    slope: float = 1.0
    ball: Callable[[float], tuple[float, float]] | None = None
    name: str = "identity"


@dataclass(frozen=True)
class BiAffine:
    """b(v, z) = β(v, z) + βᵛ v + βˣ z + β⁰.

    Attributes
    ----------
    bilinear : float
        L_b = sup ‖β(v, z)‖/(‖v‖ ‖z‖).
    bias : float
        lᵛ = ‖βᵛ‖.
    linear : float
        lˣ = ‖βˣ‖.
    constant : float
        ‖β⁰‖.
    disjoint : bool
        β and βᵛ read disjoint coordinates of v, as a weight and a bias do.
    name : str
    """

    bilinear: float = 0.0
    bias: float = 0.0
    linear: float = 0.0
    constant: float = 0.0
    disjoint: bool = True
    name: str = ""


@dataclass(frozen=True)
class Term:
    """One bi-affine map into a layer.

    Attributes
    ----------
    map : BiAffine
    parents : tuple of int
        The blocks that it reads, concatenated.
    parameter : hashable or None
        What its v is; terms that share a parameter share a source. None where there is none.
    radius : float
        R with ‖v‖ ≤ R, weight and bias jointly; a parameter of radius 0 is a constant and no source.
    """

    map: BiAffine
    parents: tuple[int, ...]
    parameter: Hashable = None
    radius: float = 0.0

    @property
    def varies(self) -> bool:
        """Whether v is a source: named, and of a radius that is not 0."""
        return self.parameter is not None and self.radius > 0


@dataclass(frozen=True)
class Layer:
    """a(Σ_e b_e(v_e, x_P(e))), added to the block `target`.

    Attributes
    ----------
    target : int
    terms : tuple of Term
    pieces : tuple of Piece
        a = a_J ∘ … ∘ a_1, the first to act first; none is the identity.
    name : str
    """

    target: int
    terms: tuple[Term, ...]
    pieces: tuple[Piece, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Structure:
    """x_i = ξ_i + Σ of the layers into i, blocks in dependency order: a machine of finite depth, seen by its norms.

    Attributes
    ----------
    names : tuple of str
        The blocks.
    starts : tuple of float
        ρ_i with ‖ξ_i‖ ≤ ρ_i.
    layers : tuple of Layer
        Each reads blocks before its target only.
    inputs : tuple of bool
        Which ξ_i vary: they are the sources of `which="inputs"`. By default those with ρ_i > 0.
    """

    names: tuple[str, ...]
    starts: tuple[float, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.inputs:
            object.__setattr__(self, "inputs", tuple(rho > 0 for rho in self.starts))

    def but(self, **changes: Any) -> Structure:
        """Return the same structure with something changed."""
        return replace(self, **changes)
