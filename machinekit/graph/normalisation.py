"""What LayerNorm and BatchNorm share: centring, one of two divisors, a scale and a bias."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, check_alike, dtype_name, namespace, near, precision
from ..linear import sum_to
from ..machines.build import read_dtype, read_home
from ..records import Cotangent, State, Tangent
from .leaf import Leaf, given_array, total

__all__ = ["FORMS", "Normalisation", "Statistics", "mean_over", "read_gains"]

FORMS = ("sqrt", "eps+sigma")


class Statistics(NamedTuple):
    """Mean and variance of groups of entries.

    Attributes
    ----------
    mean, variance : arrays that broadcast to x
        The variance is the mean of squares about the mean.
    entries : int
        How many each is taken over.
    """

    mean: Array
    variance: Array
    entries: int


class Normalisation(Leaf):
    """y = n ⊙ scale + bias with n = (x − μ)/d, d = √(ε + σ²) or ε + σ.

    A subclass tells the axes of a group, and may hold fixed statistics instead of those of x.
    """

    reads_outputs = False
    last: tuple[int, ...]
    form: str
    epsilon: float
    scale: Array | None
    bias: Array | None

    def _axes(self, x: Array) -> tuple[int, ...]:
        raise NotImplementedError

    def _fixed(self) -> Statistics | None:
        return None

    def _build(self, last: tuple[int, ...], arrays: Mapping[str, Array | None], **options: Any) -> None:
        if options["form"] not in FORMS:
            raise ValueError(f"form is {options['form']!r}; {near(options['form'], FORMS)}")
        self._fill(arrays, **{**options, "epsilon": _positive(options["epsilon"])})
        self.__dict__["last"] = last

    def __repr__(self) -> str:
        width = self.last[0] if len(self.last) == 1 else self.last
        absent = "".join(f", {name}=False" for name in ("scale", "bias") if getattr(self, name) is None)
        return f"{type(self).__name__}({width}, form={self.form!r}, epsilon={self.epsilon:g}{absent}{self._told()})"

    def _told(self) -> str:
        kinds = [f", {dtype_name(array)} on {self.backend}" for array in self._parameters.values()]
        return kinds[0] if kinds else ""

    def solve(self, *inputs: Array) -> State:
        """Return the state of y; ``saved`` holds the statistics of x, if they are not fixed.

        Parameters
        ----------
        x : array of shape (*batch, *grid, channel)
        """
        (x,) = self._one(inputs)
        if x.ndim < len(self.last) or tuple(x.shape[x.ndim - len(self.last) :]) != self.last:
            wanted = ", ".join(map(str, self.last))
            raise ValueError(f"inputs[0] has shape {tuple(x.shape)}; {self!r} reads (…, {wanted})")
        fixed = self._fixed()
        known = fixed or self._measure(x)
        y = self._normal(x, known)
        y = y if self.scale is None else y * self.scale
        return State(inputs, (y if self.bias is None else y + self.bias,), None if fixed else known)

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẏ = scale ⊙ ṅ + Ṡ ⊙ n + ḃ, Ṡ the direction of the scale."""
        given = self._directions(state, inputs)
        along = self._along(parameters)
        (x,), (direction,), saved = state.inputs, given, self._saved(state)
        n = self._normal(x, saved)
        y = namespace(n).zeros_like(n) if direction is None else self._jacobian(n, direction, saved)
        y = y if self.scale is None else y * self.scale
        if "scale" in along:
            y = y + n * along["scale"]
        if "bias" in along:
            y = y + along["bias"]
        return Tangent((y,), given, parameters)

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄, from n̄ = scale ⊙ ȳ, and the sums Σ n ⊙ ȳ for the scale and Σ ȳ for the bias."""
        (seed,) = self._seeds(state, (y,))
        saved, parameters = self._saved(state), {}
        n = self._normal(state.inputs[0], saved)
        if self.scale is not None:
            parameters["scale"] = sum_to(n * seed, self.last)
        if self.bias is not None:
            parameters["bias"] = sum_to(seed, self.last)
        return Cotangent((self._jacobian(n, self._scaled(seed), saved),), parameters, (y,))

    def pullback_inputs(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄ without the sums for scale and bias."""
        (seed,) = self._seeds(state, (y,))
        saved = self._saved(state)
        n = self._normal(state.inputs[0], saved)
        return Cotangent((self._jacobian(n, self._scaled(seed), saved),), {}, (y,))

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return x̄˙ = J n̄˙ + J̇ n̄, n̄˙ = scale ⊙ ȳ˙ + Ṡ ⊙ ȳ, and Σ ṅ ⊙ ȳ + n ⊙ ȳ˙ and Σ ȳ˙ for scale and bias."""
        at = self._motion(state, cotangent, tangent, outputs)
        (direction,), saved, (x,) = at.inputs, self._saved(state), state.inputs
        n = self._normal(x, saved)
        moved = None if direction is None else self._jacobian(n, direction, saved)
        terms = [] if at.change is None else [self._jacobian(n, self._scaled(at.change), saved)]
        if at.seed is not None:
            if "scale" in at.parameters:
                terms.append(self._jacobian(n, at.seed * at.parameters["scale"], saved))
            if moved is not None and self._fixed() is None:
                back = (self._scaled(at.seed), cotangent.inputs[0])
                terms.append(self._bent(n, (direction, moved), back, saved))
        parameters = {}
        if self.scale is not None:
            sums = [None if a is None or b is None else a * b for a, b in ((moved, at.seed), (n, at.change))]
            parameters["scale"] = sum_to(total(sums, n), self.last)
        if self.bias is not None:
            parameters["bias"] = (
                namespace(n).zeros_like(self.bias) if at.change is None else sum_to(at.change, self.last)
            )
        return Cotangent((total(terms, x),), parameters, (at.change,))

    def _scaled(self, y: Array) -> Array:
        return y if self.scale is None else y * self.scale

    # The map x ↦ n ------------------------------------------------------------------------------

    def _measure(self, x: Array) -> Statistics:
        axes = self._axes(x)
        mean = mean_over(x, axes)
        centred = x - mean
        return Statistics(mean, mean_over(centred * centred, axes), math.prod(x.shape[a] for a in axes))

    def _saved(self, state: State) -> Statistics:
        known = self._fixed() or state.saved
        return known if isinstance(known, Statistics) else self._measure(state.inputs[0])

    def _normal(self, x: Array, known: Statistics) -> Array:
        return (x - known.mean) / self._divisor(known.variance)

    def _divisor(self, variance: Array) -> Array:
        xp = namespace(variance)
        return xp.sqrt(self.epsilon + variance) if self.form == "sqrt" else self.epsilon + xp.sqrt(variance)

    def _jacobian(self, n: Array, a: Array, known: Statistics) -> Array:
        """Return (a − mean a − κ n mean(n a))/d, the tangent of n along a and, being symmetric, its dual.

        κ = 1 for √(ε + σ²) and d/σ for ε + σ, there 0 where σ = 0; a/d with fixed statistics.
        """
        d = self._divisor(known.variance)
        if self._fixed() is not None:
            return a / d
        axes = self._axes(n)
        return (a - mean_over(a, axes) - n * (self._kappa(d, known) * mean_over(n * a, axes))) / d

    def _kappa(self, d: Array, known: Statistics) -> Any:
        if self.form == "sqrt":
            return 1.0
        xp, σ = namespace(d), namespace(d).sqrt(known.variance)
        flat = σ == 0
        return xp.where(flat, xp.zeros_like(d), d / xp.where(flat, xp.ones_like(σ), σ))

    def _bent(self, n: Array, moved: tuple[Array, Array], back: tuple[Array, Array], known: Statistics) -> Array:
        """Return J̇ n̄ = −(n (κ̇ m + κ mean(ṅ n̄)) + ṅ κ m + ḋ x̄)/d, m = mean(n n̄), ḋ = κ mean(n ẋ).

        Parameters
        ----------
        moved : ẋ and ṅ
        back : n̄ and x̄ = J n̄
        """
        axes, d, xp = self._axes(n), self._divisor(known.variance), namespace(n)
        kappa, mean = self._kappa(d, known), mean_over(n * back[0], axes)
        wider = kappa * mean_over(n * moved[0], axes)
        slope = kappa * mean_over(moved[1] * back[0], axes)
        if self.form == "eps+sigma":
            flat = known.variance == 0
            square = xp.where(flat, xp.ones_like(known.variance), known.variance)
            slope = slope - self.epsilon * wider / square * mean  # ḋ is 0 where σ is
        return -(n * slope + moved[1] * (kappa * mean) + wider * back[1]) / d


def mean_over(x: Array, axes: tuple[int, ...]) -> Array:
    """Return the mean over axes, which stay as axes of one entry; 0 for an empty group."""
    total = np.add.reduce if type(x) is np.ndarray else namespace(x).sum
    return total(x, axis=axes, keepdims=True) / max(math.prod([x.shape[a] for a in axes]), 1)


def read_gains(
    shape: tuple[int, ...], scale: Any, bias: Any, fixed: dict[str, Array | None], dtype: Any, backend: Any
) -> tuple[dict[str, Array | None], dict[str, Array]]:
    """Return scale and bias, and copies of other arrays, from a user's arguments: all of one shape and precision.

    Parameters
    ----------
    scale, bias : bool or array
        True: ones and zeros. False: None.
    fixed : mapping of str to array or None
        None is left out.
    """
    asked = {"scale": scale, "bias": bias}
    given = {name: a for name, a in asked.items() if not isinstance(a, bool | np.bool_)}
    given.update({name: a for name, a in fixed.items() if a is not None})
    home = read_home(backend, given)
    copies = {name: given_array(name, a, shape) for name, a in given.items()}
    for name, array in copies.items():
        check_alike(next(iter(copies)), next(iter(copies.values())), copies)
        if dtype is not None and read_dtype(dtype) != dtype_name(array):
            raise TypeError(f"dtype={dtype!r} but {name} is {array.dtype}; leave dtype out, or cast {name}")
    single = any(precision(a, name) == "single" for name, a in copies.items())
    kind = ("float32" if single else "float64") if dtype is None else read_dtype(dtype)
    start = {"scale": 1.0, "bias": 0.0}
    gains: dict[str, Array | None] = {}
    for name, a in asked.items():
        gains[name] = copies.get(name) if name in copies or not a else home.zeros(shape, kind) + start[name]
    return gains, {name: copies[name] for name in fixed if name in copies}


def _positive(epsilon: Any) -> float:
    if isinstance(epsilon, bool | str) or not isinstance(epsilon, int | float | np.floating | np.integer):
        raise TypeError(f"epsilon is {epsilon!r}; pass a number")
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"epsilon is {epsilon}; pass a positive finite number, or constant entries divide by zero")
    return float(epsilon)
