"""The derivative of an op at a state, and its transpose, as ops: edges of tangent and dual networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..arrays import Array
from ..records import Cotangent, State, Tangent
from .op import Linear, pullback, pushforward

__all__ = ["Adjoint", "Linearized", "at_state", "is_turned", "turn"]


class _AtState(Linear):
    """A linear op that is given by another op at one of its states, which does not move; it has no parameters."""

    op: Any
    state: State

    def __init__(self, op: Any, state: State) -> None:
        self.__dict__.update(op=op, state=state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.op!r})"

    def _push(self, directions: tuple[Array | None, ...]) -> tuple[Array, ...]:
        return pushforward(self.op, self.state, directions, {}).outputs

    def _pull(self, seeds: tuple[Array | None, ...]) -> tuple[Array, ...]:
        return pullback(self.op, self.state, seeds).inputs


class Linearized(_AtState):
    """ẋ ↦ Df(x) ẋ, of the shapes of an op's state.

    Parameters
    ----------
    op : op
    state : State
        Where the derivative is taken; its batch is that of the directions.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> square = mk.Pointwise(mk.Activation(lambda x: x * x, lambda x: 2 * x, name="square"))
    >>> x, d = np.array([[3.0]]), np.array([[1.0]])
    >>> mk.Linearized(square, square.solve(x))(d), mk.Adjoint(square, square.solve(x))(d)
    (array([[6.]]), array([[6.]]))
    """

    def solve(self, *inputs: Array | None) -> State:
        """Return Df(x) ẋ."""
        return State(inputs, self._push(inputs))

    def pushforward(self, state: State, *inputs: Array | None) -> Tangent:
        """Return Df(x) ẋ: the map is linear."""
        return Tangent(self._push(inputs), inputs)

    def pullback(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return Df(x)ᵀ ȳ."""
        return Cotangent(self._pull(outputs), outputs=outputs)


class Adjoint(_AtState):
    """ȳ ↦ Df(x)ᵀ ȳ, the transpose of `Linearized`.

    Parameters
    ----------
    op : op
    state : State
    """

    def solve(self, *inputs: Array | None) -> State:
        """Return Df(x)ᵀ ȳ."""
        return State(inputs, self._pull(inputs))

    def pushforward(self, state: State, *inputs: Array | None) -> Tangent:
        """Return Df(x)ᵀ ȳ: the map is linear."""
        return Tangent(self._pull(inputs), inputs)

    def pullback(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return Df(x) ẋ."""
        return Cotangent(self._push(outputs), outputs=outputs)


def at_state(ops: Iterable[Any]) -> bool:
    """Tell whether these are the ops of a tangent or a dual network, all of them linear."""
    return all(isinstance(op, _AtState) for op in ops)


def is_turned(op: Any) -> bool:
    """Tell whether an op is the adjoint of one, which the adjoint of an adjoint is not."""
    return isinstance(op, _AtState) and isinstance(op, Adjoint) != is_turned(op.op)


def turn(signature: str) -> str:
    """Return ``"x3 -> x1 x2"`` for ``"x1 x2 -> x3"``."""
    left, right = signature.split("->")
    return f"{right.strip()} -> {left.strip()}"
