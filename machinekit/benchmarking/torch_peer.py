"""PyTorch, eager and compiled: autograd over blocks that are concatenated, DenseNet style.

Each machine is written in PyTorch's own layout (channels first for convolutions), with one weight per block
and no masks. The forward pass records the graph, as in training; the gradient is a fresh forward and
``backward(seed)`` to y0 and all weights, gradients set to None before. `torch.compile` gets the whole function
where its loop unrolls to at most `_UNROLLED` steps, else the body of the time loop: compiling more takes minutes.

On a GPU the whole function is compiled with ``mode="reduce-overhead"``, that is recorded as CUDA graphs, the weights
at addresses that stay; each call starts with ``cudagraph_mark_step_begin``, so that graphs may write over the results
of the call before. Where they cannot be recorded, and for bodies of loops (each step would be a graph of its own),
the plain compiled function takes part as "torch-compile, no graphs", with the reason.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .competitors import CannotExpressError, Competitor
from .hessians import HessianPeer
from .problem import Problem, Results
from .slices import block_weights, from_blocks, from_windows, window_weights
from .torch_device import finisher, prepare, record

__all__ = ["build", "hessian"]

_UNROLLED = 100


def build(problem: Problem, name: str = "torch") -> Competitor:
    """Set PyTorch up for a problem; with the name ``"torch-compile"``, compiled.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    CannotExpressError
        If the problem is on a GPU that this PyTorch cannot use.
    """
    network = _network(problem)
    if name != "torch-compile":
        return _competitor(name, network)
    if not problem.on_gpu:
        network.compile()
        return _competitor(name, network, compiled=True)
    return _recorded(name, problem, network)


def _recorded(name: str, problem: Problem, network: _Network) -> Competitor:
    """Return the compiled network with CUDA graphs, else without; all earlier compiled functions are dropped."""
    torch = network.torch
    reason = "no CUDA graph: the body of the time loop is compiled, and each step would be a graph of its own"
    for static in (True, False) if network.whole else ():
        torch.compiler.reset()
        network.compile(mode="reduce-overhead")
        network.mark = torch.compiler.cudagraph_mark_step_begin
        if static:
            for weight in network.weights:
                torch._dynamo.mark_static_address(weight)
        competitor = _competitor(name, network, compiled=True)
        reason = record(torch, competitor)
        if not reason:
            return competitor
        network = _network(problem)
    torch.compiler.reset()
    network.compile()
    return _competitor(f"{name}, no graphs", network, compiled=True, remark=reason)


def hessian(problem: Problem, along: np.ndarray) -> HessianPeer:
    """Return the product of the Hessian with a direction by double back-propagation; raises what `build` does."""
    network = _network(problem)
    torch, y0, target = network.torch, network.y0.detach(), network.seed
    direction = [network.tensor(part) for part in network.split(along)]

    def gradient(**options: Any) -> Any:
        r = network.run(y0, *network.weights) - target
        value = 0.5 * (r * r).sum() / math.prod(problem.seed.shape[:-1])
        return torch.autograd.grad(value, network.weights, **options)

    def hessp() -> Any:
        return torch.autograd.grad(gradient(create_graph=True), network.weights, direction)

    return HessianPeer(gradient, hessp, lambda: network.join([network.host(part) for part in hessp()]))


def _network(problem: Problem) -> _Network:
    torch = importlib.import_module("torch")
    device = prepare(torch, problem.backend, problem.threads)
    return {"dense": _Dense, "conv": _Conv, "recurrent": _Recurrent}[problem.workload.kind](torch, problem, device)


class _Network:
    """Inputs, weights and seed as tensors, and the function that a user would write."""

    run: Callable[..., Any]
    whole = True
    """Whether the whole function is compiled, not a part that is called many times."""

    def __init__(self, torch: Any, problem: Problem, device: str = "cpu") -> None:
        self.torch, self.problem, self.device = torch, problem, device
        self.mark: Callable[[], Any] | None = None
        weight, y0, seed = problem.host()
        self.y0 = self.tensor(self.encode(y0)).requires_grad_()
        self.seed = self.tensor(self.encode(seed))
        self.weights = [self.tensor(w).requires_grad_() for w in self.split(weight)]
        self.leaves = [self.y0, *self.weights]
        self.run = self.function

    def tensor(self, array: np.ndarray) -> Any:
        return self.torch.tensor(np.ascontiguousarray(array), device=self.device)

    def host(self, tensor: Any) -> np.ndarray:
        array: np.ndarray = tensor.detach().cpu().numpy()
        return array

    def compile(self, **options: Any) -> None:
        """Replace the function by a compiled one."""
        self.run = self.torch.compile(self.function, dynamic=False, **options)

    def encode(self, array: np.ndarray) -> np.ndarray:
        return array

    def decode(self, array: np.ndarray) -> np.ndarray:
        return array

    def split(self, weight: np.ndarray) -> list[np.ndarray]:
        raise NotImplementedError

    def join(self, parts: list[np.ndarray]) -> np.ndarray:
        raise NotImplementedError

    def function(self, y0: Any, *weights: Any) -> Any:
        raise NotImplementedError


class _Dense(_Network):
    def split(self, weight: np.ndarray) -> list[np.ndarray]:
        return [w.T for w in block_weights(weight, self.problem.bounds)]  # F.linear wants (out, in)

    def join(self, parts: list[np.ndarray]) -> np.ndarray:
        return from_blocks(self.problem.machine.weight.shape, self.problem.bounds, [w.T for w in parts])

    def function(self, y0: Any, *weights: Any) -> Any:
        torch = self.torch
        first, *starts = y0.split(self.problem.workload.sizes, -1)
        done = [torch.tanh(first)]
        for start, weight in zip(starts, weights, strict=True):
            done.append(torch.tanh(start + torch.nn.functional.linear(torch.cat(done, -1), weight)))
        return torch.cat(done, -1)


class _Conv(_Network):
    def __init__(self, torch: Any, problem: Problem, device: str = "cpu") -> None:
        self.axes = len(problem.workload.grid)
        self.padding = [before for before, _ in problem.workload.padding]
        if any(before != after for before, after in problem.workload.padding):
            raise CannotExpressError("asymmetric padding")
        self.conv = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[self.axes - 1]
        super().__init__(torch, problem, device)

    def encode(self, array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, -1, 1)

    def decode(self, array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, 1, -1)

    def split(self, weight: np.ndarray) -> list[np.ndarray]:
        flipped = np.flip(weight, tuple(range(self.axes)))  # a framework correlates, a machine convolves
        return [np.moveaxis(w, (-1, -2), (0, 1)) for w in block_weights(flipped, self.problem.bounds)]

    def join(self, parts: list[np.ndarray]) -> np.ndarray:
        blocks = [np.moveaxis(w, (0, 1), (-1, -2)) for w in parts]
        weight = from_blocks(self.problem.machine.weight.shape, self.problem.bounds, blocks)
        return np.flip(weight, tuple(range(self.axes)))

    def function(self, y0: Any, *weights: Any) -> Any:
        torch = self.torch
        first, *starts = y0.split(self.problem.workload.sizes, 1)
        done = [torch.tanh(first)]
        for start, weight in zip(starts, weights, strict=True):
            done.append(torch.tanh(start + self.conv(torch.cat(done, 1), weight, padding=self.padding)))
        return torch.cat(done, 1)


class _Recurrent(_Network):
    def split(self, weight: np.ndarray) -> list[np.ndarray]:
        far, near = window_weights(weight, self.problem.bounds, self.problem.workload.time_block)
        return [far.T, *(w.T for w in near)]

    def join(self, parts: list[np.ndarray]) -> np.ndarray:
        far, *near = (w.T for w in parts)
        shape = self.problem.machine.weight.shape
        return from_windows(shape, self.problem.bounds, self.problem.workload.time_block, far, near)

    @property
    def whole(self) -> bool:  # type: ignore[override]
        return self.problem.machine.partition.count(self.problem.workload.grid) <= _UNROLLED

    def compile(self, **options: Any) -> None:
        """Compile the whole loop if it is short, else its body."""
        if self.whole:
            super().compile(**options)
        else:
            self.step = self.torch.compile(self.step, dynamic=False, **options)  # type: ignore[method-assign]

    def windows(self, x: Any, size: int) -> Any:
        """(batch, time, channel) -> (batch, time - size + 1, size * channel), oldest position first."""
        count = x.shape[1] - size + 1
        if size == 1:
            return x
        if count == 1:
            return x.flatten(1).unsqueeze(1)
        return self.torch.cat([x[:, j : j + count] for j in range(size)], -1)

    def step(self, past: Any, start: Any, far: Any, *near: Any) -> Any:
        """One time block: all channels read the past, then each block the blocks before it."""
        torch, w = self.torch, self.problem.workload
        linear = torch.nn.functional.linear
        lags = w.memory + 1 - w.time_block
        pre = start + linear(self.windows(past[:, : lags + start.shape[1] - 1], lags), far)
        first, *rest = pre.split(w.sizes, -1)
        done = [torch.tanh(first)]
        for piece, weight in zip(rest, near, strict=True):
            reads = torch.cat(done, -1)
            if w.time_block > 1:
                reads = torch.cat([past[:, 1 - w.time_block :, : reads.shape[-1]], reads], 1)
            done.append(torch.tanh(piece + linear(self.windows(reads, w.time_block), weight)))
        return torch.cat(done, -1)

    def function(self, y0: Any, *weights: Any) -> Any:
        torch, w = self.torch, self.problem.workload
        past = y0.new_zeros(w.batch, w.memory, w.channels)
        done = []
        for start in y0.split(w.time_block, 1):
            done.append(self.step(past, start, *weights))
            past = torch.cat([past, done[-1]], 1)[:, -w.memory :]
        return torch.cat(done, 1)


def _competitor(name: str, network: _Network, compiled: bool = False, remark: str = "") -> Competitor:
    grad, mark = network.torch.autograd.grad, network.mark
    finish = finisher(network.torch, network.problem.backend)

    def forward() -> Any:
        if mark is not None:
            mark()
        return network.run(*network.leaves)

    def gradient() -> Any:
        if mark is not None:
            mark()
        for leaf in network.leaves:
            leaf.grad = None
        z = network.run(*network.leaves)
        z.backward(network.seed)
        return z

    def results() -> Results:
        z = gradient()
        by_y0, *by_weights = (network.host(leaf.grad) for leaf in network.leaves)
        return Results(network.decode(network.host(z)), network.decode(by_y0), network.join(by_weights))

    if compiled:  # its backward is one function that frees what it used: no part of it can be run again
        return Competitor(name, gradient, forward, results=results, finish=finish, remark=remark)
    return Competitor(
        name, gradient, forward,
        backward=lambda z: grad(z, network.y0, network.seed, retain_graph=True),
        pullback=lambda z: grad(z, network.leaves, network.seed, retain_graph=True),
        results=results, finish=finish,
    )  # fmt: skip
