"""The gradient of the objective is exact: complex step, differences, every library."""

import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machinekit.training import Objective

from .objectives import KINDS, Scale, case, of_scale, penalised, seeds, sizes

STEP = 2.0**-70


DEVICE = strict.Device("device1")


@pytest.mark.parametrize("kind", KINDS)
@given(sizes=sizes, seed=seeds, masked=st.booleans(), bias=st.booleans())
@settings(deadline=None, max_examples=15)
def test_gradient_is_the_complex_step_of_the_value_in_every_entry(kind, sizes, seed, masked, bias):
    model, x, t, mask = case(kind, sizes, seed, bias)
    objective = Objective(model, "squared_error", x, t, penalised(model), mask if masked else None)
    theta = objective.theta0
    value, gradient = objective.fun(theta)
    assert value == objective.value(theta)
    scale = 1.0 + abs(value) + float(np.sum(np.abs(theta))) + float(np.sum(np.abs(x))) * float(np.sum(np.abs(t)))
    for k in range(objective.size):
        bent = theta.astype(complex)
        bent[k] += 1j * STEP
        stepped = objective.value(bent).imag / STEP
        assert abs(gradient[k] - stepped) <= 64 * 2.0**-52 * scale, (k, gradient[k], stepped)


@pytest.mark.parametrize("kind", KINDS)
def test_central_differences_agree(kind):
    model, x, t, mask = case(kind, (1, 2), 0)
    objective = Objective(model, "squared_error", x, t, penalised(model), mask)
    theta, h = objective.theta0, 1e-5
    d = np.random.default_rng(1).standard_normal(theta.shape)
    difference = (objective.value(theta + h * d) - objective.value(theta - h * d)) / (2 * h)
    _, gradient = objective.fun(theta)
    assert abs(gradient @ d - difference) <= 1e-6 * np.linalg.norm(gradient) * np.linalg.norm(d)


def test_masked_targets_may_be_nan():
    model, x, t, mask = case("recurrent", (1, 2), 0)
    clean = Objective(model, "squared_error", x, t, mask=mask)
    gaps = Objective(model, "squared_error", x, np.where(mask[..., None], t, math.nan), mask=mask)
    theta = clean.theta0
    assert gaps.value(theta) == clean.value(theta)
    assert np.array_equal(gaps.fun(theta)[1], clean.fun(theta)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_check_gradient_is_small_for_a_right_gradient(kind):
    model, x, t, mask = case(kind, (2, 1), 1)
    objective = Objective(model, "squared_error", x, t, penalised(model), mask)
    assert objective.check_gradient() <= 64 * 2.0**-52
    assert objective.check_gradient(objective.theta0 * 0.5, rng=3, directions=5) <= 64 * 2.0**-52


def test_check_gradient_sees_a_wrong_gradient():
    w = np.array([0.5, -0.25])
    assert of_scale(Scale(w)).check_gradient() <= 64 * 2.0**-52
    assert of_scale(Scale(w, factor=1.001)).check_gradient() > 1e-6
    assert math.isnan(of_scale(Scale(w, factor=math.nan)).check_gradient())
    assert of_scale(Scale(w, factor=0.0)).check_gradient() == math.inf


def test_check_gradient_takes_differences_where_complex_numbers_are_refused():
    w = np.array([0.5, -0.25])
    assert 0.0 < of_scale(Scale(w, refuse=True)).check_gradient() < 1e-7
    assert of_scale(Scale(w, factor=1.001, refuse=True)).check_gradient() > 1e-6
    with pytest.raises(TypeError, match="single precision, where differences say nothing"):
        of_scale(Scale(w.astype("float32"), refuse=True), "float32").check_gradient()


def test_theta_is_float64_and_the_model_keeps_its_precision():
    model, x, t, _ = case("recurrent", (1, 2), 0)
    objective = Objective(model.astype("float32"), "squared_error", x.astype("float32"), t.astype("float32"))
    value, gradient = objective.fun(objective.theta0)
    assert type(value) is float
    assert objective.theta0.dtype == gradient.dtype == np.float64
    assert {a.dtype.name for a in objective.model(objective.theta0).parameters().values()} == {"float32"}
    assert objective.check_gradient() <= 64 * 2.0**-23


@pytest.mark.parametrize("kind", KINDS)
def test_any_library_and_device_gives_the_same(kind):
    model, x, t, mask = case(kind, (1, 2), 2)
    here = Objective(model, "squared_error", x, t, penalised(model), mask)
    there = Objective(
        model.to("array_api_strict:device1"), "squared_error",
        *(strict.asarray(a, device=DEVICE, copy=True) for a in (x, t)), penalised(model),
        strict.asarray(mask, device=DEVICE, copy=True),
    )  # fmt: skip
    value, gradient = there.fun(here.theta0)
    assert isinstance(gradient, np.ndarray)
    expected, slope = here.fun(here.theta0)
    assert abs(value - expected) <= 64 * 2.0**-52 * (1 + abs(expected))
    assert np.max(np.abs(gradient - slope)) <= 64 * 2.0**-52 * (1 + np.sum(np.abs(x)) * np.sum(np.abs(t)))
    assert there.model(here.theta0).parameters().popitem()[1].device == DEVICE
