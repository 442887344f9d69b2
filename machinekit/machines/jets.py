"""Derivatives along a curve: every order of a jet is the tangent machine, every order of its dual the dual machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..activations import Diagonal
from ..arrays import Array
from ..linear import sum_to
from ..records import Jet, JetCotangent, JetTangent, MachineState
from .checks import check_signals, check_state
from .second_order import SecondOrder

__all__ = ["Jets"]

_ORDERS = 3
_DUALS = 2
"""The highest order with a dual; that of order 3 would need σ⁗."""


class Jets(SecondOrder):
    """The verbs of a machine that differential equations need."""

    def jet(
        self,
        y0: Array | None,
        directions: Sequence[Array | None],
        z0: Array | None = None,
        z0_directions: Sequence[Array | None] | None = None,
    ) -> Jet:
        """Return the state and its derivatives along a curve of inputs, up to order 3.

        Parameters
        ----------
        y0, z0 : arrays of shape (*batch, *grid, channel)
            As for `solve`.
        directions : sequence of one to three arrays or None
            (y0_1, y0_2, …) of the curve y0(s) = Σ s^k/k! y0_k; their number is the order. None is zero; each may
            stop at any block boundary.
        z0_directions : sequence of arrays or None, optional
            (z0_1, z0_2, …) likewise; what is missing is zero.

        Returns
        -------
        Jet
            ``.y`` and ``.z`` are tuples of the derivatives of order 0, 1, … at s = 0, new arrays over all channels.

        Raises
        ------
        ValueError
            No direction, or more than three; otherwise as `solve`.
        TypeError
            An activation that is not of class C^(order − 1); directions that are one array; otherwise as `solve`.

        Notes
        -----
        With D^k = σ^(k)(y) at the solution, y_k = W z_k + y0_k for all k ≥ 1, and

            z_1 = D y_1 + z0_1
            z_2 = D y_2 + (D² y_1² + z0_2)
            z_3 = D y_3 + (3 D² y_1 y_2 + D³ y_1³ + z0_3)

        (Faà di Bruno): each order is the tangent machine at the state with another start, one multiply-add per live
        weight, position and sample (arXiv:2204.12786, Theorem 3, taken again).

        Examples
        --------
        >>> import numpy as np, machinekit as mk
        >>> m = mk.DenseMachine((1, 1), "square", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
        >>> jet = m.jet(np.array([3.0]), [np.array([1.0]), None])  # z = 4 x⁴ at x = 3 + s
        >>> [float(z[1]) for z in jet.z]  # 4 x⁴, 16 x³, 48 x²
        [324.0, 432.0, 432.0]
        """
        along_y = _read("directions", directions, _ORDERS)
        order = len(along_y)
        if not order:
            raise ValueError("directions is empty; pass (y0_1, …), one entry per order, None is zero")
        along_z = _filled(_read("z0_directions", z0_directions, order), order)
        named = {f"directions[{k}]": a for k, a in enumerate(along_y)}
        named |= {f"z0_directions[{k}]": a for k, a in enumerate(along_z)}
        lead, _ = check_signals(self, {"y0": y0, "z0": z0, **named})
        self.pointwise.demand(order - 1, f"a jet of order {order}")
        at = self.solve(y0, z0)
        bent = self._curves(at, order - 1)
        tangent = self.tangent(at)
        ys, zs = [at.y], [at.z]
        for start_y, added in zip(along_y, along_z, strict=True):
            start_z = self._sum(lead, added, _along_curve(ys, bent))
            y, z, _ = tangent._resolvent(tangent._plan(lead, start_y, start_z), start_y, start_z, lead)
            ys.append(y)
            zs.append(z)
        return Jet(at, tuple(ys), tuple(zs), (y0, *along_y), (z0, *along_z))

    def jet_pushforward(
        self, jet: Jet, y0: Sequence[Array | None] = (), z0: Sequence[Array | None] = (), **parameters: Array
    ) -> JetTangent:
        """Return the directional derivative of a jet of order 1 or 2.

        Parameters
        ----------
        jet : Jet
        y0, z0 : sequences of arrays or None
            Directions of y0, y0_1, … and of z0, z0_1, …; what is missing is zero.
        weight, bias, slope : arrays, optional
            Directions of the parameters, as for `pushforward`.

        Returns
        -------
        JetTangent
            ``.y`` and ``.z`` are tuples, by order.

        Raises
        ------
        ValueError, TypeError
            As `pushforward`; a jet of another machine; order 3; an activation that is not of class C^order.

        Notes
        -----
        ẏ_k = W ż_k + (Ẇ z_k + ẏ0_k), with ḃ at k = 0, and

            ż_0 = D ẏ_0 + ż0_0
            ż_1 = D ẏ_1 + (D² y_1 ẏ_0 + ż0_1)
            ż_2 = D ẏ_2 + (D² (y_2 ẏ_0 + 2 y_1 ẏ_1) + D³ y_1² ẏ_0 + ż0_2)

        the tangent machine once per order; ḋ y_k more for a linear machine. It is the transpose of `jet_pullback`.
        """
        at = self._check_jet(jet, "the derivative")
        lead, count = tuple(at.y.shape[:-1]), jet.order + 1
        along_y, along_z = (_filled(_read(n, a, count), count) for n, a in (("y0", y0), ("z0", z0)))
        named = {f"{n}[{k}]": a for n, along in (("y0", along_y), ("z0", along_z)) for k, a in enumerate(along)}
        check_signals(self, named, lead)
        first = self.pushforward(at, along_y[0], along_z[0], **parameters)
        moved, slope = first.moved, parameters.get("slope")
        bent, tangent = self._curves(at, jet.order), self.tangent(at)
        ys, zs = [first.y], [first.z]
        for k in range(1, count):
            image = None if moved is None else self._images(self._plan(lead, moved, jet.z[k]), moved, jet.z[k])[0]
            start_y = self._sum(lead, along_y[k], image)
            turned = None if slope is None else slope * jet.y[k]
            start_z = self._sum(lead, along_z[k], turned, _moved_curve(jet.y[: k + 1], ys, bent))
            y, z, _ = tangent._resolvent(tangent._plan(lead, start_y, start_z), start_y, start_z, lead)
            ys.append(y)
            zs.append(z)
        return JetTangent(first, tuple(ys), tuple(zs), along_y, along_z)

    def jet_pullback(self, jet: Jet, y: Sequence[Array | None] = (), z: Sequence[Array | None] = ()) -> JetCotangent:
        """Return all cotangents of seeds on a jet of order 1 or 2.

        Parameters
        ----------
        jet : Jet
        y, z : sequences of arrays of shape (*batch, *grid, channel), or None
            The seeds (p_0, p_1, …) on y, y_1, … and (q_0, q_1, …) on z, z_1, …; each may stop at any block boundary;
            what is missing is zero.

        Returns
        -------
        JetCotangent
            ``.y0`` and ``.z0`` are tuples, by order, of the shapes of the jet's inputs; ``.weight .bias`` (and
            ``.slope`` for linear machines) are sums over the batch.

        Raises
        ------
        ValueError, TypeError
            As `pullback`; a jet of another machine; order 3; an activation that is not of class C^order.

        Notes
        -----
        The highest order first, u_k = Wᵀ v_k + q_k, and for order 2

            v_2 = D u_2 + p_2
            v_1 = D u_1 + (2 D² y_1 u_2 + p_1)
            v_0 = D u_0 + (D² (y_1 u_1 + y_2 u_2) + D³ y_1² u_2 + p_0)

        (order 1: the same with u_2 = 0): the dual machine once per order. Then ȳ0_k = v_k, z̄0_k = u_k,
        W̄ = Σ_k Σ z_k[g − ℓ] v_k[g] where live, b̄ = Σ v_0, d̄ = Σ_k Σ y_k ⊙ u_k: 2 (order + 1) multiply-adds per live
        weight, position and sample.

        Examples
        --------
        >>> import numpy as np, machinekit as mk
        >>> m = mk.DenseMachine((1, 1), "square", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
        >>> jet = m.jet(np.array([3.0]), [np.array([1.0]), None])  # z_2 = 12 w² x² along x = 3 + s
        >>> cotangent = m.jet_pullback(jet, z=(None, None, np.array([0.0, 1.0])))
        >>> cotangent.y0[0], cotangent.weight[0, 1].item()  # 24 w² x, 24 w x²
        (array([288.]), 432.0)
        """
        at = self._check_jet(jet, "the pullback")
        lead, count = tuple(at.y.shape[:-1]), jet.order + 1
        seeds_y, seeds_z = (_filled(_read(n, a, count), count) for n, a in (("y", y), ("z", z)))
        named = {f"{n}[{k}]": a for n, seeds in (("y", seeds_y), ("z", seeds_z)) for k, a in enumerate(seeds)}
        check_signals(self, named, lead)
        bent = self._curves(at, jet.order)
        us: dict[int, Array] = {}
        duals: list[MachineState] = []
        parts, bias = [], None
        for k in reversed(range(count)):
            start = self._sum(lead, seeds_y[k], _back_curve(k, jet.y, us, bent))
            plan = self._plan(lead, at.y, at.z, jet.z[k], seeds_z[k], start, dual=True)
            us[k], v, part, bias, info = self._pulled(plan, at, seeds_z[k], start, jet.z[k] if k else None)
            duals.insert(0, self._dual_record(us[k], v, seeds_z[k], info))
            parts.append(part)
        weight = sum(parts[1:], start=parts[0])
        parameters = self._named(weight, bias)
        slope = None
        if isinstance(self._sigma, Diagonal):
            terms = [jet.y[k] * us[k] for k in range(count)]
            slope = sum_to(sum(terms[1:], start=terms[0]), self._sigma.shape)
        return JetCotangent(jet, tuple(duals), (seeds_z, seeds_y), parameters, slope)

    def _check_jet(self, jet: Any, what: str) -> MachineState:
        """Return the state of a jet whose order and whose machine's class allow to differentiate it."""
        if not isinstance(jet, Jet):
            raise TypeError(f"jet is a {type(jet).__name__}; pass what machine.jet returned")
        if jet.order > _DUALS:
            raise ValueError(
                f"the jet has order {jet.order} but {what} of a jet is offered up to order {_DUALS}; "
                f"make it of {_DUALS} directions"
            )
        self.pointwise.demand(jet.order, f"{what} of a jet of order {jet.order}")
        return check_state(self, jet.state)

    def _curves(self, at: MachineState, count: int) -> tuple[Array, ...]:
        """Return σ″ and σ‴ at a state, as many as are asked for; none where σ is linear."""
        if isinstance(self._sigma, Diagonal):
            return ()
        value = at.z if at.of is self._sigma else None
        return tuple(derivative(at.y, value) for derivative in (self._sigma.second, self._sigma.third)[:count])


def _along_curve(ys: Sequence[Array], bent: Sequence[Array]) -> Array | None:
    """Return what z_k has beside D y_k, from the orders below, k of which there are; `bent` holds D², D³."""
    if len(ys) < 2 or not bent:
        return None
    if len(ys) == 2:
        return bent[0] * (ys[1] * ys[1])
    return (3.0 * bent[0] * ys[2] + bent[1] * (ys[1] * ys[1])) * ys[1]


def _moved_curve(y: Sequence[Array], dy: Sequence[Array], bent: Sequence[Array]) -> Array | None:
    """Return what ż_k has beside D ẏ_k, from the orders up to k of y and those below of ẏ."""
    if not bent:
        return None
    if len(y) == 2:
        return bent[0] * y[1] * dy[0]
    return bent[0] * (y[2] * dy[0] + 2.0 * y[1] * dy[1]) + bent[1] * (y[1] * y[1]) * dy[0]


def _back_curve(k: int, y: Sequence[Array], us: dict[int, Array], bent: Sequence[Array]) -> Array | None:
    """Return what v_k has beside D u_k, from the orders above."""
    if not us or not bent:
        return None
    if k:
        return 2.0 * bent[0] * y[1] * us[2]
    if 2 not in us:
        return bent[0] * y[1] * us[1]
    return bent[0] * (y[1] * us[1] + y[2] * us[2]) + bent[1] * (y[1] * y[1]) * us[2]


def _read(name: str, given: Any, most: int) -> tuple[Array | None, ...]:
    """Return a sequence of at most so many arrays as a tuple."""
    if given is None:
        return ()
    if not isinstance(given, list | tuple):
        raise TypeError(f"{name} is a {type(given).__name__}; pass a tuple of arrays or None, one per order")
    if len(given) > most:
        raise ValueError(f"{name} has {len(given)} entries; pass at most {most}, one per order")
    return tuple(given)


def _filled(given: tuple[Array | None, ...], count: int) -> tuple[Array | None, ...]:
    return (*given, *(None,) * (count - len(given)))
