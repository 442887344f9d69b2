"""Penalties on input gradients are what they say, with exact derivatives by double back-propagation."""

import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.training import Objective, penalties

from .hessians import SMOOTH, STEP, check_products, far, model_case, stepped_value, targets_for
from .objectives import seeds

DEVICE = strict.Device("device1")
PENALTIES = {
    "output": penalties.input_gradient(0.75),
    "loss": penalties.input_gradient(0.75, of="loss"),
    "jacobian": penalties.jacobian_norm(0.75),
    "projections": penalties.jacobian_norm(0.75, projections=2, rng=0),
}


def problem(kind, penalty, seed=0, loss="squared_error", masked=True):
    model, x, t, mask = model_case(kind, seed)
    t = targets_for(loss, t, np.random.default_rng(seed))
    return Objective(model, loss, x, t, penalty, mask if masked else None)


# what they are ------------------------------------------------------------------------------------


def input_jacobian(model, x):
    """All ∂output/∂input, of shape (*output, *input), one input entry at a time by the complex step."""
    jacobian = np.zeros((*np.shape(model(x)), *x.shape))
    for place in np.ndindex(*x.shape):
        bent = x.astype(complex)
        bent[place] += 1j * STEP
        jacobian[(..., *place)] = np.imag(model(bent)) / STEP
    return jacobian


def penalty_value(model, x, t, mask, penalty, loss="squared_error"):
    """The penalty alone: that of two objectives, one without it."""
    with_, without = (Objective(model, loss, x, t, given, mask) for given in (penalty, ()))
    return with_.value(with_.theta0) - without.value(without.theta0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["dense", "recurrent", "raster", "layers", "network", "represented"])
def test_values_are_those_of_the_definition(kind, masked):
    model, x, t, mask = model_case(kind, 0)
    mask = mask if masked else np.ones(t.shape[:-1], dtype=bool)
    jacobian, count = input_jacobian(model, x), mask.sum()
    kept = jacobian * mask.reshape(*mask.shape, *(1,) * (1 + x.ndim))
    last = np.zeros(t.shape[-1])
    sizes = getattr(getattr(model, "op", model), "sizes", None)
    last[-(sizes[-1] if sizes else t.shape[-1]) :] = 1.0
    given_ = mask if masked else None

    def agree(penalty, want):
        assert math.isclose(penalty_value(model, x, t, given_, penalty), 0.5 / count * want, rel_tol=1e-10)

    agree(penalties.input_gradient(1.0), np.sum(np.tensordot(np.broadcast_to(last, t.shape), kept, t.ndim) ** 2))
    weights = np.arange(1.0, 1.0 + t.shape[-1])
    of_weights = np.sum(np.tensordot(np.broadcast_to(weights, t.shape), kept, t.ndim) ** 2)
    agree(penalties.input_gradient(1.0, of=weights), of_weights)
    agree(penalties.input_gradient(1.0, of=np.broadcast_to(weights, t.shape)), of_weights)
    residual = np.where(mask[..., None], model(x) - t, 0.0)
    agree(penalties.input_gradient(1.0, of="loss"), np.sum(np.tensordot(residual, jacobian, t.ndim) ** 2))
    agree(penalties.jacobian_norm(1.0), np.sum(kept**2))  # samples do not depend on each other


def test_of_a_linear_map_it_is_its_norm():
    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    model = mk.Affine(3, 2, weight=weight)
    x, t = np.zeros((7, 3)), np.zeros((7, 2))
    assert penalty_value(model, x, t, None, penalties.jacobian_norm(2.0)) == np.sum(weight**2)
    assert penalty_value(model, x, t, None, penalties.input_gradient(2.0)) == np.sum(weight.sum(axis=1) ** 2)


def test_projections_have_the_norm_for_their_mean_and_are_drawn_once():
    model, x, t, _ = model_case("dense", 0)
    exact = penalty_value(model, x, t, None, penalties.jacobian_norm(1.0))
    many = penalties.jacobian_norm(1.0, projections=4000, rng=1)
    assert math.isclose(penalty_value(model, x, t, None, many), exact, rel_tol=0.05)
    one, same = (penalties.jacobian_norm(1.0, projections=1, rng=3) for _ in range(2))
    first = penalty_value(model, x, t, None, one)
    assert penalty_value(model, x, t, None, one) == first == penalty_value(model, x, t, None, same)
    fresh = penalties.jacobian_norm(1.0, projections=1)
    assert penalty_value(model, x, t, None, fresh) == penalty_value(model, x, t, None, fresh) != first


def test_batch_axes_are_found_and_too_few_cost_time_only():
    """On a grid, outputs at all positions count; two batch axes are two."""
    model, x, t, _ = model_case("recurrent", 0)
    want = penalty_value(model, x, t, None, penalties.jacobian_norm(1.0))
    for batch_axes in (0, 1):
        got = penalty_value(model, x, t, None, penalties.jacobian_norm(1.0, batch_axes=batch_axes))
        assert math.isclose(got, want, rel_tol=1e-12)
    split = penalty_value(model, x[None], t[None], None, penalties.jacobian_norm(1.0))
    assert math.isclose(split, want, rel_tol=1e-12)
    conv = mk.Chain([mk.Conv(1, 1, 3, axes=1, padding=1, rng=0), mk.Pointwise("tanh")])
    x = np.random.default_rng(0).standard_normal((2, 5, 1))
    got = penalty_value(conv, x, x, None, penalties.jacobian_norm(1.0))
    assert math.isclose(got, 0.5 / 10 * np.sum(input_jacobian(conv, x) ** 2), rel_tol=1e-10)


def test_strength_zero_is_nothing_and_strengths_scale():
    model, x, t, mask = model_case("dense", 0)
    plain = Objective(model, "squared_error", x, t, mask=mask)
    theta, d = plain.theta0, np.ones(plain.size)
    none = Objective(model, "squared_error", x, t, [penalties.input_gradient(0.0), penalties.jacobian_norm(0.0)], mask)
    assert none.value(theta) == plain.value(theta)
    assert np.array_equal(none.fun(theta)[1], plain.fun(theta)[1])
    assert np.array_equal(none.hessp(theta, d), plain.hessp(theta, d))
    assert np.array_equal(none.gauss_newton_product(theta, d), plain.gauss_newton_product(theta, d))
    once, thrice = (
        Objective(model, "squared_error", x, t, penalties.input_gradient(s), mask).fun(theta)[1] for s in (1.0, 3.0)
    )
    assert far(thrice - plain.fun(theta)[1], 3.0 * (once - plain.fun(theta)[1])) <= 1e-12


# derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", PENALTIES)
@pytest.mark.parametrize("kind", SMOOTH)
def test_gradient_is_the_complex_step_of_the_value_in_every_entry(kind, which):
    objective = problem(kind, PENALTIES[which])
    theta = objective.theta0
    gradient = objective.fun(theta)[1]
    want = np.array([stepped_value(objective, theta, d) for d in np.eye(theta.size)])
    assert far(gradient, want) <= 1e-11


@pytest.mark.parametrize("which", PENALTIES)
@pytest.mark.parametrize("kind", SMOOTH)
def test_hessian_product_is_the_derivative_of_the_gradient(kind, which):
    objective = problem(kind, [penalties.l2(0.1), PENALTIES[which]])
    check_products(objective, objective.theta0)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "logistic", "huber"])
@given(seed=seeds, kind=st.sampled_from(SMOOTH))
@settings(deadline=None, max_examples=6)
def test_slopes_of_any_loss(loss, seed, kind):
    objective = problem(kind, PENALTIES["loss"], seed, loss)
    theta = objective.theta0
    d = np.random.default_rng(seed).standard_normal(theta.size)
    assert abs(objective.fun(theta)[1] @ d - stepped_value(objective, theta, d)) <= 1e-11 * (
        1.0 + np.linalg.norm(objective.fun(theta)[1]) * np.linalg.norm(d)
    )
    if loss != "huber":
        check_products(objective, theta, seed)


@pytest.mark.parametrize("which", ["output", "loss", "jacobian", "projections"])
def test_gauss_newton_is_that_of_the_input_cotangents(which):
    """(∂x̄/∂θ)ᵀ (∂x̄/∂θ) d with the derivative of every x̄ written out."""
    model, x, t, _ = model_case("dense", 0)
    penalty = PENALTIES[which]
    objective = Objective(model, "squared_error", x, t, penalty)
    theta = objective.theta0

    def pulled(at):
        return np.concatenate([math.sqrt(w) * c.inputs[0].ravel() for w, c in penalty._pulled(objective.evaluate(at))])

    slopes = np.stack([np.imag(pulled(theta + 1j * STEP * d)) / STEP for d in np.eye(theta.size)], axis=1)
    d = np.random.default_rng(0).standard_normal(theta.size)
    plain = Objective(model, "squared_error", x, t).gauss_newton_product(theta, d)
    want = 0.75 / len(x) * slopes.T @ (slopes @ d)
    assert far(objective.gauss_newton_product(theta, d) - plain, want) <= 1e-11


def test_the_penalty_makes_the_fit_flatter():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.0, 2.0, (20, 1))
    model = mk.Chain([mk.DenseMachine((1, 4), "tanh", bias=True, rng=0), mk.Affine(5, 1, rng=1)])
    steep = []
    for strength in (0.0, 0.1):
        given_ = [penalties.input_gradient(strength), penalties.l2(1e-3)]
        result = mk.fit(model, "squared_error", x, np.sin(2 * x), penalties=given_, steps=300, progress=False)
        steep.append(penalty_value(result.model, x, x, None, penalties.input_gradient(1.0)))
    assert steep[1] < 0.5 * steep[0]


# libraries, precisions, errors --------------------------------------------------------------------


@pytest.mark.parametrize("which", PENALTIES)
@pytest.mark.parametrize("kind", ["dense", "recurrent", "layers", "network", "represented"])
def test_any_library_and_device_gives_the_same(kind, which):
    here = problem(kind, PENALTIES[which])
    model, x, t, mask = model_case(kind, 0)
    x, t, mask = (strict.asarray(a, device=DEVICE, copy=True) for a in (x, t, mask))
    there = Objective(model.to("array_api_strict:device1"), "squared_error", x, t, PENALTIES[which], mask)
    d = np.random.default_rng(0).standard_normal(here.size)
    assert math.isclose(there.value(here.theta0), here.value(here.theta0), rel_tol=1e-12)
    assert far(there.fun(here.theta0)[1], here.fun(here.theta0)[1]) <= 1e-12
    for verb in ("hessp", "gauss_newton_product"):
        assert far(getattr(there, verb)(here.theta0, d), getattr(here, verb)(here.theta0, d)) <= 1e-12


@pytest.mark.parametrize("which", PENALTIES)
def test_single_precision_has_gradients_and_gauss_newton_but_no_hessian(which):
    model, x, t, mask = model_case("recurrent", 0)
    wide = Objective(model, "squared_error", x, t, PENALTIES[which], mask)
    narrow = [a.astype("float32") for a in (x, t)]
    single = Objective(model.astype("float32"), "squared_error", *narrow, PENALTIES[which], mask)
    theta, d = wide.theta0, np.random.default_rng(0).standard_normal(wide.size)
    assert single.fun(theta)[1].dtype == np.float64
    assert far(single.fun(theta)[1], wide.fun(theta)[1]) <= 1e-4
    assert far(single.gauss_newton_product(theta, d), wide.gauss_newton_product(theta, d)) <= 1e-4
    with pytest.raises(TypeError, match=r"weight is float32, but the Hessian of .* model\.astype\('float64'\)"):
        single.hessp(theta, d)
    with pytest.raises(TypeError, match="weight is complex128, but the Hessian"):
        wide.hessp(theta + 0j, d)


def test_the_seed_given_is_copied():
    model, x, t, _ = model_case("dense", 0)
    seed = np.ones(t.shape[-1])
    penalty = penalties.input_gradient(1.0, of=seed)
    before = penalty_value(model, x, t, None, penalty)
    seed[...] = 0.0
    assert penalty_value(model, x, t, None, penalty) == before != 0.0


def test_an_activation_with_a_kink_has_a_value_and_no_gradient():
    model = mk.DenseMachine((1, 3), "relu", rng=0)
    objective = Objective(model, "squared_error", np.ones((2, 1)), np.ones((2, 4)), penalties.input_gradient(1.0))
    assert objective.value(objective.theta0) > 0.0
    with pytest.raises(TypeError, match=r"relu is of class C\^0"):
        objective.fun(objective.theta0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: penalties.input_gradient(-1.0), ValueError, "strength is -1.0"),
        (lambda: penalties.input_gradient("1"), TypeError, "strength is '1'"),
        (
            lambda: penalties.input_gradient(1.0, of="outptu"),
            ValueError,
            "of='outptu' is unknown; did you mean 'output'",
        ),
        (lambda: penalties.input_gradient(1.0, of=[1.0]), TypeError, "of is a list"),
        (lambda: penalties.jacobian_norm(math.inf), ValueError, "strength is inf"),
        (lambda: penalties.jacobian_norm(1.0, projections=0), ValueError, "projections is 0"),
        (lambda: penalties.jacobian_norm(1.0, projections=1.5), TypeError, "projections is 1.5"),
        (lambda: penalties.jacobian_norm(1.0, rng=0), TypeError, "rng=0 is for random projections"),
        (lambda: penalties.jacobian_norm(1.0, batch_axes=-1), ValueError, "batch_axes is -1"),
    ],
)
def test_wrong_arguments_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_what_does_not_fit_the_output_is_refused_when_used():
    model, x, t, _ = model_case("dense", 0)
    for penalty, error, words in (
        (penalties.input_gradient(1.0, of=np.ones(2)), ValueError, r"of has shape \(2,\) but the output \(3, 4\)"),
        (penalties.input_gradient(1.0, of=np.ones(4, "float32")), TypeError, "of is in single precision"),
        (penalties.jacobian_norm(1.0, batch_axes=2), ValueError, r"batch_axes is 2 but the output has shape \(3, 4\)"),
    ):
        objective = Objective(model, "squared_error", x, t, penalty)
        with pytest.raises(error, match=words):
            objective.value(objective.theta0)
