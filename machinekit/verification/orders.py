"""§3: what the order of the index sets decides: the dual, the live weights, what reaches what, the depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import theory
from ..activations import Diagonal
from ..machines import DenseMachine, GridMachine, Machine, RecurrentMachine
from ..testing.instruments import inner, inner_scale
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .explicit import Explicit, wide
from .lab import Lab
from .points import drawn
from .registry import named

__all__ = ["ORDERS"]


@named("adjoint-identity", "Theorem 3")
def _adjoint_identity(lab: Lab, draws: Draws) -> list[Finding]:
    """⟨v, ẏ0⟩ + ⟨u, ż0⟩ = ⟨v0, ẏ⟩ + ⟨u0, ż⟩ for any seeds and directions, all four different from zero."""
    at = drawn(lab, draws)
    d = at.case.directions
    u, v = lab.dual(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    y, z = lab.tangent(at.machine, at.state, d["y0"], d["z0"])
    sizes = at.point.tangent({name: at.along[name] for name in ("y0", "z0")})
    left, right = [(v, d["y0"]), (u, d["z0"])], [(at.v0, y), (at.u0, z)]
    scale = inner_scale(left) + inner_scale([(at.v0, sizes.scale_first), (at.u0, sizes.scale_second)])
    return [compare("⟨v, ẏ0⟩ + ⟨u, ż0⟩ = ⟨v0, ẏ⟩ + ⟨u0, ż⟩", inner(left), inner(right), scale, lab.dtype)]


@named("dual-of-dual", "§3, Theorem 3")
def _dual_of_dual(lab: Lab, draws: Draws) -> list[Finding]:
    """The dual is a machine, and its dual is the tangent: the same order, live weights and solutions."""
    at = drawn(lab, draws)
    d, tangent, dual = at.case.directions, at.machine.tangent(at.state), at.machine.dual(at.state)
    solved = lab.solve(dual, at.case.seed_z, at.case.seed_y)
    twice = lab.dual(dual, solved, d["y0"], d["z0"])
    once = lab.tangent(at.machine, at.state, d["y0"], d["z0"])
    scale = at.point.tangent({name: at.along[name] for name in ("y0", "z0")})
    want = at.point.dual(at.u0, at.v0)
    return [
        equal("order", dual.dual(solved).partition, tangent.partition),
        equal("live weights", lab.live(dual.dual(solved).partition), lab.live(tangent.partition)),
        compare("u, solved by the dual machine", solved.y, want.first, want.scale_first, lab.dtype),
        compare("v, solved by the dual machine", solved.z, want.second, want.scale_second, lab.dtype),
        compare("ẏ by the dual of the dual", twice[0], once[0], scale.scale_first, lab.dtype),
        compare("ż by the dual of the dual", twice[1], once[1], scale.scale_second, lab.dtype),
    ]


@named("dual-order", "§3, Proposition 3")
def _dual_order(lab: Lab, draws: Draws) -> list[Finding]:
    """The index sets of the dual machine are those of the machine in reverse: the annihilators, last first."""
    m = draws.machine(("dense", "conv", "recurrent"), sizes=draws.sizes(2, 3, 2), bias=False)
    case = draws.case(m, batch=(), grid=(draws.integer(1, 3),) * m.partition.axes)
    grid = m.partition.grid(case.y0.shape)
    f = theory.endofunction(m.dual(lab.solve(m, case.y0, case.z0)), grid)
    half = f.dimension // 2
    swapped = np.r_[half : 2 * half, :half]  # v belongs to Y, u to Z
    transposed = wide(f.jacobian(lab.array(np.zeros(f.dimension))))[np.ix_(swapped, swapped)]
    flag = lab.dual_flag(theory.flag(m, grid))
    points = [draws.rng().normal(size=f.dimension) for _ in range(3)]
    return theory.check_cofiltration(theory.Endofunction.linear(transposed), flag, points)


@named("live-weights", "§3")
def _live_weights(lab: Lab, draws: Draws) -> list[Finding]:
    """A kernel entry is live iff, on the unbounded grid, every pair of positions that it couples is in order."""
    m = draws.machine()
    e = Explicit(m, (1,) * m.partition.axes)
    return [
        equal("live", lab.live(m.partition), e.live),
        equal("live in the dual", lab.live(m.partition.dual()), _mirrored(e.live)),
    ]


def _mirrored(kernel: np.ndarray) -> np.ndarray:
    """Reverse the lags and swap the channels."""
    return np.flip(kernel, tuple(range(kernel.ndim - 2))).swapaxes(-1, -2)


@named("reachability", "§3, recurrent machines")
def _reachability(lab: Lab, draws: Draws) -> list[Finding]:
    """A recurrent machine of time block 1 reads all channels of earlier times, and earlier blocks of its own time.

    All weights and slopes are 1, so that paths are counted, in whole numbers that floats add exactly.
    """
    sizes = draws.sizes(2, 3, 2)
    n, times, memory, backwards = sum(sizes), draws.integer(1, 3), draws.integer(1, 3), draws.flag()
    ones = Diagonal(lab.array(np.ones(n))), lab.array(np.ones((memory + 1, n, n)))
    m = RecurrentMachine(sizes, ones[0], memory=memory, weight=ones[1], reverse=(0,) if backwards else ())
    draws.log.append(f"{m!r}, {times} times")
    units = lab.array(np.eye(times * n).reshape(times * n, times, n))
    paths = wide(lab.solve(m, 0 * units, units).y).reshape(times, n, times, n)
    block = np.repeat(np.arange(len(sizes)), sizes)
    time = np.arange(times)[::-1] if backwards else np.arange(times)
    here, there = (time[:, None, None, None], block[:, None, None]), (time[:, None], block)
    reached = (here[0] < there[0]) | ((here[0] == there[0]) & (here[1] < there[1]))
    direct = wide(lab.linear(m, units)).reshape(times, n, times, n)
    near = np.abs(here[0] - there[0]) <= memory
    live = np.asarray(lab.live(m.partition))
    (now,) = m.partition.tap((0,))
    return [
        equal("z0 at (time, channel) reaches y, through any path", paths != 0, reached),
        equal("and directly, through one weight", direct != 0, reached & near),
        equal("lags of one step and more are full", bool(np.delete(live, now, axis=0).all()), True),
        equal("lag 0 leads from earlier blocks to later ones", live[now], block[:, None] < block),
    ]


def _f(m: Machine, grid: tuple[int, ...]) -> tuple[theory.Endofunction, int]:
    """Return the endofunction, and the bound 2n + 1 for n + 1 index sets: one more if the first is biased."""
    e = Explicit(m, grid)
    biased = bool(e.sets) and bool(np.tile(e.bias, len(e.positions))[e.sets[0]].any())
    return theory.endofunction(m, grid), max(2 * len(e.sets) - 1 + biased, 0)


@named("depth-bound", "§3, Theorem 1")
def _depth_bound(lab: Lab, draws: Draws) -> list[Finding]:
    """With n + 1 index sets the depth is at most 2n + 1, one more if the first has a bias."""
    m = draws.machine(sizes=draws.sizes(2, 3, 2))
    grid = (draws.integer(1, 2),) * m.partition.axes
    f, bound = _f(m, grid)
    numeric, structural = lab.numeric_depth(f), lab.structural_depth(m, grid)
    return [
        equal("the bound", m.depth_bound(grid), bound),
        equal("depth by structure ≤ the bound", structural <= bound, True),
        equal("depth by iteration ≤ depth by structure", numeric <= structural, True),
    ]


@named("depth-sharp", "§3", double=True)
def _depth_sharp(lab: Lab, draws: Draws) -> list[Finding]:
    """The bound is attained by generic weights, no set being empty and the kernel reaching the time block before.

    In double precision: in single, what comes last in a deep machine can be lost in rounding.
    """
    sizes, rng = draws.sizes(2, 3, 2, empty=False), draws.rng()
    n, block, biased = sum(sizes), draws.integer(1, 2), draws.flag()
    dense: dict[str, Any] = {}
    order = draws.choice((dense, {"padding": ((1, 1),)}, {"padding": ((block, 0),), "scan": (0,), "time_block": block}))
    shape = (*(sum(pair) + 1 for pair in order.get("padding", ())), n, n)
    weight = rng.uniform(0.5, 1.0, shape) * rng.choice((-1, 1), shape)
    bias = lab.array(rng.uniform(0.5, 1.0, n)) if biased else False
    maker: Any = GridMachine if order else DenseMachine
    m = maker(sizes, draws.choice(("sin", "softplus", "identity")), weight=lab.array(weight), bias=bias, **order)
    grid = (draws.integer(1, 4),) * m.partition.axes
    draws.log.append(f"{m!r}, grid {grid}")
    f, bound = _f(m, grid)
    return [
        equal("depth by iteration", lab.numeric_depth(f), bound),
        equal("depth by structure", lab.structural_depth(m, grid), bound),
    ]


ORDERS = (
    _adjoint_identity, _dual_of_dual, _dual_order, _live_weights, _reachability, _depth_bound, _depth_sharp,
)  # fmt: skip
