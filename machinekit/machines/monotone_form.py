"""Weights of monotone machines as functions of A, B and a margin, with their derivatives; no state."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, namespace
from .monotone_products import convolved, correlated, dagger, matrix_kernel, matrix_pullback, swapped

__all__ = ["MonotoneForm"]

Places = Sequence[tuple[slice, slice, float]]
Move = Array | None


@dataclass(frozen=True)
class MonotoneForm:
    """W = (1 − m) I − Π(AᵀA) + B − Bᵀ, so that I − W is monotone with margin m, whatever A and B are.

    Parameters
    ----------
    sizes : tuple of int
        Channels of the blocks, in order.
    padding : tuple of (before, after)
        Lags of A and B, −after … before, one pair per grid axis; () for matrices.
    tiers : bool
        A has a first block subdiagonal, and W couples each block to the next.
    reverse : bool
        The couplings are those above the diagonal: A, −B, m then make the transpose.

    Notes
    -----
    A and B are of shape (*lag, channel, channel) in the column convention, (A z)[g] = Σ_j A[j] z[g − (j − after)];
    kernels, of shape (*(2s + 1), in, out) with s = before + after, and their cotangents Q are in the layout of a
    machine's weight, lags −s … s: kernel[ℓ] = W[ℓ]ᵀ. Matrices are convolutions without grid axes. With † for the
    transpose, which swaps channels and reverses lags, X†[ℓ] = X[−ℓ]ᵀ, and * for the product of convolutions,

        S = A† * A,  S[d] = Σ_ℓ A[ℓ]ᵀ A[ℓ + d],      W = (1 − m) I − Π(S) + B − B†,

    Π keeping the diagonal blocks and, for tiers, twice the first block subdiagonal, below which S has nothing. It is
    its own adjoint, so that with W̄ = Q† without the reversal, W̄[ℓ] = Q[ℓ]ᵀ,

        S̄ = −Π(W̄),  Ā = A * (S̄ + S̄†),      B̄ = W̄ − W̄†,      m̄ = −tr W̄[0],

    each where it is live. Since sym(Π(S)) = S on the blocks that S has, sym(I − W) = m I + A†A. For one block,
    Ā = −A (W̄ + W̄ᵀ) (Winston & Kolter, arXiv:2006.08591, §4 and its multi-tier form). Nothing is conjugated: in
    complex arithmetic these are the analytic continuations. m is one number, an array of shape (), or one per block.

    Examples
    --------
    >>> import numpy as np
    >>> form = MonotoneForm((2,))
    >>> A, B, m = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[0.0, 3.0], [0.0, 0.0]]), np.asarray(0.5)
    >>> form.kernel(A, B, m)  # [in, out]
    array([[-9.5, -8. ],
           [-2. , -4.5]])
    >>> form.pullback(A, B, m, np.eye(2))
    (array([[-2., -4.],
           [-6., -2.]]), array([[0., 0.],
           [0., 0.]]), array(-2.))
    """

    sizes: tuple[int, ...]
    padding: tuple[tuple[int, int], ...] = ()
    tiers: bool = False
    reverse: bool = False

    # Geometry --------------------------------------------------------------------------------

    @property
    def lags(self) -> tuple[tuple[int, int], ...]:
        """The padding of W, (s, s) on each axis with s = before + after."""
        return tuple((sum(pair), sum(pair)) for pair in self.padding)

    @property
    def channels(self) -> int:
        """Channels of all blocks."""
        return sum(self.sizes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of A and of B, (*lag, channel, channel)."""
        return (*(sum(pair) + 1 for pair in self.padding), self.channels, self.channels)

    def mirrored(self) -> MonotoneForm:
        """Return the form of the transpose, which A, −B and m make."""
        return replace(self, reverse=not self.reverse)

    @cached_property
    def _blocks(self) -> tuple[slice, ...]:
        bounds = (0, *itertools.accumulate(self.sizes))
        return tuple(slice(a, b) for a, b in itertools.pairwise(bounds))

    @property
    def _diagonal(self) -> Places:
        return tuple((b, b, 1.0) for b in self._blocks)

    @property
    def _next(self) -> Places:
        """The first block subdiagonal, twice, or nothing without tiers."""
        return tuple((b, a, 2.0) for a, b in itertools.pairwise(self._blocks)) if self.tiers else ()

    @property
    def _kept(self) -> Places:
        """Π: the blocks of S that W has, and how many times."""
        return (*self._diagonal, *((a, b, twice) if self.reverse else (b, a, twice) for b, a, twice in self._next))

    @property
    def _plain(self) -> bool:
        """One block of a matrix, all of which is live."""
        return len(self.sizes) == 1 and not self.padding

    @cached_property
    def live_A(self) -> np.ndarray:
        """Mask of the entries of A that are used: diagonal blocks, for tiers the first block subdiagonal too."""
        return self.project_A(np.ones(self.shape)) != 0

    @cached_property
    def live_B(self) -> np.ndarray:
        """Mask of the entries of B that are used: diagonal blocks."""
        return self.project_B(np.ones(self.shape)) != 0

    def project_A(self, a: Array) -> Array:
        """Return a new array with exact zeros where A is not live, whatever was there."""
        return _placed(a, (*self._diagonal, *((b, c, 1.0) for b, c, _ in self._next)))

    def project_B(self, b: Array) -> Array:
        """Return a new array with exact zeros where B is not live, whatever was there."""
        return _placed(b, self._diagonal)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return A and B of float64 on the host, N(0, 1/(3 · fan-in)) where they are live.

        All entries of A are drawn, in C order, then all of B; an entry's fan-in counts the live entries of its row
        over all lags, taps times channels read. ‖A z‖ is then about ‖z‖/√3 for white z, and ‖B z‖ likewise.
        """
        drawn = []
        for live in (self.live_A, self.live_B):
            fan_in = np.maximum(live.sum(axis=(*range(live.ndim - 2), -1)), 1)
            drawn.append(np.where(live, rng.standard_normal(self.shape) / np.sqrt(3.0 * fan_in)[:, None], 0.0))
        return drawn[0], drawn[1]

    # The map and its derivatives ---------------------------------------------------------------

    def kernel(self, A: Array, B: Array, m: Array) -> Array:
        """Return W of shape (*(2s + 1), in, out); exact zeros elsewhere than on the blocks that it has."""
        if self._plain and not getattr(m, "ndim", 0):
            return matrix_kernel(A, B, m)
        a = self.project_A(A)
        w = _placed(correlated(a, a), self._kept, -1.0)
        w = self._with_skew(w, self.project_B(B))
        return swapped(self._with_diagonal(w, m, 1.0))

    def pushforward(
        self, A: Array, B: Array, m: Array, dA: Move = None, dB: Move = None, dm: Move = None
    ) -> Array | None:
        """Return the derivative of the kernel along the directions given, None if there are none.

        Ẇ = −ṁ I − Π(Ȧ†A + A†Ȧ) + Ḃ − Ḃ†.
        """
        if dA is None and dB is None and dm is None:
            return None
        if dA is None:
            w = backend_of(A).zeros((*(2 * n - 1 for n in self.shape[:-2]), *self.shape[-2:]), A.dtype)
        else:
            half = correlated(self.project_A(dA), self.project_A(A))
            w = _placed(half + dagger(half), self._kept, -1.0)
        if dB is not None:
            w = self._with_skew(w, self.project_B(dB))
        return swapped(w if dm is None else self._with_diagonal(w, dm, 0.0))

    def pullback(self, A: Array, B: Array, m: Array, Q: Array) -> tuple[Array, Array, Array]:
        """Return the cotangents of A, B and m.

        Parameters
        ----------
        Q : array of shape (*(2s + 1), in, out)
            Cotangent of the kernel; what it holds where W has no block does not matter.
        """
        if self._plain and not getattr(m, "ndim", 0):
            return matrix_pullback(A, Q)
        w = swapped(Q)
        return self.project_A(convolved(self.project_A(A), self._weighed(w))), self._skew(w), self._trace(w, m)

    def pullback_tangent(
        self, A: Array, B: Array, m: Array, Q: Array, dA: Move = None, dB: Move = None, dm: Move = None, dQ: Move = None
    ) -> tuple[Array, Array, Array]:
        """Return the derivative of `pullback` along the directions given; W is linear in B and m.

        Ā̇ = Ȧ * (S̄ + S̄†) + A * (S̄̇ + S̄̇†), and Q̇ in the place of Q for the others.
        """
        if dQ is None:
            dQ = namespace(Q).zeros_like(Q)
        found = self.pullback(A, B, m, dQ)
        if dA is None:
            return found
        bent = convolved(self.project_A(dA), self._weighed(swapped(Q)))
        return found[0] + self.project_A(bent), found[1], found[2]

    # Pieces --------------------------------------------------------------------------------------

    def _centred(self, end: int) -> tuple:
        """Where the lags of B lie among those of W, by what comes before (0); those of B†, by what comes after (1)."""
        starts = (pair[end] for pair in self.padding)
        return (*(slice(start, start + n) for start, n in zip(starts, self.shape[:-2], strict=True)), ...)

    def _weighed(self, w: Array) -> Array:
        """Return S̄ + S̄†, S̄ = −Π(W̄)."""
        s = _placed(w, self._kept, -1.0)
        return s + dagger(s)

    def _skew(self, w: Array) -> Array:
        """Return W̄ − W̄† at the lags and on the blocks of B."""
        w = _placed(w, self._diagonal)
        return (w - dagger(w))[self._centred(0)] + 0

    def _with_skew(self, w: Array, b: Array) -> Array:
        """Return w + b − b†."""
        w = _widened(w, b)
        for here, part in ((self._centred(0), b), (self._centred(1), -dagger(b))):
            w[here] = w[here] + part
        return w

    def _with_diagonal(self, w: Array, m: Any, one: float) -> Array:
        """Return w + (one − m) I, block by block."""
        w = _widened(w, m)
        for block, own, eye in self._central(w, m):
            w[block] = w[block] + (one - own) * eye
        return w

    def _trace(self, w: Array, m: Any) -> Array:
        """Return −tr W̄[0], of the shape of m."""
        xp = namespace(w)
        traces = xp.stack([-xp.sum(xp.where(eye != 0, w[block], eye)) for block, _, eye in self._central(w, m)])
        return traces if getattr(m, "ndim", 0) else xp.asarray(xp.sum(traces))

    def _central(self, w: Array, m: Any) -> Iterator[tuple[tuple, Any, Array]]:
        """Yield where each diagonal block lies at lag 0, its margin, and the identity."""
        home = backend_of(w)
        lag = tuple(s for s, _ in self.lags)
        for k, (block, size) in enumerate(zip(self._blocks, self.sizes, strict=True)):
            own = m[k] if getattr(m, "ndim", 0) else m
            yield (*lag, block, block), own, home.eye(size, w.dtype)


def _placed(a: Array, places: Places, factor: float = 1.0) -> Array:
    """Return a new array with some blocks of another, times a factor each; zeros elsewhere, whatever was there."""
    out = namespace(a).zeros_like(a)
    for rows, columns, times in places:
        here = (..., rows, columns)
        out[here] = a[here] * (factor * times) if factor * times != 1.0 else a[here]
    return out


def _widened(w: Array, other: Any) -> Array:
    """Return w, cast if its dtype does not hold a sum with the other."""
    xp = namespace(w)
    kind = xp.result_type(w, other)
    return w if kind == w.dtype else (w.astype(kind) if xp is np else xp.astype(w, kind))
