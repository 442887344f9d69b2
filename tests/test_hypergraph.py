"""Hypergraphs by law: plain recursion, every cotangent on every space, sharing, duals, sums."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_close, assert_equal, assert_no_shared_memory
from .networks import draw_inputs, networks, recursion
from .strategies import batches, seeds


def close(what, got, want, *context):
    want = to_host(want)
    bound = 1e-12 * (1.0 + np.abs(want).max(initial=0.0)) * 8
    assert_close(what, got, want, np.full(want.shape, bound), *context)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_a_network_is_its_plain_recursion(backend, spec, data, batch, seed):
    """x_s = x0_s + Σ of what the edges write, with some inputs missing: those are zero."""
    net = data.draw(networks(spec, backend))
    rng = np.random.default_rng(seed)
    names = data.draw(st.lists(st.sampled_from(net.inputs), min_size=1, unique=True))
    given_inputs = draw_inputs(net, rng, backend, batch, names)
    zeros = {n: backend.from_host(np.zeros((*batch, *s))) for n, s in net.spaces.items()}
    state, want = net.solve(given_inputs), recursion(net, given_inputs, zeros)
    for name in net.spaces:
        close(name, state[name], want[name], net)
    positional = net.solve(*(given_inputs.get(n) for n in net.inputs))
    for name, array in zip(net.outputs, positional.outputs, strict=True):
        assert_equal(name, array, state[name], net)
    assert state.inputs.names == tuple(names)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_every_cotangent_of_a_network_is_right(backend, spec, data, batch, seed):
    """Inputs and seeds on all spaces, all parameters, shared ones too: complex step and adjoint identity."""
    net = data.draw(networks(spec, backend))
    inputs = draw_inputs(net, np.random.default_rng(seed), backend, batch)
    report = mk.testing.check_op(net, *(inputs[n] for n in net.inputs), rng=seed)
    assert all(f.checked for f in report.findings), str(report)


@given(data=st.data(), seed=seeds())
def test_contributions_are_the_cotangents_of_separate_parameters(backend, spec, data, seed):
    """Each place of a shared parameter has its part; the sum is listed once, under the first place."""
    net = data.draw(networks(spec, backend))
    inputs = draw_inputs(net, np.random.default_rng(seed), backend, (2,))
    copies = pickle.loads(pickle.dumps([e.op for e in net.edges]))
    apart = [pickle.loads(pickle.dumps(op)) for op in copies]
    separate = mk.Hypergraph(
        net.spaces, [mk.Edge(e.name, op, e.signature) for e, op in zip(net.edges, apart, strict=True)], net.signature
    )
    out = {n: backend.from_host(np.ones((2, *net.spaces[n]))) for n in net.outputs}
    shared, alone = (n.pullback(n.solve(inputs), out) for n in (net, separate))
    assert set(shared.contributions) == set(alone.contributions)
    sums = {}
    for name, array in alone.contributions.items():
        close(name, shared.contributions[name], array, net)
        first = net.sharing.first[name]
        sums[first] = sums[first] + array if first in sums else array
    assert list(shared.parameters) == list(net.parameters())
    for name, array in sums.items():
        close(name, shared.parameters[name], array, net)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_tangent_and_dual_are_networks_again(backend, spec, data, batch, seed):
    """Solving them gives pushforward and pullback at every space; the dual of the dual is the tangent."""
    net = data.draw(networks(spec, backend))
    rng = np.random.default_rng(seed)
    state = net.solve(draw_inputs(net, rng, backend, batch))
    directions, outs = draw_inputs(net, rng, backend, batch), draw_inputs(net, rng, backend, batch, net.outputs)
    push, tangent = net.pushforward(state, directions), net.tangent(state)
    pull, dual = net.pullback(state, outs), net.dual(state)
    solved = dual.solve(outs)
    again = dual.dual(solved)
    assert (dual.inputs, dual.outputs, dual.depth) == (net.outputs, net.inputs, net.depth)
    for name in net.spaces:
        close(f"tangent at {name}", tangent.solve(directions)[name], push[name], net)
        close(f"dual at {name}", solved[name], pull.inputs[name], net)
        close(f"dual of the dual at {name}", again.solve(directions)[name], push[name], net)
    linear = mk.testing.check_op(tangent, *(directions[n] for n in tangent.inputs), rng=seed)
    assert linear.ok, str(linear)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_the_sum_of_networks_runs_the_independent_one_first(backend, spec, data, batch, seed):
    """Theorem 2: if net does not depend on later, R_{net + later} = R_later R_net; sums have all the edges."""
    net = data.draw(networks(spec, backend))
    cut = data.draw(st.integers(0, len(net.edges)))
    names = [name for group in net.levels for name in group]
    early, late = (
        mk.Hypergraph(net.spaces, [e for e in net.edges if e.name in part]) for part in (names[:cut], names[cut:])
    )
    assert not early.depends_on(late)
    inputs = draw_inputs(net, np.random.default_rng(seed), backend, batch)
    both, whole = early + late, net.solve(inputs)
    assert both.depth == net.depth
    assert early.depth <= net.depth <= early.depth + late.depth
    first = early.solve(inputs)
    second = late.solve({n: first[n] for n in net.spaces})
    for name in net.spaces:
        close(name, both.solve(inputs)[name], whole[name], net)
        close(name, second[name], whole[name], net)


@given(data=st.data(), seed=seeds())
def test_an_executor_and_a_pickle_change_nothing(backend, spec, data, seed):
    net = data.draw(networks(spec, backend))
    inputs = draw_inputs(net, np.random.default_rng(seed), backend, (2,))
    seeds_ = draw_inputs(net, np.random.default_rng(seed + 1), backend, (2,), net.outputs)
    want, cot = net.solve(inputs), net.pullback(net.solve(inputs), seeds_)
    copy = pickle.loads(pickle.dumps(net))
    with ThreadPoolExecutor(4) as pool:
        beside = mk.Hypergraph(net.spaces, net.edges, net.signature, executor=pool)
        for other in (beside, copy):
            state = other.solve(inputs)
            for name in net.spaces:
                assert_equal(name, state[name], want[name], net)
            found = other.pullback(state, seeds_)
            assert list(found.parameters) == list(cot.parameters)
            for name, array in cot.parameters.items():
                assert_equal(name, found.parameters[name], array, net)
        assert pickle.loads(pickle.dumps(beside)).executor is None


@given(data=st.data(), seed=seeds())
def test_a_state_can_be_pickled_and_pulled_back_many_times(backend, spec, data, seed):
    net = data.draw(networks(spec, backend))
    inputs = draw_inputs(net, np.random.default_rng(seed), backend, (3,))
    out = draw_inputs(net, np.random.default_rng(seed), backend, (3,), net.outputs)
    state = net.solve(inputs)
    first = net.pullback(state, out)
    for other in (net.pullback(state, out), net.pullback(pickle.loads(pickle.dumps(state)), out)):
        for name in net.spaces:
            assert_equal(name, other.inputs[name], first.inputs[name], net)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_results_share_no_memory(backend, spec, data, batch, seed):
    """Outputs and cotangents are new memory: not the inputs', not the seeds', not each other's."""
    net = data.draw(networks(spec, backend))
    rng = np.random.default_rng(seed)
    inputs, outs = draw_inputs(net, rng, backend, batch), draw_inputs(net, rng, backend, batch, net.outputs)
    state = net.solve(inputs)
    cotangent, tangent = net.pullback(state, outs), net.pushforward(state, inputs)
    given_arrays = {**{f"input {n}": x for n, x in inputs.items()}, **{f"seed {n}": x for n, x in outs.items()}}
    own = {f"own {n}": a for n, a in net.parameters().items()}
    for results in (
        {n: state[n] for n in net.outputs},
        {n: tangent[n] for n in net.spaces},
        {**{n: cotangent.inputs[n] for n in net.spaces}, **cotangent.parameters},
    ):
        assert_no_shared_memory({**results, **given_arrays, **own}, net)


def test_nothing_is_written_to(backend, spec):
    """A network hands arrays on without copying, and no op may write to them."""
    same = mk.Affine(2, 2, weight=backend.from_host(np.eye(2)), bias=False)
    net = mk.Hypergraph({"a": 2, "b": 2}, [mk.Edge("f", same, "a -> b"), mk.Edge("g", same, "a -> b")], "a b -> b")
    x = backend.from_host(np.ones((1, 2)))
    y = backend.from_host(np.full((1, 2), 2.0))
    state = net.solve({"a": x, "b": y})
    net.pullback(state, {"b": y})
    net.pushforward(state, {"a": x, "b": y})
    assert_equal("a", x, np.ones((1, 2)))
    assert_equal("b", y, np.full((1, 2), 2.0))
    assert_equal("b of the state", state["b"], np.full((1, 2), 4.0))


@given(data=st.data(), batch=batches(), seed=seeds())
def test_missing_seeds_and_directions_are_zero(backend, spec, data, batch, seed):
    """Seeds by name on some spaces only, and none at all; the record keeps them."""
    net = data.draw(networks(spec, backend))
    rng = np.random.default_rng(seed)
    state = net.solve(draw_inputs(net, rng, backend, batch))
    names = data.draw(st.lists(st.sampled_from(net.outputs), unique=True))
    some = draw_inputs(net, rng, backend, batch, names) if names else {}
    whole = {n: some.get(n, backend.from_host(np.zeros((*batch, *net.spaces[n])))) for n in net.outputs}
    got, want = net.pullback(state, some), net.pullback(state, whole)
    positional = net.pullback(state, *(some.get(n) for n in net.outputs))
    pushed, all_pushed = net.pushforward(state, some), net.pushforward(state, whole)
    for name in net.spaces:
        close(f"cotangent of {name}", got.inputs[name], want.inputs[name], net)
        close(f"cotangent of {name}", positional.inputs[name], want.inputs[name], net)
        close(f"tangent of {name}", pushed[name], all_pushed[name], net)
    assert [n for n, x in zip(net.outputs, positional.outputs, strict=True) if x is not None] == [
        n for n in net.outputs if n in some
    ]
    assert len(got.outputs) == len(names)


def test_cotangents_of_large_weights_share_one_block_without_overlap():
    """From 4 MiB on all weight cotangents lie in one block, nested and shared ones too, with the same numbers."""
    rng = np.random.default_rng(0)
    shared, other, small = (mk.Affine(n, m, rng=rng, dtype="float32") for n, m in ((600, 600), (600, 600), (600, 3)))
    edges = [
        mk.Edge("f", mk.Chain([shared, mk.Pointwise("tanh"), other]), "a -> b"),
        mk.Edge("g", shared, "b -> c"),
        mk.Edge("h", mk.Hypergraph({"s": 600, "t": 600}, [mk.Edge("k", other, "s -> t")]), "a -> c"),
        mk.Edge("end", small, "c -> d"),
    ]
    net = mk.Hypergraph({"a": 600, "b": 600, "c": 600, "d": 3}, edges)
    x = rng.standard_normal((2, 600)).astype(np.float32)
    seed = rng.standard_normal((2, 3)).astype(np.float32)
    state = net.solve(x)
    cotangent = net.pullback(state, seed)
    again = net.pullback(state, 2 * seed)
    weights = {n: a for n, a in cotangent.contributions.items() if n.endswith("weight")}
    assert len({id(a.base.base if a.base.base is not None else a.base) for a in weights.values()}) == 1
    assert_no_shared_memory({**weights, **{f"again {n}": a for n, a in again.contributions.items()}})
    inner = net.pullback_into({}, state, seed)
    for name, array in inner.contributions.items():
        assert_equal(name, cotangent.contributions[name], array)
        assert_equal(name, again.contributions[name], 2 * array)
