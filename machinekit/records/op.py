"""The frozen answers of the verbs: State, Tangent, Cotangent.

An op f: X_1 × … × X_r → (Y_1, …, Y_q) answers every verb with a record that holds all that the
next verb needs, so that nothing is hidden in the op between forward and backward. The records
of a machine carry the paper's names for the same arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..arrays import Array

__all__ = ["NOTHING", "Arrays", "Cotangent", "State", "Tangent"]

Arrays = tuple[Any, ...]
NOTHING: Mapping[str, Any] = MappingProxyType({})


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
        if cls is not State or (args and type(args[0]) is tuple):
            return object.__new__(cls)
        if "y" in kwargs or (args and not isinstance(args[0], tuple)):
            from .machine import MachineState

            return object.__new__(MachineState)
        return object.__new__(cls)

    def __init__(self, inputs: Arrays, outputs: Arrays, saved: Any = None) -> None:
        mine = self.__dict__
        mine["inputs"], mine["outputs"], mine["saved"] = tuple(inputs), tuple(outputs), saved


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
        self, outputs: Arrays, inputs: Arrays = (), parameters: Mapping[str, Array] = NOTHING, saved: Any = None
    ) -> None:
        self.__dict__.update(outputs=tuple(outputs), inputs=tuple(inputs), parameters=parameters, saved=saved)


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
        parameters: Mapping[str, Array] = NOTHING,
        outputs: Arrays = (),
        saved: Any = None,
        contributions: Mapping[str, Array] = NOTHING,
    ) -> None:
        mine = self.__dict__
        mine["inputs"], mine["outputs"], mine["saved"] = tuple(inputs), tuple(outputs), saved
        mine["parameters"], mine["contributions"] = parameters, contributions
