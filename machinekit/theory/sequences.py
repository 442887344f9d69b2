"""Depth sequences: how the resolvent is reached in finitely many steps, from any start, at which cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, astype, to_host
from .checks import check_finite, whole
from .edge import Edge
from .endofunction import Endofunction, check_endofunction
from .graphs import is_schedule, levels, read_groups, space_levels

__all__ = ["STRATEGIES", "DepthSequence", "depth_sequence", "lifted_depth_sequence", "resolvent", "transient_profile"]

STRATEGIES = ("source", "target", "changed", "full")


@dataclass(frozen=True)
class DepthSequence:
    """The values h_0, h_1, …, h_d, and what they cost.

    Attributes
    ----------
    values : tuple of vectors
    evaluations : tuple of Counter
        For each step, how often each edge was evaluated; empty for an f without edges.
    """

    values: tuple[Array, ...]
    evaluations: tuple[Counter, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.values) - 1

    @property
    def last(self) -> Array:
        return self.values[-1]

    @property
    def increments(self) -> tuple[Array, ...]:
        """h_{i+1} − h_i for each step."""
        return tuple(b - a for a, b in zip(self.values, self.values[1:], strict=False))

    @property
    def edge_evaluations(self) -> int:
        """Edge evaluations of all steps together."""
        return sum(sum(c.values()) for c in self.evaluations)

    @property
    def per_edge(self) -> Counter:
        """Evaluations of each edge."""
        return sum(self.evaluations, Counter())


def _same(a: Array, b: Array) -> bool:
    return bool((to_host(a) == to_host(b)).all())


def _finite(a: Array) -> bool:
    host = to_host(a)
    return host.dtype.kind not in "fc" or bool(np.isfinite(host).all())


def _begin(f: Endofunction, g: Array, start: Array | None) -> Array:
    """Return h_0 = g + φ, which shares no memory with g."""
    check_endofunction("f", f)
    _check(f, g=g)
    if start is None:
        return astype(g)
    _check(f, start=start)
    return g + start


def _check(f: Endofunction, **given: Any) -> None:
    for name, x in given.items():
        f.check(name, x)
        check_finite(name, x)


def depth_sequence(
    f: Endofunction, g: Array, start: Array | None = None, *, steps: int | None = None, most: int = 10_000
) -> DepthSequence:
    """Iterate h_0 = g + φ, h_{i+1} = g + f(h_i).

    Parameters
    ----------
    g : vector
        The input x0.
    start : vector, optional
        φ, by default 0; for any φ ∈ V_0 of a depth cofiltration of length d, h_d is the solution exactly
        (arXiv:2204.12786, Theorem 1 and Proposition 4).
    steps : int, optional
        By default until two values in a row are bitwise equal; the last one is then left out.
    most : int
        Steps after which to give up.

    Raises
    ------
    ValueError
        If nothing stands still after `most` steps, or what stands still is not finite; for a vector that is not
        finite, or of another shape.
    TypeError
        For what is no array, no endofunction, or no whole number.
    """
    values = [_begin(f, g, start)]
    for _ in range(whole("most", most, 0) + 1 if steps is None else whole("steps", steps, 0)):
        new = g + f(values[-1])
        if steps is None and not _finite(new):
            raise ValueError(
                f"h_{len(values)} is not finite, {to_host(new)}; f must be of finite depth, and small enough not to "
                "overflow"
            )
        if steps is None and _same(new, values[-1]):
            return _counted(f, values)
        values.append(new)
    if steps is None:
        raise ValueError(f"the iteration has not stood still after {most} steps; f may have no finite depth")
    return _counted(f, values)


def _counted(f: Endofunction, values: list[Array]) -> DepthSequence:
    each = () if f.edges is None else tuple(Counter(e.name for e in f.edges) for _ in values[1:])
    return DepthSequence(tuple(values), each)


def lifted_depth_sequence(
    f: Endofunction,
    g: Array,
    strategy: str = "source",
    *,
    start: Array | None = None,
    schedule: Sequence[Iterable[str]] | None = None,
) -> DepthSequence:
    """Reach the solution by lifts h_{i+1} = h_i + f_{i+1}(h_i) of the edges, f = Σ f_i, or by evaluating f anew.

    Parameters
    ----------
    f : Endofunction
        A sum of edges without a cycle.
    g : vector
        The input, with its own component on every space.
    strategy : {"source", "target", "changed", "full"}
        "source" and "target" evaluate each edge once: as soon as what it reads is final, or when its target
        must be. "full" evaluates all edges at every step, "changed" those whose input the last step changed.
    start : vector, optional
        φ of h_0 = g + φ, for "full" and "changed"; 0 on the spaces that no edge writes to, so that φ ∈ V_0.
    schedule : sequence of groups of edge names, optional
        f_1, f_2, … instead of a strategy, each edge once.

    Raises
    ------
    TypeError
        For another strategy, or one beside a schedule, or a start where each edge is evaluated once.
    ValueError
        If there is a cycle, or the schedule reads what is not final; for a vector of another shape, or a start
        that is not in V_0.

    Notes
    -----
    The sequence after Theorem 2 of arXiv:2204.12786, there misprinted as h_{i+1} = h_i + f_i h_i.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.theory import lifted_depth_sequence, shortcut_graph
    >>> f = shortcut_graph(5)
    >>> [lifted_depth_sequence(f, np.ones(5), s).edge_evaluations for s in ("source", "changed", "full")]
    [10, 20, 40]
    """
    if strategy not in STRATEGIES:
        raise TypeError(f"strategy={strategy!r} is unknown; one of {', '.join(STRATEGIES)}")
    if schedule is not None and strategy != "source":
        raise TypeError(f"strategy={strategy!r} and a schedule are given; a schedule stands instead, leave one out")
    check_endofunction("f", f)
    _check(f, g=g)
    once = schedule is not None or strategy in ("source", "target")
    if once and start is not None:
        raise TypeError("start is for the strategies 'full' and 'changed'; evaluated once, each edge needs φ = 0")
    if schedule is not None:
        groups = read_groups("schedule", schedule)
        if not is_schedule(f, groups):
            raise ValueError(
                f"schedule {groups} is none: every edge once, after all that writes what it reads; the edges are "
                f"{[e.name for e in f.edges or ()]}"
            )
        return _once(f, g, groups)
    if once:
        return _once(f, g, levels(f, "earliest" if strategy == "source" else "latest"))
    level = space_levels(f)
    begun = _begin(f, g, start)
    for name, part in ({} if start is None else f.split(start)).items():
        if not level[name] and to_host(part).any():
            raise ValueError(f"start is not 0 on {name!r}, which no edge writes to; give a φ that is, so that φ ∈ V_0")
    return _again(f, g, begun, max(level.values()), strategy == "full")


def _once(f: Endofunction, g: Array, groups: Sequence[tuple[str, ...]]) -> DepthSequence:
    by_name = {e.name: e for e in f.edges or ()}
    values, counts = [astype(g)], []
    for group in groups:
        parts = f.split(values[-1])
        new = dict(parts)
        for name in group:
            for target, image in by_name[name].images(parts).items():
                new[target] = new[target] + image
        values.append(f.join(new))
        counts.append(Counter(group))
    return DepthSequence(tuple(values), tuple(counts))


def _again(f: Endofunction, g: Array, start: Array, depth: int, everything: bool) -> DepthSequence:
    edges: tuple[Edge, ...] = f.edges or ()
    values, counts, kept = [start], [], {}
    due = edges
    for _ in range(depth):
        parts = f.split(values[-1])
        kept.update({e.name: e.images(parts) for e in due})
        new = f.split(g)
        for images in kept.values():
            for target, image in images.items():
                new[target] = new[target] + image
        values.append(f.join(new))
        counts.append(Counter(e.name for e in due))
        written = {t for e in due for t in e.targets}
        due = edges if everything else tuple(e for e in edges if written.intersection(e.sources))
    return DepthSequence(tuple(values), tuple(counts))


def resolvent(f: Endofunction, x0: Array) -> Array:
    """Return R_f(x0), the solution of x = f(x) + x0, by as few steps as the depth of f.

    Raises
    ------
    TypeError
        If f is no endofunction, or x0 no array.
    ValueError
        If f has no finite depth; for a vector of another shape.
    """
    check_endofunction("f", f)
    _check(f, x0=x0)
    if f.edges is not None:
        return lifted_depth_sequence(f, x0).last
    return depth_sequence(f, x0).last


def transient_profile(f: Endofunction, x0: Array, start: Array) -> tuple[float, ...]:
    """Return the largest error after each step from h_0 = x0 + φ: it may grow before it vanishes, after d steps.

    Raises
    ------
    TypeError, ValueError
        As `depth_sequence`.
    """
    check_endofunction("f", f)
    _check(f, x0=x0, start=start)
    sequence = depth_sequence(f, x0, start)
    solution = to_host(depth_sequence(f, x0).last)
    return tuple(float(abs(to_host(h) - solution).max(initial=0.0)) for h in sequence.values)
