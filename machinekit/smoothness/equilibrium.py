"""Lipschitz bounds of equilibria: block by block from monotonicity or contraction, carried through the couplings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..activations import Diagonal
from ..arrays import near, to_host
from ..machines import EquilibriumMachine, Machine
from ..machines.blocks import Blocks
from ..solvers.problem import is_proximal
from .slope_ranges import slope_range
from .structure import Piece, times
from .system import norm
from .units import read_grid

__all__ = ["equilibrium_bound"]

_STARTS = ("z0", "y0")


def equilibrium_bound(
    machine: Machine, grid: Any = (), *, start: str = "z0", constants: Mapping[str, Piece] | None = None
) -> float:
    """Return a bound on the Lipschitz constant of the equilibrium z in z0, or in y0, whatever the slopes of σ.

    Parameters
    ----------
    machine : EquilibriumMachine, MonotoneMachine, or a machine of finite depth that scans nothing
    grid : tuple of int
        Extents of the grid, one per grid axis.
    start : {"z0", "y0"}
        What moves.
    constants : mapping of str to Piece, optional
        By name of an activation of your own, ``lipschitz`` for its largest |σ′|.

    Returns
    -------
    float
        Infinite where a block is neither monotone with a proximal σ nor a contraction.

    Raises
    ------
    ValueError
        A grid that does not fit; a machine that scans an axis; an activation of your own of which nothing is known.
    TypeError
        No machine; an unknown start.

    Notes
    -----
    Block i solves s = σ(W_ii s + b_i), z_i = s + z0_i, b_i = y0_i + b + W_ii z0_i + Σ_{j<i} W_ij z_j. It is
    g_i-Lipschitz in b_i with

    * g_i = 1/m_i, if I − W_ii ⪰ m_i > 0 and σ is a proximal operator (arXiv:2006.08591, Theorem 1), or
    * g_i = s/(1 − s ‖W_ii‖), if s ‖W_ii‖ < 1, s the largest |σ′| (Banach's theorem),

    the less of the two; it is s for a block that does not read itself. So, with T_ij = g_i ‖W_ij‖ for j < i,

        ‖∂z/∂y0‖ ≤ ‖ (I − T)⁻¹ diag(g) ‖ ,      ‖∂z/∂z0‖ ≤ ‖ (I − T)⁻¹ diag(1 + g ‖W_ii‖) ‖

    for (I − D W_ii)⁻¹ = I + (I − D W_ii)⁻¹ D W_ii. Of convolutions ‖W_ij‖ is the sum over lags of spectral norms, and
    m_i and ‖W_ii‖ are those of a circulant on a larger grid. O(n³) on the host.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.MonotoneMachine((3, 2), "relu", margin=(0.5, 1.0), rng=0).replace(weight=np.zeros((5, 5)))
    >>> equilibrium_bound(m, start="y0")  # 1/m of the first block
    2.0
    >>> m = mk.EquilibriumMachine((1, 1), "tanh", weight=np.array([[0.5, 3.0], [0.0, 0.0]]))
    >>> equilibrium_bound(m, start="y0")  # ‖[[2, 0], [6, 1]]‖: half of z[0] comes back, three times it goes on
    6.39...
    """
    if not isinstance(machine, Machine):
        raise TypeError(f"machine is a {type(machine).__name__}; pass an equilibrium machine, as mk.MonotoneMachine(…)")
    if start not in _STARTS:
        raise TypeError(f"start={start!r} is unknown; {near(start, _STARTS)}")
    partition = machine.partition
    if partition.scan:
        raise ValueError(f"the machine scans axes {partition.scan}; use smoothness.resolvent_bound, which unrolls it")
    extents = read_grid(machine, grid, unrolled=False)
    if not math.prod(extents) * partition.channels:
        return 0.0
    blocks = machine._blocks if isinstance(machine, EquilibriumMachine) else None
    order = partition.block_order
    gains = [_gain(machine, blocks, k, extents, constants) for k in order]
    if not all(math.isfinite(gain) for gain, _ in gains):
        return math.inf
    carried = np.array(
        [[gain * _coupling(machine, i, j) for j in order] for (gain, _), i in zip(gains, order, strict=True)]
    )
    carried = np.tril(carried, -1)
    own = [gain if start == "y0" else 1.0 + gain * loop for gain, loop in gains]
    return norm(np.linalg.solve(np.eye(len(own)) - carried, np.diag(own)))


def _gain(
    machine: Machine, blocks: Blocks | None, block: int, grid: tuple[int, ...], constants: Mapping[str, Piece] | None
) -> tuple[float, float]:
    """Return g of a block, and ‖W_ii‖."""
    sigma: Any = machine.pointwise
    if isinstance(sigma, Diagonal):
        array = to_host(sigma.array)
        slope = array[(..., machine.partition.blocks[block])] if array.shape[-1:] not in ((), (1,)) else array
        proximal, steepest = is_proximal(None, slope), float(np.max(np.abs(slope), initial=0.0))
    else:
        activation = sigma.activations[block]
        proximal = activation.prox is not None
        ends = slope_range(activation, -math.inf, math.inf, constants=constants)
        steepest = max(abs(float(end)) for end in ends)
    if blocks is None or not blocks.feeds(block):
        return steepest, 0.0
    loop = blocks.operator(block, grid).product_norm()
    found = steepest / (1.0 - steepest * loop) if times(steepest, loop) < 1.0 else math.inf
    margin = blocks.margin(block, grid) if proximal else -math.inf
    return min(found, 1.0 / margin if margin > 0 else math.inf), loop


def _coupling(machine: Machine, i: int, j: int) -> float:
    """Return ‖W_ij‖, of a convolution the sum over lags."""
    p = machine.partition
    kernel = to_host(machine.kernel)[(..., p.blocks[j], p.blocks[i])]
    return sum(norm(tap) for tap in kernel.reshape(-1, *kernel.shape[-2:]))
