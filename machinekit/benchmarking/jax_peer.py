"""JAX: jitted functions with `jax.vjp`, blocks unrolled, time by `lax.scan`.

The gradient is one jitted function that returns z and the cotangents together, so that XLA may fuse across the
two passes; the forward pass is the bare function, and what its `vjp` keeps is made outside the clock. Arrays lie
on the device before, `block_until_ready` ends every call; on a GPU, where calls are queued, the last of a loop (see
`clocks`). XLA takes its number of threads from the environment when it starts: for a one-thread run it is set here,
if JAX is not loaded yet; and so is, on a GPU, that it shall not keep three quarters of the memory for itself.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .competitors import CannotExpressError, Competitor
from .hessians import HessianPeer
from .problem import Problem, Results
from .slices import block_weights, from_blocks, from_windows, window_weights

__all__ = ["build", "hessian"]


def build(problem: Problem, name: str = "jax") -> Competitor:
    """Set JAX up for a problem.

    Raises
    ------
    ImportError
        If JAX is not installed.
    CannotExpressError
        If JAX runs on another kind of device than the problem.
    """
    jax = _imported(problem)
    make, split, join = _KINDS[problem.workload.kind]
    weight, y0, seed = problem.host()
    arrays = jax.device_put((y0, seed, split(weight, problem)), _device(jax, problem))
    return _competitor(jax, name, make(jax, problem), arrays, lambda parts: join(parts, problem), queued=problem.on_gpu)


def hessian(problem: Problem, along: np.ndarray) -> HessianPeer:
    """Return the product of the Hessian with a direction by ``jvp ∘ grad``, jitted; raises what `build` does."""
    jax = _imported(problem)
    make, split, join = _KINDS[problem.workload.kind]
    run, ready = make(jax, problem), jax.block_until_ready
    weight, y0, target = problem.host()
    parts = (y0, target, split(weight, problem), split(along, problem))
    y0, target, weights, along = jax.device_put(parts, _device(jax, problem))

    def value(weights: Any, y0: Any, target: Any) -> Any:
        r = run(y0, weights) - target
        return 0.5 * (r * r).sum() / math.prod(target.shape[:-1])

    def product(weights: Any, along: Any, y0: Any, target: Any) -> Any:
        return jax.jvp(lambda w: jax.grad(value)(w, y0, target), (weights,), (along,))[1]

    fun, hessp = jax.jit(jax.value_and_grad(value)), jax.jit(product)
    return HessianPeer(
        lambda: ready(fun(weights, y0, target)),
        lambda: ready(hessp(weights, along, y0, target)),
        lambda: join([np.asarray(part) for part in hessp(weights, along, y0, target)], problem),
    )


def _imported(problem: Problem) -> Any:
    if problem.threads == 1 and "jax" not in sys.modules:
        os.environ.update(NPROC="1", PJRT_NPROC="1")
    if problem.on_gpu and "jax" not in sys.modules:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = importlib.import_module("jax")
    if problem.on_gpu != (jax.default_backend() == "gpu"):
        raise CannotExpressError(f"JAX's default device is a {jax.default_backend()}")
    if problem.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")  # as our products, on GPUs too
    return jax


def _device(jax: Any, problem: Problem) -> Any:
    """Return the device to put arrays on: that of the problem if it is a GPU, else JAX's own choice."""
    return jax.devices()[problem.backend.device.id] if problem.on_gpu else None


def _competitor(
    jax: Any, name: str, run: Callable[[Any, Any], Any], arrays: Any, join: Callable[[Any], np.ndarray],
    queued: bool = False,
) -> Competitor:  # fmt: skip
    y0, seed, weights = arrays
    ready: Callable[[Any], Any] = (lambda result: result) if queued else jax.block_until_ready

    def value_and_pullback(y0: Any, weights: Any, seed: Any) -> Any:
        z, pull = jax.vjp(run, y0, weights)
        return z, pull(seed)

    gradient = jax.jit(value_and_pullback)
    # a vjp function is a pytree of residuals: it may leave one jitted function and enter another, where
    # XLA drops the weights' cotangents if only the input's is asked for
    forward, linearize = jax.jit(run), jax.jit(lambda y0, weights: jax.vjp(run, y0, weights)[1])
    backward = jax.jit(lambda pull, seed: pull(seed)[0])
    pullback = jax.jit(lambda pull, seed: pull(seed))

    def results() -> Results:
        z, (by_y0, by_weights) = gradient(y0, weights, seed)
        return Results(np.asarray(z), np.asarray(by_y0), join([np.asarray(w) for w in by_weights]))

    return Competitor(
        name,
        lambda: ready(gradient(y0, weights, seed)),
        lambda: ready(forward(y0, weights)),
        backward=lambda state: ready(backward(state, seed)),
        pullback=lambda state: ready(pullback(state, seed)),
        results=results,
        linearize=lambda: jax.block_until_ready(linearize(y0, weights)),
        finish=jax.block_until_ready if queued else None,
    )


def _dense(jax: Any, problem: Problem) -> Callable[[Any, Any], Any]:
    jnp, bounds = jax.numpy, problem.bounds

    def run(y0: Any, weights: Any) -> Any:
        first, *starts = jnp.split(y0, bounds[1:-1], -1)
        done = [jnp.tanh(first)]
        for start, weight in zip(starts, weights, strict=True):
            done.append(jnp.tanh(start + jnp.concatenate(done, -1) @ weight))
        return jnp.concatenate(done, -1)

    return run


def _conv(jax: Any, problem: Problem) -> Callable[[Any, Any], Any]:
    jnp, bounds, w = jax.numpy, problem.bounds, problem.workload
    axes = "WHD"[: len(w.grid)]
    numbers, strides = (f"N{axes}C", f"{axes}IO", f"N{axes}C"), (1,) * len(w.grid)

    def run(y0: Any, weights: Any) -> Any:
        first, *starts = jnp.split(y0, bounds[1:-1], -1)
        done = [jnp.tanh(first)]
        for start, weight in zip(starts, weights, strict=True):
            reads = jnp.concatenate(done, -1)
            moved = jax.lax.conv_general_dilated(reads, weight, strides, w.padding, dimension_numbers=numbers)
            done.append(jnp.tanh(start + moved))
        return jnp.concatenate(done, -1)

    return run


def _windows(jnp: Any, x: Any, size: int) -> Any:
    """(batch, time, channel) -> (batch, time - size + 1, size * channel), oldest position first."""
    count = x.shape[1] - size + 1
    return jnp.concatenate([x[:, j : j + count] for j in range(size)], -1)


def _recurrent(jax: Any, problem: Problem) -> Callable[[Any, Any], Any]:
    jnp, bounds, w = jax.numpy, problem.bounds, problem.workload
    extent, b = w.grid[0], w.time_block
    steps = -(-extent // b)

    def body(weights: Any, past: Any, start: Any) -> Any:
        far, *near = weights
        pre = start + _windows(jnp, past, w.memory + 1 - b) @ far
        first, *rest = jnp.split(pre, bounds[1:-1], -1)
        done = [jnp.tanh(first)]
        for piece, weight in zip(rest, near, strict=True):
            reads = jnp.concatenate(done, -1)
            if b > 1:
                reads = jnp.concatenate([past[:, 1 - b :, : reads.shape[-1]], reads], 1)
            done.append(jnp.tanh(piece + _windows(jnp, reads, b) @ weight))
        z = jnp.concatenate(done, -1)
        return jnp.concatenate([past, z], 1)[:, -w.memory :], z

    def run(y0: Any, weights: Any) -> Any:
        padded = jnp.pad(y0, ((0, 0), (0, steps * b - extent), (0, 0)))  # the scan wants equal time blocks
        starts = jnp.moveaxis(padded.reshape(w.batch, steps, b, w.channels), 1, 0)
        past = jnp.zeros((w.batch, w.memory, w.channels), y0.dtype)
        _, z = jax.lax.scan(lambda past, start: body(weights, past, start), past, starts)
        return jnp.moveaxis(z, 0, 1).reshape(w.batch, steps * b, w.channels)[:, :extent]

    return run


def _flipped(weight: np.ndarray) -> np.ndarray:
    return np.flip(weight, tuple(range(weight.ndim - 2)))  # a framework correlates, a machine convolves


def _split_blocks(weight: np.ndarray, problem: Problem) -> list[np.ndarray]:
    return block_weights(_flipped(weight), problem.bounds)


def _join_blocks(parts: list[np.ndarray], problem: Problem) -> np.ndarray:
    return _flipped(from_blocks(problem.machine.weight.shape, problem.bounds, parts))


def _split_windows(weight: np.ndarray, problem: Problem) -> list[np.ndarray]:
    far, near = window_weights(weight, problem.bounds, problem.workload.time_block)
    return [far, *near]


def _join_windows(parts: list[np.ndarray], problem: Problem) -> np.ndarray:
    far, *near = parts
    return from_windows(problem.machine.weight.shape, problem.bounds, problem.workload.time_block, far, near)


_KINDS: Mapping[str, tuple[Callable, Callable, Callable]] = MappingProxyType(
    {
        "dense": (_dense, _split_blocks, _join_blocks),
        "conv": (_conv, _split_blocks, _join_blocks),
        "recurrent": (_recurrent, _split_windows, _join_windows),
    }
)
