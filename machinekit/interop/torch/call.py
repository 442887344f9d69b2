"""Call: one run of a model in a module, and the three derivatives that PyTorch asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...arrays import Array
from ...graph.op import parameters, parts, pullback, pullback_inputs, pullback_tangent, pushforward, solve
from ...records import Cotangent, MachineCotangent, State, Tangent
from .tensors import Home, own_tensors, to_tensor

__all__ = ["Call", "Frozen", "Kept", "Present"]

_SIGNALS = ("y0", "z0")
_SMALL = 1 << 15
"""Bytes up to which parameters are compared as bytes."""


class Frozen:
    """An op whose parameters nobody asks for: its pullback is `pullback_inputs`, which saves a product.

    Parameters
    ----------
    op : op
        One whose states these are.
    """

    def __init__(self, op: Any) -> None:
        self.op = op
        self.reads_outputs = getattr(op, "reads_outputs", True)

    def __call__(self, *inputs: Array) -> Any:
        return self.op(*inputs)

    def solve(self, *inputs: Array) -> State:
        """Return the op's own state."""
        return solve(self.op, *inputs)

    def pushforward(self, state: State, *inputs: Array | None) -> Tangent:
        """Return the op's tangent along directions of its inputs."""
        return pushforward(self.op, state, inputs, {})

    def pullback(self, state: State, *outputs: Array | None) -> Cotangent:
        """Return the op's cotangents without those of the parameters."""
        cotangent = pullback_inputs(self.op, state, outputs)
        if not cotangent.parameters:
            return cotangent
        return Cotangent(cotangent.inputs, {}, cotangent.outputs, cotangent.saved)


class Kept:
    """The model that a module was made from, which does not change and need not be copied with the module.

    Attributes
    ----------
    model : op
    reads_outputs : bool
        Whether derivatives read the outputs, which are then not to be written to.
    trusted : bool
        Whether all ops are this library's, which return new memory.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.reads_outputs, self.trusted = _reads_outputs(model), _trusted(model)

    def __deepcopy__(self, memo: Any) -> Kept:
        return self


class Present:
    """A model with the present parameters.

    Parameters
    ----------
    kept : Kept
    model : op
    tensors : list of tensors
        Its parameters.
    versions : list of int, or None
        How often each has been written to, as far as PyTorch counts.
    """

    def __init__(self, kept: Kept, model: Any, tensors: list[Any], versions: list[int] | None) -> None:
        self.kept, self.model, self.versions = kept, model, versions
        self._partly: dict[tuple[str, ...], Any] = {}
        self._held = list(parameters(model).values())
        for k, t in enumerate(tensors):
            if t.is_cpu and t.nbytes <= _SMALL:
                self._held[k] = t.detach().numpy().tobytes()

    def current(self, tensors: list[Any], versions: list[int] | None) -> bool:
        """Tell whether these are still the parameters; the values of tensors on a GPU are not looked at.

        Parameters are compared because PyTorch does not count what is written through ``parameter.data``.
        """
        if versions != self.versions or versions is None:
            return False
        for t, held in zip(tensors, self._held, strict=True):
            if not t.is_cpu:
                return False
            array = t.detach().numpy()
            if type(held) is bytes:
                if array.tobytes() != held:
                    return False
            elif type(held) is not np.ndarray or array.shape != held.shape or not (array == held).all():
                return False
        return True

    def partly(self, wanted: tuple[str, ...]) -> Any:
        """Return the model with the ops frozen none of whose parameters is wanted; its states are the model's."""
        known = self._partly.get(wanted)
        if known is None:

            def freeze(path: str, leaf: Any) -> Any:
                names = [f"{path}.{key}" for key in parameters(leaf)]
                return Frozen(leaf) if names and not any(name in wanted for name in names) else leaf

            known = self._partly[wanted] = (
                self.model.with_parts(self.model.sharing.map(freeze)) if parts(self.model) else self.model
            )
        return known


class Call:
    """One run of a model, of which there are first and second derivatives as long as it is kept.

    Attributes
    ----------
    home : Home
    model : op
    names : tuple of str
        Of all parameters.
    wanted : tuple of str
        Of those that are trained.
    count : int
        The inputs.
    state : State
    """

    __slots__ = ("arrays", "count", "home", "model", "names", "present", "spaces", "state", "wanted")

    state: State

    def __init__(
        self, home: Home, present: Present, names: tuple[str, ...], wanted: tuple[str, ...], arrays: list[Any],
        spaces: tuple[str, ...] | None,
    ) -> None:  # fmt: skip
        self.home, self.present, self.model = home, present, present.model
        self.names, self.wanted, self.arrays, self.spaces, self.count = names, wanted, arrays, spaces, len(arrays)

    def solve(self) -> tuple[Array, ...]:
        """Run the model and return its outputs."""
        arrays, self.arrays = self.arrays, None  # type: ignore[assignment]  # the state has them
        named = arrays if self.spaces is None else (dict(zip(self.spaces, arrays, strict=True)),)
        self.state = solve(self.model, *named)
        return self.state.outputs

    def tensors(self, arrays: Sequence[Array | None], given: Sequence[Array | None]) -> list[Any]:
        """Return results as tensors in memory of their own, whatever a user's own op made them of."""
        if self.present.kept.trusted:
            return [None if array is None else to_tensor(array) for array in arrays]
        return own_tensors(arrays, (*given, *self.state.inputs))

    def pullback(self, seeds: Sequence[Array | None]) -> Cotangent:
        """Return the cotangents of the inputs, and at least of the parameters that are wanted."""
        wanted = self.wanted
        if not wanted:
            return pullback_inputs(self.model, self.state, seeds)
        if len(wanted) == len(self.names):
            return pullback(self.model, self.state, seeds)
        return pullback(self.present.partly(wanted), self.state, seeds)

    def cotangents(self, cotangent: Cotangent, needs: Sequence[bool]) -> list[Array | None]:
        """Return what is needed of a cotangent: first the inputs, then the parameters."""
        count, found = self.count, cotangent.parameters
        if isinstance(cotangent, MachineCotangent):  # whose inputs take a product more where z0 is not needed
            inputs = [
                getattr(cotangent, name) if need else None
                for name, need in zip(_SIGNALS[:count], needs[:count], strict=True)
            ]
        else:
            given = cotangent.inputs if any(needs[:count]) else (None,) * count
            inputs = [array if need else None for array, need in zip(given, needs[:count], strict=True)]
        names = zip(self.names, needs[count:], strict=True)
        return inputs + [found.get(name) if need else None for name, need in names]

    def pushforward(self, directions: Sequence[Array | None]) -> Tangent:
        """Return the tangent along directions of the inputs and of the parameters."""
        along: Mapping[str, Array] = {
            name: d for name, d in zip(self.names, directions[self.count :], strict=True) if d is not None
        }
        return pushforward(self.model, self.state, directions[: self.count], along)

    def pullback_tangent(self, cotangent: Cotangent, tangent: Tangent) -> Cotangent:
        """Return the derivative of a pullback along a tangent, the seeds staying as they are."""
        return pullback_tangent(self.model, self.state, cotangent, tangent)


def _reads_outputs(model: Any) -> bool:
    """Tell whether derivatives read the values of a model's outputs, which are then not to be written to."""
    inside = parts(model)
    if inside and hasattr(model, "ops"):  # of a chain the last op's, whatever the others read
        return _reads_outputs(model.ops[-1])
    return bool(getattr(model, "reads_outputs", True))


def _trusted(model: Any) -> bool:
    """Tell whether all ops are this library's, which return new memory."""
    inside = parts(model)
    if inside:
        return all(map(_trusted, inside.values()))
    return type(model).__module__.startswith("machinekit.")
