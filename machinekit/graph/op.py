"""The op protocol, read by duck typing: five verbs, with defaults for a user's own op.

Only `__call__` (or `solve`) is needed to run an op; a derivative verb that an op lacks is missed
when it is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..records import Cotangent, State, Tangent

__all__ = [
    "MissingVerb",
    "Op",
    "check_op_kind",
    "live_masks",
    "moved",
    "parameters",
    "parts",
    "pullback",
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


class MissingVerb(TypeError):
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
