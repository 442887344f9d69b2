"""Represented: an op whose parameter is W = B θ, so that what B cannot say, such as roughness, W cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ..arrays import Array, backend_of, check_alike, dtype_name, namespace, to_host
from ..graph.op import (
    Op,
    check_op_kind,
    live_masks,
    moved,
    parameters,
    pullback,
    pullback_inputs,
    pullback_tangent,
    pushforward,
    replace,
    solve,
)
from ..machines.build import integer
from ..records import Cotangent, State, Tangent

__all__ = ["Represented"]


class Represented(Op):
    """An op of which some parameters are B θ: a few coefficients θ in place of many entries.

    Parameters
    ----------
    op : op
        A machine, a built-in op, any op with ``replace``.
    axis : int
        The axis of each represented parameter that B spans: 0 is the first lag axis of a machine.
    **bases : arrays of shape (n, count), float64, on the host
        B by name of a parameter of n entries along `axis`, as in ``weight=mk.bases.bspline(n, count)``.

    Attributes
    ----------
    op : op
        The op with the parameters B θ.
    bases : dict of str to array
    axis : int

    Raises
    ------
    ValueError
        No basis; a basis of another shape, or not finite; an axis that a parameter does not have.
    TypeError
        A name that is no parameter; a basis that is no host array.

    Notes
    -----
    ``W[l, …] = Σ_k B[l, k] θ[k, …]`` and ``θ̄ = Bᵀ W̄``, nothing else changes. The first θ is the least-squares fit of
    the live entries of the op's own parameter, the smallest one if there are several. A coefficient is live iff it
    moves a live entry of W; dead ones are zero, and the op zeroes what is dead in W. It is one leaf: what is
    used in several places of a network is this object.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> ramp = np.array([[0.0], [1.0], [2.0]])  # one coefficient for three lags
    >>> machine = mk.RecurrentMachine((1,), "identity", memory=2, weight=np.ones((3, 1, 1)))
    >>> smooth = mk.Represented(machine, weight=ramp)
    >>> smooth.parameters()  # the fit of lags 1 and 2; lag 0 is dead
    {'weight': array([[[0.6]]])}
    >>> smooth.op.weight.ravel()
    array([0. , 0.6, 1.2])
    """

    op: Any
    axis: int
    bases: dict[str, np.ndarray]
    _here: dict[str, tuple[Array, Array]]
    _theta: dict[str, Array]
    _live: dict[str, np.ndarray]

    def __init__(self, op: Any, *, axis: int = 0, **bases: np.ndarray) -> None:
        check_op_kind(op, "op")
        if not bases:
            raise ValueError("no basis is given; name a parameter, as in weight=mk.bases.bspline(n, count)")
        axis = integer("axis", axis, 0)
        known, masks = parameters(op), live_masks(op)
        theta, live, kept = {}, {}, {}
        for name, basis in bases.items():
            kept[name] = matrix = _basis(name, basis, axis, known)
            mask = masks.get(name, np.ones(tuple(known[name].shape), dtype=bool))
            live[name] = np.moveaxis(_along(np.abs(matrix.T) > 0, np.moveaxis(mask, axis, 0)) > 0, 0, axis)
            fitted = _fit(matrix, np.moveaxis(to_host(known[name]), axis, 0), np.moveaxis(mask, axis, 0))
            theta[name] = backend_of(known[name]).from_host(np.moveaxis(fitted, 0, axis), dtype_name(known[name]))
        self.__dict__.update(axis=axis, bases=kept, _live=live)
        self._fill_from(op, theta)

    def _fill_from(self, op: Any, theta: Mapping[str, Array]) -> None:
        """Set the op and its coefficients."""
        self.__dict__["_here"] = {name: self._moved(name, array) for name, array in theta.items()}
        kept = {name: self._alive(name, array) for name, array in theta.items()}
        for array in kept.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        self.__dict__["_theta"] = kept
        self.__dict__["op"] = replace(op, {name: self._image(name, array) for name, array in kept.items()})

    def _moved(self, name: str, like: Array) -> tuple[Array, Array]:
        """Return the basis and the mask of the coefficients where these are: copied when they first are there."""
        home, (matrix, live) = backend_of(like), self.__dict__.get("_here", {}).get(name, (None, None))
        word = "float32" if dtype_name(like) in ("float32", "complex64") else "float64"
        if matrix is not None and backend_of(matrix) == home and dtype_name(matrix) == word:
            return matrix, live
        return home.from_host(self.bases[name], word), home.from_host(self._live[name])

    def _alive(self, name: str, array: Array) -> Array:
        """Return a copy of coefficients with exact zeros where dead."""
        xp = namespace(array)
        return xp.where(self._here[name][1], array, xp.zeros_like(array))

    def _with(self, op: Any, theta: Mapping[str, Array]) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._fill_from(op, theta)
        return new

    def __repr__(self) -> str:
        told = ", ".join(f"{name}: {b.shape[1]} of {b.shape[0]}" for name, b in self.bases.items())
        return f"Represented({self.op!r}, {told})"

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def live(self) -> dict[str, np.ndarray]:
        """Masks of the coefficients that move a live entry, and those of the op's other parameters."""
        others = {name: mask for name, mask in live_masks(self.op).items() if name not in self.bases}
        return {**others, **{name: mask.copy() for name, mask in self._live.items()}}

    def parameters(self) -> dict[str, Array]:
        """Return the trainable arrays by name: coefficients θ, and the op's other parameters."""
        return {name: self._theta.get(name, array) for name, array in parameters(self.op).items()}

    def replace(self, **parameters: Array) -> Self:
        """Return the same with other parameters: coefficients for those that are represented.

        Raises
        ------
        ValueError, TypeError
            Wrong shape; another library or precision; what the op's own ``replace`` raises.
        """
        theta = dict(self._theta)
        for name in self.bases.keys() & parameters.keys():
            theta[name] = self._checked(name, parameters[name])
        rest = {name: array for name, array in parameters.items() if name not in self.bases}
        return self._with(replace(self.op, rest), theta)

    def to(self, backend: Any) -> Self:
        """Return a copy on another backend; see `Machine.to`."""
        op = moved(self.op, "to", backend)
        new = parameters(op)
        return self._with(op, {n: backend_of(new[n]).from_host(to_host(a)) for n, a in self._theta.items()})

    def astype(self, dtype: Any) -> Self:
        """Return a copy in another precision or kind; see `Machine.astype`."""
        op = moved(self.op, "astype", dtype)
        new = parameters(op)
        names = {n: dtype_name(new[n]) for n in self._theta}
        return self._with(op, {n: backend_of(a).from_host(to_host(a), names[n]) for n, a in self._theta.items()})

    # The verbs: those of the op, its parameters' directions and cotangents by B and Bᵀ --------------

    def solve(self, *inputs: Array) -> State:
        """Return the op's own state."""
        return solve(self.op, *inputs)

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array | None) -> Tangent:
        """Return the directional derivative, Ẇ = B θ̇; ``saved`` is the op's own."""
        given = {name: array for name, array in parameters.items() if array is not None}
        along = {n: self._image(n, self._checked(n, a)) if n in self.bases else a for n, a in given.items()}
        inner = pushforward(self.op, state, inputs, along)
        return Tangent(inner.outputs, inner.inputs, given, inner)

    def pullback(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return the cotangents, θ̄ = Bᵀ W̄; ``saved`` is the op's own."""
        return self._outer(pullback(self.op, state, outputs))

    def pullback_inputs(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return `pullback`, without the cotangents of the parameters if the op can."""
        return self._outer(pullback_inputs(self.op, state, outputs))

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return the derivative of `pullback` along a tangent: W = B θ being linear, the op's own, by Bᵀ."""
        return self._outer(pullback_tangent(self.op, state, cotangent.saved, tangent.saved, outputs))

    def _outer(self, inner: Cotangent) -> Cotangent:
        known = parameters(self.op)
        given = {n: a for n, a in inner.parameters.items() if n in known}
        found = {n: self._coefficients(n, a) if n in self.bases else a for n, a in given.items()}
        return Cotangent(inner.inputs, found, inner.outputs, inner)

    def _checked(self, name: str, array: Array) -> Array:
        """Return coefficients, or a direction of them, zero where dead."""
        check_alike("op", self._theta[name], {name: array})
        if tuple(array.shape) != tuple(self._theta[name].shape):
            raise ValueError(
                f"{name} has shape {tuple(array.shape)}; pass the coefficients, {tuple(self._theta[name].shape)}"
            )
        return self._alive(name, array)

    def _image(self, name: str, theta: Array) -> Array:
        return _product(self._here[name][0], theta, self.axis)

    def _coefficients(self, name: str, weight: Array) -> Array:
        return _product(self._here[name][0].T, weight, self.axis)


def _basis(name: str, basis: Any, axis: int, known: Mapping[str, Array]) -> np.ndarray:
    """Check one basis and return a copy."""
    if name not in known:
        raise TypeError(f"{name!r} is no parameter of the op; it has {', '.join(known) or 'none'}")
    if not isinstance(basis, np.ndarray) or basis.dtype.kind != "f":
        raise TypeError(f"{name} is {basis!r}; pass a float64 NumPy matrix, such as mk.bases.bspline(n, count)")
    shape = tuple(known[name].shape)
    if axis >= len(shape):
        raise ValueError(f"axis is {axis} but {name} has shape {shape}; pass less than {len(shape)}")
    if basis.ndim != 2 or basis.shape[0] != shape[axis]:
        raise ValueError(
            f"the basis of {name} has shape {basis.shape} but {name} has {shape[axis]} entries along axis {axis}; "
            f"pass ({shape[axis]}, count)"
        )
    if not np.isfinite(basis).all():
        raise ValueError(f"the basis of {name} has entries that are not finite; mend it")
    copy = basis.astype(np.float64)
    copy.flags.writeable = False
    return copy


def _along(matrix: np.ndarray, array: np.ndarray) -> np.ndarray:
    return np.tensordot(matrix.astype(float), array.astype(float), axes=1)


def _product(matrix: Array, array: Array, axis: int) -> Array:
    """Multiply by a matrix along one axis, which keeps its place."""
    xp, n = namespace(array), array.ndim
    image = xp.tensordot(matrix, array, axes=((1,), (axis,)))
    return xp.permute_dims(image, (*range(1, axis + 1), 0, *range(axis + 1, n)))


def _fit(matrix: np.ndarray, weight: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Return the smallest θ of least squares to the live entries, column by column."""
    columns, masks = weight.reshape(weight.shape[0], -1), live.reshape(weight.shape[0], -1)
    columns = columns.astype("complex128" if columns.dtype.kind == "c" else "float64")
    theta = np.zeros((matrix.shape[1], columns.shape[1]), columns.dtype)
    for pattern in np.unique(masks, axis=1).T:
        same = (masks == pattern[:, None]).all(axis=0)
        theta[:, same] = np.linalg.lstsq(matrix[pattern], columns[pattern][:, same])[0]
    return theta.reshape(matrix.shape[1], *weight.shape[1:])
