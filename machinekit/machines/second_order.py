"""The derivative of back-propagation: the tangent of the dual is a machine again."""

from __future__ import annotations

from collections.abc import Mapping

from ..activations import Diagonal
from ..arrays import Array, add_to
from ..gpu.pointwise import bent
from ..linear import sum_to, transpose
from ..records import Cotangent, MachineCotangent, MachineState, MachineTangent, State, Tangent
from .checks import check_cotangent, check_signals, check_state, check_tangent
from .first_order import FirstOrder
from .kept import check_method

__all__ = ["SecondOrder"]


class SecondOrder(FirstOrder):
    """The verbs of a machine that second derivatives need."""

    def pullback_inputs(
        self, state: State, z: Array | None = None, *, y: Array | None = None, method: str = "auto"
    ) -> MachineCotangent:
        """Return `pullback` without the cotangents of the parameters: a third of the work less.

        That is all that `pullback_tangent` reads of a cotangent. ``.saved`` is the dual solution (u, v), ``.weight``,
        ``.bias`` and ``.slope`` are None.

        Parameters
        ----------
        state, z, y, method : as for `pullback`

        Raises
        ------
        ValueError, TypeError
            As `pullback`.
        """
        check_method(method)
        at = check_state(self, state)
        lead = tuple(at.y.shape[:-1])
        check_signals(self, {"z": z, "y": y}, lead)
        dual = self.dual(at)
        u, v, info = dual._resolvent(dual._plan(lead, at.y, z, y, method=method), z, y, lead)
        return MachineCotangent(self._dual_record(u, v, z, info), at.widths, len(at.inputs) or 2, (z, y), {}, None)

    def pullback_tangent(
        self,
        state: State,
        cotangent: Cotangent,
        along: Tangent | Mapping[str, Array],
        z: Array | None = None,
        *,
        y: Array | None = None,
        method: str = "auto",
    ) -> MachineCotangent:
        """Return the derivative of `pullback` along a direction: all second derivatives of the machine.

        Parameters
        ----------
        state : State
        cotangent : Cotangent
            What `pullback`, or `pullback_inputs`, returned for this state and the seeds.
        along : Tangent or mapping
            What `pushforward` returned for this state, or the directions that it would be given, by name:
            y0, z0, weight, bias, slope. The tangent saves a sweep.
        z, y : arrays of shape (*batch, *grid, channel), optional
            How the seeds u0 and v0 change along that direction; None is zero.
        method : as for `solve`

        Returns
        -------
        MachineCotangent
            The derivative of every array of `pullback`'s answer, with the same names and shapes.

        Raises
        ------
        ValueError, TypeError
            As `pullback`; a cotangent or tangent of another machine or state; an activation that is not of
            class C¹.

        Notes
        -----
        With D = σ′(y), Ḋ = σ″(y) ẏ (the direction of the slope for a linear machine) and (u, v) the dual solution,

            u̇ = Wᵀ v̇ + (Ẇᵀ v + u̇0)          v̇ = D u̇ + (Ḋ u + v̇0),

        the dual machine once more, with other seeds; then W̄˙ = Σ ż[g − ℓ] v[g] + z[g − ℓ] v̇[g] where live,
        b̄˙ = Σ v̇, d̄˙ = Σ ẏ ⊙ u + y ⊙ u̇ (arXiv:2204.12786, Theorem 3, applied to the dual). Four multiply-adds per live
        weight, position and sample, three where the weight does not move. The derivative of a
        gradient along a direction is the Hessian times that direction; see `Objective.hessp`.

        Examples
        --------
        >>> import numpy as np, machinekit as mk
        >>> m = mk.DenseMachine((1, 1), "square", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
        >>> state = m.solve(np.array([3.0]))  # z = (2 y0²)² = 4 y0⁴
        >>> seed = np.array([0.0, 1.0])
        >>> cotangent = m.pullback(state, seed)
        >>> m.pullback_tangent(state, cotangent, {"y0": np.array([1.0])}).y0  # 48 y0²
        array([432.])
        """
        check_method(method)
        at = check_state(self, state)
        lead = tuple(at.y.shape[:-1])
        self.pointwise.demand(1, "pullback_tangent")
        u, v = check_cotangent(self, at, cotangent)
        check_signals(self, {"z": z, "y": y}, lead)
        known = self.pushforward(at, **along, method=method) if isinstance(along, Mapping) else along
        tangent = check_tangent(self, at, known)
        plan = self._plan(lead, tangent.y, tangent.moved, v, dual=True, method=method)
        mirrored = None if tangent.moved is None else transpose(self.partition, tangent.moved)
        # Ẇᵀ v, and the part of the weight cotangent in which z moves
        start, weight = self._mirrored._images(plan, mirrored, v, tangent.z)
        start = self._sum(lead, start, z)
        bent = self._sum(lead, self._bent(at, tangent, u), y)
        plan = self._plan(lead, at.y, at.z, start, bent, dual=True, method=method)
        u_dot, v_dot, rest, bias, info = self._pulled(plan, at, start, bent)
        kernel = self._cleared(add_to(rest, weight))
        parameters = self._bent_named(at, v, tangent, kernel, bias)
        slope = None
        if isinstance(self._sigma, Diagonal):
            slope = sum_to(tangent.y * u + at.y * u_dot, self._sigma.shape)
        dual = self._dual_record(u_dot, v_dot, start, info)
        return MachineCotangent(dual, at.widths, len(at.inputs) or 2, (z, y), parameters, slope)

    def _bent_named(
        self, state: MachineState, v: Array, tangent: MachineTangent, kernel: Array, bias: Array | None
    ) -> dict[str, Array]:
        """Return the derivatives of the cotangents of the parameters by name, from those of W's and the bias's."""
        return self._named(kernel, bias)

    def _bent_from(self, before: Array, tangent: MachineTangent, kernel: Array, bias: Array | None) -> dict[str, Array]:
        """Return the same where W's cotangent is `before` and its derivative `kernel`."""
        return self._named(kernel, bias)

    def _bent(self, state: MachineState, tangent: MachineTangent, u: Array) -> Array | None:
        """Return Ḋ u: what the change of the slopes makes of u."""
        if isinstance(self._sigma, Diagonal):
            moved = tangent.parameters.get("slope")
            return None if moved is None else moved * u
        value = state.z if state.of is self._sigma else None
        if self._home.name == "cupy" and type(u) is self._kind:
            with self._home.context():
                found = bent(self._home.xp, self._sigma, state.y, value, tangent.y, u)
            if found is not None:
                return found
        return self._sigma.second(state.y, value) * tangent.y * u
