"""Hypergradient: the derivative of a second loss at the minimiser of a first, with respect to its penalties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ConvergenceError
from ..machines.build import integer
from .curvature import Curvature
from .options import nonnegative, positive
from .problem import Problem

__all__ = ["hypergradient"]

_EPS = float(np.finfo(np.float64).eps)


def hypergradient(
    inner: Any,
    outer: Any,
    theta: np.ndarray,
    *,
    damping: float = 0.0,
    rtol: float = 1e-8,
    max_steps: int | None = None,
    stationarity: float = 1e-6,
    cross: np.ndarray | None = None,
    direct: np.ndarray | None = None,
) -> np.ndarray:
    """Return d outer(θ*(λ))/dλ, where θ*(λ) minimises the inner objective, λ being the strengths of its penalties.

    Parameters
    ----------
    inner : Objective
        What was minimised. λ has one entry per penalty, in their order.
    outer : Objective
        What is differentiated, such as the loss on a validation set: of the same model, maybe of other data.
    theta : float64 host vector
        The minimiser θ*.
    damping : float
        μ: the solution of (H + μ) q = ∇outer is taken. 0 is exact.
    rtol : float
        Conjugate gradients end when the residual is below `rtol` times the norm of ∇outer.
    max_steps : int, optional
        The most steps of that, 10 times the length of θ by default.
    stationarity : float
        The largest norm that ∇inner may have at `theta`.
    cross : float64 host array of shape (size, more), optional
        For other hyperparameters η: ∂²inner/∂θ∂η at θ*, one column each. Theirs follow those of the penalties.
    direct : float64 host vector, optional
        ∂outer/∂λ and ∂outer/∂η at fixed θ, one per hyperparameter; 0 by default.

    Returns
    -------
    float64 host vector
        One entry per penalty, then one per column of `cross`.

    Raises
    ------
    ValueError
        Objectives of different size; `theta` is not stationary, or not a minimum; arguments out of range.
    ConvergenceError
        If conjugate gradients have not converged.
    TypeError
        Anything that is no objective; a penalty without a strength; arguments of another kind.
    TypeError, ValueError
        As `Objective.fun` and `Objective.hessp`.

    Notes
    -----
    At a minimum ∇inner(θ*, λ) = 0; the implicit function theorem gives, with H = ∇²inner,

        d outer/dλ = ∂outer/∂λ − (∂²inner/∂λ∂θ)ᵀ q ,    H q = ∇outer ,

    whose column for a penalty λ P(θ) is ∇P. One Hessian product per step; H is not formed
    (Bengio, Neural Computation 12 (2000); Pedregosa, arXiv:1602.02355).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> x, t = np.array([[1.0]]), np.array([[2.0]])
    >>> model = mk.Affine(1, 1, bias=False, weight=np.array([[1.0]]))
    >>> inner = mk.Objective(model, "squared_error", x, t, penalties=mk.penalties.l2(1.0))
    >>> outer = mk.Objective(model, "squared_error", x, t)
    >>> mk.hypergradient(inner, outer, np.array([1.0]))  # w = 2/(1 + λ), ½ (w − 2)²
    array([0.5])
    """
    for name, given in (("inner", inner), ("outer", outer)):
        if not isinstance(given, Problem):
            raise TypeError(f"{name} is {given!r}; pass an mk.Objective")
    if inner.size != outer.size:
        raise ValueError(f"inner has {inner.size} parameters but outer {outer.size}; build both from the same model")
    damping, rtol = nonnegative("damping", damping), positive("rtol", rtol)
    stationarity = positive("stationarity", stationarity)
    steps = 10 * max(inner.size, 1) if max_steps is None else integer("max_steps", max_steps, 1)
    count = len(inner.terms)
    columns = _cross(cross, inner.size)
    own = _direct(direct, count + columns.shape[1])
    _check_stationary(inner, theta, stationarity)
    q = _solve(inner, theta, outer.fun(theta)[1], damping, rtol, steps)
    return own - np.concatenate([inner.strength_gradients(theta).T @ q, columns.T @ q])


def _cross(cross: Any, size: int) -> np.ndarray:
    columns = np.zeros((size, 0)) if cross is None else _host("cross", cross)
    if columns.ndim != 2 or columns.shape[0] != size:
        raise ValueError(
            f"cross has shape {columns.shape} but the objective {size} parameters; pass ({size}, hyperparameters)"
        )
    return columns


def _direct(direct: Any, count: int) -> np.ndarray:
    own = np.zeros(count) if direct is None else _host("direct", direct)
    if own.shape != (count,):
        raise ValueError(
            f"direct has shape {own.shape} but there are {count} hyperparameters, the penalties and the columns of "
            f"cross; pass ({count},)"
        )
    return own


def _host(name: str, given: Any) -> np.ndarray:
    if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
        kind = f"numpy array of {given.dtype}" if isinstance(given, np.ndarray) else type(given).__name__
        raise TypeError(f"{name} is a {kind}; pass a float64 NumPy array on the host")
    return given.astype(np.float64)


def _check_stationary(inner: Any, theta: np.ndarray, stationarity: float) -> None:
    norm = float(np.linalg.norm(inner.fun(theta)[1]))
    if not norm <= stationarity:
        raise ValueError(
            f"theta is not stationary: the gradient of inner has norm {norm:.3g} there, above stationarity="
            f"{stationarity:g}; train on, as with mk.fit(…, method='trust-ncg', tolerance={stationarity / 10:g}), "
            "or raise stationarity"
        )


def _solve(inner: Any, theta: np.ndarray, right: np.ndarray, damping: float, rtol: float, steps: int) -> np.ndarray:
    """Return q of (H + damping) q = right, by conjugate gradients."""
    from scipy.sparse.linalg import LinearOperator, cg

    curvature = Curvature(inner, theta)

    def matvec(d: np.ndarray) -> np.ndarray:
        product = curvature.hessp(d) + damping * d
        bent, square = float(d @ product), float(d @ d)
        if not bent > 8.0 * _EPS * math.sqrt(square) * float(np.linalg.norm(product)):
            raise ValueError(
                f"theta is not a minimum: along a direction the curvature of inner is {bent / square - damping:.3g}, "
                f"with damping={damping:g} not positive; train on, add a penalty such as mk.penalties.l2(1e-6, "
                "names=('weight', 'bias')), or pass a larger damping"
            )
        return product

    operator = LinearOperator((inner.size, inner.size), matvec=matvec, dtype=np.float64)
    q, left = cg(operator, right, rtol=rtol, atol=0.0, maxiter=steps)
    if left:
        ratio = float(np.linalg.norm(curvature.hessp(q) + damping * q - right) / np.linalg.norm(right))
        raise ConvergenceError(
            f"after {steps} steps of conjugate gradients the residual is {ratio:.3g} of the right side, above rtol="
            f"{rtol:g}; raise max_steps or rtol, or pass a damping"
        )
    return q
