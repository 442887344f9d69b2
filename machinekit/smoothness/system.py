"""W, its blocks and a box of slopes: what bounds of a resolvent are computed from, on the host in double precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..arrays import integer

__all__ = ["System", "block_norms", "norm", "part_of"]


@dataclass(frozen=True)
class System:
    """Dz = (I − D W)⁻¹ with W strictly block lower triangular and D diagonal, least ≤ D ≤ most.

    Attributes
    ----------
    matrix : float64 array of shape (n, n)
        W, [out, in].
    sizes : tuple of int
        Units of the blocks.
    least, most : float64 arrays of shape (n,)
    corner : bool
        Wanted is the block of Dz from the first block to the last, not all of it.
    """

    matrix: np.ndarray
    sizes: tuple[int, ...]
    least: np.ndarray
    most: np.ndarray
    corner: bool = False

    @cached_property
    def blocks(self) -> tuple[slice, ...]:
        """The units of each block."""
        return tuple(slice(a, b) for a, b in pairwise((0, *accumulate(self.sizes))))

    @cached_property
    def steepest(self) -> np.ndarray:
        """The largest |slope| of each unit."""
        return np.maximum(np.abs(self.least), np.abs(self.most))

    @property
    def rows(self) -> slice:
        """The units that are read off."""
        return self.blocks[-1] if self.corner else slice(0, len(self.matrix))

    @property
    def columns(self) -> slice:
        """The units that are moved."""
        return self.blocks[0] if self.corner else slice(0, len(self.matrix))

    def part(self, i: int, j: int) -> System:
        """Return what the block (i, j) of Dz depends on: the blocks j … i."""
        kept = slice(self.blocks[j].start, self.blocks[i].stop)
        return System(
            self.matrix[kept, kept], self.sizes[j : i + 1], self.least[kept], self.most[kept], corner=True
        )  # fmt: skip

    def resolvent(self, slopes: np.ndarray) -> np.ndarray:
        """Return (I − D W)⁻¹."""
        return np.linalg.inv(np.eye(len(self.matrix)) - slopes[:, None] * self.matrix)

    def within(self, least: np.ndarray, most: np.ndarray) -> System:
        """Return the same with other slopes."""
        return System(self.matrix, self.sizes, least, most, self.corner)


def part_of(system: System, of: Any) -> System | float:
    """Return the system for an `of` of "all" or (i, j); a number where the norm of that block is the same for all D."""
    if isinstance(of, str) and of == "all":
        return system if len(system.matrix) else 0.0
    if not isinstance(of, tuple | list) or len(of) != 2:
        raise ValueError(f"of is {of!r}; pass 'all', or the numbers of an output block and of an input block")
    i, j = (integer(f"of[{k}]", block, 0) for k, block in enumerate(of))
    count = len(system.sizes)
    if max(i, j) >= count:
        raise ValueError(f"of is {(i, j)} but there are {count} blocks; pass numbers up to {count - 1}")
    if i <= j or not (system.sizes[i] and system.sizes[j]):
        return 1.0 if i == j and system.sizes[i] else 0.0
    return system.part(i, j)


def norm(matrix: np.ndarray) -> float:
    """Return the spectral norm, 0 of an empty matrix."""
    return float(np.linalg.norm(matrix, 2)) if matrix.size else 0.0


def block_norms(matrix: np.ndarray, sizes: tuple[int, ...], *, frobenius: bool = False) -> np.ndarray:
    """Return the matrix of the spectral norms of all blocks, or of their Frobenius norms."""
    k = len(sizes)
    if sizes and len(set(sizes)) == 1 and sizes[0]:
        pieces = matrix.reshape(k, sizes[0], k, sizes[0]).transpose(0, 2, 1, 3)
        if frobenius or sizes[0] == 1:
            return np.sqrt(np.sum(pieces * pieces, axis=(2, 3)))
        return np.linalg.norm(pieces, 2, axis=(2, 3))
    ends = tuple(slice(a, b) for a, b in pairwise((0, *accumulate(sizes))))
    measure = (lambda a: float(np.linalg.norm(a))) if frobenius else norm
    return np.array([[measure(matrix[a, b]) for b in ends] for a in ends])
