"""Solves of cycles: failures, warm starts, samples apart, single precision, ops without derivatives."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .cyclic import SHARP, affine, cyclic_networks, inputs_of, same, two_cycles
from .helpers import assert_equal
from .networks import draw_inputs
from .strategies import seeds


def test_what_does_not_converge_raises_warns_or_returns(backend):
    """h = −4 h + x by Picard's iteration: the error has the best state, and tells how far it came; duals alike."""
    edge = mk.Edge("f", affine([[-4.0]], backend), "h -> h")
    out = mk.Edge("out", affine([[2.0]], backend), "h -> y")
    cycles = mk.Equilibrium(solver="picard", dual_solver="picard", max_steps=7)
    net = mk.Hypergraph({"h": 1, "y": 1}, [edge, out], "h -> y", cycles=cycles)
    x = backend.from_host(np.array([[1.0], [0.0], [2.0]]))
    with pytest.raises(
        mk.ConvergenceError, match=r"the equilibrium of the cycles has not converged for 2 of 3"
    ) as caught:
        net.solve(x)
    best = caught.value.best
    assert caught.value.info is best.info
    assert list(best.info.converged) == [False, True, False]
    same("y", best["y"], 2 * to_host(best["h"]))
    rest = np.abs(5 * to_host(best["h"]) - to_host(x))[:, 0]
    same("residual", best.info.residual, rest)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert_equal("h", copy.best["h"], best["h"])
    with pytest.warns(mk.ConvergenceWarning, match="2 of 3"):
        warned = net.with_options(on_failure="warn").solve(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet = net.with_options(on_failure="return").solve(x)
    for state in (warned, quiet):
        assert_equal("h", state["h"], best["h"])
    good = net.with_options(solver="auto", dual_solver="auto")
    state = good.solve(x)
    same("h", state["h"], to_host(x) / 5, accuracy=1e-5)
    cotangent, tangent = good.pullback(state, x), good.pushforward(state, x)
    for what, call in (
        ("the dual", lambda n: n.pullback(state, x)), ("the tangent", lambda n: n.pushforward(state, x)),
        ("the tangent of the dual", lambda n: n.pullback_tangent(state, cotangent, tangent, x)),
    ):  # fmt: skip
        with pytest.raises(mk.ConvergenceError, match=f"{what} of the cycles has not converged"):
            call(net)
        assert not call(net.with_options(on_failure="return")).info.converged.all()
        assert call(good).info.converged.all()


def test_no_steps_at_all_are_allowed(backend):
    for steps in range(4):
        net = two_cycles(backend).with_options(max_steps=steps, on_failure="return")
        state = net.solve(inputs_of(backend))
        assert state.info.steps.max() <= 2 * steps
        assert np.isfinite(to_host(net.pullback(state, state["y"]).inputs["x"])).all()


def test_a_lost_cycle_does_not_hide_behind_the_next(backend):
    """What the first cycle could not solve flows on, and is reported for what it is."""
    edges = [
        mk.Edge("f", mk.Chain([affine([[3.0]], backend), mk.Pointwise("square")]), "a -> a"),
        mk.Edge("g", affine([[1e200]], backend), "a -> m"),
        mk.Edge("h", affine([[1e200]], backend), "m -> b"),
        mk.Edge("k", affine([[0.5]], backend), "b -> b"),
    ]
    net = mk.Hypergraph({"a": 1, "m": 1, "b": 1}, edges, "a -> b", cycles=mk.Equilibrium(solver="picard"))
    with np.errstate(all="ignore"), pytest.raises(mk.ConvergenceError):
        net(backend.from_host(np.array([[5.0]])))


def test_what_is_not_finite_is_refused_before_iterating(backend):
    net = two_cycles(backend)
    x = to_host(inputs_of(backend)).copy()
    state = net.solve(backend.from_host(x))
    seed = np.ones((4, 1))
    seed[2] = np.inf
    x[1, 0] = np.nan
    with pytest.raises(ValueError, match="what reaches the space 'h' of the cycle of a, b, c is not finite"):
        net.solve(backend.from_host(x))
    with pytest.raises(ValueError, match="not finite"):
        net.pushforward(state, backend.from_host(x))
    with pytest.raises(ValueError, match="what reaches the space 'q' of the cycle of d, e, f is not finite"):
        net.pullback(state, backend.from_host(seed))


def test_a_warm_start_saves_steps(backend):
    net = two_cycles(backend).with_options(rtol=1e-8)
    x = inputs_of(backend)
    state = net.solve(x)
    near = net.solve(x + 1e-6, warm=state)
    assert near.info.steps.max() < net.solve(x + 1e-6).info.steps.max()
    again = net.solve(x, warm=state)
    assert again.info.steps.max() <= 2
    same("y", again["y"], state["y"], accuracy=1e-7)
    with pytest.raises(ValueError, match=r"warm has the value \(4, 2\) of the space 'x', which is \(3, 2\) here"):
        net.solve(x[:3, :], warm=state)
    single = net.astype("float32").solve(backend.from_host(to_host(x).astype(np.float32)))
    with pytest.raises(TypeError, match="single"):
        net.solve(x, warm=single)
    with pytest.raises(TypeError, match="warm is a State"):
        net.solve(x, warm=mk.State((x,), (x,)))


@given(data=st.data(), seed=seeds(), factor=st.sampled_from((0.0, 0.1, 30.0)))
def test_no_sample_knows_of_another(backend, spec, data, seed, factor):
    """Other samples beside it, easier or harder ones: the same iterates, bit for bit, in every sweep."""
    net = data.draw(cyclic_networks(spec, backend, cycles=mk.Equilibrium(rtol=1e-4)))
    rng = np.random.default_rng(seed)
    mates = np.array([1.0, factor, factor])

    def beside(arrays):
        scaled = {n: to_host(x) * np.reshape(mates, (3, *(1 for _ in x.shape[1:]))) for n, x in arrays.items()}
        return {n: backend.from_host(x) for n, x in scaled.items()}

    inputs, outs = (draw_inputs(net, rng, backend, (3,), names) for names in (net.inputs, net.outputs))
    one, two = net.solve(inputs), net.solve(beside(inputs))
    first, second = net.pullback(one, outs), net.pullback(two, beside(outs))
    ahead, behind = net.pushforward(one, inputs), net.pushforward(two, beside(inputs))
    for name in net.spaces:
        assert_equal(name, two[name][0, ...], one[name][0, ...], net)
        assert_equal(name, second.inputs[name][0, ...], first.inputs[name][0, ...], net)
        assert_equal(name, behind[name][0, ...], ahead[name][0, ...], net)
    if net.components:
        assert two.info.steps[0] == one.info.steps[0]


def test_what_several_cycles_tell_is_put_together(backend):
    """Steps add, residuals add as squares, the worst status counts, whichever cycle comes first."""
    x = backend.from_host(np.array([[1.0], [2.0]]))
    cycles = mk.Equilibrium(solver="picard", max_steps=30, on_failure="return")
    for factors in ((0.5, -2.0), (-2.0, 0.5), (0.5, 0.25)):
        edges = [mk.Edge(n, affine([[w]], backend), f"{n} -> {n}") for n, w in zip("ab", factors, strict=True)]
        both = mk.Hypergraph({"a": 1, "b": 1}, edges, "a b -> a b", cycles=cycles).solve(x, x).info
        each = [
            mk.Hypergraph({n: 1}, [e], f"{n} -> {n}", cycles=cycles).solve(x).info
            for n, e in zip("ab", edges, strict=True)
        ]
        assert list(both.steps) == list(each[0].steps + each[1].steps)
        same("residual", both.residual, np.hypot(each[0].residual, each[1].residual))
        assert list(both.converged) == list(each[0].converged & each[1].converged)
        assert both.converged.all() == (min(factors) > 0)


@given(data=st.data(), seed=seeds())
def test_missing_inputs_and_seeds_of_a_cyclic_network_are_zero(backend, spec, data, seed):
    net = data.draw(cyclic_networks(spec, backend))
    rng = np.random.default_rng(seed)
    some = data.draw(st.lists(st.sampled_from(net.inputs), min_size=1, unique=True))

    def split():
        given_ones = draw_inputs(net, rng, backend, (2,), some)
        zeros = {n: backend.from_host(np.zeros((2, *net.spaces[n]))) for n in net.spaces}
        return given_ones, {**zeros, **given_ones}

    (few, all_), (seed_few, seed_all), (way_few, way_all) = split(), split(), split()
    state, whole = net.solve(few), net.solve(all_)
    for name in net.spaces:
        same(name, state[name], whole[name], net)
        same(name, net.pullback(state, seed_few).inputs[name], net.pullback(whole, seed_all).inputs[name], net)
        same(name, net.pushforward(whole, way_few)[name], net.pushforward(whole, way_all)[name], net)


def test_a_space_beside_a_cycle_that_nothing_arrived_at_is_zero(backend):
    op = mk.Chain([affine(np.full((4, 2), 0.25), backend), mk.Pointwise("tanh")])
    net = mk.Hypergraph({"x": 2, "h": 2}, [mk.Edge("f", op, "x h -> h")], "x h -> h", cycles=SHARP)
    x = inputs_of(backend)
    given_ones = {"x": backend.from_host(np.zeros((4, 2))), "h": x}
    same("h", net(None, x), net.solve(given_ones)["h"])


def test_leading_axes_are_samples(backend):
    net = two_cycles(backend)
    x = np.random.default_rng(0).normal(size=(2, 3, 2))
    state, flat = net.solve(backend.from_host(x)), net.solve(backend.from_host(x.reshape(6, 2)))
    for name in net.spaces:
        assert_equal(name, state[name], to_host(flat[name]).reshape(2, 3, *net.spaces[name]))
    assert state.info.steps.shape == (2, 3)
    one = net.solve(backend.from_host(x[0, 0]))
    assert one.info.residual.shape == ()
    same("y", one["y"], state["y"][0, 0, :])


def test_single_precision_stays_single(backend):
    net = two_cycles(backend, mk.Equilibrium()).astype("float32")
    x = backend.from_host(to_host(inputs_of(backend)).astype(np.float32))
    state = net.solve(x)
    cotangent, tangent = net.pullback(state, state["y"]), net.pushforward(state, x)
    bent = net.pullback_tangent(state, cotangent, tangent)
    wide = two_cycles(backend)
    exact = wide.solve(inputs_of(backend))
    for found in (*state.spaces.values(), *tangent.spaces.values(), *cotangent.parameters.values(), bent.inputs["x"]):
        assert "float32" in str(found.dtype)
    same("y", state["y"], exact["y"], accuracy=1e-5)
    want = wide.pullback(exact, exact["y"]).parameters
    for name, array in cotangent.parameters.items():
        same(name, array, want[name], accuracy=1e-4)
    for info in (state.info, cotangent.info, tangent.info, bent.info):
        assert info.converged.all()
    plain, same_, finer = (net.with_options(solver="picard", rtol=r).solve(x).info.steps for r in (None, 1e-5, 1e-6))
    assert list(plain) == list(same_)
    assert np.all(plain <= finer)
    assert np.any(plain < finer)
    sharp = net.with_options(rtol=1e-12).solve(x)  # below the rounding of single precision
    assert set(sharp.info.status) == {"floor"}


def test_ops_that_have_no_derivative_say_so(backend):
    """An own op of values alone runs in a cycle; what it lacks is missed when it is asked for."""

    class Half:
        def __call__(self, x):
            return 0.5 * x

    net = mk.Hypergraph({"h": 2}, [mk.Edge("f", Half(), "h -> h")], "h -> h", cycles=SHARP)
    x = inputs_of(backend)
    state = net.solve(x)
    same("h", state["h"], 2 * to_host(x))
    for verb in (net.pullback, net.pushforward):
        with pytest.raises(TypeError, match="Half has no pu"):
            verb(state, x)
