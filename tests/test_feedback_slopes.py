"""The penalty on ‖D W‖²_F has exact first and second derivatives with respect to every parameter of the model."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.training import Objective, penalties

from .feedback import KINDS, RTOL, penalty_of, plain, problem, states_of
from .hessians import STEP, check_products, far, stepped_value

# derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_complex_step_of_the_value_in_every_entry(kind):
    """Of the penalty alone: a loss would hide a part that is small."""
    objective, base = problem(kind, 10.0), plain(problem(kind))
    theta = objective.theta0
    gradient = objective.fun(theta)[1] - base.fun(theta)[1]
    want = [stepped_value(objective, theta, d) - stepped_value(base, theta, d) for d in np.eye(theta.size)]
    assert far(gradient, np.array(want)) <= 1e-10
    h, d = 1e-5, np.random.default_rng(1).standard_normal(theta.size)
    slope = (penalty_of(objective, theta + h * d) - penalty_of(objective, theta - h * d)) / (2.0 * h)
    assert abs(gradient @ d - slope) <= 1e-6 * np.linalg.norm(gradient) * np.linalg.norm(d)


@pytest.mark.parametrize("kind", KINDS)
def test_hessian_product_is_the_derivative_of_the_gradient(kind):
    objective = problem(kind, 10.0)
    check_products(objective, objective.theta0)
    base, d = plain(objective), np.random.default_rng(2).standard_normal(objective.size)
    theta, stepped = objective.theta0, objective.theta0 + 1j * STEP * d
    want = (objective.fun(stepped)[1] - base.fun(stepped)[1]).imag / STEP
    assert far(objective.hessp(theta, d) - base.hessp(theta, d), want) <= 1e-10


def entries(objective, theta):
    """The entries of D W, each sample's times the root of its weight: the penalty is the sum of their squares."""
    model = objective.model(theta)
    found = []
    for machine, state in states_of(model, objective._inputs[0]):
        slope = machine.slope(state)
        for lag in np.ndindex(*machine.kernel.shape[:-2]):
            shift = [j - after for j, (_, after) in zip(lag, machine.partition.padding, strict=True)]
            for g in np.ndindex(*state.y.shape[1:-1]):
                from_ = [at - ell for at, ell in zip(g, shift, strict=True)]
                if all(0 <= at < n for at, n in zip(from_, state.y.shape[1:-1], strict=True)):
                    rows = slope[(slice(None), *g, None)] * machine.kernel[lag]
                    found.append(rows.ravel() * math.sqrt(10.0 / state.y.size))
    return np.concatenate(found)


@pytest.mark.parametrize("kind", ["alone", "conv", "network", "shared", "represented", "learned", "monotone conv"])
def test_gauss_newton_is_that_of_the_entries(kind):
    """(∂r/∂θ)ᵀ (∂r/∂θ) d · 2 with the derivative of every entry r of D W written out."""
    objective = problem(kind, 10.0)
    theta, base = objective.theta0, plain(objective)
    r = entries(objective, theta)
    assert math.isclose(r @ r, penalty_of(objective), rel_tol=1e-9)
    slopes = np.stack([np.imag(entries(objective, theta + 1j * STEP * d)) / STEP for d in np.eye(theta.size)], axis=1)
    d = np.random.default_rng(0).standard_normal(theta.size)
    got = objective.gauss_newton_product(theta, d) - base.gauss_newton_product(theta, d)
    assert far(got, 2.0 * slopes.T @ (slopes @ d)) <= 1e-10


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(("tanh", "softplus")))
@settings(deadline=None, max_examples=10)
def test_slopes_of_any_draw(kind, seed, activation):
    objective = problem(kind, 2.0, seed, activation)
    theta, d = objective.theta0, np.random.default_rng(seed).standard_normal(objective.size)
    gradient = objective.fun(theta)[1]
    bound = 1e-10 * (1.0 + np.linalg.norm(gradient) * np.linalg.norm(d))
    assert abs(gradient @ d - stepped_value(objective, theta, d)) <= bound


# activations that are not smooth ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alone", "shared", "represented", "learned", "monotone conv"])
def test_of_linear_pieces_the_slopes_stay(kind):
    """D is constant almost everywhere: the gradient is 2 d² W alone, its derivative 2 d² Ẇ; nothing is pulled back."""
    objective = problem(kind, 5.0, activation="relu")
    theta, base = objective.theta0, plain(objective)
    gradient = objective.fun(theta)[1] - base.fun(theta)[1]
    d, h = np.random.default_rng(0).standard_normal(theta.size), 1e-6
    slope = (penalty_of(objective, theta + h * d) - penalty_of(objective, theta - h * d)) / (2.0 * h)
    assert abs(gradient @ d - slope) <= 1e-6 * np.linalg.norm(gradient) * np.linalg.norm(d)
    at, along = objective.evaluate(theta), objective.unpack(d)
    penalty = objective.terms[0].penalty
    product = penalty.hessp_at(at, along)
    ahead, behind = (penalty.gradient_at(objective.evaluate(theta + s * h * d)) for s in (1.0, -1.0))
    assert (
        set(product)
        == set(ahead)
        == {n for n in at.params if n.rpartition(".")[2] in ("A", "B", "weight", "raw_margin") and n in product}
    )
    for name, array in product.items():
        want = (ahead[name] - behind[name]) / (2.0 * h)
        assert np.abs(array - want).max() <= 1e-6 * max(np.abs(want).max(), 1e-3)


def test_relu_models_take_gauss_newton_steps():
    objective = problem("learned", activation="relu")
    d = np.random.default_rng(0).standard_normal(objective.size)
    assert d @ objective.gauss_newton_product(objective.theta0, d) > 0.0


def test_an_activation_of_class_one_has_a_gradient_and_no_hessian():
    objective = problem("monotone", activation="elu")
    theta, d = objective.theta0, np.ones(objective.size)
    gradient = objective.fun(theta)[1]
    assert abs(gradient @ d - stepped_value(objective, theta, d)) <= 1e-10 * np.linalg.norm(gradient) * 10
    assert np.isfinite(objective.gauss_newton_product(theta, d)).all()
    with pytest.raises(
        mk.DerivativeError, match=r"the Hessian of feedback_norm needs an activation of class C\^2 and elu"
    ):
        objective.hessp(theta, d)


def test_an_activation_without_second_derivative_has_a_value():
    rough = mk.Activation(lambda y: np.where(y > 0, np.sin(y), y), smoothness=1, name="mine")
    model = mk.EquilibriumMachine((2,), rough, rng=0)
    objective = Objective(model, "squared_error", np.ones((2, 2)), np.ones((2, 2)), penalties.feedback_norm(1.0))
    assert penalty_of(objective) > 0.0
    with pytest.raises(mk.DerivativeError, match="mine"):
        objective.fun(objective.theta0)


def test_linear_machines_have_slopes_that_do_not_move():
    slope = np.array([0.5, 2.0])
    model = mk.EquilibriumMachine((2,), mk.Diagonal(slope), weight=np.array([[0.25, 0.0], [0.125, 0.25]]), rtol=RTOL)
    objective = Objective(model, "squared_error", np.ones((3, 2)), np.ones((3, 2)), penalties.feedback_norm(4.0))
    want = 2.0 * np.sum((slope * model.weight) ** 2)
    assert math.isclose(penalty_of(objective), want, rel_tol=1e-12)
    gradient = objective.terms[0].gradient(objective.evaluate(objective.theta0))
    assert far(gradient["weight"], 4.0 * slope**2 * model.weight) <= 1e-12
