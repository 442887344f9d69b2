"""Select and Embed: some channels out of all, and all channels out of some; each is the other's transpose."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from ..arrays import Array, astype, backend_of, namespace
from ..machines.build import integer, read_sizes
from ..records import Cotangent, State, Tangent
from .leaf import Leaf, zeros_or
from .op import Linear

__all__ = ["Embed", "Select"]

Span = tuple[int | None, int | None]


class Select(Linear, Leaf):
    """Some of the channels, in the order in which they are named.

    Parameters
    ----------
    blocks : slice, int, or a sequence of these
        A slice of step 1 names channels, as in ``slice(5, 8)`` or ``slice(-1, None)``; inside a sequence a pair
        ``(start, stop)`` stands for it. An integer names a block of `sizes`, negative ones from the last. What
        is named twice is there twice.
    sizes : sequence of int, optional
        The block sizes, as in ``mk.Select(-1, sizes=machine.sizes)``: the last block of a machine's z. Needed
        with block numbers; the input then has as many channels as they sum to.

    Raises
    ------
    ValueError
        No such block; a slice of another step or that runs backwards; when called, an input that is too narrow
        for a slice (nothing is clipped) or not as wide as the blocks.
    TypeError
        Anything else; block numbers without `sizes`; when called, no array.

    Notes
    -----
    y = (x[a_1:b_1], x[a_2:b_2], …) over the last axis. Linear: ẏ selects from ẋ, and x̄ has ȳ in the place it came
    from, summed where it was named twice, zero elsewhere. For one slice the transpose is an `mk.Embed`.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> machine = mk.DenseMachine((2, 1, 2), rng=0)
    >>> last = mk.Select([0, -1], sizes=machine.sizes)
    >>> state = last.solve(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    >>> state.outputs[0], last.pullback(state, state.outputs[0]).inputs[0]
    (array([[1., 2., 4., 5.]]), array([[1., 2., 0., 4., 5.]]))
    >>> mk.Select(slice(0, 2))(state.inputs[0])
    array([[1., 2.]])
    """

    reads_outputs = False
    blocks: tuple[int | Span, ...]
    sizes: tuple[int, ...] | None
    spans: tuple[Span, ...]

    def __init__(self, blocks: Any, *, sizes: Sequence[int] | None = None) -> None:
        known = None if sizes is None else read_sizes(sizes)
        one = isinstance(blocks, slice | str) or not isinstance(blocks, Iterable)
        named = {"blocks": blocks} if one else {f"blocks[{k}]": block for k, block in enumerate(blocks)}
        read = tuple(_block(name, block, known) for name, block in named.items())
        self._fill({}, blocks=read, sizes=known)
        cuts = tuple(itertools.pairwise(itertools.accumulate(known or (), initial=0)))
        self.__dict__["spans"] = tuple(block if isinstance(block, tuple) else cuts[block] for block in read)

    def __repr__(self) -> str:
        named = ", ".join(f"slice{block}" if isinstance(block, tuple) else str(block) for block in self.blocks)
        named = named if len(self.blocks) == 1 else f"[{named}]"
        return f"Select({named})" if self.sizes is None else f"Select({named}, sizes={self.sizes})"

    def solve(self, *inputs: Array) -> State:
        """Return the state of the selected channels.

        Parameters
        ----------
        x : array of shape (*batch, *grid, channel)
        """
        (x,) = self._one(inputs)
        self._check(x)
        return State(inputs, (self._select(x),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return the selected channels of ẋ."""
        given = self._directions(state, inputs)
        self._along(parameters)
        return Tangent((self._select(zeros_or(given[0], state.inputs[0])),), given)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄, ȳ where it came from and zero elsewhere."""
        (seed,) = self._seeds(state, (y,))
        shape = tuple(state.inputs[0].shape)
        back, place = backend_of(seed).zeros(shape, seed.dtype), 0
        for span in self.spans:
            start, stop, _ = slice(*span).indices(shape[-1])
            back[(..., slice(start, stop))] += seed[(..., slice(place, place + stop - start))]
            place += stop - start
        return Cotangent((back,), {}, (y,))

    def _check(self, x: Array) -> None:
        if not x.ndim:
            raise ValueError(f"inputs[0] has shape (); {self!r} selects from a channel axis")
        n = x.shape[-1]
        if self.sizes is not None and n != sum(self.sizes):
            raise ValueError(f"inputs[0] has {n} channels but sizes {self.sizes} sum to {sum(self.sizes)}")
        for start, stop in self.spans:
            first, last = (0 if start is None else start), (n if stop is None else stop)
            if not (-n <= first <= n and -n <= last <= n):
                raise ValueError(f"inputs[0] has {n} channels, too few for slice({start}, {stop}); nothing is clipped")
            if first + n * (first < 0) > last + n * (last < 0):
                raise ValueError(f"slice({start}, {stop}) runs backwards on the {n} channels of inputs[0]")

    def _select(self, x: Array) -> Array:
        parts = [x[(..., slice(*span))] for span in self.spans]
        return namespace(x).concat(parts, axis=-1) if parts else astype(x[(..., slice(0, 0))])


class Embed(Linear, Leaf):
    """All channels out of some: x where it belongs, zero elsewhere.

    Parameters
    ----------
    channels : int
        Channels of y.
    start : int
        The channel of y where x begins; x may have up to channels − start channels.

    Raises
    ------
    ValueError
        A negative count, a start beyond the end; when called, an input too wide.
    TypeError
        Anything but integers; when called, no array.

    Notes
    -----
    y[start + c] = x[c]. Linear: ẏ embeds ẋ, and x̄[c] = ȳ[start + c], which is `mk.Select` of that slice.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.Embed(4, 1)
    >>> state = op.solve(np.array([1.0, 2.0]))
    >>> state.outputs[0], op.pullback(state, np.array([3.0, 4.0, 5.0, 6.0])).inputs[0]
    (array([0., 1., 2., 0.]), array([4., 5.]))
    """

    reads_outputs = False
    channels: int
    start: int

    def __init__(self, channels: int, start: int = 0) -> None:
        channels, start = integer("channels", channels, 0), integer("start", start, 0)
        if start > channels:
            raise ValueError(f"start is {start} but there are {channels} channels; begin at one of them")
        self._fill({}, channels=channels, start=start)

    def __repr__(self) -> str:
        return f"Embed({self.channels}, start={self.start})"

    def solve(self, *inputs: Array) -> State:
        """Return the state of the embedded channels.

        Parameters
        ----------
        x : array of shape (*batch, *grid, channel)
        """
        (x,) = self._one(inputs)
        if not x.ndim or self.start + x.shape[-1] > self.channels:
            raise ValueError(
                f"inputs[0] has shape {tuple(x.shape)}; {self!r} reads a channel axis of at most "
                f"{self.channels - self.start}"
            )
        return State(inputs, (self._embed(x),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẋ embedded."""
        given = self._directions(state, inputs)
        self._along(parameters)
        return Tangent((self._embed(zeros_or(given[0], state.inputs[0])),), given)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return the part of ȳ where x is."""
        (seed,) = self._seeds(state, (y,))
        return Cotangent((astype(seed[self._place(state.inputs[0])]),), {}, (y,))

    def _place(self, x: Array) -> tuple:
        return (..., slice(self.start, self.start + x.shape[-1]))

    def _embed(self, x: Array) -> Array:
        y = backend_of(x).zeros((*x.shape[:-1], self.channels), x.dtype)
        y[self._place(x)] = x
        return y


def _block(name: str, given: Any, sizes: tuple[int, ...] | None) -> int | Span:
    """Return a block number from the first, or the bounds of a slice."""
    if isinstance(given, slice):
        if given.step not in (None, 1):
            raise ValueError(f"{name} is {given}; pass a slice of step 1")
        return _bound(name, given.start), _bound(name, given.stop)
    if isinstance(given, tuple | list) and len(given) == 2:
        return _bound(name, given[0]), _bound(name, given[1])
    try:
        number = operator.index(given)
    except TypeError:
        raise TypeError(f"{name} is {given!r}; pass a slice of channels, or a block number and sizes=…") from None
    if sizes is None:
        raise TypeError(f"{name} is {number}, the number of a block; pass sizes=machine.sizes with it, or a slice")
    if not -len(sizes) <= number < len(sizes):
        raise ValueError(f"{name} is {number} but sizes {sizes} has {len(sizes)} blocks, 0 to {len(sizes) - 1}")
    return number % len(sizes)


def _bound(name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} has the bound {value!r}; pass integers or None") from None
