"""Second derivatives of networks of ops: by name, shared, side by side; and of single ops where they are special."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked, tolerance
from .leaf_laws import STEP, normal
from .networks import draw_inputs, networks
from .strategies import batches, seeds

RELATIVE = 1e-12


def parts(cotangent, names):
    """Return all arrays of a network's cotangent by name."""
    return {**{f"at {n}": cotangent.inputs[n] for n in names}, **cotangent.parameters}


class Motion:
    """A point of a network, and how inputs, parameters and seeds move; some do not."""

    def __init__(self, data, net, backend, batch, seed):
        rng = np.random.default_rng(seed)
        self.net, self.backend = net, backend
        self.inputs = draw_inputs(net, rng, backend, batch)
        some = st.lists(st.sampled_from(net.inputs), unique=True)
        self.moved, self.seeds, self.changes = (
            draw_inputs(net, rng, backend, batch, names) if (names := data.draw(some)) else {} for _ in range(3)
        )
        known = net.parameters()
        chosen = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
        masks = net.live
        self.along = {
            n: backend.from_host(normal(rng, known[n].shape) * np.asarray(masks.get(n, True))) for n in chosen
        }
        self.state = net.solve(self.inputs)
        self.tangent = net.pushforward(self.state, self.moved, **self.along)

    def stepped(self):
        """Return the derivative of the pullback by its complex step."""

        def lifted(x, d):
            step = 0.0 if d is None else 1j * STEP * to_host(d)
            return self.backend.from_host(np.asarray((0.0 if x is None else to_host(x)) + step + 0j))

        there = self.net.replace(**{n: lifted(a, self.along.get(n)) for n, a in self.net.parameters().items()})
        state = there.solve({n: lifted(x, self.moved.get(n)) for n, x in self.inputs.items()})
        names = {*self.seeds, *self.changes}
        found = there.pullback(state, {n: lifted(self.seeds.get(n), self.changes.get(n)) for n in names})
        return {name: to_host(a).imag / STEP for name, a in parts(found, self.net.spaces).items()}


@given(data=st.data(), batch=batches(), seed=seeds(), lean=st.booleans())
def test_the_fourth_sweep_is_the_derivative_of_the_third(backend, spec, data, batch, seed, lean):
    """Directions, seeds and changes by name on some spaces, some parameters; every space and parameter is compared."""
    net = data.draw(networks(spec, backend))
    at = Motion(data, net, backend, batch, seed)
    cotangent = (net.pullback_inputs if lean else net.pullback)(at.state, at.seeds)
    got, want = net.pullback_tangent(at.state, cotangent, at.tangent, at.changes), at.stepped()
    found, held = parts(got, net.spaces), parts(net.pullback(at.state, at.seeds), net.spaces)
    assert list(found) == list(want)
    scale = max(np.abs(to_host(a)).max(initial=1.0) for a in held.values())
    bound = RELATIVE * (max(np.abs(a).max(initial=0.0) for a in want.values()) + scale) * 8
    for name, a in want.items():
        assert_close(name, found[name], a, bound, net)
    assert list(got.parameters) == list(net.parameters())
    assert [id(a) for a in got.outputs] == [id(a) for a in at.changes.values()]
    positional = net.pullback_tangent(at.state, cotangent, at.tangent, *(at.changes.get(n) for n in net.outputs))
    for name, a in parts(positional, net.spaces).items():
        assert_equal(name, a, found[name], net)


@given(data=st.data(), seed=seeds())
def test_every_place_of_a_shared_parameter_has_its_part(backend, spec, data, seed):
    """Contributions are all there and add up to what is listed, under the first place."""
    net = data.draw(networks(spec, backend))
    at = Motion(data, net, backend, (2,), seed)
    first = net.pullback(at.state, at.seeds)
    got = net.pullback_tangent(at.state, first, at.tangent, at.changes)
    assert set(got.contributions) == set(first.contributions)
    sums = {}
    for name, a in got.contributions.items():
        place = net.sharing.first[name]
        sums[place] = sums.get(place, 0.0) + to_host(a)
    for name, a in sums.items():
        assert_close(name, got.parameters[name], a, RELATIVE * (1.0 + np.abs(a).max(initial=0.0)), net)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_an_executor_changes_nothing_and_results_share_no_memory(backend, spec, data, batch, seed):
    net = data.draw(networks(spec, backend))
    at = Motion(data, net, backend, batch, seed)
    cotangent = net.pullback(at.state, at.seeds)
    want = parts(net.pullback_tangent(at.state, cotangent, at.tangent, at.changes), net.spaces)
    with ThreadPoolExecutor(4) as pool:
        beside = mk.Hypergraph(net.spaces, net.edges, net.signature, executor=pool)
        got = parts(beside.pullback_tangent(at.state, cotangent, at.tangent, at.changes), net.spaces)
    for name, a in want.items():
        assert_equal(name, got[name], a, net)
    given_arrays = [at.inputs, at.moved, at.seeds, at.changes, at.along, net.parameters(), parts(cotangent, net.spaces)]
    others = {f"{k} {name}": a for k, some in enumerate(given_arrays) for name, a in some.items()}
    assert_no_shared_memory({**want, **{f"beside {n}": a for n, a in got.items()}}, net)
    for (name, a), (other, b) in itertools.product(want.items(), others.items()):
        assert_no_shared_memory({name: a, other: b}, net)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_pullback_inputs_is_the_pullback_without_parameters(backend, spec, data, batch, seed):
    """The same cotangent at every space, the same seeds, one record per edge, no parameters."""
    net = data.draw(networks(spec, backend))
    at = Motion(data, net, backend, batch, seed)
    lean, full = net.pullback_inputs(at.state, at.seeds), net.pullback(at.state, at.seeds)
    for name in net.spaces:
        want = to_host(full.inputs[name])
        bound = RELATIVE * (1.0 + np.abs(want).max(initial=0.0))
        assert_close(name, lean.inputs[name], want, bound, net)
    assert (lean.parameters, lean.contributions, len(lean.saved)) == ({}, {}, len(net.edges))
    assert lean.outputs == full.outputs


def test_a_gradient_times_a_direction_is_the_hessian_times_it(backend, spec):
    """f(x) = Σ (W₂ tanh(W₁ x))²/2 by one chain, against central differences of the gradient."""
    rng = np.random.default_rng(0)
    chain = mk.Chain([mk.Affine(3, 4, rng=rng), mk.Pointwise("tanh"), mk.Affine(4, 2, rng=rng)]).to(spec)
    x, d = rng.standard_normal((2, 5, 3))

    def gradient(x):
        state = chain.solve(backend.from_host(x))
        return to_host(chain.pullback(state, state.outputs[0]).inputs[0])

    state = chain.solve(locked(backend, x))
    tangent = chain.pushforward(state, locked(backend, d))
    cotangent = chain.pullback_inputs(state, state.outputs[0])
    got = chain.pullback_tangent(state, cotangent, tangent, tangent.outputs[0]).inputs[0]
    want = (gradient(x + 1e-4 * d) - gradient(x - 1e-4 * d)) / 2e-4
    assert_close("H d", got, want, 1e-6 * np.abs(want).max())
    assert cotangent.parameters == {}
    assert len(cotangent.saved) == 3


LINEAR = [mk.Reshape(4, (2, 2)), mk.Add(), mk.Concatenate(), mk.Select(slice(1, 3)), mk.Embed(6, 1), mk.AvgPool((2,)),
          mk.Upsample((2,), method="linear")]  # fmt: skip


@pytest.mark.parametrize("op", LINEAR, ids=repr)
def test_a_linear_op_has_the_pullback_of_the_change(backend, op):
    """Whatever the seed and the direction were."""
    rng = np.random.default_rng(0)
    x = locked(backend, rng.standard_normal((3, 4, 4)))
    state = op.solve(x)
    seed, change = (locked(backend, rng.standard_normal(state.outputs[0].shape)) for _ in range(2))
    got = op.pullback_tangent(state, op.pullback(state, seed), op.pushforward(state, x), change)
    assert_equal("x̄˙", got.inputs[0], op.pullback(state, change).inputs[0])


@pytest.mark.parametrize("kind", [mk.Linearized, mk.Adjoint])
def test_a_derivative_at_a_fixed_state_is_linear(backend, spec, kind):
    m = mk.DenseMachine((2, 3), rng=0, backend=spec)
    rng = np.random.default_rng(0)
    state = m.solve(locked(backend, rng.standard_normal((4, 2))))
    n = 2 if kind is mk.Linearized else 5
    report = mk.testing.check_op(kind(m, state), locked(backend, rng.standard_normal((4, n))), rng=0)
    assert sum(f.checked for f in report.findings if "tangent of" in f.law or "symmetric" in f.law) >= 2, str(report)


@pytest.mark.parametrize("form", ["sqrt", "eps+sigma"])
@pytest.mark.parametrize("kind", [mk.LayerNorm, mk.BatchNorm])
def test_equal_entries_have_finite_second_derivatives(backend, kind, form):
    """At σ = 0 is n = 0, so that every term of J̇ n̄ vanishes: x̄˙ = (n̄˙ − mean n̄˙)/d, d = √ε or ε."""
    op = kind(2, form=form, epsilon=0.25).to(backend)
    x, d, y, c = (np.full((2, 2), 3.0), *np.random.default_rng(0).standard_normal((3, 2, 2)))
    state = op.solve(backend.from_host(x))
    tangent, cotangent = op.pushforward(state, backend.from_host(d)), op.pullback(state, backend.from_host(y))
    got = op.pullback_tangent(state, cotangent, tangent, backend.from_host(c))
    axis, size = (1 if kind is mk.LayerNorm else 0), (0.25 if form == "eps+sigma" else 0.5)
    centred = [a - a.mean(axis, keepdims=True) for a in (c, d)]
    assert_close("x̄˙", got.inputs[0], centred[0] / size, tolerance("float64", np.abs(c).sum() / size))
    want = (centred[1] / size * y).sum(0)
    assert_close("scale", got.parameters["scale"], want, tolerance("float64", np.abs(d).sum() / size))


def test_the_norm_of_zero_has_second_derivatives_zero(backend):
    """As documented, without a warning; other rows are not touched: H d = (d − x (x·d)/y²)/y."""
    op, x, d = mk.Norm(), np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [1.0, 0.0]])
    state = op.solve(backend.from_host(x))
    seed = backend.from_host(np.ones((2, 1)))
    got = op.pullback_tangent(state, op.pullback(state, seed), op.pushforward(state, backend.from_host(d)), seed)
    want = np.array([[0.0, 0.0], np.array([1.0, 0.0]) / 5 - np.array([3.0, 4.0]) * 3 / 125 + np.array([0.6, 0.8])])
    assert_close("x̄˙", got.inputs[0], want, tolerance("float64", 2.0))


def test_the_second_derivative_comes_from_the_stored_value_where_there_is_a_formula(backend):
    """tanh″ = −2 y (1 − y²) of the stored y; softplus reads x, and an op that says so reads no outputs."""
    x, one = backend.from_host(np.array([0.5])), backend.from_host(np.array([1.0]))

    def bend(name, stored):
        op, state = mk.Pointwise(name), mk.State((x,), (backend.from_host(np.array([stored])),))
        return op.pullback_tangent(state, op.pullback(state, one), op.pushforward(state, one)).inputs[0]

    assert_equal("tanh", bend("tanh", 0.5), np.array([-0.75]))
    assert_equal("softplus", bend("softplus", 7.0), bend("softplus", 9.0))
    own = mk.Activation(lambda y: y * y, lambda y: 2 * y, lambda y: 2 + 0 * y, second_of_value=lambda v: 2 + 9 * v)
    assert not mk.Pointwise(own).reads_outputs
    assert_equal("second_of_value without slope_of_value", bend(own, 7.0), np.array([2.0]))
