"""Depth: by listing all paths, by boolean powers of the explicit matrix, by iteration, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit import theory
from machinekit.arrays import to_host

from .edges import fractions, graphs
from .oracle import explicit_matrix
from .strategies import cases, seeds


def path_depth(machine, grid, weight, bias):
    """The longest path y → z → y … by brute force on the explicit matrix; every z is a step, every bias one more."""
    reads = explicit_matrix(machine.partition.padding, weight, grid) != 0
    start = np.tile(np.zeros(weight.shape[-1]) if bias is None else bias, math.prod(grid)) != 0
    y = start.astype(int)
    for _ in range(len(y) + 1):
        through = np.where(reads, (y + 2)[None, :], 0).max(axis=1, initial=0)
        y = np.maximum(start, through)
    return int((y + 1).max(initial=0))


@given(graph=graphs())
def test_of_edges_it_is_the_length_of_the_longest_path(backend, graph):
    f = graph.on(backend)
    assert theory.depth(f) == theory.depth(f, method="structure") == graph.depth
    assert theory.space_levels(f) == {name: graph.level(k) for k, name in enumerate(graph.names)}
    assert list(theory.edge_levels(f).values()) == [max(n) for n in graph.lengths]
    earliest = theory.levels(f)
    assert [set(group) for group in earliest] == [
        {e.name for e, n in zip(f.edges, graph.lengths, strict=True) if max(n) == k} for k in range(1, graph.depth + 1)
    ]
    assert theory.is_schedule(f, earliest)
    assert theory.is_schedule(f, theory.levels(f, "latest"))
    assert theory.is_schedule(f, earliest[::-1]) == (len(earliest) < 2)


@given(graph=graphs(most=4), seed=seeds())
def test_iteration_finds_at_most_the_structural_depth(backend, graph, seed):
    f = graph.on(backend)
    found = theory.depth(f, method="iteration", rng=seed)
    assert found <= min(graph.depth, f.dimension)


@given(graph=graphs(most=4, least=1), seed=seeds())
def test_iteration_in_fractions_finds_the_depth_of_generic_edges(graph, seed):
    assert theory.depth(graph.exact(), method="iteration", rng=seed) == graph.depth


@given(case=cases(dtypes=("float64",), linear=False), keep=st.floats(0.2, 1), seed=seeds())
def test_of_a_machine_it_is_the_longest_path_through_live_weights(backend, case, keep, seed):
    n = case.numbers()
    kept = np.random.default_rng(seed).random(n.weight.shape) < keep
    m = case.machine(backend, n).prune(backend.from_host(kept))
    want = path_depth(m, case.grid, np.where(m.live, 1.0, 0.0), n.bias)
    assert theory.structural_depth(m, case.grid) == theory.depth(m, case.grid) == want
    assert want <= m.depth_bound(case.grid)


@given(case=cases(dtypes=("float64", "float32"), linear=False, most=2, blocks=3))
def test_of_a_machine_iteration_finds_no_more(backend, case):
    case = case.with_(grid=tuple(min(n, 3) for n in case.grid))
    m = case.machine(backend, case.numbers())
    found = theory.depth(m, case.grid, method="iteration", points=2)
    assert found <= theory.depth(m, case.grid) <= m.depth_bound(case.grid)


@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4), biased=st.booleans(), seed=seeds())
def test_of_n_full_blocks_it_is_2n_less_1_and_one_more_with_a_bias(backend, sizes, biased, seed):
    rng, n = np.random.default_rng(seed), sum(sizes)
    weight, bias = rng.uniform(0.5, 1, (n, n)), backend.from_host(rng.uniform(0.5, 1, n))
    m = mk.DenseMachine(sizes, "softplus", weight=backend.from_host(weight), bias=bias if biased else False)
    want = 2 * len(sizes) - 1 + biased
    assert theory.depth(m) == theory.depth(m, method="iteration", rng=seed) == m.depth_bound() == want
    assert theory.flag(m).length == want


@given(n=st.integers(1, 6), seed=seeds())
def test_of_a_nilpotent_operator_it_is_the_index_less_1(n, seed):
    """In fractions, whatever the basis; the index is found here with integer powers."""
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.integers(-2, 3, (n, n)), -1)
    change = np.eye(n, dtype=int) + np.tril(rng.integers(-1, 2, (n, n)), -1)
    order = rng.permutation(n)
    matrix = change @ lower[np.ix_(order, order)] @ np.rint(np.linalg.inv(change)).astype(int)
    index = next(k for k in range(n + 1) if not np.linalg.matrix_power(matrix.astype(object), k).any())
    f = theory.Endofunction.linear(fractions(matrix))
    assert theory.depth(f, method="iteration", rng=seed) == index - 1
    assert theory.depth(theory.Endofunction.linear(matrix), method="iteration", rng=seed) == index - 1


@pytest.mark.parametrize("factor", [1.0, 2.0, 10.0, -10.0, 0.5, -0.25])
def test_a_multiple_of_the_identity_has_none(factor, backend):
    """Found by hand: 10 x overflowed, and ∞ = ∞ counted as standing still; x / 2 stood still after 53 roundings."""
    for n in (1, 3):
        f = theory.Endofunction.linear(backend.from_host(factor * np.eye(n)))
        assert theory.depth(f, method="iteration") == math.inf
        assert theory.depth(f, method="iteration", most=5) == math.inf
    exact = theory.Endofunction.linear(np.array([[3]]))
    assert theory.depth(exact, method="iteration") == math.inf


@given(n=st.integers(0, 4), seed=seeds())
def test_of_a_constant_it_is_1_and_of_zero_0(backend, n, seed):
    value = np.random.default_rng(seed).uniform(0.5, 1, n)
    assert theory.depth(theory.Endofunction.constant(backend.from_host(value))) == min(n, 1)
    assert theory.depth(theory.Endofunction.constant(backend.from_host(0 * value))) == 0
    assert theory.depth(theory.Endofunction.linear(backend.from_host(np.zeros((n, n))))) == 0


def test_no_depth_exceeds_the_dimension():
    """Strictly decreasing subspaces V_0 ⊋ … ⊋ V_d = 0 of n dimensions: d ≤ n, and n is attained."""
    for n in range(1, 7):
        chain = np.eye(n, k=-1)
        f = theory.Endofunction.linear(chain) + theory.Endofunction.constant(np.eye(n)[0])
        assert theory.depth(f, method="iteration") == n
        assert theory.depth(f, method="iteration", most=n - 1) == math.inf


def test_figure_two_is_read_from_its_edges(backend):
    xp = backend.xp
    edges = {"x1 x2 -> x3": lambda a, b: a * b, "x1 -> x5": xp.sin, "x3 -> x4": xp.cos,
             "x4 -> x5 x6 x7": lambda x: (x, 2 * x, 3 * x), "x6 -> x8": xp.tanh}  # fmt: skip
    like = backend.from_host(np.zeros(1))
    f = theory.Endofunction.of_edges({f"x{k}": 1 for k in range(1, 9)}, edges, like=like)
    assert theory.depth(f) == theory.depth(f, method="iteration") == 4
    assert theory.levels(f) == [("x1 x2 -> x3", "x1 -> x5"), ("x3 -> x4",), ("x4 -> x5 x6 x7",), ("x6 -> x8",)]
    third = ("x1 -> x5", "x4 -> x5 x6 x7")
    assert theory.levels(f, "latest") == [("x1 x2 -> x3",), ("x3 -> x4",), third, ("x6 -> x8",)]
    x = backend.from_host(np.linspace(-1, 1, 8))
    x1, x2, x3, x4, x5, x6, x7, x8 = np.linspace(-1, 1, 8)
    x3 += x1 * x2
    x4 += np.cos(x3)
    x6, x7 = x6 + 2 * x4, x7 + 3 * x4
    x5, x8 = x5 + np.sin(x1) + x4, x8 + np.tanh(x6)
    want = np.array([x1, x2, x3, x4, x5, x6, x7, x8])
    assert np.abs(to_host(theory.resolvent(f, x)) - want).max() < 1e-14


def test_late_is_when_first_one_of_the_targets_must_be():
    sizes = {"a": 1, "b": 1, "c": 1, "d": 1}
    edges = {"a -> b": abs, "b -> c": abs, "a -> d": abs, "c -> d": abs}
    f = theory.Endofunction.of_edges(sizes, edges)
    assert theory.levels(f) == [("a -> b", "a -> d"), ("b -> c",), ("c -> d",)]
    assert theory.levels(f, "latest") == [("a -> b",), ("b -> c",), ("a -> d", "c -> d")]
