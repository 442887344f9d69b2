"""The pointwise part of a machine: one activation per block, or multiplication by an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import Array, as_array, astype, namespace
from .core import Activation, Function

__all__ = ["Blockwise", "Diagonal", "Pointwise", "SlopeAt"]


class Diagonal:
    """A linear "activation": multiplication by an array, so that the machine is linear.

    Parameters
    ----------
    array : array, real or complex floating
        Broadcasts to y of shape (*batch, *grid, channel) without enlarging it. Copied.

    Notes
    -----
    σ(y) = a ⊙ y, slope a, cotangent ā = Σ y ⊙ u over the axes that were broadcast
    (arXiv:2204.12786, §3: linear machines). The array is a coefficient, not a parameter.
    """

    __slots__ = ("array",)
    array: Array

    def __init__(self, array: Array) -> None:
        object.__setattr__(self, "array", astype(as_array(array, "array of Diagonal")))

    @classmethod
    def trusted(cls, array: Array) -> Diagonal:
        """Wrap an array that nobody else will write to, without a copy; any dtype."""
        self = cls.__new__(cls)
        object.__setattr__(self, "array", array)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Diagonal does not change; make another")

    def __reduce__(self) -> tuple:
        return Diagonal.trusted, (self.array,)

    def __repr__(self) -> str:
        return f"Diagonal({'×'.join(map(str, self.array.shape)) or 'scalar'})"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    name = "diagonal"
    smoothness = math.inf

    def demand(self, k: int, what: str) -> None:
        """A linear map is of every class."""

    def value(self, y: Array) -> Array:
        return self.array * y

    def part(self, y: Array, index: tuple, block: int) -> Array:
        """Return σ on one index set: `index` places y in the whole, whose shape the array has been given."""
        return self.array[index] * y

    def on(self, shape: tuple[int, ...]) -> Diagonal:
        """Return the same with the array broadcast to `shape`, so that index sets can be cut out of it."""
        return Diagonal.trusted(namespace(self.array).broadcast_to(self.array, shape))

    def slope(self, y: Array) -> Array:
        """Return σ′(y) = a, broadcast to the shape of `y`."""
        return namespace(y).broadcast_to(self.array, y.shape)


class SlopeAt(Diagonal):
    """The slope σ′ at a state as a `Diagonal`, whose array is computed when first read.

    Plans compute it where they need it, tile by tile, and never read the array.

    Parameters
    ----------
    of : Blockwise
    y : array of shape (*batch, *grid, channel)
    value : array of that shape, or None
        σ(y), where nothing was added to it.
    """

    __slots__ = ("of", "value_at", "y")

    def __init__(self, of: Blockwise, y: Array, value: Array | None) -> None:
        for name, part in (("of", of), ("y", y), ("value_at", value)):
            object.__setattr__(self, name, part)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.y.shape)

    def __getattr__(self, name: str) -> Any:
        if name != "array":
            raise AttributeError(name)
        array = self.of.slope(self.y, self.value_at)
        object.__setattr__(self, "array", array)
        return array


class Blockwise:
    """One activation per channel block, seen as a single pointwise map.

    Parameters
    ----------
    activations : sequence of Activation
        One per block.
    blocks : sequence of slice
        The channels of each block.
    """

    __slots__ = ("activations", "blocks", "single")

    def __init__(self, activations: Sequence[Activation], blocks: Sequence[slice]) -> None:
        self.activations = tuple(activations)
        self.blocks = tuple(blocks)
        first = self.activations[0]
        self.single = first if all(a is first for a in self.activations) else None

    @property
    def smoothness(self) -> float:
        """The class of the roughest block that has channels."""
        kept = [a.smoothness for a, s in zip(self.activations, self.blocks, strict=True) if s.stop > s.start]
        return min(kept, default=math.inf)

    @property
    def name(self) -> str:
        return "/".join(dict.fromkeys(a.name for a in self.activations))

    def value(self, y: Array) -> Array:
        """Return σ(y) over all blocks."""
        return self._each(y, [a.value for a in self.activations])

    def part(self, y: Array, index: tuple, block: int) -> Array:
        """Return σ on one index set of one block."""
        return self.activations[block].value(y)

    def on(self, shape: tuple[int, ...]) -> Blockwise:
        return self

    def slope(self, y: Array, value: Array | None = None) -> Array:
        """Return σ′(y) over all blocks; from σ(y), where that is given and serves."""
        if value is not None and self.single is not None and self.single.slope_of_value is not None:
            return self._each(value, [self.single.slope_of_value])
        return self._each(y, [a.derivative for a in self.activations])

    def second(self, y: Array, value: Array | None = None) -> Array:
        """Return σ″(y) over all blocks; from σ(y), where that is given and serves."""
        if value is not None and self.single is not None and self.single.second_of_value is not None:
            return self._each(value, [self.single.second_of_value])
        return self._each(y, [a.second for a in self.activations])

    def third(self, y: Array, value: Array | None = None) -> Array:
        """Return σ‴(y) over all blocks; from σ(y), where that is given and serves."""
        if value is not None and self.single is not None and self.single.third_of_value is not None:
            return self._each(value, [self.single.third_of_value])
        return self._each(y, [a.third for a in self.activations])

    def demand(self, k: int, what: str) -> None:
        """Raise DerivativeError unless every block with channels is of class C^k and has its derivative of order k + 1.

        Parameters
        ----------
        what : str
            What needs it, for the message.
        """
        for activation, block in zip(self.activations, self.blocks, strict=True):
            if block.stop > block.start:
                activation.demand(k, what)

    def _each(self, y: Array, functions: list[Function]) -> Array:
        if all(f is functions[0] for f in functions):
            out = functions[0](y)
            return y + 0 if out is y else out
        pieces = [f(y[(..., s)]) for f, s in zip(functions, self.blocks, strict=True) if s.stop > s.start]
        return namespace(y).concat(pieces, axis=-1) if pieces else y + 0.0


Pointwise = Blockwise | Diagonal
"""The nonlinear part of a machine: `value`, `part`, `on`, `slope`."""
