"""The diagonal block of an equilibrium as an operator: products, resolvents, and what its spectrum tells.

Rows are samples, so that W s is ``s @ kernel`` with the kernel in the [in, out] layout.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from scipy import linalg

from ..arrays import Array, backend_of, namespace, to_host

__all__ = ["DenseOperator", "Known", "Operator", "best_step"]

_FOLDS = 2
"""Step sizes whose resolvents are kept: the equilibrium's, and that of its tangent and dual."""


class Operator(Protocol):
    """W of one block on rows of shape (samples, unknowns).

    Peaceman–Rachford runs on an extended space of its own (for a convolution a larger grid, on which it is
    circulant); there M = 2 V − I, V = ((1 + α) I − α W)⁻¹.

    Attributes
    ----------
    kernel : array of shape (*lag, in, out)
    """

    kernel: Array
    unknowns: int

    def product(self, s: Array) -> Array:
        """Return W s, a new array."""

    def transposed(self) -> Operator:
        """Return Wᵀ; what is known of W is not computed again."""

    def extend(self, s: Array) -> Array:
        """Return rows on the extended space, zero where there is nothing; not to be written to."""

    def restrict(self, u: Array) -> Array:
        """Return the rows of the extended space back on the block's own."""

    def masked(self, u: Array) -> Array:
        """Return rows of the extended space with zeros outside the block's own space.

        `u` is the caller's own new array, which NumPy writes to and hands back.
        """

    def fold(self, alpha: float) -> Any:
        """Return a function (h, out=None) ↦ M h on the extended space; M is kept for the next call.

        `out` is room that may be used for the answer, which is what is returned.
        """

    def folded(self, alpha: float) -> bool:
        """Tell whether M is at hand."""

    def dense(self) -> Array:
        """Return W as a matrix of shape (unknowns in, unknowns out)."""

    def eigenvalues(self) -> np.ndarray:
        """Return the eigenvalues of W, or those that lie furthest out, on the host."""

    def norm(self) -> float:
        """Return L = ‖I − W‖₂, or a number a little above."""

    def product_norm(self) -> float:
        """Return ‖W‖₂, or a number a little above."""

    def monotonicity(self) -> float:
        """Return the smallest eigenvalue of the symmetric part of I − W, or a number a little below."""


class Known:
    """An operator and its transpose, which share what is known of either: the spectrum, and M of a few step sizes.

    A kind of operator has `_turned`, `_turned_fold`, `_inverted` and `_fact`. No operator keeps its transpose's
    transpose alive, so that neither waits for a garbage collection.
    """

    def __init__(self, unknowns: int) -> None:
        self.unknowns = unknowns
        self._facts: dict[str, Any] = {}
        self._folds: list[dict[float, Array]] = [{}, {}]
        self._side = 0
        self._twin: Callable[[], Any] = lambda: None

    def transposed(self) -> Self:
        """Return Wᵀ, the same each time."""
        twin = self._twin()
        if twin is None:
            twin = self._turned()
            twin._facts, twin._folds, twin._side = self._facts, self._folds, 1 - self._side
            twin._twin = weakref.ref(self)
            self._twin = lambda: twin
        return twin

    def folded(self, alpha: float) -> bool:
        """Tell whether M of this step size is at hand, or that of the transpose."""
        return any(alpha in folds for folds in self._folds)

    def _fold(self, alpha: float) -> Array:
        mine, other = self._folds[self._side], self._folds[1 - self._side].get(alpha)
        known = mine.get(alpha)
        if known is None:
            known = self._inverted(alpha) if other is None else self._turned_fold(other)
            # a new mapping: another thread may be reading the old one
            kept = list(mine.items())[1 - _FOLDS :]
            self._folds[self._side] = {**dict(kept), alpha: known}
        return known

    def _known(self, name: str) -> Any:
        if name not in self._facts:
            self._facts[name] = self._fact(name)
        return self._facts[name]

    def eigenvalues(self) -> np.ndarray:
        """Return the eigenvalues of W on the host."""
        return self._known("eigenvalues")

    def norm(self) -> float:
        """Return ‖I − W‖₂."""
        return self._known("norm")

    def product_norm(self) -> float:
        """Return ‖W‖₂."""
        return self._known("product_norm")

    def monotonicity(self) -> float:
        """Return the smallest eigenvalue of the symmetric part of I − W."""
        return self._known("monotonicity")

    def _turned(self) -> Self:
        """Return a new operator, Wᵀ."""
        raise TypeError(f"{type(self).__name__} has no transpose")

    def _turned_fold(self, other: Array) -> Array:
        """Return M from that of the transpose."""
        raise TypeError(f"{type(self).__name__} has no transpose")

    def _inverted(self, alpha: float) -> Array:
        """Return M = 2 ((1 + α) I − α W)⁻¹ − I."""
        raise TypeError(f"{type(self).__name__} has no resolvent")

    def _fact(self, name: str) -> Any:
        """Return what is asked for by name."""
        raise TypeError(f"{type(self).__name__} knows no {name}")


class DenseOperator(Known):
    """A matrix.

    Parameters
    ----------
    kernel : array of shape (in, out)

    Examples
    --------
    >>> import numpy as np
    >>> w = DenseOperator(np.array([[0.0, -1.0], [1.0, 0.0]]))
    >>> w.product(np.array([[2.0, 1.0]])), w.transposed().product(np.array([[2.0, 1.0]]))
    (array([[ 1., -2.]]), array([[-1.,  2.]]))
    >>> w.fold(1.0)(np.array([[1.0, 0.0]]))  # (2 I − W)⁻¹ doubled, less I
    array([[-0.2, -0.4]])
    >>> w.monotonicity()
    1.0
    """

    def __init__(self, kernel: Array) -> None:
        super().__init__(int(kernel.shape[0]))
        self.kernel = kernel

    def product(self, s: Array) -> Array:
        """Return W s."""
        return s @ self.kernel

    def extend(self, s: Array) -> Array:
        """Return the rows themselves."""
        return s

    def restrict(self, u: Array) -> Array:
        """Return the rows themselves."""
        return u

    def masked(self, u: Array) -> Array:
        """Return the rows themselves."""
        return u

    def dense(self) -> Array:
        """Return the matrix."""
        return self.kernel

    def fold(self, alpha: float) -> Any:
        """Return (h, out=None) ↦ M h: one matrix product."""
        matrix = self._fold(alpha)
        if isinstance(matrix, np.ndarray):
            return lambda h, out=None: np.matmul(h, matrix, out=out)
        return lambda h, out=None: h @ matrix

    def _turned(self) -> DenseOperator:
        return DenseOperator(namespace(self.kernel).permute_dims(self.kernel, (1, 0)))

    def _turned_fold(self, other: Array) -> Array:
        xp = namespace(other)
        return np.ascontiguousarray(other.T) if xp is np else xp.permute_dims(other, (1, 0))

    def _inverted(self, alpha: float) -> Array:
        xp = namespace(self.kernel)
        if xp is np:
            shifted = -alpha * self.kernel
            shifted.flat[:: self.unknowns + 1] += 1.0 + alpha
            matrix = linalg.inv(shifted, overwrite_a=True, check_finite=False)
            matrix *= 2.0
            matrix.flat[:: self.unknowns + 1] -= 1.0
            return np.ascontiguousarray(matrix)
        eye = backend_of(self.kernel).eye(self.unknowns, self.kernel.dtype)
        return 2.0 * xp.linalg.inv((1.0 + alpha) * eye - alpha * self.kernel) - eye

    @cached_property
    def _host(self) -> np.ndarray:
        host = to_host(self.kernel)
        return host.astype(complex if np.iscomplexobj(host) else float)

    def _fact(self, name: str) -> Any:
        if name == "eigenvalues":
            return np.linalg.eigvals(self._host)
        if name == "product_norm":
            return _norm(self._host)
        rest = np.eye(self.unknowns) - self._host
        if name == "norm":
            return _norm(rest)
        return float(np.linalg.eigvalsh(0.5 * (rest + rest.conj().T))[0]) if self.unknowns else 1.0


def _norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2)) if matrix.size else 0.0


def best_step(eigenvalues: np.ndarray) -> tuple[float, float]:
    """Return (α, rate): the step of a grid of quarter octaves with the least spectral radius of (I − αF)(I + αF)⁻¹.

    Parameters
    ----------
    eigenvalues : array
        Of W, F being I − W.
    """
    f = 1.0 - eigenvalues
    grid = 2.0 ** np.arange(-6.0, 6.01, 0.25)
    with np.errstate(all="ignore"):
        radii = np.max(np.abs((1.0 - grid[:, None] * f) / (1.0 + grid[:, None] * f)), axis=1, initial=0.0)
    k = int(np.argmin(np.where(np.isfinite(radii), radii, np.inf)))
    return float(grid[k]), float(radii[k])
