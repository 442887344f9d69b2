"""Objective: the training problem as a function of one vector, with exact derivatives up to the second."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph.op import parameters
from ..machines.build import integer, read_generator
from .curvature import Curvature
from .problem import Problem

__all__ = ["Objective"]

_STEP = 2.0**-70
"""Complex step; its square is below every precision."""


class Objective(Problem):
    """J(θ) = loss(model_θ(inputs), targets) + Σ penalties(θ), its gradient, and products with its Hessian.

    Parameters
    ----------
    model : op
        A machine, a chain, any op with real parameters and one output.
    loss : str or Loss
        See `get_loss`.
    inputs : array, or tuple of arrays
        What ``model.solve`` takes. Copied, as are the targets, the mask and the weights.
    targets : array
        What the loss takes: of the shape of the output, or labels.
    penalties : penalty, or iterable of penalties
        Objects with ``value(params)`` and ``gradient(params)``; one with ``bind`` is given the live masks. Those that
        read the model and the data have ``value_at(at)`` and ``gradient_at(at)`` of an `Evaluation` instead.
    mask : bool array of shape (*batch, *grid), optional
        True = counted.
    weights : array of shape (*batch, *grid), real floating of the precision of the targets, optional
        The loss is then the weighted mean: see `Loss`. Penalties on input gradients take none.

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
    solve, and one product of live size for the weights. A Hessian product is the derivative of that pullback: two
    sweeps more, 8 products of live size against 3 (see ``pullback_tangent``).

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
    >>> objective.hessp(objective.theta0, np.array([1.0]))
    array([9.])
    """

    def hessp(self, theta: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Return ∇²J(θ) d exactly, as ``scipy.optimize.minimize(…, hessp=…)`` takes it.

        Parameters
        ----------
        theta, d : host vectors of length `size`, float64
            All parameters move at once. Nothing is kept for the next call; see `hessian` for many directions.

        Returns
        -------
        float64 host vector of length `size`
            Complex for complex θ or d.

        Raises
        ------
        TypeError
            An op without ``pullback_tangent``; an activation that is not of class C¹; a loss or a penalty without
            ``hessp``.
        TypeError, ValueError
            As `value`.

        Notes
        -----
        Solve, dual, tangent, tangent of the dual: about 2.7 times the multiply-adds of `fun`.
        """
        return Curvature(self, theta).hessp(d)

    def gauss_newton_product(self, theta: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Return G(θ) d for the Gauss–Newton matrix G = p′ᵀ ∇²L p′ + Σ penalties″, with p the prediction.

        Parameters
        ----------
        theta, d : host vectors of length `size`, float64

        Returns
        -------
        float64 host vector of length `size`

        Raises
        ------
        TypeError, ValueError
            As `hessp`, but neither ``pullback_tangent`` nor C¹ is needed.

        Notes
        -----
        G is positive semidefinite for the losses of `mk.losses`, and ∇²J where the residuals vanish. A penalty takes
        part by its own Gauss–Newton product, if it has ``gauss_newton_at``, else by its Hessian.
        """
        return Curvature(self, theta).gauss_newton_product(d)

    def curvature(self, theta: np.ndarray, d: np.ndarray) -> Any:
        """Return dᵀ ∇²J(θ) d, the second derivative of J along d; takes and raises what `hessp` does.

        Returns
        -------
        float
            Complex for complex θ or d.
        """
        return (d @ self.hessp(theta, d)).item()

    def hessian(self, theta: np.ndarray) -> Any:
        """Return ∇²J(θ) as a symmetric linear operator, for ``scipy.sparse.linalg``.

        Parameters
        ----------
        theta : float64 host vector of length `size`

        Returns
        -------
        scipy.sparse.linalg.LinearOperator of shape (size, size)
            It keeps the state and the dual of this θ: a product is two sweeps.

        Raises
        ------
        TypeError
            A complex θ.
        TypeError, ValueError
            As `value`; its products as `hessp`.

        Examples
        --------
        >>> import numpy as np, machinekit as mk
        >>> x = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]])
        >>> model = mk.Affine(3, 1, bias=False, weight=np.zeros((3, 1)))
        >>> objective = mk.Objective(model, "squared_error", x, np.zeros((2, 1)))
        >>> objective.hessian(objective.theta0) @ np.eye(3)  # Σ x xᵀ / 2
        array([[0.5, 1. , 0. ],
               [1. , 2.5, 1.5],
               [0. , 1.5, 4.5]])
        """
        return _operator(Curvature(self, self._real(theta)).hessp, self.size)

    def gauss_newton(self, theta: np.ndarray) -> Any:
        """Return G(θ) as a symmetric linear operator; see `gauss_newton_product` and `hessian`."""
        return _operator(Curvature(self, self._real(theta)).gauss_newton_product, self.size)

    def _real(self, theta: np.ndarray) -> np.ndarray:
        if self._layout.check(theta).dtype.kind == "c":
            raise TypeError(f"theta is {theta.dtype}; an operator is of a real θ, pass theta.real, or use hessp")
        return theta

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


def _operator(product: Callable[[np.ndarray], np.ndarray], size: int) -> Any:
    from scipy.sparse.linalg import LinearOperator

    def matvec(d: np.ndarray) -> np.ndarray:
        return product(np.asarray(d, dtype=np.float64).ravel())

    return LinearOperator((size, size), matvec=matvec, rmatvec=matvec, dtype=np.float64)
