"""The units of a machine unrolled over a grid: where they are, and the slopes that they may have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..activations import Diagonal
from ..arrays import dtype_name, integer, to_host
from ..machines import Machine
from .slope_ranges import curvature_range, slope_range
from .structure import Piece

__all__ = ["listed", "places", "read_grid", "real_host", "unit_curvatures", "unit_order", "unit_slopes"]

_MOST = 4096
"""Units of an unrolled machine: an explicit matrix of more is not what these bounds are for."""


def read_grid(machine: Machine, grid: Any, *, unrolled: bool = True) -> tuple[int, ...]:
    """Return the grid of a machine: one extent, at least 0, for each grid axis; small enough to be unrolled."""
    read = tuple(integer(f"grid[{k}]", n, 0) for k, n in enumerate(listed("grid", grid, "(28, 28)")))
    axes = machine.partition.axes
    if len(read) != axes:
        raise ValueError(f"grid is {read} but the machine has {axes} grid axes; pass one extent for each")
    units = math.prod(read) * machine.partition.channels
    if unrolled and units > _MOST:
        raise ValueError(
            f"the machine has {units} units on the grid {read}, more than {_MOST}; pass a smaller grid, or use "
            "smoothness.bounds, which unrolls nothing"
        )
    return read


def places(machine: Machine, grid: tuple[int, ...]) -> list[np.ndarray]:
    """Return the index sets in the order of computation, as places in an array of shape (*grid, channel)."""
    p = machine.partition
    whole = np.arange(math.prod(grid) * p.channels).reshape(*grid, p.channels)
    if p.scan:
        return [whole[step.index].reshape(-1) for step in p.steps(grid)]
    order = range(len(p.sizes))
    return [whole[..., p.blocks[k]].reshape(-1) for k in (reversed(order) if -1 in p.reverse else order)]


def unit_order(machine: Machine, grid: tuple[int, ...]) -> np.ndarray:
    """Return all places in the order of computation."""
    sets = places(machine, grid)
    return np.concatenate(sets) if sets else np.zeros(0, int)


def unit_slopes(
    machine: Machine,
    shape: tuple[int, ...],
    units: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    constants: Mapping[str, Piece] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and largest slope of units on intervals.

    Parameters
    ----------
    shape : tuple of int
        (*grid, channel).
    units : int array of shape (n,)
        Places in an array of that shape.
    low, high : float64 arrays of shape (n,)
    """
    sigma = machine.pointwise
    if isinstance(sigma, Diagonal):
        array = real_host(to_host(sigma.array), "the Diagonal")
        if math.prod(array.shape[: array.ndim - len(shape)]) != 1:
            raise ValueError(f"the Diagonal has shape {array.shape}, a slope per sample; pass one of shape {shape}")
        slope = np.broadcast_to(array.reshape(array.shape[-len(shape) :]), shape).reshape(-1)[units].astype(float)
        return slope, slope
    least, most = np.empty(len(units)), np.empty(len(units))
    for activation, here in _by_block(machine, units):
        least[here], most[here] = slope_range(activation, low[here], high[here], constants=constants)
    return least, most


def unit_curvatures(
    machine: Machine,
    units: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    constants: Mapping[str, Piece] | None = None,
) -> np.ndarray:
    """Return sup|σ″| of units on intervals."""
    found = np.zeros(len(units))
    if not isinstance(machine.pointwise, Diagonal):
        for activation, here in _by_block(machine, units):
            found[here] = curvature_range(activation, low[here], high[here], constants=constants)
    return found


def _by_block(machine: Machine, units: np.ndarray) -> list[tuple[Any, np.ndarray]]:
    """Return the activations, and which of the units each acts on."""
    sigma: Any = machine.pointwise
    channel = units % max(machine.partition.channels, 1)
    pairs = zip(sigma.activations, sigma.blocks, strict=True)
    return [(a, (channel >= block.start) & (channel < block.stop)) for a, block in pairs if block.stop > block.start]


def listed(name: str, value: Any, example: str) -> tuple:
    """Return a sequence as a tuple; TypeError, with an example, for anything else."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is {value!r}; pass a sequence such as {example}")
    return tuple(value)


def real_host(host: np.ndarray, name: str) -> np.ndarray:
    """Return a finite real array in double precision; TypeError for complex numbers, ValueError for others."""
    if np.iscomplexobj(host):
        raise TypeError(f"{name} is {dtype_name(host)}; these bounds are of real slopes: pass real arrays")
    if not np.isfinite(host).all():
        raise ValueError(f"{name} has {int(np.sum(~np.isfinite(host)))} entries that are not finite; pass finite ones")
    return np.asarray(host, float)
