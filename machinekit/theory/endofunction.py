"""Endofunctions of a sum of spaces: what definitions and theorems are about.

X = X_1 ⊕ … ⊕ X_k, and f: X → X is a function of flat vectors, or a sum of edges, each of which reads some
of the spaces and writes to some. Any arithmetic serves that the functions serve: floats on any backend,
integers and fractions exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, common_backend, dtype_name, namespace, to_host
from .checks import check_call, check_finite, check_image, check_vector, listed, read_sizes
from .common import check_one_space, common_like
from .edge import Edge, numbered

__all__ = ["Endofunction", "check_endofunction"]

Map = Callable[..., Any]
_STEP = {"float64": 1e-100, "float32": 1e-20, "float16": 1e-20}
"""Of the complex step; in single precision 1e-100 would be 0."""


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

    Raises
    ------
    TypeError
        If a function cannot be called, `sizes` holds something else than whole numbers, or `like` is no array.
    ValueError
        If `sizes` is empty, or holds a negative number.

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
        check_call("function", function)
        if derivative is not None:
            check_call("derivative", derivative)
        if like is not None:
            backend_of(like, "like")
        self.sizes = read_sizes(sizes)
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
        TypeError
            For something else than signatures and functions.
        """
        spaces = read_sizes(sizes)
        pairs = list(edges.items()) if isinstance(edges, Mapping) else listed("edges", edges, "pairs")
        for pair in pairs:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(f"edges holds {pair!r}; give a mapping of signature to function, or pairs of both")
        read = [Edge.read(signature, function) for signature, function in pairs]
        for edge in read:
            unknown = [s for s in (*edge.sources, *edge.targets) if s not in spaces]
            if unknown:
                raise ValueError(f"the edge {edge.name!r} names the space {unknown[0]!r}; there are {list(spaces)}")
        return cls.sum_of(spaces, read, name, like)

    @classmethod
    def sum_of(
        cls,
        sizes: Mapping[str, int],
        edges: Sequence[Edge],
        name: str = "f",
        like: Array | None = None,
        derivative: Map | None = None,
    ) -> Endofunction:
        """Return the sum of edges; those of one name are counted."""
        made: Endofunction
        terms = numbered(edges)

        def function(x: Array) -> Array:
            parts = made.split(x)
            images = [edge.images(parts) for edge in terms]
            return made.join({k: _total([i[k] for i in images if k in i], parts[k]) for k in made.spaces})

        made = cls(function, sizes, derivative=derivative, name=name, like=like, edges=terms)
        return made

    @classmethod
    def linear(cls, matrix: Array, sizes: Any = None, name: str = "L") -> Endofunction:
        """Return x ↦ M x, exact for object arrays of integers and fractions, which do not overflow.

        Raises
        ------
        TypeError
            If `matrix` is no array.
        ValueError
            If it is not square, or not finite, or `sizes` do not add up to its extent.
        """
        backend_of(matrix, "matrix")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix has shape {tuple(matrix.shape)}; an endofunction needs a square one")
        check_finite("matrix", matrix)
        of = matrix.shape[0] if sizes is None else sizes
        made = cls(lambda x: matrix @ x, of, derivative=lambda x, v: matrix @ v, name=name, like=matrix)
        return made._of_extent("matrix", matrix)

    @classmethod
    def constant(cls, value: Array, sizes: Any = None, name: str = "c") -> Endofunction:
        """Return x ↦ c.

        Raises
        ------
        TypeError, ValueError
            If `value` is no vector, or not finite, or `sizes` do not add up to its extent.
        """
        backend_of(value, "value")
        if value.ndim != 1:
            raise ValueError(f"value has shape {tuple(value.shape)}; a constant is one vector, shape (n,)")
        check_finite("value", value)
        of = value.shape[0] if sizes is None else sizes
        made = cls(lambda x: value + 0 * x, of, derivative=lambda x, v: 0 * v, name=name, like=value)
        return made._of_extent("value", value)

    def __repr__(self) -> str:
        spaces = " ⊕ ".join(f"{k}[{n}]" for k, n in self.sizes.items())
        return f"<{self.name}: {spaces or '0'} → itself>"

    def __call__(self, x: Array) -> Array:
        """Return f(x).

        Raises
        ------
        TypeError
            If x, or what the function returns, is no array.
        ValueError
            If one of them has not the shape (n,).
        """
        self.check("x", x)
        return self._image(x)

    def jvp(self, x: Array, v: Array) -> Array:
        """Return Df(x) v, by the given derivative or by the complex step.

        Raises
        ------
        TypeError
            Without a derivative, in arithmetic that has no complex step.
        """
        self.check("x", x)
        self.check("v", v)
        if self._derivative is not None:
            along = self._derivative(x, v)
            check_image(f"what the derivative of {self.name} returned", along, v)
            return along
        step = _STEP.get(dtype_name(x), 0.0)
        if not step or dtype_name(v) not in _STEP:
            name, kind = ("v", dtype_name(v)) if step else ("x", dtype_name(x))
            raise TypeError(
                f"{self.name} has no derivative=, and {name} of dtype {kind} no complex step, which needs real "
                "floating vectors; give the derivative"
            )
        xp = namespace(x)
        return xp.imag(self._image(x + (step * 1j) * v)) / step

    def jacobian(self, x: Array) -> np.ndarray:
        """Return Df(x), shape (out, in), on the host; exact where `x` and the derivative are."""
        self.check("x", x)
        eye, home, dtype = np.eye(self.dimension, dtype=int), backend_of(x), to_host(x).dtype
        if not self.dimension:
            return eye.astype(dtype)
        return np.stack([to_host(self.jvp(x, home.from_host(e.astype(dtype)))) for e in eye], axis=1)

    def split(self, x: Array) -> dict[str, Array]:
        """Return the components of a vector by space."""
        self.check("x", x)
        return {name: x[part] for name, part in self.spaces.items()}

    def join(self, parts: Mapping[str, Array]) -> Array:
        """Return the vector with these components.

        Raises
        ------
        TypeError
            For something else than a mapping to arrays.
        ValueError
            If there is not one for each space, of its dimension.
        """
        if not isinstance(parts, Mapping):
            raise TypeError(f"parts is {parts!r}; give a mapping of space to array, for {list(self.sizes)}")
        if set(parts) != set(self.sizes):
            raise ValueError(f"parts has {list(parts)}; give one for each of the spaces {list(self.sizes)}")
        for name, n in self.sizes.items():
            check_vector(f"parts[{name!r}]", parts[name], n, self)
        arrays = [parts[name] for name in self.spaces]
        return (np if isinstance(arrays[0], np.ndarray) else namespace(arrays[0])).concat(arrays)

    def check(self, name: str, x: Any) -> None:
        """Raise TypeError unless x is an array, of the library of `like`, and ValueError unless its shape is (n,)."""
        check_vector(name, x, self.dimension, self)
        if self.like is not None and type(x) is not type(self.like):
            common_backend({f"what {self!r} takes": self.like, name: x})

    def __add__(self, other: Endofunction) -> Endofunction:
        """Return f1 + f2, which remembers its parts; edges of one name are counted.

        Raises
        ------
        ValueError
            If the spaces are not the same, in the same order.
        """
        if not isinstance(other, Endofunction):
            return NotImplemented
        check_one_space(self, other)
        edges = None if self.edges is None or other.edges is None else numbered(self.edges + other.edges)
        return Endofunction(
            lambda x: self(x) + other(x),
            self.sizes,
            derivative=lambda x, v: self.jvp(x, v) + other.jvp(x, v),
            name=f"{self.name} + {other.name}",
            like=common_like(self, other),
            edges=edges,
            parts=(self, other),
        )

    def _image(self, x: Array) -> Array:
        image = self._function(x)
        check_image(f"what {self.name} returned", image, x)
        return image

    def _of_extent(self, name: str, array: Array) -> Endofunction:
        if self.dimension != array.shape[0]:
            raise ValueError(
                f"sizes {self.sizes} add up to {self.dimension}; {name} of shape {tuple(array.shape)} needs "
                f"{array.shape[0]}"
            )
        return self


def _total(images: list[Array], like: Array) -> Array:
    total = 0 * like
    for image in images:
        total = total + image
    return total


def check_endofunction(name: str, f: Any) -> None:
    """Raise TypeError unless f is an endofunction."""
    if not isinstance(f, Endofunction):
        made = f"theory.endofunction({name}, grid)" if hasattr(f, "solve") else f"theory.Endofunction({name}, sizes)"
        raise TypeError(f"{name} is {f!r}, a {type(f).__name__}; make it an endofunction, as in {made}")
