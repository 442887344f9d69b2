"""Models of every kind, small, with the shapes of their inputs, for the checkers of other libraries."""

from __future__ import annotations

import numpy as np

import machinekit as mk

CONVERGED = {"rtol": 1e-13, "max_steps": 500}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape)


def pruned():
    machine = mk.DenseMachine((2, 2, 1), "tanh", bias=draw(5, seed=1), rng=0)
    return machine.prune(np.arange(25).reshape(5, 5) % 3 > 0)


def transposed():
    """The dual of a convolution machine: linear, its kernel transposed, its blocks and lags the other way."""
    machine = mk.ConvMachine((1, 2), "tanh", padding=((2, 1),), rng=0)
    return machine.dual(machine.solve(draw(4, 3)))


def two_ways():
    """Two inputs, two outputs, an op on two edges, a machine and a chain inside."""
    shared = mk.Chain([mk.Affine(2, 2, rng=0), mk.Pointwise("tanh")])
    machine = mk.DenseMachine((2, 1), "sigmoid", bias=True, rng=1)
    edges = [
        mk.Edge("f", shared, "a -> c"),
        mk.Edge("g", shared, "b -> c"),
        mk.Edge("m", machine, "a c -> d"),
        mk.Edge("h", mk.Affine(5, 1, rng=2), "b d -> e"),
    ]
    return mk.Hypergraph({"a": 2, "b": 2, "c": 2, "d": 3, "e": 1}, edges, "a b -> d e")


def cyclic():
    edges = [
        mk.Edge("in", mk.Affine(2, 3, rng=0), "x -> h"),
        mk.Edge("loop", mk.Chain([mk.Affine(3, 3, weight=0.3 * draw(3, 3), rng=0), mk.Pointwise("tanh")]), "h -> h"),
    ]
    return mk.Hypergraph({"x": 2, "h": 3}, edges, "x -> h", cycles=mk.Equilibrium(**CONVERGED))


MACHINES = {
    "dense": (lambda: mk.DenseMachine((2, 2, 1), "tanh", rng=0), [(3, 2)]),
    "dense, several activations, bias": (
        lambda: mk.DenseMachine((2, 1, 2), ["gelu", "identity", "softplus"], bias=draw(5), rng=0),
        [(3, 5)],
    ),
    "dense, y0 and z0": (lambda: mk.DenseMachine((2, 1, 2), "sigmoid", bias=True, rng=0), [(2, 2), (2, 3)]),
    "dense, z0 alone": (lambda: mk.DenseMachine((2, 1, 2), "sigmoid", rng=0), [None, (2, 3)]),
    "dense, no batch": (lambda: mk.DenseMachine((2, 2), "square", bias=True, rng=0), [(2,)]),
    "dense, pruned": (pruned, [(3, 2)]),
    "linear": (lambda: mk.DenseMachine((2, 2), mk.Diagonal(draw(4)), bias=True, rng=0), [(3, 4)]),
    "conv": (lambda: mk.ConvMachine((1, 2), "tanh", padding=((2, 1),), bias=True, rng=0), [(2, 4, 1)]),
    "conv, two axes": (lambda: mk.ConvMachine((1, 1), "tanh", padding=((1, 0), (1, 1)), rng=0), [(1, 3, 2, 1)]),
    "conv, blocks reversed, as a dual's": (
        lambda: mk.GridMachine((1, 2), "tanh", padding=((1, 2),), reverse=(-1,), bias=True, rng=0),
        [(2, 4, 3)],
    ),
    "conv, the dual of one": (transposed, [(2, 4, 3), (2, 4, 3)]),
    "recurrent": (lambda: mk.RecurrentMachine((1, 2), "tanh", memory=2, bias=True, rng=0), [(2, 4, 1)]),
    "recurrent, time blocks": (
        lambda: mk.RecurrentMachine((1, 2), "tanh", memory=3, time_block=2, reverse=(0,), rng=0),
        [(1, 5, 3), (1, 5, 3)],
    ),
    "grid": (lambda: mk.GridMachine((1, 1), padding=((1, 0), (1, 1)), scan=(0, 1), rng=0), [(1, 2, 3, 1)]),
    "equilibrium": (
        lambda: mk.EquilibriumMachine((2, 1), "tanh", bias=True, rng=0, **CONVERGED),
        [(2, 2)],
    ),
    "monotone": (
        lambda: mk.MonotoneMachine((2, 1), "tanh", learn_margin=True, bias=True, rng=0, **CONVERGED),
        [(2, 2)],
    ),
}
OPS = {
    "affine": (lambda: mk.Affine(3, 2, rng=0), [(4, 3)]),
    "affine of two": (lambda: mk.Affine(3, 2, rng=0), [(4, 1), (4, 2)]),
    "conv op": (
        lambda: mk.Conv(2, 4, (3,), stride=2, dilation=2, groups=2, padding=((2, 1),), rng=0),
        [(2, 6, 2)],
    ),
    "transposed conv": (
        lambda: mk.ConvTranspose(4, 2, (3,), stride=2, groups=2, padding=((1, 0),), extra=1, rng=0),
        [(2, 3, 4)],
    ),
    "layer norm": (lambda: mk.LayerNorm(3), [(2, 3)]),
    "batch norm": (lambda: mk.BatchNorm(2), [(4, 2)]),
    "pointwise": (lambda: mk.Pointwise("gelu"), [(3, 2)]),
    "softmax": (lambda: mk.Softmax(), [(2, 3)]),
    "mean pool": (lambda: mk.AvgPool((2,)), [(2, 5, 1)]),
    "upsample": (lambda: mk.Upsample((2,), method="linear"), [(1, 3, 2)]),
    "reshape": (lambda: mk.Reshape((2, 3), 6), [(2, 2, 3)]),
    "sum": (lambda: mk.Add(), [(2, 2), (2, 2), (2, 2)]),
    "concatenation": (lambda: mk.Concatenate(), [(2, 1), (2, 2)]),
    "selection": (lambda: mk.Select([slice(1, 3), slice(0, 2)]), [(2, 3)]),
    "embedding": (lambda: mk.Embed(4, 1), [(2, 2)]),
    "norm": (lambda: mk.Norm(), [(2, 3)]),
}
NETWORKS = {
    "chain": (
        lambda: mk.Chain([mk.Affine(3, 2, rng=0), mk.DenseMachine((2, 2), "tanh", rng=0), mk.Affine(4, 1, rng=1)]),
        [(2, 3)],
    ),
    "chain, a shared op": (
        lambda: (lambda op: mk.Chain([op, mk.Chain([mk.Pointwise("tanh"), op])]))(mk.Affine(2, 2, rng=0)),
        [(2, 2)],
    ),
    "hypergraph": (two_ways, [(2, 2), (2, 2)]),
    "hypergraph, one input": (two_ways, [(2, 2), None]),
    "hypergraph with a cycle": (cyclic, [(2, 2)]),
}
ROUGH = {
    "relu": (lambda: mk.DenseMachine((2, 3, 1), "relu", bias=draw(6), rng=0), [(3, 2)]),
    "max pool": (lambda: mk.MaxPool((2,)), [(2, 4, 1)]),
}
