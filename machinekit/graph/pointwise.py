"""Pointwise and Softmax: nonlinearities without parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..activations import Activation, Blockwise, Diagonal, read_activation
from ..arrays import Array, astype, namespace, real
from ..records import Cotangent, State, Tangent
from .leaf import Leaf, total
from .shapes import axis_from_end

__all__ = ["Pointwise", "Softmax"]


class Pointwise(Leaf):
    """The map y = σ(x), entry by entry.

    Parameters
    ----------
    activation : str or Activation
        As for the machines: a name, ``mk.leaky_relu(0.1)`` and the like, or an `mk.Activation` of your own.

    Raises
    ------
    ValueError
        An unknown name; the message lists near ones.
    TypeError
        Anything else, one per block and `mk.Diagonal` included; when called, no array.

    Notes
    -----
    ẏ = σ′(x) ⊙ ẋ and x̄ = σ′(x) ⊙ ȳ, whose derivative is x̄˙ = σ″(x) ⊙ ẋ ⊙ ȳ + σ′(x) ⊙ ȳ˙ for σ of class C¹. Where
    the activation has a formula for σ′ in terms of σ(x), such as 1 − y² for tanh, the slope is computed from the
    stored y, and σ″ as well. No parameters; one σ, σ′ or product per entry (arXiv:2204.12786, §3).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.Pointwise("square")
    >>> state = op.solve(np.array([1.0, 3.0]))
    >>> state.outputs[0], op.pullback(state, np.array([1.0, 10.0])).inputs[0]
    (array([1., 9.]), array([ 2., 60.]))
    """

    activation: Activation

    def __init__(self, activation: Any) -> None:
        σ = _one_activation(activation)
        self._fill({}, activation=σ)
        self.__dict__["reads_outputs"] = _slope_of_value(σ) is not None

    def __repr__(self) -> str:
        return f"Pointwise({self.activation!r})"

    def solve(self, *inputs: Array) -> State:
        """Return the state of y = σ(x).

        Parameters
        ----------
        x : array of any shape
        """
        (x,) = self._one(inputs)
        y = _applied(self.activation.value, x)
        return State(inputs, (y + 0 if y is x else y,))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = σ′(x) ⊙ ẋ."""
        (direction,) = self._directions(state, inputs)
        self._along(parameters)
        if direction is None:
            return Tangent((namespace(state.outputs[0]).zeros_like(state.outputs[0]),), (None,))
        return Tangent((_whole(self._slope(state) * direction),), (direction,))

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = σ′(x) ⊙ ȳ."""
        (seed,) = self._seeds(state, (y,))
        return Cotangent((_whole(self._slope(state) * seed),), {}, (y,))

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return x̄˙ = σ″(x) ⊙ ẋ ⊙ ȳ + σ′(x) ⊙ ȳ˙.

        Raises
        ------
        TypeError
            An activation that is not of class C¹.
        """
        self.activation.demand(1, "pullback_tangent")
        at = self._motion(state, cotangent, tangent, outputs)
        (direction,) = at.inputs
        bent = None if direction is None or at.seed is None else self._second(state) * direction * at.seed
        back = total([bent, None if at.change is None else self._slope(state) * at.change], state.inputs[0])
        return Cotangent((_whole(back),), {}, (at.change,))

    def _slope(self, state: State) -> Array:
        of_value = _slope_of_value(self.activation)
        if of_value is None:
            return _applied(self.activation.derivative, state.inputs[0])
        return _applied(of_value, state.outputs[0])

    def _second(self, state: State) -> Array:
        of_value = self.activation.second_of_value
        if of_value is None or not self.reads_outputs:
            return _applied(self.activation.second, state.inputs[0])
        return _applied(of_value, state.outputs[0])


class Softmax(Leaf):
    """Positive entries of sum one along an axis, y = exp(x) / Σ exp(x).

    Parameters
    ----------
    axis : int
        Counted from the end, as batch axes lead: −1 is the channel.

    Raises
    ------
    ValueError
        An axis that is not negative; when called, an input without that axis.
    TypeError
        No integer; when called, no array.

    Notes
    -----
    The largest real part is subtracted first, so that nothing overflows; an entry of −∞ gets 0.
    ẏ = y ⊙ (ẋ − Σ y ẋ) and, the Jacobian diag(y) − y yᵀ being symmetric, x̄ = y ⊙ (ȳ − Σ y ȳ); its derivative is
    x̄˙ = y ⊙ (ȳ˙ − Σ y ȳ˙ − Σ ẏ ȳ) + ẏ ⊙ (ȳ − Σ y ȳ). One exponential per entry forward, three multiply-adds backward.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.Softmax()
    >>> state = op.solve(np.array([[1000.0, 1000.0]]))
    >>> state.outputs[0], op.pullback(state, np.array([[4.0, 0.0]])).inputs[0]
    (array([[0.5, 0.5]]), array([[ 1., -1.]]))
    """

    axis: int

    def __init__(self, axis: int = -1) -> None:
        self._fill({}, axis=axis_from_end(axis))

    def __repr__(self) -> str:
        return "Softmax()" if self.axis == -1 else f"Softmax(axis={self.axis})"

    def solve(self, *inputs: Array) -> State:
        """Return the state of y = exp(x) / Σ exp(x).

        Parameters
        ----------
        x : array with at least −axis axes
        """
        (x,) = self._one(inputs)
        xp = namespace(x)
        if x.ndim < -self.axis:
            raise ValueError(f"inputs[0] has shape {tuple(x.shape)} and no axis {self.axis}; {self!r} sums along it")
        if not x.shape[self.axis]:
            return State(inputs, (xp.zeros_like(x),))
        y = xp.exp(x - xp.max(real(x), axis=self.axis, keepdims=True))
        return State(inputs, (y / xp.sum(y, axis=self.axis, keepdims=True),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = y ⊙ (ẋ − Σ y ẋ)."""
        (direction,) = self._directions(state, inputs)
        self._along(parameters)
        if direction is None:
            return Tangent((namespace(state.outputs[0]).zeros_like(state.outputs[0]),), (None,))
        return Tangent((self._jacobian(state, direction),), (direction,))

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = y ⊙ (ȳ − Σ y ȳ)."""
        (seed,) = self._seeds(state, (y,))
        return Cotangent((self._jacobian(state, seed),), {}, (y,))

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return x̄˙ = y ⊙ (ȳ˙ − Σ y ȳ˙ − Σ ẏ ȳ) + ẏ ⊙ (ȳ − Σ y ȳ)."""
        at = self._motion(state, cotangent, tangent, outputs)
        (y,), (moved,) = state.outputs, tangent.outputs
        terms = [None if at.change is None else self._jacobian(state, at.change)]
        if at.inputs[0] is not None and at.seed is not None:
            terms += [moved * (at.seed - self._sum(y * at.seed)), -y * self._sum(moved * at.seed)]
        return Cotangent((total(terms, y),), {}, (at.change,))

    def _jacobian(self, state: State, a: Array) -> Array:
        (y,) = state.outputs
        part = y * a
        return part - y * self._sum(part)

    def _sum(self, a: Array) -> Array:
        return namespace(a).sum(a, axis=self.axis, keepdims=True)


def _whole(value: Array) -> Array:
    """Return an array where NumPy has made a scalar of arrays without axes."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _applied(function: Callable[[Array], Array], x: Array) -> Array:
    """Return f(x) as an array; activations are written for arrays with axes."""
    if x.ndim:
        return function(x)
    reshape = namespace(x).reshape
    return astype(reshape(function(reshape(x, (1,))), ()))


def _slope_of_value(activation: Activation) -> Any:
    """Return the formula for σ′ in terms of σ(x), unless it is the same one in terms of x (identity, relu)."""
    same = activation.slope_of_value is activation.derivative
    return None if same else activation.slope_of_value


def _one_activation(given: Any) -> Activation:
    if isinstance(given, list | tuple | Diagonal | Blockwise):
        what = "a Diagonal" if isinstance(given, Diagonal) else f"{given!r}"
        raise TypeError(
            f"activation is {what}; a Pointwise has one activation for all channels: pass a name or an mk.Activation"
        )
    read = read_activation(given, (slice(None),))
    return read.activations[0]  # type: ignore[union-attr]  # no Diagonal comes this far
