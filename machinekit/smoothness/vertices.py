"""The largest norm of a resolvent over a box of slopes: at a corner of it, by enumeration or by search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..arrays import integer
from .structure import Piece
from .system import System, norm, part_of
from .system_reading import read_system

__all__ = ["climb", "exact", "hidden_units", "vertex_search"]

_MOST = 16
"""Hidden units up to which all corners are looked at."""
_BATCH = 1 << 17
"""Entries of the resolvents that are made at a time."""
_CLOSE = 1.0 - 1e-12
"""A corner whose bound is below this share of the best norm is not looked at closer."""


def vertex_search(
    weight: Any,
    sizes: Any = None,
    *,
    slopes: Any = None,
    of: Any = "all",
    starts: int = 8,
    rng: Any = 0,
    grid: Any = (),
    constants: Mapping[str, Piece] | None = None,
) -> float:
    """Return a lower bound on the largest ‖Dz‖ over a box of slopes, by changing one slope after another.

    Parameters
    ----------
    weight, sizes, slopes, of, grid, constants : as for `resolvent_bound`
    starts : int
        Corners to start from: the two extreme ones, then random ones.
    rng : numpy.random.Generator, int or None
        Draws them.

    Returns
    -------
    float
        A norm that is attained; the largest, as a rule, but nothing says so.

    Raises
    ------
    ValueError, TypeError
        As `resolvent_bound`; no start.

    Notes
    -----
    Of all flips of one slope the best is taken until none helps. A flip of D_ii by δ changes R = (I − D W)⁻¹ by
    δ R_{:,i} W_{i,:} R, exactly, W being strictly triangular. O(n⁴) for a round of flips.

    Examples
    --------
    >>> import numpy as np
    >>> weight = np.array([[0.0, 2.0, -3.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    >>> round(vertex_search(weight, (1, 1, 1)), 6)
    3.451968
    """
    starts = integer("starts", starts, 1)
    system = part_of(read_system(weight, sizes, slopes, grid=grid, constants=constants), of)
    if isinstance(system, float):
        return system
    draw = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
    return max(climb(system, corner) for corner in _corners(system, starts, draw))


def hidden_units(system: System) -> np.ndarray:
    """Return the units whose slope is open and matters."""
    return np.flatnonzero((system.most > system.least) & system.matrix.any(axis=1))


def exact(system: System) -> float:
    """Return the largest ‖(I − D W)⁻¹‖ over the corners of the box of slopes.

    Raises
    ------
    ValueError
        For more than 16 hidden units.
    """
    free = hidden_units(system)
    if len(free) > _MOST:
        raise ValueError(
            f"method 'exact' looks at 2^{len(free)} corners, and up to 2^{_MOST} is allowed; use method='multipliers', "
            "or smoothness.vertex_search for a lower bound"
        )
    best = climb(system, system.most)
    n = len(system.matrix)
    for first in range(0, 2 ** len(free), max(1, _BATCH // n**2)):
        codes = np.arange(first, min(first + max(1, _BATCH // n**2), 2 ** len(free)))
        slopes = np.tile(system.most, (len(codes), 1))
        lower = (codes[:, None] >> np.arange(len(free))) & 1
        slopes[:, free] = np.where(lower, system.least[free], system.most[free])
        best = max(best, _largest(_resolvents(system, slopes), best))
    return best


def climb(system: System, slopes: np.ndarray) -> float:
    """Return the norm that the best flips lead to."""
    free, slopes = hidden_units(system), slopes.copy()
    inverse = system.resolvent(slopes)
    best = norm(inverse[system.rows, system.columns])
    while len(free):
        change = system.least[free] + system.most[free] - 2.0 * slopes[free]
        norms = _flipped(system, inverse, free, change)
        k = int(np.argmax(norms))
        if not norms[k] > best * (1.0 + 1e-12):
            break
        best = float(norms[k])
        inverse = inverse + change[k] * np.outer(inverse[:, free[k]], system.matrix[free[k]] @ inverse)
        slopes[free[k]] += change[k]
    return best


def _flipped(system: System, inverse: np.ndarray, free: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the norms after each flip."""
    now = inverse[system.rows, system.columns]
    few = max(1, _BATCH // now.size)
    norms = []
    for first in range(0, len(free), few):
        some = free[first : first + few]
        # (flips, rows, 1) * (flips, 1, columns): by how much R changes
        left = (inverse[system.rows][:, some] * change[first : first + few]).T[:, :, None]
        right = (system.matrix[some] @ inverse[:, system.columns])[:, None, :]
        norms.append(np.linalg.norm(now + left * right, 2, axis=(1, 2)))
    return np.concatenate(norms)


def _corners(system: System, starts: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    yield from (system.most, system.least)[:starts]
    for _ in range(starts - 2):
        yield np.where(rng.random(len(system.least)) < 0.5, system.least, system.most)


def _resolvents(system: System, slopes: np.ndarray) -> np.ndarray:
    """Return what is wanted of (I − D W)⁻¹ for many D, row by row: R_i = e_i + d_i W_i R."""
    n = len(system.matrix)
    found = np.zeros((len(slopes), n, n))
    found[:, np.arange(n), np.arange(n)] = 1.0
    for rows in system.blocks[1:]:
        before = slice(0, rows.start)
        # (units, before) @ (batch, before, n) -> (batch, units, n)
        found[:, rows] += slopes[:, rows, None] * (system.matrix[rows, before] @ found[:, before])
    return found[:, system.rows, system.columns]


def _largest(matrices: np.ndarray, best: float) -> float:
    """Return the largest norm, or less where none is above `best`: ‖A‖₂⁸ ≤ tr (AᵀA)⁴ leaves out most of them."""
    gram = matrices.transpose(0, 2, 1) @ matrices
    square = gram @ gram
    bounds = np.sum(square * square, axis=(1, 2)) ** 0.125
    kept = matrices[bounds > best * _CLOSE]
    return float(np.max(np.linalg.norm(kept, 2, axis=(1, 2)), initial=best))
