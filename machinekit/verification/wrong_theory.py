"""Mutants of the theory: sequences, depths, independence, sums, flags, gradients of graphs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import theory
from ..arrays import NUMPY, Array, Backend, backend_of, dtype_name, to_host
from ..machines import Machine
from .mutants import mutant

__all__ = ["WRONG_THEORY"]

_MOST = 60


def _home(f: theory.Endofunction) -> Backend:
    return NUMPY if f.like is None else backend_of(f.like)


def _still(a: Array, b: Array) -> bool:
    return bool((to_host(a) == to_host(b)).all())


def _size(a: Array) -> float:
    return float(np.abs(to_host(a)).max(initial=0.0))


@mutant("lift-off-by-one", "after Theorem 2", "lifted", "lifted-sequence figure-2 equation-2 theorem-1")
def _lift_off_by_one(
    f: theory.Endofunction, x0: Array, schedule: Sequence[Sequence[str]] | None = None
) -> tuple[Array, ...]:
    """h_{i+1} = h_i + f_i h_i, with f_0 = 0, where it is h_i + f_{i+1} h_i."""
    groups = [tuple(group) for group in (theory.levels(f) if schedule is None else schedule)]
    edges = {e.name: e for e in f.edges or ()}
    values = [x0]
    for group in [(), *groups][: len(groups)]:
        parts = f.split(values[-1])
        new = dict(parts)
        for name in group:
            for target, image in edges[name].images(parts).items():
                new[target] = new[target] + image
        values.append(f.join(new))
    return tuple(values)


@mutant("fg-plus-h", "proof of Theorem 1", "numeric_depth", "depth-of-sums figure-2-depth depth-sharp")
def _fg_plus_h(f: theory.Endofunction, rng: int = 0) -> float:
    """Iteration goes from h to f(g) + h, where it goes to g + f(h)."""
    draw = np.random.default_rng(rng)
    dtype = "float64" if f.like is None else dtype_name(f.like)
    g, other = (_home(f).from_host(draw.normal(size=f.dimension).astype(dtype)) for _ in range(2))
    h = g + f(other)
    for steps in range(_MOST):
        new = f(g) + h
        if _still(new, h):
            return steps
        h = new
    return math.inf


@mutant("jacobian-only-depth", "Proposition 3", "numeric_depth", "proposition-3-exception depth-sharp")
def _jacobian_only_depth(f: theory.Endofunction, rng: int = 0) -> float:
    """The depth is that of the derivatives Df(x), which do not see constants, biases among them."""
    draw = np.random.default_rng(rng)
    product = np.eye(f.dimension)
    for steps in range(_MOST):  # Df(x_n) … Df(x_0) = 0 for all points: depth n
        product = f.jacobian(_home(f).from_host(draw.normal(size=f.dimension))) @ product
        if not product.any():
            return steps
    return math.inf


@mutant("depth-per-edge", "figure 2", "structural_depth", "figure-2-depth depth-of-sums")
def _depth_per_edge(f: Any, grid: tuple[int, ...] = ()) -> float:
    """A sum of edges counts one step for each edge, none of them being grouped: 5 for figure 2, which has depth 4."""
    return theory.depth(f, grid) if isinstance(f, Machine) else len(f.edges)


@mutant("scalar-independence", "slides, independence", "independent", "slides-counterexample")
def _scalar_independence(
    f1: theory.Endofunction, f2: theory.Endofunction, *, points: Sequence[Array] | None = None,
    tolerance: float = 1e-9, rng: int = 0,
) -> bool:  # fmt: skip
    """f1(x + λ f2(x)) = f1(x) for numbers λ at each point x, where it is demanded at all pairs of points."""
    draw = np.random.default_rng(rng)
    given = [draw.normal(size=f1.dimension) for _ in range(12)] if points is None else points
    for x in given:
        step = f2(x)
        moved = f1(x + int(draw.integers(1, 4)) * step) - f1(x)
        if _size(moved) > tolerance * (1 + _size(x) + _size(step) + _size(f1(x))):
            return False
    return True


@mutant("product-independence", "after Definition 4", "independent", "independence-is-no-product definition-4")
def _product_independence(
    f1: theory.Endofunction, f2: theory.Endofunction, *, points: Sequence[Array] | None = None,
    tolerance: float = 1e-9, rng: int = 0,
) -> bool:  # fmt: skip
    """f1 does not depend on f2 if f1 f2 = 0, which suffices for linear maps only."""
    draw = np.random.default_rng(rng)
    given = [draw.normal(size=f1.dimension) for _ in range(12)] if points is None else points
    return all(_size(f1(f2(x))) <= tolerance * (1 + _size(x)) for x in given)


@mutant("sum-order-reversed", "Theorem 2", "resolvent_of_sum", "theorem-2-ordered")
def _sum_order_reversed(f1: theory.Endofunction, f2: theory.Endofunction, x0: Array, **options: Any) -> Array:
    """R_{f1+f2} = R_{f1} R_{f2}, where the independent one, f1, goes first: R_{f2} R_{f1}."""
    if theory.sum_order(f1, f2, **options) != "first":
        return theory.resolvent_of_sum(f1, f2, x0, **options)
    return theory.resolvent(f1, theory.resolvent(f2, x0))


@mutant("sum-without-identity", "Theorem 2", "resolvent_of_sum", "theorem-2-mutual")
def _sum_without_identity(f1: theory.Endofunction, f2: theory.Endofunction, x0: Array, **options: Any) -> Array:
    """R_{f1+f2} = R_{f1} + R_{f2}, where it is R_{f1} + R_{f2} − id."""
    if theory.sum_order(f1, f2, **options) != "either":
        return theory.resolvent_of_sum(f1, f2, x0, **options)
    return theory.resolvent(f1, x0) + theory.resolvent(f2, x0)


class _AsGiven(theory.Cofiltration):
    """Subspaces in any order, which a cofiltration refuses."""

    def __init__(self, bases: Sequence[np.ndarray]) -> None:
        self.bases, self.dimension = tuple(bases), bases[0].shape[0]


@mutant("flag-not-reversed", "Proposition 3", "dual_flag", "proposition-3 dual-order")
def _flag_not_reversed(flag: theory.Cofiltration) -> theory.Cofiltration:
    """The annihilators stand in the order of the subspaces, where they stand in the reverse order."""
    right = flag.dual().bases
    return _AsGiven([*reversed(right[:-1]), right[-1]])


@mutant("gradient-by-jacobian", "Fleuret, EE-559 §4.1", "chain_gradient", "directed-graph-gradient")
def _gradient_by_jacobian(jacobian: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The gradient is J times the gradient at the output, where it is Jᵀ times."""
    return jacobian @ seed


WRONG_THEORY = (
    _lift_off_by_one, _fg_plus_h, _jacobian_only_depth, _depth_per_edge, _scalar_independence, _product_independence,
    _sum_order_reversed, _sum_without_identity, _flag_not_reversed, _gradient_by_jacobian,
)  # fmt: skip
