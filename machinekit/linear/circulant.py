"""The diagonal block of a convolutional equilibrium: zero-padded on its grid, circulant on a larger one.

With before + after + 1 lags on an axis of n positions and N ≥ n + max(before, after) of them on the larger grid, the
position g − ℓ that g < n reads, taken modulo N, is on the grid exactly if it was before: −before … −1 become
N − before … N − 1, all ≥ n, and n … n − 1 + after stay below N. So the circulant W agrees with the zero-padded one
wherever its argument is zero outside the grid, which the proximal operator sees to. Lags longer than N are folded
upon each other: at the frequencies ω = 2πk/N the symbol Ŵ(ω) = Σ_ℓ W[ℓ] e^{−iωℓ} does not tell them apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import fft

from ..arrays import Array, astype, backend_of, dtype_name, namespace, to_host
from . import strided
from .operators import Known
from .taps import Strided

__all__ = ["CirculantOperator"]

_ENTRIES = 20_000
"""Eigenvalues above which only those of some frequencies are computed."""
_ENDS = 32
"""How many frequencies with the largest, and with the smallest, symbols are then among them."""
_PIECE, _FEWEST = 1 << 18, 8
"""Entries, and fewest samples, to transform at a time."""
_FEW = 16
"""Symbols whose norms are computed at a time."""

Padding = tuple[tuple[int, int], ...]


class CirculantOperator(Known):
    """A convolution with feedback, on rows of shape (samples, positions · channels).

    Parameters
    ----------
    kernel : array of shape (*lag, in, out)
        Index j is lag j − after: (W z)[g] = Σ_j z[g − (j − after)] kernel[j], zero outside the grid.
    padding : tuple of (before, after)
    grid : sequence of int
        Extents; a row holds (*grid, channel) in C order.

    Attributes
    ----------
    extents : tuple of int
        The larger grid, of lengths that are quick to transform.

    Notes
    -----
    M = 2 ((1 + α) I − α Ŵ(ω))⁻¹ − I, one matrix per frequency. Of real arrays half the spectrum is enough. Complex
    arrays are transformed as two real ones, and a complex kernel as a real one of twice the channels,

        (x + iy)(P + iQ)   ↔   (x, y) [[P, Q], [−Q, P]],

    which is the analytic continuation, and keeps an imaginary part that is 1e-20 of the real one: a transform of
    complex numbers would drown it in rounding. Spectra are those of the circulant, of which the block is a
    compression: its norms are at most these, its monotonicity at least (Winston & Kolter, arXiv:2006.08591, §4).

    Examples
    --------
    >>> import numpy as np
    >>> shift = CirculantOperator(np.ones((2, 1, 1)), ((1, 0),), (3,))  # z[g] + z[g − 1]
    >>> shift.product(np.array([[1.0, 2.0, 4.0]]))
    array([[1., 3., 6.]])
    >>> shift.extents, shift.product_norm()
    ((4,), 2.0)
    """

    def __init__(self, kernel: Array, padding: Padding, grid: Sequence[int]) -> None:
        self.kernel, self.padding, self.grid = kernel, tuple(padding), tuple(int(n) for n in grid)
        self.channels = int(kernel.shape[-1])
        super().__init__(math.prod(self.grid) * self.channels)
        last = len(self.grid) - 1
        least = (max(n + max(pad), 1) for n, pad in zip(self.grid, self.padding, strict=True))
        self.extents = tuple(fft.next_fast_len(n, real=a == last) for a, n in enumerate(least))
        ones = (1,) * len(self.grid)
        self._geometry = Strided(tuple(before + after + 1 for before, after in self.padding), ones, ones, self.padding)
        self._axes = tuple(range(1, len(self.grid) + 1))
        self._inside = (slice(None), *(slice(0, n) for n in self.grid), slice(None))
        self._complex = dtype_name(kernel).startswith("complex")

    # On the grid -----------------------------------------------------------------------------

    def product(self, s: Array) -> Array:
        """Return W s, zero-padded: one matrix product over copied windows."""
        xp = namespace(s)
        if not math.prod(s.shape):
            return xp.zeros_like(s, dtype=xp.result_type(s, self.kernel))
        x = xp.reshape(s, (s.shape[0], *self.grid, self.channels))
        return xp.reshape(strided.apply(self._geometry, self.kernel, x), (s.shape[0], self.unknowns))

    def dense(self) -> Array:
        """Return the zero-padded W as a matrix of shape (unknowns in, unknowns out)."""
        return self.product(backend_of(self.kernel).eye(self.unknowns, self.kernel.dtype))

    def _turned(self) -> CirculantOperator:
        xp, axes = namespace(self.kernel), len(self.grid)
        kernel = xp.matrix_transpose(xp.flip(self.kernel, axis=tuple(range(axes))))
        return CirculantOperator(kernel, tuple((after, before) for before, after in self.padding), self.grid)

    # On the larger grid ----------------------------------------------------------------------

    def extend(self, s: Array) -> Array:
        """Return rows of shape (samples, extended unknowns), zero outside the grid."""
        if self.extents == self.grid:
            return s
        xp = namespace(s)
        u = backend_of(s).zeros((s.shape[0], *self.extents, self.channels), s.dtype)
        u[self._inside] = xp.reshape(s, (s.shape[0], *self.grid, self.channels))
        return xp.reshape(u, (s.shape[0], math.prod(u.shape[1:])))

    def restrict(self, u: Array) -> Array:
        """Return what lies on the grid, rows of shape (samples, unknowns)."""
        if self.extents == self.grid:
            return u
        xp = namespace(u)
        whole = xp.reshape(u, (u.shape[0], *self.extents, self.channels))
        return xp.reshape(whole[self._inside], (u.shape[0], self.unknowns))

    def masked(self, u: Array) -> Array:
        """Return `u` with zeros outside the grid, whatever was there: NumPy writes to `u` itself."""
        if self.extents == self.grid:
            return u
        if not isinstance(u, np.ndarray):
            return self.extend(self.restrict(u))
        whole = u.reshape(u.shape[0], *self.extents, self.channels)
        for axis, n in zip(self._axes, self.grid, strict=True):
            whole[(slice(None),) * axis + (slice(n, None),)] = 0
        return u if np.may_share_memory(whole, u) else whole.reshape(u.shape)

    def fold(self, alpha: float) -> Any:
        """Return (h, out=None) ↦ M h: a transform, one matrix product per frequency, and the transform back."""
        matrix = self._fold(alpha)

        def apply(h: Array, out: Array | None = None) -> Array:
            xp = namespace(h)
            if not math.prod(h.shape):
                return h + 0
            if self._complex:
                pairs = xp.reshape(self._filtered(_as_pairs(h), matrix), (*h.shape, 2))
                return _joined(pairs[..., 0], pairs[..., 1])
            if not dtype_name(h).startswith("complex"):
                return self._filtered(h, matrix, out)
            parts = self._filtered(xp.concat((xp.real(h), xp.imag(h)), axis=0), matrix)
            return _joined(parts[: h.shape[0], ...], parts[h.shape[0] :, ...])

        return apply

    def _filtered(self, rows: Array, matrix: Array, out: np.ndarray | None = None) -> Array:
        """Return M h for real rows, the matrices being of shape (frequencies, in, out)."""
        xp, channels = namespace(rows), matrix.shape[-1]
        x = xp.reshape(rows, (rows.shape[0], *self.extents, channels))
        if xp is np:
            return self._filtered_here(x, matrix, np.empty_like(rows) if out is None else out)
        spectrum = xp.fft.rfftn(x, axes=self._axes)
        flat = xp.reshape(spectrum, (rows.shape[0], matrix.shape[0], channels))
        # (frequency, samples, in) @ (frequency, in, out) -> (frequency, samples, out)
        moved = xp.permute_dims(xp.permute_dims(flat, (1, 0, 2)) @ matrix, (1, 0, 2))
        back = xp.fft.irfftn(xp.reshape(moved, spectrum.shape), s=self.extents, axes=self._axes)
        return xp.reshape(back, rows.shape)

    def _filtered_here(self, x: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Do so in NumPy, some samples at a time, so that what lies between is small and its memory used again."""
        samples, each = x.shape[0], max(_PIECE // max(math.prod(x.shape[1:]), 1), _FEWEST)
        room = np.empty((min(each, samples), *matrix.shape[::2]), matrix.dtype)
        for start in range(0, samples, each):
            spectrum = fft.rfftn(x[start : start + each], axes=self._axes)
            moved = room[: spectrum.shape[0]]
            turned = spectrum.reshape(moved.shape).transpose(1, 0, 2)
            np.matmul(turned, matrix, out=moved.transpose(1, 0, 2))
            back = fft.irfftn(moved.reshape(spectrum.shape), s=self.extents, axes=self._axes, overwrite_x=True)
            out[start : start + each] = back.reshape(-1, out.shape[1])
        return out

    def _inverted(self, alpha: float) -> Array:
        """Return M of shape (frequencies of half the spectrum, in, out)."""
        xp = namespace(self.kernel)
        symbol = self._symbol(_embedded(self.kernel) if self._complex else self.kernel, True)
        eye = backend_of(symbol).eye(symbol.shape[-1], symbol.dtype)
        return 2.0 * xp.linalg.inv((1.0 + alpha) * eye - alpha * symbol) - eye

    def _turned_fold(self, other: Array) -> Array:
        """Return M̂ᵀ(−ω), which for real arrays is the conjugate transpose of M̂(ω)."""
        xp = namespace(other)
        turned = xp.conj(xp.matrix_transpose(other))
        if self._complex:  # the embedding of Wᵀ is the transpose of that of the conjugate of W
            sign = np.tile([1.0, -1.0], self.channels)
            turned = turned * backend_of(other).from_host(np.multiply.outer(sign, sign), dtype_name(other))
        return np.ascontiguousarray(turned) if xp is np else turned

    def _symbol(self, kernel: Array, half: bool) -> Array:
        """Return Ŵ(ω) of shape (frequencies, in, out), in the library and precision of the kernel."""
        xp, home = namespace(kernel), backend_of(kernel)
        kind = "complex64" if dtype_name(kernel) in ("float32", "complex64") else "complex128"
        symbol = astype(kernel, home.dtype(kind))
        last = len(self.extents) - 1
        for axis in range(last, -1, -1):
            n, (before, after) = self.extents[axis], self.padding[axis]
            count = n // 2 + 1 if half and axis == last else n
            turns = np.outer(np.arange(count), np.arange(-after, before + 1)) % n / n
            wave = home.from_host(np.exp(-2j * np.pi * turns), kind)
            # the last lag axis becomes the first frequency axis
            symbol = xp.tensordot(wave, symbol, axes=([1], [last]))
        return xp.reshape(symbol, (math.prod(symbol.shape[:-2]), *symbol.shape[-2:]))

    # Spectra ---------------------------------------------------------------------------------

    def _symbols(self) -> np.ndarray:
        """Ŵ(ω) on the host in double precision; of a real kernel half of them, the others being conjugates."""
        host = to_host(self.kernel)
        return self._symbol(host.astype(complex if self._complex else float), not self._complex)

    def _fact(self, name: str) -> Any:
        symbols = self._symbols()
        if name == "product_norm":
            return _largest(symbols)
        rest = np.eye(self.channels) - symbols
        if name == "norm":
            return _largest(rest)
        if name == "eigenvalues":
            found = np.linalg.eigvals(symbols[self._chosen(rest)]).ravel()
            return found if self._complex else np.concatenate((found, found.conj()))
        part = 0.5 * (rest + rest.conj().swapaxes(1, 2))
        return float(np.min(np.linalg.eigvalsh(part), initial=np.inf)) if self.channels else 1.0

    def _chosen(self, rest: np.ndarray) -> np.ndarray:
        """Return all frequencies, or some evenly spread and those where I − Ŵ is the largest and the smallest."""
        count = len(rest)
        most = max(_ENTRIES // max(self.channels, 1), 4 * _ENDS)
        if count <= most:
            return np.arange(count)
        order = np.argsort(np.linalg.norm(rest, axis=(1, 2)))
        shape = (*self.extents[:-1], count // math.prod(self.extents[:-1]))
        ends = ((0, (n - 1) // 2, n // 2) for n in shape[:-1])
        corners = [np.ravel_multi_index(at, shape) for at in itertools.product(*ends, (0, shape[-1] - 1))]
        spread = np.linspace(0, count - 1, most - 2 * _ENDS - len(corners)).astype(int)
        return np.unique(np.concatenate((order[:_ENDS], order[-_ENDS:], corners, spread)))


def _largest(matrices: np.ndarray) -> float:
    """Return the largest 2-norm of a stack of matrices.

    ‖(AᴴA)⁸‖_F^{1/16} is above ‖A‖₂ by a few percent at most, and costs four products: few norms are computed.
    """
    if not matrices.size:
        return 0.0
    peak = float(np.max(np.abs(matrices)))
    if not (peak > 0 and math.isfinite(peak)):
        return peak
    unit = (matrices / peak).astype(np.complex64)
    size = float(np.max(np.linalg.norm(unit, axis=(1, 2))))
    unit /= size
    gram = unit.conj().swapaxes(1, 2) @ unit
    for _ in range(3):
        gram = gram @ gram
    bounds = 1.001 * peak * size * np.linalg.norm(gram, axis=(1, 2)).astype(float) ** (1 / 16)
    order, best = np.argsort(-bounds), 0.0
    for start in range(0, len(order), _FEW):
        few = order[start : start + _FEW]
        if bounds[few[0]] < best:
            break
        best = max(best, float(np.linalg.svd(matrices[few], compute_uv=False).max()))
    return best


def _embedded(kernel: Array) -> Array:
    """Return [[P, Q], [−Q, P]] of P + iQ: real, channels doubled, real and imaginary parts in turn."""
    xp = namespace(kernel)
    p, q = xp.real(kernel), xp.imag(kernel)
    rows = (xp.stack((p, q), axis=-1), xp.stack((-q, p), axis=-1))
    return xp.reshape(xp.stack(rows, axis=-3), (*kernel.shape[:-2], 2 * kernel.shape[-2], 2 * kernel.shape[-1]))


def _as_pairs(h: Array) -> Array:
    """Return real rows, the real and imaginary parts of each entry in turn; of real rows those are zero."""
    xp = namespace(h)
    parts = (xp.real(h), xp.imag(h)) if dtype_name(h).startswith("complex") else (h, xp.zeros_like(h))
    return xp.reshape(xp.stack(parts, axis=-1), (h.shape[0], 2 * h.shape[1]))


def _joined(x: Array, y: Array) -> Array:
    """Return x + iy."""
    kind = backend_of(x).dtype("complex64" if dtype_name(x) == "float32" else "complex128")
    if isinstance(x, np.ndarray):
        both = np.empty(x.shape, kind)
        both.real, both.imag = x, y
        return both
    return astype(x, kind) + 1j * astype(y, kind)
