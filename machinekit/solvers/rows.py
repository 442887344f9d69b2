"""Rows of numbers as real rows, which is what the solvers compute their coefficients from."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, astype, backend_of, dtype_name, namespace
from .watch import sizes, sizes_of

__all__ = ["Rows", "inner", "pick", "to_rows"]

_WITHIN = 30
"""Powers of two around 1 within which a real row stays as it is."""
_DRIFT = 6
"""Powers of two by which a part may leave its unit before it gets another one."""


class Rows:
    """Complex rows as real ones of twice the length: real parts, then imaginary parts, each in a unit of its own.

    The imaginary part of a complex step is a derivative, 1e-20 times the real part. An inner product of complex
    rows would not see it; its analytic continuation would let it ride on coefficients made for the real part, which
    turn to noise once that has converged. So Anderson, Broyden, BiCGSTAB and Newton–Krylov are given a real problem
    of both parts, in units (powers of two, per sample) in which they are of one size. What it converges to solves
    s = g(s) in both parts, and that is the analytic continuation. A real row is left as it is, unless its squares
    might leave the range of its dtype.

    Parameters
    ----------
    like : array of shape (samples, unknowns)
        Tells library, device and dtype.
    """

    def __init__(self, like: Array) -> None:
        self._like = like[:0, :]
        self._unknowns = int(like.shape[1])
        self.complex = dtype_name(like).startswith("complex")
        self._powers = np.zeros((1 + self.complex, like.shape[0]), int)
        self._units: list[Array] = []
        self._fitted = False
        single = dtype_name(like) in ("float32", "complex64")
        self._kind, self._span = ("float32", 120) if single else ("float64", 1000)

    def fit(self, a: Array) -> np.ndarray:
        """Choose the units after rows of the size of the iterates; return a mask of the samples with another one."""
        with np.errstate(divide="ignore"):
            power = np.log2(sizes(a))
        known = np.isfinite(power)
        power = np.clip(np.where(known, np.round(power), 0), -self._span, self._span).astype(int)
        if not self.complex:
            power[np.abs(power) <= _WITHIN] = 0
        drift = _DRIFT if self._fitted or not self.complex else 0
        self._fitted = True
        moved = known & (np.abs(power - self._powers) > drift)
        if moved.any():
            self._powers = np.where(moved, power, self._powers)
            home = backend_of(self._like)
            self._units = [home.from_host(2.0 ** p[:, None], self._kind) for p in self._powers]
        return moved.any(axis=0)

    def pack(self, a: Array) -> Array:
        """Return real rows, of length (1 or 2) · unknowns; a real array in units of 1 itself."""
        if not self.complex:
            return a / self._units[0] if self._units else a
        xp = namespace(a)
        parts = [xp.real(a), xp.imag(a)]
        if self._units:
            parts = [part / unit for part, unit in zip(parts, self._units, strict=True)]
        return xp.concat(parts, axis=1)

    def unpack(self, a: Array) -> Array:
        """Return the rows that were packed."""
        if not self.complex:
            return a * self._units[0] if self._units else a
        parts = self._parts(a)
        if self._units:
            parts = [part * unit for part, unit in zip(parts, self._units, strict=True)]
        if isinstance(a, np.ndarray):
            out = np.empty(parts[0].shape, self._like.dtype)
            out.real, out.imag = parts
            return out
        return astype(parts[0], self._like.dtype) + 1j * astype(parts[1], self._like.dtype)

    def sizes(self, a: Array) -> np.ndarray:
        """Return what `sizes` says of the rows that were packed, of shape (parts, samples)."""
        return self.sizes_of(a)[0]

    def sizes_of(self, *packed: Array, beside: Array | None = None) -> list[np.ndarray]:
        """Return `sizes` of several that were packed, and of one that was not, by one copy from a device."""
        others = () if beside is None else (beside,)
        if not self.complex and not self._units:
            return list(sizes_of(*packed, *others))
        each = len(self._parts(packed[0]))
        found = sizes_of(*(part for a in packed for part in self._parts(a)), *others)
        own = [np.concatenate(found[k * each : (k + 1) * each]) * 2.0**self._powers for k in range(len(packed))]
        return [*own, *found[each * len(packed) :]]

    def _parts(self, a: Array) -> list[Array]:
        n = self._unknowns
        return [a[:, :n], a[:, n:]] if self.complex else [a]


def inner(a: Array, b: Array) -> Array:
    """Return the inner products of real rows, of shape (samples, 1)."""
    if isinstance(a, np.ndarray):
        return np.einsum("ij,ij->i", a, b)[:, None]
    return namespace(a).sum(a * b, axis=1, keepdims=True)


def to_rows(values: np.ndarray, like: Array) -> Array:
    """Return one host number or truth per sample as an array of shape (samples, 1) beside real rows."""
    column = values[:, None]
    if column.dtype == bool:
        return column if isinstance(like, np.ndarray) else backend_of(like).from_host(column)
    return backend_of(like).from_host(column, dtype_name(like))


def pick(rows: np.ndarray, a: Array, b: Array) -> Array:
    """Return the rows of `a` where a host mask says so, else those of `b`; one of the two if it is all of it."""
    if rows.all():
        return a
    if not rows.any():
        return b
    return namespace(a).where(to_rows(rows, a), a, b)
