"""The law suite holds on every machine × activation × dtype × backend, and `machinekit verify`'s parts report alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.activations import NAMES
from machinekit.testing import LAWS, RULES, LawError
from machinekit.testing.guard import forbid_host_conversion

from .helpers import locked
from .strategies import DTYPES, KINDS, cases

STRICT = "array_api_strict:device1"


def check(case, backend):
    machine = case.machine(backend, case.numbers())
    return mk.testing.check_machine(machine, rng=case.seed, batch=case.batch, grid=case.grid)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_law_holds_on_every_machine(backend, kind, dtype, data):
    """Machine equation, uniqueness, adjointness, all cotangents, duality, reachability, memory and dtype rules."""
    check(data.draw(cases(kind, dtypes=(dtype,))), backend)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_law_holds_for_every_activation(backend, spec, kind, name):
    """Nineteen activations on all four classes; those without a complex formula have the differences."""
    cls, order = {
        "dense": (mk.DenseMachine, {}),
        "conv1d": (mk.ConvMachine, {"padding": ((2, 1),)}),
        "conv2d": (mk.ConvMachine, {"padding": ((1, 0), (0, 1))}),
        "recurrent": (mk.RecurrentMachine, {"memory": 3, "time_block": 2}),
        "grid": (mk.GridMachine, {"padding": ((1, 0), (1, 2)), "scan": (1, 0), "reverse": (0,), "time_block": (1, 2)}),
    }[kind]
    machine = cls((1, 0, 2, 1), name, bias=True, rng=0, backend=spec, **order)
    report = mk.testing.check_machine(machine, rng=1)
    assert len(report.findings) > 20


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25)  # some 80 times slower; `--backend strict` runs everything there
def test_every_law_holds_on_another_device_without_hidden_transfers(kind, data):
    """array_api_strict's device1, while float(), int(), bool() and DLPack of its arrays raise."""
    from machinekit.arrays import pick_backend

    case = data.draw(cases(kind, most=2, blocks=3))
    with forbid_host_conversion():
        check(case, pick_backend(STRICT))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_every_activation_has_the_derivatives_and_the_class_that_it_declares(name, dtype):
    report = mk.testing.check_activation(name, rng=0, dtype=dtype)
    assert any("finite differences" in f.law and f.checked for f in report.findings)


@pytest.mark.parametrize(
    "activation",
    [mk.leaky_relu(0.1), mk.elu(0.5), mk.celu(2.0), mk.hardtanh(-0.5, 2.0), mk.soft_threshold(2.0),
     mk.Activation(np.sinh, np.cosh),
     mk.Activation(lambda y: y**3, name="cube")],
    ids=repr,
)  # fmt: skip
def test_parametrised_and_own_activations_pass(activation):
    if activation.name == "sinh":  # overflows at 1e4, which the suite says
        with pytest.raises(LawError, match="finite and quiet at ±1e4"):
            mk.testing.check_activation(activation, rng=0)
    else:
        assert mk.testing.check_activation(activation, rng=0).ok


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_machine_is_an_op(backend, kind, data):
    """check_op takes machines: the same verbs under the op's names."""
    case = data.draw(cases(kind, linear=False, dtypes=("float64",), names=("tanh", "sin", "softplus", "identity")))
    n = case.numbers()
    machine = case.machine(backend, n)
    inputs = [locked(backend, a) for a in (n.y0, n.z0) if a is not None]
    mk.testing.check_op(machine, *inputs, rng=case.seed)


def test_the_seed_of_a_report_draws_the_same_case_again(backend, spec):
    machine = mk.DenseMachine((2, 3), rng=0, backend=spec)
    first = mk.testing.check_machine(machine)
    again = mk.testing.check_machine(machine, rng=first.seed)
    assert [f.left for f in first.findings] == [f.left for f in again.findings]
    other = mk.testing.check_machine(machine, rng=first.seed + 1)
    assert [f.left for f in first.findings] != [f.left for f in other.findings]
    generator = np.random.default_rng(3)
    drawn = [mk.testing.check_machine(machine, rng=generator, laws=["adjoint identity"]).seed for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_laws_are_chosen_by_name(backend, spec):
    machine = mk.DenseMachine((1, 1), rng=0, backend=spec)
    report = mk.testing.check_machine(machine, rng=0, laws=["uniqueness"])
    assert [f.law.partition(",")[0] for f in report.findings] == ["uniqueness"] * 2
    with pytest.raises(ValueError, match=r"laws names \['unique'\]; choose from machine equation"):
        mk.testing.check_machine(machine, laws=["unique"])
    assert not set(LAWS) & set(RULES)


def test_a_report_prints_every_law_with_its_error_and_what_was_not_checked(backend, spec):
    report = mk.testing.check_machine(mk.DenseMachine((1, 2), rng=0, backend=spec, dtype="complex128"), rng=4)
    lines = str(report).splitlines()
    assert lines[0].endswith(f"all {len(report.findings)} hold (rng=4)")
    assert any(line.startswith("  ok     machine equation, y = W z + b + y0: error ") for line in lines)
    assert any("complex step: not checked, the machine is complex" in line for line in lines)
    assert report.demand() is report
    assert report.broken == ()


def test_adjoint_identity_is_there_alone(backend, spec):
    m = mk.RecurrentMachine((1, 2), memory=2, rng=0, backend=spec)
    state = m.solve(backend.from_host(np.random.default_rng(0).standard_normal((3, 5, 1))))
    finding = mk.testing.adjoint_identity(m, state, rng=1)
    assert finding.ok
    assert finding.left != 0.0
