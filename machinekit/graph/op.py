"""The op protocol, read by duck typing: five verbs, with defaults for a user's own op.

Only `__call__` (or `solve`) is needed to run an op; a derivative verb that an op lacks is missed
when it is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import DerivativeError
from ..records import Cotangent, State, Tangent

__all__ = [
    "Linear",
    "MissingVerb",
    "Op",
    "check_op_kind",
    "check_records",
    "live_masks",
    "moved",
    "parameters",
    "parts",
    "pullback",
    "pullback_inputs",
    "pullback_tangent",
    "pushforward",
    "replace",
    "solve",
]


class Op:
    """Base of the built-in ops: immutable, called by its outputs.

    A user's own op needs no base class; this one spells out what the defaults are.

    Attributes
    ----------
    reads_outputs : bool
        Whether derivatives read the values of the state's outputs, or their shapes only; a network need not
        keep what nobody reads.
    """

    reads_outputs: bool = True

    def __call__(self, *inputs: Array) -> Any:
        """Return the outputs of `solve`; the bare array if there is one."""
        outputs = solve(self, *inputs).outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"an op does not change; use replace({name}=…), which returns another")

    def parameters(self) -> dict[str, Array]:
        """Return the trainable arrays by name."""
        return {}

    def pullback_inputs(self, state: State, *outputs: Any) -> Cotangent:
        """Return `pullback`, without the cotangents of parameters where that saves work."""
        return pullback(self, state, outputs)


class Linear(Op):
    """Mixin of the ops that are linear in their inputs and have no parameters: a pullback moves with its seeds only."""

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> Cotangent:
        """Return x̄˙ = Jᵀ ȳ˙: the pullback of the change of the seeds, J being the same everywhere."""
        check_records(cotangent, tangent)
        return pullback(self, state, outputs)


def check_records(cotangent: Any, tangent: Any) -> None:
    """Raise TypeError unless these are answers of `pullback` and `pushforward`."""
    for name, given, kind, verb in (
        ("cotangent", cotangent, Cotangent, "pullback, or pullback_inputs,"),
        ("tangent", tangent, Tangent, "pushforward"),
    ):
        if not isinstance(given, kind):
            raise TypeError(f"{name} is a {type(given).__name__}; pass what {verb} returned for this state")


def check_op_kind(op: Any, where: str) -> None:
    """Raise TypeError unless `op` can be run."""
    if isinstance(op, type) or not (callable(op) or hasattr(op, "solve")):
        raise TypeError(f"{where} is {op!r}; pass an op: a machine, a built-in op or a callable with the op verbs")


def solve(op: Any, *inputs: Array) -> State:
    """Run an op and record its state."""
    run = getattr(op, "solve", None)
    if run is not None:
        return run(*inputs)
    outputs = op(*inputs)
    return State(inputs, outputs if isinstance(outputs, tuple) else (outputs,))


class MissingVerb(DerivativeError):
    """An op was asked for a verb that it does not have."""


def _verb(op: Any, name: str, wanted: str) -> Any:
    verb = getattr(op, name, None)
    if verb is None:
        raise MissingVerb(f"{type(op).__name__} has no {name}, which {wanted}; give the op a method {name}")
    return verb


def pushforward(op: Any, state: State, inputs: Sequence[Array | None], directions: Mapping[str, Array]) -> Tangent:
    """Return the directional derivative of an op; None is a zero direction."""
    return _verb(op, "pushforward", "a tangent needs")(state, *inputs, **directions)


def pullback(
    op: Any, state: State, seeds: Sequence[Array | None], into: Mapping[str, Array] | None = None
) -> Cotangent:
    """Return the cotangents of an op; None is a zero seed.

    Parameters
    ----------
    into : mapping of str to array, optional
        Memory for the cotangents of parameters; used by ops with a method ``pullback_into(into, state, *outputs)``,
        which may write to it and must not read it.
    """
    if seeds and len(seeds) != len(state.outputs):
        raise TypeError(f"{len(seeds)} seeds for {len(state.outputs)} outputs of {op!r}; pass one each, None is zero")
    given = None if into is None else getattr(op, "pullback_into", None)
    if given is not None:
        return given(into, state, *seeds)
    return _verb(op, "pullback", "back-propagation needs")(state, *seeds)


def pullback_inputs(op: Any, state: State, seeds: Sequence[Array | None]) -> Cotangent:
    """Return a cotangent that `pullback_tangent` can differentiate: without those of parameters, if the op can."""
    given = getattr(op, "pullback_inputs", None)
    if given is None:
        return pullback(op, state, seeds)
    if seeds and len(seeds) != len(state.outputs):
        raise TypeError(f"{len(seeds)} seeds for {len(state.outputs)} outputs of {op!r}; pass one each, None is zero")
    return given(state, *seeds)


def pullback_tangent(
    op: Any, state: State, cotangent: Cotangent, tangent: Tangent, seeds: Sequence[Array | None] = ()
) -> Cotangent:
    """Return the derivative of an op's pullback along a tangent, the seeds changing by `seeds`; None is zero."""
    if seeds and len(seeds) != len(state.outputs):
        raise TypeError(
            f"{len(seeds)} changes of seeds for {len(state.outputs)} outputs of {op!r}; pass one each, None is zero"
        )
    return _verb(op, "pullback_tangent", "second derivatives need")(state, cotangent, tangent, *seeds)


def moved(op: Any, verb: str, argument: Any) -> Any:
    """Return ``op.to(…)`` or ``op.astype(…)``; an op without that verb and without parameters goes anywhere."""
    if not hasattr(op, verb) and not parameters(op):
        return op
    return _verb(op, verb, "moving or casting a chain needs")(argument)


def parameters(op: Any) -> dict[str, Array]:
    """Return an op's parameters by name; none if it does not say."""
    return op.parameters() if hasattr(op, "parameters") else {}


def parts(op: Any) -> dict[str, Any]:
    """Return the ops inside a container by name; none if it is not one."""
    return op.parts() if hasattr(op, "parts") else {}


def replace(op: Any, changes: Mapping[str, Array]) -> Any:
    """Return the op with other parameters; the op itself when nothing changes."""
    return _verb(op, "replace", "changing parameters needs")(**changes) if changes else op


def live_masks(op: Any) -> dict[str, np.ndarray]:
    """Return the masks of the parameters that are not live throughout, by name, on the host.

    A machine's `live` is the bool mask of its weight, any other op's a mapping of name to mask.
    """
    if hasattr(op, "live_masks"):
        return dict(op.live_masks())
    live = getattr(op, "live", {})
    return dict(live) if isinstance(live, Mapping) else {"weight": live}
