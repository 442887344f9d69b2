"""Stacks of small linear systems, none of which spoils another."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, backend_of, namespace

__all__ = ["solve_each"]


def solve_each(matrices: Array, right: Array) -> Array:
    """Return the solutions x of matrices · x = right; where a matrix is singular, what is no number.

    A library may refuse the stack for one singular matrix. It is then halved until that one is alone, which takes
    some 2 log₂(systems) more calls for each.

    Parameters
    ----------
    matrices : array of shape (systems, n, n)
    right : array of shape (systems, n, columns)
    """
    xp, systems = namespace(right), int(matrices.shape[0])
    if right.shape[0] == 0 or right.shape[1] == 0 or right.shape[2] == 0:
        return xp.zeros_like(right)
    try:
        return xp.linalg.solve(matrices, right)
    except np.linalg.LinAlgError:
        if systems == 1:
            return backend_of(right).zeros(tuple(right.shape), right.dtype) + np.nan
        half = systems // 2
        return xp.concat(
            [solve_each(matrices[:half, ...], right[:half, ...]), solve_each(matrices[half:, ...], right[half:, ...])]
        )
