"""Edge: an op between named spaces."""

from __future__ import annotations

from typing import Any

from .op import check_op_kind
from .order import read_signature

__all__ = ["Edge", "check_name"]


class Edge:
    """A hyperedge: an op that reads some spaces and adds its outputs to some.

    Parameters
    ----------
    name : str
        Under which its parameters are listed.
    op : op
        With one input per source and one output per target, ``op.solve(x1, x2)``.
    signature : str
        ``"x1 x2 -> x3"``: sources in the order of the op's inputs, targets in that of its outputs. A space
        may occur twice.

    Raises
    ------
    ValueError
        If the name is empty or has a dot, a blank or an arrow in it; if the signature has no arrow, no source
        or no target.
    TypeError
        If `op` is no op, or a name is no string.

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.Edge("skip", mk.Add(), "x1 x2 -> x3")
    Edge('skip', Add(), 'x1 x2 -> x3')
    """

    __slots__ = ("name", "op", "sources", "targets")
    name: str
    op: Any
    sources: tuple[str, ...]
    targets: tuple[str, ...]

    def __init__(self, name: str, op: Any, signature: str) -> None:
        check_name("name", name)
        sources, targets = read_signature(signature, f"the edge {name!r}")
        if not sources or not targets:
            raise ValueError(
                f"the edge {name!r} has the signature {signature!r}; it needs a source and a target, 'x1 x2 -> x3'"
            )
        check_op_kind(op, f"the op of the edge {name!r}")
        for key, value in (("name", name), ("op", op), ("sources", sources), ("targets", targets)):
            object.__setattr__(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an edge does not change; make another")

    def __reduce__(self) -> tuple[type[Edge], tuple[str, Any, str]]:
        return type(self), (self.name, self.op, self.signature)

    @property
    def signature(self) -> str:
        """``"x1 x2 -> x3"``."""
        return f"{' '.join(self.sources)} -> {' '.join(self.targets)}"

    def __repr__(self) -> str:
        return f"Edge({self.name!r}, {self.op!r}, {self.signature!r})"


def check_name(what: str, name: Any) -> None:
    """Raise unless `name` can be the name of an edge or a space."""
    if not isinstance(name, str):
        raise TypeError(f"{what} is {name!r}; pass a string")
    if not name or "." in name or "->" in name or name.split() != [name]:
        raise ValueError(f"{what} is {name!r}; pass a word without dots, blanks and arrows")
