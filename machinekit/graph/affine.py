"""Affine: y = x W + b, the dense layer as an op."""

from __future__ import annotations

import itertools
from typing import Any, Self

import numpy as np

from ..arrays import (
    Array,
    Backend,
    as_array,
    astype,
    backend_of,
    check_alike,
    namespace,
    pick_backend,
    precision,
    to_host,
)
from ..linear import rows
from ..machines.build import cast, draw, integer, read_dtype, read_home
from ..records import Cotangent, State, Tangent
from .op import Op

__all__ = ["Affine"]


class Affine(Op):
    """The affine map y = x W + b over the last axis.

    Parameters
    ----------
    n_in, n_out : int
        Channels in and out.
    bias : bool or array of shape (n_out,)
        True: zeros, trained. False: none. An array: a copy of that.
    weight : array of shape (n_in, n_out), optional
        Copied. By default drawn with `rng` in float64 on the host, N(0, 1/n_in).
    rng : numpy.random.Generator, int or None
    dtype, backend : optional
        As for the machines.

    Raises
    ------
    ValueError
        A negative count or a wrong shape.
    TypeError
        Lists, integers or objects for arrays; mixed libraries or precisions.

    Notes
    -----
    Called with several arrays it reads their channel-wise concatenation and splits the cotangent
    again. Tangent ẏ = ẋ W + x Ẇ + ḃ; dual x̄ = ȳ Wᵀ, W̄ = Σ xᵀ ȳ, b̄ = Σ ȳ, sums over the batch.
    n_in · n_out multiply-adds per sample for each of the three products.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> head = mk.Affine(2, 1, weight=np.array([[1.0], [2.0]]), bias=np.array([0.5]))
    >>> x = np.array([[3.0, 4.0]])
    >>> head(x)
    array([[11.5]])
    >>> head.pullback(head.solve(x), np.array([[1.0]])).parameters["weight"]
    array([[3.],
           [4.]])
    """

    weight: Array
    bias: Array | None

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        bias: bool | Array = True,
        weight: Array | None = None,
        rng: Any = None,
        dtype: Any = None,
        backend: Any = None,
    ) -> None:
        shape = (integer("n_in", n_in, 0), integer("n_out", n_out, 0))
        given = None if isinstance(bias, bool | np.bool_) else bias
        home = read_home(backend, {"weight": weight, "bias": given})
        if weight is None:
            kind = "float32" if given is not None and precision(given, "bias") == "single" else "float64"
            name = kind if dtype is None else read_dtype(dtype)
            weight = home.from_host(draw(shape, np.ones(shape, dtype=bool), rng), name)
        else:
            weight = _copy("weight", weight, shape)
            if dtype is not None and read_dtype(dtype) != str(weight.dtype).rpartition(".")[2]:
                raise TypeError(f"dtype={dtype!r} but weight is {weight.dtype}; leave dtype out, or cast the weight")
        if given is not None:
            check_alike("weight", weight, {"bias": given})
            self._fill(weight, _copy("bias", given, shape[1:]))
        else:
            self._fill(weight, home.zeros(shape[1:], weight.dtype) if bias else None)

    def _fill(self, weight: Array, bias: Array | None) -> None:
        for array in (weight, bias):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        self.__dict__.update(weight=weight, bias=bias)

    def _with(self, weight: Array, bias: Array | None) -> Self:
        new = object.__new__(type(self))
        new._fill(weight, bias)
        return new

    def __repr__(self) -> str:
        n_in, n_out = self.weight.shape
        bias = "" if self.bias is not None else ", bias=False"
        return f"Affine({n_in}, {n_out}{bias}, {str(self.weight.dtype).rpartition('.')[2]} on {self.backend})"

    @property
    def backend(self) -> str:
        """Name of the library that holds the parameters."""
        return backend_of(self.weight).name

    def parameters(self) -> dict[str, Array]:
        """Return weight, and bias if there is one."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def replace(self, **parameters: Array) -> Self:
        """Return the op with other parameters, of the same shapes and precision.

        Raises
        ------
        ValueError, TypeError
            Wrong shape; another library or precision; an unknown name.
        """
        new: dict[str, Any] = {"weight": self.weight, "bias": self.bias}
        for name, array in parameters.items():
            shape = self._shape_of(name)
            check_alike("op", self.weight, {name: array})
            new[name] = _copy(name, array, shape)
        return self._with(**new)

    def _shape_of(self, name: str) -> tuple[int, ...]:
        known = self.parameters()
        if name not in known:
            raise TypeError(f"{name!r} is no parameter of {self!r}; it has {', '.join(known)}")
        return tuple(known[name].shape)

    def to(self, backend: str | Backend) -> Self:
        """Return a copy on another backend; see `Machine.to`."""
        home = pick_backend(backend)
        moved = [None if a is None else home.from_host(to_host(a)) for a in (self.weight, self.bias)]
        return self._with(*moved)

    def astype(self, dtype: Any) -> Self:
        """Return a copy in another precision or kind; see `Machine.astype`."""
        name = read_dtype(dtype)
        if "complex" in str(self.weight.dtype) and not name.startswith("complex"):
            raise TypeError(f"weight is {self.weight.dtype} and would lose its imaginary part as {name}; replace it")
        return self._with(cast(self.weight, name), None if self.bias is None else cast(self.bias, name))

    def _join(self, inputs: tuple[Array, ...]) -> Array:
        """Check the inputs and return their channel-wise concatenation."""
        if not inputs:
            raise TypeError("Affine takes at least one array")
        named = {f"inputs[{k}]": as_array(x, f"inputs[{k}]") for k, x in enumerate(inputs)}
        check_alike("op", self.weight, named)
        if any(not x.ndim or x.shape[:-1] != inputs[0].shape[:-1] for x in inputs):
            raise ValueError(f"inputs have shapes {[tuple(x.shape) for x in inputs]}; all axes but the last must agree")
        total = sum(x.shape[-1] for x in inputs)
        if total != self.weight.shape[0]:
            raise ValueError(
                f"inputs have {' + '.join(str(x.shape[-1]) for x in inputs)} channels but the weight reads "
                f"{self.weight.shape[0]}; shapes {[tuple(x.shape) for x in inputs]} and {tuple(self.weight.shape)}"
            )
        return inputs[0] if len(inputs) == 1 else namespace(self.weight).concat(list(inputs), axis=-1)

    def solve(self, *inputs: Array) -> State:
        """Return the state of y = x W + b.

        Parameters
        ----------
        *inputs : arrays of shape (*batch, channels)
            Their channels add up to n_in.
        """
        y = self._join(inputs) @ self.weight
        return State(inputs, (y if self.bias is None else y + self.bias,))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = ẋ W + x Ẇ + ḃ."""
        given = inputs or (None,) * len(state.inputs)
        if len(given) != len(state.inputs):
            raise TypeError(f"{len(given)} directions for {len(state.inputs)} inputs; pass one per input, None is zero")
        xp = namespace(self.weight)
        full = tuple(xp.zeros_like(x) if d is None else d for x, d in zip(state.inputs, given, strict=True))
        for k, (x, d) in enumerate(zip(state.inputs, full, strict=True)):
            if tuple(as_array(d, f"inputs[{k}]").shape) != tuple(x.shape):
                raise ValueError(
                    f"inputs[{k}] has shape {tuple(d.shape)}; a direction has the input's {tuple(x.shape)}"
                )
        y = self._join(full) @ self.weight
        for name, direction in parameters.items():
            shape = self._shape_of(name)
            check_alike("op", self.weight, {name: direction})
            if direction is None:
                continue
            if tuple(direction.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(direction.shape)}; pass {shape}")
            y = y + (self._join(state.inputs) @ direction if name == "weight" else direction)
        return Tangent((y,), given, parameters)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = ȳ Wᵀ, split as the inputs were, W̄ = Σ xᵀ ȳ and b̄ = Σ ȳ."""
        xp = namespace(self.weight)
        x = self._join(state.inputs)
        if y is None:
            seed = xp.zeros_like(state.outputs[0])
        else:
            check_alike("op", self.weight, {"y": y})
            if tuple(y.shape) != tuple(state.outputs[0].shape):
                raise ValueError(
                    f"y has shape {tuple(y.shape)}; a seed has the output's {tuple(state.outputs[0].shape)}"
                )
            seed = y
        # (samples, in)ᵀ @ (samples, out) -> (in, out)
        flat = rows(seed)
        parameters = {"weight": xp.matrix_transpose(rows(x)) @ flat}
        if self.bias is not None:
            parameters["bias"] = xp.sum(flat, axis=0)
        back = seed @ xp.matrix_transpose(self.weight)
        if len(state.inputs) == 1:
            return Cotangent((back,), parameters, (y,))
        cuts = itertools.accumulate((a.shape[-1] for a in state.inputs), initial=0)
        split = tuple(back[(..., slice(a, b))] + 0 for a, b in itertools.pairwise(cuts))
        return Cotangent(split, parameters, (y,))


def _copy(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    precision(as_array(array, name), name)
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(array.shape)}; pass {shape}")
    return astype(array)
