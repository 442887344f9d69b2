"""One call of the host: flat arrays in, flat arrays out, looped over the axes that cannot join the batch.

=====================  ===========================  ==========================================
verb                   arrays, after (θ, x)         returns
=====================  ===========================  ==========================================
solve                                               y
pushforward            (θ̇, ẋ)                       ẏ = J (θ̇, ẋ)
pullback               ȳ                            (θ̄, x̄) = Jᵀ ȳ
pullback_tangent       ȳ, (θ̇, ẋ)                    ∂/∂s Jᵀ(θ + s θ̇, x + s ẋ) ȳ
pushforward_tangent    (θ̇, ẋ), (θ̇′, ẋ′)             ∂/∂s J(θ + s θ̇′, x + s ẋ′) (θ̇, ẋ)
=====================  ===========================  ==========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .host import Host, Mask

__all__ = ["DIRECTIONS", "SEEDS", "VERBS", "Call", "expand"]

SEEDS, DIRECTIONS = "seeds", "directions"
VERBS: dict[str, tuple[str, ...]] = {
    "solve": (),
    "pushforward": (DIRECTIONS,),
    "pullback": (SEEDS,),
    "pullback_tangent": (SEEDS, DIRECTIONS),
    "pushforward_tangent": (DIRECTIONS, DIRECTIONS),
}
"""The groups of arrays that each verb takes after the parameters and inputs; it is linear in each group."""


@dataclass(frozen=True)
class Call:
    """What is fixed when JAX traces a call: it is the one parameter of the primitives, compared by value.

    Attributes
    ----------
    host : Host
    count : int
        Parameters and inputs together.
    masks : tuple of tuple of bool
        For each group, which of its arrays are there; the others are zero.
    into : tuple of bool
        Which cotangents are wanted, of parameters and inputs; empty where the verb returns outputs.
    loops : tuple of int
        Leading axes of all arrays, over which the host loops; an array has the extent 1 where it does not vary.
    """

    host: Host
    count: int
    masks: tuple[Mask, ...] = ()
    into: Mask = ()
    loops: tuple[int, ...] = ()

    def split(self, arrays: Sequence[Any]) -> tuple[list[Any], list[list[Any]]]:
        """Return (θ, x) and the groups, None for what is not there."""
        rest = iter(arrays[self.count :])
        groups = [expand(mask, rest) for mask in self.masks]
        return list(arrays[: self.count]), groups

    def with_groups(self, groups: Sequence[Sequence[Any]], into: Mask = ()) -> tuple[Call, list[Any]]:
        """Return the same call of other groups, and their arrays that are there."""
        masks = tuple(tuple(a is not None for a in group) for group in groups)
        return replace(self, masks=masks, into=into), [a for group in groups for a in group if a is not None]

    def looped(self, loops: tuple[int, ...]) -> Call:
        """Return the same call with other loops."""
        return replace(self, loops=loops)

    def weighs(self, verb: str) -> list[bool]:
        """Return, array by array, whether it is a parameter or the direction of one."""
        flags = [k < len(self.host.names) for k in range(self.count)]
        every = list(flags)
        for kind, mask in zip(VERBS[verb], self.masks, strict=True):
            every += [kind == DIRECTIONS and flags[k] for k, given in enumerate(mask) if given]
        return every

    def inputs(self, shapes: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the inputs inside the loops, from those of all arrays."""
        return tuple(tuple(s[len(self.loops) :]) for s in shapes[len(self.host.names) : self.count])

    def results(self, shapes: Sequence[Sequence[int]], dtype: Any) -> list[tuple[int, ...]]:
        """Return the shapes of the results, from those of all arrays."""
        if self.into:
            inner = [tuple(s[len(self.loops) :]) for s, w in zip(shapes, self.into, strict=False) if w]
        else:
            inner = list(self.host.output_shapes(self.inputs(shapes), dtype))
        return [(*self.loops, *shape) for shape in inner]

    def run(self, verb: str, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the results of a verb, one after the other inside the loops."""
        if not self.loops:
            return self._once(verb, arrays)
        made: list[np.ndarray] = []
        for index in np.ndindex(*self.loops):
            part = [a[tuple(0 if n == 1 else i for i, n in zip(index, a.shape, strict=False))] for a in arrays]
            results = self._once(verb, part)
            made = made or [np.empty((*self.loops, *result.shape), result.dtype) for result in results]
            for room, result in zip(made, results, strict=True):
                room[index] = result
        dtype = arrays[0].dtype
        return made or [np.empty(shape, dtype) for shape in self.results([a.shape for a in arrays], dtype)]

    def _once(self, verb: str, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        primal, groups = self.split(arrays)
        return getattr(self.host, verb)(primal, *groups, *((self.into,) if self.into else ()))


def expand(mask: Mask, arrays: Any) -> list[Any]:
    """Return one entry for each of a mask: the next of the arrays where it holds, else None."""
    rest = iter(arrays)
    return [next(rest) if given else None for given in mask]
