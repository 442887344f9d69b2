"""A machine as an endofunction of X = Y ⊕ Z, and its flag of index sets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, common_backend, namespace, to_host
from ..graph import Hypergraph
from ..machines import Machine
from .checks import check_vector, extents
from .cofiltration import Cofiltration
from .endofunction import Endofunction
from .of_network import of_network

__all__ = ["endofunction", "flag", "pack", "unpack"]


def pack(y: Array, z: Array) -> Array:
    """Return the vector (y, z) of X = Y ⊕ Z, from arrays of shape (*grid, channel).

    Raises
    ------
    TypeError
        If one of them is no array, or they are of two libraries or devices.
    ValueError
        For two shapes.
    """
    xp = common_backend({"y": y, "z": z}).xp
    if y is None or z is None or tuple(y.shape) != tuple(z.shape):
        shapes = [None if a is None else tuple(a.shape) for a in (y, z)]
        raise ValueError(f"y has shape {shapes[0]}, z {shapes[1]}; give both, of one shape (*grid, channel)")
    return xp.concat([xp.reshape(y, (-1,)), xp.reshape(z, (-1,))])


def unpack(machine: Machine, x: Array, grid: tuple[int, ...] = ()) -> tuple[Array, Array]:
    """Return y and z of shape (*grid, channel) from a vector of X.

    Raises
    ------
    TypeError
        If `machine` is none, or x no array.
    ValueError
        If `grid` has not one extent per grid axis, or x not the shape (2 · positions · channels,).
    """
    shape = (*extents(machine, grid), machine.partition.channels)
    half = math.prod(shape)
    check_vector("x", x, 2 * half, machine)
    xp = namespace(x)
    return xp.reshape(x[:half], shape), xp.reshape(x[half:], shape)


def endofunction(machine: Machine | Hypergraph, grid: tuple[int, ...] = ()) -> Endofunction:
    """Return f(y, z) = (W z + b, σ(y)) of one sample as an endofunction of X = Y ⊕ Z, or the f of a network.

    Parameters
    ----------
    machine : Machine or Hypergraph
    grid : tuple of int
        One extent for each grid axis; () for a dense machine.

    Returns
    -------
    Endofunction
        With spaces "y" and "z" of dimension positions × channels, or those of the network, and the exact
        derivative.

    Raises
    ------
    TypeError
        If `machine` is neither.
    ValueError
        If `grid` has not one extent per grid axis; for a network, if there is one.
    """
    if isinstance(machine, Hypergraph):
        if not isinstance(grid, tuple | list) or len(grid):
            raise ValueError(f"grid is {grid}; a network's spaces have their shapes, leave it out")
        return of_network(machine)
    grid = extents(machine, grid)
    size = math.prod((*grid, machine.partition.channels))
    still = machine.replace(bias=machine.bias * 0) if machine.bias is not None else machine

    def function(x: Array) -> Array:
        image = machine.apply(*unpack(machine, x, grid))
        return pack(image.y, image.z)

    def derivative(x: Array, v: Array) -> Array:
        y, _ = unpack(machine, x, grid)
        vy, vz = unpack(machine, v, grid)
        image = still.apply(vy, vz)
        return pack(image.y, machine.pointwise.slope(y) * vy)

    name = type(machine).__name__
    return Endofunction(function, {"y": size, "z": size}, derivative=derivative, name=name, like=machine.weight)


def flag(machine: Machine, grid: tuple[int, ...] = ()) -> Cofiltration:
    """Return the depth cofiltration of a machine: its index sets Y_0, Z_0, Y_1, Z_1, … in the order of the sweep.

    Of length 2n + 1 for n + 1 non-empty index sets, one more if the bias of the first is not zero
    (arXiv:2204.12786, §3).

    Raises
    ------
    TypeError
        If `machine` is none.
    ValueError
        If `grid` has not one extent per grid axis; for an equilibrium machine, whose blocks read themselves.
    """
    lead = extents(machine, grid)
    if machine.depth_bound(lead) == math.inf:
        raise ValueError(
            f"{type(machine).__name__} has blocks that read themselves, so that f is not of finite depth and no flag "
            "of index sets lowers it; give a machine of finite depth"
        )
    shape = (*lead, machine.partition.channels)
    places = np.arange(math.prod(shape)).reshape(shape)
    sets: list[np.ndarray] = []
    for step in machine.partition.steps(lead):
        rows = places[step.index].ravel()
        if rows.size:
            sets += [rows, rows + places.size]
    if sets and machine.bias is not None and _starts_biased(machine, places, sets[0]):
        sets.insert(0, np.arange(0))
    return Cofiltration.of_index_sets(sets, 2 * places.size)


def _starts_biased(machine: Machine, places: np.ndarray, first: np.ndarray) -> bool:
    bias: Any = np.broadcast_to(to_host(machine.bias), places.shape).ravel()
    return bool(bias[first].any())
