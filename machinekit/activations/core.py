"""What an activation is: a pointwise map with hand-written derivatives and a declared class C^k."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..arrays import Array, as_array, astype, dtype_name, namespace, precision

__all__ = ["Activation", "Blockwise", "ComplexStep", "Diagonal", "Pointwise", "SlopeAt"]

Function = Callable[[Array], Array]
_STEP = 2.0**-70
"""Complex step; a power of two, so that dividing by it is exact. Its square is below every precision."""


@dataclass(frozen=True)
class ComplexStep:
    """The derivative of an analytic function by the complex step, Im f(y + ih)/h, exact to rounding."""

    function: Function
    name: str

    def __call__(self, y: Array) -> Array:
        if dtype_name(y).startswith("complex"):
            raise TypeError(
                f"activation {self.name!r} has no formula for its derivative at complex points "
                "(the complex step is taken); give one: mk.Activation(value, derivative)"
            )
        xp = namespace(y)
        wide = xp.complex64 if precision(y, "y") == "single" else xp.complex128
        value = self.function(astype(y, wide) + 1j * _STEP)
        if not dtype_name(value).startswith("complex"):
            raise TypeError(
                f"activation {self.name!r} returned {dtype_name(value)} at complex points, so the complex "
                "step cannot differentiate it; give a derivative: mk.Activation(value, derivative)"
            )
        return xp.imag(value) / _STEP


@dataclass(frozen=True)
class _Missing:
    """Stands for a derivative that was not given; raises when it is asked for."""

    name: str

    def __call__(self, y: Array) -> Array:
        raise TypeError(
            f"activation {self.name!r} has no second derivative; give its derivative (the complex step "
            "then gives the second) or both: mk.Activation(value, derivative, second)"
        )


@dataclass(frozen=True)
class Activation:
    """A pointwise nonlinearity σ with its derivatives.

    Parameters
    ----------
    value : callable
        σ, taking and returning an array of any shape, real or complex. Written against the
        namespace of its argument (``y.__array_namespace__()``) it serves every backend.
    derivative : callable, optional
        σ′. When left out, `value` is taken to be analytic and differentiated by the complex step.
    second : callable, optional
        σ″. When left out and `derivative` is given, by the complex step of `derivative`.
    name : str, optional
        What messages, `describe()` and saved files call it.
    smoothness : int or float, optional
        k of the class C^k (``math.inf`` allowed): a computation of order r needs C^(r−1). By default
        infinity for a bare value, else the number of derivatives given.
    kinks : tuple of float, optional
        Points where some derivative jumps; at a kink the derivative is a documented one-sided value.
    options : tuple of (str, float), optional
        The parameters of a parametrised built-in, kept for saving.
    slope_of_value : callable, optional
        σ′ as a function of σ(y), where there is a stable one; saves a transcendental per slope.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> cube = mk.Activation(lambda y: y**3, name="cube")
    >>> cube.derivative(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> mk.leaky_relu(0.25)(np.array([-4.0, 4.0]))
    array([-1.,  4.])
    """

    value: Function
    derivative: Function = None  # type: ignore[assignment]  # filled below
    second: Function = None  # type: ignore[assignment]
    name: str = ""
    smoothness: float = None  # type: ignore[assignment]
    kinks: tuple[float, ...] = ()
    options: tuple[tuple[str, float], ...] = ()
    slope_of_value: Function | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for role in ("value", "derivative", "second"):
            given = getattr(self, role)
            if not (callable(given) or (given is None and role != "value")):
                raise TypeError(f"{role} is {given!r}; pass a function of one array")
        if self.derivative is None and self.second is not None:
            raise TypeError("second is given without derivative; give both, or neither")
        given_count = (self.derivative is not None) + (self.second is not None)
        fill = object.__setattr__
        if not self.name:
            fill(self, "name", getattr(self.value, "__name__", "activation"))
        if self.smoothness is None:
            fill(self, "smoothness", given_count or math.inf)
        if self.second is None:
            fill(self, "second", ComplexStep(self.derivative, self.name + "'") if given_count else _Missing(self.name))
        if self.derivative is None:
            fill(self, "derivative", ComplexStep(self.value, self.name))

    def __call__(self, y: Array) -> Array:
        """Return σ(y), of the shape of `y`."""
        return self.value(y)

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value:g}" for key, value in self.options)
        return f"<{self.name}({options})>" if options else f"<{self.name}>"


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

    def second(self, y: Array) -> Array:
        """Return σ″(y) over all blocks."""
        return self._each(y, [a.second for a in self.activations])

    def _each(self, y: Array, functions: list[Function]) -> Array:
        if all(f is functions[0] for f in functions):
            out = functions[0](y)
            return y + 0 if out is y else out
        pieces = [f(y[(..., s)]) for f, s in zip(functions, self.blocks, strict=True) if s.stop > s.start]
        return namespace(y).concat(pieces, axis=-1) if pieces else y + 0.0


Pointwise = Blockwise | Diagonal
"""The nonlinear part of a machine: `value`, `part`, `on`, `slope`."""
