"""Algorithm 1: the one sweep that runs a machine, its tangent and its dual.

This is the normative path. It is written against the array API standard and runs on any library,
in real, complex and, for linear machines, exact integer and rational arithmetic.
"""

from __future__ import annotations

from ..activations import Pointwise
from ..arrays import Array, astype, backend_of, namespace
from ..linear import accumulate
from ..partitions import Partition

__all__ = ["sweep"]


def sweep(
    partition: Partition,
    weight: Array,
    activation: Pointwise,
    y0: Array,
    z0: Array | None = None,
) -> tuple[Array, Array]:
    """Solve ``y = W z + y0``, ``z = σ(y) + z0``, one index set after the other.

    Parameters
    ----------
    partition : Partition
    weight : array of shape (*lag, in, out), zero where dead
    activation : Pointwise
        For the tangent and the dual, ``Diagonal(slope)``.
    y0 : array of shape (*batch, *grid, channel)
        The start on Y; a bias, being constant, belongs into it.
    z0 : array of the same shape, or None for zero

    Returns
    -------
    y, z : arrays of that shape
        New arrays in the library and on the device of `y0`.

    Notes
    -----
    For i = 0, 1, …: linear step y[I_i] = y0[I_i] + W[I_i, :] z, pointwise step
    z[I_i] = σ(y[I_i]) + z0[I_i]. One multiply-add per live weight, position and sample
    (arXiv:2204.12786, Algorithm 1).
    """
    xp = namespace(y0)
    arrays = [weight, y0] if z0 is None else [weight, y0, z0]
    if hasattr(activation, "array"):
        arrays.append(activation.array)
    dtype = xp.result_type(*arrays)
    y = astype(y0, dtype)
    z = backend_of(y0).zeros(y0.shape, dtype)
    sigma = activation.on(y.shape)
    for step in partition.steps(partition.grid(y.shape)):
        here = step.index
        accumulate(partition, weight, z, y, step)
        z[here] = sigma.part(y[here], here, step.block)
        if z0 is not None:
            z[here] = z[here] + z0[here]
    return y, z
