"""NetworkVerbs: the verbs of a hypergraph, which are sweeps over its edges."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from ..arrays import Array
from ..records import Cotangent, GraphCotangent, GraphState, GraphTangent, State, Tangent
from ..solvers import Equilibrium
from . import sweeps
from .components import Component
from .container import Container
from .edge import Edge
from .reading import Shape

__all__ = ["NetworkVerbs"]


class NetworkVerbs(Container):
    """What runs on named spaces, level by level; `Hypergraph` is what there is to run."""

    spaces: dict[str, Shape]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    groups: tuple[tuple[int, ...] | Component, ...]
    cycles: Equilibrium | None
    _components: tuple[Component, ...]
    executor: Executor | None
    like: Array | None

    def solve(self, *inputs: Any, warm: State | None = None) -> GraphState:
        """Run every edge once, level by level; cycles are solved as equilibria.

        Parameters
        ----------
        *inputs : arrays of shape (*batch, *space), or one mapping of space to array
            In the order of the signature, or by name, of any space. None and what is missing is zero.
        warm : GraphState, optional
            A state of other inputs of the same batch, from whose values the iterations of cycles start.

        Raises
        ------
        ValueError, TypeError
            No input at all; an unknown space; a shape that is not the space's; arrays of two libraries or
            precisions; an edge whose op returns other outputs than its targets take; what is not finite reaches a
            cycle.
        ConvergenceError
            A cycle has not converged, unless ``cycles.on_failure`` says else; so do the verbs below.
        """
        return sweeps.solve_network(self, inputs, warm)

    def pushforward(self, state: State, *inputs: Any, **parameters: Array) -> GraphTangent:
        """Return the directional derivative, level by level.

        Parameters
        ----------
        *inputs : arrays or None, or one mapping of space to array
            One per input of the state, or by name, of any space.
        **parameters : arrays
            Directions by listed name, as in ``**{"f1.weight": d}``.
        """
        return sweeps.push(self, state, inputs, parameters)

    def pullback(self, state: State, *outputs: Any) -> GraphCotangent:
        """Return the cotangents of all spaces and parameters, last level first.

        Parameters
        ----------
        *outputs : arrays or None, or one mapping of space to array
            A seed per output of the signature, or by name, on any space; None and what is missing is zero.
        """
        return sweeps.pull(self, state, outputs, self.sharing.memory())

    def pullback_into(self, into: Mapping[str, Array], state: State, *outputs: Any) -> GraphCotangent:
        """Return the pullback, cotangents of parameters in the memory given, as far as the ops can."""
        return sweeps.pull(self, state, outputs, into)

    def pullback_inputs(self, state: State, *outputs: Any) -> GraphCotangent:
        """Return `pullback` without the cotangents of the parameters, as far as the ops can leave them out.

        Parameters
        ----------
        *outputs : as for `pullback`
        """
        return sweeps.pull_inputs(self, state, outputs)

    def pullback_tangent(self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Any) -> GraphCotangent:
        """Return the derivative of the pullback along a tangent, last level first.

        Parameters
        ----------
        cotangent : Cotangent
            What `pullback`, or `pullback_inputs`, returned for this state and the seeds.
        tangent : Tangent
            What `pushforward` returned for this state.
        *outputs : arrays or None, or one mapping of space to array
            How the seeds change along that direction, for each output or by name, on any space; None and what is
            missing is zero.

        Returns
        -------
        GraphCotangent
            The derivative of every array of `pullback`'s answer, with the same names and shapes.

        Raises
        ------
        TypeError
            A cotangent or a tangent of something else; an op without `pullback_tangent`, or not of class C¹.
        ValueError
            A change of another shape, or for no space.

        Notes
        -----
        λ̇_s = x̄˙_s + Σ_e (J_eᵀ λ)˙ over the edges e that read s, x̄˙_s being the change of the seed: the sweep of the
        dual, each edge adding the derivative of its pullback. Places of a shared parameter add.

        Examples
        --------
        >>> import numpy as np, machinekit as mk
        >>> square = mk.Pointwise("square")
        >>> net = mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge("f", square, "a -> b"), mk.Edge("g", square, "a -> b")])
        >>> state = net.solve(np.array([[3.0]]))  # b = 2 a²
        >>> cotangent = net.pullback(state, np.array([[1.0]]))
        >>> tangent = net.pushforward(state, np.array([[1.0]]))
        >>> net.pullback_tangent(state, cotangent, tangent).inputs["a"]
        array([[4.]])
        """
        return sweeps.pull_tangent(self, state, cotangent, tangent, outputs)
