"""Plain NumPy loops to measure against: Peaceman–Rachford as printed, and an unrolled network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["textbook", "unrolled"]


def textbook(
    W: np.ndarray, start: np.ndarray, rtol: float, alpha: float, limit: int = 10_000, contiguous: bool = False
) -> Callable[[], tuple[np.ndarray, int]]:
    """Return a call that solves z = relu(W z + start) and returns (z, steps); the inverse is made before.

    The algorithm is that of Winston & Kolter (arXiv:2006.08591, Algorithm 1) line by line, with the stop rule of the
    authors' code, the relative change of z of the whole batch, and like there a product with the inverse transposed,
    a view:

        u½ = 2 z − u,  z½ = V (u½ + α start),  u = 2 z½ − u½,  z = relu(u),   V = ((1 + α) I − α W)⁻¹.

    Parameters
    ----------
    W : array of shape (n, n)
        For column vectors.
    start : array of shape (samples, n)
    contiguous : bool
        Transpose the inverse in memory instead, which makes each product faster.
    """
    eye = np.eye(W.shape[0], dtype=W.dtype)
    turned = np.linalg.inv((1.0 + alpha) * eye - alpha * W).T
    if contiguous:
        turned = np.ascontiguousarray(turned)

    def solve() -> tuple[np.ndarray, int]:
        z, u = np.zeros_like(start), np.zeros_like(start)
        step, change = 0, 1.0
        while change > rtol and step < limit:
            half = 2.0 * z - u
            middle = (half + alpha * start) @ turned
            u = 2.0 * middle - half
            new = np.maximum(u, 0.0)
            change = float(np.linalg.norm(new - z)) / (1e-6 + float(np.linalg.norm(new)))
            z = new
            step += 1
        return z, step

    return solve


def unrolled(M: np.ndarray, c: np.ndarray, seed: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (z, cotangent of M) of so many steps u ← |u| M + c, all kept and back-propagated through.

    Parameters
    ----------
    M : array of shape (n, n)
        For row vectors.
    c, seed : arrays of shape (samples, n)
    """
    kept = [c]
    for _ in range(steps):
        u = np.abs(kept[-1]) @ M
        u += c
        kept.append(u)
    z = np.maximum(kept[-1], 0.0)
    back, cotangent = np.where(kept[-1] > 0, seed, 0.0), np.zeros_like(M)
    for u in kept[-2::-1]:
        cotangent += np.abs(u).T @ back
        back = np.sign(u) * (back @ M.T)
    return z, cotangent
