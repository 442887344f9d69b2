"""Jets: each order is the derivative of the one below; exact on polynomials; by plan as by the reference sweep."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

import machinekit as mk
from machinekit.arrays import NUMPY, to_host

from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked, tolerance
from .jets import STEP, below, curved_cases, seeds, settled, signal
from .strategies import KINDS, cases
from .test_plan import SCHEDULES, schedule


def on(backend, arrays):
    return [None if a is None else backend.from_host(a) for a in arrays]


def jet_of(machine, backend, curve, move=on):
    y0, z0 = move(backend, curve.y0), move(backend, curve.z0)
    return machine.jet(y0[0], y0[1:], z0[0], z0[1:])


@given(drawn=curved_cases((1, 2, 3)))
def test_each_order_is_the_derivative_of_the_one_below(backend, drawn):
    """Im/h of the last entry of the (k−1)-jet at s = i h, by the reference sweep at k = 1; to 1e-12."""
    order, case, curve = drawn
    case = settled(case, backend)
    got = jet_of(case.machine(backend, curve.numbers), backend, curve)
    machine = case.machine(NUMPY, curve.numbers)
    assert (got.order, len(got.y), len(got.z)) == (order, order + 1, order + 1)
    assert_equal("y", got.y[0], got.state.y)
    assert_equal("z", got.z[0], got.state.z)
    for k in range(1, order + 1):
        lower = below(case, machine, curve, k)
        for name, found, want in (("y", got.y[k], lower[0][-1]), ("z", got.z[k], lower[1][-1])):
            wanted = want.imag / STEP
            assert_close(f"{name}_{k}", found, wanted, 1e-12 * (1 + np.abs(wanted).max(initial=0)), case)


@pytest.mark.parametrize("kind", KINDS)
@given(drawn=curved_cases((3,), gain=0))
def test_each_order_agrees_with_finite_differences(kind, drawn):
    """The plainest evidence: the (k−1)-jets at s = ±1e-5, to 1e-6."""
    order, case, curve = drawn
    machine, h = case.machine(NUMPY, curve.numbers), 1e-5
    got = jet_of(machine, NUMPY, curve)
    for k in range(1, order + 1):
        up, down = (below(case, machine, curve, k, s)[1][-1] for s in (h, -h))
        assert_close(f"z_{k}", got.z[k], (up - down) / (2 * h), 1e-6 * (1 + np.abs(up).max(initial=0)), case, kind)


@given(drawn=curved_cases((1,)))
def test_the_first_order_is_the_tangent(backend, drawn):
    """A 1-jet is `pushforward`, for every class."""
    _, case, curve = drawn
    case = settled(case, backend)
    machine = case.machine(backend, curve.numbers)
    got = jet_of(machine, backend, curve)
    (y0_1,), (z0_1,) = on(backend, curve.y0[1:]), on(backend, curve.z0[1:])
    want = machine.pushforward(got.state, y0_1, z0_1)
    assert_close("y_1", got.y[1], to_host(want.y), tolerance("float64", 1 + np.abs(to_host(want.y))), case)
    assert_close("z_1", got.z[1], to_host(want.z), tolerance("float64", 1 + np.abs(to_host(want.z))), case)


def times(a, b):
    """The product of two series in s, cut after s³."""
    return [sum((a[i] * b[k - i] for i in range(k + 1)), Fraction(0)) for k in range(4)]


@pytest.mark.parametrize("kind", ["dense", "recurrent"])
def test_jets_of_polynomial_machines_are_exact(backend, kind):
    """Series in s in rational arithmetic, block by block: all numbers are dyadic, so equal bit for bit."""
    rng, steps = np.random.default_rng(5), 3 if kind == "recurrent" else 1
    weight = rng.integers(-2, 3, (2, 3, 3) if kind == "recurrent" else (1, 3, 3)) / 2.0
    bias = rng.integers(-2, 3, 3) / 2.0
    names = ["square", "identity", "square"]
    given_weight, given_bias = backend.from_host(weight if kind == "recurrent" else weight[0]), backend.from_host(bias)
    shared = {"weight": given_weight, "bias": given_bias}
    if kind == "recurrent":
        names[0] = "identity"
        machine = mk.RecurrentMachine((1, 1, 1), names, memory=1, **shared)
    else:
        machine = mk.DenseMachine((1, 1, 1), names, **shared)
    curve = rng.integers(-3, 4, (2, 4, steps, 3)) / 4.0  # y0 and z0, by order, time and channel
    factorial = [1, 1, 2, 6]
    start = [[[[Fraction(a[k, t, c]) / factorial[k] for k in range(4)] for c in range(3)] for t in range(steps)]
             for a in curve]  # fmt: skip
    y, z = ([[None] * 3 for _ in range(steps)] for _ in range(2))
    live = to_host(machine.weight).reshape(weight.shape)
    for t in range(steps):
        for c in range(3):
            total = [a + (Fraction(bias[c]) if not k else 0) for k, a in enumerate(start[0][t][c])]
            for lag, source in ((lag, s) for lag in range(min(t + 1, weight.shape[0])) for s in range(3)):
                if live[lag, source, c]:
                    w = Fraction(live[lag, source, c])
                    total = [a + w * b for a, b in zip(total, z[t - lag][source], strict=True)]
            y[t][c] = total
            value = times(total, total) if names[c] == "square" else total
            z[t][c] = [a + b for a, b in zip(value, start[1][t][c], strict=True)]
    arrays = curve if kind == "recurrent" else curve[:, :, 0]
    y0, z0 = (on(backend, a) for a in arrays)
    got = machine.jet(y0[0], y0[1:], z0[0], z0[1:])
    for name, found, want in (("y", got.y, y), ("z", got.z, z)):
        for k in range(4):
            exact = [[factorial[k] * channel[k] for channel in row] for row in want]
            host = to_host(found[k]).reshape(steps, 3)
            assert [[Fraction(a) for a in row] for row in host] == exact, f"{name}_{k}"


@given(case=cases(names=("tanh", "softplus"), least=1))
def test_precision_and_kind_are_kept(backend, case):
    """One precision in and out; complex iff anything is; a real machine along a complex direction."""
    numbers = case.numbers()
    machine = case.machine(backend, numbers)
    rng = np.random.default_rng(case.seed)
    y0, d1, d2 = (backend.from_host(signal(case, 4, rng, 0.5)) for _ in range(3))
    jet = machine.jet(y0, (d1, d2))
    cotangent = machine.jet_pullback(jet, z=(d1, None, d2))
    tangent = machine.jet_pushforward(jet, (d1, d2))
    for array in (*jet.y, *jet.z, *cotangent.y0, *cotangent.z0, *cotangent.parameters.values(), *tangent.z):
        assert str(array.dtype).endswith(case.dtype), (array.dtype, case)
    if not case.dtype.startswith("complex"):
        wide = machine.jet(y0, (d1, d2 + backend.xp.zeros_like(d2) * 1j))
        want = [case.dtype, case.dtype, {"float32": "complex64", "float64": "complex128"}[case.dtype]]
        assert [str(a.dtype).rpartition(".")[2] for a in wide.z] == want


@pytest.mark.parametrize("name", SCHEDULES)
@given(drawn=curved_cases((1, 2), gain=1, dtypes=("float64", "float32")))
def test_every_schedule_has_the_same_jets(name, drawn):
    """Jet, its derivative and its dual: plans against the reference sweep."""
    order, case, curve = drawn
    ps, qs = seeds(case, order + 1), seeds(case, order + 1, 4)
    along = {"weight": curve.numbers.dweight} | ({"bias": curve.numbers.dbias} if case.bias else {})

    def all_of(machine):
        jet = jet_of(machine, NUMPY, curve)
        cotangent = machine.jet_pullback(jet, ps, qs)
        tangent = machine.jet_pushforward(jet, ps, qs, **along)
        named = {"y": jet.y, "z": jet.z, "y0": cotangent.y0, "z0": cotangent.z0, "dy": tangent.y, "dz": tangent.z}
        extra = (cotangent.weight, cotangent.bias, cotangent.slope)
        return {**named, "parameters": tuple(a for a in extra if a is not None)}

    with schedule(name):
        machine = case.machine(NUMPY, curve.numbers)
        all_of(machine)
        got = all_of(machine)  # in workspaces that have been used
    plain = case.machine(NUMPY, curve.numbers)
    for one in (plain, plain._mirrored):
        one.__dict__["_plan"] = lambda *a, **k: None
    want = all_of(plain)
    size = max(np.abs(a).max(initial=0.0) for arrays in want.values() for a in arrays)
    allowed = 64 * tolerance(case.dtype, (size + 1.0) ** 2 * (1 + case.channels))
    for key, arrays in want.items():
        for found, wanted in zip(got[key], arrays, strict=True):
            assert_close(key, found, wanted, allowed, case, name)


def results(machine, a, order):
    """Call every verb of jets; return all arrays by name."""
    jet = machine.jet(a[0], a[1 : order + 1], a[3], a[4 : order + 4])
    some = a[: order + 1]
    cotangent, tangent = machine.jet_pullback(jet, some, some), machine.jet_pushforward(jet, some, some)
    named = {"y": jet.y, "z": jet.z, "y0": cotangent.y0, "z0": cotangent.z0, "dy": tangent.y, "dz": tangent.z}
    out = {f"{name}_{k}": b for name, arrays in named.items() for k, b in enumerate(arrays)}
    return out | {name: getattr(cotangent, name) for name in ("weight", "bias", "slope")}


@given(drawn=curved_cases((1, 2), gain=1))
def test_inputs_are_not_written_to_and_results_share_no_memory(backend, drawn):
    """Nor with a later call's results, which change nothing that was returned."""
    order, case, curve = drawn
    case = settled(case, backend)
    rng = np.random.default_rng(case.seed)
    host = [signal(case, 4, rng) for _ in range(6)]
    a = [locked(backend, h) for h in host]
    machine = case.machine(backend, curve.numbers)
    first = results(machine, a, order)
    kept = {name: None if b is None else to_host(b).copy() for name, b in first.items()}
    later = {f"later {name}": b for name, b in results(machine, a[::-1], order).items()}
    own = {"weight of the machine": machine.weight, "bias of the machine": machine.bias}
    assert_no_shared_memory({**{f"input {k}": b for k, b in enumerate(a)}, **own, **first, **later}, case)
    for k, (b, h) in enumerate(zip(a, host, strict=True)):
        assert_equal(f"input {k}", b, h, case)
    for name, copy in kept.items():
        if copy is not None:
            assert_equal(name, first[name], copy, case)


def test_records_of_jets_do_not_change_and_can_be_pickled(backend):
    machine = mk.DenseMachine((2, 3), "tanh", weight=backend.from_host(np.full((5, 5), 0.5)))
    x = backend.from_host(np.ones((4, 2)))
    jet = machine.jet(x, (x, None))
    assert jet.widths == ((2, 2, 5), (5, 5, 5))
    assert [a is None for a in (*jet.y0, *jet.z0)] == [False, False, True, True, True, True]
    assert repr(jet) == "Jet(order=2, y=(4×5, 4×5, 4×5), z=(4×5, 4×5, 4×5))"
    with pytest.raises(AttributeError, match="does not change"):
        jet.order = 3
    cotangent = machine.jet_pullback(jet, z=(None, jet.z[0]))
    if backend.name == "numpy":
        for record in (jet, machine.jet_pushforward(jet, (x,)), cotangent):
            again = pickle.loads(pickle.dumps(record))
            assert_equal("y", again.y0[0], record.y0[0])
        assert_equal("z0", pickle.loads(pickle.dumps(cotangent)).z0[0], cotangent.z0[0])


@pytest.mark.parametrize(
    ("name", "order", "what"),
    [("relu", 2, "a jet of order 2"), ("hardtanh", 3, "a jet of order 3"), ("elu", 3, "a jet of order 3"),
     ("softsign", 3, "a jet of order 3")],
)  # fmt: skip
def test_a_jet_of_order_r_needs_the_class_below(backend, name, order, what):
    """C^(order − 1), as every computation of that order; the orders below are there."""
    machine = mk.DenseMachine((1, 1), name, weight=backend.from_host(np.ones((2, 2))))
    x = backend.from_host(np.ones((1, 1)))
    least = machine.pointwise.smoothness
    machine.jet(x, (x,) * (order - 1) if least else (x,))
    with pytest.raises(TypeError, match=rf"{what} needs .* class C\^{order - 1} and {name} is of class C\^{least:g}"):
        machine.jet(x, (x,) * order)


@pytest.mark.parametrize(("name", "order", "k"), [("relu", 1, 1), ("elu", 2, 2), ("softsign", 2, 2)])
def test_the_dual_of_a_jet_counts_as_one_order_more(backend, name, order, k):
    """And so does its derivative."""
    machine = mk.DenseMachine((1, 1), name, weight=backend.from_host(np.ones((2, 2))))
    x = backend.from_host(np.ones((1, 1)))
    jet = machine.jet(x, (x,) * order)
    for verb in (machine.jet_pullback, machine.jet_pushforward):
        with pytest.raises(TypeError, match=rf"of a jet of order {order} needs .*C\^{k} and {name}"):
            verb(jet, (x,))


def test_a_users_activation_gives_the_orders_that_its_derivatives_allow(backend):
    """A value: order 1; a derivative: 2 where declared smooth; a second: 3. Missing ones are named before any work."""
    x = backend.from_host(np.full((2, 1), 0.5))
    cube = {"value": lambda y: y**3, "derivative": lambda y: 3 * y**2, "second": lambda y: 6 * y}
    for given_count, word in ((1, "second"), (2, "third")):
        own = mk.Activation(*list(cube.values())[:given_count], name="cube", smoothness=9)
        machine = mk.DenseMachine((1, 1), own, weight=backend.from_host(np.ones((2, 2))))
        machine.jet(x, (x,) * given_count)
        with pytest.raises(TypeError, match=f"'cube' has no {word} derivative"):
            machine.jet(x, (x,) * (given_count + 1))
    own = mk.Activation(*cube.values(), name="cube", smoothness=9)
    machine = mk.DenseMachine((1, 1), own, weight=backend.from_host(np.zeros((2, 2))))
    jet = machine.jet(x, (x / x, None, None))
    assert_close("x³", backend.xp.stack(jet.z, axis=0)[:, 0, 0], [0.125, 0.75, 3.0, 6.0], 1e-14)


BAD = {
    "no direction": (lambda m, x, j: m.jet(x, ()), ValueError, "directions is empty"),
    "four": (lambda m, x, j: m.jet(x, (x,) * 4), ValueError, "directions has 4 entries; pass at most 3"),
    "an array": (lambda m, x, j: m.jet(x, x), TypeError, "directions is a .*; pass a tuple of arrays"),
    "more for z0": (lambda m, x, j: m.jet(x, (x,), x, (x, x)), ValueError, "z0_directions has 2 entries"),
    "a width": (lambda m, x, j: m.jet(x, (x, x[:, :1])), ValueError, r"directions\[1\] has 1 channels"),
    "a batch": (lambda m, x, j: m.jet(x, (x[:2, :],)), ValueError, r"directions\[0\] has batch .*\(2,\)"),
    "a list": (lambda m, x, j: m.jet(x, ([1.0, 2.0],)), TypeError, r"directions\[0\]"),
    "no input": (lambda m, x, j: m.jet(None, (x,)), ValueError, "y0 and z0 are all None"),
    "a state": (lambda m, x, j: m.jet_pullback(m.solve(x), (x,)), TypeError, "jet is a MachineState; pass what"),
    "a seed's width": (lambda m, x, j: m.jet_pullback(j, (x, x[:, :1])), ValueError, r"y\[1\] has 1 channels"),
    "four seeds": (lambda m, x, j: m.jet_pullback(j, (x,) * 4), ValueError, "y has 4 entries; pass at most 3"),
    "order 3": (lambda m, x, j: m.jet_pullback(m.jet(x, (x,) * 3)), ValueError, "offered up to order 2"),
    "no bias": (lambda m, x, j: m.jet_pushforward(j, bias=x[0, :]), TypeError, "bias is given but"),
    "other batch": (lambda m, x, j: m.jet_pushforward(j, (x[:1, :],)), ValueError, r"y0\[0\] has batch"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_named(backend, what):
    call, kind, words = BAD[what]
    machine = mk.DenseMachine((2, 3), "tanh", weight=backend.from_host(np.full((5, 5), 0.5)))
    x = backend.from_host(np.ones((4, 2)))
    with pytest.raises(kind, match=words):
        call(machine, x, machine.jet(x, (x, x)))
