"""The NumPy side: what the host computes when JAX calls back. Nothing here knows of JAX.

Arrays come as (θ, x): the parameters in the order of their names, then the inputs. ȳ are seeds on the outputs,
(θ̇, ẋ) directions, and None in either is zero. Memory that JAX hands over is JAX's own again when the call ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...graph.linearized import at_state
from ...graph.op import Op, parameters, parts, pullback, pullback_inputs, pullback_tangent, pushforward, replace, solve
from ...machines import Machine
from ...records import Cotangent, State

__all__ = ["Host"]

Arrays = Sequence[Any]
Mask = tuple[bool, ...]

_KEPT = 2
"""States that are kept, so that a derivative need not run the model again."""

_STEP = 1e-20
"""The complex step: its square is no number beside 1, in any precision."""


class _Run(NamedTuple):
    """A model with the parameters of one call, and its state."""

    primal: list[np.ndarray]
    model: Any
    state: State


class Host:
    """Runs a model and its derivatives on NumPy arrays.

    Parameters
    ----------
    model : op
        With real parameters in NumPy.
    joins : bool or None
        Whether an axis that is mapped over may join the batch axes; None: where all ops are known to allow it.
    """

    def __init__(self, model: Any, joins: bool | None = None) -> None:
        self.model, self.names = model, tuple(parameters(model))
        self.joins = all(map(_minds_no_batch, _leaves(model))) if joins is None else joins
        self._runs: tuple[_Run, ...] = ()
        self._shapes: dict[Any, tuple[tuple[int, ...], ...]] = {}
        self._bends = False

    def __repr__(self) -> str:
        return repr(self.model)

    def output_shapes(self, shapes: tuple[tuple[int, ...], ...], dtype: Any) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the outputs for inputs of these shapes; unless known, the model is run on zeros."""
        key = (shapes, np.dtype(dtype))
        if key not in self._shapes:
            self._learn(key, self._at_zeros(shapes, dtype))
        return self._shapes[key]

    def demand_second(self, shapes: tuple[tuple[int, ...], ...], dtype: Any) -> None:
        """Raise DerivativeError, a TypeError, unless the model has second derivatives; it is asked on zeros, once."""
        if self._bends:
            return
        state = self._at_zeros(shapes, dtype)
        with np.errstate(all="ignore"):
            seeds = tuple(np.zeros_like(a) for a in state.outputs)
            tangent = pushforward(self.model, state, tuple(np.zeros_like(a) for a in state.inputs), {})
            pullback_tangent(self.model, state, pullback_inputs(self.model, state, seeds), tangent)
        self._bends = True

    def solve(self, primal: Arrays) -> list[np.ndarray]:
        """Return the outputs."""
        return [np.asarray(a) for a in self._run(primal).state.outputs]

    def pushforward(self, primal: Arrays, along: Arrays) -> list[np.ndarray]:
        """Return ẏ = J (θ̇, ẋ)."""
        _, model, state = self._run(primal)
        outputs = pushforward(model, state, *self._named(along)).outputs
        return [_whole(a, like) for a, like in zip(outputs, state.outputs, strict=True)]

    def pullback(self, primal: Arrays, seeds: Arrays, into: Mask) -> list[np.ndarray]:
        """Return those of (θ̄, x̄) = Jᵀ ȳ that are wanted."""
        run, count = self._run(primal), len(self.names)
        verb = pullback if any(into[:count]) else pullback_inputs
        return self._wanted(run, verb(run.model, run.state, tuple(seeds)), into)

    def pullback_tangent(self, primal: Arrays, seeds: Arrays, along: Arrays, into: Mask) -> list[np.ndarray]:
        """Return those of ∂/∂s Jᵀ(θ + s θ̇, x + s ẋ) ȳ that are wanted."""
        run = self._run(primal)
        cotangent = pullback_inputs(run.model, run.state, tuple(seeds))
        tangent = pushforward(run.model, run.state, *self._named(along))
        return self._wanted(run, pullback_tangent(run.model, run.state, cotangent, tangent), into)

    def pushforward_tangent(self, primal: Arrays, along: Arrays, other: Arrays) -> list[np.ndarray]:
        """Return ∂/∂s J(θ + s θ̇′, x + s ẋ′) (θ̇, ẋ), by the complex step of the tangent, exact to rounding."""
        moved = [np.array(a) if d is None else a + _STEP * 1j * d for a, d in zip(primal, other, strict=True)]
        count = len(self.names)
        model = replace(self.model, dict(zip(self.names, moved[:count], strict=True)))
        state = solve(model, *moved[count:])
        outputs = pushforward(model, state, *self._named(along)).outputs
        return [
            np.ascontiguousarray(_whole(a, like).imag / _STEP).astype(primal[0].dtype)
            for a, like in zip(outputs, state.outputs, strict=True)
        ]

    def _run(self, primal: Arrays) -> _Run:
        """Return the state of these parameters and inputs, kept from an earlier call if there is one."""
        for run in self._runs:
            if all(map(_same, run.primal, primal)) and len(run.primal) == len(primal):
                return run
        own, count = [np.array(a, order="C") for a in primal], len(self.names)
        model = replace(self.model, dict(zip(self.names, own[:count], strict=True)))
        run = _Run(own, model, solve(model, *own[count:]))
        if own[count:]:
            self._learn((tuple(a.shape for a in own[count:]), own[count].dtype), run.state)
        self._runs = (run, *self._runs[: _KEPT - 1])
        return run

    def _at_zeros(self, shapes: tuple[tuple[int, ...], ...], dtype: Any) -> State:
        with np.errstate(all="ignore"):
            return solve(self.model, *(np.zeros(shape, dtype) for shape in shapes))

    def _learn(self, key: Any, state: State) -> None:
        """Keep the shapes of the outputs, which must be of the inputs' dtype."""
        for array in state.outputs:
            if np.asarray(array).dtype != key[1]:
                raise TypeError(f"the model returned {array.dtype} for inputs of {key[1]}; its ops must keep the dtype")
        self._shapes[key] = tuple(tuple(np.shape(a)) for a in state.outputs)

    def _named(self, along: Arrays) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the directions of the inputs, and those of the parameters by name."""
        count = len(self.names)
        named = {name: d for name, d in zip(self.names, along[:count], strict=True) if d is not None}
        return tuple(along[count:]), named

    def _wanted(self, run: _Run, cotangent: Cotangent, into: Mask) -> list[np.ndarray]:
        """Return the cotangents that are wanted; those of inputs are not looked at unless one is."""
        count = len(self.names)
        found = [cotangent.parameters.get(name) for name in self.names]
        found += cotangent.inputs if any(into[count:]) else [None] * (len(into) - count)
        return [_whole(a, like) for a, like, wanted in zip(found, run.primal, into, strict=True) if wanted]


def _leaves(model: Any) -> Iterator[Any]:
    """Yield the ops of a model that contain no other."""
    inside = parts(model)
    for part in inside.values():
        yield from _leaves(part)
    if not inside:
        yield model


def _minds_no_batch(op: Any) -> bool:
    """Tell whether an op takes one batch axis more, with samples that do not know of each other."""
    known = isinstance(op, Op | Machine) and not at_state([op])
    if getattr(op, "couples_samples", not known):
        return False
    return not hasattr(op, "op") or _minds_no_batch(op.op)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether two real arrays are the same bit by bit, by which −0 is another number than 0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    word = f"u{a.dtype.itemsize}"
    return bool((a.reshape(-1).view(word) == b.reshape(-1).view(word)).all())


def _whole(array: Any, like: Any) -> np.ndarray:
    """Return an array, zeros for None."""
    return np.zeros_like(like) if array is None else np.asarray(array)
