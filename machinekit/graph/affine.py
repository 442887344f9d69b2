"""Affine: y = x W + b, the dense layer as an op."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array, add_to, check_alike, dtype_name, namespace, precision, product
from ..linear import rows, total_rows
from ..machines.build import draw, integer, read_dtype, read_home
from ..records import Cotangent, State, Tangent
from .bilinear import Bilinear, Pulled, split_channels
from .leaf import given_array, total

__all__ = ["Affine", "draw_affine"]


class Affine(Bilinear):
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
    again. Tangent ẏ = ẋ W + x Ẇ + ḃ; dual x̄ = ȳ Wᵀ, W̄ = Σ xᵀ ȳ, b̄ = Σ ȳ, sums over the batch; its derivative
    x̄˙ = ȳ˙ Wᵀ + ȳ Ẇᵀ, W̄˙ = Σ xᵀ ȳ˙ + ẋᵀ ȳ, b̄˙ = Σ ȳ˙. n_in · n_out multiply-adds per sample for each product.

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
        weight, bias = draw_affine(shape, bias, given, weight, rng, dtype, backend)
        self._fill({"weight": weight, "bias": bias})

    def __repr__(self) -> str:
        n_in, n_out = self.weight.shape
        bias = "" if self.bias is not None else ", bias=False"
        return f"Affine({n_in}, {n_out}{bias}, {dtype_name(self.weight)} on {self.backend})"

    def _join(self, inputs: tuple[Array, ...]) -> Array:
        """Check the inputs and return their channel-wise concatenation."""
        if not inputs:
            raise TypeError("Affine takes at least one array")
        self._alike(inputs)
        if len(inputs) == 1 and inputs[0].shape[-1:] == self.weight.shape[:1]:
            return inputs[0]
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
        if self.bias is not None:
            y = add_to(y, self.bias)
        return State(inputs, (y,))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = ẋ W + x Ẇ + ḃ."""
        given = self._directions(state, inputs)
        along = self._along(parameters)
        moved = self._join_directions(given, state)
        terms = [None if moved is None else moved @ self.weight]
        if "weight" in along:
            terms.append(self._join(state.inputs) @ along["weight"])
        y = total(terms, state.outputs[0])
        return Tangent((add_to(y, along["bias"]) if "bias" in along else y,), given, parameters)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = ȳ Wᵀ, split as the inputs were, W̄ = Σ xᵀ ȳ and b̄ = Σ ȳ."""
        return self.pullback_into({}, state, y)

    def pullback_into(self, into: Mapping[str, Array], state: State, y: Array | None = None) -> Cotangent:
        """Return the pullback, the cotangent of the weight in the memory given."""
        (seed,) = self._seeds(state, (y,))
        x = state.inputs[0] if len(state.inputs) == 1 else self._join(state.inputs)
        back, weight = self._pull(state, self.weight, seed, x, into.get("weight"))
        parameters = {"weight": weight} if self.bias is None else {"weight": weight, "bias": self._total(seed)}
        return Cotangent(split_channels(back, state.inputs), parameters, (y,))

    def _pull(self, state: State, weight: Array | None, y: Array, x: Array | None, into: Any = None) -> Pulled:
        # (samples, in)ᵀ @ (samples, out) -> (in, out)
        outer = None if x is None else product(rows(x).T, rows(y), into)
        return None if weight is None else y @ weight.T, outer

    def _total(self, y: Array) -> Array:
        return total_rows(rows(y))


def draw_affine(
    shape: tuple[int, ...], bias: Any, given: Array | None, weight: Array | None, rng: Any, dtype: Any, backend: Any
) -> tuple[Array, Array | None]:
    """Return weight and bias of an affine map from a user's arguments, the weight drawn with N(0, 1/fan-in) if missing.

    Parameters
    ----------
    shape : tuple of int
        (*anything, in, out).
    bias : bool or array
    given : array or None
        The bias, if it is an array.
    """
    home = read_home(backend, {"weight": weight, "bias": given})
    if weight is None:
        kind = "float32" if given is not None and precision(given, "bias") == "single" else "float64"
        name = kind if dtype is None else read_dtype(dtype)
        weight = home.from_host(draw(shape, np.ones(shape, dtype=bool), rng), name)
    else:
        weight = given_array("weight", weight, shape)
        if dtype is not None and read_dtype(dtype) != dtype_name(weight):
            raise TypeError(f"dtype={dtype!r} but weight is {weight.dtype}; leave dtype out, or cast the weight")
    if given is not None:
        check_alike("weight", weight, {"bias": given})
        return weight, given_array("bias", given, shape[-1:])
    return weight, home.zeros(shape[-1:], weight.dtype) if bias else None
