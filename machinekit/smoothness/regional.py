"""Lipschitz bounds on a ball around a point: with the slopes that are met there, not all that σ has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, to_host
from ..machines import Machine
from ..machines.checks import check_state
from ..records import State
from .resolvent import system_bound
from .structure import Piece
from .system import System, block_norms, norm
from .system_reading import read_system
from .units import read_grid, unit_curvatures, unit_order, unit_slopes

__all__ = ["Region", "reach", "region", "regional_bound"]

_TIGHTENINGS = 4


class Region(NamedTuple):
    """What the units of a machine meet on a ball, float64 arrays of shape (*batch, *grid, channel) on the host.

    Attributes
    ----------
    reach : array
        |y − y*| is at most this.
    least, most : arrays
        Least and largest σ′(y).
    curvature : array
        Largest |σ″(y)|.
    """

    reach: np.ndarray
    least: np.ndarray
    most: np.ndarray
    curvature: np.ndarray


def region(
    machine: Machine,
    at: State | Array,
    radius: float,
    *,
    y0_radius: float = 0.0,
    z0: Array | None = None,
    constants: Mapping[str, Piece] | None = None,
) -> Region:
    """Return how far the units of a machine move on a ball around a point, and the slopes that they meet.

    Parameters
    ----------
    machine, at, radius, y0_radius, z0, constants : as for `regional_bound`

    Returns
    -------
    Region

    Raises
    ------
    ValueError, TypeError
        As `regional_bound`.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.DenseMachine((1, 1), "relu", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
    >>> there = region(m, np.array([3.0]), 1.0)
    >>> there.reach.tolist(), there.least.tolist()  # y[1] = 2 z[0] = 6 ± 2 is on the right of the kink
    ([0.0, 2.0], [1.0, 1.0])
    """
    system, order, y = _read(machine, at, z0, radius, y0_radius)
    radii, shape = (float(radius), float(y0_radius)), y.shape
    count = math.prod(machine.partition.grid(shape)) * machine.partition.channels
    found = [_around(machine, system, order, row, radii, shape, constants) for row in y.reshape(-1, count)]
    back = np.argsort(order)
    return Region(*(np.array([part[k][back] for part in found]).reshape(shape) for k in range(4)))


def regional_bound(
    machine: Machine,
    at: State | Array,
    radius: float,
    *,
    y0_radius: float = 0.0,
    z0: Array | None = None,
    method: str = "centred",
    of: Any = "all",
    constants: Mapping[str, Piece] | None = None,
) -> Any:
    """Return a bound on the Lipschitz constant of z0 ↦ z on a ball around a point.

    Parameters
    ----------
    machine : Machine
        Of finite depth; on a grid it is unrolled.
    at : State, or array of shape (*batch, *grid, channel)
        The centre: what ``machine.solve`` returned, or a y0 to solve for.
    radius : float
        Of the ball of z0, all blocks together, one sample at a time.
    y0_radius : float
        Of the ball of y0. The bound is then one on ‖∂z/∂z0‖ for all y0 and z0 of the two balls.
    z0 : array, optional
        With a y0, the rest of the centre.
    method, of : as for `resolvent_bound`
    constants : mapping of str to Piece, optional
        Of activations of your own: ``smoothness``, the largest |σ″|, is what tightens their slopes.

    Returns
    -------
    float; or float64 array of shape (*batch,), on the host
        One number per sample, at radius 0 exact: the norm ‖(I − D W)⁻¹‖ at the centre.

    Raises
    ------
    ValueError
        A negative or infinite radius; a machine whose blocks read themselves; what `resolvent_bound` refuses.
    TypeError
        No machine, a state of another machine.

    Notes
    -----
    On the ball, dy = Y dz0 with Y = W (I − D W)⁻¹ = K + K E (I − K E)⁻¹ K, so that unit i moves by at most

        |dy_i| ≤ r ( ‖K_i‖ + ‖ (‖K_iB h‖)_B (I − |hKh|)⁻¹ |hK| ‖ ) ,

    C, h, M, K as in `resolvent_bound` and B the blocks; for y0 with N = (I − W C)⁻¹ in the place of the last K, and of
    the first. The slopes met on these intervals make C and h for the next round, of four. The first intervals are
    carried from block to block, by the norms of W and the slopes met so far, so that σ may have unbounded slopes. At a
    kink that is met the slopes of both sides count.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.DenseMachine((2, 2), "tanh", weight=np.kron([[0.0, 1.0], [0.0, 0.0]], np.diag([2.0, 1.0])))
    >>> y0 = np.array([1.0, -1.0])
    >>> [round(regional_bound(m, y0, radius), 4) for radius in (0.0, 0.1, 1.0, 10.0)]
    [1.3362, 1.4279, 2.4142, 2.4142]
    """
    there = region(machine, at, radius, y0_radius=y0_radius, z0=z0, constants=constants)
    partition = machine.partition
    grid = partition.grid(there.reach.shape)
    count = math.prod(grid) * partition.channels
    batch = there.reach.shape[: there.reach.ndim - 1 - partition.axes]
    system = read_system(machine, slopes=(0, 1), grid=grid)
    order = unit_order(machine, grid)
    pairs = zip(there.least.reshape(-1, count), there.most.reshape(-1, count), strict=True)
    found = [system_bound(system.within(least[order], most[order]), method, of) for least, most in pairs]
    return np.array(found).reshape(batch) if batch else found[0]


def reach(system: System) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds on the norms of the rows of Y = W (I − D W)⁻¹, and of those of (I − W D)⁻¹."""
    middle, root = 0.5 * (system.least + system.most), np.sqrt(0.5 * (system.most - system.least))
    k = system.matrix @ system.resolvent(middle)
    starts = np.eye(len(k)) + k * middle
    bent = k * root
    loop = block_norms(root[:, None] * bent, system.sizes)
    first = np.stack([np.linalg.norm(bent[:, block], axis=1) for block in system.blocks], axis=1)
    carried = np.linalg.solve((np.eye(len(loop)) - loop).T, first.T).T
    by_z, by_y = (
        np.linalg.norm(a, axis=1) + np.linalg.norm(carried @ block_norms(root[:, None] * a, system.sizes), axis=1)
        for a in (k, starts)
    )
    return by_z, by_y


def _around(
    machine: Machine,
    system: System,
    order: np.ndarray,
    y: np.ndarray,
    radii: tuple[float, float],
    shape: tuple[int, ...],
    constants: Mapping[str, Piece] | None,
) -> tuple[np.ndarray, ...]:
    """Return reach, least and largest slope and curvature around one sample, in the order of computation."""
    local, centre = shape[len(shape) - 1 - machine.partition.axes :], y[order]

    def met(far: np.ndarray, units: Any = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        here = centre[units]
        return unit_slopes(machine, local, order[units], here - far, here + far, constants)

    far = _swept(system, radii, met)
    least, most = met(far)
    for _ in range(_TIGHTENINGS):
        by_z, by_y = reach(system.within(least, most))
        far = np.minimum(far, radii[0] * by_z + radii[1] * by_y)
        least, most = met(far)
    return far, least, most, unit_curvatures(machine, order, centre - far, centre + far, constants)


def _swept(system: System, radii: tuple[float, float], met: Any) -> np.ndarray:
    """Return how far units move, carried from block to block."""
    far, moved = np.zeros(len(system.matrix)), np.zeros(len(system.sizes))
    for i, rows in enumerate(system.blocks):
        if rows.stop == rows.start:
            continue
        pieces = [system.matrix[rows, before] for before in system.blocks[:i]]
        by_unit = sum((np.linalg.norm(a, axis=1) * m for a, m in zip(pieces, moved, strict=False)), np.zeros(1))
        whole = sum(norm(a) * m for a, m in zip(pieces, moved, strict=False))
        far[rows] = by_unit + radii[1]
        steepest = max(float(np.max(np.abs(slope))) for slope in met(far[rows], rows))
        moved[i] = radii[0] + steepest * (whole + radii[1])
    return far


def _read(
    machine: Any, at: Any, z0: Array | None, radius: Any, y0_radius: Any
) -> tuple[System, np.ndarray, np.ndarray]:
    """Return the system without its slopes, the order of its units, and y of the centre."""
    if not isinstance(machine, Machine):
        raise TypeError(f"machine is a {type(machine).__name__}; pass a machine of finite depth, as mk.DenseMachine(…)")
    for name, value in (("radius", radius), ("y0_radius", y0_radius)):
        if not (0.0 <= float(value) < math.inf):
            raise ValueError(f"{name} is {value!r}; pass a finite number, at least 0 (resolvent_bound has no radius)")
    if isinstance(at, State):
        if z0 is not None:
            raise TypeError("z0 is given with a state, which has its own; pass y0 and z0, or the state alone")
        state: Any = check_state(machine, at)
    else:
        state = machine.solve(at, z0)
    y = to_host(state.y)
    if np.iscomplexobj(y) or not np.isfinite(y).all():
        raise ValueError(
            f"y of the centre is {y.dtype} with entries not finite, or complex; pass a real, finite centre"
        )
    grid = read_grid(machine, machine.partition.grid(y.shape))
    return read_system(machine, slopes=(0, 1), grid=grid), unit_order(machine, grid), y.astype(float)
