"""The linear part W of a machine: apply, transpose, and the cotangent of its weight.

One family serves all machines: a convolution over any number of grid axes, the dense matrix
being the convolution over none. With the lag ℓ of kernel index j being j − after,

    (W z)[g, o] = Σ_{ℓ, c} z[g − ℓ, c] W[ℓ, c, o]          zero outside the grid,
    Wᵀ           = the same with kernel W'[k−1−j, o, c] = W[j, c, o] and paddings swapped,
    Q[ℓ, c, o]  = Σ_{batch, g} z[g − ℓ, c] v[g, o]          the cotangent of W

(arXiv:2204.12786, eqs. (10)–(14), in the [in, out] layout). Only channels that the partition
lets a block read are touched, so a dead weight never meets a value, not even an infinite one.
"""

from __future__ import annotations

import math

import numpy as np

from ..arrays import Array, backend_of, namespace
from ..partitions import Partition, Step

__all__ = ["accumulate", "apply", "overlap", "rows", "sum_to", "total_rows", "transpose", "weight_cotangent"]

Box = tuple[slice, ...]


def overlap(box: Box, lag: tuple[int, ...], grid: tuple[int, ...]) -> tuple[Box, Box] | None:
    """Return where in `box` the lagged position lies on the grid, and that position; None if nowhere."""
    target, source = [], []
    for s, ell, n in zip(box, lag, grid, strict=True):
        start, stop = max(s.start, ell), min(s.stop, n + ell)
        if start >= stop:
            return None
        target.append(slice(start, stop))
        source.append(slice(start - ell, stop - ell))
    return tuple(target), tuple(source)


def accumulate(partition: Partition, weight: Array, z: Array, y: Array, step: Step) -> None:
    """Add the rows of one index set, ``y[I] += W[I, :] z``, in place.

    Parameters
    ----------
    weight : array of shape (*lag, in, out)
    z, y : arrays of shape (*batch, *grid, channel)
        `y` is written on the index set, nowhere else.
    """
    grid = partition.grid(y.shape)
    for lag, reads in partition.taps[step.block]:
        met = overlap(step.box, lag, grid)
        if met is None:
            continue
        target, source = met
        # (*batch, *box, in) @ (in, out) -> (*batch, *box, out)
        moved = z[(..., *source, reads)] @ weight[(*partition.tap(lag), reads, step.channels)]
        here = (..., *target, step.channels)
        y[here] = y[here] + moved


def apply(partition: Partition, weight: Array, z: Array) -> Array:
    """Return ``W z``, of the shape of `z`."""
    xp = namespace(z)
    y = xp.zeros_like(z, dtype=xp.result_type(weight, z))
    whole = tuple(slice(0, n) for n in partition.grid(z.shape))
    for k in partition.block_order:
        accumulate(partition, weight, z, y, Step(whole, k, partition.blocks[k]))
    return y


def transpose(partition: Partition, weight: Array) -> Array:
    """Return the kernel of Wᵀ, of shape (*lag, out, in): lags reversed, channels swapped (a view)."""
    xp = namespace(weight)
    axes = tuple(range(partition.axes))
    flipped = xp.flip(weight, axis=axes) if axes else weight
    return xp.permute_dims(flipped, (*axes, partition.axes + 1, partition.axes))


def weight_cotangent(partition: Partition, z: Array, v: Array) -> Array:
    """Return Q of shape (*lag, in, out), the sum over batch and grid, exactly zero where W is dead.

    Parameters
    ----------
    z, v : arrays of shape (*batch, *grid, channel)
        The solution, and the dual solution on y.
    """
    xp = namespace(z)
    out = backend_of(z).zeros(partition.weight_shape, xp.result_type(z, v))
    grid = partition.grid(v.shape)
    whole = tuple(slice(0, n) for n in grid)
    for k in partition.block_order:
        block = partition.blocks[k]
        for lag, reads in partition.taps[k]:
            met = overlap(whole, lag, grid)
            if met is not None:
                target, source = met
                left, right = rows(z[(..., *source, reads)]), rows(v[(..., *target, block)])
                # (samples, in)ᵀ @ (samples, out) -> (in, out)
                out[(*partition.tap(lag), reads, block)] = xp.matrix_transpose(left) @ right
    return out


def rows(a: Array) -> Array:
    """Flatten all axes but the channel."""
    return a if a.ndim == 2 else namespace(a).reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))


def total_rows(a: Array) -> Array:
    """Sum over all rows of a matrix."""
    xp = namespace(a)
    return np.add.reduce(a, axis=0) if xp is np else xp.sum(a, axis=0)


def sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which `shape` was broadcast to the shape of `array`."""
    xp = namespace(array)
    shape = tuple(shape)
    lead = array.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + k for k, n in enumerate(shape) if n == 1 and array.shape[lead + k] != 1)
    return xp.reshape(xp.asarray(xp.sum(array, axis=axes)), shape) if axes else array + 0
