"""Structure of hypergraphs: figure 2, levels, schedules, cycles, memory, descriptions, and every bad input."""

from __future__ import annotations

import itertools
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.records import ByName

from .helpers import assert_equal
from .networks import Mix, networks

FIGURE_TWO = {
    "f1": "x1 x2 -> x3", "f2": "x1 -> x5", "f3": "x3 -> x4", "f4": "x4 -> x5 x6 x7", "f5": "x6 -> x8",
}  # fmt: skip
SIZES = {f"x{k}": k for k in range(1, 9)}


def figure_two(backend, more=()):
    rng = np.random.default_rng(0)
    edges = []
    for name, signature in (*FIGURE_TWO.items(), *more):
        left, right = (side.split() for side in signature.split("->"))
        op = Mix.draw([(SIZES[s],) for s in left], [(SIZES[t],) for t in right], rng, backend)
        edges.append(mk.Edge(name, op, signature))
    return mk.Hypergraph(SIZES, edges)


def linear(n_in=1, n_out=1, spec="numpy", dtype=None):
    return mk.Affine(n_in, n_out, rng=0, bias=False, backend=spec, dtype=dtype)


def test_figure_two_has_depth_four(backend):
    """Levels as early as can be, the grouping of the paper, and what is no schedule."""
    net = figure_two(backend)
    assert net.levels == [("f1", "f2"), ("f3",), ("f4",), ("f5",)]
    assert net.depth == 4
    assert net.signature == "x1 x2 -> x5 x7 x8"
    assert net.is_schedule([("f1",), ("f2", "f3"), ("f4",), ("f5",)])
    assert net.is_schedule(net.levels)
    assert not net.is_schedule([("f1", "f3"), ("f2",), ("f4",), ("f5",)])
    assert not net.is_schedule([("f2", "f1"), ("f3",), ("f4",)])
    assert not net.is_schedule([*net.levels, ("f5",)])


def test_a_cycle_is_named_with_its_edges(backend):
    with pytest.raises(mk.CycleError, match=r"the edges make a cycle, x.* -> x.*; leave one of the edges") as caught:
        figure_two(backend, [("back", "x8 -> x3")])
    k = caught.value.cycle.index("f3")
    assert caught.value.cycle[k:] + caught.value.cycle[:k] == ("f3", "f4", "f5", "back")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.cycle, str(copy)) == (caught.value.cycle, str(caught.value))
    with pytest.raises(mk.CycleError) as caught:
        mk.Hypergraph({"a": 1}, [mk.Edge("loop", linear(), "a -> a")])
    assert caught.value.cycle == ("loop",)
    one, two = (mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge(s[0], linear(), s)]) for s in ("a -> b", "b -> a"))
    assert one.depends_on(two)
    with pytest.raises(mk.CycleError):
        one + two


@given(data=st.data())
def test_levels_are_the_longest_paths(backend, spec, data):
    """An edge's level is the length of the longest path of edges that ends with it; any valid order is a schedule."""
    net = data.draw(networks(spec, backend))
    by_name = {e.name: e for e in net.edges}

    def longest(edge):
        before = [e for e in net.edges if set(e.targets) & set(edge.sources)]
        return 1 + max(map(longest, before), default=0)

    assert {n: k for k, group in enumerate(net.levels, 1) for n in group} == {n: longest(e) for n, e in by_name.items()}
    if len(net.edges) <= 4:
        for order in itertools.permutations(by_name):
            fine = all(
                not set(by_name[a].sources) & set(by_name[b].targets) for k, a in enumerate(order) for b in order[k:]
            )
            assert net.is_schedule([(name,) for name in order]) == fine


@given(data=st.data(), batch=st.integers(0, 5))
def test_memory_is_the_bytes_of_the_arrays_of_a_state(backend, spec, data, batch):
    """Every buffer once: counted here over a state of that batch."""
    net = data.draw(networks(spec, backend, every=False))
    zeros = [backend.from_host(np.zeros((batch, *net.spaces[n]))) for n in net.inputs]
    state, seen = net.solve(*zeros), {}

    def walk(record):
        if isinstance(record, tuple | list):
            list(map(walk, record))
        elif isinstance(record, dict):
            list(map(walk, record.values()))
        elif isinstance(record, mk.State):
            list(map(walk, vars(record).values()))
        elif hasattr(record, "shape"):
            while isinstance(getattr(record, "base", None), type(record)):
                record = record.base
            seen[id(record)] = int(np.prod(record.shape)) * 8

    walk(state)
    found = net.memory(batch)
    assert found.total == found.inputs + found.spaces + sum(found.edges.values()) == sum(seen.values())
    assert net.memory((batch, 1)) == found


def test_outputs_that_were_added_are_let_go(backend, spec):
    """Of an op whose derivatives read the shape of its output only, the sum is kept, not the term."""
    x = backend.from_host(np.ones((4, 3)))
    for op, kept in ((linear(3, 3, spec), 0), (Mix.draw([(3,)], [(3,)], np.random.default_rng(0), backend), 4 * 3 * 8)):
        net = mk.Hypergraph({"a": 3, "b": 3}, [mk.Edge(n, op, "a -> b") for n in "fg"])
        assert net.memory(4).edges == {"f": kept, "g": kept}
        state = net.solve(x)
        assert (state.saved[0].outputs[0] is state["b"]) == (not kept)


def test_memory_of_what_does_not_grow_with_the_batch(backend):
    class Keeping:
        def solve(self, x):
            return mk.State((x,), (2.0 * x,), {"table": backend.from_host(np.zeros(5)), "twice": [x, x]})

    net = mk.Hypergraph({"a": 3, "b": 3}, [mk.Edge("f", Keeping(), "a -> b")])
    assert net.memory(4) == (4 * 24, 4 * 24, {"f": 40})
    assert net.memory(0).total == 0
    for batch in (-1, 1.5, (2, -1)):
        with pytest.raises(ValueError, match="batch is"):
            net.memory(batch)


def test_it_describes_itself(backend, spec):
    net = figure_two(backend)
    text = net.describe()
    for name, signature in FIGURE_TWO.items():
        assert f"{name}: {signature}" in text
    assert "8 spaces, 5 edges, depth 4" in text
    shared = mk.Affine(1, 1, rng=0, backend=spec)
    twice = mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge("f", shared, "a -> b"), mk.Edge("g", shared, "a -> b")])
    assert "shared: g.weight is f.weight, g.bias is f.bias" in twice.describe()
    dot = net.to_dot()
    assert dot.count("{") == dot.count("}") == 1 + net.depth
    arrows = re.findall(r'"(.*?)" -> "(.*?)"', dot)
    want = [(f"space {s}", f"edge {e.name}") for e in net.edges for s in e.sources]
    want += [(f"edge {e.name}", f"space {t}") for e in net.edges for t in e.targets]
    assert sorted(arrows) == sorted(want)
    assert repr(net) == (
        "Hypergraph({x1: 1, x2: 2, x3: 3, x4: 4, x5: 5, x6: 6, x7: 7, x8: 8}, 5 edges, depth 4, 'x1 x2 -> x5 x7 x8')"
    )


SPACES = {"a": 2, "b": (3, 2), "c": 2}


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (TypeError, "spaces is a list", lambda: mk.Hypergraph([2], [])),
        (ValueError, "spaces is empty", lambda: mk.Hypergraph({}, [])),
        (ValueError, "space 'a' is -1", lambda: mk.Hypergraph({"a": -1}, [])),
        (ValueError, r"space 'a' is \(2, 1.5\)", lambda: mk.Hypergraph({"a": (2, 1.5)}, [])),
        (ValueError, "name of a space is 'a.b'", lambda: mk.Hypergraph({"a.b": 1}, [])),
        (TypeError, "name of a space is 3", lambda: mk.Hypergraph({3: 1}, [])),
        (TypeError, r"edges\[0\] is 'f'", lambda: mk.Hypergraph(SPACES, ["f"])),
        (ValueError, "names the space 'd'; choose from a, b, c", lambda: net_of(mk.Edge("f", linear(2, 2), "a -> d"))),
        (ValueError, "two edges are named 'f'", lambda: net_of(*[mk.Edge("f", linear(2, 2), "a -> c")] * 2)),
        (ValueError, "two words", lambda: mk.Edge("two words", linear(), "a -> b")),
        (TypeError, "name is 1", lambda: mk.Edge(1, linear(), "a -> b")),
        (ValueError, "with one arrow", lambda: mk.Edge("f", linear(), "a b")),
        (ValueError, "with one arrow", lambda: mk.Edge("f", linear(), "a -> b -> c")),
        (TypeError, "signature None", lambda: mk.Edge("f", linear(), None)),
        (ValueError, "needs a source and a target", lambda: mk.Edge("f", linear(), "-> b")),
        (ValueError, "needs a source and a target", lambda: mk.Edge("f", linear(), "a ->")),
        (TypeError, "the op of the edge 'f' is 3", lambda: mk.Edge("f", 3, "a -> b")),
        (ValueError, "signature='a -> d' names the space 'd'", lambda: mk.Hypergraph(SPACES, [], "a -> d")),
        (ValueError, "its outputs are", lambda: mk.Hypergraph(SPACES, [], "a -> ")),
        (ValueError, "its inputs are", lambda: mk.Hypergraph(SPACES, [], "a a -> b")),
        (ValueError, r"edge 'f', a -> b, returned shape \(1, 2\) for the space 'b', which is \(1, 3, 2\)",
         lambda: net_of(mk.Edge("f", linear(2, 2), "a -> b"))),
        (ValueError, r"edge 'f', a -> c, cannot run on a \(2,\): .*2 channels but the weight reads 5",
         lambda: net_of(mk.Edge("f", linear(5, 2), "a -> c"))),
        (ValueError, "targets a, c but its op returned 1;", lambda: net_of(mk.Edge("f", linear(2, 3), "b -> a c"))),
        (TypeError, "g.weight is in single precision .* but the parameter f.weight in double",
         lambda: net_of(mk.Edge("f", linear(2, 2), "a -> c"),
                        mk.Edge("g", linear(2, 2, dtype="float32"), "a -> c"))),
    ],
)  # fmt: skip
def test_bad_networks_are_refused(error, words, make):
    with pytest.raises(error, match=words):
        make()


def net_of(*edges):
    return mk.Hypergraph(SPACES, edges)


@pytest.fixture
def small(spec):
    return mk.Hypergraph(SPACES, [mk.Edge("f", linear(2, 2, spec), "a -> c")])


def test_bad_inputs_are_refused_and_named(small, backend):
    """Which input, its shape, the space's; the batch of two inputs; no input; unknown names."""
    a, b = (backend.from_host(np.zeros((5, *s))) for s in ((2,), (3, 2)))
    for words, arguments in (
        ("no input is given", ({},)),
        ("no input is given", (None, None)),
        ("input for 'd', which is no space", ({"d": a},)),
        (r"input b has shape \(5, 2\); its space is \(3, 2\)", ({"b": a},)),
        (r"input a has the batch \(5,\) but input b, of shape \(4, 3, 2\), has \(4,\)", ({"a": a, "b": b[:4, ...]},)),
    ):
        with pytest.raises(ValueError, match=words):
            small.solve(*arguments)
    with pytest.raises(TypeError, match="got 3 for the spaces a, b"):
        small.solve(a, b, a)
    with pytest.raises(TypeError, match="input a is a list"):
        small.solve({"a": [1.0, 2.0]})
    with pytest.raises(TypeError, match="single precision"):
        small.solve({"a": backend.from_host(np.zeros((5, 2), np.float32))})
    state = small.solve({"a": a})
    with pytest.raises(ValueError, match=r"the seed of c has shape \(5, 1\); its value has \(5, 2\)"):
        small.pullback(state, {"c": a[:, :1]})
    with pytest.raises(ValueError, match=r"the direction of a has shape \(4, 2\)"):
        small.pushforward(state, {"a": a[:4, :]})
    with pytest.raises(ValueError, match="seed for 'e', which is no space"):
        small.pullback(state, {"e": a})
    with pytest.raises(TypeError, match=r"'weight' is no parameter of this network; it has f\.weight"):
        small.pushforward(state, a, weight=a)
    with pytest.raises(TypeError, match="state is a State"):
        small.pullback(mk.State((a,), (a,)), a)
    with pytest.raises(KeyError, match="'d' is no space"):
        state["d"]
    with pytest.raises(AttributeError, match="does not change"):
        small.spaces = {}


def test_an_own_op_is_checked_when_it_runs(backend):
    """Outputs of another number or shape, cotangents of another number: the edge is named."""

    class Odd:
        def __init__(self, outputs, inputs=1):
            self.outputs, self.inputs = outputs, inputs

        def __call__(self, x):
            return self.outputs(x)

        def pullback(self, state, *outputs):
            return mk.Cotangent(outputs * self.inputs)

    x = backend.from_host(np.zeros((5, 2)))
    for outputs, words in ((lambda x: (x, x), "returned 2;"), (lambda x: x[:, :1], r"returned shape \(5, 1\)")):
        net = mk.Hypergraph({"a": 2, "c": 2}, [mk.Edge("odd", Odd(outputs), "a -> c")])
        with pytest.raises(ValueError, match=f"edge 'odd'.*{words}"):
            net.solve(x)
    net = mk.Hypergraph({"a": 2, "c": 2}, [mk.Edge("odd", Odd(lambda x: x, 2), "a -> c")])
    with pytest.raises(ValueError, match="edge 'odd' reads a but its op's pullback returned 2 cotangents"):
        net.pullback(net.solve(x), x)


def test_an_op_without_pushforward_still_solves(backend):
    class Double:
        def __call__(self, x):
            return 2.0 * x

    net = mk.Hypergraph({"a": 2, "b": 2}, [mk.Edge("f", Double(), "a -> b")])
    x = backend.from_host(np.ones((1, 2)))
    state = net.solve(x)
    assert_equal("b", state["b"], 2 * np.ones((1, 2)))
    for verb in (lambda: net.pushforward(state, x), lambda: net.pullback(state, x)):
        with pytest.raises(TypeError, match="Double has no pu"):
            verb()


def test_arrays_by_name_and_by_place():
    both = ByName(("a", "b"), {"a": 1, "b": 2, "c": 3})
    assert (both[0], both["a"], both["c"], both[-1], len(both)) == (1, 1, 3, 2, 2)
    assert pickle.loads(pickle.dumps(both))["c"] == 3
    with pytest.raises(KeyError, match="'d' is not here; there are a, b, c"):
        both["d"]
