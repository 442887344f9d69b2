"""§3: the machine equations, Algorithm 1, and back-propagation, against explicit matrices."""

from __future__ import annotations

import numpy as np

from ..testing.instruments import inner, inner_scale
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .explicit import Explicit, wide
from .lab import Lab
from .points import Drawn, Point, drawn
from .registry import named

__all__ = ["MACHINE_EQUATIONS"]


@named("equation-10", "§3, eq. (10)")
def _equation_10(lab: Lab, draws: Draws) -> list[Finding]:
    """y = W z + b + y0, where W is strictly lower: an index set reads only the index sets before it."""
    at = drawn(lab, draws)
    e, z = at.explicit, wide(at.state.z)
    image, size = e.times(e.matrix, z), e.times(np.abs(e.matrix), np.abs(z))
    units = np.eye(e.n).reshape(e.n, *at.y0.shape[len(at.y0.shape) - 1 - len(e.grid) :])
    got = wide(lab.linear(at.machine, lab.array(units))).reshape(e.n, e.n).T
    rest = np.abs(at.y0) + np.abs(e.bias)
    return [
        compare("y = W z + b + y0", at.state.y, image + e.bias + at.y0, size + rest, lab.dtype),
        compare("y of the solution", at.state.y, at.point.y, at.point.scale_y, lab.dtype),
        compare("W z", lab.linear(at.machine, at.state.z), image, size, lab.dtype),
        equal("W, entry by entry", got, e.matrix),
        equal("W is strictly lower", bool(((got == 0) | (e.when[None, :] < e.when[:, None])).all()), True),
    ]


@named("equation-11", "§3, eq. (11)")
def _equation_11(lab: Lab, draws: Draws) -> list[Finding]:
    """z = σ(y) + z0."""
    at = drawn(lab, draws)
    e, y = at.explicit, wide(at.state.y)
    image = e.sigma(y)
    size = np.abs(image) + np.abs(at.z0) + np.abs(y * e.sigma(y, 1))
    return [
        compare("z = σ(y) + z0", at.state.z, image + at.z0, size, lab.dtype),
        compare("z of the solution", at.state.z, at.point.z, at.point.scale_z, lab.dtype),
    ]


@named("equation-12", "§3, eq. (12)")
def _equation_12(lab: Lab, draws: Draws) -> list[Finding]:
    """u = Wᵀ v + u0: the linear step of the dual."""
    at = drawn(lab, draws)
    u, v = lab.dual(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    e, want = at.explicit, at.point.dual(at.u0, at.v0)
    size = e.times(np.abs(e.matrix).T, np.abs(wide(v))) + np.abs(at.u0)
    return [
        compare("u = Wᵀ v + u0", u, e.times(e.matrix.T, wide(v)) + at.u0, size, lab.dtype),
        compare("u of the dual solution", u, want.first, want.scale_first, lab.dtype),
    ]


@named("equation-13", "§3, eq. (13)")
def _equation_13(lab: Lab, draws: Draws) -> list[Finding]:
    """v = σ′(y) ⊙ u + v0, the slope being that at the solution: the pointwise step of the dual."""
    at = drawn(lab, draws)
    u, v = lab.dual(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    want = at.point.dual(at.u0, at.v0)
    y = wide(at.state.y)
    slope = at.explicit.sigma(y, 1)
    size = 1 + np.abs(slope) + np.abs(y * at.explicit.sigma(y, 2))
    right = slope * wide(u) + at.v0
    return [
        compare("the slope is σ′(y)", lab.slope(at.machine, at.state), slope, size, lab.dtype),
        compare("v = σ′(y) ⊙ u + v0", v, right, size * np.abs(wide(u)) + np.abs(at.v0), lab.dtype),
        compare("v of the dual solution", v, want.second, want.scale_second, lab.dtype),
    ]


@named("equation-14", "§3, eq. (14)")
def _equation_14(lab: Lab, draws: Draws) -> list[Finding]:
    """Q = Σ z v over samples and positions, at every lag of either sign, and exactly zero where W is dead."""
    at = drawn(lab, draws)
    want, scale = at.point.kernel(at.point.dual(at.u0, at.v0))
    got = lab.weight_cotangent(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    whole = lab.pullback(at.machine, at.state, at.case.seed_z, at.case.seed_y).weight
    dead = ~at.explicit.live
    return [
        compare("Q", got, want, scale, lab.dtype),
        compare("Q of the pullback", whole, want, scale, lab.dtype),
        equal("Q is exactly 0 where dead", [bool(wide(q)[dead].any()) for q in (got, whole)], [False, False]),
    ]


@named("algorithm-1-forward", "§3, Algorithm 1, forward")
def _algorithm_1_forward(lab: Lab, draws: Draws) -> list[Finding]:
    """One pass over the index sets in order, each visited once, solves the machine."""
    at = drawn(lab, draws)
    e = at.explicit
    samples = at.y0.size // max(e.n, 1)
    start = [a.reshape(samples, e.n) for a in (at.y0 + e.bias, at.z0)]
    y, z = start[0].copy(), np.full((samples, e.n), np.nan)  # what was not computed must not be read
    for rows in e.sets:
        reads = np.flatnonzero((e.matrix[rows] != 0).any(axis=0))
        y[:, rows] += z[:, reads] @ e.matrix[np.ix_(rows, reads)].T
        z[:, rows] = e.sigma(y.reshape(at.y0.shape)).reshape(samples, e.n)[:, rows] + start[1][:, rows]
    return [
        compare("y", at.state.y, y.reshape(at.y0.shape), at.point.scale_y, lab.dtype),
        compare("z", at.state.z, z.reshape(at.y0.shape), at.point.scale_z, lab.dtype),
    ]


@named("algorithm-1-backward", "§3, Algorithm 1, backward")
def _algorithm_1_backward(lab: Lab, draws: Draws) -> list[Finding]:
    """The same pass in reverse order, from v = v0 ≠ 0 and with the live weights only, solves the dual."""
    at = drawn(lab, draws)
    e, want = at.explicit, at.point.dual(at.u0, at.v0)
    samples = at.y0.size // max(e.n, 1)
    u, v, slope = (a.reshape(samples, e.n).copy() for a in (at.u0, at.v0, at.point.slope))
    for rows in reversed(e.sets):
        u[:, rows] += v @ e.matrix[:, rows]
        v[:, rows] += slope[:, rows] * u[:, rows]
    got = lab.dual(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    back = lab.pullback(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    shape = at.y0.shape
    return [
        compare("u", got[0], u.reshape(shape), want.scale_first, lab.dtype),
        compare("v", got[1], v.reshape(shape), want.scale_second, lab.dtype),
        compare("u, the cotangent of z0", back.z0, u.reshape(shape), want.scale_first, lab.dtype),
        compare("v, the cotangent of y0", back.y0, v.reshape(shape), want.scale_second, lab.dtype),
    ]


@named("parametric-machine", "§2.1, parametric machines")
def _parametric_machine(lab: Lab, draws: Draws) -> list[Finding]:
    """The solution is differentiable in W, b, y0 and z0; the tangent starts with Ẇ z + ḃ + ẏ0 and ż0."""
    at = drawn(lab, draws, linear=False)
    m, d = at.machine, at.case.directions
    zero = 0 * at.case.y0
    starts = {"y0": (d["y0"], zero), "z0": (zero, d["z0"])}
    starts["weight"] = (lab.linear(m.replace(weight=d["weight"]), at.state.z), zero)
    if "bias" in d:
        starts["bias"] = (zero + d["bias"], zero)
    findings = []
    for name, (start_y, start_z) in starts.items():
        along = {name: at.along[name]}
        y, z = lab.tangent(m, at.state, start_y, start_z)
        want_y, want_z = at.explicit.step(at.y0, at.z0, along)
        scale = at.point.tangent(along)
        findings += [
            compare(f"ẏ along {name}, by the complex step", y, want_y, scale.scale_first, lab.dtype),
            compare(f"ż along {name}, by the complex step", z, want_z, scale.scale_second, lab.dtype),
        ]
    return findings


@named("proposition-2", "Proposition 2")
def _proposition_2(lab: Lab, draws: Draws) -> list[Finding]:
    """DR_f(x0) = (id − Df(x))⁻¹ at the solution x, which the tangent solves; the dual solves its transpose."""
    m = draws.machine(sizes=draws.sizes(2, 3, 2))
    grid = tuple(draws.integer(1, 3 if m.partition.axes == 1 else 2) for _ in range(m.partition.axes))
    case = draws.case(m, batch=(), grid=grid)
    e = Explicit(m, grid)
    copies = np.ones((2 * e.n,) + (1,) * (len(grid) + 1))  # a sample for each unit vector of Y ⊕ Z
    state = lab.solve(m, lab.array(copies * wide(case.y0)), lab.array(copies * wide(case.z0)))
    point = Point.at(e, copies * wide(case.y0), copies * wide(case.z0))
    units = np.eye(2 * e.n)
    first, second = (lab.array(half.reshape(point.y.shape)) for half in (units[:, : e.n], units[:, e.n :]))

    def rows(pair: tuple) -> np.ndarray:
        return np.concatenate([wide(a).reshape(2 * e.n, e.n) for a in pair], axis=1)

    u, v = lab.dual(m, state, second, first)
    forward, backward = rows(lab.tangent(m, state, first, second)), rows((v, u))
    want = point.tangent({"y0": wide(first), "z0": wide(second)})
    scale = rows((want.scale_first, want.scale_second))
    slope = np.diag(point.slope[0].ravel()) if e.n else np.zeros((0, 0))
    system = np.block([[np.eye(e.n), -e.matrix], [-slope, np.eye(e.n)]])  # id − Df(x)
    return [
        compare("tangent = (id − Df(x))⁻¹", forward, rows((want.first, want.second)), scale, lab.dtype),
        compare("(id − Df(x)) tangent = id", system @ forward.T, units, np.abs(system) @ scale.T, lab.dtype),
        compare("dual = transpose of tangent", backward, forward.T, scale.T + scale.T @ np.abs(system), lab.dtype),
    ]


def _pulled(lab: Lab, at: Drawn, names: tuple[str, ...]) -> list[Finding]:
    """Compare ⟨cotangent, direction⟩ with the complex step of ⟨seeds, solution⟩, for each name."""
    cotangent = lab.pullback(at.machine, at.state, at.case.seed_z, at.case.seed_y)
    findings = []
    for name in names:
        along = {name: at.along[name]}
        y, z = at.explicit.step(at.y0, at.z0, along)
        sizes = at.point.tangent(along)
        pairs = [(getattr(cotangent, name), at.along[name])]
        scale = inner_scale(pairs) + inner_scale([(at.v0, sizes.scale_first), (at.u0, sizes.scale_second)])
        right = inner([(at.v0, y), (at.u0, z)])
        findings.append(compare(f"cotangent of {name}, by the complex step", inner(pairs), right, scale, lab.dtype))
    return findings


@named("theorem-3-inputs", "Theorem 3")
def _theorem_3_inputs(lab: Lab, draws: Draws) -> list[Finding]:
    """The dual's v and u are the cotangents of y0 and z0, by the complex step of ⟨seeds, solution⟩."""
    at = drawn(lab, draws)
    return _pulled(lab, at, ("y0", "z0"))


@named("theorem-3-parameters", "Theorem 3")
def _theorem_3_parameters(lab: Lab, draws: Draws) -> list[Finding]:
    """Q, Σ v and Σ y ⊙ u are the cotangents of weight, bias and slope, by the complex step of ⟨seeds, solution⟩."""
    at = drawn(lab, draws)
    return _pulled(lab, at, tuple(name for name in at.along if name not in ("y0", "z0")))


MACHINE_EQUATIONS = (
    _equation_10, _equation_11, _equation_12, _equation_13, _equation_14, _algorithm_1_forward,
    _algorithm_1_backward, _parametric_machine, _proposition_2, _theorem_3_inputs, _theorem_3_parameters,
)  # fmt: skip
