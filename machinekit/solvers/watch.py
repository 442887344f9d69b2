"""When to stop: per sample, by the change of the iterate and the contraction that was observed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, astype, backend_of, dtype_name, namespace, to_host
from .record import Outcome

__all__ = ["Watch", "sizes", "sizes_of", "sizes_unguarded", "tightest", "write_rows"]

_FLOOR = 4.0
"""Changes of so many units of rounding say that there is nothing left to gain."""
_EPS = {name: float(np.finfo(name).eps) for name in ("float32", "float64", "complex64", "complex128")}
_SMALL, _LARGE = 1e-20, 1e30
"""Between these a sum of squares in single precision has lost nothing."""
_NEAR = 16.0
"""Changes of so many floors are small enough to be told from progress by waiting."""
_STALLED = 8
"""Looks without progress after which a change of rounding size counts as the floor."""


def sizes(a: Array) -> np.ndarray:
    """Return the 2-norms of the rows of a matrix on the host, of shape (1, rows); of a complex one (2, rows).

    Real and imaginary parts are measured apart: the imaginary part of a complex step is a derivative, and as far
    below the real part as one likes.
    """
    with np.errstate(over="ignore"):
        return sizes_unguarded(a)


def sizes_unguarded(a: Array) -> np.ndarray:
    """Return `sizes`, for callers that have silenced overflow: single precision may leave its range, and is redone."""
    if isinstance(a, np.ndarray) and a.dtype.kind == "f":
        squares = np.vecdot(a, a)
        if a.dtype != np.float64 and squares.size and not _within(squares):
            squares = np.einsum("ij,ij->i", a, a, dtype=float)
        return np.sqrt(squares, dtype=float)[None]
    if isinstance(a, np.ndarray):
        return np.stack([_norms(a.real), _norms(a.imag)])
    return sizes_of(a)[0]


def sizes_of(*arrays: Array) -> tuple[np.ndarray, ...]:
    """Return `sizes_unguarded` of several arrays of as many rows: from a device one small array is copied, once."""
    if isinstance(arrays[0], np.ndarray):
        return tuple(map(sizes_unguarded, arrays))
    xp = namespace(arrays[0])
    rows: list[Array] = []
    counts: list[int] = []
    for a in arrays:
        parts = (xp.real(a), xp.imag(a)) if dtype_name(a).startswith("complex") else (a,)
        rows += map(_norms_there, parts)
        counts.append(len(parts))
    host = to_host(xp.stack(rows)).astype(float)
    return tuple(np.split(host, np.cumsum(counts)[:-1]))


def tightest(change: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return what a sample needs most: the largest ratio of change to size of its parts, 0/0 being 0."""
    with np.errstate(all="ignore"):
        ratio = np.where(change == 0, 0.0, change / size)
    return ratio.max(axis=0, initial=0.0)


def _within(squares: np.ndarray) -> bool:
    """Tell whether sums of squares in single precision have lost nothing to its range."""
    return bool(np.minimum.reduce(squares) > _SMALL and np.maximum.reduce(squares) < _LARGE)


def _each(mask: np.ndarray) -> np.ndarray:
    """Return a mask of the samples that hold in all parts."""
    return mask[0] if len(mask) == 1 else np.asarray(mask.all(axis=0))


def _norms(a: np.ndarray) -> np.ndarray:
    """Return the 2-norms of rows, which may be of any size."""
    scale = np.max(np.abs(a), axis=1, initial=0.0).astype(float)
    safe = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    unit = a / safe[:, None]
    return safe * np.sqrt(np.sum(unit * unit, axis=1)) if a.size else scale


def _norms_there(a: Array) -> Array:
    """Return the 2-norms of rows, which may be of any size, where they are."""
    xp = namespace(a)
    if not a.shape[1]:
        return xp.sum(a, axis=1)
    scale = xp.max(xp.abs(a), axis=1, keepdims=True)
    safe = xp.where((scale > 0) & xp.isfinite(scale), scale, xp.ones_like(scale))
    unit = a / safe
    return safe[:, 0] * xp.sqrt(xp.sum(unit * unit, axis=1))


def _reached(change: np.ndarray, q: np.ndarray | None, tolerance: np.ndarray) -> np.ndarray:
    """Tell where the error q/(1 − q) · change is tolerable; nowhere without a contraction, unless nothing changed."""
    if q is None:
        return change == 0
    with np.errstate(invalid="ignore"):
        return (change == 0) | ((q < 1) & (change * q <= tolerance * (1.0 - q)))


class Watch:
    """Looks at an iteration now and then, and remembers which samples have converged, where and when.

    A sample's answer is its iterate at the look at which it converged, whatever its batch mates still need.

    Parameters
    ----------
    start : array of shape (samples, unknowns)
    rtol, atol : float
    limit : int
        The last step, at which there is always a look.
    every : int
        Steps between looks; there is one at the first step too, for the contraction.
    noise : float
        How many units of rounding the map makes of an iterate's own.
    careful : bool
        Whether to remember the best iterate of samples that have not converged: for methods that may diverge.
    """

    def __init__(
        self, start: Array, rtol: float, atol: float, limit: int, every: int = 1, noise: float = 1.0,
        careful: bool = False,
    ) -> None:  # fmt: skip
        samples = start.shape[0]
        self.rtol, self.atol, self.limit, self.every, self.careful = rtol, atol, limit, every, careful
        self.floor = _FLOOR * _EPS[dtype_name(start)] * noise
        self.steps = np.zeros(samples, int)
        self.status = np.full(samples, "max_steps", dtype="<U10")
        self.open = np.ones(samples, bool)
        # room for the answers of samples that converge before others; taken at once, so that a peak of memory does
        # not depend on whether there are such
        self._kept: Array | None = astype(start) if careful else None
        self._room = np.empty_like(start) if isinstance(start, np.ndarray) and not careful else None
        self._best: np.ndarray = np.full(samples, np.inf)
        self._best_at = np.zeros(samples, int)
        self._unit: np.ndarray | None = None
        self._last: np.ndarray | None = None
        self._ratio: np.ndarray | float = np.inf
        self._last_step = self._step = 0
        self._looks = 0

    def due(self, step: int) -> bool:
        """Tell whether to look after this step, counted from 1."""
        return step == 1 or step % self.every == 0 or step >= self.limit

    def see(self, step: int, iterate: Array, change: np.ndarray, size: np.ndarray, *, exact: bool = False) -> bool:
        """Look at the iterate after a step; return whether nothing is left to do.

        Parameters
        ----------
        change, size : arrays of shape (parts, samples)
            The size of the last change of the iterate, and of the iterate, as `sizes` gives them.
        exact : bool
            The change is a residual, which estimates the error itself; otherwise the contraction that was observed
            since the last look, q, makes of it the error q/(1 − q) · change.
        """
        self._looks += 1
        self._step = step
        q = None if exact else self._contraction(step, change)
        if not (exact or self.careful) and self._plain(change, size, q):
            return False
        tolerance = self.atol + self.rtol * size
        good = _each(change <= tolerance if exact else _reached(change, q, tolerance))
        finite = _each(np.isfinite(change + size))
        if self._kept is None and (good & finite).all():
            self.status.fill("converged")
            self.steps.fill(step)
            self.open.fill(False)
            return True
        new, total = good, None
        rest = self.open & ~good
        if self.careful or rest.any():
            total = self._total(change, size)
            near = _each(change <= _NEAR * self.floor * size) & self._stalled(total)
            new = good | _each(change <= self.floor * size) | near
        new = new & self.open & finite
        lost = self.open & ~finite
        self._tell(step, new & good, new & rest, lost)
        self._keep(iterate, new, lost, total)
        self.open &= ~(new | lost)
        return not self.open.any()

    def _tell(self, step: int, good: np.ndarray, settled: np.ndarray, lost: np.ndarray) -> None:
        for rows, word in ((good, "converged"), (settled, "floor"), (lost, "diverged")):
            if rows.any():
                self.status[rows] = word
        self.steps[self.open] = step

    def _contraction(self, step: int, change: np.ndarray) -> np.ndarray | None:
        """Return the factor q by which the changes have shrunk per step since the last look; None at the first.

        Of neighbouring steps, one ratio of changes tells little: a map that first shrinks and then grows would pass.
        There q is the worse of the last two.
        """
        last, gap = self._last, step - self._last_step
        self._last, self._last_step = change, step
        if last is None:
            return None
        with np.errstate(all="ignore"):
            ratio = change / last if gap == 1 else (change / last) ** (1.0 / max(gap, 1))
        q = np.fmax(ratio, self._ratio) if gap == 1 else ratio
        self._ratio = ratio
        return q

    def _plain(self, change: np.ndarray, size: np.ndarray, q: np.ndarray | None) -> bool:
        """Tell whether this look plainly decides about no sample, from the extremes of all: far cheaper than one each.

        No estimate is below that of the least change with the least q, and no tolerance or floor above that of the
        largest size.
        """
        if not change.size:
            return False
        least, most = np.minimum.reduce(change, axis=None), np.maximum.reduce(change, axis=None)
        largest = np.maximum.reduce(size, axis=None)
        if not (least > _NEAR * self.floor * largest and most < np.inf and largest < np.inf):
            return False
        if q is None:
            return True
        best = np.minimum.reduce(q, axis=None)
        return bool(best >= 1 or least * best > (self.atol + self.rtol * largest) * (1 - best))

    def _total(self, change: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Return how large the changes are, in units of the size that the iterates had first."""
        if self._unit is None:
            self._unit = np.zeros_like(size)
        known = self._unit > 0
        if not known.all():
            self._unit = np.where(known, self._unit, np.where(np.isfinite(size) & (size > 0), size, change))
        return tightest(change, self._unit)

    def _stalled(self, total: np.ndarray) -> np.ndarray:
        """Tell which samples have not come closer for several looks."""
        better = total < 0.9 * self._best
        self._best_at[better] = self._looks
        if not self.careful:
            self._best = np.fmin(self._best, total)
        return self._looks - self._best_at >= _STALLED

    def _keep(self, iterate: Array, new: np.ndarray, lost: np.ndarray, total: np.ndarray | None) -> None:
        rows = new
        if self.careful and total is not None:
            better = self.open & ~lost & (total < self._best)
            self._best = np.where(better, total, self._best)
            rows = new | better
        if self._kept is not None:
            write_rows(self._kept, rows, iterate)
        elif rows.any() and not rows.all():
            if self._room is None:
                self._kept = astype(iterate)
            else:
                self._kept, self._room = self._room, None
                np.copyto(self._kept, iterate)

    def outcome(self, iterate: Array, solver: str) -> Outcome:
        """Return what was kept of each sample, the last iterate for the others."""
        self.steps[self.open] = self._step
        answer = iterate
        if self._kept is not None:
            answer = self._kept
            if not self.careful:
                write_rows(answer, self.open | (self.status == "diverged"), iterate)
        return Outcome(answer, self.steps, self.status, solver)


def write_rows(target: Array, rows: np.ndarray, source: Array) -> None:
    """Copy the rows of a host mask; what is elsewhere does not matter, not even if it is no number."""
    if not rows.any():
        return
    if isinstance(target, np.ndarray):
        target[rows] = source[rows]
        return
    home = backend_of(target)
    mask: Any = home.from_host(rows[:, None])
    target[...] = home.xp.where(mask, source, target)
