"""Penalties: quadratic terms in the parameters, with gradient and Hessian product by hand.

A penalty here is a function of a dict of name → array, the parameters of a model. Names of a container
have components, ``"0.weight"``; by default a penalty acts on the parameters whose last component is
``weight``: biases are not penalised. Penalties on input gradients, which read the model and the data,
are in `input_penalties` and `jacobian_penalties`, that on the feedback of a machine in `feedback_norm`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from ..arrays import Array, backend_of, namespace, near
from .feedback_norm import FeedbackNorm, feedback_norm
from .input_penalties import InputGradient, InputPenalty, input_gradient
from .jacobian_penalties import JacobianNorm, jacobian_norm
from .options import nonnegative
from .samples import sum_of

__all__ = [
    "L2",
    "FeedbackNorm",
    "InputGradient",
    "InputPenalty",
    "JacobianNorm",
    "LagSmoothness",
    "Penalty",
    "feedback_norm",
    "input_gradient",
    "jacobian_norm",
    "l2",
    "lag_smoothness",
]

Parameters = Mapping[str, Array]


@dataclass(frozen=True)
class Penalty(ABC):
    """A quadratic form in the selected parameters, times a strength.

    Parameters
    ----------
    strength : float
        At least 0.
    names : iterable of str, optional
        Which parameters: whole names, or their last components (``"bias"`` selects every bias).
        By default ``("weight",)``.

    Raises
    ------
    TypeError
        A strength that is no number, names that are no strings.
    ValueError
        A negative or infinite strength; a name given that selects nothing.
    """

    strength: float
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", nonnegative("strength", self.strength))
        if self.names is None:
            return
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"names is {self.names!r}; pass names of parameters, such as ('0.weight', 'bias')")
        object.__setattr__(self, "names", names)

    def bind(self, masks: Mapping[str, np.ndarray]) -> Self:
        """Return the penalty for a model with these live masks (name → host bool array, absent = all live)."""
        return self

    def value(self, params: Parameters) -> Any:
        """Return the penalty as a Python float; complex if a parameter is."""
        return (
            0.5 * self.strength * sum_of(s for name in self._select(params) for s in self._squares(name, params[name]))
        )

    def gradient(self, params: Parameters) -> dict[str, Array]:
        """Return the gradient by name: one array per parameter, zero where a parameter is not selected."""
        return self.hessp(params, params)

    def hessp(self, params: Parameters, d: Parameters) -> dict[str, Array]:
        """Return the Hessian times `d`, by name; the form being quadratic, it does not depend on `params`.

        A name that `d` lacks is a zero direction.
        """
        chosen = self._select(params)
        product = {}
        for name, array in params.items():
            along = d.get(name)
            if along is not None and tuple(along.shape) != tuple(array.shape):
                raise ValueError(f"d[{name!r}] has shape {tuple(along.shape)}; pass {tuple(array.shape)}")
            if along is None or name not in chosen:
                product[name] = namespace(array).zeros_like(array)
            else:
                product[name] = self.strength * self._force(name, along)
        return product

    def _select(self, params: Parameters) -> list[str]:
        wanted = ("weight",) if self.names is None else self.names
        for word in wanted if self.names is not None else ():
            if not any(_matches(name, word) for name in params):
                raise ValueError(f"names has {word!r}, which selects no parameter; {near(word, params)}")
        return [name for name in params if any(_matches(name, word) for word in wanted)]

    @abstractmethod
    def _squares(self, name: str, w: Array) -> Iterable[Array]:
        """Yield arrays whose entries add to twice the quadratic form of one parameter, without the strength."""

    @abstractmethod
    def _force(self, name: str, w: Array) -> Array:
        """Return its gradient."""


def _matches(name: str, word: str) -> bool:
    return name == word or name.endswith("." + word)


@dataclass(frozen=True)
class L2(Penalty):
    """½ λ Σ w², gradient λ w. Made by `l2`."""

    def _squares(self, name: str, w: Array) -> Iterable[Array]:
        yield w * w

    def _force(self, name: str, w: Array) -> Array:
        return w + 0.0


@dataclass(frozen=True)
class LagSmoothness(Penalty):
    """½ λ Σ (w[j + 1] − w[j])² along every lag axis, over pairs of live taps. Made by `lag_smoothness`.

    Attributes
    ----------
    masks : mapping of str to bool array on the host
        The live masks, filled by `bind`; absent = all live.
    """

    masks: Mapping[str, np.ndarray] | None = None
    _there: dict[tuple, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_there": {}}

    def bind(self, masks: Mapping[str, np.ndarray]) -> Self:
        """Return the penalty that leaves out the pairs of which one tap is dead in `masks`."""
        return replace(self, masks={name: np.array(mask, dtype=bool) for name, mask in masks.items()})

    def _steps(self, name: str, w: Array) -> Iterable[tuple[int, Array]]:
        """Yield (axis, differences along it), exactly zero between taps that are not both live."""
        xp = namespace(w)
        live = (self.masks or {}).get(name)
        if live is not None and live.shape != tuple(w.shape):
            raise ValueError(f"{name} has shape {tuple(w.shape)} but its live mask {live.shape}; bind the model's own")
        for axis in range(w.ndim - 2):
            step = w[_from(axis, 1, None)] - w[_from(axis, 0, -1)]
            if live is not None:
                step = xp.where(self._both(name, live, axis, w), step, xp.zeros_like(step))
            yield axis, step

    def _both(self, name: str, live: np.ndarray, axis: int, w: Array) -> Array:
        """Return where two taps in a row are live, copied to where the weight is once."""
        home, here = backend_of(w), (name, axis)
        known = self._there.get(here)
        if known is None or backend_of(known) != home:
            known = self._there[here] = home.from_host(live[_from(axis, 1, None)] & live[_from(axis, 0, -1)])
        return known

    def _squares(self, name: str, w: Array) -> Iterable[Array]:
        return (step * step for _, step in self._steps(name, w))

    def _force(self, name: str, w: Array) -> Array:
        xp = namespace(w)
        force = xp.zeros_like(w)
        for axis, step in self._steps(name, w):
            edge = xp.zeros_like(w[_from(axis, 0, 1)])
            force = force + (xp.concat([edge, step], axis=axis) - xp.concat([step, edge], axis=axis))
        return force


def _from(axis: int, start: int, stop: int | None) -> tuple:
    return (*(slice(None),) * axis, slice(start, stop), ...)


def l2(strength: float, names: Iterable[str] | None = None) -> L2:
    """Return the penalty ½ λ Σ w² on weights.

    Parameters
    ----------
    strength : float
        λ, at least 0.
    names : iterable of str, optional
        Which parameters, see `Penalty`. By default all named ``weight``: biases are not penalised.

    Raises
    ------
    ValueError, TypeError
        See `Penalty`.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.training import penalties
    >>> penalty = penalties.l2(0.5)
    >>> params = {"weight": np.array([[2.0, 4.0]]), "bias": np.array([8.0, 8.0])}
    >>> penalty.value(params), penalty.gradient(params)
    (5.0, {'weight': array([[1., 2.]]), 'bias': array([0., 0.])})
    """
    return L2(strength, names)  # type: ignore[arg-type]  # read by __post_init__


def lag_smoothness(strength: float, names: Iterable[str] | None = None) -> LagSmoothness:
    """Return the penalty ½ λ Σ (w[j + 1] − w[j])² on differences of adjacent taps, along every lag axis.

    Parameters
    ----------
    strength : float
        λ, at least 0.
    names : iterable of str, optional
        Which parameters, see `Penalty`. Lag axes are all but the last two; a weight of two axes has
        none, and adds nothing.

    Raises
    ------
    ValueError, TypeError
        See `Penalty`.

    Notes
    -----
    A difference counts only between two live taps; `mk.Objective` hands the live masks over, and
    ``penalty.bind(masks)`` does so elsewhere. Large taps next to each other are not penalised, rough
    kernels are (arXiv:2204.12786 names differences of adjacent taps as a regulariser).

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.training import penalties
    >>> penalties.lag_smoothness(1.0).value({"weight": np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1)})
    2.5
    """
    return LagSmoothness(strength, names)  # type: ignore[arg-type]
