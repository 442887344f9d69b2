"""Models and inputs for the tests of the bridges to JAX and SciPy, and a plain network written in JAX."""

from __future__ import annotations

import itertools

import numpy as np

import machinekit as mk


def draw(rng, *shapes, dtype="float64"):
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)


def models():
    """Yield name, model and inputs: every kind of machine, a chain, a network of two inputs and two outputs."""
    rng = np.random.default_rng(0)
    spline = mk.bases.bspline(6, 4)
    yield "dense", mk.DenseMachine((2, 0, 3, 2), "tanh", bias=True, rng=0), draw(rng, (4, 2))
    yield "dense, no batch", mk.DenseMachine((2, 3), "softplus", rng=1), draw(rng, (2,))
    yield "dense, z0", mk.DenseMachine((2, 2), "tanh", rng=1), draw(rng, (2, 2), (2, 4))
    padding = ((1, 0), (2, 1))
    yield "conv", mk.ConvMachine((1, 2), "tanh", padding=padding, bias=True, rng=2), draw(rng, (2, 3, 4, 1))
    recurrent = mk.RecurrentMachine((1, 2), "tanh", memory=2, time_block=2, rng=3)
    yield "recurrent", recurrent, draw(rng, (2, 5, 1))
    yield "pruned", recurrent.prune(rng.random(recurrent.weight.shape) < 0.5), draw(rng, (5, 1))
    grid = mk.GridMachine((1, 2), "tanh", padding=((1, 0), (1, 1)), scan=(0, 1), rng=4)
    yield "grid", grid, draw(rng, (1, 3, 3, 1))
    turned = mk.GridMachine((1, 2), "tanh", padding=((1, 2),), reverse=(-1,), bias=True, rng=13)
    yield "transposed", turned, draw(rng, (2, 4, 3))
    smooth = mk.Represented(mk.RecurrentMachine((1, 2), "tanh", memory=5, rng=5), weight=spline)
    yield "represented", smooth, draw(rng, (2, 6, 1))
    yield "equilibrium", mk.EquilibriumMachine((3,), "tanh", rng=6, rtol=1e-13), draw(rng, (2, 3))
    yield "monotone", mk.MonotoneMachine((3,), "tanh", rng=7, rtol=1e-13), draw(rng, (2, 3))
    ops = [mk.Conv(1, 2, (3,), padding=1, rng=8), mk.LayerNorm(2), mk.Pointwise("tanh"), mk.AvgPool((2,))]
    yield "chain", mk.Chain([*ops, mk.ConvMachine((2, 1), "tanh", padding=((1, 1),), rng=9)]), draw(rng, (2, 6, 1))
    yield "batch norm", mk.Chain([mk.Affine(2, 2, rng=10), mk.BatchNorm(2)]), draw(rng, (5, 2))
    shared = mk.Affine(3, 3, rng=11)
    edges = [
        mk.Edge("f", shared, "a -> c"),
        mk.Edge("g", shared, "b -> c"),
        mk.Edge("s", mk.Chain([mk.Pointwise("tanh"), mk.Affine(3, 2, rng=12)]), "c -> d"),
        mk.Edge("soft", mk.Softmax(), "c -> e"),
    ]
    yield "network", mk.Hypergraph({"a": 3, "b": 3, "c": 3, "d": 2, "e": 3}, edges), draw(rng, (2, 3), (2, 3))


class Square:
    """y = a x², an op of one's own, with all verbs; it counts its runs."""

    def __init__(self, a):
        self.a, self.runs = a, []

    def parameters(self):
        return {"a": self.a}

    def replace(self, a):
        new = Square(a)
        new.runs = self.runs
        return new

    def solve(self, x):
        self.runs.append(x.shape)
        return mk.State((x,), (self.a * x * x,))

    def pushforward(self, state, x=None, a=None):
        y = 0.0 * state.outputs[0]
        y = y if x is None else y + 2.0 * self.a * state.inputs[0] * x
        return mk.Tangent((y if a is None else y + a * state.inputs[0] ** 2,), (x,), {} if a is None else {"a": a})

    def pullback(self, state, seed):
        x = state.inputs[0]
        return mk.Cotangent((2.0 * self.a * x * seed,), {"a": np.sum(x * x * seed).reshape(())}, (seed,))


def plain_dense(machine):
    """Return the same network written in JAX, block by block."""
    import jax.numpy as jnp

    bounds, live = np.cumsum((0, *machine.sizes)), machine.live

    def f(parameters, x):
        weight = jnp.where(live, parameters["weight"], 0.0)
        z = jnp.zeros((*x.shape[:-1], 0), x.dtype)
        for start, stop in itertools.pairwise(bounds):
            y = z @ weight[:start, start:stop] + parameters["bias"][start:stop]
            z = jnp.concatenate([z, jnp.tanh(y + x[..., start:stop] if stop <= x.shape[-1] else y)], axis=-1)
        return z

    return f
