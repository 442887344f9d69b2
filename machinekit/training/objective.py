"""Objective: the training problem as a function of one flat vector, with its gradient by the dual machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array, astype, backend_of
from ..graph.op import check_op_kind, parameters, pullback, replace, solve
from ..machines.build import integer, read_generator
from ..records import State
from .layout import Layout
from .losses import get_loss

__all__ = ["Objective"]

_STEP = 2.0**-70
"""Complex step; its square is below every precision."""


class Objective:
    """J(θ) = loss(model_θ(inputs), targets) + Σ penalties(θ), and its gradient.

    Parameters
    ----------
    model : op
        A machine, a chain, any op with real parameters and one output.
    loss : str or Loss
        See `get_loss`.
    inputs : array, or tuple of arrays
        What ``model.solve`` takes. Copied, as are the targets and the mask.
    targets : array
        What the loss takes: of the shape of the output, or labels.
    penalties : penalty, or iterable of penalties
        Objects with ``value(params)`` and ``gradient(params)``; one with ``bind`` is given the live masks.
    mask : bool array of shape (*batch, *grid), optional
        True = counted.

    Raises
    ------
    TypeError
        A model that is no op or has a complex parameter; inputs or targets that are no arrays.
    ValueError
        An unknown loss.

    Notes
    -----
    θ has the parameters in the order of ``model.parameters()``, of each the live entries in C order:
    dead entries are never trained. ∇J is the pullback of the loss's gradient: one solve, one dual
    solve, and one product of live size for the weights.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.training import Objective
    >>> model = mk.DenseMachine((1, 1), "identity", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
    >>> objective = Objective(model, "squared_error", np.array([[3.0]]), np.array([[3.0, 4.0]]))
    >>> objective.theta0
    array([2.])
    >>> objective.fun(objective.theta0)
    (2.0, array([6.]))
    """

    def __init__(
        self,
        model: Any,
        loss: Any,
        inputs: Array | tuple[Array, ...],
        targets: Array,
        penalties: Any = (),
        mask: Array | None = None,
    ) -> None:
        check_op_kind(model, "model")
        self._base, self._loss, self._layout = model, get_loss(loss), Layout(model)
        if isinstance(inputs, tuple):
            self._inputs = tuple(_copy(x, f"inputs[{k}]") for k, x in enumerate(inputs))
        else:
            self._inputs = (_copy(inputs, "inputs"),)
        self._targets = _copy(targets, "targets")
        self._mask = None if mask is None else _copy(mask, "mask")
        given = (penalties,) if hasattr(penalties, "value") else tuple(penalties)
        self._penalties = tuple(_bound(penalty, k, self._layout) for k, penalty in enumerate(given))

    def __repr__(self) -> str:
        name = getattr(self._loss, "name", type(self._loss).__name__)
        return f"Objective({self._base!r}, {name}, {self.size} parameters, {len(self._penalties)} penalties)"

    @property
    def theta0(self) -> np.ndarray:
        """The parameters of the model given, as a new float64 vector on the host."""
        return self.pack(parameters(self._base))

    @property
    def size(self) -> int:
        """The length of θ: live weights and all entries of the other parameters."""
        return self._layout.size

    def pack(self, params: Mapping[str, Array]) -> np.ndarray:
        """Return θ from arrays by name, parameters or their cotangents.

        Returns
        -------
        vector of length `size`
            On the host; float64, or complex128 if an array is complex. Dead entries are left out.

        Raises
        ------
        ValueError
            Names or shapes other than the model's.
        """
        return self._layout.pack(params)

    def unpack(self, theta: np.ndarray) -> dict[str, Array]:
        """Return the parameters by name, in the model's library and precision, zero where dead.

        Parameters
        ----------
        theta : host vector of length `size`, float64
            Complex is taken too (the complex step), and then makes complex parameters.

        Raises
        ------
        TypeError
            If `theta` is not a floating NumPy array.
        ValueError
            If it has another shape.
        """
        return self._layout.unpack(theta)

    def model(self, theta: np.ndarray) -> Any:
        """Return the model with the parameters θ; it takes and raises what `unpack` does."""
        return replace(self._base, self.unpack(theta))

    def value(self, theta: np.ndarray) -> Any:
        """Return J(θ) alone, by one solve; complex for complex θ.

        Raises
        ------
        TypeError, ValueError
            As `unpack`, the model's ``solve``, the loss and the penalties.
        """
        params = self.unpack(theta)
        _, _, value = self._forward(params)
        return value

    def fun(self, theta: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return J(θ) and ∇J(θ), as ``scipy.optimize.minimize(…, jac=True)`` takes them.

        Parameters
        ----------
        theta : host vector of length `size`, float64

        Returns
        -------
        value : float
        gradient : float64 host vector of length `size`
            Both complex for complex θ.

        Raises
        ------
        TypeError, ValueError
            As `value`.
        """
        params = self.unpack(theta)
        model, state, value = self._forward(params)
        seed = self._loss.gradient(state.outputs[0], self._targets, self._mask)
        gradient = dict(pullback(model, state, (seed,)).parameters)
        for penalty in self._penalties:
            for name, force in penalty.gradient(params).items():
                gradient[name] = gradient[name] + force
        return value, self.pack(gradient)

    def _forward(self, params: dict[str, Array]) -> tuple[Any, State, Any]:
        """Return the model with these parameters, its state, and the value."""
        model = replace(self._base, params)
        state = solve(model, *self._inputs)
        if len(state.outputs) != 1:
            raise TypeError(
                f"the model has {len(state.outputs)} outputs but a loss reads one; end it with an op that joins them"
            )
        value = self._loss.value(state.outputs[0], self._targets, self._mask)
        return model, state, sum((penalty.value(params) for penalty in self._penalties), value)

    def subset(self, index: np.ndarray) -> Objective:
        """Return the same objective over some samples of the first batch axis.

        Parameters
        ----------
        index : integer host vector
            Positions along the first axis of inputs, targets and mask. The mean is then over these.
        """
        new = object.__new__(Objective)
        new.__dict__.update(self.__dict__)
        new._inputs = tuple(_take(x, index) for x in self._inputs)
        new._targets, new._mask = _take(self._targets, index), _take(self._mask, index)
        return new

    def check_gradient(self, theta: np.ndarray | None = None, rng: Any = 0, directions: int = 3) -> float:
        """Return the worst relative error of ∇J along random directions.

        Parameters
        ----------
        theta : host vector of length `size`, optional
            By default `theta0`.
        rng : numpy.random.Generator, int or None
        directions : int

        Returns
        -------
        float
            max |∇J·d − J′| / (‖∇J‖ ‖d‖); near 1e-16 for a right gradient in double precision.

        Raises
        ------
        TypeError
            A model in single precision that refuses complex parameters: differences say nothing there.
        TypeError, ValueError
            As `fun`.

        Notes
        -----
        J′ is the complex step Im J(θ + i h d)/h, exact to rounding. Where something refuses complex
        parameters it is a central difference, for which a right gradient shows about 1e-9.
        """
        theta = self.theta0 if theta is None else self._layout.check(theta)
        generator, ratios = read_generator(rng), []
        _, gradient = self.fun(theta)
        for _ in range(integer("directions", directions, 1)):
            d = generator.standard_normal(theta.shape)
            error = abs(float(gradient @ d) - self._along(theta, d))
            scale = float(np.linalg.norm(gradient) * np.linalg.norm(d))
            ratios.append(0.0 if error == 0.0 else error / scale if scale else math.inf)
        return float(np.max(ratios))  # unlike max, it lets a NaN through

    def _along(self, theta: np.ndarray, d: np.ndarray) -> float:
        """Return J′ along d."""
        try:
            value = self.value(theta + 1j * _STEP * d)
        except TypeError:
            value = None
        if isinstance(value, complex):
            return value.imag / _STEP
        if any("32" in str(array.dtype) for array in parameters(self._base).values()):
            raise TypeError(
                "the model refuses complex parameters and is in single precision, where differences say nothing; "
                "check it in double precision: model.astype('float64')"
            )
        h = float(np.finfo(np.float64).eps) ** (1 / 3) * max(1.0, float(np.linalg.norm(theta) / np.linalg.norm(d)))
        return (self.value(theta + h * d) - self.value(theta - h * d)) / (2.0 * h)


def _copy(array: Array, name: str) -> Array:
    backend_of(array, name)
    return astype(array)


def _take(array: Array | None, index: np.ndarray) -> Array | None:
    if array is None:
        return None
    home = backend_of(array)
    return home.xp.take(array, home.from_host(index), axis=0)


def _bound(penalty: Any, k: int, layout: Layout) -> Any:
    """Check one penalty and hand it the live masks."""
    if isinstance(penalty, type) or not (callable(getattr(penalty, "value", None)) and hasattr(penalty, "gradient")):
        raise TypeError(f"penalties[{k}] is {penalty!r}; pass objects such as penalties.l2(0.01)")
    return penalty.bind(layout.masks) if hasattr(penalty, "bind") else penalty
