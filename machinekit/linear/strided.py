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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Buffer, backend_of, namespace, products_into, sum_of_products
from .taps import Strided, line_matrices, tap_matrices

__all__ = ["adjoint", "adjoint_and_weight", "apply", "apply_and_weight", "weight_cotangent"]

_WIDE = 16
"""Entries of a line of a window from which a product with it is worth a call."""
_MANY, _SMALL = 256, 10**6
"""Rows from which a product is fast in any case, and multiply-adds up to which it is fast with fewer."""

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
    start = tuple(-before for before, _ in g.padding)
    return _correlate(x, _turned(weight, g), None, start, g.count(x.shape[1:-1]), g)[0]


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
        return _residue(g, weight, y, [_progression(g, a, 0, n) for a, n in enumerate(grid)])[0]
    channels = weight.shape[-2] * g.groups
    x = backend_of(y).zeros((y.shape[0], *grid, channels), xp.result_type(weight, y))
    for place in itertools.product(*map(range, g.stride)):
        runs = [_progression(g, a, r, n) for a, (r, n) in enumerate(zip(place, grid, strict=True))]
        if all(run.taps and run.count for run in runs):
            here = tuple(slice(run.first, None, s) for run, s in zip(runs, g.stride, strict=True))
            x[(slice(None), *here, ...)] = _residue(g, weight, y, runs)[0]
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


def _residue(g: Strided, weight: Array, y: Array, runs: Sequence[_Run], x: Array | None = None) -> tuple[Array, Array]:
    """Return the adjoint on one residue per axis: a convolution of stride one of y with part of the kernel.

    And where x is given the cotangent of that part, (groups, *taps, out, in), else None.
    """
    xp = namespace(weight)
    kernel = weight[(*(run.kernel for run in runs), ...)]
    *size, inner, outer = kernel.shape
    # (*taps, in, groups, out) -> (groups, *taps, out, in)
    split = xp.reshape(kernel, (*size, inner, g.groups, outer // g.groups))
    kernel = xp.permute_dims(split, (g.axes + 1, *range(g.axes), g.axes + 2, g.axes))
    ones = (1,) * g.axes
    dense = Strided(tuple(size), ones, tuple(run.step for run in runs), ((0, 0),) * g.axes, g.groups)
    start, count = tuple(run.start for run in runs), tuple(run.count for run in runs)
    return _correlate(y, kernel, x, start, count, dense)


def weight_cotangent(geometry: Strided, x: Array, y: Array) -> Array:
    """Return Q of shape (*size, in / groups, out), the sum over samples and positions.

    Parameters
    ----------
    x : array of shape (samples, *grid, in)
    y : array of shape (samples, *count, out)
    """
    g = geometry
    start = tuple(-before for before, _ in g.padding)
    return _turned_back(_correlate(x, None, y, start, tuple(y.shape[1:-1]), g)[1], g)


def apply_and_weight(geometry: Strided, weight: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return ``W x`` and Q, the cotangents of ``Wᵀ y``, from one copy of windows; see `weight_cotangent`."""
    g = geometry
    start = tuple(-before for before, _ in g.padding)
    done, weight = _correlate(x, _turned(weight, g), y, start, tuple(y.shape[1:-1]), g)
    return done, _turned_back(weight, g)


def adjoint_and_weight(geometry: Strided, weight: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return ``Wᵀ y`` and Q, the cotangents of ``W x``, from one copy of windows at stride one."""
    g, xp = geometry, namespace(y)
    if g.stride != (1,) * g.axes or math.prod(g.size) == 1:
        return adjoint(g, weight, y, x.shape[1:-1]), weight_cotangent(g, x, y)
    runs = [_progression(g, a, 0, n) for a, n in enumerate(x.shape[1:-1])]
    back, total = _residue(g, weight, y, runs, x)
    # (groups, *size, out, in) -> (*size, in, groups, out)
    order = (*range(1, g.axes + 1), g.axes + 2, 0, g.axes + 1)
    return back, xp.reshape(xp.permute_dims(total, order), weight.shape)


def _correlate(
    x: Array, kernel: Array | None, y: Array | None, start: Ints, count: Ints, g: Strided
) -> tuple[Array, Array]:
    """Return what windows of x give, those at s p + start for p below `count`, either where its factor is given.

    With a kernel (groups, *size, in, out) it is Σ_i x[s p + d i + start] K[i], and with an array y of shape
    (samples, *count, out) it is Σ_p x[s p + d i + start]ᵀ y[p], of a kernel's shape; else None.
    """
    xp, inner = namespace(x), x.shape[-1] // g.groups
    given: Array = y if kernel is None else kernel
    outer = given.shape[-1] // (g.groups if kernel is None else 1)
    parts, stacks = _stacks(x, g, start, count, outer)
    entries = math.prod(g.size) * inner // parts
    out: Array = None
    total: Array = None
    room = Buffer()
    if kernel is not None:
        kernel = xp.reshape(kernel, (g.groups, parts, entries, outer))
        out = backend_of(x).zeros((x.shape[0], *count, g.groups * outer), xp.result_type(x, kernel))
    if y is not None:
        total = backend_of(x).zeros((g.groups, parts, entries, outer), xp.result_type(x, y))
    for index, stack in stacks:
        for k, rows in enumerate(stack):
            if kernel is not None:
                products_into(out, index, rows, kernel[:, k, ...], room if k else None)
            if y is not None:
                total[:, k, ...] += sum_of_products(rows, y[index])
    return out, None if y is None else xp.reshape(total, (g.groups, *g.size, inner, outer))


def _stacks(x: Array, g: Strided, start: Ints, count: Ints, outer: int) -> tuple[int, Iterator[tuple[tuple, list]]]:
    """Return in how many parts a window is cut, and these for some samples and lines at a time."""
    if isinstance(x, np.ndarray) and _lines_suffice(g, count, x.shape[-1] // g.groups, outer):
        return math.prod(g.size[:-1]), line_matrices(x, g, start, count)
    return 1, ((index, [rows]) for index, rows in tap_matrices(x, g, start, count))


def _lines_suffice(g: Strided, count: Ints, inner: int, outer: int) -> bool:
    """Tell whether windows copied along the last axis only are matrices as they lie, each worth a product."""
    if math.prod(g.size[:-1]) == 1 or any(s > 1 for s in g.stride[:-1]):
        return False
    entries, rows = g.size[-1] * inner, math.prod(count[-2:])
    return entries >= _WIDE and (rows >= _MANY or rows * entries * outer <= _SMALL)


def _turned(weight: Array, g: Strided) -> Array:
    """Return a weight (*size, in, out) as a kernel, reversed: (groups, *size, in, out)."""
    xp = namespace(weight)
    split = xp.reshape(weight, (*weight.shape[:-1], g.groups, weight.shape[-1] // g.groups))
    return xp.permute_dims(xp.flip(split, axis=tuple(range(g.axes))), (g.axes + 1, *range(g.axes + 1), g.axes + 2))


def _turned_back(kernel: Array, g: Strided) -> Array:
    """Return the weight, in memory of its own, of which this is the kernel."""
    xp = namespace(kernel)
    split = xp.permute_dims(xp.flip(kernel, axis=tuple(range(1, g.axes + 1))), (*range(1, g.axes + 2), 0, g.axes + 2))
    return xp.reshape(split, (*split.shape[:-2], math.prod(split.shape[-2:]))) + 0
