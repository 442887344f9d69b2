"""Networks saved and loaded: structure, sharing, numbers."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk

from .helpers import assert_equal


def network(spec):
    shared = mk.Affine(2, 2, rng=0, backend=spec)
    inner = mk.Hypergraph({"a": 2, "b": 2}, [mk.Edge("f", shared, "a -> b"), mk.Edge("g", mk.Add(), "a -> b")])
    edges = [
        mk.Edge("f", mk.Chain([shared, mk.Pointwise("tanh")]), "x -> y"),
        mk.Edge("g", mk.DenseMachine((2, 2), rng=1, bias=True, backend=spec), "y -> wide"),
        mk.Edge("h", mk.Affine(6, 2, rng=2, backend=spec), "wide y -> z"),
        mk.Edge("k", inner, "x -> z"),
        mk.Edge("s", mk.Reshape((2,), (1, 2)), "z -> square"),
    ]
    return mk.Hypergraph({"x": 2, "y": 2, "wide": 4, "z": 2, "square": (1, 2)}, edges, "x y -> z square")


def test_a_network_comes_back_with_its_sharing(backend, spec, tmp_path):
    net = network(spec)
    mk.save(tmp_path / "net.npz", net)
    back = mk.load(tmp_path / "net.npz", backend=spec)
    assert (back.signature, back.spaces, back.levels) == (net.signature, net.spaces, net.levels)
    assert [(e.name, e.signature) for e in back.edges] == [(e.name, e.signature) for e in net.edges]
    assert back.sharing.first == net.sharing.first
    assert back.edges[0].op.ops[0] is back.edges[3].op.edges[0].op
    x = backend.from_host(np.random.default_rng(0).standard_normal((3, 2)))
    for name in net.spaces:
        assert_equal(name, back.solve({"x": x, "y": x})[name], net.solve({"x": x, "y": x})[name])


def test_an_own_op_on_an_edge_cannot_be_saved_and_is_named(tmp_path):
    class Own:
        def __call__(self, x):
            return x

    net = mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge("mine", Own(), "a -> b")])
    with pytest.raises(TypeError, match="the op of the edge 'mine' is a Own, which cannot be saved"):
        mk.save(tmp_path / "net.npz", net)
    assert not list(tmp_path.iterdir())
