"""Products that make the weights of monotone machines, and their cotangents: of convolutions, and of one matrix."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, namespace

__all__ = ["convolved", "correlated", "dagger", "matrix_kernel", "matrix_pullback", "swapped"]


def matrix_kernel(A: Array, B: Array, m: Any) -> Array:
    """Return Wᵀ = (1 − m) I − AᵀA + Bᵀ − B, in as few passes as there are terms.

    Parameters
    ----------
    A, B : arrays of shape (channel, channel)
    m : number or array of shape ()
    """
    xp = namespace(A)
    w = swapped(B) - B
    # the product with its own transpose takes half the time of another
    w = w - swapped(A) @ A
    level = 1.0 - m
    if xp is np:
        w = w.astype(np.result_type(w, m), copy=False)
        w.reshape(-1)[:: w.shape[0] + 1] += level
        return w
    return w + level * backend_of(w).eye(w.shape[0], w.dtype)


def matrix_pullback(A: Array, Q: Array) -> tuple[Array, Array, Array]:
    """Return the cotangents of A, B and m from that of Wᵀ: −A (Q + Qᵀ), Qᵀ − Q and −tr Q."""
    xp, turned = namespace(Q), swapped(Q)
    a = A @ (Q + turned)
    if xp is np:
        return -a, turned - Q, np.asarray(-np.trace(Q))
    eye = backend_of(Q).eye(Q.shape[0], Q.dtype)
    return -a, turned - Q, -xp.sum(xp.where(eye != 0, Q, eye))


def swapped(w: Array) -> Array:
    """Column convention to the layout of a machine's weight, or back: channels swapped, lags as they are."""
    return namespace(w).matrix_transpose(w)


def _flipped(x: Array) -> Array:
    return namespace(x).flip(x, axis=tuple(range(x.ndim - 2))) if x.ndim > 2 else x


def dagger(x: Array) -> Array:
    """X†[ℓ] = X[−ℓ]ᵀ."""
    return swapped(_flipped(x))


def correlated(a: Array, b: Array) -> Array:
    """Return (a† * b)[d] = Σ_ℓ a[ℓ]ᵀ b[ℓ + d] for d in −s … s."""
    xp, taps, c = namespace(a), a.shape[:-2], a.shape[-1]
    found = []
    for lag in itertools.product(*(range(1 - n, n) for n in taps)):
        ends = [(d, n, n - abs(d)) for d, n in zip(lag, taps, strict=True)]
        left = a[(*(slice(max(0, -d), n - max(0, d)) for d, n, _ in ends), ...)]
        right = b[(*(slice(max(0, d), n + min(0, d)) for d, n, _ in ends), ...)]
        rows = (math.prod(n for *_, n in ends) * c, c)
        # (taps · out, in)ᵀ @ (taps · out, in) -> (in, in)
        found.append(xp.matrix_transpose(xp.reshape(left, rows)) @ xp.reshape(right, rows))
    return xp.reshape(xp.stack(found), (*(2 * n - 1 for n in taps), c, c))


def convolved(a: Array, t: Array) -> Array:
    """Return (a * t)[ℓ] = Σ_ℓ' a[ℓ'] t[ℓ − ℓ'] at the lags of a, t having lags −s … s."""
    xp, taps, c = namespace(a), a.shape[:-2], a.shape[-1]
    axes, rows = len(taps), math.prod(taps) * c
    left = xp.reshape(xp.permute_dims(a, (axes, *range(axes), axes + 1)), (c, rows))
    turned, found = _flipped(t), []
    for at in itertools.product(*map(range, taps)):
        window = turned[(*(slice(n - 1 - j, 2 * n - 1 - j) for j, n in zip(at, taps, strict=True)), ...)]
        # (out, taps · in) @ (taps · in, in) -> (out, in)
        found.append(left @ xp.reshape(window, (rows, c)))
    return xp.reshape(xp.stack(found), a.shape)
