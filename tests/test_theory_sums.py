"""Independence and sums: which edge reads what another writes, and which resolvent runs first, by brute force."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit import theory
from machinekit.arrays import to_host

from .edges import fractions, graphs, unimodular, whole_vector
from .helpers import assert_close, assert_equal, locked, tolerance
from .strategies import seeds

METHODS = ("structure", "points", "derivative")
PARTS = {  # (edges of f1, edges of f2, which of them may run first)
    "one after the other": (["a -> b"], ["b -> c"], "first"),
    "the other after the one": (["b -> c"], ["a -> b"], "second"),
    "side by side": (["a -> c"], ["b -> c"], "either"),
    "in and out": (["a -> b", "c -> d"], ["b -> c"], "none"),
    "a constant first": (["-> a"], ["a -> b"], "first"),
    "nothing": ([], ["a -> b"], "either"),
}


@st.composite
def halves(draw, **sizes):
    """A graph, and for each of its edges whether it belongs to f1."""
    graph = draw(graphs(**sizes))
    return graph, draw(st.lists(st.booleans(), min_size=len(graph.edges), max_size=len(graph.edges)))


def parts(graph, first, whole):
    """The edges of an endofunction in two parts."""
    pairs = [(signature, e.function) for signature, e in zip(graph.signatures, whole.edges, strict=True)]
    chosen = [[p for p, here in zip(pairs, first, strict=True) if here == side] for side in (True, False)]
    return [theory.Endofunction.of_edges(whole.sizes, edges, like=whole.like) for edges in chosen]


def free(graph, first):
    """Whether f1 reads nothing that f2 writes, and the other way round."""
    reads, writes = ([{k for edge, here in zip(graph.edges, first, strict=True) if here == side for k in edge[which]}
                      for side in (True, False)] for which in (0, 1))  # fmt: skip
    return not reads[0] & writes[1], not reads[1] & writes[0]


def word(one, other):
    return ["none", "second", "first", "either"][2 * one + other]


@given(case=halves(least=1), seed=seeds())
def test_f1_is_independent_of_f2_iff_it_reads_nothing_that_f2_writes(backend, case, seed):
    """All weights are positive and no space is empty, so that the three methods must agree, in any arithmetic."""
    want = free(*case)
    for dtype in ("float64", "float32"):
        f1, f2 = parts(*case, case[0].on(backend, dtype))
        for method in METHODS:
            found = [theory.is_independent(*pair, method=method, rng=seed) for pair in ((f1, f2), (f2, f1))]
            assert found == list(want), (method, dtype, case)
            assert theory.sum_order(f1, f2, method=method, rng=seed) == word(*want)
    f1, f2 = parts(*case, case[0].exact())
    assert theory.sum_order(f1, f2, rng=seed) == word(*want)


@given(case=halves(), seed=seeds())
def test_the_structure_never_says_independent_where_points_do_not(backend, case, seed):
    """With spaces of no dimensions it may be too careful."""
    f1, f2 = parts(*case, case[0].on(backend))
    for method in ("points", "derivative"):
        assert theory.is_independent(f1, f2, method=method, rng=seed) >= theory.is_independent(
            f1, f2, method="structure"
        )


@given(n=st.integers(1, 5), data=st.data(), seed=seeds(), dtype=st.sampled_from(["float64", "float32"]))
def test_kernel_and_image_decide_in_any_basis(backend, n, data, seed, dtype):
    """f1 = tanh(A x) does not depend on f2 = B tanh(x) iff A B = 0, found in integers; no edge says so."""
    rng = np.random.default_rng(seed)
    change, inverse = unimodular(n, rng)
    upto, since = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    a = rng.integers(1, 3, (n, upto)) @ inverse[:upto]
    b = change[:, since:] @ rng.integers(1, 3, (n - since, n))
    want = not (a @ b).any()
    assert want or since < upto
    scale = float(np.abs(a).max(initial=1))
    on = {name: backend.from_host((m / scale).astype(dtype)) for name, m in (("a", a), ("b", b))}
    tanh = backend.xp.tanh
    f1 = theory.Endofunction(lambda x: tanh(on["a"] @ x), n, like=on["a"])
    f2 = theory.Endofunction(lambda x: on["b"] @ tanh(x), n, like=on["a"])
    for method in ("points", "derivative"):
        assert theory.is_independent(f1, f2, method=method, rng=seed) == want, method
    linear = [theory.Endofunction.linear(fractions(m)) for m in (a, b)]
    for method in ("points", "derivative"):
        assert theory.is_independent(*linear, method=method, rng=seed) == want, method


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("factor", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_the_sizes_of_both_maps_do_not_matter(backend, factor, dtype):
    """Found by hand: 1e-12 x passed for 0, and in 1e12 x every rounding for a dependence."""
    chain = np.diag(np.ones(2), -1)
    links = [backend.from_host((scale * chain).astype(dtype)) for scale in (1.0, factor)]
    f, scaled = map(theory.Endofunction.linear, links)
    ends = [backend.from_host((scale * np.eye(3)[2:].T @ np.eye(3)[:1]).astype(dtype)) for scale in (1.0, factor)]
    g, far = map(theory.Endofunction.linear, ends)
    for method in ("points", "derivative"):
        assert [theory.is_independent(*p, method=method) for p in ((f, scaled), (scaled, f))] == [False, False]
        assert [theory.is_independent(*p, method=method) for p in ((f, far), (far, f), (scaled, g))] == [True] * 3


@given(case=halves(least=1), seed=seeds())
def test_what_is_made_of_an_independent_map_is_independent(case, seed):
    """f1 does not depend on f2: then g f1 does not, and f1 does not depend on f2 g, for whatever g."""
    f1, f2 = parts(*case, case[0].exact())
    if not free(*case)[0]:
        f1 = theory.Endofunction.of_edges(f1.sizes, [], like=f1.like)
    mixing = fractions(np.random.default_rng(seed).integers(-2, 3, (f1.dimension,) * 2))

    def g(x):
        return (mixing @ x) ** 2 + 1

    after = theory.Endofunction(lambda x: g(f1(x)), f1.sizes, like=f1.like)
    before = theory.Endofunction(lambda x: f2(g(x)), f1.sizes, like=f1.like)
    assert theory.is_independent(after, f2, rng=seed)
    assert theory.is_independent(f1, before, rng=seed)


def test_it_is_about_all_pairs_of_points(backend):
    """Each point is x1 once and x2 once: of three, any one may show the dependence, as either of the two."""
    xp, like = backend.xp, backend.from_host(np.zeros(2))
    low, high = (backend.from_host(np.array([v, 0.0])) for v in (0.0, 40.0))
    up = backend.from_host(np.array([1.0, 0.0]))
    kink = theory.Endofunction(lambda x: up * xp.where(x[0] > 20, x[0], 0 * x[0]), 2, like=like)
    constant = theory.Endofunction.constant(up)
    assert theory.is_independent(kink, constant, points=[low, low])
    assert not any(
        theory.is_independent(kink, constant, points=p) for p in ([low, low, high], [low, high, low], [high, low, low])
    )
    assert theory.is_independent(constant, kink, points=[high, low])
    far = theory.Endofunction(lambda x: kink(x) * 0 + up * xp.where(x[0] > 20, 1 + 0 * x[0], 0 * x[0]), 2, like=like)
    slope = theory.Endofunction.linear(backend.from_host(np.array([[0.0, 0.0], [1.0, 0.0]])))
    assert theory.is_independent(slope, far, points=[low, low])
    assert not any(theory.is_independent(slope, far, points=p) for p in ([low, high], [high, low]))


def test_it_is_not_about_each_point_for_itself(backend):
    """f1 = (x1 − 40) x2 and f2 = (0, x1): f1(x + λ f2(x)) = f1(x) where x1 is 0 or 40, and yet f1 depends on f2."""
    up, right = (backend.from_host(np.array(v)) for v in ([1.0, 0.0], [0.0, 1.0]))
    f1 = theory.Endofunction(lambda x: up * ((x[0] - 40) * x[1]), 2, like=up)
    f2 = theory.Endofunction(lambda x: right * x[0], 2, like=up)
    low, high = right, right + 40 * up
    for method in ("points", "derivative"):
        for x in (low, high):
            assert theory.is_independent(f1, f2, points=[x, x], method=method)
        for pair in ([low, high], [high, low]):
            assert not theory.is_independent(f1, f2, points=pair, method=method)


def test_a_tolerance_is_relative_to_f1_at_the_points(backend):
    like = backend.from_host(np.zeros(2))
    nearly = theory.Endofunction.linear(backend.from_host(np.array([[1e-6, 0.0], [0.0, 1.0]])))
    push = theory.Endofunction.constant(backend.from_host(np.array([1.0, 0.0])))
    points = [like + k for k in (1, 2, 3)]
    for method in ("points", "derivative"):
        assert not theory.is_independent(nearly, push, points=points, method=method)
        assert not theory.is_independent(nearly, push, points=points, method=method, tolerance=0)
        assert theory.is_independent(nearly, push, points=points, method=method, tolerance=1e-3)


@given(case=halves(), seed=seeds())
def test_theorem_2_gives_what_substitution_gives(case, seed):
    """In fractions: the one that is independent first, whichever it is called; if both are, R1 + R2 − id."""
    graph = case[0]
    x0 = whole_vector(sum(graph.sizes), seed)
    f1, f2 = parts(*case, graph.exact())
    want, order = graph.solved_exactly(x0).tolist(), word(*free(*case))
    assert theory.resolvent(f1 + f2, x0).tolist() == theory.resolvent(f2 + f1, x0).tolist() == want
    r1, r2 = (lambda x, f=f: theory.resolvent(f, x) for f in (f1, f2))
    if order in ("first", "either"):
        assert r2(r1(x0)).tolist() == want
    if order in ("second", "either"):
        assert r1(r2(x0)).tolist() == want
    if order == "either":
        assert (r1(x0) + r2(x0) - x0).tolist() == want
    if order != "none":
        for pair in ((f1, f2), (f2, f1)):
            assert theory.resolvent_of_sum(*pair, x0, rng=seed).tolist() == want
            assert theory.resolvent_of_sum(*pair, x0, method="structure").tolist() == want


@given(case=halves(least=1), seed=seeds(), dtype=st.sampled_from(["float64", "float32"]))
def test_theorem_2_holds_for_arrays_of_any_library(backend, case, seed, dtype):
    graph = case[0]
    g = np.random.default_rng(seed).normal(size=sum(graph.sizes)).astype(dtype)
    f1, f2 = parts(*case, graph.on(backend, dtype))
    x0 = locked(backend, g)
    bound = tolerance(dtype, 16.0 * (1 + len(g)) ** 2) * np.ones(g.shape)
    if word(*free(*case)) == "none":
        with pytest.raises(ValueError, match=r"f1, <f: .*>, and f2, <f: .*>, depend on each other; take the resolvent"):
            theory.resolvent_of_sum(f1, f2, x0, rng=seed)
        return
    found = theory.resolvent_of_sum(f1, f2, x0, rng=seed)
    assert_close("R_{f1+f2}", found, graph.solved(g.astype(float)), bound, case)
    assert found.dtype == x0.dtype


@pytest.mark.parametrize("name", PARTS)
def test_which_part_may_run_first(name):
    """The wrong way round is another map, where the order is one."""
    one, other, order = PARTS[name]
    sizes, x0 = dict.fromkeys("abcd", 1), fractions(np.arange(2, 6))
    edges = {
        "-> a": lambda: (fractions([5]),),
        **dict.fromkeys(["a -> b", "b -> c", "a -> c", "c -> d"], lambda x: x * x + 1),
    }
    f1, f2 = (
        theory.Endofunction.of_edges(sizes, {e: edges[e] for e in part}, like=fractions([0])) for part in (one, other)
    )
    assert theory.sum_order(f1, f2) == theory.sum_order(f1, f2, method="structure") == order
    want = theory.depth_sequence(f1 + f2, x0).last.tolist()
    for first, second, right in ((f1, f2, ("first", "either")), (f2, f1, ("second", "either"))):
        run = theory.resolvent(second, theory.resolvent(first, x0)).tolist()
        assert (run == want) == (order in right)


@given(graph=graphs(), seed=seeds(), pieces=st.integers(1, 4))
def test_a_sum_of_many_parts_is_folded_from_either_side(graph, seed, pieces):
    """Theorem 2 again and again: parts in the order of the levels of what they write."""
    level = [max(n) for n in graph.lengths]
    f = graph.exact()
    pairs = [(s, e.function) for s, e in zip(graph.signatures, f.edges, strict=True)]
    cut = max(level, default=0) / pieces
    groups = [[p for p, n in zip(pairs, level, strict=True) if k * cut < n <= (k + 1) * cut + 1e-9 * (k == pieces - 1)]
              for k in range(pieces)]  # fmt: skip
    assert sum(map(len, groups)) == len(pairs)
    maps = [theory.Endofunction.of_edges(f.sizes, group, like=f.like) for group in groups]
    x0 = whole_vector(f.dimension, seed)
    want = graph.solved_exactly(x0).tolist()
    assert reduce(lambda x, part: theory.resolvent(part, x), maps, x0).tolist() == want
    left, right = reduce(lambda a, b: a + b, maps), reduce(lambda a, b: b + a, maps[::-1])
    for whole in (left, right):
        assert theory.resolvent(whole, x0).tolist() == want
        assert [sorted(e.sources + e.targets) for e in whole.edges] == [
            sorted(e.sources + e.targets) for part in maps for e in part.edges
        ]


@given(case=halves(), seed=seeds(), dtype=st.sampled_from(["float64", "float32"]))
def test_a_sum_adds_values_and_derivatives(backend, case, seed, dtype):
    graph, _ = case
    f1, f2 = parts(*case, graph.on(backend, dtype))
    both, rng = f1 + f2, np.random.default_rng(seed)
    x, v = (locked(backend, rng.normal(size=both.dimension).astype(dtype)) for _ in range(2))
    assert_equal("f1 + f2", both(x), f1(x) + f2(x))
    assert_equal("D(f1 + f2) v", both.jvp(x, v), f1.jvp(x, v) + f2.jvp(x, v))
    assert_equal("Jacobian", both.jacobian(x), f1.jacobian(x) + f2.jacobian(x))
    assert both.parts == (f1, f2)
    assert (both.name, both.sizes) == ("f + f", f1.sizes)
    assert (both(x).dtype, both.jvp(x, v).dtype) == (x.dtype, x.dtype)
    bare = f1 + theory.Endofunction(f2, f2.sizes, like=f2.like)
    assert bare.edges is None
    assert_equal("without edges", bare(x), both(x))


def test_of_an_exact_and_a_floating_part_the_sum_is_floating():
    """Found by hand: points were drawn as the first part expects them, fractions for a function of floats."""
    exact = theory.Endofunction.linear(np.array([[0, 0], [1, 0]]))
    floats = theory.Endofunction.constant(np.array([0.5, 0.0]))
    for pair in ((exact, floats), (floats, exact)):
        assert sum(pair[1:], pair[0]).like.dtype == np.float64
    assert (exact + exact).like.dtype == exact.like.dtype
    bare = theory.Endofunction(lambda x: 0.5 * x, 2)
    assert (exact + bare).like is (bare + exact).like is (bare + bare).like is None
    assert theory.sum_order(exact, floats) == "second"
    assert to_host(theory.resolvent_of_sum(exact, floats, np.zeros(2))).tolist() == [0.5, 0.5]
