"""The linear machines that belong to a state: tangent and dual."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..activations import Diagonal, SlopeAt
from ..arrays import Array
from ..linear import apply
from ..records import MachineState, State
from .checks import check_state, widen
from .form import Form

__all__ = ["Linearised"]


class Linearised(Form):
    """A machine's slopes, tangent and dual."""

    def slope(self, state: State) -> Array:
        """Return σ′(y) at a state, a new array of the shape of y."""
        slope = self._slope(state)
        return slope.array if type(slope) is SlopeAt else slope.array + 0

    def _slope(self, state: State) -> Diagonal:
        """Return σ′(y) at a state, computed when it is needed if the state is an answer of `solve`."""
        at: Any = state
        # made by a machine of this σ and these blocks: nothing to check
        own = isinstance(state, MachineState) and state.of is self._sigma
        here = own and type(at.y) is self._kind and at.y.dtype == self.dtype
        if not (here and (self._kind is np.ndarray or self._here(at.y))):
            at = check_state(self, state)
        if at.slope is not None:
            return Diagonal.trusted(at.slope)
        if isinstance(self._sigma, Diagonal):
            return Diagonal.trusted(self._sigma.slope(at.y))
        slope = SlopeAt(self._sigma, at.y, at.z if own else None)
        return slope if at.inputs else Diagonal.trusted(slope.array)

    def tangent(self, state: State) -> Self:
        """Return the derivative of f at `state`: the linear machine with activation Diagonal(σ′(y)) and no bias.

        Its resolvent is the derivative of the resolvent (arXiv:2204.12786, Proposition 2).

        Raises
        ------
        ValueError, TypeError
            If the state is not one of this machine.
        """
        return self._unbiased._linear(self._slope(state))

    def dual(self, state: State) -> Self:
        """Return back-propagation as a machine: ``m.dual(s).solve(u0, v0)`` is State(u, v).

        u = Wᵀ v + u0, v = D u + v0, where u0 is a seed on z and v0 one on y; v is then the
        cotangent of y0 and u that of z0. The blocks are swept last first; the channels of the
        arrays stay where they are. The dual of the dual is the tangent
        (arXiv:2204.12786, §3, Algorithm 1 backward; Theorem 3).

        Raises
        ------
        ValueError, TypeError
            If the state is not one of this machine.
        """
        return self._mirrored._linear(self._slope(state))

    def _dual_start(self, v: Array, seed: Array | None) -> Array:
        """Return u = Wᵀ v + u0, for which no array was kept."""
        mirrored, lead = self._mirrored, tuple(v.shape[:-1])
        plan = mirrored._plan(lead, v) if self._home.name == "cupy" else None
        u = apply(mirrored.partition, mirrored.kernel, v) if plan is None else plan.products(mirrored.kernel, v)[0]
        return u if seed is None else u + widen(self, seed, lead)
