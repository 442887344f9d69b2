"""The penalty on the feedback of a machine in a model: how far D W is from nothing, exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, namespace, near, plus
from ..graph.op import parts, pullback, pullback_inputs, pullback_tangent
from ..machines import EquilibriumMachine, Machine
from ..records import Cotangent, MachineState
from .evaluation import Evaluation
from .feedback import Feedback, Seeded
from .options import nonnegative
from .representation import Represented

__all__ = ["FeedbackNorm", "feedback_norm"]


@dataclass(frozen=True)
class FeedbackNorm:
    """λ/N Σ ‖D W‖²_F/n over the samples of a machine's state, made by `feedback_norm`.

    Attributes
    ----------
    strength : float
        λ, at least 0.
    machine : str or None
        The place of the machine in the model.
    """

    strength: float
    machine: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", nonnegative("strength", self.strength))
        if not (self.machine is None or isinstance(self.machine, str)):
            raise TypeError(
                f"machine is {self.machine!r}; pass its place in the model, the beginning of the names of its "
                "parameters, such as '1', or None if there is one machine"
            )

    def value_at(self, at: Evaluation) -> Any:
        """Return the penalty as a Python float; complex if anything is."""
        if not self.strength:
            return 0.0
        return sum((place.feedback.value() for place in self._places(at, at.state)), 0.0)

    def gradient_at(self, at: Evaluation) -> dict[str, Array]:
        """Return the gradient by name; {} for strength 0, and a name that is left out is zero."""
        if not self.strength:
            return {}
        places = self._places(at, at.state)
        direct = _named(places, lambda p: p.machine._named(p.feedback.kernel(), None))
        if not _curved(places):
            return direct
        model = _seeded(at.model, places, {id(p.state): p.feedback.seed() for p in places})
        return _sum(pullback(model, at.state, (_zeros(at),)).parameters, direct)

    def gauss_newton_at(self, at: Evaluation, d: Mapping[str, Array]) -> dict[str, Array]:
        """Return the Gauss–Newton product of the entries of d W: positive semidefinite, no third derivative."""
        if not self.strength:
            return {}
        places = self._places(at, at.state, at.along(d))
        direct = _named(places, lambda p: p.machine._named(p.feedback.kernel_along(p.tangent, True), None))
        if not _curved(places):
            return direct
        model = _seeded(at.model, places, {id(p.state): p.feedback.seed_along(p.tangent, True) for p in places})
        return _sum(pullback(model, at.state, (_zeros(at),)).parameters, direct)

    def hessp_at(self, at: Evaluation, d: Mapping[str, Array]) -> dict[str, Array]:
        """Return the Hessian times d, exact to rounding; of activations in linear pieces, almost everywhere.

        Raises
        ------
        DerivativeError
            An activation that is neither made of linear pieces nor of class C² with a third derivative.
        """
        if not self.strength:
            return {}
        along = at.along(d)
        places = self._places(at, at.state, along)

        def bent(place: _Place) -> Any:
            now, moved = place.feedback.kernel(), place.feedback.kernel_along(place.tangent, False)
            return place.machine._bent_from(now, place.tangent, moved, None)

        direct = _named(places, bent)
        if not _curved(places):
            return direct
        places[0].machine.pointwise.demand(2, "the Hessian of feedback_norm")
        seeds = {id(p.state): p.feedback.seed() for p in places}
        changes = {id(p.state): p.feedback.seed_along(p.tangent, False) for p in places}
        model = _seeded(at.model, places, seeds, changes)
        cotangent = pullback_inputs(model, at.state, (_zeros(at),))
        return _sum(pullback_tangent(model, at.state, cotangent, along, (_zeros(at),)).parameters, direct)

    def _places(self, at: Evaluation, *records: Any) -> list[_Place]:
        """Return every place where the machine stands in the model, with its state and tangent there."""
        found = list(_leaves(at.model, "", records))
        names = [name for name, leaf, _ in found if isinstance(_core(leaf), Machine)]
        if self.machine is not None:
            chosen = [leaf for name, leaf, _ in found if name == self.machine and name in names]
            if not chosen:
                raise ValueError(f"machine={self.machine!r} is no machine of the model; {_listed(self.machine, names)}")
        else:
            machines = {id(leaf): leaf for name, leaf, _ in found if name in names}
            fed = {key: leaf for key, leaf in machines.items() if isinstance(_core(leaf), EquilibriumMachine)}
            chosen = list((fed or machines).values())
            if len(chosen) != 1:
                what = "no machine" if not chosen else f"{len(chosen)} machines"
                raise ValueError(
                    f"machine is None but the model has {what}"
                    + (f"; pass the place of one, {_listed('', names)}" if chosen else "; leave feedback_norm out")
                )
        return [_Place(name, leaf, given, self.strength) for name, leaf, given in found if leaf is chosen[0]]


def _listed(word: str, names: list[str]) -> str:
    return near(word, [name or "None, the model itself" for name in names]) if names else "it has none"


class _Place:
    """One place of a machine: the leaf that it is, or is wrapped in, and what it has computed there."""

    tangent: Any

    def __init__(self, name: str, leaf: Any, records: tuple, strength: float) -> None:
        self.name, self.leaf, self.machine = name, leaf, _core(leaf)
        self.state, *tangents = records
        if not isinstance(self.state, MachineState):
            raise TypeError(
                f"the machine {name!r} has left no state of its own but a {type(self.state).__name__}; feedback_norm "
                "is for machines that are ops of a chain or a network, used nowhere else"
            )
        self.tangent = _inner(leaf, tangents[0]) if tangents else None
        size = math.prod(self.state.y.shape)
        self.feedback = Feedback(self.machine, self.state, strength / size if size else 0.0)

    def outer(self, named: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return cotangents of the leaf's parameters, from those of the machine's."""
        known = self.machine.parameters()
        return _lifted(self.leaf, {key: array for key, array in named.items() if key in known})


def _leaves(op: Any, path: str, records: tuple) -> Iterator[tuple[str, Any, tuple]]:
    """Yield (path, leaf, its records) for every place of every op that is no container."""
    inside = parts(op)
    if not inside:
        yield path, op, records
        return
    held: list[Any] = [getattr(record, "saved", None) for record in records]
    known = all(isinstance(saved, tuple) and len(saved) == len(inside) for saved in held)
    for k, (name, part) in enumerate(inside.items()):
        mine = tuple(saved[k] for saved in held) if known else tuple(held)
        yield from _leaves(part, f"{path}.{name}" if path else name, mine)


def _core(leaf: Any) -> Any:
    """Return the op whose parameters are represented, or the leaf itself."""
    return _core(leaf.op) if isinstance(leaf, Represented) else leaf


def _inner(leaf: Any, tangent: Any) -> Any:
    return _inner(leaf.op, tangent.saved) if isinstance(leaf, Represented) else tangent


def _lifted(leaf: Any, named: Mapping[str, Array]) -> Mapping[str, Array]:
    if not isinstance(leaf, Represented):
        return named
    return leaf._outer(Cotangent((), _lifted(leaf.op, named))).parameters


def _rebuilt(leaf: Any, machine: Any) -> Any:
    return leaf._with(_rebuilt(leaf.op, machine), leaf._theta) if isinstance(leaf, Represented) else machine


def _curved(places: list[_Place]) -> bool:
    return any(place.feedback.curved for place in places)


def _named(places: list[_Place], of: Any) -> dict[str, Array]:
    """Return the sum over places of cotangents by name; a leaf's names are those of its first place."""
    sums: dict[str, Array] = {}
    for place in places:
        for key, array in place.outer(of(place)).items():
            name = f"{places[0].name}.{key}" if places[0].name else key
            sums[name] = plus(sums[name], array) if name in sums else array
    return sums


def _sum(first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
    return {**first, **{name: plus(first[name], array) if name in first else array for name, array in second.items()}}


def _seeded(model: Any, places: list[_Place], seeds: Mapping[int, Array], bent: Any = None) -> Any:
    """Return the model whose machine has seeds on y."""
    leaf = places[0].leaf
    new = _rebuilt(leaf, Seeded(places[0].machine, seeds, bent))

    def walk(op: Any) -> Any:
        if op is leaf:
            return new
        inside = parts(op)
        return op.with_parts({name: walk(part) for name, part in inside.items()}) if inside else op

    return walk(model)


def _zeros(at: Evaluation) -> Array:
    return namespace(at.prediction).zeros_like(at.prediction)


def feedback_norm(strength: float, *, machine: str | None = None) -> FeedbackNorm:
    """Return the penalty λ/N Σ ‖D W‖²_F/n on the feedback of a machine at its solution, D = σ′(y).

    Parameters
    ----------
    strength : float
        λ, at least 0.
    machine : str, optional
        The place of the machine in the model, which the names of its parameters begin with: ``"1"`` for ``"1.A"``. By
        default the one equilibrium machine that there is, or the one machine. Of a machine in several places, the
        values of all places add.

    Returns
    -------
    FeedbackNorm
        For `Objective` and `fit`. It has ``value_at``, ``gradient_at``, ``gauss_newton_at`` and ``hessp_at`` of an
        `Evaluation`.

    Raises
    ------
    ValueError, TypeError
        A strength that is negative or no number; a place that is no text. When used, a place that there is not, or
        none given in a model with none or several machines.
    DerivativeError
        When used, from `hessp_at`: an activation that is neither made of linear pieces nor of class C².

    Notes
    -----
    D W is the Jacobian of z ↦ σ(W z + b), of which an equilibrium is a fixed point; n counts the units of a sample,
    positions times channels, N the samples of the machine's own state, masked ones too. In closed form it is
    Σ_{g,i} d_{g,i}² Σ W[ℓ, j, i]² over all lags ℓ that reach the grid, couplings between blocks included; no seeds
    are drawn, where Hutchinson's estimate, the mean of ‖(D W)ᵀ s‖² over normal s, has noise (Bai, Koltun & Kolter,
    arXiv:2106.14342, where the penalty is from).

    The gradient is exact: 2 d² W, chained to the parameters that make W, and 2 d σ″(y) ‖W_i‖² as a seed on y, one
    pullback of the whole model. Where σ is made of linear pieces, d is constant almost everywhere, and there is
    nothing to pull back. The Gauss–Newton product, of the entries of D W, needs no third derivative.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> model = mk.EquilibriumMachine((2,), "relu", weight=np.array([[0.0, 0.5], [-0.5, 0.0]]))
    >>> x = np.array([[4.0, 3.0], [-1.0, -1.0]])  # one sample with D = I, one with D = 0
    >>> objective = mk.Objective(model, "squared_error", x, model(x), penalties=mk.penalties.feedback_norm(8.0))
    >>> value, gradient = objective.fun(objective.theta0)
    >>> round(value, 9), gradient.round(9) + 0.0  # 8 (1/4 + 1/4)/4, and 8 · 2 W/4
    (1.0, array([ 0.,  2., -2.,  0.]))
    """
    return FeedbackNorm(strength, machine)
