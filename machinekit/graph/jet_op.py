"""JetOp: the derivatives of a machine along a curve as an op, so that a loss may read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ..arrays import Array
from ..machines import Machine
from ..machines.build import integer
from ..records import Cotangent, Jet, State, Tangent
from ..records.op import Arrays
from .container import Container
from .sharing import Sharing

__all__ = ["JetOp"]


class JetOp(Container):
    """(y0, y0_1, …) ↦ (z, z_1, …): a machine and its derivatives along a curve of inputs.

    Parameters
    ----------
    machine : Machine
    order : {2, 1}

    Raises
    ------
    TypeError
        If it is no machine; an activation that is not of class C^(order − 1), or, when a derivative is asked for,
        not of class C^order.
    ValueError
        Another order.

    Notes
    -----
    The curve is y0(s) = Σ s^k/k! y0_k. Along y0_1 = e_i and y0_2 = 0 the outputs are z, ∂z/∂y0_i and ∂²z/∂y0_i²: what
    a differential equation reads. The verbs are `Machine.jet`, `Machine.jet_pushforward` and `Machine.jet_pullback`,
    whose records are kept as ``.saved``. There is no ``pullback_tangent``: it would need a derivative of σ more.
    The machine is a part, named ``machine``: used elsewhere in a network too, its weights are shared.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.DenseMachine((1, 1), "square", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
    >>> op = mk.JetOp(m)  # z = 4 x⁴ in the last block
    >>> x, one = np.array([[3.0]]), np.array([[1.0]])
    >>> [float(z[0, 1]) for z in op(x, one)]
    [324.0, 432.0, 432.0]
    >>> list(op.parameters())
    ['machine.weight']
    """

    _what = "jet"
    machine: Any
    order: int

    def __init__(self, machine: Any, order: int = 2) -> None:
        if not isinstance(machine, Machine):
            raise TypeError(f"machine is {machine!r}; pass a machine, such as mk.DenseMachine(…)")
        if integer("order", order, 1) > 2:
            raise ValueError(f"order is {order}; pass 1 or 2 (machine.jet goes to 3, without a dual)")
        machine.pointwise.demand(order - 1, f"a jet of order {order}")
        self.__dict__.update(machine=machine, order=order, sharing=Sharing({"machine": machine}))

    def __repr__(self) -> str:
        return f"JetOp({self.machine!r}, {self.order})"

    def with_parts(self, parts: Mapping[str, Any]) -> Self:
        """Return the same op of another machine."""
        return type(self)(parts["machine"], self.order)

    def solve(self, *inputs: Array | None) -> State:
        """Run the machine and the tangent machine once per order; ``saved`` is the `Jet`.

        Parameters
        ----------
        *inputs : arrays of shape (*batch, *grid, channel), or None
            y0, then y0_1, …; None and what is missing is zero; each may stop at any block boundary.

        Raises
        ------
        TypeError
            No input, or more than order + 1; otherwise as `Machine.jet`.
        ValueError
            As `Machine.jet`.
        """
        if not 1 <= len(inputs) <= self.order + 1:
            raise TypeError(f"{self!r} takes y0 and at most {self.order} directions, not {len(inputs)} arrays")
        rest = (None,) * (self.order + 1 - len(inputs))
        jet = self.machine.jet(inputs[0], (*inputs[1:], *rest))
        return State(inputs, jet.z, jet)

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return the directional derivative, the tangent machine once per order.

        Raises
        ------
        ValueError, TypeError
            As `Machine.jet_pushforward`.
        """
        along = self.sharing.distribute(parameters, self._what)["machine"]
        if len(inputs) not in (0, len(state.inputs)):
            raise TypeError(f"{len(inputs)} directions for {len(state.inputs)} inputs; pass one each, None is zero")
        tangent = self.machine.jet_pushforward(self._jet(state), inputs, **along)
        return Tangent(tangent.z, inputs, parameters, tangent)

    def pullback(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return the cotangents, the dual machine once per order, the highest first.

        Raises
        ------
        ValueError, TypeError
            As `Machine.jet_pullback`.
        """
        inner = self.machine.jet_pullback(self._jet(state), z=outputs)
        parameters, contributions = self.sharing.gather({"machine": inner})
        inputs: Arrays = inner.y0[: len(state.inputs)]
        return Cotangent(inputs, parameters, outputs, inner, contributions)

    def _jet(self, state: State) -> Jet:
        if not isinstance(state.saved, Jet):
            raise TypeError(f"state is a {type(state).__name__} without a jet; pass what solve of this op returned")
        return state.saved
