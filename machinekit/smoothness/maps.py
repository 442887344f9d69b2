"""Bi-affine and linear maps by their norms: dense layers, convolutions, their adjoints, gains, pools of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..arrays import integer
from .structure import BiAffine

__all__ = [
    "IDENTITY",
    "convolution",
    "dense",
    "gains",
    "linear",
    "pooling_norm",
    "window_overlap",
]

IDENTITY = BiAffine(linear=1.0, name="identity")
"""z as it is, without parameters."""

_LARGE = 1024
"""Entries along an axis up to which singular values are computed; beyond, they are bounded."""


def dense(samples: int, *, bias: bool = True, name: str = "dense") -> BiAffine:
    """Return the constants of (V, ν) ↦ Z V + ν on so many rows.

    Parameters
    ----------
    samples : int
        m: rows, all batch and grid positions.
    bias : bool

    Notes
    -----
    L_b = 1, attained where V and Z have rank one and a common vector; lᵛ = √m, attained by every ν. V and ν are
    disjoint, so that ‖(Z, 1)‖ ≤ (‖Z‖² + m)^½.

    Examples
    --------
    >>> dense(4)
    BiAffine(bilinear=1.0, bias=2.0, linear=0.0, constant=0.0, disjoint=True, name='dense')
    """
    rows = integer("samples", samples, 0)
    return BiAffine(1.0 if rows else 0.0, math.sqrt(rows) if bias else 0.0, name=name)


def window_overlap(kernel: int, stride: int, dilation: int, outputs: int) -> int:
    """Return in how many windows an entry of a line lies at most, c = min(⌈k g/s⌉, n_out) with g = gcd(e, s).

    Parameters
    ----------
    kernel, stride, dilation : int
        k, s and e along one grid axis: window p reads the entries s p + e a, a < k.
    outputs : int
        n_out, the number of windows.

    Raises
    ------
    ValueError
        A kernel, stride or dilation below 1; a negative number of windows.
    TypeError
        No integers.

    Notes
    -----
    Windows read an entry through the a with s p = i − e a: they agree modulo s/g. arXiv:2002.09051 has ⌈k/s⌉, e = 1.

    Examples
    --------
    >>> window_overlap(3, 1, 1, 9), window_overlap(3, 2, 1, 9), window_overlap(3, 2, 2, 9), window_overlap(3, 1, 1, 2)
    (3, 2, 3, 2)
    """
    k, s, e = integer("kernel", kernel, 1), integer("stride", stride, 1), integer("dilation", dilation, 1)
    return min(-(-k * math.gcd(e, s) // s), integer("outputs", outputs, 0))


def convolution(
    overlaps: Sequence[int],
    entries: Sequence[int],
    positions: int,
    samples: int,
    *,
    bias: bool = True,
    name: str = "convolution",
) -> BiAffine:
    """Return the constants of a convolution or of its adjoint, of any channels and groups.

    Parameters
    ----------
    overlaps : sequence of int
        `window_overlap` along each grid axis.
    entries : sequence of int
        Entries of the grid that comes in, along each axis.
    positions : int
        n_p, positions of what comes out.
    samples : int
        m.
    bias : bool

    Notes
    -----
    L_b = Π_d √c_d with c_d the overlap, or the entries of the grid if these are fewer; lᵛ = √(m n_p), attained.
    Of one channel and a filter w, ‖β(w, z)‖² = Σ_p (w · z_{S_p})² ≤ ‖w‖² Σ_p ‖z_{S_p}‖² ≤ ‖w‖² Π c_d ‖z‖²; Cauchy and
    Schwarz over the channels in, a sum over filters and samples. Any two of entry, tap and window determine the third,
    so that the norm of the trilinear form ⟨y, β(w, z)⟩ is at most √ of how often one of the three occurs, axis by
    axis: it is the same for the adjoint, and no larger with zero padding. For stride 1 and long lines it is attained
    in the limit, by constant filters and signals. Printed as √n_p (Allerton 2019), ⌈k/s⌉ (arXiv:2002.09051) and ⌈k/s⌉²
    (CISS 2021), with a bias of √(m n_p), √m ⌈k/s⌉ and √m, of which the last two are too small.

    Examples
    --------
    >>> b = convolution((3, 3), (8, 8), 64, 4)
    >>> round(b.bilinear, 12), b.bias
    (3.0, 16.0)
    """
    shared = [min(c, n) for c, n in zip(overlaps, entries, strict=True)]
    bilinear = math.sqrt(math.prod(shared)) if samples else 0.0
    return BiAffine(bilinear, math.sqrt(samples * positions) if bias else 0.0, name=name)


def gains(rows: int, *, scale: bool = True, bias: bool = True, name: str = "gains") -> BiAffine:
    """Return the constants of n ↦ n ⊙ γ + ν, one γ and ν for all rows of n.

    Notes
    -----
    ‖n ⊙ γ‖² = Σ_c γ_c² ‖n_c‖² ≤ ‖γ‖² ‖n‖², attained by one channel: L_b = 1, and lᵛ = √rows. Without γ, lˣ = 1.

    Examples
    --------
    >>> gains(9), gains(9, scale=False).linear
    (BiAffine(bilinear=1.0, bias=3.0, linear=0.0, constant=0.0, disjoint=True, name='gains'), 1.0)
    """
    return BiAffine(
        bilinear=1.0 if scale and rows else 0.0,
        bias=math.sqrt(rows) if bias else 0.0,
        linear=0.0 if scale else 1.0,
        name=name,
    )


def linear(norm: float, constant: float = 0.0, *, name: str = "linear") -> BiAffine:
    """Return a fixed affine map, without parameters: a skip, a scaling, a selection.

    Examples
    --------
    >>> linear(2.0).linear
    2.0
    """
    if not (norm >= 0 and constant >= 0):
        raise ValueError(f"norm is {norm} and constant {constant}; both are norms, pass numbers at least 0")
    return BiAffine(linear=float(norm), constant=float(constant), name=name)


def pooling_norm(
    grid: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    *,
    count_padding: bool = False,
) -> float:
    """Return the norm of average pooling: the product over axes of those of its factors.

    Parameters
    ----------
    grid, size, stride : sequences of int, one entry per grid axis
    padding : sequence of (before, after)
    count_padding : bool
        As for `mk.AvgPool`.

    Notes
    -----
    Pooling is the Kronecker product of n_out × n matrices, one per axis, with entries 1/N_p where window p is; it acts
    alike on each channel and sample. Disjoint windows have orthogonal rows, of norm N_p^(−½): 1/k in two dimensions.
    Otherwise singular values, for up to 1024 entries an axis, beyond that Schur's bound. Without padding at most
    √Π(c_d/k_d), c the overlap; windows that reach into padding that is not counted are means over fewer entries, and
    their norm may be 1.

    Examples
    --------
    >>> pooling_norm((8, 8), (2, 2), (2, 2), ((0, 0), (0, 0)))
    0.5
    >>> pooling_norm((2,), (2,), (2,), ((1, 1),))  # means of one entry each
    1.0
    """
    square = 1.0 if min(grid, default=1) else 0.0
    for n, k, s, (before, after) in zip(grid, size, stride, padding, strict=True):
        if not square:
            break
        low = s * np.arange(max((n + before + after - k) // s + 1, 0)) - before
        start, stop = np.maximum(low, 0), np.minimum(low + k, n)
        count = np.full(len(low), k) if count_padding else stop - start
        if s >= k:
            square *= float(np.max((stop - start) / (count * count), initial=0.0))
        elif max(n, len(low)) <= _LARGE:
            at = np.arange(n)
            inside = (at >= start[:, None]) & (at < stop[:, None])
            square *= float(np.linalg.norm(inside / count[:, None], 2)) ** 2
        else:
            # rows sum to at most 1, columns to those of the windows that an entry is in
            ends = np.zeros(n + 1)
            np.add.at(ends, start, 1.0 / count)
            np.add.at(ends, stop, -1.0 / count)
            square *= float(np.max(np.cumsum(ends)))
    return math.sqrt(square)
