"""The records of a hypergraph: arrays by position, as of any op, and by the names of the spaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arrays import Array
from .op import NOTHING, Arrays, Cotangent, State, Tangent

__all__ = ["ByName", "GraphCotangent", "GraphState", "GraphTangent"]


class ByName(tuple[Any, ...]):
    """Arrays in a fixed order, to be read by the names of spaces too.

    Parameters
    ----------
    names : tuple of str
        One per position.
    arrays : mapping of str to array
        At least those; others can be read by name only.
    """

    names: tuple[str, ...]
    _arrays: Mapping[str, Any]

    def __new__(cls, names: tuple[str, ...], arrays: Mapping[str, Any]) -> ByName:
        self = super().__new__(cls, [arrays[name] for name in names])
        self.names, self._arrays = names, arrays
        return self

    def __getitem__(self, key: Any) -> Any:
        """Return the array of a position, or of a space.

        Raises
        ------
        KeyError
            For a name that is no space's; the message tells those that are.
        """
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self._arrays:
            raise KeyError(f"{key!r} is not here; there are {', '.join(self._arrays) or 'none'}")
        return self._arrays[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.names, dict(self._arrays))


class _BySpace:
    """Arrays that are read by the name of their space."""

    spaces: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return the array of a space.

        Raises
        ------
        KeyError
            For a name that is no space's; the message tells those that are.
        """
        if name not in self.spaces:
            raise KeyError(f"{name!r} is no space; there are {', '.join(self.spaces)}")
        return self.spaces[name]


class GraphState(_BySpace, State):
    """What running a hypergraph has produced.

    Attributes
    ----------
    inputs, outputs : ByName
        The inputs that were given; the spaces that nobody reads, or those of the signature.
    spaces : mapping of str to array
        The value of every space; ``state["x3"]`` is short for it.
    saved : tuple of State
        One per edge, in declaration order.
    info : Info, or an empty mapping
        How the cycles were solved, sample by sample: steps, residual ‖x − f(x) − x0‖₂, converged, status, and one
        solver per cycle; empty where there is none.
    """

    inputs: ByName
    outputs: ByName

    def __init__(
        self,
        inputs: ByName,
        outputs: ByName,
        saved: Any,
        spaces: Mapping[str, Array],
        info: Mapping[str, Any] = NOTHING,
    ) -> None:
        self.__dict__.update(inputs=inputs, outputs=outputs, saved=saved, spaces=spaces, info=info)


class GraphTangent(_BySpace, Tangent):
    """A directional derivative of a hypergraph; ``tangent["x3"]`` is that of a space, None if it is zero.

    Attributes
    ----------
    outputs, inputs : ByName
    spaces : mapping of str to array or None
    saved : tuple of Tangent
        One per edge, in declaration order.
    info : Info, or an empty mapping
        How the tangents of the cycles were solved.
    """

    def __init__(
        self,
        outputs: ByName,
        inputs: Arrays,
        parameters: Mapping[str, Array],
        saved: Any,
        spaces: Mapping[str, Any],
        info: Mapping[str, Any] = NOTHING,
    ) -> None:
        self.__dict__.update(
            outputs=outputs, inputs=inputs, parameters=parameters, saved=saved, spaces=spaces, info=info
        )


class GraphCotangent(Cotangent):
    """The pullback of seeds through a hypergraph.

    Attributes
    ----------
    inputs : ByName
        One per input of the state, by position; by name that of every space, for each may have an input.
    parameters, contributions : mapping of str to array
        The sums, and the part of every place of a shared parameter.
    outputs : tuple of arrays or None
        The seeds of the outputs.
    saved : tuple of Cotangent
        One per edge, in declaration order.
    info : Info, or an empty mapping
        How the duals of the cycles were solved.
    """

    inputs: ByName

    def __init__(
        self,
        inputs: ByName,
        parameters: Mapping[str, Array] = NOTHING,
        outputs: Arrays = (),
        saved: Any = None,
        contributions: Mapping[str, Array] = NOTHING,
        info: Mapping[str, Any] = NOTHING,
    ) -> None:
        self.__dict__.update(
            inputs=inputs, parameters=parameters, outputs=tuple(outputs), saved=saved, contributions=contributions,
            info=info,
        )  # fmt: skip
