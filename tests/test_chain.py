"""A chain composes ops; its tangents run forward, its cotangents backward, and it is an op itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import namespace

from .helpers import assert_equal, locked
from .strategies import KINDS, batches, seeds


class Cube:
    """A user's op without solve, pushforward or parameters."""

    def __call__(self, x):
        return x * x * x

    def pullback(self, state, y):
        (x,) = state.inputs
        return mk.Cotangent((3.0 * x * x * y,))


class Gain:
    """A user's op y = g x, parameters and all verbs."""

    def __init__(self, g):
        self.g = g

    def __call__(self, x):
        return self.g * x

    def parameters(self):
        return {"g": self.g}

    def replace(self, g):
        return Gain(g)

    def pullback(self, state, y):
        (x,) = state.inputs
        return mk.Cotangent((self.g * y,), {"g": namespace(x).sum(x * y, axis=tuple(range(x.ndim - 1)))}, (y,))

    def pushforward(self, state, x=None, g=None):
        (at,) = state.inputs
        terms = ([self.g * x] if x is not None else []) + ([g * at] if g is not None else [])
        return mk.Tangent((sum(terms, 0.0 * at),), (x,), {} if g is None else {"g": g})

    def pullback_tangent(self, state, cotangent, tangent, change=None):
        """x̄˙ = g ȳ˙ + ġ ȳ and ḡ˙ = Σ x ȳ˙ + ẋ ȳ."""
        (x,), (moved,), (y,) = state.inputs, tangent.inputs, cotangent.outputs
        moved, y, change = (0.0 * x if a is None else a for a in (moved, y, change))
        back = self.g * change + tangent.parameters.get("g", 0.0 * self.g) * y
        return mk.Cotangent(
            (back,), {"g": namespace(x).sum(x * change + moved * y, axis=tuple(range(x.ndim - 1)))}, (change,)
        )


def machine(kind, spec, rng, bias=True):
    if kind == "dense":
        return mk.DenseMachine((2, 3), bias=bias, rng=rng, backend=spec), ()
    if kind == "conv1d":
        return mk.ConvMachine((2, 3), padding=((2, 1),), bias=bias, rng=rng, backend=spec), (4,)
    if kind == "conv2d":
        return mk.ConvMachine((2, 3), padding=((1, 0), (0, 2)), bias=bias, rng=rng, backend=spec), (2, 3)
    if kind == "recurrent":
        return mk.RecurrentMachine((2, 3), memory=2, time_block=2, bias=bias, rng=rng, backend=spec), (5,)
    more = {"padding": ((1, 0), (1, 2)), "scan": (0, 1)}
    return mk.GridMachine((2, 3), bias=bias, rng=rng, backend=spec, **more), (2, 3)


@pytest.mark.parametrize("kind", KINDS)
@given(batch=batches(), seed=seeds(), bias=st.booleans())
def test_a_chain_of_machine_affine_and_own_op_is_an_op(backend, spec, kind, batch, seed, bias):
    """Every cotangent of the composition, by complex step and differences."""
    rng = np.random.default_rng(seed)
    first, grid = machine(kind, spec, rng, bias)
    gain = Gain(backend.from_host(rng.standard_normal(4)))
    last, _ = machine("dense", spec, rng, bias)
    ops = [first, mk.Affine(5, 4, rng=rng, bias=bias, backend=spec), gain, Cube(),
           mk.Affine(4, 2, rng=rng, backend=spec), last]  # fmt: skip
    chain = mk.Chain(ops)
    x = locked(backend, rng.uniform(-1, 1, (*batch, *grid, 2)))
    report = mk.testing.check_op(chain, x, rng=seed)
    skipped = [str(f) for f in report.findings if not f.checked]
    assert len(skipped) == 3, report
    assert all("Cube has no pushforward" in s for s in skipped), (
        "all is checked but the adjoint identity and the second"
    )
    want = x
    for op in ops:
        want = op(want)
    assert_equal("the composition", chain(x), want)


@given(batch=batches(), seed=seeds())
def test_the_tangent_of_a_chain_is_adjoint_to_its_pullback(backend, spec, batch, seed):
    """With pushforward everywhere the adjoint identity is checked too, all parameters at once."""
    rng = np.random.default_rng(seed)
    first, grid = machine("recurrent", spec, rng)
    chain = mk.Chain([first, mk.Affine(5, 2, rng=rng, backend=spec), Gain(backend.from_host(rng.standard_normal(2)))])
    report = mk.testing.check_op(chain, locked(backend, rng.uniform(-1, 1, (*batch, *grid, 2))), rng=seed)
    assert all(f.checked for f in report.findings), str(report)


def test_a_chain_hands_all_outputs_to_the_next(backend, spec):
    class Twice:
        def __call__(self, x):
            return x, 2.0 * x

        def pullback(self, state, a, b):
            return mk.Cotangent((a + 2.0 * b,))

        def pushforward(self, state, x):
            return mk.Tangent((x, 2.0 * x))

        def pullback_tangent(self, state, cotangent, tangent, a=None, b=None):
            return mk.Cotangent(((0.0 if a is None else a) + 2.0 * (0.0 * state.inputs[0] if b is None else b),))

    chain = mk.Chain([Twice(), mk.Affine(6, 2, rng=0, backend=spec), Twice()])
    x = locked(backend, np.random.default_rng(0).standard_normal((4, 3)))
    assert len(chain(x)) == 2
    assert all(f.checked for f in mk.testing.check_op(chain, x, rng=0).findings)


def test_a_chain_of_one_op_is_that_op(backend, spec):
    op = mk.Affine(3, 2, rng=0, backend=spec)
    x = locked(backend, np.ones((2, 3)))
    chain = mk.Chain([op])
    assert_equal("y", chain(x), op(x))
    assert list(chain.parameters()) == ["0.weight", "0.bias"]


def test_a_machine_hands_all_its_channels_on_and_takes_two_inputs(backend, spec):
    """A machine is an op with inputs (y0, z0) and output z over all blocks."""
    m, _ = machine("dense", spec, 0)
    chain = mk.Chain([m, mk.Affine(5, 1, rng=0, backend=spec)])
    rng = np.random.default_rng(0)
    y0, z0 = (locked(backend, rng.standard_normal((3, n))) for n in (2, 5))
    mk.testing.check_op(chain, y0, z0, rng=0)
    assert_equal("y", chain(y0, z0), chain.ops[1](m(y0, z0)))


def test_a_missing_verb_is_missed_when_it_is_asked_for_and_not_before(backend, spec):
    """Without solve a state is recorded; without parameters there are none; a derivative is another matter."""

    def shift(x):
        return x + 1.0

    chain = mk.Chain([mk.Affine(2, 2, rng=0, backend=spec), shift])
    x = locked(backend, np.ones((1, 2)))
    state = chain.solve(x)
    assert list(chain.parameters()) == ["0.weight", "0.bias"]
    assert_equal("y", state.outputs[0], chain.ops[0](x) + 1.0)
    with pytest.raises(TypeError, match="function has no pullback, which back-propagation needs; give the op a method"):
        chain.pullback(state, x)
    with pytest.raises(TypeError, match="function has no pushforward, which a tangent needs"):
        chain.pushforward(state, x)
    with pytest.raises(TypeError, match="Cube has no pushforward"):
        mk.Chain([Cube()]).pushforward(mk.Chain([Cube()]).solve(x), x)


def test_a_chain_moves_and_casts_and_an_op_without_parameters_comes_along(backend, spec):
    chain = mk.Chain([mk.Affine(2, 2, rng=0), Cube(), mk.Affine(2, 1, rng=1)])
    there = chain.to(spec)
    assert there.ops[0].backend == there.ops[2].backend == backend.name
    assert_equal("weight", there.ops[2].weight, chain.ops[2].weight)
    assert {str(a.dtype).rpartition(".")[2] for a in there.astype("complex64").parameters().values()} == {"complex64"}
    with pytest.raises(TypeError, match="Gain has no to, which moving or casting a chain needs; give the op a method"):
        mk.Chain([Gain(np.ones(2))]).to(spec)
    with pytest.raises(TypeError, match="Gain has no astype"):
        mk.Chain([Gain(np.ones(2))]).astype("float32")


def good(spec):
    return mk.Chain([mk.Affine(2, 2, rng=0, backend=spec), mk.Affine(2, 1, rng=0, backend=spec)])


@pytest.mark.parametrize(
    ("ops", "error", "words"),
    [
        ([], ValueError, "ops is empty; a chain needs at least one op"),
        ([3], TypeError, r"ops\[0\] is 3; pass an op"),
        ([np.tanh, mk.Affine], TypeError, r"ops\[1\] is <class .*Affine'>; pass an op"),
        ([np.tanh, None], TypeError, r"ops\[1\] is None"),
        ([np.ones(3)], TypeError, r"ops\[0\] is array"),
    ],
)
def test_what_is_no_op_is_refused_at_once(ops, error, words):
    with pytest.raises(error, match=words):
        mk.Chain(ops)


def test_wrong_seeds_directions_and_names_are_refused(backend, spec):
    chain = good(spec)
    x = locked(backend, np.ones((3, 2)))
    state = chain.solve(x)
    with pytest.raises(ValueError, match=r"y has shape \(3, 2\); a seed has the output's \(3, 1\)"):
        chain.pullback(state, x)
    with pytest.raises(TypeError, match="2 seeds for 1 outputs of Affine"):
        chain.pullback(state, None, None)
    with pytest.raises(TypeError, match="2 directions for 1 inputs"):
        chain.pushforward(state, x, x)
    with pytest.raises(TypeError, match=r"'2.weight' is no parameter of this chain; it has 0.weight, 0.bias, 1.weight"):
        chain.replace(**{"2.weight": x})
    with pytest.raises(TypeError, match="'weight' is no parameter of this chain"):
        chain.pushforward(state, x, weight=x)
    with pytest.raises(TypeError, match="it has none"):
        mk.Chain([Cube()]).replace(weight=x)
    with pytest.raises(ValueError, match=r"weight has shape \(3, 2\); pass \(2, 2\)"):
        chain.replace(**{"0.weight": x})
    with pytest.raises(AttributeError, match="an op does not change"):
        chain.ops = ()
