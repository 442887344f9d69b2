"""Container: what networks of ops share, whatever their order: parameters, sharing, moving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ..arrays import Array
from .op import Op, check_records, moved
from .sharing import Sharing

__all__ = ["Container", "records_inside"]


class Container(Op):
    """Base of ops that are made of ops; a subclass sets `sharing` and writes `with_parts` and the verbs."""

    _what: str
    sharing: Sharing

    def parts(self) -> dict[str, Any]:
        """Return the ops by name."""
        return dict(self.sharing.parts)

    def with_parts(self, parts: Mapping[str, Any]) -> Self:
        """Return the same structure of other ops."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Array]:
        """Return all parameters, shared ones once."""
        return self.sharing.parameters()

    @property
    def live(self) -> dict[str, np.ndarray]:
        """Masks of the parameters that are not live throughout."""
        return self.sharing.live()

    def replace(self, **parameters: Array) -> Self:
        """Return a copy with other parameters; sharing is kept.

        Raises
        ------
        TypeError
            For a name that is not listed by `parameters`.
        """
        return self.with_parts(self.sharing.replace(parameters, self._what))

    def to(self, backend: str) -> Self:
        """Return a copy on another backend; see `Machine.to`."""
        return self.with_parts(self.sharing.map(lambda _, leaf: moved(leaf, "to", backend)))

    def astype(self, dtype: Any) -> Self:
        """Return a copy in another precision or kind; see `Machine.astype`."""
        return self.with_parts(self.sharing.map(lambda _, leaf: moved(leaf, "astype", dtype)))


def records_inside(container: Container, cotangent: Any, tangent: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the cotangents and the tangents of the ops inside, which those of a container keep.

    Raises
    ------
    TypeError
        If they are none of this container.
    """
    check_records(cotangent, tangent)
    count = len(container.sharing.parts)
    for name, given, verb in (
        ("cotangent", cotangent, "pullback, or pullback_inputs,"),
        ("tangent", tangent, "pushforward"),
    ):
        if not isinstance(given.saved, tuple) or len(given.saved) != count:
            raise TypeError(
                f"{name} is a {type(given).__name__} that does not hold one of each of the {count} ops; pass what "
                f"{verb} of this {container._what} returned"
            )
    return cotangent.saved, tangent.saved
