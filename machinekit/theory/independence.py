"""Independence, and sums of machines."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import Array, dtype_name, to_host
from ..machines.build import read_generator
from .checks import check_finite, listed, whole
from .common import check_one_space, common_like
from .endofunction import Endofunction, check_endofunction
from .sequences import resolvent
from .subspaces import draw

__all__ = ["is_independent", "resolvent_of_sum", "sum_order"]

_METHODS = ("structure", "points", "derivative")


def is_independent(
    f1: Endofunction,
    f2: Endofunction,
    *,
    method: str = "points",
    points: Sequence[Array] | None = None,
    trials: int = 12,
    rng: np.random.Generator | int = 0,
    tolerance: float | None = None,
) -> bool:
    """Tell whether f1 does not depend on f2: f1(x1 + λ f2(x2)) = f1(x1) for all x1, x2 and numbers λ.

    Parameters
    ----------
    f1, f2 : Endofunction
        Of the same space.
    method : {"points", "derivative", "structure"}
        The identity at random x1, x2, λ; the derivative Df1(x1) f2(x2) = 0 there; or that no edge of f1 reads
        a space to which an edge of f2 writes.
    points : sequence of vectors, optional
        Where to look, at least 2: each is x1, the next one x2. By default `trials` normal ones, of the library
        and dtype of f1's or f2's `like`.
    trials : int
        At least 2.
    tolerance : float, optional
        What counts as zero, relative to f1 at the points, the size of f2 being taken out; by default 1e-9 in
        double precision, 1e-4 in single, 0 in exact arithmetic.

    Raises
    ------
    TypeError
        Another method; "structure" for a bare function; what is no endofunction, or no array.
    ValueError
        Two spaces; fewer than 2 points, or one that is not finite; a negative tolerance.

    Notes
    -----
    The structure is sufficient, the other two are necessary, and random points almost surely sufficient for
    analytic maps (arXiv:2204.12786, Definition 4, eq. (6)). f1 f2 = 0 is not enough: f1(x) = x − 3, f2 = 3.
    """
    if method not in _METHODS:
        raise TypeError(f"method={method!r} is unknown; one of {', '.join(_METHODS)}")
    check_endofunction("f1", f1)
    check_endofunction("f2", f2)
    check_one_space(f1, f2)
    if tolerance is not None and (isinstance(tolerance, bool) or not isinstance(tolerance, Real)):
        raise TypeError(f"tolerance is {tolerance!r}; give a number that is not negative, or None")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; give a number that is not negative, or None")
    if method == "structure":
        if f1.edges is None or f2.edges is None:
            raise TypeError(f"{f1!r} and {f2!r} are not both made of edges; use method='points' or 'derivative'")
        written = {t for e in f2.edges for t in e.targets}
        return not any(written.intersection(e.sources) for e in f1.edges)
    rng = read_generator(rng)
    like, trials = common_like(f1, f2), whole("trials", trials, 2)
    given = (
        [draw(like, f1.dimension, rng) for _ in range(trials)]
        if points is None
        else listed("points", points, "vectors")
    )
    if len(given) < 2:
        raise ValueError(f"points has {len(given)}; independence is about pairs of points, give at least 2")
    for k, x in enumerate(given):
        f1.check(f"points[{k}]", x)
        check_finite(f"points[{k}]", x)
    look = _by_derivative if method == "derivative" else _by_difference
    return all(look(f1, x1, x2, f2(x2), rng, tolerance) for x1, x2 in zip(given, given[1:] + given[:1], strict=True))


def _by_derivative(f1: Endofunction, x1: Array, x2: Array, step: Array, rng: Any, tolerance: float | None) -> bool:
    """Df1(x1) f2(x2) = 0, beside Df1(x1) along the points themselves."""
    return _small(f1.jvp(x1, _unit(step, x1)), (f1.jvp(x1, x1), f1.jvp(x1, x2)), tolerance)


def _by_difference(f1: Endofunction, x1: Array, x2: Array, step: Array, rng: Any, tolerance: float | None) -> bool:
    """f1(x1 + λ f2(x2)) = f1(x1) for a λ of either sign, beside f1 at the points."""
    factor = int(rng.integers(1, 4)) * int(rng.choice([-1, 1]))
    base = f1(x1)
    return _small(f1(x1 + factor * _unit(step, x1)) - base, (base, f1(x2)), tolerance)


def _unit(step: Array, x: Array) -> Array:
    """Return f2(x2) as large as x1: λ is any number, and what is lost in rounding would pass for zero."""
    if _exact(step):
        return step
    size = _largest(step)
    return step * (max(_largest(x), 1.0) / size) if 0 < size < float("inf") else step


def _exact(a: Array) -> bool:
    return to_host(a).dtype.kind not in "fc"


def _largest(a: Array) -> float:
    return float(abs(to_host(a)).max(initial=0))


def _small(moved: Array, beside: tuple[Array, ...], tolerance: float | None) -> bool:
    if tolerance is None:
        tolerance = 0.0 if _exact(moved) else 1e-4 if dtype_name(moved) in ("float32", "complex64") else 1e-9
    return _largest(moved) <= (tolerance * sum(map(_largest, beside)) if tolerance else 0.0)


def sum_order(f1: Endofunction, f2: Endofunction, **options: Any) -> str:
    """Return which of two machines may run first: "first", "second", "either", or "none".

    "first": f1 does not depend on f2, so that R_{f1+f2} = R_{f2} R_{f1}; "either": neither depends on the other.

    Parameters
    ----------
    **options
        As `is_independent`.

    Raises
    ------
    TypeError, ValueError
        As `is_independent`.
    """
    one, other = is_independent(f1, f2, **options), is_independent(f2, f1, **options)
    return {(True, True): "either", (True, False): "first", (False, True): "second", (False, False): "none"}[one, other]


def resolvent_of_sum(f1: Endofunction, f2: Endofunction, x0: Array, **options: Any) -> Array:
    """Return R_{f1+f2}(x0) from the resolvents of the parts.

    R_{f2} R_{f1} x0 if f1 does not depend on f2 (the independent one first), R_{f1} x0 + R_{f2} x0 − x0 if
    neither depends on the other (arXiv:2204.12786, Theorem 2).

    Raises
    ------
    ValueError
        If each depends on the other: their sum need not be a machine.
    TypeError, ValueError
        As `is_independent`, and for an x0 that is no vector of the space.
    """
    check_endofunction("f1", f1)
    f1.check("x0", x0)
    order = sum_order(f1, f2, **options)
    if order == "either":
        return resolvent(f1, x0) + resolvent(f2, x0) - x0
    if order == "first":
        return resolvent(f2, resolvent(f1, x0))
    if order == "second":
        return resolvent(f1, resolvent(f2, x0))
    raise ValueError(
        f"f1, {f1!r}, and f2, {f2!r}, depend on each other; take the resolvent of their sum, if it is a machine"
    )
