"""MachineModule: a model as a layer of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from ...arrays import astype, backend_of
from ...graph import Hypergraph
from ...graph.op import check_op_kind, moved, parameters, replace
from ...machines import Machine, Stream
from .call import Call, Kept, Present
from .functions import Run
from .library import torch
from .tensors import KINDS, Home, backend_flag, to_tensor

__all__ = ["MachineModule", "to_module"]


class _Part(torch.nn.Module):
    """Holds the parameters of a part of a model."""

    def extra_repr(self) -> str:
        """Return the names and shapes of the parameters."""
        return ", ".join(f"{name}={'×'.join(map(str, p.shape)) or 'scalar'}" for name, p in self._parameters.items())


class MachineModule(torch.nn.Module):
    """A model as a layer; made by `to_module`."""

    def __init__(self, model: Any) -> None:
        check_op_kind(model, "model")
        if isinstance(model, Stream):
            raise TypeError("model is a Stream, which changes when it runs; pass the machine that it was made from")
        super().__init__()
        self._kept, self._named = Kept(model), isinstance(model, Hypergraph)
        self._present: Present | None = None
        self._places: list[tuple[torch.nn.Module, str]] = []
        self._names = tuple(parameters(model))
        for name, array in parameters(model).items():
            *path, last = name.split(".")
            holder: Any = self
            for word in path:  # not by add_module, which refuses the names of a module's own attributes
                holder = holder._modules.setdefault(word, _Part())
            holder._parameters[last] = torch.nn.Parameter(to_tensor(_copy(array)))
            self._places.append((holder, last))
        self._set_home()

    def _set_home(self) -> None:
        arrays = parameters(self._kept.model).values()
        backend = next((backend_of(a) for a in arrays), None)
        self._home = Home(backend, next(self._tensors(), None))

    def _tensors(self) -> Iterator[Any]:
        for holder, name in self._places:
            parameter = holder._parameters.get(name)
            yield getattr(holder, name) if parameter is None else parameter

    def forward(self, *inputs: Any) -> Any:
        """Return the outputs of the model; the bare tensor if there is one.

        Parameters
        ----------
        *inputs : tensors or None
            As the model takes arrays: (*batch, *grid, channel); y0 and z0 of a machine, one for each name of
            ``inputs`` of a Hypergraph, or one mapping of space to tensor. None is zero.

        Raises
        ------
        TypeError
            No tensors; tensors on another device or of another precision than the parameters; integers.
        ValueError
            A wrong shape.
        DerivativeError, a TypeError
            In the backward pass: third derivatives, or second ones of what is not of class C¹.
        """
        present, tensors = self._now()
        spaces = None
        if self._named or len(inputs) != 1:
            inputs, spaces = self._read(inputs)
        arrays = self._home.arrays(inputs, lambda: self._input_names(spaces))
        wanted = self._names
        if not all(t.requires_grad for t in tensors):
            wanted = tuple(name for name, t in zip(wanted, tensors, strict=True) if t.requires_grad)
        call = Call(self._home, present, self._names, wanted, arrays, spaces)
        if torch.is_grad_enabled() and (wanted or any(t is not None and t.requires_grad for t in inputs)):
            return Run.apply(call, *inputs, *tensors)
        made = call.tensors(call.solve(), ())
        return made[0] if len(made) == 1 else tuple(made)

    def _read(self, inputs: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[str, ...] | None]:
        """Return the inputs that a state will have, and the names of their spaces in a network."""
        model = self._kept.model
        if self._named:
            named = len(inputs) == 1 and isinstance(inputs[0], dict)
            if not named and len(inputs) != len(model.inputs):
                raise TypeError(
                    f"got {len(inputs)} inputs for the spaces {', '.join(model.inputs) or 'none'}; pass one each, None "
                    "is zero, or one mapping of space to tensor"
                )
            given = inputs[0] if named else dict(zip(model.inputs, inputs, strict=True))
            given = {space: t for space, t in given.items() if t is not None}
            return tuple(given.values()), tuple(given)
        while len(inputs) > 1 and inputs[-1] is None:
            inputs = inputs[:-1]
        return inputs, None

    def _input_names(self, spaces: tuple[str, ...] | None) -> Any:
        if spaces is not None:
            return (f"input {space}" for space in spaces)
        if isinstance(self._kept.model, Machine):
            return ("y0", "z0")
        return (f"inputs[{k}]" for k in count())

    def _now(self) -> tuple[Present, list[Any]]:
        """Return the model with the present parameters, and those; the last one again if nothing has changed."""
        try:
            tensors = [holder._parameters[name] for holder, name in self._places]
        except KeyError:
            tensors = list(self._tensors())
        try:
            versions = [t._version for t in tensors]
        except RuntimeError:  # of inference tensors, which have none
            versions = None
        present = self._present
        if present is None or not present.current(tensors, versions):
            array, kept = self._home.array, self._kept
            changes = {name: array(t) for name, t in zip(self._names, tensors, strict=True)}
            present = self._present = Present(kept, replace(kept.model, changes), tensors, versions)
        return present, tensors

    @property
    def model(self) -> Any:
        """The model with the present parameters, as `machinekit` knows it; it does not change with the module."""
        changes = {n: _copy(self._home.array(t)) for n, t in zip(self._names, self._tensors(), strict=True)}
        return replace(self._kept.model, changes)

    def extra_repr(self) -> str:
        """Return the model, as it was made."""
        return repr(self._kept.model)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Move or cast the model along with the parameters, or refuse before anything is moved or cast."""
        first = next(self._tensors(), None)
        model = self._kept.model
        if first is not None:
            probe = fn(torch.empty(1, dtype=first.dtype, device=first.device))
            if not any(probe.dtype in kind for kind in KINDS.values()):
                raise TypeError(
                    f"the module's parameters would become {probe.dtype} but machines compute in float32, float64, "
                    "complex64 and complex128; use module.float() or module.double()"
                )
            if probe.device != first.device:
                model = moved(model, "to", backend_flag(probe.device))
            if probe.dtype != first.dtype:
                model = moved(model, "astype", str(probe.dtype).rpartition(".")[2])
        super()._apply(fn, recurse)
        self._kept, self._present = Kept(model), None
        self._set_home()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_present": None, "_home": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._set_home()


def _copy(array: Any) -> Any:
    """Return a copy of an array, one without axes being an array too."""
    return np.array(array) if isinstance(array, np.ndarray | np.generic) else astype(array)


def to_module(model: Any) -> MachineModule:
    """Return a model as a `torch.nn.Module`, with first and second derivatives by its dual and its dual tangent.

    Parameters
    ----------
    model : op
        Any machine, op, `Chain` or `Hypergraph`; an op of a user's own with the op verbs. On NumPy its module
        computes on the CPU, on CuPy on that GPU.

    Returns
    -------
    MachineModule
        With the model's parameters, copied, under the model's names: ``state_dict()`` has ``"weight"``, in a chain
        ``"0.weight"``. Its ``model`` is the model with the present parameters.

    Raises
    ------
    TypeError
        If it is no op, or a `Stream`.

    Notes
    -----
    The forward pass is `solve`, the backward pass `pullback`, or `pullback_inputs` of what has no parameter that is
    trained; the backward of the backward pass is `pushforward` and `pullback_tangent`. Nothing of PyTorch's is
    recorded inside. Tensors and arrays share their memory, which is not written to; parameters are copied into the
    model when they have changed.

    A weight is one parameter of the shape (*lag, in, out), dead entries included. Those are 0 and their gradients are
    exactly 0, so that every optimizer leaves them 0, weight decay or not; what is written there has no influence.

    Examples
    --------
    >>> import torch, machinekit as mk
    >>> from machinekit.interop.torch import to_module
    >>> layer = to_module(mk.DenseMachine((1, 1), "square", weight=torch.tensor([[0.0, 2.0], [0.0, 0.0]]).numpy()))
    >>> layer
    MachineModule(DenseMachine((1, 1), square, float32 on numpy, 1 parameters))
    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> z = layer(x)  # x², (2 x²)²
    >>> (first,) = torch.autograd.grad(z[1], x, create_graph=True)
    >>> first, torch.autograd.grad(first, x)  # 16 x³, 48 x²
    (tensor([432.], grad_fn=<...>), (tensor([432.]),))
    """
    return MachineModule(model)
