"""What a machine costs, for each way to reach its solution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..arrays import dtype_name
from ..linear import overlap
from ..machines import Machine
from .checks import extents, whole
from .depth import structural_depth

__all__ = ["Counts", "operation_counts"]

_PASSES = ("once", "full")


@dataclass(frozen=True)
class Counts:
    """Costs of one solution.

    Attributes
    ----------
    steps : int
        Evaluations of f, or index sets swept.
    edge_evaluations : int
        Live connections between a position's channel and another's, as often as they are used, batch included.
    multiply_adds : int
        The same number: one multiply-add per use of a live connection.
    activations : int
        Evaluations of σ.
    live_weights : int
        Entries of the kernel that are live.
    bytes : int
        Of y and z, the weight, and the bias.
    """

    steps: int
    edge_evaluations: int
    multiply_adds: int
    activations: int
    live_weights: int
    bytes: int


def operation_counts(machine: Machine, grid: tuple[int, ...] = (), batch: int = 1, *, strategy: str = "once") -> Counts:
    """Count what solving a machine takes.

    Parameters
    ----------
    grid : tuple of int
    batch : int
    strategy : {"once", "full"}
        The sweep, index set by index set, each connection once; or d evaluations of all of f, d the depth.

    Raises
    ------
    TypeError
        For another strategy, a batch that is no whole number, or what is no machine.
    ValueError
        For a grid that does not fit, a batch below 0, or an equilibrium machine, whose solver decides.

    Examples
    --------
    >>> import machinekit as mk
    >>> m = mk.DenseMachine((2, 3, 1), bias=False, rng=0)
    >>> [mk.theory.operation_counts(m, strategy=s).multiply_adds for s in ("once", "full")]
    [11, 55]
    """
    if strategy not in _PASSES:
        raise TypeError(f"strategy={strategy!r} is unknown; 'once' or 'full'")
    grid, batch = extents(machine, grid), whole("batch", batch, 0)
    p = machine.partition
    depth = structural_depth(machine, grid)
    if depth == math.inf:
        raise ValueError(
            f"{type(machine).__name__} has blocks that read themselves, and what they take is up to the solver; read "
            "state.info.steps of a solve"
        )
    passes = int(depth)
    all_of = tuple(slice(0, n) for n in grid)
    live, connections = machine.live, 0
    for lag in p.lags:
        met = overlap(all_of, lag, grid)
        if met is not None:
            positions = math.prod(s.stop - s.start for s in met[0])
            connections += positions * int(np.count_nonzero(live[p.tap(lag)]))
    entries = math.prod(grid) * p.channels
    times = passes if strategy == "full" else 1
    item = np.dtype(dtype_name(machine.weight)).itemsize
    held = 2 * batch * entries + math.prod(p.weight_shape) + (0 if machine.bias is None else p.channels)
    used = times * connections * batch
    steps = passes if strategy == "full" else p.count(grid)
    return Counts(steps, used, used, times * entries * batch, int(live.sum()), held * item)
