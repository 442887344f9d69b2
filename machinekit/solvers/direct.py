"""Dense factorisations, one per sample: linear blocks at once, blocks in linear pieces in rounds."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, astype, backend_of, dtype_name, namespace, to_host
from .problem import BlockProblem
from .record import Outcome
from .rows import pick
from .small import solve_each
from .watch import sizes, sizes_of, tightest

__all__ = ["active_set", "direct"]

_BYTES = 1 << 26
"""Size of the largest stack of matrices."""
_SAME = 64.0
"""Units of rounding between offsets of one piece."""


def direct(problem: BlockProblem) -> Outcome:
    """Solve a linear block, s = D(W s + b), by a factorisation of I − D W per sample.

    Parameters
    ----------
    problem : BlockProblem
        Affine.

    Returns
    -------
    Outcome
        Status "direct" after no step; "diverged", and D b, for a sample whose matrix is singular.

    Notes
    -----
    unknowns³/3 multiply-adds and unknowns² numbers per sample; the stack is cut so that no more than 64 MiB of
    matrices are there at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.linear.operators import DenseOperator
    >>> turn = DenseOperator(np.array([[0.0, -2.0], [2.0, 0.0]]))
    >>> direct(BlockProblem(turn, np.array([[5.0, 0.0]]), None, np.ones((1, 2)), 1.0)).answer
    array([[ 1., -2.]])
    """
    right = problem.start()
    samples = problem.shape[0]
    with np.errstate(all="ignore"):
        answer = _solve(problem, problem.slope, right, np.arange(samples))
        solved = np.all(np.isfinite(sizes(answer)), axis=0)
    status = np.where(solved, "direct", "diverged")
    return Outcome(pick(solved, answer, right), np.zeros(samples, int), status, "direct")


def active_set(
    problem: BlockProblem, rtol: float, atol: float, limit: int, start: Array, rounds: int = 10
) -> Outcome:  # fmt: skip
    """Solve a block in linear pieces from an iterate that lies on almost the right ones.

    Parameters
    ----------
    problem : BlockProblem
        With a σ in linear pieces.
    rtol, atol : float
        A sample has converged, too, when its residual ‖σ(W s + b) − s‖ is at most ``atol + rtol ‖s‖``.
    limit : int
        Evaluations of the map.
    start : array of shape (samples, unknowns)
    rounds : int
        Factorisations of a sample.

    Returns
    -------
    Outcome
        Status "direct" for samples whose pieces repeat, or whose residual is rounding; the others keep their last
        iterate, with "converged" or "max_steps".

    Notes
    -----
    At y = W s + b, σ is y ↦ D y + e with D = σ′(y) and e = σ(y) − D y. So solve (I − D W) s = D b + e and look again:
    the semismooth Newton method without a search (Hintermüller, Ito & Kunisch 2003, doi:10.1137/S1052623401383558).
    It may go round in circles: a round counts for a sample only if its residual falls, else the sample stops.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.activations import get_activation
    >>> from machinekit.linear.operators import DenseOperator
    >>> turn = DenseOperator(np.array([[0.0, -1.0], [1.0, 0.0]]))
    >>> problem = BlockProblem(turn, np.array([[1.0, 3.0]]), get_activation("relu"), None, 1.0)
    >>> active_set(problem, 1e-9, 0.0, 9, start=np.array([[1.0, 1.0]])).answer
    array([[2., 1.]])
    """
    samples = problem.shape[0]
    s, status, steps = astype(start), np.full(samples, "max_steps", dtype="<U10"), np.zeros(samples, int)
    if limit == 0:
        return Outcome(s, steps, status, "active-set")
    eps = float(np.finfo(dtype_name(s)).eps)
    # the residual of a solved system is rounding of products that are as long as there are unknowns
    floor = 4.0 * eps * problem.noise * np.sqrt(max(problem.shape[1], 1))
    with np.errstate(all="ignore"):
        piece = _Piece(problem, s)
        steps += 1
        residual, size = sizes_of(piece.image - s, s)
        unit = np.maximum(residual, size)
        finite = np.all(np.isfinite(residual) & np.isfinite(size), axis=0)
        status[np.all(residual <= floor * size, axis=0)] = "direct"
        status[~finite] = "diverged"
        open_ = status == "max_steps"
        for _ in range(min(rounds, limit - 1)):
            if not open_.any():
                break
            where = np.flatnonzero(open_)
            solved = _solve(problem, piece.slope, piece.slope * problem.b + piece.offset, where)
            next_ = _Piece(problem, solved)
            steps[open_] += 1
            after, extent = sizes_of(next_.image - solved, solved)
            rounded = np.all(after <= floor * extent, axis=0)
            better = open_ & (rounded | (tightest(after, unit) < tightest(residual, unit)))
            settled = better & (rounded | piece.same(next_, _SAME * eps))
            s, piece = pick(better, solved, s), piece.replaced(better, next_)
            residual, size = np.where(better, after, residual), np.where(better, extent, size)
            status[settled] = "direct"
            open_ = better & ~settled
    near = np.all(residual <= atol + rtol * size, axis=0)
    status[(status == "max_steps") & near] = "converged"
    return Outcome(s, steps, status, "active-set")


class _Piece:
    """The linear map that σ is at W s + b: y ↦ D y + e."""

    def __init__(self, problem: BlockProblem, s: Array) -> None:
        y = problem.operator.product(s) + problem.b
        self.image, self.slope = problem.value(y), problem.derivative(y)
        steep = self.slope * y
        self.offset = self.image - steep
        xp = namespace(y)
        self._scale = xp.abs(self.image) + xp.abs(steep)

    def same(self, other: _Piece, units: float) -> np.ndarray:
        """Tell on the host, per sample, whether the other is the same map up to rounding."""
        xp = namespace(self.slope)
        near = xp.abs(self.offset - other.offset) <= units * (self._scale + other._scale)
        equal = xp.all((self.slope == other.slope) & near, axis=1)
        return to_host(equal)

    def replaced(self, rows: np.ndarray, other: _Piece) -> _Piece:
        """Return the other where a host mask says so."""
        new = object.__new__(_Piece)
        for name in ("image", "slope", "offset", "_scale"):
            setattr(new, name, pick(rows, getattr(other, name), getattr(self, name)))
        return new


def _solve(problem: BlockProblem, slope: Array, right: Array, where: np.ndarray) -> Array:
    """Return the solutions of (I − D W) s = right in the samples of a host index; the other rows are those of `right`.

    What is no number stands where a matrix is singular.
    """
    samples, unknowns = problem.shape
    if not where.size or not unknowns:
        return right
    xp, home = namespace(right), backend_of(right)
    kernel = xp.permute_dims(problem.operator.dense(), (1, 0))
    eye = home.eye(unknowns, right.dtype)
    every = where.size == samples
    each = max(_BYTES // (8 * unknowns * unknowns * (2 if dtype_name(right).startswith("complex") else 1)), 1)
    parts = [right]
    for first in range(0, where.size, each):
        if every:
            last = min(first + each, samples)
            d, c = slope[first:last, :], right[first:last, :]
        else:
            rows = home.from_host(where[first : first + each])
            d, c = xp.take(slope, rows, axis=0), xp.take(right, rows, axis=0)
        # (rows, out, 1) * (out, in): W s is s @ kernel
        matrices = eye - xp.expand_dims(d, axis=2) * kernel
        parts.append(xp.squeeze(solve_each(matrices, xp.expand_dims(c, axis=2)), axis=2))
    if every:
        return xp.concat(parts[1:], axis=0)
    order = np.arange(samples)
    order[where] = samples + np.arange(where.size)
    return xp.take(xp.concat(parts, axis=0), home.from_host(order), axis=0)
