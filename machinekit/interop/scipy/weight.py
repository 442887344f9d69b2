"""weight_operator: the linear part of a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...arrays import Array, backend_of, dtype_name, integer
from ...linear import apply, transpose
from ...machines import Machine
from .vectors import Space, as_operator

__all__ = ["weight_operator"]


def weight_operator(machine: Machine, grid: Sequence[int] = ()) -> Any:
    """Return z ↦ W z, the linear part of a machine without its bias, as a linear operator on one sample.

    Parameters
    ----------
    machine : Machine
    grid : sequence of int
        The extents of the grid axes.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator
        Square, of size Π grid · channels, in the machine's dtype; vectors are (*grid, channel), flat in C order.
        Of a machine in CuPy it is that of cupyx.

    Raises
    ------
    TypeError
        No machine; another library.
    ValueError
        A grid of another number of axes.

    Notes
    -----
    (W z)[g, o] = Σ z[g − ℓ, c] W[ℓ, c, o], zero outside of the grid; ``rmatvec`` is Wᴴ, the same with the kernel
    reversed, transposed and conjugated (arXiv:2204.12786, eqs. (10)–(14)). Its largest singular value is the
    Lipschitz constant of the linear part. W is nilpotent on a machine of finite depth: all eigenvalues are zero.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.interop.scipy import weight_operator
    >>> machine = mk.RecurrentMachine((1,), "tanh", memory=1, weight=np.array([[[0.0]], [[0.5]]]))
    >>> W = weight_operator(machine, (3,))
    >>> W @ np.array([4.0, 2.0, 1.0]), W.T @ np.array([4.0, 2.0, 1.0])
    (array([0., 2., 1.]), array([1. , 0.5, 0. ]))
    """
    if not isinstance(machine, Machine):
        raise TypeError(f"machine is a {type(machine).__name__}; pass a machine, or use linear_operator of any op")
    p = machine.partition
    extents = tuple(integer("an extent of grid", n, 0) for n in grid)
    if len(extents) != p.axes:
        raise ValueError(f"grid is {extents}; pass one extent for each of the {p.axes} grid axes")
    dtype, home = dtype_name(machine.weight), backend_of(machine.weight)
    space = Space([(*extents, p.channels)], [None], home, dtype)
    kernel = machine.kernel
    mirrored, turned = p.dual(), transpose(p, kernel)

    def forward(vector: Array) -> Array:
        return space.pack([apply(p, kernel, space.unpack(vector)[0])])

    def backward(vector: Array) -> Array:
        return space.pack([apply(mirrored, turned, space.unpack(vector)[0])])

    return as_operator((space.size, space.size), forward, backward, home, dtype)
