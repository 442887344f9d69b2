"""Methods of second order reach the minimum in few steps, on machines too, and say what they did."""

import numpy as np
import pytest

import machinekit as mk
from machinekit.training import Objective, fit, penalties

from .fits import QUIET, SECOND, line


def machine(seed=0, decay=1e-3):
    """Return a small regression problem, and what to fit it with."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2.0, 2.0, (40, 1))
    model = mk.Chain([mk.DenseMachine((1, 4, 4), "tanh", bias=True, rng=seed), mk.Affine(9, 1, rng=1)])
    return model, x, np.sin(2.0 * x), penalties.l2(decay, names=("weight", "bias"))


@pytest.mark.parametrize("method", SECOND)
def test_a_quadratic_is_solved_in_few_steps(method):
    """The Hessian is constant, and the Gauss–Newton matrix of a linear model is the Hessian."""
    x, t, best = line()
    result = fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, method, tolerance=1e-8, **QUIET)
    assert np.max(np.abs(result.theta - best)) <= 1e-7
    assert result.converged, result
    assert result.steps <= 12
    assert result.products > 0
    assert f"{result.products} products" in str(result)


@pytest.mark.parametrize("method", SECOND)
@pytest.mark.parametrize("loss", ["logistic", "softmax_cross_entropy", "huber"])
def test_convex_problems_are_solved_to_the_same_minimum(method, loss):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((30, 3)), rng.standard_normal((30, 2))
    if loss == "logistic":
        t = (t > 0.0).astype(float)
    elif loss == "softmax_cross_entropy":
        t = rng.integers(0, 2, 30)
    options = {"penalties": penalties.l2(0.1, names=("weight", "bias")), **QUIET}
    model = mk.Affine(3, 2, rng=0)
    result = fit(model, loss, x, t, method, tolerance=1e-9, **options)
    want = fit(model, loss, x, t, "BFGS", tolerance=1e-7, **options)
    assert result.gradient_norm <= 1e-7
    assert np.max(np.abs(result.theta - want.theta)) <= 1e-5
    assert result.steps <= 25


@pytest.fixture(scope="module")
def by_l_bfgs():
    """Return a machine to train, and how SciPy's quasi-Newton method does, until its gradient is small."""
    *problem, decay = machine(decay=1e-2)
    return (
        problem,
        decay,
        fit(problem[0], "squared_error", *problem[1:], penalties=decay, steps=5000, tolerance=1e-14, **QUIET),
    )


@pytest.mark.parametrize("method", ["trust-ncg", "trust-krylov", "Newton-CG", "levenberg-marquardt"])
def test_on_a_machine_they_need_fewer_steps_than_l_bfgs(method, by_l_bfgs):
    """And come closer: gradients of 1e-8, which steps that look at the value alone do not reach."""
    (model, x, t), decay, first = by_l_bfgs
    second = fit(model, "squared_error", x, t, method, penalties=decay, steps=1000, tolerance=1e-8, **QUIET)
    assert second.gradient_norm <= 1e-7, second
    assert 2 * second.steps < first.steps, (first, second)
    assert second.value < 0.8 * second.history[0]


@pytest.mark.parametrize("method", SECOND)
def test_values_never_rise_from_step_to_step(method):
    model, x, t, decay = machine(1)
    result = fit(model, "squared_error", x, t, method, penalties=decay, steps=25, **QUIET)
    history = np.array(result.history)
    assert (np.diff(history) <= 1e-13 * history[:-1]).all()
    assert result.value == history[-1] < history[0]


def test_levenberg_marquardt_ends_where_rounding_begins():
    """Gradients far below what the value can show are reached, where a method that looks at values alone would stop."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 3))
    data = ("logistic", x, (rng.standard_normal((30, 2)) > 0.0).astype(float), "levenberg-marquardt")
    options = {"penalties": penalties.l2(0.1, names=("weight", "bias")), **QUIET}
    result = fit(mk.Affine(3, 2, rng=0), *data, tolerance=1e-14, **options)
    assert result.converged, result
    assert "the norm of the gradient" in result.message
    assert result.gradient_norm <= 1e-14  # the best of the values that rounding does not tell apart
    hopeless = fit(mk.Affine(3, 2, rng=0), *data, tolerance=1e-30, **options)
    assert not hopeless.converged
    assert "no step lowers the value any further" in hopeless.message
    assert hopeless.gradient_norm <= 1e-14


def test_a_start_at_the_minimum_is_the_end():
    x, t, best = line()
    model = mk.Affine(2, 1, weight=best[:2, None], bias=best[2:])
    exact = mk.Affine(2, 1, weight=np.array([[1.0], [2.0]]))
    for method in SECOND:
        result = fit(model, "squared_error", x, t, method, tolerance=1e-8, **QUIET)
        assert result.steps <= 1
        assert np.max(np.abs(result.theta - best)) <= 1e-12
        zero = fit(exact, "squared_error", x, exact(x), method, **QUIET)
        assert zero.value == 0.0
        assert zero.steps <= 1


def test_gauss_newton_methods_need_no_second_derivative_of_the_model():
    """ReLU has a pullback and no derivative of it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 1))
    model = mk.Chain([mk.DenseMachine((1, 5), "relu", bias=True, rng=0), mk.Affine(6, 1, rng=1)])
    for method in ("gauss-newton", "levenberg-marquardt"):
        result = fit(model, "squared_error", x, abs(x), method, penalties=penalties.l2(1e-3), steps=30, **QUIET)
        assert result.value < 0.5 * result.history[0]
    for method in ("trust-ncg", "trust-krylov", "Newton-CG"):
        with pytest.raises(TypeError, match=r"relu is of class C\^0"):
            fit(model, "squared_error", x, abs(x), method, **QUIET)


@pytest.mark.parametrize("method", SECOND)
def test_gradient_penalties_are_trained_by_second_order(method):
    model, x, t, decay = machine(decay=1e-2)
    given = [decay, penalties.input_gradient(1e-2)]
    objective = Objective(model, "squared_error", x, t, given)
    result = fit(model, "squared_error", x, t, method, penalties=given, steps=80, tolerance=1e-6, **QUIET)
    assert result.value == objective.value(result.theta) < 0.8 * result.history[0]
    assert result.gradient_norm < 1e-2 * np.linalg.norm(objective.fun(objective.theta0)[1])


@pytest.mark.parametrize("method", SECOND)
def test_single_precision_models_are_fitted(method):
    x, t, best = line()
    x, t = x.astype("float32"), t.astype("float32")
    result = fit(mk.Affine(2, 1, rng=0, dtype="float32"), "squared_error", x, t, method, tolerance=1e-5, **QUIET)
    assert np.max(np.abs(result.theta - best)) <= 1e-3


@pytest.mark.parametrize("method", SECOND)
def test_options_of_adam_and_complex_data_are_refused(method):
    x, t, _ = line()
    model = mk.Affine(2, 1, rng=0)
    for options in ({"batch_size": 4}, {"learning_rate": 0.1}):
        with pytest.raises(TypeError, match="is an option of method='adam'"):
            fit(model, "squared_error", x, t, method, **options, **QUIET)
    with pytest.raises(TypeError, match="inputs is complex128; a complex value has no least"):
        fit(model, "squared_error", x + 0j, t, method, **QUIET)
    with pytest.raises(TypeError, match="targets is complex128"):
        fit(model, "squared_error", x, t + 0j, method, **QUIET)
    with pytest.raises(TypeError, match=r"inputs\[0\] is complex128"):
        fit(model, "squared_error", (x + 0j,), t, method, **QUIET)


def test_products_are_zero_for_methods_that_take_none():
    x, t, _ = line()
    result = fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, **QUIET)
    assert result.products == 0
    assert "products" not in str(result)


def test_products_that_are_not_finite_end_the_fit():
    class Torn(mk.Affine):
        """An op whose second derivative is NaN."""

        def pullback_tangent(self, state, cotangent, tangent, *outputs):
            found = super().pullback_tangent(state, cotangent, tangent, *outputs)
            return mk.Cotangent(found.inputs, {n: np.nan * a for n, a in found.parameters.items()}, outputs)

    x, t, _ = line()
    model = Torn(2, 1, rng=0)
    for method in ("trust-ncg", "trust-krylov", "Newton-CG"):
        result = fit(model, "squared_error", x, t, method, **QUIET)
        assert not result.converged
        assert "the norm of a Hessian product is nan at step 0" in result.message
        assert np.array_equal(result.theta, Objective(model, "squared_error", x, t).theta0)
