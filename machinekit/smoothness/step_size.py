"""Step sizes that cannot increase an objective: 1/L_F, from the bounds of its model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import to_host
from ..graph import Hypergraph
from ..graph.op import parameters, solve
from ..machines import Machine
from .entry import bounds
from .objectives import loss_constants, objective_bound, penalty_constants

__all__ = ["objective_smoothness", "step_size"]


def step_size(objective: Any, radius: Any = None, **options: Any) -> float:
    """Return 1/L_F: with it projected gradient descent does not increase the objective.

    Parameters
    ----------
    objective : mk.Objective
        Or any object with ``model(theta)`` and ``theta0``, ``inputs``, ``targets`` and ``loss``, maybe ``penalties``
        and ``mask``.
    radius : float or mapping of str to float
        Of (weight, bias) of each op of the model: the balls that the iterates stay in, as in `bounds`.
    **options
        Of `objective_smoothness`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        An objective that is not smooth, naming the pieces to blame.
    TypeError, ValueError
        As `bounds`, `loss_constants` and `penalty_constants`.

    Notes
    -----
    On a convex set C where ∇F is L_F-Lipschitz, w ← P_C(w − ∇F(w)/L_F) never increases F, and finds a point with a
    gradient step of norm ε within O(L_F (F_0 − F*)/ε²) steps (arXiv:2002.09051). C is a product of balls, which the
    projection scales op by op; the start must be in it.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.smoothness.step_size import step_size
    >>> line = mk.Affine(1, 1, bias=False, weight=np.array([[0.0]]))
    >>> step_size(mk.Objective(line, "squared_error", np.array([[2.0]]), np.array([[1.0]])), radius=1.0)
    0.25
    """
    bound = objective_smoothness(objective, radius, **options)
    return 1.0 / bound if bound else math.inf


def objective_smoothness(objective: Any, radius: Any = None, *, form: str = "ball", **options: Any) -> float:
    """Return L_F of F(θ) = h(ψ(θ)) + r(θ), a Lipschitz constant of ∇F where the parameters are within their radii.

    Parameters
    ----------
    objective, radius
        As for `step_size`.
    form : {"ball", "sharp", "sums"}
    **options
        Of `bounds`, such as level, block_radius, bias_radius and constants.

    Raises
    ------
    ValueError
        If L_F is infinite; options of `bounds` that the data tell.

    Notes
    -----
    L_F = l̃_h L_ψ + L_h l_ψ² + L_r, with the bounds of the model in its parameters at the inputs given, whose norms are
    taken as they are, and l̃_h on the ball of its predictions.
    """
    told = sorted({"which", "of", "batch", "grid", "shape", "input_bound", "start_bound", "at"} & set(options))
    if told:
        raise ValueError(f"{told[0]} is given, but the objective tells it; leave it out")
    model = objective.model(objective.theta0)
    inputs, targets, mask, loss, penalties = _data(objective)
    outputs = solve(model, *inputs).outputs
    if len(outputs) != 1:
        raise ValueError(f"the model has {len(outputs)} outputs; an objective reads one")
    found = bounds(
        model, radius=radius, which="parameters", form=form, of="all" if isinstance(model, Machine) else "last",
        **_reach(model, inputs), **options,
    )  # fmt: skip
    if math.isinf(found.smoothness):
        raise ValueError(
            f"the model is not smooth because of {', '.join(found.rough) or 'its size'}: no step size is known; use "
            "smooth activations, such as softplus for relu, and average pooling"
        )
    shape = tuple(outputs[0].shape)
    counted = math.prod(shape[:-1]) if mask is None else int(to_host(mask).sum())
    size = _norm(targets) if tuple(targets.shape) == shape else math.sqrt(counted)
    constants = loss_constants(loss, counted, shape[-1], size=found.size, targets=size)
    held = parameters(model)
    bent = sum(penalty_constants(penalty, held, 0.0)[1] for penalty in penalties)
    return objective_bound(found.lipschitz, found.smoothness, constants, bent)


def _data(objective: Any) -> tuple[tuple[Any, ...], Any, Any, Any, tuple[Any, ...]]:
    """Return inputs, targets, mask, loss and penalties of an objective, of the library or alike."""

    def part(name: str, default: Any = None) -> Any:
        return getattr(objective, name, getattr(objective, f"_{name}", default))

    inputs = part("inputs")
    terms = tuple(term.penalty for term in getattr(objective, "terms", ())) or tuple(part("penalties", ()))
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    for name, value in (("inputs", inputs), ("targets", part("targets")), ("loss", part("loss"))):
        if value is None:
            raise TypeError(f"objective is {objective!r} and has no {name}; pass an mk.Objective")
    return given, part("targets"), part("mask"), part("loss"), terms


def _reach(model: Any, inputs: Sequence[Any]) -> dict[str, Any]:
    """Return the options of `bounds` that the inputs tell."""
    if isinstance(model, Machine):
        partition = model.partition
        lead = tuple(next(x for x in inputs if x is not None).shape[:-1])
        cut = len(lead) - partition.axes
        starts = [_blocks(model, x) for x in (*inputs, None)[:2]]
        return {"batch": math.prod(lead[:cut]), "grid": lead[cut:], "input_bound": starts[0], "start_bound": starts[1]}
    norms = [_norm(x) for x in inputs]
    if isinstance(model, Hypergraph):
        space = model.spaces[model.inputs[0]]
        batch = math.prod(inputs[0].shape[: inputs[0].ndim - len(space)])
        return {"batch": batch, "input_bound": norms}
    if len(inputs) > 1:
        raise ValueError(f"the model has {len(inputs)} inputs; make it an mk.Hypergraph, whose inputs are named spaces")
    # whatever axes lead, they are axes of one sample: norms are of the whole batch
    return {"batch": 1, "shape": tuple(inputs[0].shape), "input_bound": norms}


def _blocks(machine: Machine, x: Any) -> tuple[float | None, ...]:
    """Return the norm of each block of a start; None where it has none."""
    if x is None:
        return (None,) * len(machine.sizes)
    blocks = machine.partition.blocks
    return tuple(_norm(x[..., b]) if b.stop <= x.shape[-1] else None for b in blocks)


def _norm(array: Any) -> float:
    return float(np.linalg.norm(np.abs(to_host(array)).astype(np.float64).ravel()))
