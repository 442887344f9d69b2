"""Bounds of a resolvent by the S-procedure: one positive multiplier per unit, or per block, the best ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .system import System

__all__ = ["Sector", "multipliers"]

_GAP = 1e-10
"""The share of γ that the barrier may leave between the multipliers found and the best."""
_STEEPER = 20.0
"""By how much the weight of γ against the barrier grows at a time."""
_NEWTON = 60
_HALVINGS = 40


@dataclass(frozen=True)
class Sector:
    """s = S K (u + s) with S diagonal in [0, 1], and x = M (u + s) read off: what the multipliers are about.

    Attributes
    ----------
    moved : float64 array of shape (hidden, inputs)
        K on u.
    loop : float64 array of shape (hidden, hidden)
        K on s.
    direct, cross, own : float64 arrays
        MᵀM on u and u, on s and u, on s and s.
    """

    moved: np.ndarray
    loop: np.ndarray
    direct: np.ndarray
    cross: np.ndarray
    own: np.ndarray
    hidden: np.ndarray

    @classmethod
    def of(cls, system: System) -> Sector:
        """Return the sector of a system: with D = α + (β − α) S, Dz = M (I − S K)⁻¹, M at the least slopes."""
        inner = system.resolvent(system.least)
        loop = (system.most - system.least)[:, None] * (system.matrix @ inner)
        moved = np.zeros(len(loop), bool)
        moved[system.columns] = True
        seen = moved.copy()
        for rows in system.blocks:  # what reads nothing that moves does not move either
            seen[rows] |= loop[rows][:, seen].any(axis=1)
            loop[rows] *= seen[rows][:, None]
        read, u = inner[system.rows], np.flatnonzero(moved)
        told = np.asarray(read.any(axis=0))
        for rows in reversed(system.blocks):  # and what nobody reads does not count
            told[rows] |= loop[told][:, rows].any(axis=0)
        hidden = np.flatnonzero(seen & told & loop[:, seen].any(axis=1))
        gram = read.T @ read
        return cls(
            loop[np.ix_(hidden, u)], loop[np.ix_(hidden, hidden)],
            gram[np.ix_(u, u)], gram[np.ix_(hidden, u)], gram[np.ix_(hidden, hidden)], hidden,
        )  # fmt: skip

    def matrices(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Q = 2Λ − ΛK − KᵀΛ − MᵀM on s, and G = ΛK + MᵀM from u to s."""
        scaled = weights[:, None] * self.loop
        return 2.0 * np.diag(weights) - scaled - scaled.T - self.own, weights[:, None] * self.moved + self.cross

    def bound(self, weights: np.ndarray) -> float:
        """Return γ with ‖Dz‖² ≤ γ for multipliers, ∞ where Q is not positive definite: one Cholesky, one eigenvalue."""
        q, g = self.matrices(weights)
        try:
            root = np.linalg.cholesky(q)
        except np.linalg.LinAlgError:
            return math.inf
        half = np.linalg.solve(root, g)
        return float(np.linalg.eigvalsh(self.direct + half.T @ half)[-1])

    def start(self, groups: np.ndarray) -> np.ndarray:
        """Return multipliers of groups, a column each, the last to be computed last, for which Q > 0.

        Backwards: a multiplier that is above the Schur complement of what comes later makes Q positive there.
        """
        weights = np.zeros(len(self.loop))
        for group in range(groups.shape[1] - 1, -1, -1):
            own = groups[:, group] > 0
            later = groups[:, group + 1 :].any(axis=1)
            q, _ = self.matrices(weights)
            need = self.own[np.ix_(own, own)]
            if later.any():
                side = q[np.ix_(later, own)]
                need = need + side.T @ np.linalg.solve(q[np.ix_(later, later)], side)
            weights[own] = 1.01 * max(float(np.linalg.eigvalsh(need)[-1]), 0.0) + 0.5
        return weights


def multipliers(system: System, per_block: bool = False) -> float:
    """Return the least bound on ‖(I − D W)⁻¹‖ that the S-procedure gives, α ≤ D ≤ β.

    Parameters
    ----------
    system : System
    per_block : bool
        One multiplier for all units of a block.

    Notes
    -----
    With D = α + (β − α) S, s := S K (u + s) satisfies sᵀ Λ (K (u + s) − s) ≥ 0 for every diagonal Λ > 0, K being
    (β − α) W M and M = (I − α W)⁻¹. So ‖M (u + s)‖² ≤ γ ‖u‖² for all such s if

        F(γ, Λ) = [[γ I − (MᵀM)_uu, −Gᵀ], [−G, Q]] ≻ 0,   Q = 2Λ − ΛK − KᵀΛ − MᵀM,   G = ΛK + MᵀM,

    that is, by Schur's complement, γ > λ_max((MᵀM)_uu + Gᵀ Q⁻¹ G). For α = 0 it is the certificate of Fazlyab et al.
    (LipSDP, arXiv:1906.04893), for any shortcuts. F is affine: the least γ is found by Newton's method on
    t γ − log det F, t growing, from a Λ with Q ≻ 0, which decreasing multipliers always are. The answer is certified
    by the Cholesky factor of Q and the eigenvalue for the Λ found, whether or not it is the best.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.smoothness.system_reading import read_system
    >>> weight = np.array([[0.0, 2.0, -3.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    >>> round(multipliers(read_system(weight, (1, 1, 1))), 6)
    3.451968
    """
    sector = Sector.of(system)
    if not len(sector.hidden):
        return math.sqrt(max(float(np.linalg.eigvalsh(sector.direct)[-1]), 0.0))
    block = np.repeat(np.arange(len(system.sizes)), system.sizes)[sector.hidden]
    by_block = (block[:, None] == np.unique(block)).astype(float)
    start = sector.start(by_block)
    groups = by_block if per_block else np.eye(len(block))
    return math.sqrt(max(_least(sector, groups, start), 0.0))


def _least(sector: Sector, groups: np.ndarray, start: np.ndarray) -> float:
    """Return the least γ found over Λ = groups @ x, from a start with Q ≻ 0."""
    x = groups.T @ start / groups.sum(axis=0)
    best = sector.bound(groups @ x)
    if not math.isfinite(best):
        return best
    gamma, order = 1.1 * best, len(sector.direct) + len(sector.loop)
    sharpness, enough = order / gamma, _GAP**2 * best
    while True:
        for _ in range(_NEWTON):
            moved = _newton(sector, groups, gamma, x, sharpness)
            if moved is None:
                break
            gamma, x, decrement = moved
            if decrement < 1e-3:
                break
        best = min(best, sector.bound(groups @ x))
        if moved is None or order / sharpness < max(_GAP * best, enough):
            return best
        sharpness *= _STEEPER


def _newton(
    sector: Sector, groups: np.ndarray, gamma: float, x: np.ndarray, sharpness: float
) -> tuple[float, np.ndarray, float] | None:
    """Return (γ, x, decrement) after one damped step on sharpness · γ − log det F; None where rounding ends it."""
    try:
        gradient, hessian = _derivatives(sector, groups, gamma, x, sharpness)
        step = -np.linalg.solve(hessian, gradient)
    except np.linalg.LinAlgError:
        return None
    decrement = -float(gradient @ step)
    if not (math.isfinite(decrement) and decrement > 0):
        return None
    now = _barrier(sector, groups, gamma, x, sharpness)
    size = 1.0
    for _ in range(_HALVINGS):
        there = gamma + size * float(step[0]), x + size * step[1:]
        if _barrier(sector, groups, *there, sharpness) <= now - 0.1 * size * decrement:
            return *there, decrement
        size *= 0.5
    return None


def _whole(sector: Sector, groups: np.ndarray, gamma: float, x: np.ndarray) -> np.ndarray:
    """Return F(γ, Λ)."""
    q, g = sector.matrices(groups @ x)
    return np.block([[gamma * np.eye(len(sector.direct)) - sector.direct, -g.T], [-g, q]])


def _barrier(sector: Sector, groups: np.ndarray, gamma: float, x: np.ndarray, sharpness: float) -> float:
    if not (x > 0).all():
        return math.inf
    try:
        root = np.linalg.cholesky(_whole(sector, groups, gamma, x))
    except np.linalg.LinAlgError:
        return math.inf
    return sharpness * gamma - 2.0 * float(np.sum(np.log(np.diag(root))))


def _derivatives(sector: Sector, groups: np.ndarray, gamma: float, x: np.ndarray, sharpness: float) -> Any:
    """Return gradient and Hessian; ∂F/∂Λ_a = e_a r_aᵀ + r_a e_aᵀ with r_a = (−K_a on u, e_a − K_a on s)."""
    u = len(sector.direct)
    inverse = np.linalg.inv(_whole(sector, groups, gamma, x))
    inverse = 0.5 * (inverse + inverse.T)
    rows = np.concatenate([-sector.moved, np.eye(len(sector.loop)) - sector.loop], axis=1)
    right = rows @ inverse
    own, mixed, far = inverse[u:, u:], right[:, u:], right @ rows.T
    gradient = np.concatenate([[sharpness - np.trace(inverse[:u, :u])], groups.T @ (-2.0 * np.diag(mixed))])
    cross = 2.0 * np.sum(right[:, :u] * inverse[u:, :u], axis=1)
    bent = 2.0 * (mixed * mixed.T + own * far)
    hessian = np.empty((len(gradient),) * 2)
    hessian[0, 0] = np.sum(inverse[:u, :u] ** 2)
    hessian[0, 1:] = hessian[1:, 0] = groups.T @ cross
    hessian[1:, 1:] = groups.T @ bent @ groups
    return gradient, hessian
