"""The objective is one function of one vector: the live parameters in order, and its gradient is exact."""

import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import machinekit as mk
from machinekit.graph import live_masks
from machinekit.training import Objective, losses, penalties

STEP = 2.0**-70
DEVICE = strict.Device("device1")
KINDS = ("dense", "conv", "recurrent", "raster", "chain", "shared")
seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(0, 2), min_size=1, max_size=3).filter(sum).map(tuple)


def machine(kind, sizes, rng, bias=True, **more):
    common = {"rng": rng, "bias": rng.standard_normal(sum(sizes)) if bias else False, **more}
    if kind == "conv":
        return mk.ConvMachine(sizes, padding=((2, 1),), **common)
    if kind == "recurrent":
        return mk.RecurrentMachine(sizes, memory=2, **common)
    if kind == "raster":
        return mk.GridMachine(sizes, padding=((1, 0), (1, 1)), scan=(0, 1), **common)
    return mk.DenseMachine(sizes, **common)


def case(kind, sizes, seed, bias=True):
    """Return a model, inputs, targets and a mask for it."""
    rng = np.random.default_rng(seed)
    base, c = machine(kind, sizes, rng, bias), sum(sizes)
    grid = {"conv": (4,), "recurrent": (4,), "raster": (2, 3)}.get(kind, ())
    model, out = base, c
    if kind == "chain":
        model, out = mk.Chain([base, mk.Affine(c, 3, rng=rng), mk.Affine(3, 2, bias=False, rng=rng)]), 2
    if kind == "shared":
        model = mk.Chain([base, mk.Affine(c, c, rng=rng), base])
    lead = (3, *grid)
    mask = np.asarray(rng.random(lead) < 0.6)
    mask[0] = True
    return model, rng.standard_normal((*lead, c)), rng.standard_normal((*lead, out)), mask


def penalised(model):
    return [penalties.l2(0.25), penalties.lag_smoothness(0.5)]


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


@pytest.mark.parametrize("kind", KINDS[:4])
@given(sizes=sizes, seed=seeds, bias=st.booleans())
@settings(deadline=None, max_examples=15)
def test_theta_is_the_live_weights_in_c_order_then_the_bias(kind, sizes, seed, bias):
    rng = np.random.default_rng(seed)
    model = machine(kind, sizes, rng, bias)
    model = model.prune(rng.random(model.weight.shape) < 0.7)
    objective = Objective(model, "squared_error", np.zeros((1, *(2,) * model.partition.axes, sum(sizes))), np.zeros(1))
    theta = objective.theta0
    expected = [w for w, alive in zip(model.weight.ravel(), model.live.ravel(), strict=True) if alive]
    assert np.array_equal(theta, [*expected, *(model.bias if bias else ())])
    assert theta.dtype == np.float64
    assert theta.size == objective.size == model.parameter_count


@pytest.mark.parametrize("kind", KINDS)
def test_model_of_theta_is_the_model_and_dead_weights_stay_dead(kind):
    model, x, t, _ = case(kind, (2, 1), 3)
    objective = Objective(model, "squared_error", x, t)
    same = objective.model(objective.theta0).parameters()
    assert list(same) == list(model.parameters())
    for name, array in model.parameters().items():
        assert same[name].tobytes() == array.tobytes()
    moved = objective.unpack(objective.theta0 + 1.0)
    for name, mask in live_masks(model).items():
        assert not moved[name][~mask].any()
        assert np.array_equal(moved[name][mask], model.parameters()[name][mask] + 1.0)
    assert np.array_equal(objective.pack(moved), objective.theta0 + 1.0)


def test_a_shared_weight_is_one_parameter():
    leaf = mk.Affine(2, 2, bias=False, rng=0)
    objective = Objective(mk.Chain([leaf, leaf]), "squared_error", np.ones((1, 2)), np.ones((1, 2)))
    assert objective.size == 4
    trained = objective.model(objective.theta0 + 1.0)
    assert trained.ops[0] is trained.ops[1]


def test_scipy_takes_it_as_it_is():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 3))
    t = x @ np.array([[1.0], [-2.0], [0.5]]) + 4.0
    objective = Objective(mk.Affine(3, 1, rng=0), losses.squared_error, x, t)
    found = minimize(objective.fun, objective.theta0, jac=True, method="L-BFGS-B")
    assert found.success
    assert np.allclose(found.x, [1.0, -2.0, 0.5, 4.0], atol=1e-4)


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


class Scale:
    """A user's op, y = w x, with a pullback that may be wrong and a value that may refuse complex numbers."""

    def __init__(self, w, factor=1.0, refuse=False):
        self.w, self.factor, self.refuse = w, factor, refuse

    def __call__(self, x):
        if self.refuse and np.iscomplexobj(self.w):
            raise TypeError("no complex numbers here")
        return (self.w * x) ** 2

    def parameters(self):
        return {"w": self.w}

    def replace(self, w):
        return Scale(w, self.factor, self.refuse)

    def pullback(self, state, y):
        (x,) = state.inputs
        back = self.factor * 2.0 * self.w * x * y
        return mk.Cotangent((back * self.w,), {"w": np.sum(back * x, axis=0)})


def of_scale(op, dtype="float64"):
    x = np.arange(1.0, 7.0).reshape(3, 2).astype(dtype)
    return Objective(op, "squared_error", x, np.ones((3, 2), dtype))


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


def test_subset_is_the_objective_of_those_samples():
    model, x, t, mask = case("conv", (1, 2), 0)
    index = np.array([2, 0])
    whole = Objective(model, "squared_error", x, t, penalised(model), mask)
    part = Objective(model, "squared_error", x[index], t[index], penalised(model), mask[index])
    assert whole.subset(index).value(whole.theta0) == part.value(whole.theta0)
    assert whole.value(whole.theta0) != part.value(whole.theta0)


def test_the_data_are_copied_and_never_written_to():
    model, x, t, mask = case("dense", (1, 2), 0)
    for array in (x, t, mask):
        array.flags.writeable = False
    copies = x.copy(), t.copy(), mask.copy()
    objective = Objective(model, "squared_error", *copies[:2], mask=copies[2])
    before = objective.fun(objective.theta0)[0]
    for array in copies:
        array[...] = 0
    assert objective.fun(objective.theta0)[0] == before
    frozen = Objective(model, "squared_error", x, t, mask=mask)
    theta = objective.theta0
    theta.flags.writeable = False
    assert frozen.fun(theta)[0] == before
    assert objective.theta0 is not objective.theta0


def test_two_inputs_are_a_tuple():
    model, x, t, _ = case("dense", (1, 2), 0)
    one = Objective(model, "squared_error", x, t)
    two = Objective(model, "squared_error", (x, 0.0 * x), t)
    assert one.value(one.theta0) == two.value(one.theta0)


def test_a_theta_that_is_not_finite_does_not_crash():
    objective = of_scale(mk.Affine(2, 2, rng=0))
    value, gradient = objective.fun(np.full(objective.size, math.nan))
    assert math.isnan(value)
    assert np.isnan(gradient).all()


@pytest.mark.parametrize(
    ("theta", "error", "words"),
    [
        ([1.0, 2.0], TypeError, "theta is a list"),
        (np.ones(6, int), TypeError, "numpy array of int64"),
        (np.ones(5), ValueError, r"theta has shape \(5,\) but the model 6 parameters"),
        (np.ones((6, 1)), ValueError, r"theta has shape \(6, 1\)"),
    ],
)
def test_a_wrong_theta_is_refused(theta, error, words):
    objective = of_scale(mk.Affine(2, 2, rng=0))
    for verb in (objective.fun, objective.value, objective.model, objective.unpack, objective.check_gradient):
        with pytest.raises(error, match=words):
            verb(theta)


def test_wrong_arguments_are_refused():
    model, x = mk.Affine(2, 2, rng=0), np.ones((1, 2))
    with pytest.raises(TypeError, match="parameter weight is complex128; only real"):
        Objective(model.astype("complex128"), "squared_error", x, x)
    with pytest.raises(TypeError, match="model is 3; pass an op"):
        Objective(3, "squared_error", x, x)
    with pytest.raises(ValueError, match="did you mean 'squared_error'"):
        Objective(model, "squared_eror", x, x)
    with pytest.raises(TypeError, match="inputs is a list"):
        Objective(model, "squared_error", [1.0], x)
    with pytest.raises(TypeError, match=r"inputs\[1\] is a list"):
        Objective(model, "squared_error", (x, [1.0]), x)
    with pytest.raises(TypeError, match="targets is a list"):
        Objective(model, "squared_error", x, [1.0])
    for bad in ([0.1], "l2", [penalties.L2]):
        with pytest.raises(TypeError, match=r"penalties\[0\] is .*pass objects such as"):
            Objective(model, "squared_error", x, x, bad)
    objective = Objective(model, "squared_error", x, x)
    with pytest.raises(ValueError, match="got the names"):
        objective.pack({"weight": model.weight})
    with pytest.raises(ValueError, match=r"bias has shape \(3,\); pass \(2,\)"):
        objective.pack({"weight": model.weight, "bias": np.ones(3)})


class Fork(Scale):
    """A user's op with two outputs."""

    def __call__(self, x):
        return x, x

    def replace(self, w):
        return Fork(w)


def test_a_model_of_two_outputs_has_no_loss():
    objective = of_scale(Fork(np.ones(2)))
    with pytest.raises(TypeError, match="the model has 2 outputs"):
        objective.value(objective.theta0)


def test_penalties_are_given_the_live_masks():
    machine = mk.RecurrentMachine((2,), memory=2, weight=np.ones((3, 2, 2)))  # lag 0 is dead: zeros beside ones
    chain = mk.Chain([mk.Affine(2, 2, bias=False, weight=np.zeros((2, 2))), machine])
    x = np.zeros((1, 3, 2))
    for model in (machine, chain):
        objective = Objective(model, "squared_error", x, x, penalties.lag_smoothness(1.0))
        value, gradient = objective.fun(objective.theta0)
        assert value == 0.0
        assert not gradient.any()


def test_one_penalty_needs_no_list():
    model, x = mk.Affine(2, 2, rng=0), np.ones((1, 2))
    alone, listed = (Objective(model, "squared_error", x, x, p) for p in (penalties.l2(1.0), [penalties.l2(1.0)]))
    assert alone.value(alone.theta0) == listed.value(alone.theta0)
    assert "2 penalties" in repr(Objective(model, "squared_error", x, x, penalised(model)))
