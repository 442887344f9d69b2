"""The fixed-point problems that solvers are given: s = g(s), all samples at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..activations import Activation
from ..arrays import Array, every, real, to_host
from ..linear.operators import Operator

__all__ = ["BlockProblem", "FixedPoint", "is_proximal"]


class FixedPoint(Protocol):
    """s = g(s) on rows: one sample per row, none of which knows of another.

    Attributes
    ----------
    shape : (samples, unknowns)
    affine : bool
        g(s) = A s + c.
    noise : float
        Units of rounding that one evaluation of g makes, of the size of s.
    """

    shape: tuple[int, int]
    affine: bool

    @property
    def noise(self) -> float:
        """See above."""

    def image(self, s: Array) -> Array:
        """Return g(s), a new array of shape (samples, unknowns): one evaluation of the map."""

    def linearise(self, s: Array) -> Callable[[Array], Array]:
        """Return p ↦ g′(s) p. One call of that counts as one evaluation of the map."""

    def start(self) -> Array:
        """Return where to start when nothing better is known, a new array."""


def is_proximal(sigma: Activation | None, slope: Array) -> bool:
    """Tell whether σ, an activation or multiplication by a slope, is a proximal operator; a slope in [0, 1] is."""
    if sigma is not None:
        return sigma.prox is not None
    d = real(slope)
    return every((d >= 0) & (d <= 1))


class BlockProblem:
    """One block of a machine, s = σ(W s + b), with σ an activation or multiplication by a slope.

    Parameters
    ----------
    operator : Operator
        W of the block.
    b : array of shape (samples, unknowns)
    sigma : Activation, or None
    slope : array of shape (samples, unknowns), or None
        Exactly one of the two is given; with a slope the problem is linear.
    margin : float
        A number m with I − W ⪰ m I on the symmetric part; not positive where W is not monotone.
    fresh : bool
        W meets its first problem: what is computed for W alone pays off only if others follow.
    """

    def __init__(
        self,
        operator: Operator,
        b: Array,
        sigma: Activation | None,
        slope: Array,
        margin: float,
        fresh: bool = False,
    ) -> None:
        self.fresh = fresh
        self.operator, self.b, self.slope, self.margin = operator, b, slope, margin
        self.sigma: Any = sigma
        self.shape = (int(b.shape[0]), int(b.shape[1]))
        self.affine = sigma is None
        self._shrunk: tuple[float, Array] | None = None

    @cached_property
    def proximal(self) -> bool:
        """Whether σ is a proximal operator."""
        return is_proximal(self.sigma, self.slope)

    @property
    def noise(self) -> float:
        """1 + a bound on ‖W‖₂: the sum over lags of Frobenius norms, which costs one pass."""
        kernel = np.abs(to_host(self.operator.kernel))
        return 1.0 + float(np.sum(np.sqrt(np.sum(kernel * kernel, axis=(-2, -1)))))

    def value(self, y: Array) -> Array:
        """Return σ(y)."""
        return self.slope * y if self.sigma is None else self.sigma.value(y)

    def derivative(self, y: Array) -> Array:
        """Return σ′(y)."""
        return self.slope if self.sigma is None else self.sigma.derivative(y)

    def image(self, s: Array) -> Array:
        """Return σ(W s + b)."""
        y = self.operator.product(s)
        y += self.b
        return self.value(y)

    def linearise(self, s: Array) -> Callable[[Array], Array]:
        """Return p ↦ D W p with D = σ′(W s + b)."""
        slope = self.slope if self.affine else self.derivative(self.operator.product(s) + self.b)
        return lambda p: slope * self.operator.product(p)

    def start(self) -> Array:
        """Return σ(b): the answer where W is zero."""
        return self.value(self.b) + 0

    def prox(self, x: Array, alpha: float) -> Array:
        """Return prox_{αf}(x), a new array, σ being prox_f; for σ = D it is S x with S = D/(D + α(1 − D))."""
        return self.shrunk(alpha) * x if self.sigma is None else self.sigma.prox(x, alpha)

    def shrunk(self, alpha: float) -> Array:
        """Return S = D/(D + α(1 − D)): nothing is divided by zero, D in [0, 1] makes that at least min(1, α)."""
        if self._shrunk is None or self._shrunk[0] != alpha:
            self._shrunk = alpha, self.slope / (self.slope * (1.0 - alpha) + alpha)
        return self._shrunk[1]
