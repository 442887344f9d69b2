"""The derivative of the pullback: against the complex step of the pullback, by plan as by the reference sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import NUMPY, to_host

from .helpers import assert_close, tolerance
from .jets import settled
from .strategies import SMOOTH, cases
from .test_plan import SCHEDULES, schedule

STEP = 2.0**-600  # its square is zero: what lies on a kink stays there
NAMES = ("y0", "z0", "weight", "bias", "slope")


def directions(case, numbers, backend, chosen):
    """The chosen directions by name, of the shapes of what they change; on a backend."""
    along = {"y0": numbers.dy0, "z0": numbers.dz0, "weight": numbers.dweight, "bias": numbers.dbias}
    along["slope"] = numbers.dslope
    return {name: backend.from_host(a) for name, a in along.items() if a is not None and name in chosen}


def full(case, array, like):
    out = np.zeros_like(like)
    if array is not None:
        out[..., : array.shape[-1]] = array
    return out


def moved_pullback(case, numbers, along, change_z, change_y):
    """Im of the pullback at everything moved by i h: the oracle is the first-order code in complex arithmetic."""
    i = 1j * STEP
    host = {name: np.asarray(to_host(a)) for name, a in along.items()}
    y0, z0 = full(case, numbers.y0, numbers.dy0), full(case, numbers.z0, numbers.dz0)
    y0, z0 = y0 + i * host.get("y0", 0), z0 + i * host.get("z0", 0)
    machine = case.machine(NUMPY, numbers)
    changes = {"weight": numbers.weight + i * host.get("weight", 0)}
    if case.bias:
        changes["bias"] = numbers.bias + i * host.get("bias", 0)
    if case.linear:
        changes["slope"] = np.asarray(numbers.slope + i * host.get("slope", 0))
    machine = machine.replace(**changes)
    state = machine.solve(y0, z0, method="reference")
    seed_z = full(case, numbers.seed_z, numbers.dy0) + i * full(case, change_z, numbers.dy0)
    seed_y = full(case, numbers.seed_y, numbers.dy0) + i * full(case, change_y, numbers.dy0)
    cotangent = machine.pullback(state, seed_z, y=seed_y)
    return {name: None if (a := getattr(cotangent, name)) is None else a.imag / STEP for name in NAMES}


def compare(case, got, want, allowed, *notes):
    for name in NAMES:
        wanted, found = want[name], getattr(got, name)
        assert (wanted is None) == (found is None), (name, case)
        if wanted is None:
            continue
        found = to_host(found)
        if name in ("y0", "z0"):
            wanted = wanted[..., : found.shape[-1]]
        assert_close(name, found, wanted, allowed * (np.abs(wanted).max(initial=0.0) + 1.0), case, *notes)


@given(
    case=cases(dtypes=["float64"], names=SMOOTH), chosen=st.sets(st.sampled_from(NAMES)),
    changes=st.tuples(st.booleans(), st.booleans()), as_tangent=st.booleans(), lean=st.booleans(),
)  # fmt: skip
def test_it_is_the_derivative_of_the_pullback(backend, case, chosen, changes, as_tangent, lean):
    """All directions at once, the seeds changing too, at any widths; ≤ 1e-12 relative to the largest entry."""
    case = settled(case, backend)
    numbers = case.numbers()
    along = directions(case, numbers, backend, chosen)
    rng = np.random.default_rng(case.seed + 1)
    change_z, change_y = (rng.uniform(-1, 1, numbers.dy0.shape) if c else None for c in changes)
    want = moved_pullback(case, numbers, along, change_z, change_y)
    move = backend.from_host
    machine = case.machine(backend, numbers)
    inputs = [None if a is None else move(a) for a in (numbers.y0, numbers.z0)]
    state = machine.solve(*inputs)
    seeds = [None if a is None else move(a) for a in (numbers.seed_z, numbers.seed_y)]
    pull = machine.pullback_inputs if lean else machine.pullback
    cotangent = pull(state, seeds[0], y=seeds[1])
    given_ = machine.pushforward(state, **along) if as_tangent else along
    moves = [None if a is None else move(a) for a in (change_z, change_y)]
    got = machine.pullback_tangent(state, cotangent, given_, moves[0], y=moves[1])
    compare(case, got, want, 1e-12)
    assert not to_host(got.weight)[~machine.live].any(), "a dead weight has a second derivative"
    assert all(a.shape == b.shape for a, b in zip(got.inputs, cotangent.inputs, strict=True))


@pytest.mark.parametrize("name", SCHEDULES)
@given(case=cases(dtypes=["float64", "float32"], names=SMOOTH), chosen=st.sets(st.sampled_from(NAMES)))
def test_every_schedule_has_the_same_second_derivatives(name, case, chosen):
    numbers = case.numbers()
    along = directions(case, numbers, NUMPY, chosen)

    def run(machine, method):
        state = machine.solve(numbers.y0, numbers.z0, method=method)
        cotangent = machine.pullback(state, numbers.seed_z, y=numbers.seed_y)
        return machine.pullback_tangent(state, cotangent, along, numbers.seed_z)

    with schedule(name):
        machine = case.machine(NUMPY, numbers)
        run(machine, "auto")
        got = run(machine, "auto")  # in workspaces that have been used
    plain = case.machine(NUMPY, numbers)
    plain.__dict__["_plan"] = plain._mirrored.__dict__["_plan"] = lambda *a, **k: None
    want = {n: getattr(run(plain, "reference"), n) for n in NAMES}
    size = max((np.abs(a).max(initial=0.0) for a in want.values() if a is not None), default=0.0)
    for n in NAMES:
        if want[n] is not None:
            allowed = 64 * tolerance(case.dtype, (size + 1.0) * (1 + case.channels))
            assert_close(n, getattr(got, n), want[n], allowed, case, name)


@pytest.mark.parametrize("along", [7, None, np.ones(3), [("y0", np.ones(3))]])
def test_a_direction_that_is_no_mapping_is_refused_by_name(along):
    machine = mk.DenseMachine((1, 2), rng=0, backend="numpy")
    state = machine.solve(np.ones((2, 1)))
    with pytest.raises(TypeError, match=r"along is a \w+; pass what machine.pushforward returned, or a mapping"):
        machine.pullback_tangent(state, machine.pullback(state, np.ones((2, 3))), along)


def test_what_cannot_be_differentiated_twice_is_refused_by_name():
    """Too rough, no formula, or a formula that takes no complex numbers: one kind of TypeError, before any work."""
    heaviside = mk.Activation(np.sinh, lambda y: np.heaviside(y, 1.0), name="odd")
    bare = mk.Activation(np.sinh, name="bare")
    for activation, said in (("relu", r"class C\^1 and relu is of class C\^0"), (bare, "no second derivative"),
                             (heaviside, "odd.* takes no complex numbers")):  # fmt: skip
        machine = mk.DenseMachine((1, 2), activation, rng=0, backend="numpy")
        state = machine.solve(np.ones((2, 1)))
        cotangent = machine.pullback(state, np.ones((2, 3)))
        with pytest.raises(mk.DerivativeError, match=said):
            machine.pullback_tangent(state, cotangent, {"y0": np.ones((2, 1))})
    with pytest.raises(mk.DerivativeError, match="MaxPool is of class C"):
        mk.MaxPool((2,)).pullback_tangent(None, None, None)
