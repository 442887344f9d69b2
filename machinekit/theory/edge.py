"""One edge of a sum: a function of some spaces, added to some spaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..arrays import Array
from ..graph.order import read_signature
from .checks import check_call, check_image

__all__ = ["Edge", "numbered"]


@dataclass(frozen=True)
class Edge:
    """One hyperedge: a function of some spaces, added to some spaces.

    Attributes
    ----------
    name : str
        Its signature, ``"x1 x2 -> x3"``, followed by a count where it occurs twice.
    sources, targets : tuple of str
    function : callable (*source arrays) -> array, or a tuple with one per target
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    function: Callable[..., Any]

    @classmethod
    def read(cls, signature: str, function: Callable[..., Any]) -> Edge:
        """Read ``"x1 x2 -> x3"``; without sources, ``"-> x3"``, it is a constant.

        Raises
        ------
        ValueError
            Without an arrow, or without a target.
        TypeError
            If the signature is no string, or `function` cannot be called.
        """
        sources, targets = read_signature(signature, "an edge")
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"the edge {signature!r} is no signature; write 'x1 x2 -> x3', each target once")
        check_call(f"the function of the edge {signature!r}", function)
        return cls(f"{' '.join(sources)} -> {' '.join(targets)}".strip(), sources, targets, function)

    def images(self, parts: Mapping[str, Array]) -> dict[str, Array]:
        """Return what the edge adds to each of its targets.

        Raises
        ------
        ValueError, TypeError
            If a source is missing, or the function returns another number of arrays, or, where `parts` has the
            target, another shape.
        """
        missing = [s for s in self.sources if s not in parts]
        if missing:
            raise ValueError(f"parts has {list(parts)}; the edge {self.name!r} reads {missing[0]!r} too, give it")
        image = self.function(*(parts[s] for s in self.sources))
        several = image if isinstance(image, tuple) else (image,)
        if len(several) != len(self.targets):
            raise ValueError(f"the edge {self.name!r} returned {len(several)} arrays for {len(self.targets)} targets")
        for target, one in zip(self.targets, several, strict=True):
            if target in parts:
                check_image(f"what the edge {self.name!r} adds to {target!r}", one, parts[target])
        return dict(zip(self.targets, several, strict=True))


def numbered(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Return edges with names of their own: the second of one name is called "… #2"."""
    found: dict[str, Edge] = {}
    for edge in edges:
        name, count = edge.name, 1
        while name in found:
            count += 1
            name = f"{re.sub(r' #[0-9]+$', '', edge.name)} #{count}"
        found[name] = edge if count == 1 else replace(edge, name=name)
    return tuple(found.values())
