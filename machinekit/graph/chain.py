"""Chain: ops one after the other, itself an op."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from ..arrays import Array
from ..records import Cotangent, State, Tangent
from .container import Container
from .op import check_op_kind, pullback, pushforward, solve
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
    Tangents run forward, pullbacks backward, over the recorded states. Parameters are named
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
        seeds = outputs
        saved: dict[str, Cotangent] = {}
        for name, op, inner in zip(self._names[::-1], self.ops[::-1], state.saved[::-1], strict=True):
            cotangent = pullback(op, inner, seeds, self.sharing.inside(into, name))
            saved[name], seeds = cotangent, cotangent.inputs
        parameters, contributions = self.sharing.gather(saved)
        return Cotangent(seeds, parameters, outputs, tuple(saved.values())[::-1], contributions)
