"""The objective is one function of one vector: the live parameters in order, and nothing else."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import machinekit as mk
from machinekit.graph import live_masks
from machinekit.training import Objective, losses, penalties

from .objectives import KINDS, Scale, case, machine, of_scale, penalised, seeds, sizes


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
