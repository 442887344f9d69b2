"""What an op is to the recursions: stages of bi-affine maps and pieces, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import NUMPY, as_array, backend_of, dtype_name
from ..graph.op import parameters, solve
from .maps import IDENTITY
from .structure import BiAffine, Piece

__all__ = ["Part", "Reading", "Shape", "Stage", "output_shape"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One bi-affine map of a stage.

    Attributes
    ----------
    map : BiAffine
    inputs : tuple of int
        The inputs that it reads, concatenated; of a later stage (0,), what the stage before returned.
    parameters : tuple of str
        The parameters of the op that make up its v.
    """

    map: BiAffine
    inputs: tuple[int, ...] = (0,)
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """a(Σ b(v, x)): the sum of some maps, and pieces that act on it, the first one first."""

    parts: tuple[Part, ...]
    pieces: tuple[Piece, ...] = ()

    @property
    def only_pieces(self) -> bool:
        """Whether the maps are the identity, so that the pieces may join those of the layer before."""
        return self.parts == (Part(IDENTITY),)


@dataclass(frozen=True)
class Reading:
    """What an op is to the recursions: stages, one after the other.

    Attributes
    ----------
    stages : tuple of Stage
    shape : tuple of int
        The shape of a sample of the output.
    """

    stages: tuple[Stage, ...]
    shape: Shape


def output_shape(op: Any, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of a sample of the output of an op, found by running it on no samples at all.

    Parameters
    ----------
    op : op
        Of one output; it must take an empty batch, as all built-in ops do.
    shapes : sequence of tuple of int
        Of a sample of each input.

    Raises
    ------
    ValueError, TypeError
        What the op says of such inputs.

    Examples
    --------
    >>> import machinekit as mk
    >>> output_shape(mk.Conv(1, 4, 3, stride=2), [(9, 9, 1)])
    (4, 4, 4)
    """
    held = parameters(op)
    like = next(iter(held.values()), getattr(op, "mean", None))
    home, kind = (NUMPY, "float64") if like is None else (backend_of(like), dtype_name(as_array(like, "parameter")))
    empty = [home.zeros((0, *shape), kind) for shape in shapes]
    (y,) = solve(op, *empty).outputs
    return tuple(y.shape[1:])
