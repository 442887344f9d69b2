"""What a law check reports: both sides, the scale, and the seed that draws the case again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import dtype_name, to_host

__all__ = ["Finding", "LawError", "Report", "compare", "equal", "seeded", "skipped", "tolerance"]

_UNITS = 64.0


class LawError(AssertionError):
    """A law is broken; the message is the report."""


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes
    ----------
    law : str
        The law that was checked, in words.
    left, right : object
        Both sides at the worst entry.
    error, allowed : float
        |left − right| and the tolerance, 64 · eps · scale unless the law says otherwise.
    scale : float
        Sum of the absolute values that entered the expression.
    note : str
        Where it was, or why it was not checked.
    checked : bool
        False where the law does not apply.
    """

    law: str
    left: Any
    right: Any
    error: float
    allowed: float
    scale: float
    note: str = ""
    checked: bool = True

    @property
    def ok(self) -> bool:
        """Whether the law held; a NaN never does."""
        return not self.checked or self.error <= self.allowed

    def __str__(self) -> str:
        if not self.checked:
            return f"  -     {self.law}: not checked, {self.note}"
        word = "ok    " if self.ok else "BROKEN"
        line = f"  {word} {self.law}: error {self.error:.3g}, allowed {self.allowed:.3g}"
        if self.ok:
            return line
        where = f" at {self.note}" if self.note else ""
        return f"{line}\n         left {self.left!r}, right {self.right!r}{where}, scale {self.scale:.3g}"


@dataclass(frozen=True)
class Report:
    """The findings of one check.

    Attributes
    ----------
    subject : str
        What was checked.
    seed : int
        Pass it as `rng` to draw the same case again.
    findings : tuple of Finding
    """

    subject: str
    seed: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every law held."""
        return all(f.ok for f in self.findings)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(f for f in self.findings if not f.ok)

    def __str__(self) -> str:
        verdict = f"all {len(self.findings)} hold" if self.ok else f"{len(self.broken)} of {len(self.findings)} BROKEN"
        return "\n".join([f"{self.subject}: {verdict} (rng={self.seed})", *map(str, self.findings)])

    def demand(self) -> Report:
        """Return the report itself if every law held.

        Raises
        ------
        LawError
            Otherwise; the message lists the broken laws with seed, both sides and scale.
        """
        if not self.ok:
            lines = [f"{self.subject}: {len(self.broken)} laws broken (rng={self.seed})", *map(str, self.broken)]
            raise LawError("\n".join(lines))
        return self


def seeded(rng: Any) -> tuple[int, np.random.Generator]:
    """Return a printable seed and its generator, from a seed, a Generator or None."""
    if isinstance(rng, np.random.Generator):
        rng = int(rng.integers(2**32))
    elif rng is None:
        rng = int(np.random.SeedSequence().entropy) % 2**32  # type: ignore[arg-type]
    return int(rng), np.random.default_rng(rng)


def tolerance(dtype: str, scale: Any) -> Any:
    """Return the one rule: 64 · eps(dtype) · scale, with the smallest normal number as its floor."""
    info = np.finfo(np.dtype(dtype))
    return _UNITS * (float(info.eps) * scale + float(info.tiny))


def compare(law: str, left: Any, right: Any, scale: Any, dtype: str | None = None, allowed: Any = None) -> Finding:
    """Compare two arrays entry by entry against a scale of the same shape, or a scalar one.

    Parameters
    ----------
    law : str
    left, right : arrays or scalars, on any device
    scale : array or float
    dtype : str, optional
        Whose eps counts; by default that of `left`.
    allowed : array or float, optional
        The tolerance, where it is not the one rule.
    """
    a, b = (np.asarray(to_host(x) if hasattr(x, "dtype") else x) for x in (left, right))
    if a.shape != b.shape:
        return Finding(law, a.shape, b.shape, float("inf"), 0.0, 0.0, "the shapes")
    s = np.broadcast_to(np.asarray(scale, dtype=float), a.shape)
    limit = (
        tolerance(dtype or (dtype_name(a) if a.dtype.kind in "fc" else "float64"), s) if allowed is None else allowed
    )
    limit = np.broadcast_to(np.asarray(limit, dtype=float), a.shape)
    if not a.size:
        return Finding(law, None, None, 0.0, 0.0, 0.0, "no entries")
    with np.errstate(all="ignore"):
        error = np.abs(a - b)
        ratio = error / np.maximum(limit, np.finfo(float).tiny)
    excess = np.where(np.isnan(ratio), np.inf, ratio)
    worst = np.unravel_index(int(np.argmax(excess)), a.shape)
    place = f"entry {tuple(int(k) for k in worst)}" if a.ndim else ""
    return Finding(
        law, a[worst].item(), b[worst].item(), float(error[worst]), float(limit[worst]), float(s[worst]), place
    )


def equal(law: str, left: Any, right: Any) -> Finding:
    """Demand that two plain values, or two host arrays, are the same; of arrays the first difference is shown."""
    note = ""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        differ = np.argwhere(left != right) if left.shape == right.shape else None
        if differ is None:
            left, right = left.shape, right.shape
        elif differ.size:
            place = tuple(int(k) for k in differ[0])
            left, right, note = left[place].item(), right[place].item(), f"entry {place}, and {len(differ) - 1} more"
        else:
            left = right = f"array of shape {left.shape}"
    return Finding(law, left, right, 0.0 if left == right else float("inf"), 0.0, 0.0, note)


def skipped(law: str, why: str) -> Finding:
    """Return a finding that says why a law does not apply."""
    return Finding(law, None, None, 0.0, 0.0, 0.0, why, checked=False)
