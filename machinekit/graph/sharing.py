"""Parameters of containers: weights are shared by leaf object, through all nesting.

A leaf is an op that is no container. One leaf used in several places has one set of parameters,
listed under its first place in declaration order; the cotangents of all its places add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..arrays import Array, Slab, plus
from ..records import Cotangent
from .op import live_masks, parameters, parts, replace

__all__ = ["Sharing"]


def _leaves(op: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, leaf) for every place of every leaf, in declaration order."""
    inside = parts(op)
    if not inside:
        yield path, op
    for name, part in inside.items():
        yield from _leaves(part, f"{path}.{name}" if path else name)


_NONE: Mapping[str, Array] = MappingProxyType({})


class Sharing:
    """Which names of a container's parameters mean the same leaf.

    Attributes
    ----------
    first : dict of str to str
        The listed name of every occurrence: ``{"0.weight": "0.weight", "2.1.weight": "0.weight"}``.
    """

    def __init__(self, container_parts: Mapping[str, Any]) -> None:
        self.parts = dict(container_parts)
        self.first: dict[str, str] = {}
        seen: dict[tuple[int, str], str] = {}
        arrays: dict[str, Array] = {}
        for name, part in self.parts.items():
            for path, leaf in _leaves(part, name):
                for key, array in parameters(leaf).items():
                    full = f"{path}.{key}"
                    arrays[full] = array
                    self.first[full] = seen.setdefault((id(leaf), key), full)
        self._slab = Slab(arrays)
        self._listed = [name for name, first in self.first.items() if name == first]
        self._places: dict[str, dict[str, tuple[str, str]]] = {name: {} for name in self.parts}
        for full, first in self.first.items():
            name, _, key = full.partition(".")
            self._places[name][key] = (full, first)

    def parameters(self) -> dict[str, Array]:
        """Return every shared parameter once, under its first name."""
        listed = {}
        for name, part in self.parts.items():
            for key, array in parameters(part).items():
                if self.first[f"{name}.{key}"] == f"{name}.{key}":
                    listed[f"{name}.{key}"] = array
        return listed

    def live(self) -> dict[str, np.ndarray]:
        """Return the live masks under the listed names."""
        masks = {f"{name}.{key}": mask for name, part in self.parts.items() for key, mask in live_masks(part).items()}
        return {name: mask for name, mask in masks.items() if self.first.get(name) == name}

    def distribute(self, directions: Mapping[str, Any], what: str) -> dict[str, dict[str, Any]]:
        """Give every part the directions of its own parameters, under its own names.

        Raises
        ------
        TypeError
            For a name that is not listed; the message tells the listed ones.
        """
        for name in directions:
            if self.first.get(name) != name:
                shared = f"; it is shared and listed as {self.first[name]!r}" if name in self.first else ""
                raise TypeError(
                    f"{name!r} is no parameter of this {what}{shared}; it has {', '.join(self._listed) or 'none'}"
                )
        return {
            name: {key: directions[first] for key in parameters(part) if (first := self._of(name, key)) in directions}
            for name, part in self.parts.items()
        }

    def _of(self, name: str, key: str) -> str:
        return self.first[f"{name}.{key}"]

    def memory(self) -> dict[str, Array]:
        """Return memory for the cotangent of every occurrence of every parameter, where one block for all pays."""
        return self._slab.new()

    def inside(self, into: Mapping[str, Array], name: str) -> Mapping[str, Array]:
        """Return what belongs to one part, under its own names."""
        return {key: into[full] for key, (full, _) in self._places[name].items()} if into else _NONE

    def gather(self, cotangents: Mapping[str, Cotangent]) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the summed cotangents under the listed names, and every occurrence's contribution."""
        contributions: dict[str, Array] = {}
        sums: dict[str, Array] = {}
        for name, places in self._places.items():
            cotangent = cotangents[name]
            for key, array in (cotangent.contributions or cotangent.parameters).items():
                if key not in places:
                    if key in getattr(self.parts[name], "directions", dict)():
                        continue  # of a number that is not trained, as the margin of a monotone machine
                    raise TypeError(
                        f"the pullback of {name} returned a cotangent of {key!r}, which is none of its parameters, "
                        f"{', '.join(places) or 'none'}; return the names that parameters() lists"
                    )
                full, first = places[key]
                contributions[full] = array
                sums[first] = plus(sums[first], array) if first in sums else array
        return {name: sums[name] for name in self._listed if name in sums}, contributions

    def replace(self, changes: Mapping[str, Array], what: str) -> dict[str, Any]:
        """Return the parts with other parameters; what was one leaf stays one leaf.

        Raises
        ------
        TypeError
            For a name that is not listed.
        """
        self.distribute(changes, what)  # checks the names

        def renew(path: str, leaf: Any) -> Any:
            mine = {key: changes[f"{path}.{key}"] for key in parameters(leaf) if f"{path}.{key}" in changes}
            return replace(leaf, mine)

        return self.map(renew)

    def map(self, make: Callable[[str, Any], Any]) -> dict[str, Any]:
        """Return the parts with every leaf made anew from (its first path, leaf), once each."""
        made: dict[int, Any] = {}

        def walk(op: Any, path: str) -> Any:
            inside = parts(op)
            if inside:
                return op.with_parts({name: walk(part, f"{path}.{name}") for name, part in inside.items()})
            if id(op) not in made:
                made[id(op)] = make(path, op)
            return made[id(op)]

        return {name: walk(part, name) for name, part in self.parts.items()}
