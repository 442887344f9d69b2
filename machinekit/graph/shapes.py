"""Reshape, Add, Concatenate: ops that move or add entries."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..arrays import Array, astype, namespace, plus
from ..machines.build import integer
from ..records import Cotangent, State, Tangent
from .leaf import Leaf, zeros_or
from .op import Linear

__all__ = ["Add", "Concatenate", "Reshape", "axis_from_end"]


class Reshape(Linear, Leaf):
    """Another shape of a sample, with the same entries in C order.

    Parameters
    ----------
    before, after : int or sequence of int
        The shape of a sample as it comes, and as it leaves: ``Reshape((4, 4, 8), 128)``. Both are told since
        any number of batch axes may lead; ``()`` is a sample of one entry without axes.

    Raises
    ------
    ValueError
        A negative extent; shapes of different size; when called, an input whose last axes are not `before`.
    TypeError
        Anything but integers; when called, no array.

    Notes
    -----
    Linear: ẏ is ẋ in the new shape, x̄ is ȳ in the old one. No arithmetic, one copy.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.Reshape((2, 2), 4)
    >>> state = op.solve(np.arange(8.0).reshape(2, 2, 2))
    >>> state.outputs[0]
    array([[0., 1., 2., 3.],
           [4., 5., 6., 7.]])
    >>> op.pullback(state, state.outputs[0]).inputs[0].shape
    (2, 2, 2)
    """

    reads_outputs = False
    before: tuple[int, ...]
    after: tuple[int, ...]

    def __init__(self, before: int | Sequence[int], after: int | Sequence[int]) -> None:
        old, new = _shape("before", before), _shape("after", after)
        if math.prod(old) != math.prod(new):
            raise ValueError(
                f"before {old} has {math.prod(old)} entries but after {new} has {math.prod(new)}; they must be equal"
            )
        self._fill({}, before=old, after=new)

    def __repr__(self) -> str:
        return f"Reshape({self.before}, {self.after})"

    def solve(self, *inputs: Array) -> State:
        """Return the state of the sample in its new shape.

        Parameters
        ----------
        x : array of shape (*batch, *before)
        """
        (x,) = self._one(inputs)
        if x.ndim < len(self.before) or tuple(x.shape[x.ndim - len(self.before) :]) != self.before:
            raise ValueError(
                f"inputs[0] has shape {tuple(x.shape)}; {self!r} reads (*batch, {', '.join(map(str, self.before))})"
            )
        return State(inputs, (self._turn(x, self.before, self.after),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẋ in the new shape."""
        given = self._directions(state, inputs)
        self._along(parameters)
        return Tangent((self._turn(zeros_or(given[0], state.inputs[0]), self.before, self.after),), given)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return ȳ in the old shape."""
        (seed,) = self._seeds(state, (y,))
        return Cotangent((self._turn(seed, self.after, self.before),), {}, (y,))

    def _turn(self, x: Array, old: tuple[int, ...], new: tuple[int, ...]) -> Array:
        return astype(namespace(x).reshape(x, (*x.shape[: x.ndim - len(old)], *new)))


class Add(Linear, Leaf):
    """The sum y = Σ x of any number of arrays of one shape.

    Raises
    ------
    ValueError
        When called, arrays of different shapes: nothing is broadcast.
    TypeError
        When called, no array, or arrays of two libraries or precisions.

    Notes
    -----
    ẏ = Σ ẋ, and every input has the cotangent x̄ = ȳ, each its own copy. In an `mk.Hypergraph`, several edges
    into one space add as well.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op, x = mk.Add(), np.array([1.0, 2.0])
    >>> state = op.solve(x, x, x)
    >>> state.outputs[0], op.pullback(state, x).inputs
    (array([3., 6.]), (array([1., 2.]), array([1., 2.]), array([1., 2.])))
    """

    reads_outputs = False

    def __init__(self) -> None:
        self._fill({})

    def __repr__(self) -> str:
        return "Add()"

    def solve(self, *inputs: Array) -> State:
        """Return the state of y = Σ x.

        Parameters
        ----------
        *inputs : arrays of one shape, at least one
        """
        _some("Add", inputs)
        self._alike(inputs)
        first, *others = inputs
        for k, x in enumerate(others):
            if x.shape != first.shape:
                raise ValueError(
                    f"inputs[{k + 1}] has shape {tuple(x.shape)} but inputs[0] {tuple(first.shape)}; "
                    "Add takes arrays of one shape and broadcasts nothing"
                )
        return State(inputs, (_sum(inputs),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = Σ ẋ."""
        given = self._directions(state, inputs)
        self._along(parameters)
        kept = [d for d in given if d is not None]
        return Tangent((_sum(kept) if kept else namespace(state.outputs[0]).zeros_like(state.outputs[0]),), given)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = ȳ, a copy for each input."""
        (seed,) = self._seeds(state, (y,))
        return Cotangent(tuple(astype(seed) for _ in state.inputs), {}, (y,))


class Concatenate(Linear, Leaf):
    """Arrays one behind the other along an axis.

    Parameters
    ----------
    axis : int
        Counted from the end, as batch axes lead: −1 is the channel.

    Raises
    ------
    ValueError
        An axis that is not negative; when called, arrays whose other axes differ.
    TypeError
        No integer; when called, no array, or arrays of two libraries or precisions.

    Notes
    -----
    y = (x_1, …, x_r), ẏ = (ẋ_1, …, ẋ_r), and ȳ is cut into (x̄_1, …, x̄_r), each its own copy. No arithmetic.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.Concatenate()
    >>> state = op.solve(np.array([1.0, 2.0]), np.array([3.0]))
    >>> state.outputs[0], op.pullback(state, np.array([4.0, 5.0, 6.0])).inputs
    (array([1., 2., 3.]), (array([4., 5.]), array([6.])))
    """

    reads_outputs = False
    axis: int

    def __init__(self, axis: int = -1) -> None:
        self._fill({}, axis=axis_from_end(axis))

    def __repr__(self) -> str:
        return "Concatenate()" if self.axis == -1 else f"Concatenate(axis={self.axis})"

    def solve(self, *inputs: Array) -> State:
        """Return the state of y = (x_1, …, x_r).

        Parameters
        ----------
        *inputs : arrays that agree in all axes but `axis`, at least one
        """
        _some("Concatenate", inputs)
        self._alike(inputs)
        rests = []
        for k, x in enumerate(inputs):
            if x.ndim < -self.axis:
                raise ValueError(f"inputs[{k}] has shape {tuple(x.shape)} and no axis {self.axis}; {self!r} needs it")
            rests.append((*x.shape[: x.ndim + self.axis], None, *x.shape[x.ndim + self.axis + 1 :]))
        if any(rest != rests[0] for rest in rests):
            raise ValueError(
                f"inputs have shapes {[tuple(x.shape) for x in inputs]}; all axes but {self.axis} must agree"
            )
        return State(inputs, (self._join(inputs),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = (ẋ_1, …, ẋ_r)."""
        given = self._directions(state, inputs)
        self._along(parameters)
        return Tangent((self._join([zeros_or(d, x) for d, x in zip(given, state.inputs, strict=True)]),), given)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return the parts of ȳ."""
        (seed,) = self._seeds(state, (y,))
        cuts = itertools.accumulate((x.shape[self.axis] for x in state.inputs), initial=0)
        behind = (slice(None),) * (-self.axis - 1)
        parts = (astype(seed[(..., slice(a, b), *behind)]) for a, b in itertools.pairwise(cuts))
        return Cotangent(tuple(parts), {}, (y,))

    def _join(self, arrays: Sequence[Array]) -> Array:
        return namespace(arrays[0]).concat(list(arrays), axis=self.axis)


def axis_from_end(axis: Any) -> int:
    """Return an axis that is counted from the end."""
    number = integer("axis", axis, -64)
    if number >= 0:
        raise ValueError(f"axis is {number}; count from the end, since any number of batch axes leads: −1 is the last")
    return number


def _shape(name: str, given: Any) -> tuple[int, ...]:
    if isinstance(given, Iterable) and not isinstance(given, str):
        return tuple(integer(f"{name}[{k}]", n, 0) for k, n in enumerate(given))
    return (integer(name, given, 0),)


def _some(kind: str, inputs: Sequence[Array]) -> None:
    if not inputs:
        raise TypeError(f"{kind} takes at least one array")


def _sum(arrays: Sequence[Array]) -> Array:
    """Return a new array, the sum of one or more."""
    if len(arrays) == 1:
        return astype(arrays[0])
    total = plus(arrays[0], arrays[1])
    for x in arrays[2:]:
        total = plus(total, x)
    return total
