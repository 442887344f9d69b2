"""Curvature: the second derivative of an objective at one θ, as products with directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arrays import Array, plus
from ..graph.op import pullback
from .evaluation import Evaluation
from .problem import Problem

__all__ = ["Curvature"]


class Curvature:
    """The products of one θ, for any number of directions: the forward pass and the dual are computed once.

    Parameters
    ----------
    problem : Objective
    theta : host vector

    Raises
    ------
    TypeError, ValueError
        As `Objective.value`.

    Notes
    -----
    With p(θ) the prediction, p′ its derivative and J = L(p) + Σ penalties,

        H d = p′ᵀ ∇²L p′ d + (p″ d)ᵀ ∇L + Σ penalties′ ,    G d = p′ᵀ ∇²L p′ d + Σ penalties′ ,

    the first by the derivative of the pullback of ∇L along the tangent p′ d, its seed changing by ∇²L p′ d; the
    second by the pullback of ∇²L p′ d alone. G, the Gauss–Newton matrix, is positive semidefinite where the loss is
    convex in p, as all of `mk.losses` are (Schraudolph, Neural Computation 14 (2002)).
    """

    def __init__(self, problem: Problem, theta: np.ndarray) -> None:
        self._problem = problem
        self._at = problem.evaluate(theta)

    def hessp(self, d: np.ndarray) -> np.ndarray:
        """Return the Hessian times d."""
        return self._product(d, self._hessian_part, "hessp")

    def gauss_newton_product(self, d: np.ndarray) -> np.ndarray:
        """Return the Gauss–Newton matrix times d."""
        return self._product(d, self._gauss_newton_part, "gauss_newton")

    def _product(self, d: np.ndarray, part: Callable[..., Mapping[str, Array]], verb: str) -> np.ndarray:
        along = self._problem.unpack(d, "d")
        product = dict(part(self._at, along))
        for term in self._problem.terms:
            for name, array in getattr(term, verb)(self._at, along).items():
                product[name] = plus(product[name], array)
        return self._problem.pack(product)

    def _hessian_part(self, at: Evaluation, along: Any) -> Mapping[str, Array]:
        """Return that of the loss: the dual, the tangent, and the tangent of the dual."""
        dual, tangent = at.dual, at.along(along)
        return at.change(dual, tangent, at.bend(tangent)).parameters

    def _gauss_newton_part(self, at: Evaluation, along: Any) -> Mapping[str, Array]:
        """Return that of the loss: the tangent, and the dual of its image."""
        return pullback(at.model, at.state, (at.bend(at.along(along)),)).parameters
