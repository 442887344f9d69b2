"""What a solution costs: calls that are counted as they happen, and connections counted on explicit matrices."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit import theory

from .edges import graphs
from .oracle import explicit_matrix
from .strategies import cases, seeds


def counting(f):
    """The same sum of edges, and a Counter of the calls of each from now on."""
    calls = Counter()

    def counted(edge):
        def function(*xs):
            calls[edge.name] += 1
            return edge.function(*xs)

        return theory.Edge(edge.name, edge.sources, edge.targets, function)

    return theory.Endofunction.sum_of(f.sizes, [counted(e) for e in f.edges], like=f.like), calls


def longest(matrix, bias):
    """Steps until nothing moves: first all of Im f, then y where a z that it reads has moved, z where its y has."""
    y, z, steps = bias | matrix.any(axis=1), np.ones(len(matrix), bool), 0
    while y.any() or z.any():
        y, z, steps = matrix @ z, y, steps + 1
    return steps


@given(graph=graphs(), seed=seeds(), strategy=st.sampled_from(theory.STRATEGIES))
def test_edges_are_called_as_often_as_is_reported(backend, graph, seed, strategy):
    """Found by counting calls, from 0 and from a start, in each step and by a schedule of one edge at a time."""
    f, calls = counting(graph.on(backend))
    x0 = backend.from_host(np.random.default_rng(seed).normal(size=f.dimension))
    sequence = theory.lifted_depth_sequence(f, x0, strategy)
    assert calls == sequence.per_edge
    assert calls.total() == sequence.edge_evaluations == sum(c.total() for c in sequence.evaluations)
    assert len(sequence.evaluations) == sequence.steps == len(sequence.increments)
    if strategy in ("full", "changed"):
        calls.clear()
        again = theory.lifted_depth_sequence(f, x0, strategy, start=0 * x0)
        assert calls == again.per_edge == sequence.per_edge
    calls.clear()
    alone = [(name,) for group in theory.levels(f) for name in group]
    assert theory.lifted_depth_sequence(f, x0, schedule=alone).per_edge == calls == Counter(e.name for e in f.edges)


@given(graph=graphs(), seed=seeds(), steps=st.integers(0, 5))
def test_a_depth_sequence_evaluates_all_edges_at_every_step(backend, graph, seed, steps):
    """And once more, which it does not report, where it has to see that nothing moves."""
    f, calls = counting(graph.on(backend))
    x0 = backend.from_host(np.random.default_rng(seed).normal(size=f.dimension))
    names = [e.name for e in f.edges]
    given = theory.depth_sequence(f, x0, steps=steps)
    assert calls == given.per_edge == Counter({name: steps for name in names if steps})
    calls.clear()
    until = theory.depth_sequence(f, x0)
    assert until.per_edge == Counter({name: until.steps for name in names if until.steps})
    assert calls == Counter(dict.fromkeys(names, until.steps + 1))
    calls.clear()
    theory.resolvent(f, x0)
    assert calls == Counter(names)


@pytest.mark.parametrize("n", range(1, 11))
def test_of_all_shortcuts_an_edge_is_called_once_n_less_1_times_or_as_often_as_its_source_changes(n):
    """Figure 1, edge by edge: i → j once; n − 1 times; or i + 1 times, as x_i changes in steps 1 … i: 10, 40, 20."""
    graph = theory.shortcut_graph(n)
    want = {
        "source": {f"x{i} -> x{j}": 1 for i in range(n) for j in range(i + 1, n)},
        "full": {f"x{i} -> x{j}": n - 1 for i in range(n) for j in range(i + 1, n)},
        "changed": {f"x{i} -> x{j}": i + 1 for i in range(n) for j in range(i + 1, n)},
    }
    want["target"] = want["source"]
    totals = {"source": n * (n - 1) // 2, "full": n * (n - 1) ** 2 // 2, "changed": (n + 1) * n * (n - 1) // 6}
    for strategy in theory.STRATEGIES:
        f, calls = counting(graph)
        theory.lifted_depth_sequence(f, np.ones(n), strategy)
        assert calls == want[strategy]
        assert calls.total() == totals.get(strategy, totals["source"])
    assert n != 5 or list(totals.values()) == [10, 40, 20]


@given(case=cases(), keep=st.floats(0, 1), batch=st.integers(0, 3), seed=seeds())
def test_a_machine_costs_what_its_explicit_matrix_says(backend, case, keep, batch, seed):
    """Pruned at random; on grids with positions that some lags do not reach, and on empty ones."""
    numbers, order, grid = case.numbers(), case.order, case.grid
    kept = np.random.default_rng(seed).random(numbers.weight.shape) < keep
    m = case.machine(backend, numbers).prune(backend.from_host(kept))
    live, positions = order.live() & kept, math.prod(grid)
    matrix = explicit_matrix(order.padding, live, grid)
    bias = np.zeros(case.channels) if numbers.bias is None else numbers.bias
    depth = longest(matrix, np.tile(bias != 0, positions))
    entries = batch * positions * case.channels
    item = {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[case.dtype]
    held = item * (2 * entries + live.size + (case.channels if case.bias else 0))
    sets = len({(order.place(g), k) for g in np.ndindex(*grid) for k in order.block_of})
    for strategy, steps, times in (("once", sets, 1), ("full", depth, depth)):
        used = times * batch * int(matrix.sum())
        want = theory.Counts(steps, used, used, times * entries, int(live.sum()), held)
        assert theory.operation_counts(m, grid, batch, strategy=strategy) == want


@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5), biased=st.booleans(), batch=st.integers(0, 3))
def test_of_a_dense_machine_they_are_the_formulas(backend, sizes, biased, batch):
    """Σ_{i<j} n_i n_j connections, n of them; 2k − 1 passes for k blocks that are not empty, 2k with a bias."""
    n, filled = sum(sizes), sum(map(bool, sizes))
    weight, bias = backend.from_host(np.ones((n, n))), backend.from_host(np.ones(n))
    m = mk.DenseMachine(sizes, "tanh", weight=weight, bias=bias if biased else False)
    pairs = (n * n - sum(k * k for k in sizes)) // 2
    once, full = (theory.operation_counts(m, batch=batch, strategy=s) for s in ("once", "full"))
    passes = 2 * filled - 1 + biased if filled else 0
    assert (once.steps, full.steps) == (filled, passes)
    assert (once.multiply_adds, full.multiply_adds) == (pairs * batch, passes * pairs * batch)
    assert (once.activations, full.activations) == (n * batch, passes * n * batch)
    assert once.live_weights == full.live_weights == pairs
    assert once.bytes == full.bytes == 8 * (2 * n * batch + n * n + n * biased)


@pytest.mark.parametrize(("positions", "connections"), [(0, 0), (1, 1), (2, 4), (3, 7), (10, 28)])
def test_what_a_kernel_reads_beyond_the_border_is_not_counted(positions, connections):
    """Three lags, one weight each: 3p − 2 connections on p positions, and none that leads to zeros outside."""
    m = mk.ConvMachine((1, 1), "tanh", padding=((1, 1),), weight=np.ones((3, 2, 2)), bias=False)
    counts = theory.operation_counts(m, (positions,))
    assert (counts.multiply_adds, counts.live_weights, counts.activations) == (connections, 3, 2 * positions)
