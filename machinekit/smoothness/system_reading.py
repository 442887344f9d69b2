"""Reading a weight, the sizes of its blocks and a box of slopes, or a machine, as a system."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import as_array, integer, to_host
from ..linear import apply
from ..machines import Machine
from .structure import Piece
from .system import System
from .units import listed, places, read_grid, real_host, unit_order, unit_slopes

__all__ = ["read_system", "read_unit_values"]


def read_system(
    weight: Any,
    sizes: Any = None,
    slopes: Any = None,
    *,
    grid: Any = (),
    constants: Mapping[str, Piece] | None = None,
) -> System:
    """Return the system of a weight and the sizes of its blocks, or of a machine unrolled over a grid.

    Parameters
    ----------
    weight : array of shape (in, out), or Machine
    sizes : sequence of int
        Of the blocks of an array; None for a machine.
    slopes : pair of numbers or of arrays of shape (n,), for a machine (*grid, channel)
        Least and largest slope. By default (0, 1), and of a machine those of its activations.
    grid : tuple of int
        Extents of a machine's grid.
    constants : mapping of str to Piece, optional
        Of a machine's own activations.

    Raises
    ------
    ValueError, TypeError
        A weight that is not strictly block triangular, not square, complex or not finite; sizes, grid or slopes that
        do not fit; slopes of a machine that are unbounded.
    """
    if isinstance(weight, Machine):
        if sizes is not None:
            raise TypeError(f"sizes is {sizes!r} but weight is a machine, which has its own; leave sizes out")
        return _of_machine(weight, slopes, read_grid(weight, grid), constants)
    if len(listed("grid", grid, "()")):
        raise ValueError(f"grid is {grid!r} but weight is a matrix, which has no grid axes; leave grid out")
    matrix, read = _matrix(weight), _sizes(sizes)
    if matrix.shape != (sum(read),) * 2:
        raise ValueError(
            f"weight has shape {matrix.shape} but sizes {read} are {sum(read)} units; pass sizes that add up"
        )
    _check_order(matrix, read, "set them to zero, as mk.DenseMachine(sizes, weight=weight).weight does")
    n = len(matrix)
    least, most = _slopes((0.0, 1.0) if slopes is None else slopes, (n,))
    return System(np.ascontiguousarray(matrix.T), read, least, most)


def _of_machine(
    machine: Machine, slopes: Any, grid: tuple[int, ...], constants: Mapping[str, Piece] | None
) -> System:  # fmt: skip
    shape = (*grid, machine.partition.channels)
    sets, order = places(machine, grid), unit_order(machine, grid)
    kernel = real_host(to_host(machine.kernel), "the weight")
    n = math.prod(shape)
    unrolled = apply(machine.partition, kernel, np.eye(n).reshape(n, *shape)).reshape(n, n)
    matrix, sizes = unrolled[np.ix_(order, order)], tuple(map(len, sets))
    _check_order(matrix, sizes, "use smoothness.equilibrium_bound for a machine whose blocks read themselves")
    if slopes is None:
        infinite = np.full(n, math.inf)
        least, most = unit_slopes(machine, shape, order, -infinite, infinite, constants)
        if not (np.isfinite(least).all() and np.isfinite(most).all()):
            raise ValueError(
                f"the slopes of activation {machine.pointwise.name!r} are unbounded; pass slopes=(least, largest), or "
                "use smoothness.regional_bound"
            )
    else:
        least, most = (slope.reshape(-1)[order] for slope in _slopes(slopes, shape))
    return System(np.ascontiguousarray(matrix.T), sizes, least, most)


def _sizes(sizes: Any) -> tuple[int, ...]:
    if sizes is None:
        raise TypeError("sizes is None but weight is an array; pass the units of its blocks, such as sizes=(2, 3, 3)")
    return tuple(integer(f"sizes[{k}]", n, 0) for k, n in enumerate(listed("sizes", sizes, "(2, 3, 3)")))


def _matrix(weight: Any) -> np.ndarray:
    """Return a square real matrix on the host in double precision, still [in, out]."""
    as_array(weight, "weight")
    if weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}; pass a square matrix [in, out], or a machine for convolutions"
        )
    return real_host(to_host(weight), "weight")


def _check_order(matrix: np.ndarray, sizes: tuple[int, ...], remedy: str) -> None:
    """Refuse [in, out] entries by which a block reads itself or a later one."""
    block = np.repeat(np.arange(len(sizes)), sizes)
    wrong = np.argwhere((matrix != 0) & (block[:, None] >= block[None, :]))
    if len(wrong):
        i, j = map(int, wrong[0])
        if not ((matrix != 0) & (block[:, None] <= block[None, :])).any():
            remedy = "the layout is [in, out], and this is W itself, [out, in]: pass weight.T"
        raise ValueError(
            f"weight is not strictly block triangular: {len(wrong)} entries, the first at [in, out] = [{i}, {j}], let "
            f"block {block[j]} read block {block[i]}; {remedy}"
        )


def _slopes(slopes: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    pair = listed("slopes", slopes, "(0, 1)")
    if len(pair) != 2:
        raise ValueError(f"slopes has {len(pair)} entries; pass a pair, the least and the largest slope")
    read = [
        read_unit_values(f"the {name} slope", given, shape)
        for name, given in zip(("least", "largest"), pair, strict=True)
    ]
    wrong = np.argwhere(read[0] > read[1])
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        raise ValueError(
            f"slopes are {float(read[0][at])} … {float(read[1][at])} at unit {at}; pass the least slope first, at most "
            "the largest"
        )
    return read[0], read[1]


def read_unit_values(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return one finite number per unit, from a number or an array of the shape of all units."""
    host = np.asarray(to_host(given) if hasattr(given, "dtype") and hasattr(given, "shape") else given)
    if host.dtype.kind not in "iuf":
        raise TypeError(f"{name} is {given!r}; pass a number or a real array of shape {shape}")
    if host.shape != () and host.shape != shape:
        raise ValueError(f"{name} has shape {host.shape}; pass a number or an array of shape {shape}")
    if not np.isfinite(host).all():
        raise ValueError(f"{name} is {given!r}; pass finite numbers")
    return np.array(np.broadcast_to(host, shape), float)
