"""Evaluation: one pass of an objective at one θ, and what loss and penalties read of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from ..arrays import Array
from ..graph.op import pullback, pullback_inputs, pullback_tangent, pushforward, replace, solve
from ..records import Cotangent, State, Tangent
from .samples import count_samples

__all__ = ["Evaluation"]


class Evaluation:
    """The model at θ, its state, and the loss there; the pullbacks are computed when first asked for.

    Parameters
    ----------
    base : op
        The model, with any parameters.
    params : mapping of str to array
        The parameters, by name.
    inputs : tuple of arrays
    loss : Loss
    targets : array
    mask : bool array or None
    weights : array of shape (*batch, *grid) or None
    share : float
        What the loss is multiplied by: 1 but for a part of weighted samples, see `Problem.subset`.
    count : int, optional
        The number of samples that the mask counts, if loss, targets and mask have been checked: see `Loss.check`. Not
        with weights.

    Attributes
    ----------
    params, loss, targets, mask, weights
        As given.
    model : op
        The model with these parameters.
    state : State
        Its state at the inputs.
    prediction : array of shape (*batch, *grid, channel)
        Its output.
    count : int
        The number of samples that the mask counts; TypeError where they have weights.

    Raises
    ------
    TypeError
        If the model has not one output.
    TypeError, ValueError
        As the model's ``solve``.

    Notes
    -----
    A penalty on more than the parameters is given this: ``value_at(at)``, ``gradient_at(at)``,
    ``hessp_at(at, d)``. It lives as long as one call of the objective, or as one of its operators.
    """

    params: Mapping[str, Array]
    model: Any
    state: State

    def __init__(
        self,
        base: Any,
        params: Mapping[str, Array],
        inputs: tuple,
        loss: Any,
        targets: Array,
        mask: Array | None,
        weights: Array | None = None,
        share: float = 1.0,
        count: int | None = None,
    ) -> None:
        self._given, self._share = (base, inputs), share
        self._known = {} if count is None else {"count": count}
        self.params, self.loss, self.targets, self.mask, self.weights = params, loss, targets, mask, weights
        self.model = replace(base, params)
        self.state = solve(self.model, *inputs)
        if len(self.state.outputs) != 1:
            raise TypeError(
                f"the model has {len(self.state.outputs)} outputs but a loss reads one; "
                "end it with an op that joins them"
            )

    def moved(self, params: Mapping[str, Array]) -> Evaluation:
        """Return the evaluation at other parameters."""
        base, inputs = self._given
        data = (self.loss, self.targets, self.mask, self.weights, self._share)
        return Evaluation(base, params, inputs, *data, **self._known)

    @property
    def prediction(self) -> Array:
        return self.state.outputs[0]

    @cached_property
    def count(self) -> int:
        if self.weights is not None:
            raise TypeError(
                "a penalty averages over the samples and knows no weights; leave it out, or leave weights out and "
                "repeat samples instead"
            )
        return self._known.get("count") or count_samples(self.mask, tuple(self.prediction.shape[:-1]))

    def check(self) -> int:
        """Look at the targets and the mask, once for all further evaluations; return `count`."""
        self._known = {"count": self.loss.check(self.prediction, self.targets, self.mask)}
        return self.count

    def value(self) -> Any:
        """Return the loss."""
        return self._weighed(self.loss.value, self.prediction, self.targets)

    @cached_property
    def seed(self) -> Array:
        """The gradient of the loss with respect to the prediction."""
        return self._weighed(self.loss.gradient, self.prediction, self.targets)

    def _weighed(self, verb: Callable[..., Any], *arrays: Array) -> Any:
        """Call a method of the loss; one of your own knows no weights maybe, and is then given none."""
        if self.weights is None:
            return verb(*arrays, self.mask, **self._known)
        found = verb(*arrays, self.mask, self.weights)
        return found if self._share == 1.0 else self._share * found

    @cached_property
    def cotangent(self) -> Cotangent:
        """The pullback of `seed`: the gradient of the loss with respect to parameters and inputs."""
        return pullback(self.model, self.state, (self.seed,))

    @cached_property
    def dual(self) -> Cotangent:
        """The same, maybe without the parameters: what second derivatives read."""
        if "cotangent" in self.__dict__:
            return self.cotangent
        return pullback_inputs(self.model, self.state, (self.seed,))

    def along(self, d: Mapping[str, Array]) -> Tangent:
        """Return the derivative of the state along a direction of the parameters."""
        return pushforward(self.model, self.state, (None,) * len(self.state.inputs), d)

    def towards(self, inputs: tuple) -> Tangent:
        """Return the derivative of the state along a direction of the inputs."""
        return pushforward(self.model, self.state, inputs, {})

    def bend(self, tangent: Tangent) -> Array:
        """Return how `seed` changes along a tangent: the loss's Hessian times that of the prediction.

        Raises
        ------
        TypeError
            If the loss has no Hessian product.
        """
        if not hasattr(self.loss, "hessp"):
            raise TypeError(
                f"the loss {self.loss!r} has no hessp, which second derivatives need; "
                "give it a method hessp(p, t, d, mask) that returns its Hessian times d"
            )
        return self._weighed(self.loss.hessp, self.prediction, self.targets, tangent.outputs[0])

    def change(self, cotangent: Cotangent, tangent: Tangent, bend: Array | None) -> Cotangent:
        """Return the derivative of a pullback along a tangent, its seed changing by `bend`."""
        return pullback_tangent(self.model, self.state, cotangent, tangent, (bend,))
