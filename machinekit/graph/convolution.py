"""What Conv and ConvTranspose share: arguments, checks, and the verbs in terms of a linear map and its adjoint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, add_to, backend_of, check_alike, dtype_name, namespace, precision
from ..linear import rows
from ..linear.taps import Strided
from ..machines.build import draw, integer, read_dtype, read_home
from ..records import Cotangent, State, Tangent
from .affine import draw_affine
from .bilinear import Bilinear, Pulled, split_channels
from .leaf import given_array, total
from .windows import on_batch, on_samples, per_axis, read_axes, read_pairs, summary

__all__ = ["Convolution"]


class Convolution(Bilinear):
    """What Conv and ConvTranspose share: everything but which of the two maps is the forward one."""

    n_in: int
    n_out: int
    kernel_size: tuple[int, ...]
    geometry: Strided

    def _build(self, wide: int, narrow: int, given: dict[str, Any], arrays: dict[str, Any], **more: Any) -> None:
        """Set up from a user's arguments; the weight leads from `wide` to `narrow` channels."""
        axes = read_axes(given.pop("axes"), **{k: v for k, v in {**given, **more}.items() if k != "groups"})
        size = per_axis("kernel_size", given["kernel_size"], axes, 1)
        stride = per_axis("stride", given["stride"], axes, 1)
        dilation = per_axis("dilation", given["dilation"], axes, 1)
        padding, groups = read_pairs("padding", given["padding"], axes), integer("groups", given["groups"], 1)
        if wide % groups or narrow % groups:
            raise ValueError(
                f"groups is {groups} but n_in is {self.n_in} and n_out is {self.n_out}; pass a divisor of both"
            )
        more = {name: per_axis(name, value, axes, 0) for name, value in more.items()}
        for name, value in more.items():
            if any(e >= s for e, s in zip(value, stride, strict=True)):
                raise ValueError(f"{name} is {value} but stride is {stride}; pass less than the stride on each axis")
        self.__dict__["geometry"] = Strided(size, stride, dilation, padding, groups)
        shape, fan_in = (
            (*size, wide // groups, narrow),
            math.prod(size) * (self.n_in // groups) / (math.prod(stride) if more else 1),
        )
        self._fill(
            dict(zip(("weight", "bias"), _arrays(shape, self.n_out, fan_in, **arrays), strict=True)),
            n_in=self.n_in, n_out=self.n_out, kernel_size=size, stride=stride, dilation=dilation, groups=groups,
            padding=padding, **more,
        )  # fmt: skip

    def __repr__(self) -> str:
        ones = (1,) * len(self.kernel_size)
        none = {"stride": ones, "dilation": ones, "groups": 1, "padding": tuple((0, 0) for _ in ones)}
        told = summary(self._options, {**none, **({"extra": (0,) * len(ones)} if "extra" in self._options else {})})
        bias = "" if self.bias is not None else ", bias=False"
        sizes = f"{self.n_in}, {self.n_out}, {self.kernel_size}"
        return f"{type(self).__name__}({sizes}{told}{bias}, {dtype_name(self.weight)} on {self.backend})"

    def _map(self, weight: Array, x: Array) -> Array:
        """The linear part on samples."""
        raise NotImplementedError

    def _adjoint(self, weight: Array, y: Array, grid: tuple[int, ...]) -> Array:
        """Its adjoint on samples."""
        raise NotImplementedError

    def _outer(self, y: Array, x: Array) -> Array:
        """The cotangent of the weight."""
        raise NotImplementedError

    def _both(self, weight: Array, y: Array, x: Array) -> tuple[Array, Array]:
        """The adjoint and the cotangent of the weight, with as few copies of windows as can be."""
        raise NotImplementedError

    def _check(self, x: Array) -> None:
        """Check that a joint input has a grid that the op can read."""
        raise NotImplementedError

    def _join(self, inputs: tuple[Array, ...]) -> Array:
        """Check the inputs and return their channel-wise concatenation on samples."""
        kind, axes = type(self).__name__, self.geometry.axes
        if not inputs:
            raise TypeError(f"{kind} takes at least one array")
        self._alike(inputs)
        shapes = [tuple(x.shape) for x in inputs]
        if any(not shape or shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise ValueError(f"inputs have shapes {shapes}; all axes but the last must agree")
        if sum(shape[-1] for shape in shapes) != self.n_in:
            raise ValueError(
                f"inputs have {' + '.join(str(shape[-1]) for shape in shapes)} channels but n_in is {self.n_in}; "
                f"shapes {shapes}, channels last"
            )
        self._check(inputs[0])
        x = inputs[0] if len(inputs) == 1 else namespace(self.weight).concat(list(inputs), axis=-1)
        return on_samples(x, axes)

    def solve(self, *inputs: Array) -> State:
        """Return the state of y = W x + b.

        Parameters
        ----------
        *inputs : arrays of shape (*batch, *grid, channels)
            Their channels add up to n_in.
        """
        y = self._map(self.weight, self._join(inputs))
        if self.bias is not None:
            y = add_to(y, self.bias)
        return State(inputs, (on_batch(y, self._batch(inputs[0])),))

    def _batch(self, x: Array) -> tuple[int, ...]:
        return tuple(x.shape[: -1 - self.geometry.axes])

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = W ẋ + Ẇ x + ḃ."""
        given, along = self._directions(state, inputs), self._along(parameters)
        moved = self._join_directions(given, state)
        terms = [None if moved is None else self._map(self.weight, moved)]
        if "weight" in along:
            terms.append(self._map(along["weight"], self._join(state.inputs)))
        y = total(terms, on_samples(state.outputs[0], self.geometry.axes))
        if "bias" in along:
            y = add_to(y, along["bias"])
        return Tangent((on_batch(y, self._batch(state.outputs[0])),), given, parameters)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ = Wᵀ ȳ, split as the inputs were, W̄ and b̄ = Σ ȳ."""
        (seed,) = self._seeds(state, (y,))
        back, weight = self._pull(state, self.weight, seed, self._join(state.inputs))
        parameters = {"weight": weight} if self.bias is None else {"weight": weight, "bias": self._total(seed)}
        return Cotangent(split_channels(back, state.inputs), parameters, (y,))

    def _pull(self, state: State, weight: Array | None, y: Array, x: Array | None) -> Pulled:
        axes = self.geometry.axes
        flat, back, outer = on_samples(y, axes), None, None
        if weight is not None and x is not None:
            back, outer = self._both(weight, flat, x)
        elif weight is not None:
            back = self._adjoint(weight, flat, tuple(state.inputs[0].shape[-1 - axes : -1]))
        elif x is not None:
            outer = self._outer(flat, x)
        return None if back is None else on_batch(back, self._batch(y)), outer

    def _total(self, y: Array) -> Array:
        positions = rows(y)
        # a product is several times faster than a sum over the first axis
        ones = backend_of(y).zeros(positions.shape[:1], y.dtype) + 1.0
        return ones @ positions


def _arrays(
    shape: tuple[int, ...], n_out: int, fan_in: float, bias: Any, weight: Any, rng: Any, dtype: Any, backend: Any
) -> tuple[Array, Array | None]:
    """Return weight and bias from a user's arguments, the weight drawn with N(0, 1/fan-in) if missing."""
    given = None if isinstance(bias, bool | np.bool_) else bias
    home = read_home(backend, {"weight": weight, "bias": given})
    if weight is None:
        single = given is not None and precision(given, "bias") == "single"
        name = read_dtype(dtype) if dtype is not None else "float32" if single else "float64"
        scale = math.sqrt(max(math.prod(shape[:-1]), 1) / max(fan_in, 1))
        kernel = scale * draw(shape, np.ones(shape, dtype=bool), rng)
        weight = home.from_host(kernel, name)
    weight, _ = draw_affine(shape, False, None, weight, None, dtype, None)
    if given is None:
        return weight, home.zeros((n_out,), weight.dtype) if bias else None
    check_alike("weight", weight, {"bias": given})
    return weight, given_array("bias", given, (n_out,))
