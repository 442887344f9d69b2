"""§3: sequential, pruned and linear machines, slopes, and inputs of fewer channels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..arrays import Array
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .explicit import Explicit, wide
from .lab import Lab
from .points import Point, drawn
from .registry import named

__all__ = ["EXAMPLES"]


@named("sequential-example", "§3, sequential networks")
def _sequential(lab: Lab, draws: Draws) -> list[Finding]:
    """Without shortcuts a dense machine is the classical network z_k = σ(W_k z_{k−1} + b_k); its gradient likewise."""
    m = draws.machine(("dense",), reverse=False)
    keep = np.zeros(m.weight.shape, dtype=bool)
    filled = [block for block, size in zip(m.partition.blocks, m.sizes, strict=True) if size]
    for first, second in itertools.pairwise(filled):
        keep[first, second] = True
    at = drawn(lab, draws, m.prune(lab.backend.from_host(keep)))
    e, y = at.explicit, np.zeros_like(at.y0)
    z: list[np.ndarray] = []
    for k, block in enumerate(filled):
        y[..., block] = e.bias[block] + at.y0[..., block]
        if k:
            y[..., block] += z[-1] @ e.weight[filled[k - 1], block]
        z.append(e.sigma(y)[..., block] + at.z0[..., block])
    weight = np.zeros(m.weight.shape)
    size = at.point.dual(at.u0, at.v0)
    slope, u, v = e.sigma(y, 1), at.u0.copy(), at.v0.copy()
    for k, block in reversed(list(enumerate(filled))):
        v[..., block] += slope[..., block] * u[..., block]
        if k:
            before = filled[k - 1]
            u[..., before] += v[..., block] @ e.weight[before, block].T
            weight[before, block] = z[k - 1].reshape(-1, before.stop - before.start).T @ v[..., block].reshape(
                -1, block.stop - block.start
            )
    got = lab.pullback(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    _, scale = at.point.kernel(size)
    return [
        compare("y", at.state.y, y, at.point.scale_y, lab.dtype),
        compare("cotangent of y0", got.y0, v, size.scale_second, lab.dtype),
        compare("weight cotangent", got.weight, weight, scale, lab.dtype),
    ]


@named("pruning", "§3, pruned machines")
def _pruning(lab: Lab, draws: Draws) -> list[Finding]:
    """A pruned weight never acts, its cotangent is exactly 0, and it stays 0 in training with a penalty."""
    m = draws.machine()
    keep = draws.rng().random(m.weight.shape) < 0.6
    at = drawn(lab, draws, m.prune(lab.backend.from_host(keep)))
    e = Explicit(m, at.explicit.grid)
    gone = ~(keep & e.live)
    point = Point.at(e.but(weight=np.where(gone, 0, e.weight)), at.y0, at.z0)
    want, scale = point.kernel(point.dual(at.u0, at.v0))
    got = wide(lab.weight_cotangent(at.machine, at.state, at.case.seed_z, at.case.seed_y))
    trained = at.machine
    for _ in range(2):
        descent = lab.weight_cotangent(trained, lab.solve(trained, at.case.y0, at.case.z0), at.case.seed_z, None)
        trained = trained.replace(weight=0.9 * trained.weight - 0.1 * descent)
    refilled = at.machine.replace(weight=lab.array(np.ones(m.weight.shape)))
    return [
        compare("y, as with zeros in their place", at.state.y, point.y, point.scale_y, lab.dtype),
        compare("cotangent of what is kept", got, np.where(gone, 0, want), scale, lab.dtype),
        equal("cotangent of what is gone is 0", bool(got[gone].any()), False),
        equal("it stays 0 in training", bool(wide(trained.weight)[gone].any()), False),
        equal("it stays 0 when the weight is replaced", wide(refilled.weight) == 0, gone),
    ]


@named("linear-exact", "§3, linear machines")
def _linear_exact(lab: Lab, draws: Draws) -> list[Finding]:
    """The resolvent of a linear machine is Σ fᵏ, its dual's the transpose: exactly, in small whole numbers."""
    m = draws.machine(("dense", "conv", "recurrent"), sizes=draws.sizes(2, 3, 2), linear=True, bias=False)
    rng, n = draws.rng(), m.partition.channels
    grid = (draws.integer(1, 3),) * m.partition.axes
    m = m.replace(weight=lab.array(rng.integers(-1, 2, m.weight.shape)), slope=lab.array(rng.choice((-1.0, 1.0), n)))
    e = Explicit(m, grid)
    zero, slope = np.zeros((e.n, e.n)), np.diag(np.tile(e.sigma(np.ones(n)), len(e.positions)))
    f = np.block([[zero, e.matrix], [slope, zero]]).astype(int)
    series = power = np.eye(2 * e.n, dtype=int)
    while power.any():
        power = power @ f
        series = series + power
    x0 = rng.integers(-2, 3, (2, *grid, 2 * n))  # numbers below 2²⁴, even if all terms have one sign
    y0, z0 = x0[..., :n], x0[..., n:]
    start = np.concatenate([a.reshape(2, e.n) for a in (y0, z0)], axis=1)
    state = lab.solve(m, lab.array(y0), lab.array(z0))
    u, v = lab.dual(m, state, lab.array(z0), lab.array(y0))

    def packed(y: Array, z: Array) -> np.ndarray:
        return np.concatenate([wide(a).reshape(2, e.n) for a in (y, z)], axis=1)

    return [
        equal("(y, z) = Σ fᵏ (y0, z0)", packed(state.y, state.z), start @ series.T),
        equal("(v, u) = Σ (fᵀ)ᵏ (v0, u0)", packed(v, u), start @ series),
    ]


@named("slopes-from-values", "§3")
def _slopes_from_values(lab: Lab, draws: Draws) -> list[Finding]:
    """σ′ belongs to y, also in single precision where z0 = ±10⁴ has swallowed the digits of σ(y) in z − z0."""
    single = lab.but(lab.name, dtype="float32")
    inside = Draws(single, draws.integer)
    inside.log = draws.log
    m = inside.machine(activations=("tanh", "sigmoid"))
    case = inside.case(m)
    z0 = single.array(np.where(wide(case.z0) < 0, -1e4, 1e4) + wide(case.z0))
    state = single.solve(m, case.y0, z0)
    e, y = Explicit(m, m.partition.grid(case.y0.shape)), wide(state.y)
    want = e.sigma(y, 1)
    size = 1 + np.abs(y * e.sigma(y, 2))
    u, v = single.dual(m, state, case.seed_z, case.seed_y)
    right = want * wide(u) + wide(case.seed_y)
    return [
        compare("the slope is σ′(y)", single.slope(m, state), want, size, "float32"),
        compare("v = σ′(y) ⊙ u + v0", v, right, size * np.abs(wide(u)) + np.abs(wide(case.seed_y)), "float32"),
    ]


@named("partial-input", "§3, Algorithm 1")
def _partial_input(lab: Lab, draws: Draws) -> list[Finding]:
    """An input or seed may stop at any block boundary, zeros above it; one that stops inside a block is an error."""
    sizes = (*draws.sizes(1, 2), draws.integer(2, 3), *draws.sizes(1, 1))
    m = draws.machine(sizes=sizes)
    case = draws.case(m)
    bounds = m.partition.bounds
    given = [case.y0, case.z0, case.seed_z, case.seed_y]
    short = [a[(..., slice(0, draws.choice(bounds)))] for a in given]
    full = [lab.array(np.pad(wide(a), [(0, 0)] * (a.ndim - 1) + [(0, bounds[-1] - a.shape[-1])])) for a in short]
    point = Point.at(Explicit(m, m.partition.grid(case.y0.shape)), wide(full[0]), wide(full[1]))
    want = point.dual(wide(full[2]), wide(full[3]))
    state = lab.solve(m, short[0], short[1])
    u, v = lab.dual(m, state, short[2], short[3])
    inside = draws.choice([k for k in range(bounds[-1]) if k not in bounds])
    outcomes: list[Any] = []
    for y0, z0 in ((given[0][(..., slice(0, inside))], given[1]), (given[0], given[1][(..., slice(0, inside))])):
        try:
            outcomes.append(tuple(lab.solve(m, y0, z0).y.shape))
        except ValueError as error:
            outcomes.append("ValueError" if str(inside) in str(error) else str(error))
    return [
        compare("y", state.y, point.y, point.scale_y, lab.dtype),
        compare("z", state.z, point.z, point.scale_z, lab.dtype),
        compare("u", u, want.first, want.scale_first, lab.dtype),
        compare("v", v, want.second, want.scale_second, lab.dtype),
        equal(f"y0, z0 of {inside} channels for blocks {sizes}", outcomes, ["ValueError", "ValueError"]),
    ]


EXAMPLES = (_sequential, _pruning, _linear_exact, _slopes_from_values, _partial_input)
