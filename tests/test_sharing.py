"""Weights are shared by leaf object, through all nesting: one parameter, and its cotangents add (Fleuret, EE-559)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.graph import live_masks

from .helpers import assert_close, assert_equal, locked, tolerance
from .strategies import seeds


def nested(spec, seed=0):
    """Return [leaf, [other, leaf, [leaf]], machine, [machine]]; two leaves, in three and two places, and one single."""
    rng = np.random.default_rng(seed)
    leaf = mk.Affine(3, 3, rng=rng, backend=spec)
    other = mk.Affine(3, 3, bias=False, rng=rng, backend=spec)
    machine = mk.DenseMachine((1, 2), bias=True, rng=rng, backend=spec)
    inner = mk.Chain([other, leaf, mk.Chain([leaf])])
    return mk.Chain([leaf, inner, machine, mk.Chain([machine])])


LISTED = ["0.weight", "0.bias", "1.0.weight", "2.weight", "2.bias"]
PLACES = [
    "0.weight", "0.bias", "1.0.weight", "1.1.weight", "1.1.bias", "1.2.0.weight", "1.2.0.bias",
    "2.weight", "2.bias", "3.0.weight", "3.0.bias",
]  # fmt: skip


def test_a_shared_leaf_is_listed_once_under_its_first_place(spec):
    chain = nested(spec)
    assert list(chain.parameters()) == LISTED
    assert list(live_masks(chain)) == ["2.weight"]
    assert chain.parameters()["0.weight"] is chain.ops[0].weight
    assert list(mk.Chain([mk.Chain([chain.ops[1]]), chain.ops[0]]).parameters()) == [
        "0.0.0.weight", "0.0.1.weight", "0.0.1.bias",
    ]  # fmt: skip


def test_two_equal_leaves_are_two_parameters(spec):
    """Sharing is by object, never by value."""
    twins = [mk.Affine(2, 2, rng=0, backend=spec) for _ in range(2)]
    assert list(mk.Chain(twins).parameters()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


@given(seed=seeds())
def test_cotangents_of_all_places_add_and_each_is_there(backend, spec, seed):
    """parameters is the sum of contributions; an unrolled chain of copies has the contributions as its parameters."""
    chain = nested(spec, seed)
    rng = np.random.default_rng(seed)
    x, seed_z = (locked(backend, rng.standard_normal((2, 3))) for _ in range(2))
    cotangent = chain.pullback(chain.solve(x), seed_z)
    assert list(cotangent.parameters) == LISTED
    assert sorted(cotangent.contributions) == sorted(PLACES)
    a, b = chain.ops[0], chain.ops[1].ops[0]
    m = chain.ops[2]
    alone = [a, b, a.replace(**a.parameters()), a.replace(**a.parameters()), m, m.replace(**m.parameters())]
    unrolled = mk.Chain(alone)
    assert len(unrolled.parameters()) == len(PLACES)
    separate = unrolled.pullback(unrolled.solve(x), seed_z)
    for place, name in zip(PLACES, unrolled.parameters(), strict=True):
        assert_equal(place, cotangent.contributions[place], separate.parameters[name])
    sums = {
        "0.weight": ["0.weight", "1.1.weight", "1.2.0.weight"],
        "0.bias": ["0.bias", "1.1.bias", "1.2.0.bias"],
        "1.0.weight": ["1.0.weight"],
        "2.weight": ["2.weight", "3.0.weight"],
    }
    for name, places in sums.items():
        terms = [to_host(cotangent.contributions[p]) for p in places]
        scale = sum(np.abs(t) for t in terms)
        assert_close(name, cotangent.parameters[name], sum(terms), tolerance("float64", scale))
    assert_equal("input", cotangent.inputs[0], separate.inputs[0])


@given(seed=seeds(), times=st.integers(1, 4))
def test_the_same_leaf_many_times_has_the_derivative_of_the_whole(backend, spec, seed, times):
    """Complex step and differences move the one parameter in all its places at once."""
    rng = np.random.default_rng(seed)
    leaf = mk.Affine(2, 2, rng=rng, backend=spec)
    squash = mk.DenseMachine((2,), "tanh", backend=spec)
    chain = mk.Chain([op for _ in range(times) for op in (leaf, squash)])
    x = locked(backend, rng.standard_normal((3, 2)))
    report = mk.testing.check_op(chain, x, rng=seed)
    assert all(f.checked for f in report.findings), str(report)


@given(seed=seeds())
def test_a_nested_chain_with_sharing_is_an_op(backend, spec, seed):
    x = locked(backend, np.random.default_rng(seed).standard_normal((2, 3)))
    report = mk.testing.check_op(nested(spec, seed), x, rng=seed)
    assert all(f.checked for f in report.findings), str(report)


def test_a_contribution_counted_once_is_seen(backend, spec):
    """The control: the cotangent of one place alone is not the derivative."""

    class Forgetful(mk.Chain):
        def pullback(self, state, *outputs):
            c = super().pullback(state, *outputs)
            first = {name: c.contributions[name] for name in c.parameters}
            return mk.Cotangent(c.inputs, first, outputs, saved=c.saved)

    leaf = mk.Affine(2, 2, rng=0, backend=spec)
    with pytest.raises(mk.testing.LawError, match=r"cotangent of 0\.weight by the complex step"):
        mk.testing.check_op(Forgetful([leaf, leaf]), locked(backend, np.ones((1, 2))), rng=0)


@pytest.mark.parametrize("verb", ["replace", "to", "astype"])
def test_what_was_one_leaf_stays_one_leaf(backend, spec, verb):
    chain = nested(spec)
    weight = chain.parameters()["0.weight"]
    if verb == "replace":
        new = chain.replace(**{"0.weight": weight + 1.0})
    else:
        new = getattr(chain, verb)({"to": "numpy", "astype": "float32"}[verb])
    assert new.ops[0] is new.ops[1].ops[1] is new.ops[1].ops[2].ops[0]
    assert new.ops[2] is new.ops[3].ops[0]
    assert new.ops[1].ops[0] is not new.ops[0]
    assert list(new.parameters()) == LISTED
    if verb == "replace":
        assert_equal("0.weight", new.parameters()["0.weight"], weight + 1.0)
        assert new.ops[2] is chain.ops[2], "what does not change is not made again"
    if verb == "astype":
        assert {to_host(a).dtype.name for a in new.parameters().values()} == {"float32"}


def test_a_name_that_is_not_the_first_is_refused_with_the_one_that_is(backend, spec):
    chain = nested(spec)
    weight = chain.parameters()["0.weight"]
    with pytest.raises(TypeError, match=r"'1.1.weight' is no parameter of this chain; it is shared and listed as '0."):
        chain.replace(**{"1.1.weight": weight})
    state = chain.solve(locked(backend, np.ones((1, 3))))
    with pytest.raises(TypeError, match=r"listed as '2.weight'"):
        chain.pushforward(state, **{"3.0.weight": weight})


def test_siamese_twins_are_a_batch(backend, spec):
    """One sub-network on k inputs ≡ a batch of k: outputs and every cotangent."""
    m = mk.DenseMachine((2, 3), bias=True, rng=0, backend=spec)
    branch = mk.Chain([m, mk.Affine(5, 2, rng=1, backend=spec)])
    rng = np.random.default_rng(0)
    x, seed = rng.standard_normal((3, 4, 2)), rng.standard_normal((3, 4, 2))
    together = branch.pullback(branch.solve(locked(backend, x)), locked(backend, seed))
    parts = [
        branch.pullback(branch.solve(locked(backend, a)), locked(backend, s)) for a, s in zip(x, seed, strict=True)
    ]
    for name, array in together.parameters.items():
        terms = [to_host(p.parameters[name]) for p in parts]
        assert_close(name, array, sum(terms), 64 * np.finfo(float).eps * 12 * (1 + sum(np.abs(t) for t in terms)))
    for k, p in enumerate(parts):
        got = to_host(together.inputs[0])[k]
        assert_close(f"input {k}", p.inputs[0], got, 64 * np.finfo(float).eps * 12 * (1 + np.abs(got)))


def test_a_cotangent_of_a_number_that_is_not_trained_is_left_out(backend, spec):
    """The pullback of a monotone machine always has its margin, which is a parameter only where it is learned."""
    chain = mk.Chain([mk.Affine(3, 2, rng=0, backend=spec), mk.MonotoneMachine((2,), rng=1, backend=spec)])
    state = chain.solve(locked(backend, np.ones((4, 3))))
    cotangent = chain.pullback(state, locked(backend, np.ones((4, 2))))
    assert set(cotangent.parameters) == set(chain.parameters()) == {"0.weight", "0.bias", "1.A", "1.B", "1.weight"}
