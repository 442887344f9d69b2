"""JetOp: jets in networks, losses on u′ and u″, sharing, saving."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.graph.op import pullback_tangent

from .helpers import assert_close, assert_equal, tolerance

MACHINES = {
    "dense": (lambda b, **k: mk.DenseMachine((1, 3, 2), "tanh", bias=True, rng=0, backend=b, **k), (4, 1)),
    "conv": (lambda b, **k: mk.ConvMachine((2, 2), "silu", padding=((2, 1),), rng=0, backend=b, **k), (2, 5, 2)),
    "recurrent": (lambda b, **k: mk.RecurrentMachine((1, 2), "sin", memory=2, bias=True, rng=0, backend=b), (3, 6, 1)),
}


class Residual:
    """u″ + u u′ of the last channel: an op of a user's own."""

    def solve(self, z, z1, z2):
        u, v, w = (a[..., -1:] for a in (z, z1, z2))
        return mk.State((z, z1, z2), (w + u * v,))

    def pushforward(self, state, d, d1, d2):
        u, v = (a[..., -1:] for a in state.inputs[:2])
        return mk.Tangent((d2[..., -1:] + d[..., -1:] * v + u * d1[..., -1:],), (d, d1, d2))

    def pullback(self, state, y=None):
        u, v = (a[..., -1:] for a in state.inputs[:2])
        out = [np.zeros_like(a) for a in state.inputs]
        for array, seed in zip(out, (y * v, y * u, y), strict=True):
            array[..., -1:] = seed
        return mk.Cotangent(tuple(out), {}, (y,))


@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.parametrize("order", [1, 2])
def test_the_laws_of_ops_hold(backend, spec, kind, order):
    """Cotangents of inputs, directions and parameters by complex step and differences; the adjoint identity."""
    if backend.name != "numpy":
        pytest.skip("check_op draws on the host")
    make, shape = MACHINES[kind]
    op = mk.JetOp(make(spec), order)
    rng = np.random.default_rng(1)
    report = mk.testing.check_op(op, *(rng.standard_normal(shape) for _ in range(order + 1)), rng=0)
    assert report.ok
    assert any(f.law.startswith("adjoint") for f in report.findings)


@pytest.mark.parametrize("kind", MACHINES)
def test_it_is_the_machines_own_jet(backend, spec, kind):
    """Values, derivative and dual; what is missing or None is a zero direction, and has a cotangent if it was given."""
    make, shape = MACHINES[kind]
    machine = make(spec)
    op, rng = mk.JetOp(machine), np.random.default_rng(2)
    x, d, seed = (backend.from_host(rng.standard_normal(s)) for s in (shape, shape, (*shape[:-1], sum(machine.sizes))))
    state, jet = op.solve(x, d), machine.jet(x, (d, None))
    want = machine.jet_pullback(jet, z=(None, seed, seed))
    got = op.pullback(state, None, seed, seed)
    assert len(got.inputs) == len(op.solve(x, d, None).inputs) - 1 == 2
    for k, (a, b) in enumerate(zip((*state.outputs, *got.inputs), (*jet.z, *want.y0[:2]), strict=True)):
        assert_close(str(k), a, to_host(b), tolerance("float64", 10.0))
    assert_equal("weight", got.parameters["machine.weight"], want.weight)
    assert set(got.parameters) == set(op.parameters()) == {f"machine.{n}" for n in machine.parameters()}
    push = op.pushforward(state, None, d, **{"machine.weight": machine.weight})
    moved = machine.jet_pushforward(jet, (None, d), weight=machine.weight)
    for a, b in zip(push.outputs, moved.z, strict=True):
        assert_equal("push", a, b)


def test_its_machine_is_shared_with_the_rest_of_a_network():
    """u′ inside and u on the boundary by one machine: listed once, the cotangents add, replace keeps the sharing."""
    machine = mk.DenseMachine((1, 2), "tanh", rng=0)
    net = mk.Hypergraph(
        {"x": 1, "d": 1, "edge": 1, "u": 3, "v": 3, "b": 3},
        [mk.Edge("inside", mk.JetOp(machine, 1), "x d -> u v"), mk.Edge("outside", machine, "edge -> b")],
    )
    assert list(net.parameters()) == ["inside.machine.weight"]
    x = np.array([[0.5], [1.0]])
    state = net.solve({"x": x, "d": np.ones((2, 1)), "edge": x})
    cotangent = net.pullback(state, {"v": np.ones((2, 3)), "b": np.ones((2, 3))})
    alone = machine.pullback(machine.solve(x), np.ones((2, 3))).weight
    assert_close("outside", cotangent.contributions["outside.weight"], alone, tolerance("float64", 10.0))
    both = sum(cotangent.contributions.values())
    assert_close("sum", cotangent.parameters["inside.machine.weight"], both, tolerance("float64", 10.0))
    new = net.replace(**{"inside.machine.weight": np.zeros((3, 3))})
    assert new.parts()["inside"].machine is new.parts()["outside"]


@pytest.mark.parametrize("method", ["L-BFGS-B", "levenberg-marquardt"])
def test_a_loss_on_second_derivatives_trains_with_fit(method):
    """A user's residual behind the op: the gradient against the complex step, then 30 steps down."""
    rng = np.random.default_rng(0)
    machine = mk.DenseMachine((1, 6, 1), "tanh", bias=True, rng=0)
    x = rng.uniform(-1, 1, (20, 1))
    one, target = np.ones_like(x), np.cos(x)
    model = mk.Chain([mk.JetOp(machine), Residual()])
    inputs = (x, one, np.zeros_like(x))
    objective = mk.Objective(model, "squared_error", inputs, target)
    assert objective.check_gradient(rng=0) < 1e-12
    assert objective.size == machine.parameter_count
    fitted = mk.fit(model, "squared_error", inputs, target, method, steps=30, progress=False)
    assert fitted.value < 0.1 * objective.fun(objective.theta0)[0]


def test_what_it_does_not_have_is_named_when_it_is_asked_for():
    op, x = mk.JetOp(mk.DenseMachine((1, 2), "tanh", rng=0), 1), np.ones((3, 1))
    state = op.solve(x, x)
    with pytest.raises(TypeError, match="JetOp has no pullback_tangent, which second derivatives need"):
        pullback_tangent(op, state, op.pullback(state), op.pushforward(state))


def test_it_moves_casts_and_saves(tmp_path):
    machine = mk.DenseMachine((1, 2), "tanh", rng=0)
    op = mk.JetOp(machine, 1)
    assert repr(op) == f"JetOp({machine!r}, 1)"
    assert op.astype("float32").machine.dtype == np.float32
    assert_equal("live", op.live["machine.weight"], machine.live)
    mk.save(tmp_path / "m.npz", mk.Chain([op, mk.Concatenate()]))
    again = mk.load(tmp_path / "m.npz").ops[0]
    x = np.array([[0.25]])
    assert again.order == 1
    for a, b in zip(again(x, x), op(x, x), strict=True):
        assert_equal("loaded", a, b)


BAD = {
    "no machine": (lambda op, x: mk.JetOp(mk.Affine(1, 1)), TypeError, "pass a machine"),
    "order 3": (lambda op, x: mk.JetOp(op.machine, 3), ValueError, "order is 3; pass 1 or 2"),
    "order 0": (lambda op, x: mk.JetOp(op.machine, 0), ValueError, "order"),
    "a class": (lambda op, x: mk.JetOp(mk.DenseMachine((1, 1), "relu")), TypeError, r"order 2 needs .* relu"),
    "no input": (lambda op, x: op(), TypeError, "takes y0 and at most 2 directions, not 0"),
    "four": (lambda op, x: op(x, x, x, x), TypeError, "takes y0 and at most 2 directions, not 4"),
    "a state": (lambda op, x: op.pullback(op.machine.solve(x), x), TypeError, "without a jet"),
    "directions": (lambda op, x: op.pushforward(op.solve(x, x), x), TypeError, "1 directions for 2 inputs"),
    "a name": (lambda op, x: op.pushforward(op.solve(x), weight=x), TypeError, "'weight' is no parameter of this jet"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_named(what):
    call, kind, words = BAD[what]
    with pytest.raises(kind, match=words):
        call(mk.JetOp(mk.DenseMachine((1, 2), "tanh", rng=0)), np.ones((3, 1)))
