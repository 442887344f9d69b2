"""Norm and LayerNorm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..arrays import Array, backend_of, namespace, real
from ..machines.build import integer
from ..records import Cotangent, State, Tangent
from .leaf import Leaf, total
from .normalisation import Normalisation, read_gains

__all__ = ["LayerNorm", "Norm"]


class Norm(Leaf):
    """The Euclidean norm over the channels, y = √(Σ x²), as one channel.

    Raises
    ------
    ValueError
        When called, an input without axes.
    TypeError
        When called, no array.

    Notes
    -----
    y has shape (*batch, *grid, 1): the channel axis stays. ẏ = Σ x ẋ / y and x̄ = ȳ x / y, whose derivative is
    x̄˙ = (ȳ˙ x + ȳ (ẋ − ẏ x / y))/y. At y = 0 there is no gradient; all derivatives are 0 there, without a
    warning. The sum of squares is scaled by the largest entry, so that it neither overflows nor vanishes. Complex
    entries are squared without conjugation. One multiply-add per entry forward, two backward (Fleuret, EE-559
    §4.1, the output q = ‖x3‖).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.Norm()
    >>> state = op.solve(np.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> state.outputs[0]
    array([[5.],
           [0.]])
    >>> op.pullback(state, np.array([[5.0], [5.0]])).inputs[0]
    array([[3., 4.],
           [0., 0.]])
    """

    def __init__(self) -> None:
        self._fill({})

    def __repr__(self) -> str:
        return "Norm()"

    def solve(self, *inputs: Array) -> State:
        """Return the state of y = √(Σ x²).

        Parameters
        ----------
        x : array of shape (*batch, *grid, channel)
        """
        (x,) = self._one(inputs)
        if not x.ndim:
            raise ValueError("inputs[0] has shape (); Norm reads a channel axis")
        if not x.shape[-1]:
            return State(inputs, (backend_of(x).zeros((*x.shape[:-1], 1), x.dtype),))
        xp = namespace(x)
        large = xp.max(xp.abs(real(x)), axis=-1, keepdims=True)
        unit = xp.where((large > 0) & (large < math.inf), large, xp.ones_like(large))
        scaled = x / unit
        return State(inputs, (unit * xp.sqrt(xp.sum(scaled * scaled, axis=-1, keepdims=True)),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = Σ x ẋ / y, 0 where y = 0."""
        (direction,) = self._directions(state, inputs)
        self._along(parameters)
        if direction is None:
            return Tangent((namespace(state.outputs[0]).zeros_like(state.outputs[0]),), (None,))
        part = self._gradient(state) * direction
        return Tangent((namespace(part).sum(part, axis=-1, keepdims=True),), (direction,))

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = ȳ x / y, 0 where y = 0."""
        (seed,) = self._seeds(state, (y,))
        return Cotangent((seed * self._gradient(state),), {}, (y,))

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return x̄˙ = (ȳ˙ x + ȳ (ẋ − ẏ x / y))/y, 0 where y = 0."""
        at = self._motion(state, cotangent, tangent, outputs)
        (direction,), slope = at.inputs, self._gradient(state)
        terms = [None if at.change is None else at.change * slope]
        if direction is not None and at.seed is not None:
            terms.append(at.seed * self._by_norm(state, direction - tangent.outputs[0] * slope))
        return Cotangent((total(terms, state.inputs[0]),), {}, (at.change,))

    def _gradient(self, state: State) -> Array:
        return self._by_norm(state, state.inputs[0])

    def _by_norm(self, state: State, a: Array) -> Array:
        """Return a / y, 0 where y = 0."""
        (y,) = state.outputs
        xp = namespace(y)
        none = y == 0
        return xp.where(none, xp.zeros_like(a), a) / xp.where(none, xp.ones_like(y), y)


class LayerNorm(Normalisation):
    """Normalise each sample over its last axes, then scale and shift.

    Parameters
    ----------
    channels : int or sequence of int
        The extents of the last axes over which mean and variance are taken: ``8`` for the channels at each
        position, ``(4, 4, 8)`` for a 4 × 4 grid with them. Scale and bias have this shape.
    form : {"sqrt", "eps+sigma"}
        The divisor d: √(ε + σ²) or ε + σ.
    epsilon : float
        ε > 0.
    scale, bias : bool or array of shape channels
        True: ones and zeros, trained. False: none. An array: a copy of that.
    dtype, backend : optional
        As for the machines.

    Raises
    ------
    ValueError
        A wrong extent, form, epsilon or shape; when called, an input of other last axes.
    TypeError
        Lists, integers or objects for arrays; mixed libraries or precisions.

    Notes
    -----
    With m entries in a group, μ = Σ x / m, σ² = Σ (x − μ)² / m, n = (x − μ)/d:

        y = n ⊙ scale + bias
        ṅ = (ẋ − mean ẋ − κ n mean(n ẋ))/d,    ẏ = ṅ ⊙ scale + n ⊙ (scale)˙ + (bias)˙
        n̄ = ȳ ⊙ scale,    x̄ = (n̄ − mean n̄ − κ n mean(n n̄))/d
        the scale's cotangent Σ n ⊙ ȳ, the bias's Σ ȳ, over all other axes
        x̄˙ = J n̄˙ − (n (κ̇ mean(n n̄) + κ mean(ṅ n̄)) + ṅ κ mean(n n̄) + ḋ x̄)/d,    ḋ = κ mean(n ẋ)
        the scale's Σ ṅ ⊙ ȳ + n ⊙ ȳ˙, the bias's Σ ȳ˙

    where κ = 1 for √(ε + σ²), κ = d/σ and κ̇ = −ε ḋ/σ² for ε + σ. The Jacobian J of n is symmetric, so tangent and
    dual are one formula. At σ = 0 the form ε + σ has no derivative; those of σ and J are 0 there. n is
    1/ε-Lipschitz for ε + σ and ε^(−1/2)-Lipschitz for √(ε + σ²) (Roulet & Harchaoui, arXiv:2002.09051). Some eight
    operations per entry in either direction; n is recomputed from x, not stored.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.LayerNorm(2, form="eps+sigma", epsilon=1.0)
    >>> x = np.array([[1.0, 7.0]])  # mean 4, σ = 3
    >>> op(x)
    array([[-0.75,  0.75]])
    >>> op.pullback(op.solve(x), np.array([[0.0, 1.0]])).parameters["scale"]
    array([0.  , 0.75])
    """

    def __init__(
        self, channels: Any, *, form: str = "sqrt", epsilon: float = 1e-5, scale: bool | Array = True,
        bias: bool | Array = True, dtype: Any = None, backend: Any = None,
    ) -> None:  # fmt: skip
        many = isinstance(channels, Iterable) and not isinstance(channels, str)
        named = {f"channels[{k}]": n for k, n in enumerate(channels)} if many else {"channels": channels}
        if not named:
            raise ValueError("channels is empty; give the extent of at least one axis")
        shape = tuple(integer(name, n, 0) for name, n in named.items())
        gains, _ = read_gains(shape, scale, bias, {}, dtype, backend)
        self._build(shape, gains, channels=shape, form=form, epsilon=epsilon)

    def _axes(self, x: Array) -> tuple[int, ...]:
        return tuple(range(x.ndim - len(self.last), x.ndim))
