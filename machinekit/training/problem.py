"""Problem: loss plus penalties as a function of one flat vector, with its gradient by the dual machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from inspect import signature
from typing import Any, Self

import numpy as np

from ..arrays import Array, astype, backend_of, namespace, plus, to_host
from ..graph.op import check_op_kind, parameters, replace
from .evaluation import Evaluation
from .layout import Layout
from .losses import Loss, get_loss
from .samples import count_samples, weigh_samples
from .terms import Term, read_terms

__all__ = ["Problem"]


class Problem:
    """The data, the layout of θ, and everything of `Objective` up to first derivatives.

    Attributes
    ----------
    terms : tuple of Term
        The penalties.
    """

    terms: tuple[Term, ...]

    def __init__(
        self,
        model: Any,
        loss: Any,
        inputs: Array | tuple[Array, ...],
        targets: Array,
        penalties: Any = (),
        mask: Array | None = None,
        weights: Array | None = None,
    ) -> None:
        check_op_kind(model, "model")
        self._base, self._loss, self._layout = model, get_loss(loss), Layout(model)
        if isinstance(inputs, tuple):
            self._inputs = tuple(_copy(x, f"inputs[{k}]") for k, x in enumerate(inputs))
        else:
            self._inputs = (_copy(inputs, "inputs"),)
        self._targets = _copy(targets, "targets")
        self._mask = None if mask is None else _copy(mask, "mask")
        self._weights, self._share = None if weights is None else _copy(weights, "weights"), 1.0
        if weights is not None:
            _check_weighable(self._loss)
        self.terms = read_terms(penalties, self._layout)
        self._count: int | None = None

    def __repr__(self) -> str:
        name = getattr(self._loss, "name", type(self._loss).__name__)
        return f"Objective({self._base!r}, {name}, {self.size} parameters, {len(self.terms)} penalties)"

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

    def unpack(self, theta: np.ndarray, name: str = "theta") -> dict[str, Array]:
        """Return the parameters by name, in the model's library and precision, zero where dead.

        Parameters
        ----------
        theta : host vector of length `size`, float64
            Complex is taken too (the complex step), and then makes complex parameters.
        name : str
            What messages call it.

        Raises
        ------
        TypeError
            If `theta` is not a floating NumPy array.
        ValueError
            If it has another shape.
        """
        return self._layout.unpack(theta, name)

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
        return self._value(self.evaluate(theta))

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
        at = self.evaluate(theta)
        value = self._value(at)
        gradient = dict(at.cotangent.parameters)
        for term in self.terms:
            for name, force in term.gradient(at).items():
                gradient[name] = plus(gradient[name], force)
        return value, self.pack(gradient)

    def evaluate(self, theta: np.ndarray) -> Evaluation:
        """Return the pass at θ: the model, its state, and the loss's gradient when asked for; raises as `value`."""
        data = (self._inputs, self._loss, self._targets, self._mask, self._weights, self._share)
        at = Evaluation(self._base, self.unpack(theta), *data, self._count)
        if self._count is None and self._weights is None and isinstance(self._loss, Loss):
            self._count = at.check()
        return at

    def strength_gradients(self, theta: np.ndarray) -> np.ndarray:
        """Return ∂²J/∂θ∂λ for the strengths λ of the penalties: the gradient of each at strength 1.

        Parameters
        ----------
        theta : host vector of length `size`

        Returns
        -------
        host array of shape (size, penalties)

        Raises
        ------
        TypeError
            For a penalty that is no dataclass with a field ``strength``.
        TypeError, ValueError
            As `value`.
        """
        ones = [term.of_strength_one() for term in self.terms]
        at = self.evaluate(theta)
        zero = {name: namespace(array).zeros_like(array) for name, array in at.params.items()}
        columns = [self.pack({**zero, **term.gradient(at)}) for term in ones]
        return np.stack(columns, axis=1) if columns else np.zeros((self.size, 0))

    def _value(self, at: Evaluation) -> Any:
        return sum((term.value(at) for term in self.terms), at.value())

    def subset(self, index: np.ndarray) -> Self:
        """Return the same objective over some samples of the first batch axis.

        Parameters
        ----------
        index : integer host vector
            Positions along the first axis of inputs, targets, mask and weights. The mean is then over these.

        Notes
        -----
        With weights, the loss of a part is (N/n) Σ w ℓ / W, with the sum over its n samples that are counted and W the
        sum of the weights of all N: over all parts of one size it has the mean Σ w ℓ / W, which the
        weighted mean over the part has not.
        """
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._inputs = tuple(_take(x, index) for x in self._inputs)
        new._targets, new._mask = _take(self._targets, index), _take(self._mask, index)
        new._weights = _take(self._weights, index)
        if self._weights is not None:
            new._share = self._share * new._mean_weight() / self._mean_weight()
        new.__dict__.pop("_host_mask", None)
        new._count = self._count and self._counted(index)
        return new

    def _counted(self, index: np.ndarray) -> int | None:
        """Return how many of these samples are counted, None for none: what has been checked needs no second look."""
        if self._mask is None:
            return (self._count or 0) // self._targets.shape[0] * index.size or None
        return int(self._host_mask[index].sum()) or None

    @cached_property
    def _host_mask(self) -> np.ndarray:
        return to_host(self._mask)

    def _mean_weight(self) -> float:
        """Return the mean weight of the samples that are counted."""
        counted, _, whole = weigh_samples(self._mask, self._weights)
        return whole / count_samples(counted, tuple(counted.shape))


def _copy(array: Array, name: str) -> Array:
    backend_of(array, name)
    return astype(array)


def _check_weighable(loss: Any) -> None:
    """Refuse weights for a loss of one's own that takes none."""
    if "weights" not in signature(loss.value).parameters or "weights" not in signature(loss.gradient).parameters:
        raise TypeError(
            f"weights are given but the loss {loss!r} takes none; give its value and gradient a last argument weights, "
            "or leave weights out"
        )


def _take(array: Array | None, index: np.ndarray) -> Array | None:
    if array is None:
        return None
    home = backend_of(array)
    return home.xp.take(array, home.from_host(index), axis=0)
