"""A user's own activation in all its forms, one per block, and what is asked back when something is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import ComplexStep
from machinekit.arrays import namespace, to_host

from .helpers import assert_close, assert_equal, tolerance

POINTS = np.array([-1.5, -0.3, 0.0, 0.4, 2.0])


def swish(y):
    return y / (1 + namespace(y).exp(-y))


def swish_slope(y):
    e = 1 / (1 + namespace(y).exp(-y))
    return e * (1 + y * (1 - e))


def swish_second(y):
    e = 1 / (1 + namespace(y).exp(-y))
    return e * (1 - e) * (2 + y * (1 - 2 * e))


FORMS = {
    "value": lambda: mk.Activation(swish),
    "value and derivative": lambda: mk.Activation(swish, swish_slope),
    "all three": lambda: mk.Activation(swish, swish_slope, swish_second),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_forms_of_a_user_activation_agree_with_the_built_in(backend, form, dtype):
    """σ′ by hand or by complex step; the second derivative by complex step of a given first."""
    own, built_in = FORMS[form](), mk.DenseMachine((1,), "silu").activation
    y = backend.from_host(POINTS.astype(dtype))
    roles = ["value", "derivative"] + ["second"] * (form != "value")
    for role in roles:
        got, want = to_host(getattr(own, role)(y)), to_host(getattr(built_in, role)(y))
        assert got.dtype == dtype, role
        assert_close(role, got, want, tolerance(dtype, 1 + np.abs(want)))
    assert own.name == "swish"
    assert own.smoothness == {"value": math.inf, "value and derivative": 1, "all three": 2}[form]


@pytest.mark.parametrize("form", FORMS)
def test_a_machine_with_a_user_activation_has_the_built_in_machines_cotangents(backend, form):
    """All cotangents, seeds on both y and z."""
    rng = np.random.default_rng(0)
    weight, y0 = backend.from_host(rng.standard_normal((5, 5))), backend.from_host(rng.standard_normal((3, 5)))
    one, two = (mk.DenseMachine((2, 2, 1), a, weight=weight, bias=True) for a in (FORMS[form](), "silu"))
    a, b = (m.pullback(m.solve(y0, y0), y0, y=y0) for m in (one, two))
    for name in ("y0", "z0", "weight", "bias"):
        want = to_host(getattr(b, name))
        assert_close(name, getattr(a, name), want, tolerance("float64", 100.0))


def test_one_activation_per_block(backend):
    """A list serves the blocks in order; an entry of an empty block is never used."""
    names = ["square", mk.leaky_relu(0.5), mk.Activation(swish), "identity"]
    machine = mk.DenseMachine((1, 2, 0, 1), names, weight=backend.from_host(np.zeros((4, 4))))
    y0 = np.array([[3.0, -2.0, 2.0, 7.0]])
    assert_equal("z", machine(backend.from_host(y0)), np.array([[9.0, -1.0, 2.0, 7.0]]))
    assert [a.name for a in machine.activation] == ["square", "leaky_relu", "swish", "identity"]
    state = machine.solve(backend.from_host(y0))
    assert_equal("slope", machine.slope(state), np.array([[6.0, 0.5, 1.0, 1.0]]))


def test_a_missing_second_derivative_is_asked_for_when_it_is_needed(backend):
    """TypeError naming the activation and the cure, not before."""
    own = mk.Activation(swish)
    own.derivative(backend.from_host(POINTS))
    with pytest.raises(TypeError, match=r"'swish' has no second derivative.*derivative, second\)"):
        own.second(backend.from_host(POINTS))
    half = mk.Activation(swish, swish_slope)
    half.second(backend.from_host(POINTS))
    with pytest.raises(TypeError, match=r"'swish' has no third derivative.*its second.*third=third\)"):
        half.third(backend.from_host(POINTS))


def test_a_third_derivative_is_taken_by_the_complex_step_of_a_given_second(backend):
    """Exact to rounding, in the precision of y; one that is given is used, and raises the class."""
    silu = mk.DenseMachine((1,), "silu").activation
    own = mk.Activation(swish, swish_slope, swish_second)
    for dtype in ("float64", "float32"):
        y = backend.from_host(POINTS.astype(dtype))
        got, want = to_host(own.third(y)), to_host(silu.third(y))
        assert got.dtype == dtype
        assert_close("third", got, want, tolerance(dtype, 1 + np.abs(want)))
    given = mk.Activation(swish, swish_slope, swish_second, third=silu.third)
    assert given.third is silu.third
    assert given.smoothness == 3


def test_the_complex_step_refuses_complex_points_and_real_answers(backend):
    """Neither would be a derivative: the message says which formula to give."""
    own = mk.Activation(swish)
    with pytest.raises(TypeError, match=r"'swish'.*complex points.*mk\.Activation\(value, derivative\)"):
        own.derivative(backend.from_host(POINTS + 0j))
    cut = mk.Activation(lambda y: namespace(y).real(y) if "complex" in str(y.dtype) else y, name="cut")
    with pytest.raises(TypeError, match=r"'cut' returned float64 at complex points"):
        cut.derivative(backend.from_host(POINTS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), "value is 3"),
        ((swish, "tanh"), "derivative is 'tanh'"),
        ((swish, None, swish), "second is given without"),
        ((swish, swish_slope, None, "", None, (), (), None, None, swish), "third is given without"),
        ((swish, None, None, "", None, (), (), None, None, None, None, 2.0), "prox is 2.0"),
    ],
)
def test_malformed_activations_are_refused(arguments, message):
    """TypeError at construction, naming the role."""
    with pytest.raises(TypeError, match=message):
        mk.Activation(*arguments)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("tahn", ValueError, ["activation='tahn'", "'tanh'"]),
        ("no such thing", ValueError, ["no such thing", "tanh", "softplus"]),
        (["tanh"], ValueError, ["1 entries", "2 blocks"]),
        (["tanh", "rleu"], ValueError, ["'rleu'", "'relu'"]),
        (["tanh", mk.Diagonal(np.ones(3))], ValueError, ["activation[1]", "Diagonal"]),
        (np.tanh, TypeError, ["bare callable", "mk.Activation(tanh)"]),
        (7, TypeError, ["activation is 7", "mk.Activation"]),
        (None, TypeError, ["activation is None"]),
    ],
)
def test_unknown_activations_are_refused_with_the_nearest_names(given, kind, words):
    """ValueError for names and counts, TypeError for kinds."""
    with pytest.raises(kind) as caught:
        mk.DenseMachine((1, 2), given)
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mk.elu(-1.0), ["alpha", "-1"]),
        (lambda: mk.celu(0.0), ["alpha", "0"]),
        (lambda: mk.elu(math.inf), ["alpha", "inf"]),
        (lambda: mk.leaky_relu(math.nan), ["slope", "nan"]),
        (lambda: mk.hardtanh(1.0, -1.0), ["low", "high", "-1"]),
        (lambda: mk.soft_threshold(0.0), ["threshold", "0"]),
    ],
)
def test_parameters_of_activations_are_checked(call, words):
    """ValueError naming the parameter and its value."""
    with pytest.raises(ValueError) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_the_complex_step_is_exact_to_rounding(backend):
    """Im f(y + ih)/h has no subtraction: the derivative of y³ is 3y² to the last digit or two."""
    step = ComplexStep(lambda y: y**3, "cube")
    points = POINTS[POINTS != 0]  # there the step itself, (ih)³/h = −h², is all that is left
    got = step(backend.from_host(points))
    assert_close("3y²", got, 3 * points**2, tolerance("float64", 3 * points**2))


def test_a_value_that_returns_its_argument_shares_no_memory_with_the_results(backend):
    """σ = y ↦ y is a user's right; results are new arrays all the same."""
    own = mk.Activation(lambda y: y, lambda y: namespace(y).ones_like(y), name="same")
    machine = mk.DenseMachine((1, 1), own, weight=backend.from_host(np.ones((2, 2))))
    y = backend.from_host(np.array([1.0, 2.0]))
    image = machine.apply(y, y)
    if isinstance(y, np.ndarray):
        assert not np.shares_memory(image.z, y)
    half = mk.Activation(lambda y: y * y / 2, lambda y: y, name="half square")
    machine = mk.DenseMachine((1, 1), half, weight=backend.from_host(np.ones((2, 2))))
    state = machine.solve(y)
    slope = machine.slope(state)
    if isinstance(y, np.ndarray):
        assert not np.shares_memory(slope, state.y)
    assert_equal("slope", slope, state.y)
