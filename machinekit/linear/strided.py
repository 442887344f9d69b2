"""Convolution with stride, dilation and groups: apply, adjoint, and the cotangent of its weight.

With k entries per axis, stride s, dilation d and `before` entries of padding,

    (W x)[p]   = Σ_j x[s p + d (k−1−j) − before] W[j]              zero outside the grid,
    (Wᵀ y)[q]  = Σ_{p, j : s p + d (k−1−j) − before = q} y[p] W[j]ᵀ,
    Q[j]       = Σ_{batch, p} x[s p + d (k−1−j) − before]ᵀ y[p],

the convolution of a machine where s = d = 1. Each is one product over copied windows: with i = k−1−j
the window of p holds x at s p + d i − before, for all i side by side. The adjoint is taken by residues:
entries q + before = s a + r meet the i with d i = r (mod s) only, an arithmetic progression, so that they
are a convolution of stride one, and no sum is ever scattered.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Array, backend_of, namespace, product_into
from .taps import Strided, tap_matrices

__all__ = ["adjoint", "apply", "weight_cotangent"]

Ints = tuple[int, ...]


def apply(geometry: Strided, weight: Array, x: Array) -> Array:
    """Return ``W x``.

    Parameters
    ----------
    weight : array of shape (*size, in / groups, out)
    x : array of shape (samples, *grid, in)

    Returns
    -------
    array of shape (samples, *count, out)
    """
    g = geometry
    turned = namespace(weight).flip(weight, axis=tuple(range(g.axes)))
    start = tuple(-before for before, _ in g.padding)
    return _correlate(x, _grouped(turned, g.groups), start, g.count(x.shape[1:-1]), g)


def adjoint(geometry: Strided, weight: Array, y: Array, grid: Sequence[int]) -> Array:
    """Return ``Wᵀ y``.

    Parameters
    ----------
    weight : array of shape (*size, in / groups, out)
    y : array of shape (samples, *count, out)
    grid : sequence of int
        That of the result, which has as many windows as y has positions.

    Returns
    -------
    array of shape (samples, *grid, in)
    """
    g, xp = geometry, namespace(y)
    if g.stride == (1,) * g.axes:
        return _residue(g, weight, y, [_progression(g, a, 0, n) for a, n in enumerate(grid)])
    channels = weight.shape[-2] * g.groups
    x = backend_of(y).zeros((y.shape[0], *grid, channels), xp.result_type(weight, y))
    for place in itertools.product(*map(range, g.stride)):
        runs = [_progression(g, a, r, n) for a, (r, n) in enumerate(zip(place, grid, strict=True))]
        if all(run.taps and run.count for run in runs):
            here = tuple(slice(run.first, None, s) for run, s in zip(runs, g.stride, strict=True))
            x[(slice(None), *here, ...)] = _residue(g, weight, y, runs)
    return x


@dataclass(frozen=True)
class _Run:
    """One residue on one axis: its entries of x, its entries of the kernel, and where it starts to read y."""

    first: int
    count: int
    kernel: slice
    taps: int
    start: int
    step: int


def _progression(g: Strided, axis: int, residue: int, n: int) -> _Run:
    k, s, d, before = g.size[axis], g.stride[axis], g.dilation[axis], g.padding[axis][0]
    common = math.gcd(s, d)
    first = (residue - before) % s  # the first entry q with q + before = residue (mod s)
    period, step = s // common, d // common
    low = next((i for i in range(min(k, period)) if (d * i - residue) % s == 0), None)
    if low is None:
        return _Run(first, 0, slice(0), 0, 0, step)
    taps = (k - 1 - low) // period + 1
    high = low + period * (taps - 1)
    # the entry q reads y at (q + before − d i)/s, first for the highest i
    start = (first + before - d * high) // s
    return _Run(first, len(range(first, n, s)), slice(k - 1 - high, k - low, period), taps, start, step)


def _residue(g: Strided, weight: Array, y: Array, runs: Sequence[_Run]) -> Array:
    """Return the adjoint on one residue per axis: a convolution of stride one of y with part of the kernel."""
    xp = namespace(weight)
    kernel = weight[(*(run.kernel for run in runs), ...)]
    *size, inner, outer = kernel.shape
    # (*taps, in, groups, out) -> (groups, *taps, out, in)
    split = xp.reshape(kernel, (*size, inner, g.groups, outer // g.groups))
    order = (g.axes + 1, *range(g.axes), g.axes + 2, g.axes)
    matrices = xp.reshape(xp.permute_dims(split, order), (g.groups, math.prod(size) * (outer // g.groups), inner))
    ones = (1,) * g.axes
    dense = Strided(tuple(size), ones, tuple(run.step for run in runs), ((0, 0),) * g.axes, g.groups)
    return _correlate(y, matrices, tuple(run.start for run in runs), tuple(run.count for run in runs), dense)


def weight_cotangent(geometry: Strided, x: Array, y: Array) -> Array:
    """Return Q of shape (*size, in / groups, out), the sum over samples and positions.

    Parameters
    ----------
    x : array of shape (samples, *grid, in)
    y : array of shape (samples, *count, out)
    """
    g, xp = geometry, namespace(x)
    inner, outer = x.shape[-1] // g.groups, y.shape[-1] // g.groups
    entries = math.prod(g.size) * inner
    start = tuple(-before for before, _ in g.padding)
    total = backend_of(x).zeros((g.groups, entries, outer), xp.result_type(x, y))
    for index, left in tap_matrices(x, g, start, tuple(y.shape[1:-1])):
        right = xp.permute_dims(xp.reshape(y[index], (left.shape[1], g.groups, outer)), (1, 0, 2))
        # (groups, in, positions) @ (groups, positions, out) -> (groups, in, out)
        total += xp.matrix_transpose(left) @ right
    split = xp.reshape(total, (g.groups, *g.size, inner, outer))
    order = (*range(1, g.axes + 2), 0, g.axes + 2)
    weight = xp.reshape(xp.permute_dims(split, order), (*g.size, inner, g.groups * outer))
    return xp.flip(weight, axis=tuple(range(g.axes))) + 0


def _correlate(x: Array, matrices: Array, start: Ints, count: Ints, g: Strided) -> Array:
    """Return Σ_i x[s p + d i + start] K[i] for p below `count`, the kernel being matrices (groups, i · in, out)."""
    groups, _, outer = matrices.shape
    out = backend_of(x).zeros((x.shape[0], *count, groups * outer), namespace(x).result_type(x, matrices))
    for index, rows in tap_matrices(x, g, start, count):
        # (groups, positions, in) @ (groups, in, out) -> (groups, positions, out)
        product_into(out, index, rows, matrices)
    return out


def _grouped(kernel: Array, groups: int) -> Array:
    """Return a kernel (*size, in, out) as matrices (groups, size · in, out)."""
    xp = namespace(kernel)
    rows = math.prod(kernel.shape[:-1])
    return xp.permute_dims(xp.reshape(kernel, (rows, groups, kernel.shape[-1] // groups)), (1, 0, 2))
