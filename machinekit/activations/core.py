"""What an activation is: a pointwise map with hand-written derivatives and a declared class C^k."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ..arrays import Array, astype, dtype_name, namespace, precision
from ..errors import DerivativeError
from .smooth import zero

__all__ = ["Activation", "ComplexStep", "Function"]

Function = Callable[[Array], Array]
_STEP = 2.0**-70
"""Complex step; a power of two, so that dividing by it is exact. Its square is below every precision."""


@dataclass(frozen=True)
class ComplexStep:
    """The derivative of an analytic function by the complex step, Im f(y + ih)/h, exact to rounding."""

    function: Function
    name: str

    def __call__(self, y: Array) -> Array:
        if dtype_name(y).startswith("complex"):
            raise DerivativeError(
                f"activation {self.name!r} has no formula for its derivative at complex points "
                "(the complex step is taken); give one: mk.Activation(value, derivative)"
            )
        xp = namespace(y)
        wide = xp.complex64 if precision(y, "y") == "single" else xp.complex128
        try:
            value = self.function(astype(y, wide) + 1j * _STEP)
        except TypeError as error:
            raise DerivativeError(
                f"activation {self.name!r} takes no complex numbers ({error}), so the complex step cannot "
                "differentiate it; give a derivative: mk.Activation(value, derivative)"
            ) from error
        if not dtype_name(value).startswith("complex"):
            raise DerivativeError(
                f"activation {self.name!r} returned {dtype_name(value)} at complex points, so the complex "
                "step cannot differentiate it; give a derivative: mk.Activation(value, derivative)"
            )
        return xp.imag(value) / _STEP


@dataclass(frozen=True)
class _Missing:
    """Stands for a derivative that was not given; raises when it is asked for."""

    name: str
    order: str = "second"

    def __call__(self, y: Array) -> Array:
        raise self.error()

    def error(self) -> DerivativeError:
        """Return what to raise: which derivative is missing, and how to give it."""
        below, all_of_them = {
            "second": ("derivative", "both: mk.Activation(value, derivative, second)"),
            "third": ("second", "all: mk.Activation(value, derivative, second, third=third)"),
        }[self.order]
        return DerivativeError(
            f"activation {self.name!r} has no {self.order} derivative; give its {below} (the complex step "
            f"then gives the {self.order}) or {all_of_them}"
        )


@dataclass(frozen=True)
class Activation:
    """A pointwise nonlinearity σ with its derivatives.

    Parameters
    ----------
    value : callable
        σ, taking and returning an array of any shape, real or complex. Written against the
        namespace of its argument (``y.__array_namespace__()``) it serves every backend.
    derivative : callable, optional
        σ′. When left out, `value` is taken to be analytic and differentiated by the complex step.
    second : callable, optional
        σ″. When left out and `derivative` is given, by the complex step of `derivative`.
    name : str, optional
        What messages, `describe()` and saved files call it.
    smoothness : int or float, optional
        k of the class C^k (``math.inf`` allowed): a computation of order r needs C^(r−1). By default
        infinity for a bare value, else the number of derivatives given.
    kinks : tuple of float, optional
        Points where some derivative jumps; at a kink the derivative is a documented one-sided value.
    options : tuple of (str, float), optional
        The parameters of a parametrised built-in, kept for saving.
    slope_of_value, second_of_value, third_of_value : callable, optional
        σ′, σ″ and σ‴ as functions of σ(y), where there are stable ones; they save a transcendental each.
    third : callable, optional
        σ‴. When left out and `second` is given, by the complex step of `second`.
    prox : callable, optional
        (x, alpha) ↦ prox_{αf}(x), a new array, for a step size alpha > 0 and the f with σ = prox_f; at complex x its
        analytic continuation. None where σ is not, or is not known to be, a proximal operator; `scalar_prox` in
        `mk.activations` makes it for a smooth σ.

    Notes
    -----
    prox_{αf}(x) = argmin_s α f(s) + ½ (s − x)², so that alpha = 1 gives σ itself. There is such a convex f exactly
    if σ is nondecreasing and nonexpansive (J. J. Moreau, Bull. Soc. Math. France 93 (1965), 273–299). With
    ∂f(s) = σ⁻¹(s) − s, prox_{αf}(x) = σ(p) where (1 − α) σ(p) + α p = x. It is what operator splitting takes for
    any other step size; σ in its place has other fixed points (arXiv:2006.08591, §3).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> cube = mk.Activation(lambda y: y**3, name="cube")
    >>> cube.derivative(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> mk.leaky_relu(0.25)(np.array([-4.0, 4.0]))
    array([-1.,  4.])
    >>> mk.activations.get_activation("soft_threshold").prox(np.array([-4.0, 1.0, 4.0]), 2.0)
    array([-3.,  0.,  3.])
    """

    value: Function
    derivative: Function = None  # type: ignore[assignment]  # filled below
    second: Function = None  # type: ignore[assignment]
    name: str = ""
    smoothness: float = None  # type: ignore[assignment]
    kinks: tuple[float, ...] = ()
    options: tuple[tuple[str, float], ...] = ()
    slope_of_value: Function | None = field(default=None, repr=False)
    second_of_value: Function | None = field(default=None, repr=False)
    third: Function = None  # type: ignore[assignment]
    third_of_value: Function | None = field(default=None, repr=False)
    prox: Callable[[Array, float], Array] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for role in ("value", "derivative", "second", "third"):
            given = getattr(self, role)
            if not (callable(given) or (given is None and role != "value")):
                raise TypeError(f"{role} is {given!r}; pass a function of one array")
        if not (callable(self.prox) or self.prox is None):
            raise TypeError(f"prox is {self.prox!r}; pass a function of an array and a step size, or None")
        if self.derivative is None and self.second is not None:
            raise TypeError("second is given without derivative; give both, or neither")
        if self.second is None and self.third is not None:
            raise TypeError("third is given without second; give both, or neither")
        given_count = sum(a is not None for a in (self.derivative, self.second, self.third))
        fill = object.__setattr__
        if not self.name:
            fill(self, "name", getattr(self.value, "__name__", "activation"))
        if self.smoothness is None:
            fill(self, "smoothness", given_count or math.inf)
        if self.third is None:
            known = self.second is not None
            fill(self, "third", ComplexStep(self.second, self.name + "''") if known else _Missing(self.name, "third"))
        if self.second is None:
            fill(self, "second", ComplexStep(self.derivative, self.name + "'") if given_count else _Missing(self.name))
        if self.derivative is None:
            fill(self, "derivative", ComplexStep(self.value, self.name))

    def __call__(self, y: Array) -> Array:
        """Return σ(y), of the shape of `y`."""
        return self.value(y)

    @property
    def piecewise_linear(self) -> bool:
        """Whether σ is made of linear pieces: its second derivative is `zero` of `mk.activations`."""
        return self.second is zero

    def demand(self, k: int, what: str) -> None:
        """Raise DerivativeError unless σ is of class C^k and has its derivative of order k + 1, which `what` needs."""
        if self.smoothness < k:
            raise DerivativeError(
                f"{what} needs an activation of class C^{k} and {self.name} is of class C^{self.smoothness:g}; "
                "use a smoother one, such as softplus for relu"
            )
        above = (self.derivative, self.second, self.third)[k]
        if isinstance(above, _Missing):
            raise above.error()

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value:g}" for key, value in self.options)
        return f"<{self.name}({options})>" if options else f"<{self.name}>"
