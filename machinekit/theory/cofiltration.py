"""Depth cofiltrations: X ⊇ V_0 ⊇ V_1 ⊇ … ⊇ V_d = 0, seen through the quotients X/V_i."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, to_host
from ..machines.build import read_generator
from ..testing.report import Finding
from .checks import check_finite, columns, listed, whole
from .endofunction import Endofunction, check_endofunction
from .subspaces import annihilator, contains, exact, is_exact, span

__all__ = ["Cofiltration", "check_cofiltration", "image_span", "lowers", "tighten"]

_TOLERANCE = 1e-7
"""How far a vector may be outside a subspace, relative to its size, in double precision; 1e-3 in single."""


class Cofiltration:
    """A decreasing flag of subspaces X ⊇ V_0 ⊇ … ⊇ V_d = 0, and so a tower of quotients X/V_d → … → X/V_0.

    Parameters
    ----------
    bases : sequence of arrays of shape (n, dim V_i)
        Columns span V_0, V_1, …, V_d; the last has none. Integers and fractions are kept exact.

    Raises
    ------
    ValueError
        If a subspace is not inside the one before it, the last is not 0, or a basis has not two axes.

    Notes
    -----
    It is a *depth* cofiltration of f if Im f ⊆ V_0 and f lowers to maps X/V_{i−1} → X/V_i: f(x) modulo V_i
    depends on x modulo V_{i−1} only (arXiv:2204.12786, Definition 3).
    """

    def __init__(self, bases: Sequence[np.ndarray]) -> None:
        self.bases = tuple(columns(f"bases[{i}]", b) for i, b in enumerate(listed("bases", bases, "bases")))
        if not self.bases:
            raise ValueError("bases is empty; give at least V_0 = 0, an array of shape (n, 0)")
        self.dimension = self.bases[0].shape[0]
        for i, (outer, inner) in enumerate(zip(self.bases, self.bases[1:], strict=False)):
            if inner.shape[0] != self.dimension:
                raise ValueError(
                    f"V_{i + 1} is in {inner.shape[0]} dimensions, V_0 in {self.dimension}; give one space"
                )
            if contains(outer, inner) > _TOLERANCE:
                raise ValueError(f"V_{i + 1} is not inside V_{i}; a cofiltration decreases")
        if self.bases[-1].shape[1] and span(self.bases[-1]).shape[1]:
            raise ValueError(f"the last subspace has dimension {span(self.bases[-1]).shape[1]}; end with V_d = 0")

    @classmethod
    def of_index_sets(cls, sets: Sequence[Iterable[int]], dimension: int) -> Cofiltration:
        """Return the flag of an ordered partition J_0 ⊔ … ⊔ J_d of the coordinates: V_i = span of J_{i+1} ⊔ … ⊔ J_d.

        Raises
        ------
        ValueError
            If the sets do not partition 0, …, dimension − 1.
        TypeError
            For what is no whole number.
        """
        dimension = whole("dimension", dimension, 0)
        lists = [
            [whole(f"sets[{i}]", k, 0) for k in listed(f"sets[{i}]", s, "whole numbers")]
            for i, s in enumerate(listed("sets", sets, "sets of whole numbers"))
        ]
        if sorted(k for s in lists for k in s) != list(range(dimension)):
            raise ValueError(f"sets must hold each of 0 … {dimension - 1} exactly once; they hold {lists}")
        eye = np.eye(dimension)
        later = [[k for s in lists[i + 1 :] for k in s] for i in range(max(len(lists), 1))]
        return cls([eye[:, columns] for columns in later])

    @property
    def length(self) -> int:
        """d, the number of maps X/V_{i−1} → X/V_i."""
        return len(self.bases) - 1

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Dimensions of V_0, …, V_d."""
        return tuple(span(b).shape[1] for b in self.bases)

    def __repr__(self) -> str:
        return f"Cofiltration({self.dimension} ⊇ {' ⊇ '.join(map(str, self.dimensions))})"

    def dual(self) -> Cofiltration:
        """Return the cofiltration of the dual space: the annihilators, in reverse order.

        If this one serves all derivatives of f, that serves all their transposes, with the same length
        (arXiv:2204.12786, Proposition 3).
        """
        zero = annihilator(np.eye(self.dimension)) if not is_exact(self.bases[0]) else self.bases[-1]
        return Cofiltration([*(annihilator(b) for b in reversed(self.bases[:-1])), zero])

    def distinct(self) -> Cofiltration:
        """Return the same flag with repeated subspaces left out."""
        kept = [self.bases[0]]
        kept += [b for a, b in zip(self.bases, self.bases[1:], strict=False) if span(a).shape[1] > span(b).shape[1]]
        return Cofiltration(kept)


def lowers(
    f: Endofunction,
    outer: np.ndarray,
    inner: np.ndarray,
    points: Sequence[Array],
    rng: np.random.Generator | int = 0,
    *,
    by: str = "differences",
) -> Finding:
    """Check whether f lowers to a map X/U → X/V: f(x) modulo V depends on x modulo U only.

    Parameters
    ----------
    outer, inner : arrays of shape (n, dim)
        Bases of U and V.
    points : sequence of vectors
        Where to look.
    by : {"differences", "derivative"}
        f(x + u) − f(x) ∈ V for random u ∈ U, or Df(x) U ⊆ V: equivalent for all x (arXiv:2204.12786,
        Proposition 5).

    Returns
    -------
    Finding
        Its error is the distance from V relative to the size of what should be in it.

    Raises
    ------
    TypeError
        For another `by`, or what is no endofunction.
    ValueError
        Without points; for points or bases of another space.
    """
    points = _points(f, points, by)
    outer, inner = (columns(name, b, f.dimension) for name, b in (("outer", outer), ("inner", inner)))
    rng = read_generator(rng)
    images, scale = [], 0.0
    for x in points:
        scale = max(scale, _norm(f(x)))
        for mix in _mixes(outer.shape[1], rng):
            u = _like(outer @ mix, x)
            images.append(to_host(f(x + u) - f(x) if by == "differences" else f.jvp(x, u)))
    return _within(f"f lowers, by {by}", inner, images, scale)


def check_cofiltration(
    f: Endofunction, cofiltration: Cofiltration, points: Sequence[Array], rng: np.random.Generator | int = 0,
    *, by: str = "differences",
) -> list[Finding]:  # fmt: skip
    """Check Definition 3 at points: Im f ⊆ V_0, and f lowers to X/V_{i−1} → X/V_i for i = 1 … d.

    Parameters
    ----------
    cofiltration : Cofiltration
    points : sequence of vectors
        Where to look.
    by : {"differences", "derivative"}
        As `lowers`; "derivative" asks for Im Df(x) ⊆ V_0 also, and so does not see constants.

    Returns
    -------
    list of Finding

    Raises
    ------
    TypeError
        For another `by`, or what is no endofunction or cofiltration.
    ValueError
        Without points; for points or a cofiltration of another space.
    """
    points = _points(f, points, by)
    if not isinstance(cofiltration, Cofiltration):
        raise TypeError(f"cofiltration is {cofiltration!r}; make it one, as in Cofiltration([basis of V_0, …])")
    if cofiltration.dimension != f.dimension:
        raise ValueError(
            f"the cofiltration is of {cofiltration.dimension} dimensions, f of {f.dimension}; give one space"
        )
    images = [to_host(f(x)) for x in points]
    if by == "derivative":
        units = np.eye(f.dimension, dtype=int)
        images = [to_host(f.jvp(x, _like(v, x))) for x in points for v in units]
    findings = [_within("Im f ⊆ V_0", cofiltration.bases[0], images)]
    pairs = zip(cofiltration.bases, cofiltration.bases[1:], strict=False)
    for i, (outer, inner) in enumerate(pairs, 1):
        found = lowers(f, outer, inner, points, rng, by=by)
        findings.append(Finding(f"f lowers to X/V_{i - 1} → X/V_{i}", *_rest(found)))
    return findings


def image_span(f: Endofunction, points: Sequence[Array]) -> np.ndarray:
    """Return a basis of the span of f at the points.

    Raises
    ------
    TypeError, ValueError
        Without points, or for points of another space; for points or images that are not finite.
    """
    return span(np.stack(_images(f, _points(f, points)), axis=1))


def tighten(f: Endofunction, points: Sequence[Array], rng: np.random.Generator | int = 0) -> Cofiltration:
    """Return the least depth cofiltration of f, as far as the points tell: inside any other, and none is shorter.

    V_0 is the span of Im f, V_i the span of all f(x + v) − f(x) with v ∈ V_{i−1}.

    Parameters
    ----------
    points : sequence of vectors
        At least as many as there are dimensions, in general position.

    Raises
    ------
    TypeError
        If f is no endofunction, or a point no array.
    ValueError
        If the subspaces do not come down to 0: f has no finite depth. For too few points, or of another space.

    Notes
    -----
    A cofiltration of f may always be replaced by a smaller one (arXiv:2204.12786, Remark 1).
    """
    points = _points(f, points, least=max(f.dimension, 1) if isinstance(f, Endofunction) else 1)
    rng = read_generator(rng)
    bases = [image_span(f, points)]
    scale = max(_norm(f(x)) for x in points)
    while bases[-1].shape[1]:
        outer = bases[-1]
        moved = [to_host(f(x + _like(outer @ m, x)) - f(x)) for x in points for m in _mixes(outer.shape[1], rng)]
        inner = span(np.stack(moved, axis=1), scale)
        if inner.shape[1] >= outer.shape[1]:
            raise ValueError(
                f"the images stay in {inner.shape[1]} dimensions; f has no finite depth, so no cofiltration"
            )
        bases.append(inner)
    return Cofiltration(bases)


def _points(f: Endofunction, points: Sequence[Array], by: str = "differences", least: int = 1) -> list[Array]:
    if by not in ("differences", "derivative"):
        raise TypeError(f"by={by!r} is unknown; 'differences' or 'derivative'")
    check_endofunction("f", f)
    given = listed("points", points, "vectors")
    for k, x in enumerate(given):
        f.check(f"points[{k}]", x)
        check_finite(f"points[{k}]", x)
    if len(given) < least:
        raise ValueError(f"points has {len(given)} vectors; give at least {least}, in general position")
    return given


def _images(f: Endofunction, points: list[Array]) -> list[np.ndarray]:
    found = [to_host(f(x)) for x in points]
    for k, image in enumerate(found):
        check_finite(f"f(points[{k}])", image)
    return found


def _mixes(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw coefficients of vectors that span what the basis spans: unit upper triangular."""
    return list(np.triu(rng.integers(-2, 3, (count, count)), 1) + np.eye(count, dtype=int))


def _norm(x: Array) -> float:
    return float(np.linalg.norm(to_host(x).astype(complex)))


def _like(v: np.ndarray, x: Array) -> Array:
    """Return a host vector in the dtype and on the device of another; floats are fractions, exactly."""
    if isinstance(x, np.ndarray) and is_exact(x):
        return v if is_exact(v) else exact([Fraction(float(n)) for n in v])
    return backend_of(x).from_host(v.astype(to_host(x).dtype))


def _within(law: str, basis: np.ndarray, vectors: list[np.ndarray], scale: float = 0.0) -> Finding:
    if not vectors:
        return Finding(law, 0.0, 0.0, 0.0, _TOLERANCE, 1.0)
    stacked = np.stack(vectors, axis=1)
    lost = stacked.dtype.kind in "fc" and not np.isfinite(stacked).all()  # f overflows: no subspace holds that
    error = float("inf") if lost else contains(basis, stacked, scale)
    allowed = 1e-3 if stacked.dtype.name in ("float32", "complex64") else _TOLERANCE
    return Finding(law, error, 0.0, error, allowed, 1.0)


def _rest(found: Finding) -> tuple[Any, ...]:
    return found.left, found.right, found.error, found.allowed, found.scale
