"""Which second derivatives of ops are refused, in which words: classes, verbs, records, changes of seeds."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk
from machinekit.graph.op import MissingVerb

from .helpers import assert_equal, locked


def test_what_is_not_smooth_enough_is_refused_in_the_words_of_activations(backend, spec):
    x = locked(backend, np.ones((2, 4, 4, 1)))
    for op, words in (
        (
            mk.Pointwise("relu"),
            r"pullback_tangent needs an activation of class C\^1 and relu is of class C\^0; use a smo",
        ),
        (mk.MaxPool(2), r"pullback_tangent needs an op of class C\^1 and MaxPool is of class C\^0; use a smoother one"),
        (mk.Chain([mk.MaxPool(2)]), r"MaxPool is of class C\^0"),
        (mk.Pointwise(mk.Activation(lambda y: y * y, name="bare")), "'bare' has no second derivative; give its"),
    ):
        state = op.solve(x)
        cotangent, tangent = op.pullback(state, state.outputs[0]), op.pushforward(state, x)
        with pytest.raises(TypeError, match=words):
            op.pullback_tangent(state, cotangent, tangent)
        report = mk.testing.check_op(
            op, locked(backend, np.random.default_rng(0).permutation(32).reshape(x.shape) / 8 - 1.9)
        )
        assert sum(not f.checked for f in report.findings) >= 2, "listed as not checked"


class Double:
    """A user's op without second derivatives."""

    def __call__(self, x):
        return 2.0 * x

    def pushforward(self, state, x):
        return mk.Tangent((2.0 * x,), (x,))

    def pullback(self, state, y):
        return mk.Cotangent((2.0 * y,), {}, (y,))


@pytest.mark.parametrize("make", [
    lambda op: mk.Chain([mk.Pointwise("tanh"), op]),
    lambda op: mk.Hypergraph({"a": 2, "b": 2}, [mk.Edge("f", op, "a -> b")]),
    lambda op: mk.Chain([mk.Hypergraph({"a": 2, "b": 2}, [mk.Edge("f", mk.Chain([op]), "a -> b")])]),
])  # fmt: skip
def test_a_missing_verb_is_missed_when_it_is_asked_for_and_not_before(backend, make):
    x = locked(backend, np.ones((1, 2)))
    net = make(Double())
    state = net.solve(x)
    cotangent, tangent = net.pullback_inputs(state, x), net.pushforward(state, x)
    assert_equal("x̄", cotangent.inputs[0], net.pullback(state, x).inputs[0])
    with pytest.raises(MissingVerb, match="Double has no pullback_tangent, which second derivatives need; give the op"):
        net.pullback_tangent(state, cotangent, tangent, x)


def arguments(backend, op, n=2):
    """Return state, cotangent and tangent of an op at ones."""
    x = locked(backend, np.ones((3, n)))
    state = op.solve(x)
    return state, op.pullback(state, state.outputs[0]), op.pushforward(state, x)


def test_bad_records_and_changes_are_refused_and_named(backend, spec):
    """Leaves, linear ops and containers: kind, count, shape, precision."""
    affine = mk.Affine(2, 3, rng=0, backend=spec)
    chain = mk.Chain([affine, mk.Add()])
    net = mk.Hypergraph({"a": 2, "b": 3}, [mk.Edge("f", affine, "a -> b")])
    other = arguments(backend, mk.Affine(4, 1, rng=0, backend=spec), 4)
    wrong = locked(backend, np.ones((3, 1)))
    for op in (affine, mk.Add(), chain, net):
        state, cotangent, tangent = arguments(backend, op)
        with pytest.raises(TypeError, match=r"cotangent is a (Graph)?State; pass what pullback"):
            op.pullback_tangent(state, state, tangent)
        with pytest.raises(TypeError, match="tangent is a dict; pass what pushforward returned"):
            op.pullback_tangent(state, cotangent, {})
        with pytest.raises(ValueError, match=r"has shape \(3, 1\)"):
            op.pullback_tangent(state, cotangent, tangent, wrong)
        with pytest.raises(TypeError, match=r"2 seeds for 1 outputs|got 2 for the spaces b|2 changes of seeds"):
            op.pullback_tangent(state, cotangent, tangent, None, None)
        with pytest.raises(TypeError, match="single precision"):
            op.pullback_tangent(state, cotangent, tangent, locked(backend, np.ones(state.outputs[0].shape, np.float32)))
    state, cotangent, tangent = arguments(backend, affine)
    with pytest.raises(ValueError, match=r"cotangent.inputs\[0\] has shape \(3, 4\); at this state it has \(3, 2\)"):
        affine.pullback_tangent(state, other[1], tangent)
    with pytest.raises(ValueError, match=r"tangent.outputs\[0\] has shape \(3, 1\); at this state it has \(3, 3\)"):
        affine.pullback_tangent(state, cotangent, other[2])
    for op, word in ((chain, "chain"), (net, "network")):
        state, cotangent, tangent = arguments(backend, op)
        with pytest.raises(TypeError, match=rf"that does not hold one of each of the \d ops; .* this {word} returned"):
            op.pullback_tangent(state, other[1], tangent)
        with pytest.raises(TypeError, match=rf"pass what pushforward of this {word} returned"):
            op.pullback_tangent(state, cotangent, other[2])
    state, cotangent, tangent = arguments(backend, net)
    with pytest.raises(ValueError, match="change of the seed for 'e', which is no space"):
        net.pullback_tangent(state, cotangent, tangent, {"e": wrong})
    with pytest.raises(ValueError, match=r"the change of the seed of b has shape \(3, 1\)"):
        net.pullback_tangent(state, cotangent, tangent, {"b": wrong})


def test_an_op_that_returns_another_number_of_derivatives_is_named(backend):
    class Odd(Double):
        def pullback_tangent(self, state, cotangent, tangent, y=None):
            return mk.Cotangent((state.inputs[0], state.inputs[0]))

    net = mk.Hypergraph({"a": 2, "b": 2}, [mk.Edge("odd", Odd(), "a -> b")])
    with pytest.raises(ValueError, match="edge 'odd' reads a but its op's pullback_tangent returned 2 cotangents"):
        net.pullback_tangent(*arguments(backend, net))
