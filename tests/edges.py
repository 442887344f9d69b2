"""Hypothesis draws sums of edges; what they solve, how deep they are and what they cost is found by brute force.

Nothing here is shared with `machinekit.theory`: the solution is substituted space by space, and levels and
counts come from listing the lengths of all paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from machinekit import theory
from machinekit.arrays import namespace


def fractions(array) -> np.ndarray:
    """Integers as an object array of fractions."""
    out = np.empty(np.shape(array), dtype=object)
    for index, value in np.ndenumerate(np.asarray(array)):
        out[index] = Fraction(int(value))
    return out


@dataclass(frozen=True)
class Graph:
    """Spaces 0, 1, …, and edges as pairs of sources and targets, every source before every target."""

    sizes: tuple
    edges: tuple
    seed: int

    @property
    def names(self) -> list:
        return [f"x{k}" for k in range(len(self.sizes))]

    @property
    def signatures(self) -> list:
        return [" -> ".join(" ".join(f"x{k}" for k in side) for side in edge).strip() for edge in self.edges]

    @property
    def written(self) -> set:
        return {t for _, targets in self.edges for t in targets}

    @cached_property
    def numbers(self) -> list:
        """For each edge and target: a matrix for each source, and a constant; positive, so that nothing cancels."""
        rng = np.random.default_rng(self.seed)

        def draw(*shape):
            return rng.integers(1, 4, shape)

        return [[([draw(self.sizes[t], self.sizes[s]) for s in reads], draw(self.sizes[t])) for t in writes]
                for reads, writes in self.edges]  # fmt: skip

    def functions(self, convert, wrap):
        """One function per edge: of a row W and a constant c, wrap(Σ W x + c)."""

        def one(rows):
            rows = [([convert(w) for w in ws], convert(c)) for ws, c in rows]

            def function(*xs):
                out = []
                for ws, c in rows:
                    total = c
                    for w, x in zip(ws, xs, strict=True):
                        total = total + w @ x
                    out.append(wrap(total))
                return tuple(out)

            return function

        return [one(rows) for rows in self.numbers]

    def on(self, backend, dtype="float64") -> theory.Endofunction:
        """tanh of affine maps, on a backend."""
        home = {"like": backend.from_host(np.zeros(1, dtype))}
        functions = self.functions(lambda a: backend.from_host((a / 6).astype(dtype)), lambda a: namespace(a).tanh(a))
        return self._made(functions, **home)

    def exact(self) -> theory.Endofunction:
        """t + t² of affine maps, in fractions."""
        return self._made(self.functions(fractions, lambda t: t + t * t), like=fractions([0]))

    def _made(self, functions, **home):
        pairs = list(zip(self.signatures, functions, strict=True))
        return theory.Endofunction.of_edges(dict(zip(self.names, self.sizes, strict=True)), pairs, **home)

    def solve(self, g, functions) -> np.ndarray:
        """Substitute on the host, space by space: every edge is evaluated when its sources are known."""
        ends = np.cumsum([0, *self.sizes])
        x = [g[a:b] for a, b in pairwise(ends)]
        for k in range(len(x)):
            for (sources, targets), function in zip(self.edges, functions, strict=True):
                if k in targets:
                    x[k] = x[k] + function(*(x[s] for s in sources))[targets.index(k)]
        return np.concatenate(x)

    def solved(self, g) -> np.ndarray:
        return self.solve(g, self.functions(lambda a: a / 6, np.tanh))

    def solved_exactly(self, g) -> np.ndarray:
        return self.solve(g, self.functions(fractions, lambda t: t + t * t))

    @cached_property
    def lengths(self) -> list:
        """For each edge, the lengths of all paths that end with it."""

        def of(e):
            before = [b for b, (_, targets) in enumerate(self.edges) if set(targets) & set(self.edges[e][0])]
            return {1} | {1 + n for b in before for n in of(b)}

        return [of(e) for e in range(len(self.edges))]

    @property
    def depth(self) -> int:
        return max((max(n) for n in self.lengths), default=0)

    def level(self, space) -> int:
        return max((max(n) for n, (_, t) in zip(self.lengths, self.edges, strict=True) if space in t), default=0)


@st.composite
def graphs(draw, most=5, least=0, edges=6):
    """Spaces of `least` to 2 dimensions; edges with 0 to 2 sources and 1 or 2 targets, some of one signature."""
    sizes = tuple(draw(st.lists(st.integers(least, 2), min_size=1, max_size=most)))
    found = []
    for _ in range(draw(st.integers(0, edges))):
        first = draw(st.integers(0, len(sizes) - 1))
        targets = st.lists(st.integers(first, len(sizes) - 1), min_size=1, max_size=2, unique=True)
        sources = st.lists(st.integers(0, first - 1), max_size=2, unique=True) if first else st.just([])
        found.append((tuple(draw(sources)), tuple(draw(targets))))
    return Graph(sizes, tuple(found), draw(st.integers(0, 2**32 - 1)))


def whole_vector(n, seed) -> np.ndarray:
    """Small integers as fractions."""
    return fractions(np.random.default_rng(seed).integers(-4, 5, n))


def supported(graph, vector) -> np.ndarray:
    """Return a vector with zeros on the spaces that no edge writes to: an element of V_0."""
    keep = np.repeat([k in graph.written for k in range(len(graph.sizes))], graph.sizes)
    return np.where(keep, vector, 0 * vector)


def unimodular(n, rng):
    """An integer matrix with an integer inverse, and the inverse."""
    lower, upper = (np.eye(n, dtype=int) + np.tril(rng.integers(-1, 2, (n, n)), -1) for _ in range(2))
    change = lower @ upper.T
    return change, np.rint(np.linalg.inv(change)).astype(int)


def nilpotent(n, rng):
    """A nilpotent integer matrix in a general basis, and its powers M, M², … that are not 0."""
    lower = np.tril(rng.integers(-2, 3, (n, n)), -1)
    change, inverse = unimodular(n, rng)
    matrix = change @ lower @ inverse
    powers, power = [], matrix
    while power.any():
        powers.append(power)
        power = power @ matrix
    return matrix, powers
