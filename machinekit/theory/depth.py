"""Depth: from structure, as the longest path, and from iteration, as the steps until nothing moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import NUMPY, Array, backend_of, dtype_name, to_host
from ..graph import Hypergraph
from ..linear import overlap
from ..machines import Machine
from .endofunction import Endofunction
from .graphs import space_levels
from .of_machine import endofunction
from .sequences import depth_sequence

__all__ = ["depth", "structural_depth"]


def depth(
    f: Endofunction | Machine | Hypergraph,
    grid: tuple[int, ...] = (),
    *,
    method: str = "auto",
    points: int = 6,
    rng: np.random.Generator | int = 0,
    most: int = 1000,
) -> float:
    """Return the depth of f: the length of its shortest depth cofiltration; ``math.inf`` if it has none.

    Parameters
    ----------
    f : Endofunction, Machine or Hypergraph
    grid : tuple of int
        For a machine on a grid, the extents.
    method : {"auto", "structure", "iteration"}
        The longest path through live weights, or edges; or the most steps that h ← g + f(h) takes to stand
        still from random starts g + φ, φ ∈ V_0 = span Im f. "auto" takes the structure if there is one.
    points : int
        Random starts.
    rng : Generator or int
    most : int
        Steps after which iteration gives up and answers inf.

    Raises
    ------
    TypeError
        Another method, or "structure" for a bare function.
    ValueError
        If the edges make a cycle, or `grid` does not fit.

    Notes
    -----
    Iteration finds at most the depth, and finds it for generic starts: after d steps every start has arrived,
    bitwise, and not before (arXiv:2204.12786, Definition 3, Theorem 1, Proposition 4). The structural depth is
    that of generic weights. Derivatives alone would not do: f ≡ c ≠ 0 has depth 1.

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.theory.depth(mk.DenseMachine((2, 3, 1), bias=False, rng=0))
    5
    """
    if method not in ("auto", "structure", "iteration"):
        raise TypeError(f"method={method!r} is unknown; one of auto, structure, iteration")
    if isinstance(f, Machine):
        if method != "iteration":
            return structural_depth(f, grid)
        f = endofunction(f, grid)
    if isinstance(f, Hypergraph):
        f = endofunction(f, grid)
    if method == "structure" and f.edges is None:
        raise TypeError(f"{f!r} has no structure; use method='iteration', or make it of edges")
    if f.edges is not None and method != "iteration":
        return max(space_levels(f).values(), default=0)
    return _by_iteration(f, points, np.random.default_rng(rng), most)


def structural_depth(machine: Machine, grid: tuple[int, ...] = ()) -> int:
    """Return the longest path through a machine's live weights, biases and activations on a grid.

    2n + 1 for n + 1 non-empty index sets where nothing is pruned and each reads the one before; one more if
    the first is biased (arXiv:2204.12786, §3).

    Raises
    ------
    ValueError
        If `grid` has not one extent per grid axis.
    """
    p = machine.partition
    machine.depth_bound(grid)  # checks the grid
    shape = (*grid, p.channels)
    y, z = np.zeros(shape, int), np.zeros(shape, int)
    if machine.bias is not None:
        y += to_host(machine.bias) != 0
    live = machine.live
    for step in p.steps(tuple(grid)):
        for lag, reads in p.taps[step.block]:
            met = overlap(step.box, lag, tuple(grid))
            if met is None or reads.stop == reads.start:
                continue
            kernel: Any = (*p.tap(lag), reads, step.channels)
            there: Any = (*met[1], reads)
            pairs = live[kernel]  # (in, out)
            arriving = np.where(pairs, z[there][..., None] + 1, 0).max(axis=-2)
            here: Any = (*met[0], step.channels)
            y[here] = np.maximum(y[here], arriving)
        z[step.index] = y[step.index] + 1
    return int(z.max(initial=0))


def _by_iteration(f: Endofunction, points: int, rng: np.random.Generator, most: int) -> float:
    home = NUMPY if f.like is None else backend_of(f.like)
    dtype = "float64" if f.like is None else dtype_name(f.like)

    def draw() -> Array:
        return home.from_host(rng.normal(size=f.dimension).astype(dtype))

    found = 0
    for _ in range(points):
        g = draw()
        start = 0 * g
        for factor in rng.normal(size=3):  # combinations of images are in V_0 without rounding
            start = start + float(factor) * f(draw())
        try:
            sequence = depth_sequence(f, g, start, most=most)
        except ValueError:
            return math.inf
        found = max(found, sequence.steps)
    return found
