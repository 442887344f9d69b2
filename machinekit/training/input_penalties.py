"""Penalties on input gradients: how steeply a model's outputs, or its loss, depend on its inputs.

Their gradient is exact by double back-propagation. With x̄ = ∂S/∂x of a scalar S of the outputs,

    ∂/∂θ ½‖x̄‖² = (∂²S/∂θ∂x) x̄ ,

the derivative of the pullback's parameter cotangents along the input direction x̄: one more tangent
and one more dual sweep, see ``pullback_tangent``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, astype, backend_of, check_alike, dtype_name, namespace, near, plus, precision
from ..graph.op import pullback_inputs
from ..records import Cotangent, Tangent
from .evaluation import Evaluation
from .options import nonnegative
from .samples import sum_of
from .structure import partition_of

__all__ = ["InputGradient", "InputPenalty", "counted", "input_gradient", "real_name"]

_STEP = 2.0**-70
"""Complex step; its square is below every precision."""


@dataclass(frozen=True, eq=False)
class InputPenalty(ABC):
    """(λ/2N) Σ_k w_k ‖x̄_k‖² of the cotangents x̄_k of all inputs, for some seeds; N is the number of counted samples.

    Not made directly: see `input_gradient` and `jacobian_norm`.

    Attributes
    ----------
    strength : float
        λ, at least 0.
    """

    strength: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", nonnegative("strength", self.strength))

    @abstractmethod
    def _pulled(self, at: Evaluation) -> Iterator[tuple[float, Cotangent]]:
        """Yield w_k and the pullback of each seed."""

    def _bend(self, at: Evaluation, tangent: Tangent) -> Array | None:
        """Return how the seeds change along a tangent; None is not at all."""
        return None

    def value_at(self, at: Evaluation) -> Any:
        """Return the penalty as a Python float; complex if anything is."""
        if not self.strength:
            return 0.0
        squares = sum_of(w * (x * x) for w, pulled in self._pulled(at) for x in pulled.inputs)
        return 0.5 * self.strength / at.count * squares

    def gradient_at(self, at: Evaluation) -> dict[str, Array]:
        """Return the gradient by name; {} for strength 0."""
        pulled = self._pulled(at) if self.strength else ()
        return _sum((w * self.strength / at.count, self._double(at, one, one.inputs)) for w, one in pulled)

    def gauss_newton_at(self, at: Evaluation, d: Mapping[str, Array]) -> dict[str, Array]:
        """Return the Gauss–Newton product Σ (∂x̄_k/∂θ)ᵀ (∂x̄_k/∂θ) d: positive semidefinite, no third derivative."""
        if not self.strength:
            return {}
        along = at.along(d)
        bend = self._bend(at, along)
        return _sum(
            (w * self.strength / at.count, self._double(at, pulled, at.change(pulled, along, bend).inputs))
            for w, pulled in self._pulled(at)
        )

    def hessp_at(self, at: Evaluation, d: Mapping[str, Array]) -> dict[str, Array]:
        """Return the Hessian times d, exact to rounding: the complex step Im ∇P(θ + i h d)/h of the gradient.

        Raises
        ------
        TypeError
            In single precision, and for complex parameters.
        """
        if not self.strength:
            return {}
        for name, array in at.params.items():
            if dtype_name(array) != "float64":
                raise TypeError(
                    f"{name} is {dtype_name(array)}, but the Hessian of {type(self).__name__} is a complex step of "
                    "its gradient, which needs real parameters in double precision; cast the model: "
                    "model.astype('float64'), or take Gauss–Newton products"
                )
        stepped = {name: _stepped(array, d.get(name)) for name, array in at.params.items()}
        gradient = self.gradient_at(at.moved(stepped))
        return {name: namespace(array).imag(array) / _STEP for name, array in gradient.items()}

    def _double(self, at: Evaluation, pulled: Cotangent, inputs: Any) -> Mapping[str, Array]:
        """Return (∂²S/∂θ∂x) times a direction of the inputs, by name."""
        tangent = at.towards(tuple(inputs))
        return at.change(pulled, tangent, self._bend(at, tangent)).parameters


def _sum(terms: Any) -> dict[str, Array]:
    sums: dict[str, Array] = {}
    for weight, arrays in terms:
        for name, array in arrays.items():
            sums[name] = plus(sums[name], weight * array) if name in sums else weight * array
    return sums


def _stepped(array: Array, d: Array | None) -> Array:
    wide = backend_of(array).dtype("complex128")
    return astype(array, wide) if d is None else astype(array, wide) + (1j * _STEP) * astype(d, wide)


def real_name(array: Array) -> str:
    """Return the name of the real dtype of an array's precision."""
    return {"single": "float32", "double": "float64"}[precision(array, "output")]


def counted(at: Evaluation, seed: Array) -> Array:
    """Return a seed with exact zeros where a sample is masked."""
    if at.mask is None:
        return seed
    xp = namespace(seed)
    return xp.where(at.mask[..., None], seed, xp.zeros_like(seed))


@dataclass(frozen=True, eq=False)
class InputGradient(InputPenalty):
    """(λ/2N) ‖∂S/∂x‖², made by `input_gradient`."""

    of: Any = "output"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.of, str):
            if self.of not in ("output", "loss"):
                raise ValueError(f"of={self.of!r} is unknown; {near(self.of, ('output', 'loss'))}, or pass a seed")
        else:
            backend_of(self.of, "of")
            object.__setattr__(self, "of", astype(self.of))

    def _pulled(self, at: Evaluation) -> Iterator[tuple[float, Cotangent]]:
        if isinstance(self.of, str) and self.of == "loss":
            yield float(at.count) ** 2, at.dual  # S is the sum of the losses, the seed that of their mean
        else:
            yield 1.0, pullback_inputs(at.model, at.state, (counted(at, self._seed(at)),))

    def _bend(self, at: Evaluation, tangent: Tangent) -> Array | None:
        return at.bend(tangent) if isinstance(self.of, str) and self.of == "loss" else None

    def _seed(self, at: Evaluation) -> Array:
        p = at.prediction
        home = backend_of(p)
        if isinstance(self.of, str):
            given, first = home.zeros((p.shape[-1],), real_name(p)), 0
            partition = partition_of(at.model)
            if partition is not None:
                first = next((block.start for block in reversed(partition.blocks) if block.stop > block.start), 0)
            given[first:] = 1.0
        else:
            given = self.of
            check_alike("output", p, {"of": given})
            if tuple(given.shape) not in (tuple(p.shape), tuple(p.shape[-1:])):
                raise ValueError(
                    f"of has shape {tuple(given.shape)} but the output {tuple(p.shape)}; pass a seed of that shape, "
                    f"or one number per channel, {tuple(p.shape[-1:])}"
                )
        return home.xp.broadcast_to(given, p.shape) + 0.0


def input_gradient(strength: float, *, of: Any = "output") -> InputGradient:
    """Return the penalty (λ/2N) ‖∂S/∂x‖² on the gradient of a scalar S with respect to all inputs x.

    Parameters
    ----------
    strength : float
        λ, at least 0.
    of : {"output", "loss"} or array
        What S is, summed over the N samples (batch × grid) that the mask counts. ``"output"``: the sum of the
        outputs; of a machine, those of its last block that is not empty. An array of shape (channel,), or of the
        shape of the output: the outputs weighed by it. ``"loss"``: the loss of each sample, N times the mean.

    Returns
    -------
    InputGradient
        For `Objective` and `fit`. It has ``value_at``, ``gradient_at``, ``gauss_newton_at`` and ``hessp_at`` of an
        `Evaluation`; `hessp_at`, a complex step of the gradient, is for double precision.

    Raises
    ------
    ValueError, TypeError
        A strength that is negative or no number; an `of` that is neither. When used, a seed of another shape,
        library or precision than the output's; ops without ``pullback_tangent`` and activations that are
        not of class C¹.

    Notes
    -----
    Where samples do not depend on each other, a row of ∂S/∂x is the gradient of its own sample, and the penalty is
    λ/2 times the mean squared norm of that. On a grid, positions share inputs: S is then a sum over positions, and
    N counts them. Value and gradient cost one pullback, and one tangent and one `pullback_tangent` more
    (double back-propagation: Drucker & Le Cun, IEEE Trans. Neural Networks 3 (1992); gradient-based
    regularisation is named in arXiv:2204.12786).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> model = mk.Affine(2, 1, bias=False, weight=np.array([[3.0], [4.0]]))
    >>> x = np.ones((5, 2))
    >>> steep = mk.penalties.input_gradient(2.0)
    >>> objective = mk.Objective(model, "squared_error", x, model(x), penalties=steep)
    >>> objective.fun(objective.theta0)  # λ/2 (3² + 4²), λ w
    (25.0, array([6., 8.]))
    """
    return InputGradient(strength, of)
