"""Endofunctions of a sum of spaces: what definitions and theorems are about.

X = X_1 ⊕ … ⊕ X_k, and f: X → X is a function of flat vectors, or a sum of edges, each of which reads some
of the spaces and writes to some. Any arithmetic serves that the functions serve: floats on any backend,
integers and fractions exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..arrays import Array, namespace
from ..graph.order import read_signature

__all__ = ["Edge", "Endofunction", "inner_product"]

Map = Callable[..., Any]
_STEP = 1e-100


@dataclass(frozen=True)
class Edge:
    """One hyperedge: a function of some spaces, added to some spaces.

    Attributes
    ----------
    name : str
        Its signature, ``"x1 x2 -> x3"``, followed by a count where it occurs twice.
    sources, targets : tuple of str
    function : callable (*source arrays) -> array, or a tuple with one per target
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    function: Map

    @classmethod
    def read(cls, signature: str, function: Map) -> Edge:
        """Read ``"x1 x2 -> x3"``; without sources, ``"-> x3"``, it is a constant.

        Raises
        ------
        ValueError
            Without an arrow, or without a target.
        """
        sources, targets = read_signature(signature, "an edge")
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"the edge {signature!r} is no signature; write 'x1 x2 -> x3', each target once")
        return cls(f"{' '.join(sources)} -> {' '.join(targets)}".strip(), sources, targets, function)

    def images(self, parts: Mapping[str, Array]) -> dict[str, Array]:
        """Return what the edge adds to each of its targets."""
        image = self.function(*(parts[s] for s in self.sources))
        several = image if isinstance(image, tuple) else (image,)
        if len(several) != len(self.targets):
            raise ValueError(f"the edge {self.name!r} returned {len(several)} arrays for {len(self.targets)} targets")
        return dict(zip(self.targets, several, strict=True))


class Endofunction:
    """f: X → X on a sum of spaces.

    Parameters
    ----------
    function : callable (x) -> f(x)
        Of vectors of shape (n,), n the sum of the sizes.
    sizes : int, sequence of int, or mapping of name to int
        Dimensions of the spaces; names are x1, x2, … unless given.
    derivative : callable (x, v) -> Df(x) v, optional
        By default the complex step, for which `function` must accept complex vectors.
    name : str, optional
    like : array, optional
        Of the library, device and dtype of the vectors that the function expects; NumPy's float64 by default.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.theory import Endofunction
    >>> f = Endofunction.of_edges({"a": 1, "b": 2}, {"a -> b": lambda a: np.concat([a, 2 * a])})
    >>> f(np.array([3.0, 0.0, 0.0]))
    array([0., 3., 6.])
    """

    def __init__(
        self,
        function: Map,
        sizes: int | Sequence[int] | Mapping[str, int],
        *,
        derivative: Map | None = None,
        name: str = "f",
        like: Array | None = None,
        edges: tuple[Edge, ...] | None = None,
        parts: tuple[Endofunction, Endofunction] | None = None,
    ) -> None:
        if isinstance(sizes, int):
            sizes = (sizes,)
        if not isinstance(sizes, Mapping):
            sizes = {f"x{k + 1}": n for k, n in enumerate(sizes)}
        bad = {k: n for k, n in sizes.items() if not isinstance(n, int | np.integer) or n < 0}
        if bad:
            raise ValueError(f"sizes has {bad}; a space has a whole number of dimensions, at least 0")
        self.sizes = {k: int(n) for k, n in sizes.items()}
        self.name, self.like, self.edges, self.parts = name, like, edges, parts
        self._function, self._derivative = function, derivative
        ends = [0, *accumulate(self.sizes.values())]
        self.dimension = ends[-1]
        self.spaces = {k: slice(a, b) for k, (a, b) in zip(self.sizes, pairwise(ends), strict=True)}

    @classmethod
    def of_edges(
        cls,
        sizes: Mapping[str, int],
        edges: Mapping[str, Map] | Sequence[tuple[str, Map]],
        name: str = "f",
        like: Array | None = None,
    ) -> Endofunction:
        """Return the sum of edges, each given by its signature and a function.

        Raises
        ------
        ValueError
            For a signature that is none, or names a space that is not in `sizes`.
        """
        pairs = list(edges.items()) if isinstance(edges, Mapping) else list(edges)
        read, seen = [], dict.fromkeys(sizes, 0)
        for signature, of_edge in pairs:
            edge = Edge.read(signature, of_edge)
            unknown = [s for s in (*edge.sources, *edge.targets) if s not in sizes]
            if unknown:
                raise ValueError(f"the edge {signature!r} names the space {unknown[0]!r}; there are {list(sizes)}")
            count = seen[edge.name] = seen.get(edge.name, 0) + 1
            read.append(edge if count == 1 else Edge(f"{edge.name} #{count}", edge.sources, edge.targets, of_edge))
        return cls.sum_of(sizes, read, name, like)

    @classmethod
    def sum_of(
        cls,
        sizes: Mapping[str, int],
        edges: Sequence[Edge],
        name: str = "f",
        like: Array | None = None,
        derivative: Map | None = None,
    ) -> Endofunction:
        """Return the sum of edges."""
        made: Endofunction

        def function(x: Array) -> Array:
            parts = made.split(x)
            images = [edge.images(parts) for edge in edges]
            return made.join({k: _total([i[k] for i in images if k in i], parts[k]) for k in made.spaces})

        made = cls(function, sizes, derivative=derivative, name=name, like=like, edges=tuple(edges))
        return made

    @classmethod
    def linear(cls, matrix: Array, sizes: Any = None, name: str = "L") -> Endofunction:
        """Return x ↦ M x, exact for integers and fractions."""
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix has shape {tuple(matrix.shape)}; an endofunction needs a square one")
        return cls(
            lambda x: matrix @ x,
            matrix.shape[0] if sizes is None else sizes,
            derivative=lambda x, v: matrix @ v,
            name=name,
        )

    @classmethod
    def constant(cls, value: Array, sizes: Any = None, name: str = "c") -> Endofunction:
        """Return x ↦ c."""
        return cls(
            lambda x: value + 0 * x,
            value.shape[0] if sizes is None else sizes,
            derivative=lambda x, v: 0 * v,
            name=name,
        )

    def __repr__(self) -> str:
        spaces = " ⊕ ".join(f"{k}[{n}]" for k, n in self.sizes.items())
        return f"<{self.name}: {spaces or '0'} → itself>"

    def __call__(self, x: Array) -> Array:
        """Return f(x).

        Raises
        ------
        ValueError
            If x has not the shape (n,).
        """
        self._check("x", x)
        return self._function(x)

    def jvp(self, x: Array, v: Array) -> Array:
        """Return Df(x) v, by the given derivative or by the complex step.

        Raises
        ------
        TypeError
            Without a derivative, in arithmetic that has no complex step.
        """
        self._check("x", x)
        self._check("v", v)
        if self._derivative is not None:
            return self._derivative(x, v)
        if getattr(x.dtype, "kind", "f") in "Oiu":
            raise TypeError(f"{self.name} has no derivative= and {x.dtype} no complex step; give the derivative")
        xp = namespace(x)
        return xp.imag(self._function(x + (_STEP * 1j) * v)) / _STEP

    def jacobian(self, x: Array) -> np.ndarray:
        """Return Df(x), shape (out, in), on the host."""
        from ..arrays import backend_of, to_host

        eye, home = np.eye(self.dimension), backend_of(x)
        if not self.dimension:
            return eye
        columns = [to_host(self.jvp(x, home.from_host(e.astype(to_host(x).dtype)))) for e in eye]
        return np.stack(columns, axis=1)

    def split(self, x: Array) -> dict[str, Array]:
        """Return the components of a vector by space."""
        return {name: x[part] for name, part in self.spaces.items()}

    def join(self, parts: Mapping[str, Array]) -> Array:
        """Return the vector with these components."""
        arrays = [parts[name] for name in self.spaces]
        return (np if isinstance(arrays[0], np.ndarray) else namespace(arrays[0])).concat(arrays)

    def __add__(self, other: Endofunction) -> Endofunction:
        """Return f1 + f2, which remembers its parts."""
        if not isinstance(other, Endofunction):
            return NotImplemented
        if self.sizes != other.sizes:
            raise ValueError(f"the sum of {self!r} and {other!r} has no common space; give both the same sizes")
        edges = None if self.edges is None or other.edges is None else self.edges + other.edges
        return Endofunction(
            lambda x: self(x) + other(x),
            self.sizes,
            derivative=lambda x, v: self.jvp(x, v) + other.jvp(x, v),
            name=f"{self.name} + {other.name}",
            like=self.like,
            edges=edges,
            parts=(self, other),
        )

    def _check(self, name: str, x: Array) -> None:
        if tuple(x.shape) != (self.dimension,):
            raise ValueError(f"{name} has shape {tuple(x.shape)}; {self!r} takes vectors of shape ({self.dimension},)")


def _total(images: list[Array], like: Array) -> Array:
    total = 0 * like
    for image in images:
        total = total + image
    return total


def inner_product(x: Array, y: Array) -> Any:
    """Return Σ x_i y_i, without conjugation; exact for integers and fractions."""
    from ..arrays import to_host

    a, b = (to_host(v) if not isinstance(v, np.ndarray) else v for v in (x, y))
    return sum((p * q for p, q in zip(a.ravel(), b.ravel(), strict=True)), start=0)
