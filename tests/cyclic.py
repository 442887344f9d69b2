"""Random networks with cycles that have one equilibrium, and networks to compare with by hand."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_close
from .networks import SHAPES, Mix

SHARP = mk.Equilibrium(rtol=1e-15)
"""As good as rounding allows."""


def contracting(op, size, backend):
    """Return an op whose arrays have the Frobenius norm `size` at most: so is its Lipschitz constant."""
    held = {name: to_host(a) for name, a in op.parameters().items()}
    norm = math.sqrt(sum(float(np.sum(a * a)) for a in held.values()))
    factor = size / max(norm, size)
    return op.replace(**{name: backend.from_host(np.asarray(a * factor)) for name, a in held.items()})


@st.composite
def cyclic_networks(draw, spec, backend, cycles=SHARP):
    """Draw a network with any arrows; the Lipschitz constants of its edges sum to less than 1."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 4))
    names = [f"x{k}" for k in rng.permutation(count)]
    shapes = {name: draw(st.sampled_from(SHAPES)) for name in names}
    number, edges, made = draw(st.integers(1, 6)), [], {}
    for k in range(number):
        sources = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
        targets = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
        reads, writes = (tuple(shapes[n] for n in side) for side in (sources, targets))
        kind = draw(st.sampled_from(("mix", "mix", "chain", "network")))
        key = (kind, reads, writes)
        if key not in made or draw(st.booleans()):
            # a source that is named twice counts twice, and so does a target
            size = 0.9 / (number * math.sqrt(len(sources) * len(targets)))
            made[key] = _op(kind, reads, writes, rng, backend, size)
        edges.append(mk.Edge(f"f{k}", made[key], f"{' '.join(sources)} -> {' '.join(targets)}"))
    signature = f"{' '.join(rng.permutation(names))} -> {' '.join(names)}"
    return mk.Hypergraph({n: shapes[n] for n in sorted(shapes)}, edges, signature, cycles=cycles)


def _op(kind, reads, writes, rng, backend, size):
    mix = contracting(Mix.draw(reads, writes, rng, backend), size, backend)
    if kind == "mix" or len(reads) > 1 or len(writes) > 1:
        return mix
    if kind == "network":
        return mk.Hypergraph({"a": reads[0], "b": writes[0]}, [mk.Edge("g", mix, "a -> b")])
    return mk.Chain([mix, mk.Pointwise("tanh")])


def affine(weight, backend, bias=None):
    """Return x ↦ x W + b."""
    weight = np.asarray(weight, float)
    given = False if bias is None else backend.from_host(np.asarray(bias, float))
    return mk.Affine(*weight.shape, weight=backend.from_host(weight), bias=given)


def tanh_of(weight, backend, bias=None):
    """Return x ↦ tanh(x W + b)."""
    return mk.Chain([affine(weight, backend, bias), mk.Pointwise("tanh")])


def two_cycles(backend, cycles=SHARP, seed=0):
    """Return a network of two cycles, with edges before, between, beside and behind them; one op in and out of them."""
    rng = np.random.default_rng(seed)
    w = [rng.normal(size=shape) * 0.5 for shape in ((2, 3), (3, 3), (3, 2), (2, 3), (3, 2), (2, 2), (2, 2), (5, 1))]
    shared = tanh_of(w[1], backend, rng.normal(size=3) * 0.3)
    edges = [
        mk.Edge("before", affine(w[0], backend), "x -> h"),
        mk.Edge("a", shared, "h -> h"),
        mk.Edge("b", tanh_of(w[2], backend), "h -> k"),
        mk.Edge("c", tanh_of(w[3], backend), "k -> h"),
        mk.Edge("between", tanh_of(w[4], backend), "h -> m"),
        mk.Edge("outside", shared, "h -> n"),
        mk.Edge("d", _both(rng, backend), "m n -> p q"),
        mk.Edge("e", tanh_of(w[5], backend), "p -> m"),
        mk.Edge("f", tanh_of(w[6], backend), "q -> m"),
        mk.Edge("behind", affine(w[7], backend), "n q -> y"),
        mk.Edge("beside", affine(w[7][:2], backend), "x -> y"),
    ]
    spaces = {"x": 2, "h": 3, "k": 2, "m": 2, "n": 3, "p": 2, "q": 2, "y": 1}
    return mk.Hypergraph(spaces, edges, cycles=cycles)


def _both(rng, backend):
    """Return an op of two inputs, of 2 and 3 channels, and two outputs."""
    ops = [tanh_of(rng.normal(size=(5, 2)) * 0.4, backend) for _ in "cd"]
    edges = [mk.Edge("s", ops[0], "a b -> c"), mk.Edge("t", ops[1], "a b -> d")]
    return mk.Hypergraph({"a": 2, "b": 3, "c": 2, "d": 2}, edges, "a b -> c d")


def inputs_of(backend, batch=4, seed=0):
    """Return inputs of `two_cycles`."""
    return backend.from_host(np.random.default_rng(seed).normal(size=(batch, 2)))


def same(what, got, want, *context, accuracy=1e-12):
    """Compare to an accuracy relative to the largest entry."""
    want = to_host(want)
    bound = accuracy * 8 * (1 + np.abs(want).max(initial=0.0))
    assert_close(what, got, want, np.full(want.shape, bound), *context)
