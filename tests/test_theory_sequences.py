"""Depth sequences: every strategy reaches the solution found by substitution, and costs what counting paths says."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit import theory
from machinekit.arrays import to_host

from .edges import Graph, fractions, graphs, supported, whole_vector
from .helpers import assert_close, locked, shares_memory, tolerance
from .strategies import seeds

STRATEGY = st.sampled_from(theory.STRATEGIES)
CHAIN = theory.Endofunction.of_edges({"a": 1, "b": 1, "c": 1}, {"a -> b": np.tanh, "b -> c": np.tanh})
FULL = [(i, j) for i in range(5) for j in range(i + 1, 5)]


def random_order(graph, seed):
    """A linear extension, by brute force: draw until nothing reads what is written later."""
    rng, left, order = np.random.default_rng(seed), list(range(len(graph.edges))), []
    while left:
        ready = [e for e in left if not any(set(graph.edges[e][0]) & set(graph.edges[b][1]) for b in left)]
        order.append(int(rng.choice(ready)))
        left.remove(order[-1])
    return order


@given(graph=graphs(), strategy=STRATEGY, seed=seeds(), dtype=st.sampled_from(["float64", "float32"]))
def test_every_strategy_gives_what_substitution_gives(backend, graph, strategy, seed, dtype):
    g = np.random.default_rng(seed).normal(size=sum(graph.sizes)).astype(dtype)
    f, x0 = graph.on(backend, dtype), locked(backend, g)
    want = graph.solved(g.astype(float))
    bound = tolerance(dtype, 16.0 * (1 + len(g)) ** 2) * np.ones(want.shape)
    sequence = theory.lifted_depth_sequence(f, x0, strategy)
    assert_close(strategy, sequence.last, want, bound, graph)
    assert_close("resolvent", theory.resolvent(f, x0), want, bound, graph)
    assert_close("x − f(x)", sequence.last - f(sequence.last), g, bound, graph)
    assert sequence.last.dtype == x0.dtype
    assert not any(shares_memory(h, x0) for h in (*sequence.values, theory.resolvent(f, x0)) if g.size)


@given(graph=graphs(), strategy=STRATEGY, seed=seeds())
def test_in_fractions_the_solution_is_exact(graph, strategy, seed):
    g = whole_vector(sum(graph.sizes), seed)
    want = graph.solved_exactly(g)
    f = graph.exact()
    assert theory.lifted_depth_sequence(f, g, strategy).last.tolist() == want.tolist()
    assert theory.depth_sequence(f, g).last.tolist() == want.tolist()
    names = [e.name for e in f.edges]
    order = [(names[e],) for e in random_order(graph, seed)]
    alone = theory.lifted_depth_sequence(f, g, schedule=order)
    assert alone.last.tolist() == want.tolist()
    assert alone.steps == len(graph.edges)
    assert theory.is_schedule(f, order)


@given(graph=graphs(), seed=seeds())
def test_edges_are_evaluated_as_often_as_the_lengths_of_paths_say(backend, graph, seed):
    """At step k "changed" evaluates the edges that end a path of length k; "source" those whose longest is k."""
    f = graph.on(backend)
    g = backend.from_host(np.random.default_rng(seed).normal(size=f.dimension))
    names, d = [e.name for e in f.edges], graph.depth
    due = {
        "changed": list(graph.lengths),
        "full": [set(range(1, d + 1)) for _ in names],
        "source": [{max(n)} for n in graph.lengths],
        "target": [{min(graph.level(t) for t in targets)} for _, targets in graph.edges],
    }
    for strategy, steps in due.items():
        sequence = theory.lifted_depth_sequence(f, g, strategy)
        found = [{k for k, step in enumerate(sequence.evaluations, 1) if step[name]} for name in names]
        if strategy in ("source", "target"):  # steps in which nothing is due are left out
            levels = sorted(set().union(*steps)) if steps else []
            found = [{levels[k - 1] for k in ks} for ks in found]
        assert found == steps, (strategy, graph)
        assert sequence.per_edge == Counter({name: len(n) for name, n in zip(names, steps, strict=True)})
        assert sequence.edge_evaluations == sum(map(len, steps))
        if strategy in ("changed", "full"):
            assert sequence.steps == d
    plain = theory.depth_sequence(f, g)
    assert plain.edge_evaluations == plain.steps * len(names)


@pytest.mark.parametrize("n", range(1, 10))
def test_all_shortcuts_among_n_nodes_cost_what_the_formulas_say(n):
    f = theory.shortcut_graph(n)
    found = [theory.lifted_depth_sequence(f, np.ones(n), s).edge_evaluations for s in theory.STRATEGIES]
    once = n * (n - 1) // 2
    assert found == [once, once, n * (n + 1) * (n - 1) // 6, n * (n - 1) ** 2 // 2]
    assert n != 5 or found == [10, 10, 20, 40]


@given(graph=graphs(), seed=seeds(), strategy=st.sampled_from(["full", "changed"]))
def test_from_any_start_in_v0_the_depth_suffices(graph, seed, strategy):
    """Theorem 1, Proposition 4: h_d is the solution for all φ ∈ V_0, exactly; and not before for some φ."""
    g = whole_vector(sum(graph.sizes), seed)
    phi = supported(graph, whole_vector(sum(graph.sizes), seed + 1) * 7)
    f, want = graph.exact(), graph.solved_exactly(g).tolist()
    sequence = theory.lifted_depth_sequence(f, g, strategy, start=phi)
    assert sequence.values[0].tolist() == (g + phi).tolist()
    assert sequence.last.tolist() == want
    assert sequence.steps == graph.depth
    plain = theory.depth_sequence(f, g, phi, steps=graph.depth)
    assert [h.tolist() for h in plain.values] == [h.tolist() for h in sequence.values]
    assert theory.depth_sequence(f, g, phi).steps <= graph.depth


@given(graph=graphs(least=1), seed=seeds())
def test_a_start_outside_v0_takes_one_step_more_and_is_refused_where_steps_are_counted(graph, seed):
    """A wrong value on a space that no edge writes to is gone after one step; "changed" would never look again."""
    free = [k for k in range(len(graph.sizes)) if k not in graph.written]
    g, f = whole_vector(sum(graph.sizes), seed), graph.exact()
    phi = f.join({name: fractions(np.full(f.sizes[name], int(k in free))) for k, name in enumerate(graph.names)})
    assert theory.depth_sequence(f, g, phi).last.tolist() == graph.solved_exactly(g).tolist()
    assert theory.depth_sequence(f, g, phi).steps <= graph.depth + 1
    for strategy in ("full", "changed") if free else ():
        with pytest.raises(ValueError, match=f"start is not 0 on 'x{free[0]}', which no edge writes to"):
            theory.lifted_depth_sequence(f, g, strategy, start=phi)


@given(graph=graphs(), seed=seeds(), strategy=STRATEGY)
def test_increments_add_up_to_the_solution(graph, seed, strategy):
    """Lifted, an increment has no entry outside what the edges of its step write to."""
    g, f = whole_vector(sum(graph.sizes), seed), graph.exact()
    sequence = theory.lifted_depth_sequence(f, g, strategy)
    assert sum(sequence.increments, g).tolist() == sequence.last.tolist()
    targets = {e.name: e.targets for e in f.edges}
    for step, increment in zip(sequence.evaluations, sequence.increments, strict=True):
        written = {t for name in step for t in targets[name]}
        moved = {name for name, part in f.split(increment).items() if part.any()}
        assert moved <= written


@given(graph=graphs(), seed=seeds(), steps=st.integers(0, 8))
def test_a_given_number_of_steps_is_made(graph, seed, steps):
    g, f = whole_vector(sum(graph.sizes), seed), graph.exact()
    values = theory.depth_sequence(f, g, steps=steps).values
    assert len(values) == steps + 1
    assert values[0].tolist() == g.tolist()
    assert all((g + f(a)).tolist() == b.tolist() for a, b in pairwise(values))


def test_as_many_steps_as_the_depth_are_enough_and_one_less_is_not():
    assert theory.depth_sequence(CHAIN, np.ones(3), most=2).steps == 2
    with pytest.raises(ValueError, match="not stood still after 1 steps; f may have no finite depth"):
        theory.depth_sequence(CHAIN, np.ones(3), most=1)


@given(n=st.integers(1, 5), seed=seeds())
def test_the_error_after_k_steps_is_that_of_the_power(n, seed):
    """For linear f the error is Lᵏ times that of the start, whose size may grow before it vanishes."""
    rng = np.random.default_rng(seed)
    matrix = np.tril(rng.integers(-3, 4, (n, n)), -1)
    x0, phi = rng.integers(-3, 4, n), rng.integers(-3, 4, n)
    profile = theory.transient_profile(theory.Endofunction.linear(fractions(matrix)), fractions(x0), fractions(phi))
    powers = [np.linalg.matrix_power(matrix, k) for k in range(n + 1)]
    power = [p @ (x0 + phi - sum(powers) @ x0) for p in powers]
    assert list(profile) == [float(np.abs(p).max()) for p in power[: len(profile)]]
    assert not any(p.any() for p in power[len(profile) :])
    assert profile[-1] == 0


def test_what_overflows_is_not_taken_for_a_solution():
    """Found by hand: ∞ = ∞, and so 10 x stood still after 308 steps, as did every entry that is not finite."""
    for factor in (10.0, -10.0):
        f = theory.Endofunction.linear(np.array([[factor]]))
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"h_309 is not finite.*f must be"):
            theory.depth_sequence(f, np.ones(1))
    for value in (np.inf, np.nan):
        with pytest.raises(ValueError, match=rf"g is {value} at \(2,\); give finite numbers"):
            theory.depth_sequence(CHAIN, np.array([0.0, 0.0, value]))


def test_edges_of_one_signature_in_two_maps_both_count():
    """Found by hand: in f + f the second edge took the place of the first, and half of the image was lost."""
    graph = Graph((1, 1), (((0,), (1,)),) * 2, 3)
    f, g = graph.exact(), whole_vector(2, 0)
    both = f + f
    assert [e.name for e in both.edges] == ["x0 -> x1", "x0 -> x1 #2", "x0 -> x1 #3", "x0 -> x1 #4"]
    want = (g + 2 * f(g)).tolist()
    for strategy in theory.STRATEGIES:
        sequence = theory.lifted_depth_sequence(both, g, strategy)
        assert (sequence.last.tolist(), sequence.edge_evaluations) == (want, 4)
    assert theory.resolvent(both, g).tolist() == want


def test_a_network_without_edges_gives_its_input_back_in_an_array_of_its_own(backend):
    f = theory.Endofunction.of_edges({"a": 2}, {})
    x0 = backend.from_host(np.array([1.0, 2.0]))
    for strategy in theory.STRATEGIES:
        sequence = theory.lifted_depth_sequence(f, x0, strategy)
        assert to_host(sequence.last).tolist() == [1.0, 2.0]
        assert (sequence.steps, sequence.increments, sequence.edge_evaluations) == (0, (), 0)
        assert not shares_memory(sequence.last, x0)
