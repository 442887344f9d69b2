"""Bilinear: second derivatives of the ops y = W x + b, in which the weight moves as the input does."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..arrays import Array, namespace
from ..records import Cotangent, State, Tangent
from .leaf import Leaf, total, zeros_or

__all__ = ["Bilinear", "Pulled", "split_channels"]

Pulled = tuple[Array | None, Array | None]
"""Wᵀ ȳ and x ⊗ ȳ, each None where its other factor is."""


class Bilinear(Leaf):
    """Base of the ops y = W x + b that are linear in x and in W, whatever their products are.

    A subclass writes the products: how inputs are read as one, Wᵀ ȳ and the cotangent x ⊗ ȳ of W, and Σ ȳ.
    """

    reads_outputs = False
    weight: Array
    bias: Array | None

    def _join(self, inputs: tuple[Array, ...]) -> Array:
        """Check the inputs and return their channel-wise concatenation, as `_pull` reads it."""
        raise NotImplementedError

    def _pull(self, state: State, weight: Array | None, y: Array, x: Array | None) -> Pulled:
        """Return Wᵀ ȳ of the shape of the concatenation, and x ⊗ ȳ of that of the weight."""
        raise NotImplementedError

    def _total(self, y: Array) -> Array:
        """Return Σ ȳ."""
        raise NotImplementedError

    def _join_directions(self, directions: Sequence[Array | None], state: State) -> Array | None:
        """Return directions of the inputs as one; None if all are zero."""
        if all(d is None for d in directions):
            return None
        return self._join(tuple(zeros_or(d, x) for d, x in zip(directions, state.inputs, strict=True)))

    def pullback_inputs(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = Wᵀ ȳ without the cotangents of the parameters: half of the products of `pullback`."""
        (seed,) = self._seeds(state, (y,))
        back, _ = self._pull(state, self.weight, seed, None)
        return Cotangent(split_channels(back, state.inputs), {}, (y,))

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return x̄˙ = Wᵀ ȳ˙ + Ẇᵀ ȳ, split as the inputs were, W̄˙ = x ⊗ ȳ˙ + ẋ ⊗ ȳ and b̄˙ = Σ ȳ˙.

        The pullback of ȳ˙ at (W, x) and the pullback of ȳ at (Ẇ, ẋ), for it is linear in each.
        """
        at = self._motion(state, cotangent, tangent, outputs)
        pulled: list[Pulled] = []
        if at.change is not None:
            pulled.append(self._pull(state, self.weight, at.change, self._join(state.inputs)))
        if at.seed is not None:
            moved = self._join_directions(at.inputs, state)
            pulled.append(self._pull(state, at.parameters.get("weight"), at.seed, moved))
        backs, weights = ([pair[k] for pair in pulled] for k in (0, 1))
        if any(a is not None for a in backs):
            back = split_channels(total(backs, state.inputs[0]), state.inputs)
        else:
            back = tuple(namespace(x).zeros_like(x) for x in state.inputs)
        parameters = {"weight": total(weights, self.weight)}
        if self.bias is not None:
            parameters["bias"] = zeros_or(None if at.change is None else self._total(at.change), self.bias)
        return Cotangent(back, parameters, (at.change,))


def split_channels(array: Array, like: tuple[Array, ...]) -> tuple[Array, ...]:
    """Split the last axis as some arrays would be concatenated along it; parts own their memory."""
    if len(like) == 1:
        return (array,)
    cuts = itertools.accumulate((a.shape[-1] for a in like), initial=0)
    return tuple(array[(..., slice(a, b))] + 0 for a, b in itertools.pairwise(cuts))
