"""A network of affine maps and convolutions with pointwise nonlinearities, in eager PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import backend_of, to_host
from ..graph import Affine, Chain, ConvTranspose, Hypergraph, Pointwise
from .torch_device import finisher, prepare

__all__ = ["TorchNetwork"]


class TorchNetwork:
    """The same network, channels first where there is a grid.

    Parameters
    ----------
    net : Hypergraph
        Of chains of `Affine`, `Conv` or `ConvTranspose` without dilation and groups, and `Pointwise`.
    x, seed : arrays
        Of the one input and the one output.
    threads : int

    Raises
    ------
    CannotExpressError
        If x is on a GPU that this PyTorch cannot use.
    """

    def __init__(self, net: Hypergraph, x: Any, seed: Any, threads: int = 1) -> None:
        self.torch = importlib.import_module("torch")
        self.device = prepare(self.torch, backend_of(x), threads)
        self.finish = finisher(self.torch, backend_of(x))
        self.net = net
        self.leaves: dict[str, Any] = {}
        self.grid = x.ndim > 2
        self.x = self._tensor(self._first(to_host(x))).requires_grad_()
        self.seed = self._tensor(self._first(to_host(seed)))
        by_name = {e.name: e for e in net.edges}
        order = [by_name[name] for group in net.levels for name in group]
        self.edges = [(e.sources, e.targets[0], self._function(e.name, e.op)) for e in order]
        self.parameters = [self.x, *self.leaves.values()]

    def _tensor(self, array: np.ndarray) -> Any:
        return self.torch.tensor(array.copy(), device=self.device)

    def _first(self, array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, -1, 1) if self.grid else array

    def _function(self, name: str, op: Any) -> Callable[[Any], Any]:
        if isinstance(op, Chain):
            each = [self._function(f"{name}.{k}", part) for k, part in op.parts().items()]
            return lambda x: each[1](each[0](x)) if len(each) == 2 else each[0](x)
        if isinstance(op, Pointwise):
            return getattr(self.torch, op.activation.name)
        weight = self.leaves[f"{name}.weight"] = self._tensor(_outward(op, to_host(op.weight))).requires_grad_()
        bias = self.leaves[f"{name}.bias"] = self._tensor(to_host(op.bias)).requires_grad_()
        if isinstance(op, Affine):
            return lambda x: self.torch.addmm(bias, x, weight)
        padding, stride = tuple(before for before, _ in op.padding), op.stride
        if isinstance(op, ConvTranspose):
            call = self.torch.nn.functional.conv_transpose2d
        else:
            call = self.torch.nn.functional.conv2d
        return lambda x: call(x, weight, bias, stride, padding)

    def forward(self) -> Any:
        """Run the edges in order; several into one space add."""
        values = {self.net.inputs[0]: self.x}
        for sources, target, function in self.edges:
            given = [values[s] for s in sources]
            y = function(given[0] if len(given) == 1 else self.torch.cat(given, 1))
            values[target] = values[target] + y if target in values else y
        return values[self.net.outputs[0]]

    def gradient(self) -> Any:
        """Return the cotangents of the input and all parameters."""
        return self.torch.autograd.grad(self.forward(), self.parameters, self.seed)

    def results(self) -> dict[str, np.ndarray]:
        """Return them in this library's layout, by name."""
        first, *others = (g.cpu().numpy() for g in self.gradient())
        found = {"input": np.moveaxis(first, 1, -1) if self.grid else first}
        for name, g in zip(self.leaves, others, strict=True):
            op: Any = self.net.parts()[name.partition(".")[0]]
            leaf = op.parts()[name.split(".")[1]] if isinstance(op, Chain) else op
            found[name] = _inward(leaf, g) if name.endswith("weight") else g
        return found


def _outward(op: Any, weight: np.ndarray) -> np.ndarray:
    """Return a kernel (*k, in, out) as (out, in, *k), its entries reversed; of a transposed one (*k, out, in)
    as (in, out, *k)."""
    if isinstance(op, Affine):
        return weight
    axes = weight.ndim - 2
    return np.moveaxis(np.flip(weight, tuple(range(axes))), (-1, -2), (0, 1))


def _inward(op: Any, weight: np.ndarray) -> np.ndarray:
    if isinstance(op, Affine):
        return weight
    axes = weight.ndim - 2
    return np.flip(np.moveaxis(weight, (0, 1), (-1, -2)), tuple(range(axes)))
