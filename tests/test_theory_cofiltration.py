"""Cofiltrations: of random subspaces, tightened, dual, exact; found out where f does not lower."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit import theory
from machinekit.arrays import to_host

from .edges import fractions, graphs, nilpotent, unimodular
from .strategies import cases, seeds

CHAIN = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])


def flag_of(dimensions, change):
    """V_i = the span of the first columns of a change of basis."""
    return theory.Cofiltration([change[:, :k] for k in (*sorted(dimensions, reverse=True), 0)])


@given(n=st.integers(1, 6), seed=seeds())
def test_tightened_it_is_made_of_the_images_of_powers(n, seed):
    """V_i = Im Mⁱ⁺¹ for a linear map, by ranks of exact integer powers; in any basis, at any seed."""
    rng = np.random.default_rng(seed)
    matrix, powers = nilpotent(n, rng)
    points = [fractions(rng.integers(-5, 6, n)) for _ in range(n + 2)]
    points[:n] = list(fractions(np.eye(n, dtype=int)))  # certainly in general position
    f = theory.Endofunction.linear(fractions(matrix))
    least = theory.tighten(f, points, rng=seed)
    assert least.dimensions == (*(int(np.linalg.matrix_rank(p.astype(float))) for p in powers), 0)
    for basis, power in zip(least.bases, powers, strict=False):
        assert theory.contains(basis, power) == theory.contains(power, basis) == 0
    assert least.bases[0].dtype == object
    assert all(found.ok for found in theory.check_cofiltration(f, least, points, seed))


def test_no_seed_makes_directions_that_do_not_span():
    """Found by hand: the same random mixes served all points, and at one seed in twenty they were singular."""
    f, points = theory.Endofunction.linear(CHAIN), list(np.vstack([np.eye(3, dtype=int)] * 2))
    assert {theory.tighten(f, points, rng=seed).dimensions for seed in range(300)} == {(2, 1, 0)}
    edge = theory.Endofunction.of_edges({"a": 1, "b": 1}, {"a -> b": lambda a: a})
    eye = np.eye(2)
    found = {theory.lowers(edge, eye[:, :1], eye[:, 2:], [np.ones(2)], rng=seed).ok for seed in range(100)}
    assert found == {False}


@given(case=cases(kind="dense", dtypes=("float64",), linear=False, most=2, blocks=3), seed=seeds())
def test_the_least_one_of_a_machine_lies_inside_its_flag(backend, case, seed):
    m = case.machine(backend, case.numbers())
    f, rng = theory.endofunction(m), np.random.default_rng(seed)
    points = [backend.from_host(rng.uniform(-1, 1, f.dimension)) for _ in range(f.dimension + 2)]
    flag, least = theory.flag(m), theory.tighten(f, points, seed)
    assert flag.length == m.depth_bound()
    assert least.length <= flag.length
    assert all(theory.contains(a, b) < 1e-7 for a, b in zip(flag.bases, least.bases, strict=False))
    for found in (*theory.check_cofiltration(f, flag, points), *theory.check_cofiltration(f, least, points)):
        assert found.ok, found
    for by in ("differences", "derivative"):
        assert all(found.ok for found in theory.check_cofiltration(f, flag, points[:2], by=by))


@given(n=st.integers(2, 5), seed=seeds(), by=st.sampled_from(["differences", "derivative"]), data=st.data())
def test_lowering_is_found_by_brute_force(n, seed, by, data):
    """M lowers to X/U → X/V iff M U ⊆ V: subspaces in a general basis, ranks in fractions, no false positives."""
    rng = np.random.default_rng(seed)
    matrix, _ = nilpotent(n, rng)
    change, _ = unimodular(n, rng)
    i, j = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    u, v = change[:, :i], change[:, :j]
    rank = np.linalg.matrix_rank
    both = np.concatenate([v, matrix @ u], axis=1).astype(float)
    inside = not both.size or rank(both) == j
    points = [rng.integers(-5, 6, n) for _ in range(2)]
    for kind in (fractions, lambda a: np.asarray(a, dtype=float)):
        f = theory.Endofunction.linear(kind(matrix))
        found = theory.lowers(f, kind(u), kind(v), [kind(x) for x in points], seed, by=by)
        assert found.ok == inside, found
        mixed = theory.lowers(f, u.astype(float), v.astype(float), [kind(x) for x in points], seed, by=by)
        assert mixed.ok == inside, mixed


@given(dimensions=st.lists(st.integers(0, 5), max_size=4), n=st.integers(5, 6), seed=seeds())
def test_the_dual_is_the_annihilators_in_reverse_and_its_dual_is_the_flag_again(dimensions, n, seed):
    change, _ = unimodular(n, np.random.default_rng(seed))
    for kind in (fractions, lambda a: a.astype(float)):
        flag = flag_of(dimensions, kind(change))
        dual = flag.dual()
        assert dual.length == flag.length == len(dimensions)
        assert flag.dimensions == (*sorted(dimensions, reverse=True), 0)
        assert dual.dimensions == (*(n - k for k in reversed(flag.dimensions[:-1])), 0)
        for w, v in zip(reversed(dual.bases[:-1]), flag.bases[:-1], strict=True):
            assert np.abs(to_host(w.T @ v).astype(float)).max(initial=0) < 1e-12
        again = dual.dual()
        assert again.dimensions == flag.dimensions
        for a, b in zip(again.bases, flag.bases, strict=True):
            assert max(theory.contains(a, b), theory.contains(b, a)) < 1e-9
        assert set(flag.distinct().dimensions) == set(flag.dimensions)
        assert flag.distinct().length == len(set(flag.dimensions)) - 1


@given(n=st.integers(1, 5), seed=seeds())
def test_the_dual_of_the_least_one_serves_the_transpose(n, seed):
    """Proposition 3, with subspaces that are not coordinate ones, exactly and in floats."""
    rng = np.random.default_rng(seed)
    matrix, _ = nilpotent(n, rng)
    points = list(fractions(np.eye(n, dtype=int)))
    dual = theory.tighten(theory.Endofunction.linear(fractions(matrix)), points).dual()
    transposed = theory.Endofunction.linear(fractions(matrix.T))
    assert all(found.ok for found in theory.check_cofiltration(transposed, dual, points))
    numbers = [x.astype(float) for x in points]
    floats = theory.Endofunction.linear(matrix.T.astype(float))
    assert all(found.ok for found in theory.check_cofiltration(floats, dual, numbers))


@given(graph=graphs(least=1), seed=seeds(), dtype=st.sampled_from(["float64", "float32"]))
def test_levels_are_index_sets_of_a_depth_cofiltration(backend, graph, seed, dtype):
    """V_i: the spaces of level more than i; with one set less, or in another order, it is none."""
    f, rng = graph.on(backend, dtype), np.random.default_rng(seed)
    level = np.repeat([graph.level(k) for k in range(len(graph.sizes))], graph.sizes)
    sets = [np.flatnonzero(level == i) for i in range(graph.depth + 1)]
    flag = theory.Cofiltration.of_index_sets(sets, f.dimension)
    points = [backend.from_host(rng.uniform(-1, 1, f.dimension).astype(dtype)) for _ in range(3)]
    assert flag.length == graph.depth
    for found in theory.check_cofiltration(f, flag, points, seed):
        assert found.ok, found
    if graph.depth and dtype == "float64":
        late = theory.Cofiltration.of_index_sets([np.concatenate(sets[:2]), *sets[2:]], f.dimension)
        assert not all(found.ok for found in theory.check_cofiltration(f, late, points, seed))


def test_a_bias_of_the_first_index_set_is_one_more_subspace(backend):
    """Without it Im f is not in V_0: what a check by derivatives does not see."""
    weight, bias = backend.from_host(np.ones((2, 2))), backend.from_host(np.ones(2))
    m = mk.DenseMachine((1, 1), "tanh", weight=weight, bias=bias)
    f, points = theory.endofunction(m), [backend.from_host(np.full(4, 0.25 * k)) for k in range(1, 4)]
    assert theory.flag(m).dimensions == (4, 3, 2, 1, 0)
    short = theory.flag(m.replace(bias=0 * bias))
    assert short.dimensions == (3, 2, 1, 0)
    assert [found.ok for found in theory.check_cofiltration(f, short, points)] == [False, True, True, True]
    assert all(found.ok for found in theory.check_cofiltration(f, short, points, by="derivative"))


@given(n=st.integers(1, 6), seed=seeds(), count=st.integers(0, 8))
def test_spans_and_ranks_are_those_of_exact_arithmetic(n, seed, count):
    """Also of vectors of very different size, and in single precision beside noise of its own size."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (n, count))
    rank = theory.span(fractions(vectors)).shape[1]
    assert rank == (np.linalg.matrix_rank(vectors.astype(float)) if count else 0)
    for dtype in ("float64", "float32", "complex128"):
        q = theory.span(vectors.astype(dtype))
        assert q.shape[1] == rank
        assert np.abs(q.conj().T @ q - np.eye(rank)).max(initial=0) < 1e-5
        w = theory.annihilator(vectors.astype(dtype))
        assert w.shape == (n, n - rank)
        assert np.abs(w.T @ vectors).max(initial=0) < 1e-4
        noisy = (vectors * (1 + np.finfo(dtype).eps * rng.integers(-1, 2, vectors.shape))).astype(dtype)
        assert theory.annihilator(noisy).shape == (n, n - rank)
    exact = theory.annihilator(vectors)
    assert not (exact.T @ vectors).any()
    assert theory.contains(vectors, vectors @ rng.integers(-2, 3, (count, 2))) == 0
    outside = theory.contains(vectors.astype(float), np.eye(n)) if count else 1.0
    assert (outside > 1e-9) == (rank < n)


def test_a_map_without_finite_depth_has_none(backend):
    rotation = backend.from_host(np.array([[0.0, -1.0], [1.0, 0.0]]))
    points = [backend.from_host(np.array([1.0, k])) for k in range(3)]
    with pytest.raises(ValueError, match="the images stay in 2 dimensions; f has no finite depth"):
        theory.tighten(theory.Endofunction.linear(rotation), points)
    with pytest.raises(ValueError, match="the images stay in 1 dimensions"):
        theory.tighten(theory.Endofunction.linear(np.array([[1, 0], [0, 0]])), list(np.eye(2, dtype=int)))


def test_a_space_of_no_dimensions_has_the_empty_flag(backend):
    f = theory.Endofunction.constant(backend.from_host(np.zeros(0)))
    least = theory.tighten(f, [backend.from_host(np.zeros(0))])
    assert (least.length, least.dimensions, repr(least)) == (0, (0,), "Cofiltration(0 ⊇ 0)")
    assert theory.Cofiltration.of_index_sets([], 0).dimensions == (0,)
    assert all(found.ok for found in theory.check_cofiltration(f, least, [backend.from_host(np.zeros(0))]))
