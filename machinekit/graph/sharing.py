"""Parameters of containers: weights are shared by leaf object, through all nesting.

A leaf is an op that is no container. One leaf used in several places has one set of parameters,
listed under its first place in declaration order; the cotangents of all its places add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from ..arrays import Array
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
        for name, part in self.parts.items():
            for path, leaf in _leaves(part, name):
                for key in parameters(leaf):
                    full = f"{path}.{key}"
                    self.first[full] = seen.setdefault((id(leaf), key), full)

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
        listed = [name for name, first in self.first.items() if name == first]
        for name in directions:
            if name not in listed:
                shared = f"; it is shared and listed as {self.first[name]!r}" if name in self.first else ""
                raise TypeError(
                    f"{name!r} is no parameter of this {what}{shared}; it has {', '.join(listed) or 'none'}"
                )
        return {
            name: {key: directions[first] for key in parameters(part) if (first := self._of(name, key)) in directions}
            for name, part in self.parts.items()
        }

    def _of(self, name: str, key: str) -> str:
        return self.first[f"{name}.{key}"]

    def gather(self, cotangents: Mapping[str, Cotangent]) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the summed cotangents under the listed names, and every occurrence's contribution."""
        contributions: dict[str, Array] = {}
        for name in self.parts:
            cotangent = cotangents[name]
            inside = cotangent.contributions or cotangent.parameters
            contributions.update({f"{name}.{key}": array for key, array in inside.items()})
        sums: dict[str, list[Array]] = {}
        for name, first in self.first.items():
            if name in contributions:
                sums.setdefault(first, []).append(contributions[name])
        return {name: reduce(add, terms) for name, terms in sums.items()}, contributions

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
