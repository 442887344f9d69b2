"""Builder: blocks and layers one by one, and what a model hands on from one op to the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .maps import IDENTITY
from .structure import Layer, Piece, Structure, Term

__all__ = ["Builder", "Channels", "Pending", "Value"]

Channels = tuple[tuple[int, int, int], ...]
"""(block, start, stop): the channels of a value that a block is."""


class Value(NamedTuple):
    """An array between ops, by the blocks whose concatenation it is.

    Attributes
    ----------
    blocks : tuple of int
    shape : tuple of int
        Of a sample.
    channels : tuple of (block, start, stop) or None
        The channels of each block, where they are known: what a machine hands on.
    """

    blocks: tuple[int, ...]
    shape: tuple[int, ...]
    channels: Channels | None = None


class Pending(NamedTuple):
    """An array between ops that no block holds as yet: further pieces may still join its layer.

    Attributes
    ----------
    terms : tuple of Term
    pieces : tuple of Piece
    shape : tuple of int
        Of a sample.
    name : str
        Of the op that it came from, and of the block that it may get.
    shown : bool
        Whether that block is part of the answer.
    """

    terms: tuple[Term, ...]
    pieces: tuple[Piece, ...]
    shape: tuple[int, ...]
    name: str
    shown: bool = False


class Builder:
    """A structure in the making. Blocks are numbered in the order in which they are made."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.starts: list[float] = []
        self.inputs: list[bool] = []
        self.layers: list[Layer] = []
        self.shown: list[str] = []

    def block(self, name: str, start: float | None = None, shown: bool = True) -> int:
        """Return the number of a new block.

        Parameters
        ----------
        start : float, optional
            Of a start that varies, a bound of its norm, which may be 0.
        shown : bool
            Whether it is part of the answer; an inner value, or a start that only enters a layer, is not.
        """
        self.names.append(name)
        self.starts.append(0.0 if start is None else start)
        self.inputs.append(start is not None)
        if shown:
            self.shown.append(name)
        return len(self.names) - 1

    def layer(self, target: int, terms: Iterable[Term], pieces: Iterable[Piece] = ()) -> None:
        """Add a layer into a block."""
        self.layers.append(Layer(target, tuple(terms), tuple(pieces), self.names[target]))

    def add(self, target: int, value: Value | Pending) -> None:
        """Add an array between ops to a block, by a layer of its own."""
        if isinstance(value, Pending):
            self.layer(target, value.terms, value.pieces)
        else:
            self.layer(target, (Term(IDENTITY, value.blocks),))

    def hold(self, value: Value | Pending) -> Value:
        """Return a value in blocks; what is pending gets one."""
        if isinstance(value, Value):
            return value
        target = self.block(value.name, shown=value.shown)
        self.add(target, value)
        return Value((target,), value.shape)

    def structure(self) -> Structure:
        """Return what was made."""
        return Structure(tuple(self.names), tuple(self.starts), tuple(self.layers), tuple(self.inputs))
