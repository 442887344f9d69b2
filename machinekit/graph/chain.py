"""Chain: ops one after the other, itself an op."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from ..arrays import Array
from ..records import Cotangent, State, Tangent
from ..records.op import Arrays
from .container import Container, records_inside
from .op import check_op_kind, pullback, pullback_inputs, pullback_tangent, pushforward, solve
from .sharing import Sharing

__all__ = ["Chain"]


class Chain(Container):
    """The composition of ops: the outputs of one are the inputs of the next.

    Parameters
    ----------
    ops : iterable of ops
        Machines, built-in ops, chains, or a user's own. The same object twice shares its weights.

    Raises
    ------
    ValueError
        If there is no op.
    TypeError
        If an entry is not an op.

    Notes
    -----
    Tangents run forward, pullbacks and their derivatives backward, over the recorded states. Parameters are named
    ``"0.weight"``, deeper ``"0.1.weight"``; a shared one is listed once, under its first place, and
    its cotangents add; ``contributions`` has every place (Fleuret, EE-559 §4.1).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> double = mk.Affine(1, 1, bias=False, weight=np.array([[2.0]]))
    >>> twice = mk.Chain([double, double])
    >>> state = twice.solve(np.array([[3.0]]))
    >>> cotangent = twice.pullback(state, np.array([[1.0]]))
    >>> state.outputs[0], cotangent.parameters  # d(w·w·3)/dw = 6w
    (array([[12.]]), {'0.weight': array([[12.]])})
    """

    ops: tuple[Any, ...]
    _names: tuple[str, ...]
    _what = "chain"

    def __init__(self, ops: Iterable[Any]) -> None:
        ops = tuple(ops)
        if not ops:
            raise ValueError("ops is empty; a chain needs at least one op")
        for k, op in enumerate(ops):
            check_op_kind(op, f"ops[{k}]")
        names = tuple(map(str, range(len(ops))))
        self.__dict__.update(ops=ops, _names=names, sharing=Sharing(dict(zip(names, ops, strict=True))))

    def __repr__(self) -> str:
        return f"Chain([{', '.join(map(repr, self.ops))}])"

    def with_parts(self, parts: Mapping[str, Any]) -> Self:
        """Return the same chain of other ops."""
        return type(self)(parts[str(k)] for k in range(len(self.ops)))

    def solve(self, *inputs: Array) -> State:
        """Run the ops in order; ``saved`` holds their states."""
        states: list[State] = []
        for op in self.ops:
            states.append(solve(op, *inputs))
            inputs = states[-1].outputs
        return State(states[0].inputs, inputs, tuple(states))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return the directional derivative, op by op."""
        along = self.sharing.distribute(parameters, "chain")
        directions = inputs
        saved = []
        for k, (op, inner) in enumerate(zip(self.ops, state.saved, strict=True)):
            saved.append(pushforward(op, inner, directions, along[str(k)]))
            directions = saved[-1].outputs
        return Tangent(directions, inputs, parameters, tuple(saved))

    def pullback(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return the cotangents, last op first."""
        return self.pullback_into(self.sharing.memory(), state, *outputs)

    def pullback_into(self, into: Mapping[str, Array], state: State, *outputs: Array | None) -> Cotangent:
        """Return the pullback, cotangents of parameters in the memory given, as far as the ops can."""

        def transpose(k: int, inner: State, seeds: Arrays) -> Cotangent:
            return pullback(self.ops[k], inner, seeds, self.sharing.inside(into, self._names[k]))

        return self._backward(state, outputs, transpose)

    def pullback_inputs(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return `pullback` without the cotangents of the parameters, as far as the ops can leave them out."""

        def transpose(k: int, inner: State, seeds: Arrays) -> Cotangent:
            return pullback_inputs(self.ops[k], inner, seeds)

        return self._backward(state, outputs, transpose, gather=False)

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return the derivative of the pullback, op by op, last op first.

        The seeds of an op change by what this returns for the op behind it; places of a shared parameter add.

        Parameters
        ----------
        cotangent : Cotangent
            What `pullback`, or `pullback_inputs`, returned for this state and the seeds.
        tangent : Tangent
            What `pushforward` returned for this state.
        *outputs : arrays or None
            How the seeds change along that direction; None, and nothing at all, is zero.

        Raises
        ------
        TypeError
            A cotangent or a tangent of something else; an op without `pullback_tangent`, or not of class C¹.
        """
        cotangents, tangents = records_inside(self, cotangent, tangent)

        def bend(k: int, inner: State, changes: Arrays) -> Cotangent:
            return pullback_tangent(self.ops[k], inner, cotangents[k], tangents[k], changes)

        return self._backward(state, outputs, bend)

    def _backward(
        self, state: State, outputs: Arrays, act: Callable[[int, State, Arrays], Cotangent], gather: bool = True
    ) -> Cotangent:
        """Run the action of each op, last op first, on what that of the op behind it returned."""
        seeds = outputs
        saved: dict[str, Cotangent] = {}
        for k, (name, inner) in reversed(list(enumerate(zip(self._names, state.saved, strict=True)))):
            saved[name] = cotangent = act(k, inner, seeds)
            seeds = cotangent.inputs
        parameters, contributions = self.sharing.gather(saved) if gather else ({}, {})
        return Cotangent(seeds, parameters, outputs, tuple(saved.values())[::-1], contributions)
