"""Cycles of hypergraphs by law: the machine equation, every derivative, duals that are networks, dense Newton."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import astype, namespace, plus, to_host

from .cyclic import SHARP, affine, cyclic_networks, same, tanh_of, two_cycles
from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked
from .networks import draw_inputs
from .strategies import batches, seeds

STEP = 1e-20


def leftover(net, state, inputs):
    """Return x − Σ_e f_e(x) − x0 of every space, by running every edge at the values of the state."""
    rest = {n: plus(state[n], -inputs[n]) for n in net.spaces}
    for edge in net.edges:
        images = edge.op(*(state[s] for s in edge.sources))
        for target, image in zip(edge.targets, images if isinstance(images, tuple) else (images,), strict=True):
            rest[target] = plus(rest[target], -image)
    return rest


@given(data=st.data(), batch=batches(), seed=seeds())
def test_a_state_solves_the_machine_equation_and_says_how_well(backend, spec, data, batch, seed):
    """x = Σ_e f_e(x) + x0 in every space; info.residual is the norm of what is left, sample by sample."""
    net = data.draw(cyclic_networks(spec, backend))
    inputs = draw_inputs(net, np.random.default_rng(seed), backend, batch)
    state = net.solve(inputs)
    rest = leftover(net, state, inputs)
    for name in net.spaces:
        same(name, rest[name], np.zeros_like(to_host(rest[name])), net)
    rough = net.with_options(rtol=0.05, solver="picard")
    state = rough.solve(inputs)
    if not net.components:
        assert not state.info
        return
    squares = [np.abs(to_host(a)) ** 2 for a in leftover(net, state, inputs).values()]
    norm = np.sqrt(sum(np.sum(a, axis=tuple(range(len(batch), a.ndim))) for a in squares))
    assert_close("residual", state.info.residual, norm, np.full(norm.shape, 1e-14), net)
    assert state.info.steps.shape == state.info.converged.shape == batch
    assert state.info.converged.all()
    assert len(state.info.solver) == len(net.components)
    assert np.all(state.info.error_bound == np.inf)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_every_derivative_of_a_cyclic_network_is_right(backend, spec, data, batch, seed):
    """All spaces and parameters, shared ones too: complex step, finite differences, adjoint, second derivatives."""
    net = data.draw(cyclic_networks(spec, backend))
    inputs = draw_inputs(net, np.random.default_rng(seed), backend, batch)
    report = mk.testing.check_op(net, *(inputs[n] for n in net.inputs), rng=seed)
    assert all(f.checked for f in report.findings), str(report)


def test_two_cycles_between_acyclic_parts_obey_all_laws(backend):
    """An op inside and outside of a cycle has one cotangent, the sum; hyperedges of two sources and two targets."""
    net = two_cycles(backend)
    assert net.components == [("a", "b", "c"), ("d", "e", "f")]
    x, seed = (backend.from_host(np.random.default_rng(k).normal(size=s)) for k, s in ((1, (4, 2)), (2, (4, 1))))
    report = mk.testing.check_op(net, x, rng=3)
    assert all(f.checked for f in report.findings), str(report)
    cotangent = net.pullback(net.solve(x), seed)
    parts = cotangent.contributions
    assert "outside.0.weight" not in cotangent.parameters
    same("sum", cotangent.parameters["a.0.weight"], to_host(parts["a.0.weight"] + parts["outside.0.weight"]))
    assert min(np.abs(to_host(parts[f"{n}.0.weight"])).max() for n in ("a", "outside")) > 1e-3
    assert mk.testing.check_op(mk.Chain([net, mk.Pointwise("tanh")]), x, rng=4).ok
    outer = mk.Hypergraph(
        {"u": 2, "v": 1}, [mk.Edge("net", net, "u -> v"), mk.Edge("add", affine([[1.0], [2.0]], backend), "u -> v")]
    )
    assert mk.testing.check_op(outer, x, rng=5).ok


def dense(w, v, x):
    """Solve h = x + tanh(k V), k = tanh(h W) by Newton's method on (h, k); return both, I − J and the slopes."""
    n, m = w.shape
    at = np.concatenate([x, np.tanh(x @ w)])

    def rest(at):
        return np.concatenate([at[:n] - x - np.tanh(at[n:] @ v), at[n:] - np.tanh(at[:n] @ w)])

    for _ in range(50):
        dh, dk = 1 - np.tanh(at[n:] @ v) ** 2, 1 - np.tanh(at[:n] @ w) ** 2
        matrix = np.eye(n + m)  # of the residual, by columns of (h, k)
        matrix[:n, n:] = -dh[:, None] * v.T
        matrix[n:, :n] = -dk[:, None] * w.T
        step, size = np.linalg.solve(matrix, rest(at)), 1.0
        while size > 1e-6 and np.linalg.norm(rest(at - size * step)) > np.linalg.norm(rest(at)):
            size /= 2
        at = at - size * step
    assert np.linalg.norm(rest(at)) < 1e-13
    return at[:n], at[n:], matrix, dh, dk


@pytest.mark.parametrize("solver", ["auto", "anderson", "broyden", "newton-krylov"])
def test_values_and_cotangents_are_those_of_dense_newton(backend, solver):
    """λ = (I − J)⁻ᵀ seed, dense, sample by sample; on strong negative feedback, where Picard's iteration diverges.

    With V = −c Wᵀ the eigenvalues of I − J are those of I + D₁ W D₂ Wᵀ, at least 1: there is one equilibrium.
    """
    rng = np.random.default_rng(5)
    w, x = rng.normal(size=(3, 2)), rng.normal(size=(6, 3)) * 0.3
    v = -1.5 * w.T
    cycles = mk.Equilibrium(rtol=1e-13, solver=solver)
    edges = [mk.Edge("f", tanh_of(w, backend), "h -> k"), mk.Edge("g", tanh_of(v, backend), "k -> h")]
    net = mk.Hypergraph({"h": 3, "k": 2}, edges, "h -> k h", cycles=cycles)
    state = net.solve(backend.from_host(x))
    seeds_ = {"h": rng.normal(size=(6, 3)), "k": rng.normal(size=(6, 2))}
    cotangent = net.pullback(state, {n: backend.from_host(a) for n, a in seeds_.items()})
    want_w, want_v = np.zeros_like(w), np.zeros_like(v)
    for i in range(6):
        h, k, jacobian, dh, dk = dense(w, v, x[i])
        adjoint = np.linalg.solve(jacobian.T, np.concatenate([seeds_["h"][i], seeds_["k"][i]]))
        want_w += np.outer(h, dk * adjoint[3:])
        want_v += np.outer(k, dh * adjoint[:3])
        for what, got, want in (
            ("h", state["h"], h), ("k", state["k"], k),
            ("dual h", cotangent.inputs["h"], adjoint[:3]), ("dual k", cotangent.inputs["k"], adjoint[3:]),
        ):  # fmt: skip
            same(what, got[i, :], want, solver, accuracy=1e-10)
    with pytest.raises(mk.ConvergenceError):
        net.with_options(solver="picard", max_steps=500).solve(backend.from_host(x))
    same("W", cotangent.parameters["f.0.weight"], want_w, solver, accuracy=1e-10)
    same("V", cotangent.parameters["g.0.weight"], want_v, solver, accuracy=1e-10)


@given(data=st.data(), batch=batches(), seed=seeds())
def test_tangent_and_dual_of_a_cyclic_network_are_cyclic_networks(backend, spec, data, batch, seed):
    """Solving them gives pushforward and pullback at every space; the dual of the dual is the tangent."""
    net = data.draw(cyclic_networks(spec, backend))
    rng = np.random.default_rng(seed)
    state = net.solve(draw_inputs(net, rng, backend, batch))
    directions, outs = draw_inputs(net, rng, backend, batch), draw_inputs(net, rng, backend, batch, net.outputs)
    push, tangent = net.pushforward(state, directions), net.tangent(state)
    pull, dual = net.pullback(state, outs), net.dual(state)
    assert tangent.components == net.components
    assert {frozenset(c) for c in dual.components} == {frozenset(c) for c in net.components}
    solved = dual.solve(outs)
    again = dual.dual(solved)
    for name in net.spaces:
        same(f"tangent at {name}", tangent.solve(directions)[name], push[name], net)
        same(f"dual at {name}", solved[name], pull.inputs[name], net)
        same(f"dual of the dual at {name}", again.solve(directions)[name], push[name], net)
        same(f"lean pullback at {name}", net.pullback_inputs(state, outs).inputs[name], pull.inputs[name], net)
    if net.components:
        assert set(solved.info.solver) <= {"bicgstab", ""}
        assert push.info.converged.all()
        assert pull.info.converged.all()


@given(data=st.data(), batch=batches(), seed=seeds())
def test_results_of_a_cyclic_network_share_no_memory(backend, spec, data, batch, seed):
    net = data.draw(cyclic_networks(spec, backend))
    rng = np.random.default_rng(seed)
    inputs = {n: locked(backend, to_host(x)) for n, x in draw_inputs(net, rng, backend, batch).items()}
    outs = {n: locked(backend, to_host(x)) for n, x in draw_inputs(net, rng, backend, batch, net.outputs).items()}
    state = net.solve(inputs)
    cotangent, tangent = net.pullback(state, outs), net.pushforward(state, inputs)
    others = {**{f"input {n}": x for n, x in inputs.items()}, **{f"seed {n}": x for n, x in outs.items()}}
    others |= {f"own {n}": a for n, a in net.parameters().items()}
    for results in (
        {n: state[n] for n in net.outputs},
        {n: tangent[n] for n in net.spaces},
        {**{n: cotangent.inputs[n] for n in net.spaces}, **cotangent.parameters},
    ):
        assert_no_shared_memory({**results, **others}, net)


def test_a_self_loop_is_its_resolvent(backend):
    """h = h W + x has h = x (I − W)⁻¹: the tangent and the dual alike."""
    w = np.array([[0.5, -2.0], [2.0, 0.5]])
    net = mk.Hypergraph({"h": 2}, [mk.Edge("w", affine(w, backend), "h -> h")], "h -> h", cycles=SHARP)
    x = np.array([[1.0, 2.0], [-3.0, 0.5]])
    inverse = np.linalg.inv(np.eye(2) - w)
    state = net.solve(backend.from_host(x))
    same("h", state["h"], x @ inverse)
    same("dual", net.pullback(state, backend.from_host(x)).inputs[0], x @ inverse.T)
    same("tangent", net.pushforward(state, backend.from_host(x))["h"], x @ inverse)


def test_a_cycle_that_carries_nothing_back_is_exact(backend):
    """A structural cycle whose weights are triangular has the values of the unrolled network."""
    w = np.array([[0.0, 3.0, 1.0], [0.0, 0.0, -2.0], [0.0, 0.0, 0.0]])
    net = mk.Hypergraph(
        {"h": 3}, [mk.Edge("f", tanh_of(w, backend), "h -> h")], "h -> h", cycles=mk.Equilibrium(solver="picard")
    )
    x = np.array([[0.3, -0.2, 0.9]])
    want = x.copy()
    for _ in range(3):
        want = x + np.tanh(want @ w)
    assert_equal("h", net(backend.from_host(x)), want)


def test_the_dual_may_be_stopped_early(backend):
    """dual_steps=K is the Neumann series up to the K-th time round, λ = Σ_{k≤K} (Jᵀ)ᵏ seed."""
    rng = np.random.default_rng(0)
    w, v, x, g = (rng.normal(size=s) * 0.5 for s in ((3, 2), (2, 3), (4, 3), (4, 3)))
    edges = [mk.Edge("f", tanh_of(w, backend), "h -> k"), mk.Edge("g", tanh_of(v, backend), "k -> h")]
    exact = mk.Hypergraph({"h": 3, "k": 2}, edges, "h -> h", cycles=SHARP)
    state = exact.solve(backend.from_host(x))
    h, k = to_host(state["h"]), to_host(state["k"])
    assert exact.describe().count("unknown: k") == 1
    dh, dk = 1 - np.tanh(k @ v) ** 2, 1 - np.tanh(h @ w) ** 2
    round_ = lambda p: (((p * dk) @ w.T) * dh) @ v.T  # noqa: E731
    seed = (g * dh) @ v.T
    total, term = seed, seed
    for steps in range(4):
        net = exact.with_options(dual_steps=steps)
        cotangent = net.pullback(state, backend.from_host(g))
        same("k", cotangent.inputs["k"], total)
        same("W", cotangent.parameters["f.0.weight"], h.T @ (total * dk))
        dual = net.dual(state)
        solved = dual.solve(backend.from_host(g))
        same("solved dual", solved["k"], total)
        # the dual of the dual is the tangent, and the dual of the tangent the dual
        ahead = exact.pushforward(state, backend.from_host(g))["k"]
        same("dual of the dual", dual.pullback(solved, backend.from_host(g)).inputs["k"], ahead)
        same("dual of the dual", dual.dual(solved).solve(backend.from_host(g))["k"], ahead)
        tangent = net.tangent(state)
        moved = tangent.solve(backend.from_host(g))
        same("dual of the tangent", tangent.pullback(moved, backend.from_host(g)).inputs["k"], total)
        same("dual of the tangent", tangent.dual(moved).solve(backend.from_host(g))["k"], total)
        assert np.all(cotangent.info.status == "truncated")
        assert np.all(cotangent.info.steps == steps)
        # the tangent is never stopped
        same(
            "tangent",
            net.pushforward(state, backend.from_host(g))["h"],
            exact.pushforward(state, backend.from_host(g))["h"],
        )
        term = round_(term)
        total = total + term
    with pytest.raises(mk.DerivativeError, match="dual_steps=3 stops it early"):
        net.pullback_tangent(state, cotangent, net.pushforward(state, backend.from_host(g)))
    near = exact.with_options(dual_steps=200).pullback(state, backend.from_host(g))
    same("W", near.parameters["f.0.weight"], exact.pullback(state, backend.from_host(g)).parameters["f.0.weight"])


def test_real_inputs_meet_complex_parameters(backend):
    """The unknowns are complex if anything in the cycle is: forwards, at a complex state with real seeds, and so on."""
    xp = namespace(backend.from_host(np.zeros(1)))
    rng = np.random.default_rng(0)
    net = two_cycles(backend)
    x, d = (backend.from_host(rng.normal(size=(3, 2))) for _ in range(2))
    weight = net.parameters()["e.0.weight"]
    direction = backend.from_host(rng.normal(size=(2, 2)))
    moved = net.replace(**{"e.0.weight": astype(weight, xp.complex128) + STEP * 1j * direction})
    there = moved.solve(x)
    along = net.pushforward(net.solve(x), **{"e.0.weight": direction})
    for name in ("m", "p", "q", "y"):
        same(name, to_host(there[name]).imag / STEP, along[name])
    push = moved.pushforward(there, d)
    same("tangent", to_host(push["y"]).real, net.pushforward(net.solve(x), d)["y"])
    one = backend.from_host(np.ones((3, 1)))
    pull, plain = moved.pullback(there, one), net.pullback(net.solve(x), one)
    state = net.solve(x)
    bent = net.pullback_tangent(state, plain, along)
    same("dual", to_host(pull.inputs["x"]).imag / STEP, bent.inputs["x"])
    warm = moved.solve(x, warm=state)
    same("warm", to_host(warm["y"]).imag / STEP, along["y"])
    back = net.solve(x, warm=there)
    assert "complex" not in str(back["y"].dtype)
    same("back", back["y"], state["y"])
