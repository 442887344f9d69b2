"""At given weights: how far parameters move a state, and how much a machine bends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import to_host
from ..linear.grid import overlap
from ..machines import Machine
from ..machines.checks import check_state
from ..records import State
from .regional import reach
from .resolvent import system_bound
from .structure import Piece, times
from .system import System, block_norms, norm
from .system_reading import read_system, read_unit_values
from .units import read_grid, unit_curvatures, unit_order

__all__ = ["block_readings", "parameter_bound", "second_order_bound"]


def parameter_bound(
    machine: Machine,
    state: State,
    *,
    slopes: Any = None,
    method: str = "centred",
    constants: Mapping[str, Piece] | None = None,
) -> float:
    """Return a bound on ‖∂z/∂p‖ at a state, p the weights and the bias of a machine at their present values.

    Parameters
    ----------
    machine : Machine
        Of finite depth; on a grid it is unrolled.
    state : State
        What ``machine.solve`` returned. Of a batch, z of all samples is one vector.
    slopes : pair of numbers, or of arrays of shape (*grid, channel)
        Least and largest slope; by default those of the activations, and then the bound serves all states with this z.
    method : str
        That of `resolvent_bound`.
    constants : mapping of str to Piece, optional

    Returns
    -------
    float
        ‖ż‖ ≤ this · ‖(Ẇ, ḃ)‖, Frobenius norms.

    Raises
    ------
    ValueError, TypeError
        As `resolvent_bound`; a state of another machine.

    Notes
    -----
    ż = (I − D W)⁻¹ D (Ẇ z + ḃ), so that ‖ż‖ ≤ ρ s ‖Ẇ z + ḃ‖ with a certified ρ ≥ ‖(I − D W)⁻¹‖ and s the largest slope.
    Block k reads the rows of a matrix Z_k: for each sample and position the values of z that reach it, over all lags,
    and a 1 where there is a bias. ‖Ẇ z + ḃ‖ ≤ max_k ‖Z_k‖ ‖(Ẇ, ḃ)‖; of a dense machine and one sample ‖Z_k‖ is
    √(‖z_<k‖² + 1).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.DenseMachine((1, 1), "tanh", weight=np.array([[0.0, 0.0], [0.0, 0.0]]), bias=True)
    >>> state = m.solve(None, np.array([0.75]))
    >>> parameter_bound(m, state)  # √(0.75² + 1)
    1.25
    """
    if not isinstance(machine, Machine):
        raise TypeError(f"machine is a {type(machine).__name__}; pass a machine of finite depth, as mk.DenseMachine(…)")
    at = check_state(machine, state)
    grid = read_grid(machine, machine.partition.grid(at.z.shape))
    system = read_system(machine, slopes=slopes, grid=grid, constants=constants)
    steepest = np.empty(len(system.matrix))
    steepest[unit_order(machine, grid)] = system.steepest
    steepest = steepest.reshape(*grid, -1)
    z = to_host(at.z)
    factor = 0.0
    for k in machine.partition.block_order:
        own = steepest[..., machine.partition.blocks[k]]
        if own.size and z.size:
            factor = max(factor, float(np.max(own)) * norm(block_readings(machine, z, k)))
    return times(system_bound(system, method, "all"), factor)


def block_readings(machine: Machine, z: np.ndarray, block: int) -> np.ndarray:
    """Return Z_k, what a block reads: a row for each sample and position, 1 for a bias, then each lag's channels."""
    p = machine.partition
    grid = p.grid(z.shape)
    whole: tuple[slice, ...] = tuple(slice(0, n) for n in grid)
    columns = [] if machine.bias is None else [np.ones((*z.shape[:-1], 1))]
    for lag, reads in p.taps[block]:
        seen = np.zeros((*z.shape[:-1], reads.stop - reads.start), z.dtype)
        met = overlap(whole, lag, grid)
        if met is not None:
            target, source = met
            here: Any = (..., *target, slice(None))
            there: Any = (..., *source, reads)
            seen[here] = z[there]
        columns.append(seen)
    if not columns:
        return np.zeros((0, 0))
    rows = np.concatenate(columns, axis=-1)
    return rows.reshape(-1, rows.shape[-1])


def second_order_bound(
    weight: Any,
    sizes: Any = None,
    *,
    slopes: Any = None,
    curvature: Any = None,
    method: str = "centred",
    grid: Any = (),
    constants: Mapping[str, Piece] | None = None,
) -> float:
    """Return a bound on the Lipschitz constant of the derivative of z0 ↦ z, at given weights.

    Parameters
    ----------
    weight, sizes, slopes, method, grid, constants : as for `resolvent_bound`
    curvature : number, or array of shape (n,), for a machine (*grid, channel)
        The largest |σ″|. By default that of a machine's activations; an array of weights needs it.

    Returns
    -------
    float
        ‖D²z[u, v]‖ ≤ this · ‖u‖ ‖v‖; infinite if σ′ jumps where it matters.

    Raises
    ------
    ValueError, TypeError
        As `resolvent_bound`; no curvature, or one that is negative or does not fit.

    Notes
    -----
    D²z[u, v] = (I − D W)⁻¹ (σ″(y) ⊙ Y u ⊙ Y v) with Y = W (I − D W)⁻¹, so that

        ‖D²z‖ ≤ ρ ‖Y‖ max_i sup|σ_i″| ‖Y_i‖ ,

    ρ ≥ ‖(I − D W)⁻¹‖ by the method, Y and its rows by the centred form K + K E (I − K E)⁻¹ K (see `resolvent_bound`).
    With slopes and curvature of a `region` it holds on that ball.

    Examples
    --------
    >>> import numpy as np
    >>> weight = np.array([[0.0, 2.0], [0.0, 0.0]])  # z[1] = σ(2 z[0]) + …, so that D²z = 4 σ″ at most
    >>> second_order_bound(weight, (1, 1), slopes=(0, 0), curvature=0.5)
    2.0
    """
    system = read_system(weight, sizes, slopes, grid=grid, constants=constants)
    bent = _curvature(weight, system, curvature, grid, constants)
    if not len(system.matrix):
        return 0.0
    rows, _ = reach(system)
    most = max(times(float(a), float(b)) for a, b in zip(bent, rows, strict=True))
    if not most:
        return 0.0
    return system_bound(system, method, "all") * _outer_norm(system) * most


def _outer_norm(system: System) -> float:
    """Return a bound on ‖W (I − D W)⁻¹‖ by its centred form."""
    root = np.sqrt(0.5 * (system.most - system.least))
    k = system.matrix @ system.resolvent(0.5 * (system.least + system.most))
    first, loop, last, own = (
        block_norms(a, system.sizes) for a in (k * root, root[:, None] * k * root, root[:, None] * k, k)
    )
    more = first @ np.linalg.solve(np.eye(len(loop)) - loop, last)
    return min(norm(own + more), norm(k) + norm(more))


def _curvature(
    weight: Any, system: System, given: Any, grid: Any, constants: Mapping[str, Piece] | None
) -> np.ndarray:  # fmt: skip
    """Return the largest |σ″| of every unit, in the order of computation."""
    n = len(system.matrix)
    shape: tuple[int, ...] = (n,)
    order = np.arange(n)
    if isinstance(weight, Machine):
        extents = read_grid(weight, grid)
        shape, order = (*extents, weight.partition.channels), unit_order(weight, extents)
        if given is None:
            infinite = np.full(n, math.inf)
            return unit_curvatures(weight, order, -infinite, infinite, constants)
    if given is None:
        raise TypeError("curvature is None but weight is an array; pass the largest |σ″|, such as 0.77 for tanh")
    read = read_unit_values("curvature", given, shape)
    if not (read >= 0).all():
        raise ValueError(f"curvature is {given!r}; pass the largest |σ″|, at least 0")
    return read.reshape(-1)[order]
