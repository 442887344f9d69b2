"""Running a machine, its derivative along a direction, and its cotangents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..activations import Diagonal
from ..arrays import Array
from ..engine import AnyPlan, NotFinite, sweep
from ..linear import apply, sum_to, weight_cotangent
from ..records import DualState, MachineCotangent, MachineState, MachineTangent, State, machine_state
from ..records.op import NOTHING
from .checks import check_direction, check_signals, check_state, dual_key, widen
from .endofunction import Endofunction
from .kept import check_method

__all__ = ["FirstOrder"]


class FirstOrder(Endofunction):
    """The verbs of a machine up to first derivatives."""

    def solve(
        self, y0: Array | None, z0: Array | None = None, *, method: str = "auto", warm: State | None = None
    ) -> MachineState:
        """Run the machine: the resolvent R_f at x0 = (y0, z0).

        Parameters
        ----------
        y0, z0 : arrays of shape (*batch, *grid, channel), real or complex floating
            The inputs before and after the nonlinearity. Either may stop at any block boundary or be
            None; missing channels are zero. Batch and grid shapes are equal.
        method : {"auto", "reference", "plan", "kernel"}
            The reference sweep, a plan of array calls, or one kernel on a GPU; "auto" chooses the fastest.
        warm : State, optional
            A start for iterative machines; a machine of finite depth needs none and ignores it.

        Returns
        -------
        MachineState
            y and z over all channels, in the inputs' library and on their device, complex iff
            anything is, sharing no memory with anything.

        Raises
        ------
        ValueError
            Shapes that disagree, or a channel count inside a block; a method that cannot serve this machine.
        TypeError
            Mixed libraries, devices or precisions; lists, integers, objects; an unknown method.

        Notes
        -----
        y = W z + b + y0, z = σ(y) + z0, solved block by block: one multiply-add per live weight,
        position and sample (arXiv:2204.12786, §3, eqs. (10)–(11), Algorithm 1; Theorem 1).

        Examples
        --------
        >>> import numpy as np, machinekit as mk
        >>> m = mk.DenseMachine((1, 1), "square", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
        >>> state = m.solve(np.array([3.0]))
        >>> state.y, state.z
        (array([ 3., 18.]), array([  9., 324.]))
        """
        start: Any = y0
        added: Any = z0
        shapes, kind = None, self._kind
        if method == "auto" and warm is None and type(start) is kind and (added is None or type(added) is kind):
            shapes = (start.shape, None if added is None else added.shape)
            plan = self._known.get(shapes)
            same = plan is not None and start.dtype == plan.dtype and (added is None or added.dtype == plan.dtype)
            if same and (kind is np.ndarray or self._here(start, added)):
                return self._solved(plan, y0, z0, start.shape[:-1])
        check_method(method)
        if warm is not None:
            warm = check_state(self, warm)
        lead, _ = check_signals(self, {"y0": y0, "z0": z0})
        plan = self._plan(lead, y0, z0, method=method)
        if plan is not None and shapes is not None:
            self._remember(shapes, plan)
        return self._solved(plan, y0, z0, lead, warm)

    def _solved(
        self, plan: AnyPlan | None, y0: Array | None, z0: Array | None, lead: tuple[int, ...], warm: Any = None
    ) -> MachineState:
        y, z, info = self._resolvent(plan, y0, z0, lead, self.bias, warm)
        if z0 is None:
            return machine_state(y, z, (y0,), (y0.shape[-1], y.shape[-1]), self._sigma, info)  # type: ignore[union-attr]
        widths = (y.shape[-1] if y0 is None else y0.shape[-1], z0.shape[-1])
        return machine_state(y, z, (y0, z0), widths, None, info)

    def _resolvent(
        self,
        plan: AnyPlan | None,
        y0: Array | None,
        z0: Array | None,
        lead: tuple[int, ...],
        bias: Array | None = None,
        warm: MachineState | None = None,
    ) -> tuple[Array, Array, Mapping[str, Any]]:
        """Solve by a plan, or by the reference sweep where there is none or a start is not finite.

        Returns y, z and what there is to tell about it.
        """
        if plan is not None:
            try:
                return (*plan.solve(self.kernel, bias, self._sigma, y0, z0), NOTHING)
            except NotFinite:
                pass
        start = widen(self, y0, lead)
        start = start if bias is None else start + bias
        added = None if z0 is None else widen(self, z0, lead)
        return (*sweep(self.partition, self.kernel, self._sigma, start, added), NOTHING)

    def __call__(self, y0: Array | None, z0: Array | None = None) -> Array:
        """Return z of `solve`."""
        return self.solve(y0, z0).z

    def pushforward(
        self,
        state: State,
        y0: Array | None = None,
        z0: Array | None = None,
        *,
        method: str = "auto",
        **parameters: Array,
    ) -> MachineTangent:
        """Return the directional derivative (ẏ, ż) of the solution.

        Parameters
        ----------
        state : State
        y0, z0 : arrays of shape (*batch, *grid, channel), optional
            Directions of the inputs; each may stop at any block boundary.
        method : as for `solve`
        weight, bias, slope : arrays, optional
            Directions of the parameters, of their shapes; a weight direction is projected onto the
            live weights, `slope` is for linear machines.

        Raises
        ------
        ValueError, TypeError
            As `solve`; a direction of a bias or slope that the machine does not have.

        Notes
        -----
        ẏ = W ż + (Ẇ z + ḃ + ẏ0), ż = D ẏ + (ḋ y + ż0): the tangent machine
        (arXiv:2204.12786, Theorem 3).
        """
        check_method(method)
        state = check_state(self, state)
        lead = tuple(state.y.shape[:-1])
        check_signals(self, {"y0": y0, "z0": z0}, lead)
        for name, direction in parameters.items():
            check_direction(self, name, direction)
        along = {**dict.fromkeys(self.directions()), **parameters}
        image, moved = None, self._moved_kernel(along)
        if moved is not None:
            image, _ = self._images(self._plan(lead, moved, state.z, method=method), moved, state.z)
        start_y = self._sum(lead, y0, image)
        if along["bias"] is not None:
            start_y = widen(self, start_y, lead) + along["bias"]
        start_z = self._sum(lead, z0, None if along["slope"] is None else along["slope"] * state.y)
        tangent = self.tangent(state)
        plan = tangent._plan(lead, start_y, start_z, method=method)
        y, z, _ = tangent._resolvent(plan, start_y, start_z, lead)
        return MachineTangent(y, z, (y0, z0), parameters, moved)

    def _moved_kernel(self, along: Mapping[str, Array | None]) -> Array | None:
        """Return the direction of W, from those of the parameters."""
        weight = along["weight"]
        return None if weight is None else self.project(weight)

    def _sum(self, lead: tuple[int, ...], *signals: Array | None) -> Array | None:
        """Return the sum of signals of any widths, None being zero; one alone as it is."""
        given = [a for a in signals if a is not None]
        if len(given) < 2:
            return given[0] if given else None
        wide = [widen(self, a, lead) for a in given]
        return sum(wide[1:], start=wide[0])

    def _images(
        self, plan: AnyPlan | None, weight: Array | None, z: Array, primal: Array | None = None
    ) -> tuple[Array | None, Array | None]:
        """Return what another weight makes of a known z, and the weight cotangent of primal and z, where given.

        The latter is that of the machine whose dual this is; `plan` is this machine's.
        """
        if plan is not None:
            return plan.products(weight, z, primal)
        p = self.partition
        image = None if weight is None else apply(p, weight, z)
        return image, None if primal is None else weight_cotangent(p.dual(), primal, z)

    def pullback(
        self, state: State, z: Array | None = None, *, y: Array | None = None, method: str = "auto"
    ) -> MachineCotangent:
        """Return all cotangents of seeds on z and y.

        Parameters
        ----------
        state : State
        z, y : arrays of shape (*batch, *grid, channel), optional
            The seeds u0 and v0; each may stop at any block boundary; None is zero.
        method : as for `solve`

        Returns
        -------
        MachineCotangent
            ``.y0 .z0 .weight .bias`` (and ``.slope`` for linear machines): sums over the batch.

        Raises
        ------
        ValueError, TypeError
            As `solve`.

        Notes
        -----
        With (u, v) the dual solution: ȳ0 = v, z̄0 = u, W̄[ℓ, c, o] = Σ z[g − ℓ, c] v[g, o] where live,
        b̄ = Σ v, d̄ = Σ y ⊙ u. One multiply-add per live weight, position and sample for the dual,
        one more for W̄ (arXiv:2204.12786, §3, eqs. (12)–(14)).
        """
        key = dual_key(self, state, z, y) if method == "auto" else ()
        plan = self._known.get(key)
        at: Any = state
        if plan is None:
            check_method(method)
            at = check_state(self, state)
            lead = tuple(at.y.shape[:-1])
            check_signals(self, {"z": z, "y": y}, lead)
            plan = self._plan(lead, at.y, at.z, z, y, dual=True, method=method)
            if plan is not None and key and key[-1] == plan.dtype:
                self._remember(key, plan)
        u, v, kernel, bias, info = self._pulled(plan, at, z, y)
        slope = sum_to(at.y * u, self._sigma.shape) if isinstance(self._sigma, Diagonal) else None
        dual = self._dual_record(u, v, z, info)
        return MachineCotangent(dual, at.widths, len(at.inputs) or 2, (z, y), self._named(kernel, bias), slope)

    def _named(self, kernel: Array, bias: Array | None) -> dict[str, Array]:
        """Return the cotangents of the parameters by name, from those of W and the bias."""
        return {"weight": kernel} if bias is None else {"weight": kernel, "bias": bias}

    def _dual_record(
        self, u: Array | None, v: Array, seed: Array | None, info: Mapping[str, Any] = NOTHING
    ) -> MachineState:
        """Return the dual solution; u, where there is none yet, is computed from v and its seed when asked for."""
        if u is None:
            return DualState(lambda: self._dual_start(v, seed), v)
        return machine_state(u, v, (), (v.shape[-1], v.shape[-1]), None, info)

    def _pulled(
        self, plan: AnyPlan | None, state: MachineState, z: Array | None, y: Array | None, primal: Array | None = None
    ) -> tuple:
        """Return u, v, the cotangents of W and bias, and what there is to tell, by a plan or by the reference sweep.

        `primal` is what the weight met, where that is not the state's z; u is then wanted.
        """
        if plan is not None:
            shape = None if self.bias is None or primal is not None else self.bias.shape
            at = (state.y, state.z if primal is None else primal, state.z if state.of is self._sigma else None)
            with_u = primal is not None or len(state.inputs) != 1 or isinstance(self._sigma, Diagonal)
            try:
                pulled = plan.pullback(self._mirrored.kernel, self._sigma, at, (z, y), self._dead, shape, with_u)
                return (*pulled, NOTHING)
            except NotFinite:
                pass
        lead = tuple(state.y.shape[:-1])
        u, v, info = self.dual(state)._resolvent(None, z, y, lead)
        kernel = self._cleared(weight_cotangent(self.partition, state.z if primal is None else primal, v))
        bias = None if self.bias is None or primal is not None else sum_to(v, self.bias.shape)
        return u, v, kernel, bias, info

    def _cleared(self, kernel: Array) -> Array:
        """Return a cotangent of W without what was pruned."""
        return self.project(kernel) if self._pruned else kernel
