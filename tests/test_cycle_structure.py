"""Structure of cycles: what is settled together and when, its unknowns, saving, memory, bad input."""

from __future__ import annotations

import itertools
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import NUMPY

from .cyclic import SHARP, affine, cyclic_networks, inputs_of, tanh_of, two_cycles
from .helpers import assert_equal


@given(data=st.data())
def test_components_are_what_reaches_itself(backend, spec, data):
    """Two edges are settled together iff each reaches the other; levels are longest paths of what is left."""
    net = data.draw(cyclic_networks(spec, backend))
    after = {e.name: {f.name for f in net.edges if set(e.targets) & set(f.sources)} for e in net.edges}
    reach = {name: set(step) for name, step in after.items()}
    for _ in net.edges:
        reach = {name: found.union(*(after[f] for f in found)) for name, found in reach.items()}
    want = {
        frozenset(f for f in reach if f == name or (f in reach[name] and name in reach[f]))
        for name in reach
        if name in reach[name]
    }
    assert {frozenset(c) for c in net.components} == want
    one = {name: next((c for c in want if name in c), frozenset([name])) for name in reach}
    at = {name: k for k, group in enumerate(net.levels) for name in group}
    writes = {c: {t for e in net.edges if e.name in c for t in e.targets} for c in one.values()}
    reads = {c: {s for e in net.edges if e.name in c for s in e.sources} for c in one.values()}
    inside = {c: writes[c] & reads[c] if c in want else set() for c in one.values()}

    def before(c):
        """What has to be final: what writes to spaces that are read, or to those that are fed back."""
        return {d for d in one.values() if d != c and writes[d] & (reads[c] | inside[c])}

    def longest(c):
        return 1 + max(map(longest, before(c)), default=-1)

    for name, c in one.items():
        assert at[name] == longest(c), net.describe()
    assert sorted(at) == sorted(reach)
    assert net.depth == len(net.levels)
    assert net.is_schedule(net.levels)
    if len(net.edges) <= 4:
        for order in itertools.permutations(dict.fromkeys(one.values())):
            fine = all(not before(c) & set(order[k:]) for k, c in enumerate(order))
            assert net.is_schedule([sorted(c) for c in order]) == fine
    if any(len(c) > 1 for c in want):
        assert not net.is_schedule([(name,) for group in net.levels for name in group])


@given(data=st.data())
def test_the_unknowns_cut_every_cycle_and_none_is_for_nothing(backend, spec, data):
    net = data.draw(cyclic_networks(spec, backend))

    def acyclic(component, cut):
        try:
            mk.Hypergraph({"x": 1, **dict.fromkeys(component.spaces, 1)}, [
                mk.Edge(f"e{k}s{i}t{j}", mk.Add(), f"{s} -> {t}")
                for k in component.edges
                for i, s in enumerate(net.edges[k].sources)
                for j, t in enumerate(net.edges[k].targets)
                if {s, t} <= set(component.spaces) - set(cut)
            ])  # fmt: skip
        except mk.CycleError:
            return False
        return True

    for component in net._components:
        assert acyclic(component, component.cut)
        for kept in component.cut:
            assert not acyclic(component, set(component.cut) - {kept})


def test_the_fewest_and_smallest_unknowns_that_a_look_at_the_ways_finds():
    """A hub cuts all its cycles; of a ring the smallest space does; what a space taken later covers is put back."""
    for arrows, sizes, want in (
        ("hub a, a hub, hub b, b hub, hub c, c hub", {"hub": 9}, ("hub",)),
        ("a b, b c, c a", {"b": 1}, ("b",)),
        ("a b, b a, b c, c b, c d, d c", {}, ("b", "c")),
        ("a a, a b, b a, b c, c a", {"a": 9}, ("a",)),
        ("b a, c d, c a, d b, a d, b c", {}, ("b",)),
    ):
        pairs = [arrow.split() for arrow in arrows.split(", ")]
        spaces = {s: sizes.get(s, 2) for s in sorted({s for pair in pairs for s in pair})}
        edges = [mk.Edge(f"f{k}", mk.Add(), f"{s} -> {t}") for k, (s, t) in enumerate(pairs) if spaces[s] == spaces[t]]
        edges += [
            mk.Edge(f"g{k}", affine(np.ones((spaces[s], spaces[t])), NUMPY), f"{s} -> {t}")
            for k, (s, t) in enumerate(pairs)
            if spaces[s] != spaces[t]
        ]
        (component,) = mk.Hypergraph(spaces, edges, cycles=mk.Equilibrium())._components
        assert component.cut == want


def test_two_cycles_run_at_their_steps(backend):
    net = two_cycles(backend)
    assert net.levels == [("before", "beside"), ("a", "b", "c"), ("between", "outside"), ("d", "e", "f"), ("behind",)]
    assert net.depth == 5
    assert "2 cycles" in repr(net)
    text = net.describe()
    assert text.count("together: a, b, c; unknown: h") == 1
    assert "together: d, e, f; unknown: m" in text
    assert re.search(r"space q +2  final after step 4\n", text)
    dot = net.to_dot()
    assert 'subgraph cluster_1 { label=cycle; "edge d"; "edge e"; "edge f"; "space m"; "space p"; "space q"; }' in dot
    assert '{ rank=same; "edge between"; "edge outside"; }' in dot
    assert "cycle" not in mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge("f", mk.Add(), "a -> b")]).to_dot()


def test_a_cycle_without_options_is_refused_with_the_way_out(backend):
    net = two_cycles(backend)
    with pytest.raises(mk.CycleError, match=r"leave one of .* or pass cycles=mk\.Equilibrium\(\)") as caught:
        mk.Hypergraph(net.spaces, net.edges)
    assert set(caught.value.cycle) <= set("abcdef")
    early, late = (mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge(s[0], mk.Add(), s)]) for s in ("a -> b", "b -> a"))
    with pytest.raises(mk.CycleError):
        early + late
    for both in (early.with_options() + late, early + late.with_options()):
        assert both.components == [("a", "b")]
        assert both.cycles == mk.Equilibrium()
    with pytest.raises(ValueError, match=r"cycles is .* in one network and .* in the other"):
        early.with_options() + late.with_options(rtol=0.5)


def test_options_on_a_network_without_cycles_change_nothing(backend):
    edges = [mk.Edge("f", tanh_of(np.eye(2), backend), "a -> b")]
    plain, ready = (mk.Hypergraph({"a": 2, "b": 2}, edges, cycles=c) for c in (None, mk.Equilibrium()))
    x = inputs_of(backend)
    state = ready.solve(x, warm=plain.solve(x))
    assert_equal("b", state["b"], plain(x))
    assert (ready.levels, ready.components, repr(ready)) == (plain.levels, [], repr(plain))
    assert not state.info
    assert not ready.pullback(state, x).info


def test_bad_options_are_refused_at_construction(backend):
    edges = [mk.Edge("f", tanh_of(np.eye(2), backend), "a -> a")]
    for wrong in ("auto", True, {"rtol": 1.0}):
        with pytest.raises(TypeError, match=r"cycles is .*; pass mk\.Equilibrium\(\)"):
            mk.Hypergraph({"a": 2}, edges, cycles=wrong)
    for name, word in (("solver", "peaceman-rachford"), ("solver", "active-set"), ("dual_solver", "direct")):
        with pytest.raises(ValueError, match=f"cycles has {name}='{word}', which needs the blocks of a machine"):
            mk.Hypergraph({"a": 2}, edges, cycles=mk.Equilibrium(**{name: word}))
    net = mk.Hypergraph({"a": 2}, edges, cycles=mk.Equilibrium())
    with pytest.raises(ValueError, match="no input is given; pass an array for at least one of a"):
        net.solve({})
    with pytest.raises(TypeError, match="no option"):
        net.with_options(tolerance=1.0)


def test_an_op_that_couples_samples_is_refused_in_a_cycle(backend, spec):
    norm = mk.BatchNorm(2, backend=spec)
    inner = mk.Hypergraph({"a": 2, "b": 2}, [mk.Edge("n", norm, "a -> b")])
    for op in (norm, mk.Chain([mk.Add(), norm]), inner):
        edges = [mk.Edge("f", op, "h -> k"), mk.Edge("g", affine(0.1 * np.eye(2), backend), "k -> h")]
        with pytest.raises(
            ValueError, match=r"edge 'f' is in a cycle but its op .* couples .*with_statistics\(state\)"
        ):
            mk.Hypergraph({"h": 2, "k": 2}, edges, cycles=mk.Equilibrium())
    fixed = norm.with_statistics(norm.solve(inputs_of(backend)))
    net = mk.Hypergraph({"h": 2, "k": 2}, [mk.Edge("f", fixed, "h -> k"), edges[1]], "h -> k", cycles=SHARP)
    assert mk.testing.check_op(net, inputs_of(backend), rng=0).ok
    outside = [*net.edges, mk.Edge("n", norm, "k -> y")]
    mk.Hypergraph({"h": 2, "k": 2, "y": 2}, outside, cycles=SHARP)  # fmt: skip


def test_a_cyclic_network_is_moved_saved_and_pickled(backend, spec, tmp_path):
    cycles = mk.Equilibrium(rtol=1e-11, solver="broyden", history=7, on_failure="warn", atol=1e-13)
    net, x = two_cycles(backend, cycles), inputs_of(backend)
    loop = mk.Hypergraph({"a": 2}, [mk.Edge("f", tanh_of(np.eye(2) / 2, backend), "a -> a")], cycles=cycles)
    for number, (given_net, inputs) in enumerate(((net, {"x": x}), (loop, {"a": x}))):
        mk.save(tmp_path / f"{number}.npz", given_net)
        with ThreadPoolExecutor(2) as pool:
            others = (
                mk.load(tmp_path / f"{number}.npz", backend=spec), pickle.loads(pickle.dumps(given_net)),
                given_net.to(spec), given_net.replace(**given_net.parameters()),
                mk.Hypergraph(given_net.spaces, given_net.edges, cycles=cycles, executor=pool),
            )  # fmt: skip
            for other in others:
                assert other.cycles == cycles
                assert (other.components, other.levels) == (given_net.components, given_net.levels)
                assert (other.signature, other._components) == (given_net.signature, given_net._components)
                state, want = other.solve(inputs), given_net.solve(inputs)
                for name in given_net.spaces:
                    assert_equal(name, state[name], want[name])
        assert loop.sharing.parameters().keys() == {"f.0.weight"}
    state = pickle.loads(pickle.dumps(net.solve(x)))
    assert state.info.solver == ("broyden", "broyden")
    assert_equal(
        "dual", net.pullback(state, state["y"]).inputs["x"], net.pullback(net.solve(x), state["y"]).inputs["x"]
    )


def test_memory_counts_a_cycle_without_solving_it(backend):
    net = two_cycles(backend)
    assert net.memory(10).inputs == 10 * 2 * 8
    assert net.memory(10).spaces == 10 * (3 + 2 + 2 + 3 + 2 + 2 + 1) * 8
    assert net.memory(10).total == 10 * net.memory(1).total
    hopeless = mk.Hypergraph(
        {"a": 1}, [mk.Edge("f", affine([[1.0]], backend, [1.0]), "a -> a")], cycles=mk.Equilibrium(max_steps=5)
    )
    assert hopeless.memory(3).inputs == 3 * 8
