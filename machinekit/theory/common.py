"""What two endofunctions have in common: their space, and the arithmetic of its vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..arrays import Array
from .subspaces import is_exact

if TYPE_CHECKING:
    from .endofunction import Endofunction

__all__ = ["check_one_space", "common_like"]


def check_one_space(f1: Endofunction, f2: Endofunction) -> None:
    """Raise ValueError unless two endofunctions have the same spaces, in the same order."""
    if list(f1.sizes.items()) != list(f2.sizes.items()):
        raise ValueError(f"{f1!r} and {f2!r} have no common space; give both the same sizes, in the same order")


def common_like(f1: Endofunction, f2: Endofunction) -> Array | None:
    """Return an array of the library and dtype of the vectors that both expect: floats, unless both are exact."""
    floats = [a for a in (f1.like, f2.like) if a is not None and not is_exact(a)]
    if floats:
        return floats[0]
    return None if f2.like is None else f1.like
