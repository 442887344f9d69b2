"""Inputs are never written to; results share memory with nothing; constructors copy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_equal, assert_no_shared_memory, locked
from .strategies import cases

SIGNALS = ("y0", "z0", "seed_y", "seed_z", "dy0", "dz0", "dweight", "dbias", "slope", "dslope")


def run(case, machine, a):
    """Call every method once; return all arrays that came back, by name."""
    state = machine.solve(a["y0"], a["z0"])
    cot = machine.pullback(state, a["seed_z"], y=a["seed_y"])
    along = {k: a["d" + k] for k in ("weight", "bias", "slope") if a["d" + k] is not None}
    push = machine.pushforward(state, a["dy0"], a["dz0"], **along)
    bare = machine.pushforward(state, a["dy0"])
    image, residual = machine.apply(a["dy0"], a["dz0"]), machine.residual(state, a["y0"], a["z0"])
    tangent = machine.tangent(state).solve(a["dy0"], a["dz0"])
    dual = machine.dual(state).solve(a["dz0"], a["dy0"])
    out = {"z of call": machine(a["dy0"], a["dz0"])}
    pairs = {"state": state, "push": push, "bare": bare, "image": image, "residual": residual}
    for name, record in {**pairs, "tangent": tangent, "dual": dual}.items():
        out[f"{name}.y"], out[f"{name}.z"] = record.y, record.z
    for name in ("y0", "z0", "weight", "bias", "slope"):
        out[f"cotangent {name}"] = getattr(cot, name)
    return out


def arrays_of(case, backend, move):
    n = case.numbers()
    return n, {k: None if getattr(n, k) is None else move(backend, getattr(n, k)) for k in SIGNALS}


@given(case=cases())
def test_read_only_inputs_work_and_are_unchanged(backend, case):
    """Every method takes arrays that cannot be written to, and every array is afterwards what it was."""
    n, a = arrays_of(case, backend, locked)
    machine = case.machine(backend, n)
    before = {k: None if v is None else to_host(v).copy() for k, v in a.items()}
    weight = to_host(machine.weight).copy()
    run(case, machine, a)
    for name, copy in before.items():
        if copy is not None:
            assert_equal(name, a[name], copy, case)
    assert_equal("weight of the machine", machine.weight, weight, case)


@given(case=cases())
def test_results_share_memory_with_nothing(backend, case):
    """Not with inputs, nor each other, nor a later call's results, nor the machine's own parameters."""
    n, a = arrays_of(case, backend, lambda b, x: b.from_host(x))
    machine = case.machine(backend, n)
    own = {"machine.weight": machine.weight, "machine.bias": machine.bias, "machine.slope": machine.slope_array}
    first = run(case, machine, a)
    later = {f"later {k}": v for k, v in run(case, machine, a).items()}
    assert_no_shared_memory({**{f"input {k}": v for k, v in a.items()}, **own, **first, **later}, case)


@given(case=cases())
def test_a_later_call_does_not_change_earlier_results(backend, case):
    """No workspace leaks into a result: what was returned stays, whatever is computed next."""
    n, a = arrays_of(case, backend, lambda b, x: b.from_host(x))
    machine = case.machine(backend, n)
    first = run(case, machine, a)
    kept = {k: None if v is None else to_host(v).copy() for k, v in first.items()}
    run(case, machine, {**a, "dy0": a["dz0"], "dz0": a["dy0"], "dweight": -a["dweight"]})
    for name, copy in kept.items():
        if copy is not None:
            assert_equal(name, first[name], copy, case)


@given(case=cases())
def test_constructors_and_replace_copy(backend, case):
    """Writing to an array after it was given to a machine does not reach the machine."""
    n = case.numbers()
    given_arrays = {
        k: backend.from_host(getattr(n, k)) for k in ("weight", "bias", "slope") if getattr(n, k) is not None
    }
    activation = mk.Diagonal(given_arrays["slope"]) if case.linear else None
    machine = case.machine(backend, n)
    changes = {"weight": given_arrays["weight"]} | ({"bias": given_arrays["bias"]} if case.bias else {})
    more = {"slope": given_arrays["slope"]} if case.linear else {}
    replaced, built = machine.replace(**changes, **more), case.machine(backend, n, **changes)
    for array in given_arrays.values():
        array[...] = array + 1
    for other in (replaced, built):
        assert_equal("weight", other.weight, machine.weight, case)
        if case.bias:
            assert_equal("bias", other.bias, machine.bias, case)
    if case.linear:
        assert_equal("slope", replaced.slope_array, machine.slope_array, case)
        assert_equal("Diagonal", activation.array, machine.slope_array, case)


@given(case=cases())
def test_masks_and_lists_are_copies(backend, case):
    """live is the caller's to write to; the machine keeps its own, and so does a pruned one of its mask."""
    machine = case.machine(backend, case.numbers())
    keep = np.ones_like(machine.live)
    pruned = machine.prune(keep)
    live = machine.live
    live[...] = False
    keep[...] = False
    assert_equal("live", machine.live, case.order.live(), case)
    assert_equal("live of the pruned", pruned.live, case.order.live(), case)


def test_machines_and_records_do_not_change(backend):
    """Immutable: setting an attribute raises and says what to call instead; NumPy parameters are read-only."""
    machine = mk.DenseMachine((1, 2), weight=backend.from_host(np.ones((3, 3))), bias=True)
    state = machine.solve(backend.from_host(np.ones((2, 3))))
    with pytest.raises(AttributeError, match="replace"):
        machine.weight = None
    with pytest.raises(AttributeError, match="does not change"):
        state.y = None
    with pytest.raises(AttributeError, match="does not change"):
        mk.Diagonal(backend.from_host(np.ones(3))).array = None
    if backend.name == "numpy":
        with pytest.raises(ValueError, match="read-only"):
            machine.weight[0, 0] = 1.0
        with pytest.raises(ValueError, match="read-only"):
            machine.parameters()["bias"][0] = 1.0
