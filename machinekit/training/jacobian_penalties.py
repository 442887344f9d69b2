"""The penalty on the Jacobian of a model: all outputs of a sample by all its inputs, exact or by random projections."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, Backend, backend_of
from ..graph.op import pullback_inputs
from ..machines.build import integer, read_generator
from ..records import Cotangent
from .evaluation import Evaluation
from .input_penalties import InputPenalty, counted, real_name
from .structure import grid_axes

__all__ = ["JacobianNorm", "jacobian_norm"]


@dataclass(frozen=True, eq=False)
class JacobianNorm(InputPenalty):
    """(λ/2N) Σ ‖∂output/∂input‖_F² over samples, made by `jacobian_norm`."""

    projections: int | None = None
    rng: Any = None
    batch_axes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projections is None:
            if self.rng is not None:
                raise TypeError(f"rng={self.rng!r} is for random projections; pass projections too, or leave rng out")
        else:
            object.__setattr__(self, "projections", integer("projections", self.projections, 1))
            if not isinstance(self.rng, int):  # drawn once, so that the penalty is a function
                object.__setattr__(self, "rng", int(read_generator(self.rng).integers(2**63)))
        if self.batch_axes is not None:
            object.__setattr__(self, "batch_axes", integer("batch_axes", self.batch_axes, 0))

    def _pulled(self, at: Evaluation) -> Iterator[tuple[float, Cotangent]]:
        p = at.prediction
        shape = tuple(p.shape)
        lead = self._lead(at)
        draw = self._units if self.projections is None else self._directions
        for weight, seed in draw(backend_of(p), real_name(p), shape, lead):
            yield weight, pullback_inputs(at.model, at.state, (counted(at, seed),))

    def _lead(self, at: Evaluation) -> int:
        """Return how many leading axes of the output are batch."""
        axes = at.prediction.ndim
        if self.batch_axes is None:
            return max(axes - 1 - grid_axes(at.model), 0)
        if self.batch_axes >= axes:
            raise ValueError(
                f"batch_axes is {self.batch_axes} but the output has shape {tuple(at.prediction.shape)}; "
                f"pass at most {axes - 1}: the channels are no batch"
            )
        return self.batch_axes

    def _units(self, home: Backend, kind: str, shape: tuple[int, ...], lead: int) -> Iterator[tuple[float, Array]]:
        """Yield the unit vectors of one sample's outputs, for every sample."""
        for place in np.ndindex(*shape[lead:]):
            seed = home.zeros(shape, kind)
            seed[(..., *place)] = 1.0
            yield 1.0, seed

    def _directions(self, home: Backend, kind: str, shape: tuple[int, ...], lead: int) -> Iterator[tuple[float, Array]]:
        """Yield random unit vectors, one for each sample; E ‖Jᵀ s‖² = ‖J‖_F²/m for s uniform on the sphere in R^m."""
        generator = np.random.default_rng(self.rng)
        own = tuple(range(lead, len(shape)))
        count = self.projections or 0
        for _ in range(count if math.prod(shape) else 0):
            seed = generator.standard_normal(shape)
            unit = seed / np.sqrt(np.sum(seed * seed, axis=own, keepdims=True))
            yield math.prod(shape[lead:]) / count, home.from_host(unit, kind)


def jacobian_norm(
    strength: float, *, projections: int | None = None, rng: Any = None, batch_axes: int | None = None
) -> JacobianNorm:
    """Return the penalty (λ/2N) Σ ‖∂output/∂input‖_F², summed over the samples' own Jacobians.

    Parameters
    ----------
    strength : float
        λ, at least 0.
    projections : int, optional
        Estimate the norm from so many random unit seeds per sample instead of one seed per entry of its output:
        m/n Σ ‖Jᵀ s‖² for n seeds s uniform on the sphere in R^m, whose mean is ‖J‖_F².
    rng : numpy.random.Generator, int or None
        For the seeds. They are drawn once: the same at every call for the same shape of the output.
    batch_axes : int, optional
        How many leading axes of the output are batch: along them samples do not depend on each other. By default
        all but the channels and the grid axes of the model's machines, convolutions and other built-in ops. Too
        few cost time only.

    Returns
    -------
    JacobianNorm
        See `input_gradient`; also for errors.

    Raises
    ------
    ValueError, TypeError
        As `input_gradient`; counts out of range; an `rng` without `projections`.

    Notes
    -----
    N is the number of samples (batch × grid) that the mask counts; outputs that are masked have no part.
    Exact: one pullback, and for the gradient one tangent and one `pullback_tangent`, for each of the m outputs of a
    sample (Hoffman, Roberts & Yaida, arXiv:1908.02729, for the projections).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> model = mk.Affine(2, 2, bias=False, weight=np.array([[3.0, 0.0], [4.0, 1.0]]))
    >>> x = np.ones((5, 2))
    >>> objective = mk.Objective(model, "squared_error", x, model(x), penalties=mk.penalties.jacobian_norm(1.0))
    >>> objective.value(objective.theta0)
    13.0
    """
    return JacobianNorm(strength, projections, rng, batch_axes)
