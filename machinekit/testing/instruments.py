"""The instruments: complex step, central differences, inner products, the rounding majorant."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..activations import Blockwise, Diagonal
from ..arrays import Array, astype, backend_of, dtype_name, namespace, to_host
from ..engine import sweep
from ..linear import apply
from ..machines import EquilibriumMachine, Machine
from ..partitions import Partition
from ..records import MachineState

__all__ = ["STEP", "Majorant", "array", "complex_step", "finite_difference", "inner", "inner_scale", "like", "sharp"]

STEP = 1e-20
"""Complex step; far below the square root of the smallest relative change, so exact to rounding."""


def inner(pairs: list[tuple[Any, Any]]) -> Any:
    """Return the sum of products over all pairs, in double precision on the host; None is zero. No conjugation."""
    terms = [np.sum(_wide(a) * _wide(b)) for a, b in pairs if a is not None and b is not None]
    total = sum(terms, 0.0)
    return complex(total) if np.iscomplexobj(total) else float(total)


def inner_scale(pairs: list[tuple[Any, Any]]) -> float:
    """Return the sum of absolute values that enter `inner`."""
    return float(sum(np.sum(np.abs(_wide(a)) * np.abs(_wide(b))) for a, b in pairs if a is not None and b is not None))


def _wide(a: Any) -> np.ndarray:
    host = to_host(a) if not isinstance(a, int | float) else np.asarray(a)
    return host.astype(complex if np.iscomplexobj(host) else float)


def complex_step(function: Callable[[Array], Any], point: Array, direction: Array) -> Any:
    """Return the directional derivative of an analytic function of one array, Im f(x + ihd)/h.

    Parameters
    ----------
    function : callable
        Takes a complex128 array of the library of `point` and returns a number or a host array.
    point, direction : real float64 arrays of one shape

    Notes
    -----
    The error is of rounding size, for h² is below it: h = 1e-20 in float64.

    Examples
    --------
    >>> import numpy as np
    >>> complex_step(lambda x: (x**3).sum(), np.array([2.0]), np.array([1.0]))
    12.0
    """
    if dtype_name(point) != "float64":
        raise TypeError(f"point is {dtype_name(point)}; the complex step is taken in float64")
    xp = namespace(point)
    value = function(array(astype(point, xp.complex128) + 1j * (STEP * direction)))
    imag = np.imag(value) / STEP
    return imag if isinstance(imag, np.ndarray) and imag.ndim else float(imag)


def finite_difference(function: Callable[[Array], Any], point: Array, direction: Array, step: float = 1e-3) -> Any:
    """Return the directional derivative by two central differences and Richardson's extrapolation.

    Parameters
    ----------
    function : callable
        Takes an array like `point` and returns a number or a host array.
    point, direction : float64 or complex128 arrays of one shape
    step : float
        The larger of the two steps, h and h/2; the error is of order h⁴.

    Examples
    --------
    >>> import numpy as np
    >>> float(round(finite_difference(lambda x: (x**3).sum(), np.array([2.0]), np.array([1.0])), 9))
    12.0
    """
    coarse, fine = (
        (function(array(point + h * direction)) - function(array(point - h * direction))) / (2.0 * h)
        for h in (step, step / 2.0)
    )
    return (4.0 * fine - coarse) / 3.0


def array(value: Any) -> Array:
    """NumPy turns sums of arrays without axes into scalars; turn them back."""
    return np.asarray(value) if isinstance(value, np.generic) else value


_SETTLED = 32.0
"""How many times larger the error of an iteration that has settled may be than that of one evaluation."""
_FINEST = 4.0


def sharp(machine: Machine, grid: tuple[int, ...]) -> Machine:
    """Return an equilibrium machine that solves as sharply as rounding allows; any other as it is."""
    if not isinstance(machine, EquilibriumMachine):
        return machine
    return machine.with_options(rtol=_FINEST * machine.finest_rtol(grid), dual_steps=None, on_failure="raise")


class Majorant:
    """How large rounding errors can grow in a machine: its linear majorant, run by the same sweep.

    An error (a, b) made at (y, z) spreads as R of |W| and |σ′| applied to (a, b), to first order. The
    absolute values of all terms of the machine equation, spread in this way, are the scale of the
    solution: "the sum of the absolute values that entered the expression".

    Parameters
    ----------
    machine : Machine
    state : MachineState
    y0, z0 : arrays
        Over all channels.
    """

    def __init__(self, machine: Machine, state: MachineState, y0: Any, z0: Any) -> None:
        self.partition: Partition = machine.partition
        self.state = state
        self.kernel, self.machine = _wide(machine.kernel), machine
        self.weight = np.abs(self.kernel)
        self.z, self.y = np.abs(_wide(state.z)), np.abs(_wide(state.y))
        self.slope = np.abs(_wide(machine.slope(state)))
        self.second = self._second(machine, state)
        bias = 0.0 if machine.bias is None else np.abs(_wide(machine.bias))
        terms = apply(self.partition, self.weight, self.z) + bias + np.abs(_wide(y0))
        self.solution = self.spread(terms, self.z + np.abs(_wide(z0)))

    def _second(self, machine: Machine, state: MachineState) -> np.ndarray:
        if isinstance(machine.pointwise, Blockwise):
            try:
                return np.abs(_wide(machine.pointwise.second(state.y)))
            except TypeError:
                return np.ones_like(self.y)
        return np.zeros_like(self.y)

    def spread(self, y: Any, z: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the majorant's response (Y, Z) to non-negative starts on Y and Z."""
        shape = self.y.shape
        start_y, start_z = (np.array(np.broadcast_to(a, shape), dtype=float) for a in (y, z))
        if self.partition.feedback:
            return self._fed_back(start_y, start_z)
        return sweep(self.partition, self.weight, Diagonal.trusted(self.slope), start_y, start_z)

    @cached_property
    def _responses(self) -> np.ndarray:
        """|(I − W D)⁻¹| of every sample, with the slopes as they are, in the layout [sample, in, out]."""
        axes = self.partition.axes
        batch, own = self.y.shape[: self.y.ndim - 1 - axes], self.y.shape[self.y.ndim - 1 - axes :]
        n = math.prod(own)
        units = np.eye(n).reshape((n, *own))
        matrix = apply(self.partition, self.kernel, units).reshape((n, n))
        slopes = _wide(self.machine.slope(self.state)).reshape((math.prod(batch), n))
        return np.abs(np.linalg.inv(np.eye(n) - slopes[:, :, None] * matrix))

    def _fed_back(self, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `spread` where blocks read themselves.

        The majorant's own feedback may have no solution, so that errors are spread by the inverse itself. An iteration
        is stopped by the norm of a sample, not by each entry: every entry is given the scale of its sample.
        """
        shape, inverse = self.y.shape, self._responses
        start = (y + apply(self.partition, self.weight, z)).reshape((inverse.shape[0], 1, inverse.shape[1]))
        own = (start @ inverse).reshape(shape)
        both = own, self.slope * own + z
        axes = tuple(range(len(shape) - 1 - self.partition.axes, len(shape)))
        wide = tuple(_SETTLED * np.max(a, axis=axes, keepdims=True, initial=0.0) for a in both)
        return np.broadcast_to(wide[0], shape), np.broadcast_to(wide[1], shape)

    def tangent(self, along: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return the scale of a directional derivative: its own terms, and the base point's error through σ″."""
        size = {name: np.abs(_wide(d)) for name, d in along.items() if d is not None}
        if self.machine.kernel is not self.machine.weight:  # W is made of several parameters
            own = {n: like(to_host(d), self.machine) for n, d in along.items() if d is not None}
            moved = self.machine._moved_kernel({**dict.fromkeys(self.machine.directions()), **own})
            size |= {} if moved is None else {"weight": np.abs(_wide(moved))}
        own_y, own_z = self.solution
        start_y: Any = np.zeros_like(self.y)
        start_z: Any = np.zeros_like(self.y)
        for name in ("y0", "bias"):
            start_y = start_y + size.get(name, 0.0)
        start_z = start_z + size.get("z0", 0.0)
        if "weight" in size:
            start_y = start_y + apply(self.partition, size["weight"], self.z + own_z)
        if "slope" in size:
            start_z = start_z + size["slope"] * (self.y + own_y)
        first_y, _ = self.spread(start_y, start_z)
        return self.spread(start_y, start_z + self.second * own_y * first_y)


def like(values: np.ndarray, machine: Machine, dtype: str | None = None) -> Array:
    """Copy host values to a machine's device, in its precision."""
    home = backend_of(machine.weight)
    kind = str(getattr(machine.dtype, "name", machine.dtype)).rpartition(".")[2] if dtype is None else dtype
    return home.from_host(values, kind)
