"""§2: linear machines of finite depth are nilpotent operators, in exact arithmetic."""

from __future__ import annotations

import math

import numpy as np

from .. import theory
from ..testing.report import Finding, equal
from .draws import Draws
from .lab import Lab
from .registry import named

__all__ = ["NILPOTENT"]


def _exact(matrix: np.ndarray) -> np.ndarray:
    return theory.exact(matrix.tolist() if matrix.size else np.zeros(matrix.shape, int))


@named("remark-2", "Remark 2", host=True)
def _remark_2(lab: Lab, draws: Draws) -> list[Finding]:
    """A linear endofunction has finite depth iff it is nilpotent: the depth is the index less 1."""
    n = draws.integer(1, 5)
    matrix = _exact(draws.nilpotent(n))
    index = theory.nilpotency_index(matrix)
    rng = draws.rng()
    points = [_exact(rng.integers(-4, 5, n)) for _ in range(2 * n + 2)]
    least = theory.tighten(theory.Endofunction.linear(matrix), points)
    grown = matrix.copy()
    grown[0, 0] += 1 - np.trace(matrix)  # a trace that is not 0: not nilpotent
    return [
        equal("length of the least cofiltration, index − 1", least.length, int(index) - 1),
        equal("an operator with trace 1 has no index", theory.nilpotency_index(grown), math.inf),
    ]


@named("nilpotent-example", "§2, example", host=True)
def _nilpotent_example(lab: Lab, draws: Draws) -> list[Finding]:
    """The resolvent of a nilpotent L is Σ Lᵏ: (1 − L) Σ Lᵏ = 1 in integers, and the depth sequence reaches it."""
    n = draws.integer(1, 5)
    matrix = _exact(draws.nilpotent(n))
    series = theory.neumann(matrix)
    one = _exact(np.eye(n, dtype=int))
    x = _exact(draws.rng().integers(-9, 10, n))
    reached = theory.depth_sequence(theory.Endofunction.linear(matrix), x).last
    return [
        equal("(1 − L) Σ Lᵏ = 1", bool(((one - matrix) @ series == one).all()), True),
        equal("Σ Lᵏ (1 − L) = 1", bool((series @ (one - matrix) == one).all()), True),
        equal("h_d = Σ Lᵏ x", bool((reached == series @ x).all()), True),
    ]


@named("nilpotent-sum", "§2, example", host=True)
def _nilpotent_sum(lab: Lab, draws: Draws) -> list[Finding]:
    """If L1 L2 = 0, L1ⁿ¹ = 0 and L2ⁿ² = 0, then (L1 + L2)ⁿ¹⁺ⁿ²⁻¹ = 0: Theorem 2 for operators."""
    n, m = draws.integer(1, 3), draws.integer(1, 3)
    first, second = draws.nilpotent(n), draws.nilpotent(m)
    mixed = draws.rng().integers(-3, 4, (m, n)).astype(object)
    nothing = np.zeros((n, m), dtype=object)
    zero = np.zeros((m, m), dtype=object)
    one = np.block([[first, nothing], [mixed @ first, zero]])  # reads the first n only, where `other` does not write
    other = np.block([[np.zeros((n, n), dtype=object), nothing], [0 * mixed, second]])
    n1, n2 = (int(theory.nilpotency_index(_exact(a))) for a in (one, other))
    both = _exact(one + other)
    power = _exact(np.eye(n + m, dtype=int))
    for _ in range(n1 + n2 - 1):
        power = power @ both
    return [
        equal("L1 L2 = 0", bool((_exact(one) @ _exact(other) == 0).all()), True),
        equal("(L1 + L2)^(n1 + n2 − 1) = 0", bool((power == 0).all()), True),
    ]


@named("sequential-nilpotent-overlap", "§2, examples", host=True)
def _overlap(lab: Lab, draws: Draws) -> list[Finding]:
    """A sequential network of linear layers is both examples: its operator is nilpotent, of index layers + 1."""
    layers = draws.integer(1, 3)
    rng = draws.rng()
    sizes = [int(rng.integers(1, 4)) for _ in range(layers + 1)]
    ends = np.cumsum([0, *sizes])
    matrix = np.zeros((int(ends[-1]),) * 2, dtype=object)
    weights = []
    for k in range(layers):
        weight = rng.integers(1, 4, (sizes[k + 1], sizes[k])).astype(object)  # positive, so that products are not 0
        matrix[ends[k + 1] : ends[k + 2], ends[k] : ends[k + 1]] = weight
        weights.append(weight)
    x = rng.integers(-3, 4, sizes[0]).astype(object)
    start = np.concatenate([x, np.zeros(int(ends[-1]) - sizes[0], dtype=object)])
    output = theory.neumann(_exact(matrix))[ends[-2] :] @ _exact(start)
    for weight in weights:
        x = weight @ x
    return [
        equal("index", theory.nilpotency_index(_exact(matrix)), layers + 1),
        equal("the resolvent runs the network", bool((output == _exact(x)).all()), True),
    ]


NILPOTENT = (_remark_2, _nilpotent_example, _nilpotent_sum, _overlap)
