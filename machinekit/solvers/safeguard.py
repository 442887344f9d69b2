"""What keeps a quasi-Newton iteration from running away: the length of its plain steps, and the way back."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, namespace
from .rows import inner, pick, to_rows
from .watch import sizes

__all__ = ["Safeguard", "forget"]

_GROWN = 10.0
_PATIENCE = 20
"""A residual so many times the smallest, or so many steps without a smaller one, send a sample back to where it was
best; each time in vain, twice as many."""
_LEAST = 1e-4


class Safeguard:
    """Remembers of every sample where it was best, and how long a step along the residual is safe.

    Parameters
    ----------
    like : real array of shape (samples, length)

    Attributes
    ----------
    beta : array of shape (samples, 1)
        β of the plain step s ← s + β F, F = g(s) − s: −⟨Δs, ΔF⟩/⟨ΔF, ΔF⟩ of the last step, between 1e-4 and 1 (Barzilai
        & Borwein 1988, doi:10.1093/imanum/8.1.141). For I − g′ monotone this is at least about m/L². β = 1 is
        Picard's step, which runs away where L is large, however the iteration then mixes what it met.
    """

    def __init__(self, like: Array) -> None:
        self.beta = inner(like, like) * 0 + 1
        self._best = np.full(like.shape[0], np.inf)
        self._waited = np.zeros(like.shape[0])
        self._vain = np.ones(like.shape[0])
        self._x = self._f = like
        self._last: tuple[Array, Array] | None = None

    def look(self, x: Array, f: Array, fresh: np.ndarray) -> tuple[Array, Array, Array, Array, np.ndarray]:
        """Take note of an iterate and its residual; return where to go on, the last differences, who starts again.

        Parameters
        ----------
        x, f : arrays of shape (samples, length)
        fresh : bool array of shape (samples,)
            Samples in fresh units, which forget what they had.

        Returns
        -------
        x, f, dx, df : arrays of shape (samples, length)
            x and f are those given, or of a sample that has gone astray those of its best iterate.
        again : bool array of shape (samples,)
        """
        size = sizes(f)[0]
        first = self._last is None
        last = (x, f) if self._last is None else self._last
        dx, df = x - last[0], f - last[1]
        again = fresh | first
        self._best[again] = np.inf
        self._waited += 1
        grown = (size > _GROWN * self._vain * self._best) | (self._waited > _PATIENCE * self._vain)
        grown &= ~again
        self._measure(dx, df, again, grown)
        x, f = pick(grown, self._x, x), pick(grown, self._f, f)
        better = size < self._best
        self._best[better] = size[better]
        self._vain = np.where(better, 1.0, np.where(grown, 2.0 * self._vain, self._vain))
        self._waited[better | grown] = 0
        self._x, self._f = pick(better, x, self._x), pick(better, f, self._f)
        self._last = x, f
        return x, f, dx, df, again | grown

    def _measure(self, dx: Array, df: Array, again: np.ndarray, grown: np.ndarray) -> None:
        xp = namespace(dx)
        along, square = -inner(dx, df), inner(df, df)
        known = (along > 0) & xp.isfinite(along) & xp.isfinite(square) & (square > 0)
        if again.any():
            known = known & ~to_rows(again, dx)
        one = xp.ones_like(square)
        beta = xp.where(known, xp.where(known, along, one) / xp.where(known, square, one), self.beta)
        if grown.any():
            beta = xp.where(to_rows(grown, dx) & (beta > 0.5 * self.beta), 0.5 * self.beta, beta)
        self.beta = xp.where(beta > 1.0, one, xp.where(beta < _LEAST, _LEAST * one, beta))


def forget(rows: np.ndarray, stack: Array) -> Array:
    """Return an array of shape (samples, …) with zeros in the samples of a host mask; NumPy writes to it."""
    if not rows.any():
        return stack
    if isinstance(stack, np.ndarray):
        stack[rows] = 0
        return stack
    xp = namespace(stack)
    mask = xp.reshape(to_rows(rows, stack), (-1, *(1 for _ in stack.shape[1:])))
    return xp.where(mask, xp.zeros_like(stack), stack)
