"""Certificates of equilibria: whether there is exactly one, and whether plain iteration finds it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, overload

import numpy as np

from ..arrays import Array, as_array, backend_of, dtype_name, namespace, to_host
from ..linear import apply
from ..linear.operators import DenseOperator
from ..records import State
from .base import Machine
from .build import integer, read_generator
from .checks import check_state
from .equilibrium import EquilibriumMachine

__all__ = ["monotonicity", "spectral_radius"]

_SETTLING = 0.4
"""The share of the steps that is left out of the average: the start vector is forgotten there."""


@overload
def monotonicity(weight: Machine, grid: tuple[int, ...] = ()) -> np.ndarray: ...
@overload
def monotonicity(weight: Array, grid: tuple[int, ...] = ()) -> float: ...
def monotonicity(weight: Any, grid: tuple[int, ...] = ()) -> Any:
    """Return m, the smallest eigenvalue of the symmetric part of I − W.

    Parameters
    ----------
    weight : array of shape (n, n), real or complex floating; or Machine
        W or its transpose: the answer is the same. Of a machine, every diagonal block of its kernel.
    grid : tuple of int
        Extents of the grid, for a machine with grid axes.

    Returns
    -------
    float; or float64 array of shape (blocks,), on the host
        Of a machine one number per block, 1 where a block does not read itself. Of a convolution that of the
        circulant on a larger grid, which is at most that of the block.

    Raises
    ------
    ValueError
        A weight that is no square matrix, or not finite; a grid that has not one extent per grid axis.
    TypeError
        Neither a floating array nor a machine.

    Notes
    -----
    If m > 0 and σ is a proximal operator (nondecreasing, slopes at most 1), z = σ(W z + b) has exactly one solution,
    which is (1/m)-Lipschitz in b, and for any z with s = σ(W z + b) and residual r = W (z − s),

        ‖s − z*‖ ≤ ‖r‖ / m ,

    which is ``state.info.error_bound`` of one block, with ``state.info.residual`` for ‖r‖ (Winston & Kolter,
    arXiv:2006.08591, Theorem 1). Only diagonal blocks count: blocks are solved one after the other, so that what
    couples them may be anything (arXiv:2204.12786, Theorem 2). Of complex W, the Hermitian part. It is computed from
    the kernel, also where a machine is monotone by construction, so that it checks the construction. O(n³) on the
    host, in double precision.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> mk.monotonicity(np.array([[0.0, 2.0], [-2.0, 0.0]]))  # skew, of any size
    1.0
    >>> mk.monotonicity(np.array([[0.0, 4.0], [0.0, 0.0]]))  # 1 − 4/2: nilpotent, and yet not monotone
    -1.0
    >>> m = mk.EquilibriumMachine((1, 1), "relu", weight=np.array([[-2.0, 9.0], [0.0, 0.0]]))
    >>> mk.monotonicity(m)  # the coupling 9 does not count
    array([3., 1.])
    """
    if isinstance(grid, str) or not isinstance(grid, Iterable):
        raise TypeError(f"grid is {grid!r}; pass a tuple of extents, such as (28, 28)")
    grid = tuple(integer(f"grid[{k}]", n, 0) for k, n in enumerate(grid))
    if isinstance(weight, Machine):
        return _of_blocks(weight, grid)
    matrix = _square(weight)
    if grid:
        raise ValueError(f"grid is {grid} but weight is a matrix, which has no grid axes; leave grid out")
    return DenseOperator(matrix).monotonicity()


def _square(weight: Any) -> np.ndarray:
    """Return a square matrix on the host."""
    as_array(weight, "weight")
    if weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}; pass a square matrix, or a machine for blocks and convolutions"
        )
    host = to_host(weight)
    if not np.all(np.isfinite(host)):
        raise ValueError(f"weight has {int(np.sum(~np.isfinite(host)))} entries that are not finite; pass finite ones")
    return host


def _of_blocks(machine: Machine, grid: tuple[int, ...]) -> np.ndarray:
    axes = machine.partition.axes
    if len(grid) != axes:
        raise ValueError(f"grid is {grid} but the machine has {axes} grid axes; pass one extent for each")
    found = np.ones(len(machine.sizes))
    if isinstance(machine, EquilibriumMachine):
        blocks = machine._blocks
        for block in range(len(machine.sizes)):
            if math.prod(grid) and blocks.feeds(block):
                found[block] = blocks.operator(block, grid).monotonicity()
    return found


@overload
def spectral_radius(weight: Machine, state: State, steps: int = 100, rng: Any = 0) -> np.ndarray: ...
@overload
def spectral_radius(weight: Array, state: None = None, steps: int = 100, rng: Any = 0) -> float: ...
def spectral_radius(weight: Any, state: Any = None, steps: int = 100, rng: Any = 0) -> Any:
    """Return ρ(D W), D = σ′(y) at a state: below 1 plain iteration converges near it, above 1 it does not.

    Parameters
    ----------
    weight : Machine; or array of shape (n, n), real or complex floating
        Of a matrix, ρ(W).
    state : State
        What ``machine.solve`` returned; not for a matrix.
    steps : int
        Products with D W. Where W is nilpotent without being a machine of finite depth, as many as its index are
        needed to see it.
    rng : numpy.random.Generator, int or None
        Draws the vector to start from, the same for all samples.

    Returns
    -------
    float64 array of shape (*batch,), on the host; or float
        One number per sample, which does not depend on the others. 0 for machines of finite depth.

    Raises
    ------
    ValueError
        A matrix that is not square, or not finite; a state of another machine; no step.
    TypeError
        Neither a machine nor a floating array; a machine without a state, a matrix with one.

    Notes
    -----
    v ← D W v from a random v, scaled to ‖v‖ = 1 after each step; log ρ is the slope of the least-squares line through
    log‖v‖ over the last 60 % of the steps, an average of its growth. A Rayleigh quotient ⟨v, D W v⟩ is wrong where the
    eigenvalue furthest out is complex, for v then turns: of a rotation by a right angle it is 0. In 100 steps the
    error is below 1e-3 as a rule, and some percent where several eigenvalues are nearly as far out. Couplings between
    blocks are left out, since they have no part in the eigenvalues. ρ decides about Picard's iteration alone:
    of a proximal σ, splitting methods converge for every ρ where `monotonicity` is above 0. Of a matrix, eigenvalues
    are computed.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> turn = 2.0 * np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> round(mk.spectral_radius(turn), 9)
    2.0
    >>> m = mk.EquilibriumMachine((2,), "identity", weight=turn)
    >>> state = m.solve(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> mk.spectral_radius(m, state).round(9)  # a Rayleigh quotient is 0
    array([2., 2.])
    """
    if not isinstance(weight, Machine):
        matrix = _square(weight)
        if state is not None:
            raise TypeError(f"state is a {type(state).__name__} but weight is a matrix; leave state out")
        wide = matrix.astype(complex if np.iscomplexobj(matrix) else float)
        return float(np.max(np.abs(np.linalg.eigvals(wide)), initial=0.0))
    steps = integer("steps", steps, 1)
    if state is None:
        raise TypeError("state is None, but slopes are those of a state; pass what machine.solve returned")
    at = check_state(weight, state)
    partition = weight.partition
    batch = tuple(at.y.shape[: at.y.ndim - 1 - partition.axes])
    if not partition.feedback or not math.prod(at.y.shape):
        return np.zeros(batch)
    start = read_generator(rng).standard_normal(at.y.shape[len(batch) :])
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told by the answer
        found = _growth(weight, at, start, steps)
    return to_host(found).astype(float).reshape(batch)


def _growth(machine: Machine, state: Any, start: np.ndarray, steps: int) -> Array:
    """Return exp of the slope of log‖v‖, of shape (*batch, 1, …, 1)."""
    home, partition = backend_of(state.y), machine.partition
    xp, kernel, slope = namespace(state.y), _alone(machine), machine.slope(state)
    own = tuple(range(state.y.ndim - 1 - partition.axes, state.y.ndim))
    v = xp.broadcast_to(home.from_host(start, dtype_name(machine.weight)), state.y.shape)
    skipped, total = int(_SETTLING * steps), 0.0
    kept = steps - skipped
    for k in range(1 - skipped, kept + 1):
        v = slope * apply(partition, kernel, v)
        # twice, so that no square leaves the range of the floating numbers
        v, most = _scaled(xp, v, xp.max(xp.abs(v), axis=own, keepdims=True))
        v, norm = _scaled(xp, v, xp.sqrt(xp.sum(xp.abs(v) ** 2, axis=own, keepdims=True)))
        if k > 0:
            # the slope of a least-squares line weighs the differences by a parabola
            total = total + (6.0 * k * (kept + 1 - k) / (kept * (kept + 1) * (kept + 2))) * (most + norm)
    return xp.exp(total)


def _scaled(xp: Any, v: Array, norm: Array) -> tuple[Array, Array]:
    """Return v/norm and log norm; where the norm is 0, v and −∞."""
    nothing = norm == 0
    norm = xp.where(nothing, xp.ones_like(norm), norm)
    return v / norm, xp.where(nothing, -xp.inf * xp.ones_like(norm), xp.log(norm))


def _alone(machine: Machine) -> Array:
    """Return the kernel without couplings between blocks."""
    mask = np.zeros((machine.partition.channels,) * 2, bool)
    for block in machine.partition.blocks:
        mask[block, block] = True
    kernel = machine.kernel
    return namespace(kernel).where(backend_of(kernel).from_host(mask), kernel, namespace(kernel).zeros_like(kernel))
