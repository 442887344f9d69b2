"""thinc: combinators and callbacks, back-propagation by hand on NumPy or CuPy.

A block is ``concatenate(before, tanh(own + Linear(before)), after)`` over the columns of one state. thinc has
no layer that picks columns and no tanh, so both are written as its users write layers: a function that returns
its result and a callback. Convolutions gather windows with thinc's own ``seq2col``, which respects sequence
lengths. Its callbacks always compute the weights' gradients with the input's, so there is no separate backward.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import to_host
from .competitors import CannotExpressError, Competitor
from .problem import Problem, Results
from .slices import block_weights, from_blocks

__all__ = ["build"]


def build(problem: Problem, name: str = "thinc") -> Competitor:
    """Set thinc up for a problem.

    Raises
    ------
    ImportError
        If thinc is not installed.
    CannotExpressError
        For recurrent machines, two-dimensional and asymmetric convolutions, and double precision.
    """
    w = problem.workload
    if w.kind == "recurrent":
        raise CannotExpressError("thinc's only recurrent layer is an LSTM; none has a memory of several lags")
    if len(w.grid) > 1:
        raise CannotExpressError("thinc has no convolution over more than one axis")
    if any(before != after for before, after in w.padding):
        raise CannotExpressError("thinc's windows are symmetric")
    if problem.dtype != "float32":
        raise CannotExpressError("thinc's layers hold single precision")
    thinc = importlib.import_module("thinc.api")
    with thinc.use_ops("cupy" if problem.on_gpu else "numpy"):
        model, linears = _network(thinc, problem)
    return _competitor(name, problem, model, linears)


def _network(thinc: Any, problem: Problem) -> tuple[Any, list[Any]]:
    """Return the whole network, and its Linear layers: one for every block but the first."""
    w, bounds = problem.workload, problem.bounds
    weight = problem.host()[0]
    layers, linears = [], []
    for k, (a, b) in enumerate(pairwise(bounds)):
        own = _columns(thinc, a, b)
        if k:
            part = np.ascontiguousarray(block_weights(_flipped(weight), bounds)[k - 1]).reshape(-1, b - a)
            linears.append(_linear(thinc, part))
            gather = [_windows(thinc, w.padding[0][0], w.grid[0])] if w.grid else []
            own = thinc.add(own, thinc.chain(_columns(thinc, 0, a), *gather, linears[-1]))
        pieces = [thinc.chain(own, _tanh(thinc))]
        pieces = [_columns(thinc, 0, a), *pieces] if a else pieces
        pieces = [*pieces, _columns(thinc, b, w.channels)] if b < w.channels else pieces
        layers.append(thinc.concatenate(*pieces) if len(pieces) > 1 else pieces[0])
    return thinc.chain(*layers), linears


def _flipped(weight: np.ndarray) -> np.ndarray:
    return np.flip(weight, tuple(range(weight.ndim - 2)))  # a window starts with the lowest index


def _linear(thinc: Any, weight: np.ndarray) -> Any:
    layer = thinc.Linear(weight.shape[1], weight.shape[0])
    layer.set_param("W", layer.ops.asarray(np.ascontiguousarray(weight.T)))
    layer.set_param("b", layer.ops.alloc1f(weight.shape[1]))
    return layer


def _columns(thinc: Any, start: int, stop: int) -> Any:
    def forward(model: Any, x: Any, is_train: bool) -> tuple[Any, Callable[[Any], Any]]:
        def backprop(gradient: Any) -> Any:
            out = model.ops.alloc2f(*x.shape)
            out[:, start:stop] = gradient
            return out

        return x[:, start:stop], backprop

    return thinc.Model("columns", forward)


def _tanh(thinc: Any) -> Any:
    def forward(model: Any, x: Any, is_train: bool) -> tuple[Any, Callable[[Any], Any]]:
        z = model.ops.xp.tanh(x)
        return z, lambda gradient: gradient * (1 - z * z)

    return thinc.Model("tanh", forward)


def _windows(thinc: Any, reach: int, extent: int) -> Any:
    def forward(model: Any, x: Any, is_train: bool) -> tuple[Any, Callable[[Any], Any]]:
        ops = model.ops
        lengths = ops.asarray1i([extent] * (x.shape[0] // extent))
        rows = ops.seq2col(ops.as_contig(x), reach, lengths=lengths)
        return rows, lambda gradient: ops.backprop_seq2col(ops.as_contig(gradient), reach, lengths=lengths)

    return thinc.Model("windows", forward)


def _competitor(name: str, problem: Problem, model: Any, linears: list[Any]) -> Competitor:
    shape, xp = problem.workload.shape, problem.backend.xp
    y0, seed = (xp.ascontiguousarray(xp.reshape(a, (-1, shape[-1]))) for a in (problem.y0, problem.seed))

    def forward() -> Any:
        return model(y0, is_train=True)

    def pullback(state: Any) -> Any:
        for layer in linears:  # gradients accumulate, as in training
            for key in ("W", "b"):
                if layer.has_grad(key):
                    layer.get_grad(key).fill(0)
        return state[1](seed)

    def gradient() -> Any:
        return pullback(forward())

    def results() -> Results:
        state = forward()
        by_y0 = pullback(state)
        lags = problem.machine.weight.shape[:-2]
        parts = [np.ascontiguousarray(to_host(layer.get_grad("W")).T) for layer in linears]
        blocks = [part.reshape(*lags, -1, part.shape[-1]) for part in parts]
        weight = _flipped(from_blocks(problem.machine.weight.shape, problem.bounds, blocks))
        return Results(to_host(state[0]).reshape(shape), to_host(by_y0).reshape(shape), weight)

    return Competitor(name, gradient, forward, pullback=pullback, results=results)
