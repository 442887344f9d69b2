"""Leaf: what ops with and without parameters of their own share, which is all but their formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from ..arrays import (
    Array,
    Backend,
    add_to,
    as_array,
    astype,
    backend_of,
    check_alike,
    namespace,
    pick_backend,
    plainly_alike,
    precision,
    to_host,
)
from ..machines.build import cast, read_dtype
from ..records import Cotangent, State, Tangent
from .op import Op, check_records

__all__ = ["Leaf", "Motion", "given_array", "total", "zeros_or"]


class Motion(NamedTuple):
    """What moves the pullback of an op of one output; None is zero.

    Attributes
    ----------
    inputs : tuple of arrays or None
        ẋ.
    parameters : dict of str to array
        The directions that are not zero.
    seed, change : array or None
        ȳ and ȳ˙.
    """

    inputs: tuple[Array | None, ...]
    parameters: dict[str, Array]
    seed: Array | None
    change: Array | None


class Leaf(Op):
    """Base of the built-in ops that are no containers: immutable, with named parameters and options.

    A subclass sets its options and parameters once, by `_fill`, and writes the formulas: ``solve(*inputs)``,
    ``pushforward(state, *inputs, **parameters)``, ``pullback(state, *outputs)`` and, unless it is `Linear`,
    ``pullback_tangent(state, cotangent, tangent, *outputs)``.
    """

    _parameters: Mapping[str, Array]
    _options: Mapping[str, Any] = MappingProxyType({})

    def _fill(self, parameters: Mapping[str, Array | None], **options: Any) -> None:
        """Set parameters, None being absent, and options; parameters are not to be written to from now on."""
        kept = {name: array for name, array in parameters.items() if array is not None}
        for array in kept.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        absent = {name: None for name in parameters if name not in kept}
        chosen = options or dict(self._options)
        self.__dict__.update(chosen, **absent, **kept, _parameters=kept, _options=chosen)

    def _with(self, parameters: Mapping[str, Array]) -> Self:
        """Return the same op with other parameters."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._fill({**self._parameters, **parameters})
        return new

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def backend(self) -> str | None:
        """Name of the library that holds the parameters; None without parameters."""
        return next((backend_of(a).name for a in self._parameters.values()), None)

    def parameters(self) -> dict[str, Array]:
        """Return the trainable arrays by name."""
        return dict(self._parameters)

    def replace(self, **parameters: Array) -> Self:
        """Return the op with other parameters, of the same shapes and precision.

        Raises
        ------
        ValueError, TypeError
            Wrong shape; another library or precision; an unknown name.
        """
        new = {}
        for name, array in parameters.items():
            shape = self._shape_of(name)
            check_alike("op", self._parameters[name], {name: array})
            new[name] = given_array(name, array, shape)
        return self._with(new)

    def _shape_of(self, name: str) -> tuple[int, ...]:
        if name not in self._parameters:
            raise TypeError(f"{name!r} is no parameter of {self!r}; it has {', '.join(self._parameters) or 'none'}")
        return tuple(self._parameters[name].shape)

    def to(self, backend: str | Backend) -> Self:
        """Return a copy on another backend; see `Machine.to`."""
        home = pick_backend(backend)
        return self._with({name: home.from_host(to_host(a)) for name, a in self._parameters.items()})

    def astype(self, dtype: Any) -> Self:
        """Return a copy in another precision or kind; see `Machine.astype`."""
        name = read_dtype(dtype)
        for key, array in self._parameters.items():
            if "complex" in str(array.dtype) and not name.startswith("complex"):
                raise TypeError(f"{key} is {array.dtype} and would lose its imaginary part as {name}; replace it")
        return self._with({key: cast(a, name) for key, a in self._parameters.items()})

    # What the formulas need checked -------------------------------------------------------------

    def _one(self, inputs: Sequence[Array], count: int = 1) -> tuple[Array, ...]:
        """Check that there are `count` inputs, all arrays of one library and precision, and the op's own."""
        if len(inputs) != count:
            raise TypeError(f"{type(self).__name__} takes {count} array{'s' * (count != 1)}, not {len(inputs)}")
        self._alike(inputs)
        return tuple(inputs)

    def _alike(self, inputs: Sequence[Array]) -> None:
        """Check that inputs are arrays of one library and precision, and the op's own."""
        first = next(iter(self._parameters.values()), inputs[0] if inputs else None)
        for x in inputs:
            if not plainly_alike(x, first):
                break
        else:
            return
        named = {f"inputs[{k}]": as_array(x, f"inputs[{k}]") for k, x in enumerate(inputs)}
        check_alike("op" if self._parameters else "inputs[0]", first, named)

    def _directions(self, state: State, inputs: Sequence[Array | None]) -> tuple[Array | None, ...]:
        """Check directions of the inputs; no direction at all is zero for each."""
        given = tuple(inputs) or (None,) * len(state.inputs)
        if len(given) != len(state.inputs):
            raise TypeError(f"{len(given)} directions for {len(state.inputs)} inputs; pass one per input, None is zero")
        for k, (x, d) in enumerate(zip(state.inputs, given, strict=True)):
            _fits(f"inputs[{k}]", d, x, "a direction has the input's")
        return given

    def _along(self, parameters: Mapping[str, Array | None]) -> dict[str, Array]:
        """Check directions of parameters and leave out those that are zero."""
        for name, direction in parameters.items():
            shape = self._shape_of(name)
            if direction is not None:
                check_alike("op", self._parameters[name], {name: direction})
                if tuple(direction.shape) != shape:
                    raise ValueError(f"{name} has shape {tuple(direction.shape)}; its direction has the shape {shape}")
        return {name: d for name, d in parameters.items() if d is not None}

    def _seeds(self, state: State, outputs: Sequence[Array | None]) -> tuple[Array, ...]:
        """Check seeds and return them, zeros for None; no seed at all is zero for each output."""
        if len(outputs) == 1 == len(state.outputs):
            (seed,), (y,) = outputs, state.outputs
            if seed is not None and plainly_alike(seed, y) and seed.shape == y.shape:
                return (seed,)
        given = self._given(state, outputs)
        return tuple(zeros_or(seed, y) for seed, y in zip(given, state.outputs, strict=True))

    def _given(self, state: State, outputs: Sequence[Array | None]) -> tuple[Array | None, ...]:
        """Check seeds, or their changes; no seed at all is zero for each output."""
        given = tuple(outputs) or (None,) * len(state.outputs)
        if len(given) != len(state.outputs):
            raise TypeError(f"{len(given)} seeds for {len(state.outputs)} outputs; pass one per output, None is zero")
        for k, (y, seed) in enumerate(zip(state.outputs, given, strict=True)):
            _fits("y" if len(given) == 1 else f"outputs[{k}]", seed, y, "a seed has the output's")
        return given

    def _motion(self, state: State, cotangent: Cotangent, tangent: Tangent, outputs: Sequence[Array | None]) -> Motion:
        """Check what `pullback_tangent` of an op of one output is given."""
        check_records(cotangent, tangent)
        for name, found, like in (
            ("cotangent.inputs", cotangent.inputs, state.inputs),
            ("tangent.outputs", tangent.outputs, state.outputs),
        ):
            if len(found) != len(like):
                raise TypeError(f"{name} has {len(found)} arrays but this state {len(like)}; pass that of this state")
            for k, (a, b) in enumerate(zip(found, like, strict=True)):
                _fits(f"{name}[{k}]", a, b, "at this state it has")
        (seed,), (change,) = self._given(state, cotangent.outputs), self._given(state, outputs)
        return Motion(self._directions(state, tangent.inputs), self._along(tangent.parameters), seed, change)


def _fits(name: str, given: Array | None, like: Array, rule: str) -> None:
    if given is None:
        return
    if plainly_alike(given, like) and given.shape == like.shape:
        return
    as_array(given, name)
    check_alike("the state", like, {name: given})
    if tuple(given.shape) != tuple(like.shape):
        raise ValueError(f"{name} has shape {tuple(given.shape)}; {rule} {tuple(like.shape)}")


def zeros_or(given: Array | None, like: Array) -> Array:
    """Return an array, or zeros like another where it is None."""
    return namespace(like).zeros_like(like) if given is None else given


def total(terms: Iterable[Array | None], like: Array) -> Array:
    """Return the sum of arrays that are nobody else's, None being zero; zeros like another array if there is none."""
    kept = [a for a in terms if a is not None]
    return reduce(add_to, kept) if kept else namespace(like).zeros_like(like)


def given_array(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """Return a copy of a user's array.

    Raises
    ------
    ValueError, TypeError
        Another shape; not a floating array.
    """
    precision(as_array(array, name), name)
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(array.shape)}; pass {shape}")
    return astype(array)
