"""Depth: from structure, as the longest path, and from iteration, as the steps until nothing moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, to_host
from ..graph import Hypergraph
from ..linear import overlap
from ..machines import Machine
from ..machines.build import read_generator
from .checks import extents, whole
from .endofunction import Endofunction, check_endofunction
from .graphs import space_levels
from .of_machine import endofunction
from .subspaces import draw, is_exact

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
        Random starts, at least 1.
    rng : Generator or int
    most : int
        Steps after which iteration gives up and answers inf, at the latest after as many as there are
        dimensions, which no finite depth exceeds.

    Raises
    ------
    TypeError
        Another method, or "structure" for a bare function; if f is none of the three.
    ValueError
        If the edges make a cycle, or `grid` does not fit: an endofunction and a network have none.

    Notes
    -----
    Iteration finds at most the depth, and finds it for generic starts: after d steps every start has arrived,
    bitwise, and not before (arXiv:2204.12786, Definition 3, Theorem 1, Proposition 4). In floats a
    contraction may stand still as well, and a nilpotent matrix that is not triangular may go on moving in its last
    digits: give such a function exactly, as ``Endofunction.linear`` of integers or fractions. The structural
    depth is that of generic weights. Derivatives alone would not do: f ≡ c ≠ 0 has depth 1.

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.theory.depth(mk.DenseMachine((2, 3, 1), bias=False, rng=0))
    5
    """
    if method not in ("auto", "structure", "iteration"):
        raise TypeError(f"method={method!r} is unknown; one of auto, structure, iteration")
    points, most = whole("points", points, 1), whole("most", most, 0)
    if isinstance(f, Machine) and method != "iteration":
        return structural_depth(f, grid)
    if isinstance(f, Hypergraph) and f.components and method != "iteration":
        return math.inf
    if isinstance(f, Machine | Hypergraph):
        f = endofunction(f, grid)
    elif not isinstance(grid, tuple | list) or len(grid):
        check_endofunction("f", f)
        raise ValueError(f"grid is {grid}; {f!r} is a function of vectors, leave it out")
    check_endofunction("f", f)
    if method == "structure" and f.edges is None:
        raise TypeError(f"{f!r} has no structure; use method='iteration', or make it of edges")
    if f.edges is not None and method != "iteration":
        return max(space_levels(f).values(), default=0)
    return _by_iteration(f, points, read_generator(rng), most)


def structural_depth(machine: Machine, grid: tuple[int, ...] = ()) -> float:
    """Return the longest path through a machine's live weights, biases and activations on a grid.

    2n + 1 for n + 1 non-empty index sets where nothing is pruned and each reads the one before; one more if
    the first is biased (arXiv:2204.12786, §3). Infinite where a block reads itself.

    Raises
    ------
    TypeError
        If `machine` is none.
    ValueError
        If `grid` has not one extent, at least 0, per grid axis.
    """
    grid = extents(machine, grid)
    if machine.depth_bound(grid) == math.inf:
        return math.inf
    p = machine.partition.strict
    shape = (*grid, p.channels)
    y, z = np.zeros(shape, int), np.zeros(shape, int)
    if machine.bias is not None:
        y += to_host(machine.bias) != 0
    live = machine.reads()
    for step in p.steps(grid):
        for lag, reads in p.taps[step.block]:
            met = overlap(step.box, lag, grid)
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
    found: float = 0
    for _ in range(points):
        g = draw(f.like, f.dimension, rng)
        start = 0 * g
        factors = rng.integers(1, 4, 3).tolist() if f.like is not None and is_exact(f.like) else rng.normal(size=3)
        for factor in factors:  # combinations of images are in V_0 without rounding
            start = start + (factor if isinstance(factor, int) else float(factor)) * f(draw(f.like, f.dimension, rng))
        found = max(found, _steps(f, g, start, min(most, f.dimension)))
    return found


def _steps(f: Endofunction, g: Array, start: Array, most: int) -> float:
    """Return the number of steps from g + φ until h ← g + f(h) stands still; inf if it is more than `most`."""
    h = g + start
    for k in range(most + 1):
        new = g + f(h)
        if bool((to_host(new) == to_host(h)).all()):
            return k
        h = new
    return math.inf
