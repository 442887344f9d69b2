"""One pass through a cycle as a map of rows: its images, its derivative, its dtype, what it may write to."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.graph.passes import Layout, Pass, Round
from machinekit.graph.sweeps import _forward
from machinekit.graph.values import Values

from .cyclic import SHARP, inputs_of, same, tanh_of
from .helpers import assert_equal


def test_what_an_op_keeps_is_not_written_to(backend):
    """A solver may write to the images that it is given; an op's own array is none of them."""

    class Constant:
        def __init__(self, value):
            self.value = value

        def __call__(self, x):
            return self.value

    op = Constant(inputs_of(backend))
    cycles = mk.Equilibrium(solver="picard", damping=0.5)
    net = mk.Hypergraph({"h": 2, "k": 2}, [mk.Edge("f", op, "h -> k"), mk.Edge("g", op, "k -> h")], cycles=cycles)
    state = net.solve({"k": backend.from_host(np.zeros((4, 2)))})
    assert_equal("value", op.value, inputs_of(backend))
    same("h", state["h"], op.value, accuracy=1e-6)


def test_none_stays_none_in_a_complex_cycle(backend):
    """An op may answer None to None: the tangent of a complex cycle is complex all the same."""

    class Turn:
        def __call__(self, x):
            return 0.5j * x

        def pushforward(self, state, *inputs):
            return mk.Tangent(tuple(None if d is None else 0.5j * d for d in inputs), inputs)

    net = mk.Hypergraph({"h": 2}, [mk.Edge("f", Turn(), "h -> h")], "h -> h", cycles=SHARP)
    x = inputs_of(backend)
    want = to_host(x) / (1 - 0.5j)
    state = net.solve(x)
    same("h", state["h"], want)
    same("tangent", net.pushforward(state, x)["h"], want)


def test_a_pass_is_differentiated_where_it_is_asked_to_be(backend):
    """It keeps the image and the records of the last values only, and takes them for those of no others."""
    loops = [(s, t, tanh_of(np.eye(2) + k, backend)) for k, (s, t) in enumerate(("aa", "ab", "ba", "bb"))]
    edges = [mk.Edge(s + t, op, f"{s} -> {t}") for s, t, op in loops]
    net = mk.Hypergraph({"a": 2, "b": 2}, edges, cycles=SHARP)
    full = dict.fromkeys(net.spaces, (4, 2))
    x, (component,) = inputs_of(backend), net._components
    around = Round(
        component, Values(full, x, {"a": x}, zeros=True), Layout(component.cut, full, (4,)), partial(_forward, net)
    )
    held = Pass(around, lambda k, xs: edges[k].op.solve(*xs), lambda k, state, d: edges[k].op.pushforward(state, *d), x)
    rng = np.random.default_rng(1)
    points = [held.start(), *(backend.from_host(rng.normal(size=(4, 4))) for _ in range(2))]
    direction = backend.from_host(rng.normal(size=(4, 4)))
    a, b = (slice(0, 2), slice(2, 4))

    def want(rows):
        value = lambda s, t, r: np.tanh(r @ (np.eye(2) + ["aa", "ab", "ba", "bb"].index(s + t)))  # noqa: E731
        sums = [sum(value(s, t, rows[:, part]) for s, part in (("a", a), ("b", b))) for t in "ab"]
        return np.concatenate([sums[0] + to_host(x), sums[1]], axis=1)

    for first, second in itertools.product(points, points):
        held.start()
        same("image", held.image(first), want(to_host(first)))
        moved = want(to_host(second) + 1e-20j * to_host(direction)).imag / 1e-20
        same("derivative", held.linearise(second)(direction), moved)
        same("again", held.image(second), want(to_host(second)))
    rows = around.layout.unpack(points[0], own=True)
    assert not any(np.may_share_memory(rows["a"], rows["b"]) for _ in "1" if backend.name == "numpy")
