"""Independence, and sums of machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, to_host
from .endofunction import Endofunction
from .sequences import resolvent

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
    tolerance: float = 1e-9,
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
        Where to look; by default `trials` normal ones in float64.
    tolerance : float
        What counts as zero, relative to the values; 0 for exact arithmetic.

    Raises
    ------
    TypeError
        Another method; "structure" for a bare function.
    ValueError
        Two spaces.

    Notes
    -----
    The structure is sufficient, the other two are necessary, and random points almost surely sufficient for
    analytic maps (arXiv:2204.12786, Definition 4, eq. (6)). f1 f2 = 0 is not enough: f1(x) = x − 3, f2 = 3.
    """
    if method not in _METHODS:
        raise TypeError(f"method={method!r} is unknown; one of {', '.join(_METHODS)}")
    if f1.sizes != f2.sizes:
        raise ValueError(f"{f1!r} and {f2!r} are of two spaces; independence is a relation on one")
    if method == "structure":
        if f1.edges is None or f2.edges is None:
            raise TypeError(f"{f1!r} and {f2!r} are not both made of edges; use method='points' or 'derivative'")
        written = {t for e in f2.edges for t in e.targets}
        return not any(written.intersection(e.sources) for e in f1.edges)
    rng = np.random.default_rng(rng)
    given = list(points) if points is not None else [rng.normal(size=f1.dimension) for _ in range(trials)]
    for x1, x2 in zip(given, given[1:] + given[:1], strict=True):
        step = f2(x2)
        if method == "derivative":
            moved, base = f1.jvp(x1, step), f1.jvp(x1, x1)
        else:
            factor = int(rng.integers(1, 4)) * int(rng.choice([-1, 1]))
            base = f1(x1)
            moved = f1(x1 + factor * step) - base
        if not _small(moved, base, x1, step, tolerance):
            return False
    return True


def _small(moved: Array, base: Array, x: Array, step: Array, tolerance: float) -> bool:
    sizes = [abs(to_host(a)).max(initial=0) if not isinstance(a, np.ndarray) else np.abs(a).max(initial=0)
             for a in (moved, base, x, step)]  # fmt: skip
    allowed: Any = tolerance * (1 + sum(float(s) for s in sizes[1:])) if tolerance else 0
    return bool(sizes[0] <= allowed)


def sum_order(f1: Endofunction, f2: Endofunction, **options: Any) -> str:
    """Return which of two machines may run first: "first", "second", "either", or "none".

    "first": f1 does not depend on f2, so that R_{f1+f2} = R_{f2} R_{f1}; "either": neither depends on the other.

    Parameters
    ----------
    **options
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
    """
    order = sum_order(f1, f2, **options)
    if order == "either":
        return resolvent(f1, x0) + resolvent(f2, x0) - x0
    if order == "first":
        return resolvent(f2, resolvent(f1, x0))
    if order == "second":
        return resolvent(f1, resolvent(f2, x0))
    raise ValueError(
        f"{f1.name} and {f2.name} depend on each other; take the resolvent of their sum, if it is a machine"
    )
