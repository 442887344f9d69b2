"""BiCGSTAB on a batch of real rows: every sample has its own scalars, and starts again by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arrays import Array, dtype_name, namespace, to_host
from .rows import inner, to_rows

__all__ = ["BiCGStab"]

_ANGLE = 0.7
"""Least cosine that the second half of a step may rely on."""
_TINY = 4.0
"""Cosines of so many units of rounding are none."""


class BiCGStab:
    """Iteration for B x = c from x = 0, one sample per row.

    Parameters
    ----------
    c : real array of shape (samples, length)
        The first residual.

    Attributes
    ----------
    x, r : arrays
        The iterate, and its residual as the recursion has it. A step that leaves the numbers is not taken.
    broken : bool array
        Samples, on the host, whose last step left the numbers.

    Notes
    -----
    Van der Vorst 1992, doi:10.1137/0913035. The polynomial part of a step takes ω = ⟨t, h⟩/⟨t, t⟩, unless h and
    t = B h are nearly perpendicular, where that would stop the method: then ω = ± 0.7 ‖h‖/‖t‖ (Sleijpen & van der Vorst
    1995, doi:10.1007/BF02140769). On a breakdown of a sample its shadow becomes its residual, or, if the two no
    longer see each other through B, that and B h. Two products, six inner products a step.
    """

    def __init__(self, c: Array) -> None:
        self.x = namespace(c).zeros_like(c)
        self._tiny = _TINY * float(np.finfo(dtype_name(c)).eps)
        self.broken = np.zeros(c.shape[0], bool)
        self._begin(c)

    def _begin(self, r: Array) -> None:
        self.r = self._p = self._shadow = r
        self._rho = inner(r, r)

    def replace(self, r: Array) -> None:
        """Go on from another residual of the same x."""
        self._begin(r)

    def step(self, apply: Callable[[Array], Array], active: np.ndarray) -> None:
        """Take one step of two products with B where a host mask says so."""
        xp, on = namespace(self.r), to_rows(active, self.r)
        zero = xp.zeros_like(self._rho)
        v = apply(self._p)
        slope = inner(self._shadow, v)
        seen = on & (xp.abs(slope) > self._tiny * _norm(self._shadow) * _norm(v))
        alpha = xp.where(seen, self._rho / xp.where(seen, slope, xp.ones_like(slope)), zero)
        h = self.r - alpha * v
        t = apply(h)
        omega = xp.where(on, _omega(h, t), zero)
        r = h - omega * t
        square = inner(r, r)
        finite = xp.isfinite(square)
        x = xp.where(finite, self.x + alpha * self._p + omega * h, self.x)
        r = xp.where(finite, r, self.r)
        rho = inner(self._shadow, r)
        beta = rho / self._rho * (alpha / omega)
        whole = seen & finite & xp.isfinite(beta) & (xp.abs(rho) > self._tiny * _norm(self._shadow) * xp.sqrt(square))
        p = xp.where(whole, r + beta * (self._p - omega * v), r)
        turned = r + xp.where(seen, zero, _norm(r) / _positive(_norm(t))) * t
        fresh = xp.where(xp.all(xp.isfinite(turned), axis=1, keepdims=True), turned, r)
        self._shadow = xp.where(whole | ~on, self._shadow, fresh)
        self.x, self.r, self._p = x, r, xp.where(on, p, self._p)
        self._rho = xp.where(on, inner(self._shadow, r), self._rho)
        self.broken |= active & ~to_host(finite)[:, 0]


def _norm(a: Array) -> Array:
    return namespace(a).sqrt(inner(a, a))


def _positive(a: Array) -> Array:
    return namespace(a).where(a > 0, a, namespace(a).ones_like(a))


def _omega(h: Array, t: Array) -> Array:
    """Return the step along h that makes h − ω t small, or keeps the method going; 0 where t is 0."""
    xp = namespace(h)
    both, above, below = inner(t, h), _norm(h), _norm(t)
    live = (below > 0) & (above > 0)
    below = xp.where(live, below, xp.ones_like(below))
    cosine = both / (below * xp.where(live, above, xp.ones_like(above)))
    side = xp.where(cosine < 0, -xp.ones_like(cosine), xp.ones_like(cosine))
    least = xp.where(xp.abs(cosine) < _ANGLE, _ANGLE * side, cosine)
    return xp.where(live, least * above / below, xp.zeros_like(below))
