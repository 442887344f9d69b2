"""The frozen answers of the verbs: State, Tangent, Cotangent.

An op f: X_1 × … × X_r → (Y_1, …, Y_q) answers every verb with a record that holds all that the
next verb needs, so that nothing is hidden in the op between forward and backward. The records
of a machine carry the paper's names for the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from types import MappingProxyType
from typing import Any

import numpy as np

from .arrays import Array

__all__ = ["Cotangent", "MachineCotangent", "MachineState", "MachineTangent", "State", "Tangent", "machine_state"]

Arrays = tuple[Any, ...]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class _lazy:
    """An attribute computed when first asked for and then kept: `functools.cached_property` without its lock."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make, self.name = make, make.__name__
        update_wrapper(self, make)  # type: ignore[arg-type]

    def __get__(self, record: Any, owner: Any = None) -> Any:
        if record is None:
            return self
        value = record.__dict__[self.name] = self.make(record)
        return value


class _Record:
    """A record that is filled once. Its arrays are the caller's to read; to write to them breaks later verbs."""

    _shown: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is a record and does not change; make another to set {name!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={_shape(getattr(self, key))}' for key in self._shown)})"

    def __getstate__(self) -> dict[str, Any]:
        state = {k: dict(v) if isinstance(v, MappingProxyType) else v for k, v in self.__dict__.items()}
        return {**state, "of": None} if "of" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _shape(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shape, value)) + ")"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shape(v)}" for key, v in value.items()) + "}"
    return "×".join(map(str, value.shape)) or "scalar" if hasattr(value, "shape") else repr(value)


class State(_Record):
    """What running an op has produced.

    ``State(inputs, outputs)`` of two tuples is the state of any op; ``State(y, z)`` of two arrays is
    that of a machine, accepted wherever a machine takes a state.

    Parameters
    ----------
    inputs, outputs : tuple of arrays
        As passed in, and as computed.
    saved : object, optional
        Whatever else the op's pullback needs: an argmax, the states of parts, statistics.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> mk.State(np.zeros((3, 2)), np.ones((3, 2)))
    MachineState(y=3×2, z=3×2)
    """

    _shown: tuple[str, ...] = ("inputs", "outputs")
    inputs: Arrays
    outputs: Arrays
    saved: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        bare = cls is State and ("y" in kwargs or (args and not isinstance(args[0], tuple)))
        return object.__new__(MachineState if bare else cls)

    def __init__(self, inputs: Arrays, outputs: Arrays, saved: Any = None) -> None:
        self.__dict__.update(inputs=tuple(inputs), outputs=tuple(outputs), saved=saved)


class MachineState(State):
    """The state x = (y, z) of a machine.

    Attributes
    ----------
    y, z : arrays of shape (*batch, *grid, channel)
        Before and after the nonlinearity, over all channels.
    inputs : tuple of arrays
        (y0,) or (y0, z0) as they were given; empty if the state was built from y and z.
    outputs : tuple
        (z,).
    widths : tuple of int
        Channel counts of y0 and z0.
    slope : array or None
        σ′(y), where the sweep had it at hand.
    info : mapping
        What an iterative solver reports; empty for machines of finite depth.
    of : Pointwise or None
        The σ for which z is exactly σ(y), nothing having been added; slopes may then come from z.
    """

    _shown = ("y", "z")
    y: Array
    z: Array
    widths: tuple[int, int]
    slope: Array | None
    info: Mapping[str, Any]
    of: Any

    def __init__(
        self,
        y: Array,
        z: Array,
        *,
        inputs: Arrays = (),
        widths: tuple[int, int] | None = None,
        slope: Array | None = None,
        info: Mapping[str, Any] = _NOTHING,
        of: Any = None,
    ) -> None:
        if widths is None:
            widths = (y.shape[-1], y.shape[-1])
        self.__dict__.update({
            "y": y, "z": z, "inputs": inputs, "outputs": (z,), "widths": widths, "slope": slope,
            "info": info, "of": of, "saved": None,
        })  # fmt: skip


def machine_state(y: Array, z: Array, inputs: Arrays, widths: tuple[int, int], of: Any) -> MachineState:
    """Return a `MachineState` without the ceremony of its constructor, which small machines would feel."""
    state = object.__new__(MachineState)
    object.__setattr__(state, "__dict__", {
        "y": y, "z": z, "inputs": inputs, "outputs": (z,), "widths": widths, "slope": None,
        "info": _NOTHING, "of": of, "saved": None,
    })  # fmt: skip
    return state


class Tangent(_Record):
    """A directional derivative of an op at a state.

    Attributes
    ----------
    outputs : tuple of arrays
        The derivative of the outputs.
    inputs : tuple of arrays or None
        The directions of the inputs; None is zero.
    parameters : mapping of str to array
        The directions of the parameters.
    saved : object
    """

    _shown: tuple[str, ...] = ("outputs",)
    outputs: Arrays
    inputs: Arrays
    parameters: Mapping[str, Array]
    saved: Any

    def __init__(
        self, outputs: Arrays, inputs: Arrays = (), parameters: Mapping[str, Array] = _NOTHING, saved: Any = None
    ) -> None:
        self.__dict__.update(outputs=tuple(outputs), inputs=tuple(inputs), parameters=parameters, saved=saved)


class MachineTangent(Tangent):
    """The derivative (ẏ, ż) of a machine's state, as ``.y`` and ``.z``."""

    _shown = ("y", "z")
    y: Array
    z: Array

    def __init__(self, y: Array, z: Array, inputs: Arrays, parameters: Mapping[str, Array]) -> None:
        super().__init__((z,), inputs, parameters)
        self.__dict__.update(y=y, z=z)


class Cotangent(_Record):
    """The pullback of seeds through an op at a state.

    Attributes
    ----------
    inputs : tuple of arrays
        One per input of the state, of that input's shape.
    parameters : mapping of str to array
        One per parameter, summed over batch and grid, exactly zero where a parameter is dead.
    outputs : tuple of arrays or None
        The seeds.
    contributions : mapping of str to array
        For containers: the part of each occurrence of a shared parameter.
    saved : object
    """

    _shown: tuple[str, ...] = ("inputs", "parameters")
    inputs: Arrays
    parameters: Mapping[str, Array]
    outputs: Arrays
    saved: Any
    contributions: Mapping[str, Array]

    def __init__(
        self,
        inputs: Arrays,
        parameters: Mapping[str, Array] = _NOTHING,
        outputs: Arrays = (),
        saved: Any = None,
        contributions: Mapping[str, Array] = _NOTHING,
    ) -> None:
        self.__dict__.update(
            inputs=tuple(inputs), parameters=parameters, outputs=tuple(outputs), saved=saved,
            contributions=contributions,
        )  # fmt: skip


class MachineCotangent(Cotangent):
    """The cotangents of a machine's inputs and parameters.

    Attributes
    ----------
    y0, z0 : arrays
        Cotangents of the inputs, with the inputs' own channel counts; copied out of the dual
        solution when first asked for.
    weight : array of shape (*lag, in, out)
    bias, slope : array or None
        None where the machine has no bias, or is not linear.
    saved : State
        The dual solution (u, v) over all channels.
    outputs : tuple
        The seeds (on z, on y); `pullback` takes them in this order.
    """

    _shown = ("y0", "z0", "parameters")
    weight: Array
    bias: Array | None
    slope: Array | None
    saved: MachineState
    _widths: tuple[int, int]
    _arity: int

    def __init__(
        self,
        saved: MachineState,
        widths: tuple[int, int],
        arity: int,
        seeds: Arrays,
        parameters: Mapping[str, Array],
        slope: Array | None,
    ) -> None:
        object.__setattr__(self, "__dict__", {
            "saved": saved, "outputs": seeds, "parameters": parameters, "weight": parameters["weight"],
            "bias": parameters.get("bias"), "slope": slope, "contributions": _NOTHING, "_widths": widths,
            "_arity": arity,
        })  # fmt: skip

    @_lazy
    def y0(self) -> Array:
        """v, cut to the channels of y0."""
        return _copied(self.saved.z, self._widths[0])

    @_lazy
    def z0(self) -> Array:
        """u, cut to the channels of z0."""
        return _copied(self.saved.y, self._widths[1])

    @_lazy
    def inputs(self) -> Arrays:
        """The cotangents of the state's inputs."""
        return (self.y0, self.z0)[: self._arity]


def _copied(array: Array, width: int) -> Array:
    part = array if width == array.shape[-1] else array[(..., slice(0, width))]
    return part.copy() if isinstance(part, np.ndarray) else part + 0
