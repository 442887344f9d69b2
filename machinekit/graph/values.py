"""Values: what has been added up in the spaces of a network so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..arrays import Array, astype, backend_of, plus

__all__ = ["Loop", "Values"]

Shape = tuple[int, ...]


class Values(dict[str, Any]):
    """Sums by space.

    Parameters
    ----------
    full : mapping of str to tuple of int
        The shape of a space, batch first.
    like : array
        Tells library, device and dtype.
    given : mapping of str to array or None
        What is there before any edge has run.
    zeros : bool
        A space that nothing was added to is given to the edges as zeros of its shape; otherwise as None.
    """

    zeros: bool

    def __init__(
        self, full: Mapping[str, Shape], like: Array, given: Mapping[str, Array | None], zeros: bool = False
    ) -> None:
        super().__init__({name: x for name, x in given.items() if x is not None})
        self.full, self.like, self.zeros = full, like, zeros

    def __missing__(self, name: str) -> Array:
        self[name] = backend_of(self.like).zeros(self.full[name], self.like.dtype)
        return self[name]

    def add(self, name: str, image: Array | None) -> None:
        """Add to a space; None is zero."""
        if image is not None:
            held = self.get(name)
            self[name] = image if held is None else plus(held, image)

    def own(self, names: Iterable[str], given: Mapping[str, Array | None]) -> None:
        """Copy what is still the caller's own array."""
        for name in names:
            if given.get(name) is not None and self[name] is given[name]:
                self[name] = astype(self[name])


class Loop(Values):
    """One pass through a component: spaces that are cut are read as they are held, and what is fed back is apart.

    Attributes
    ----------
    fed : dict of str to array or None
        For every space that is cut, what was there and what the pass has added.
    beyond : dict of str to array
        What the pass has added to spaces outside the component.

    Parameters
    ----------
    outer : Values
        What has arrived at the spaces of the component and of its surroundings; it is not changed.
    inside, cut : tuple of str
        The spaces of the component, and those that are cut.
    held : mapping of str to array
        The values of the latter; what is missing is zero.
    alone : bool
        Nothing has arrived from anywhere: the linear part of the pass.
    """

    def __init__(
        self, outer: Values, inside: tuple[str, ...], cut: tuple[str, ...], held: Mapping[str, Array],
        alone: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(outer.full, outer.like, {} if alone else outer, outer.zeros and not alone)
        self.fed: dict[str, Any] = {name: self.pop(name, None) for name in cut}
        self.beyond: dict[str, Any] = {}
        self._inside = inside
        self.update(held)

    def add(self, name: str, image: Array | None) -> None:
        """Add to a space, where it is to go; None is zero."""
        if image is None:
            return
        target: dict[str, Any] = self.fed if name in self.fed else self if name in self._inside else self.beyond
        held = target.get(name)
        target[name] = image if held is None else plus(held, image)
