"""The Hessian product of an objective is exact: complex step, symmetry, differences; Gauss–Newton by its definition."""

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.training import Objective, penalties

from .hessians import SMOOTH, STEP, check_products, far, model_case, name_of, stepped_gradient, targets_for
from .objectives import Scale, of_scale, penalised, seeds

LOSSES = ("squared_error", "softmax_cross_entropy", "labels", "logistic", "huber")
DEVICE = strict.Device("device1")


def problem(kind, loss, seed=0, penalty=None, masked=True):
    model, x, t, mask = model_case(kind, seed)
    t = targets_for(loss, t, np.random.default_rng(seed))
    return Objective(model, name_of(loss), x, t, penalty or penalised(model), mask if masked else None)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", SMOOTH)
def test_hessian_product_is_the_derivative_of_the_gradient(kind, loss):
    objective = problem(kind, loss)
    check_products(objective, objective.theta0)


@pytest.mark.parametrize("kind", SMOOTH)
@given(seed=seeds, masked=st.booleans())
@settings(deadline=None, max_examples=8)
def test_it_is_so_at_any_point_and_for_any_mask(kind, seed, masked):
    objective = problem(kind, "squared_error", seed, masked=masked)
    check_products(objective, 0.5 * objective.theta0 + 0.1, seed)


def test_every_loss_has_the_hessian_of_its_value():
    """All second derivatives of the loss alone, by the complex step of its gradient."""
    rng = np.random.default_rng(0)
    p, t, d = rng.standard_normal((3, 4, 3))
    mask = np.array([True, True, False, True])
    for loss in LOSSES:
        given_, known = targets_for(loss, t, rng), getattr(mk.losses, name_of(loss))
        stepped = known.gradient(p + 1j * STEP * d, given_, mask).imag / STEP
        assert far(known.hessp(p, given_, d, mask), stepped) <= 1e-14, loss


def jacobian(objective, theta):
    """The derivative of the prediction with respect to θ, column by column, by the complex step."""
    columns = []
    for k in range(theta.size):
        bent = theta.astype(complex)
        bent[k] += 1j * STEP
        columns.append(objective.evaluate(bent).prediction.imag / STEP)
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["dense", "recurrent", "layers", "network"])
def test_gauss_newton_is_its_definition_and_positive(kind, loss):
    """G d = p′ᵀ ∇²L p′ d, from a Jacobian written out; plus the Hessians of the penalties."""
    model, x, t, mask = model_case(kind, 1)
    t = targets_for(loss, t, np.random.default_rng(1))
    objective = Objective(model, name_of(loss), x, t, penalties.l2(0.5), mask)
    theta = objective.theta0
    d = np.random.default_rng(2).standard_normal(theta.size)
    slopes = jacobian(objective, theta)
    bend = getattr(mk.losses, name_of(loss)).hessp(objective.evaluate(theta).prediction, t, slopes @ d, mask)
    decay = objective.pack(penalties.l2(0.5).hessp(objective.unpack(theta), objective.unpack(d)))
    want = np.tensordot(slopes, bend, axes=(range(slopes.ndim - 1), range(bend.ndim))) + decay
    assert far(objective.gauss_newton_product(theta, d), want) <= 1e-12
    dense = objective.gauss_newton(theta) @ np.eye(theta.size)
    assert far(dense, dense.T) <= 1e-12
    assert np.linalg.eigvalsh(dense)[0] >= -1e-12 * np.abs(dense).max()


def test_gauss_newton_is_the_hessian_where_residuals_vanish():
    model, x, _, _ = model_case("recurrent", 0)
    objective = Objective(model, "squared_error", x, model(x))
    theta = objective.theta0
    assert (
        far(objective.gauss_newton(theta) @ np.eye(theta.size), objective.hessian(theta) @ np.eye(theta.size)) <= 1e-12
    )
    moved = theta + 0.3
    assert far(objective.gauss_newton(moved) @ np.eye(theta.size), objective.hessian(moved) @ np.eye(theta.size)) > 1e-3


@pytest.mark.parametrize("kind", SMOOTH)
def test_operators_give_the_products_and_are_symmetric(kind):
    objective = problem(kind, "squared_error")
    theta = objective.theta0
    rng = np.random.default_rng(0)
    for operator, product in (
        (objective.hessian(theta), objective.hessp), (objective.gauss_newton(theta), objective.gauss_newton_product),
    ):  # fmt: skip
        assert operator.shape == (theta.size, theta.size)
        assert operator.dtype == np.float64
        for d in rng.standard_normal((3, theta.size)):
            assert np.array_equal(operator @ d, product(theta, d))
            assert np.array_equal(operator.rmatvec(d), product(theta, d))
        dense = operator @ np.eye(theta.size)
        assert far(dense, dense.T) <= 1e-12


class Counted(mk.Pointwise):
    """A pointwise op that counts its forward passes."""

    runs: list

    def solve(self, *inputs):
        self.runs.append(1)
        return super().solve(*inputs)


def test_operators_keep_the_forward_pass_and_products_keep_nothing():
    bend = Counted("tanh")
    bend.__dict__["runs"] = runs = []
    model = mk.Chain([mk.Affine(2, 3, rng=0), bend])
    objective = Objective(model, "squared_error", np.ones((4, 2)), np.zeros((4, 3)))
    theta, d = objective.theta0, np.ones(objective.size)
    for make in (objective.hessian, objective.gauss_newton):
        runs.clear()
        operator = make(theta)
        for _ in range(5):
            operator @ d
        assert len(runs) == 1
    runs.clear()
    for _ in range(3):
        objective.hessp(theta, d)
    assert len(runs) == 3


def test_dead_and_pruned_weights_have_no_second_derivative():
    model, x, t, _ = model_case("recurrent", 0)
    model = model.prune(np.random.default_rng(0).random(model.weight.shape) < 0.6)
    objective = Objective(model, "squared_error", x, t)
    assert objective.size == model.parameter_count
    check_products(objective, objective.theta0)


def test_two_inputs_move_nothing():
    model, x, t, _ = model_case("dense", 0)
    objective = Objective(model, "squared_error", (x, 0.5 * x), t, penalties.l2(0.1))
    check_products(objective, objective.theta0)


@pytest.mark.parametrize("kind", SMOOTH)
def test_any_library_and_device_gives_the_same_products(kind):
    here = problem(kind, "squared_error")
    model, x, t, mask = model_case(kind, 0)
    moved = [strict.asarray(a, device=DEVICE, copy=True) for a in (x, t)]
    there = Objective(
        model.to("array_api_strict:device1"), "squared_error", *moved, penalised(model),
        strict.asarray(mask, device=DEVICE, copy=True),
    )  # fmt: skip
    d = np.random.default_rng(0).standard_normal(here.size)
    for verb in ("hessp", "gauss_newton_product"):
        want = getattr(here, verb)(here.theta0, d)
        got = getattr(there, verb)(here.theta0, d)
        assert isinstance(got, np.ndarray)
        assert far(got, want) <= 1e-12


def test_single_precision_gives_single_precision():
    model, x, t, _ = model_case("recurrent", 0)
    objective = Objective(model, "squared_error", x, t)
    single = Objective(model.astype("float32"), "squared_error", x.astype("float32"), t.astype("float32"))
    d = np.random.default_rng(0).standard_normal(objective.size)
    product = single.hessp(single.theta0, d)
    assert product.dtype == np.float64
    assert np.array_equal(product, product.astype("float32"))
    assert far(product, objective.hessp(objective.theta0, d)) <= 1e-4


def test_complex_directions_are_complex_combinations():
    objective = problem("dense", "squared_error")
    theta = objective.theta0
    d, e = np.random.default_rng(0).standard_normal((2, theta.size))
    want = objective.hessp(theta, d) + 1j * objective.hessp(theta, e)
    assert far(objective.hessp(theta, d + 1j * e), want) <= 1e-13


class Rough:
    """A user's penalty without second derivatives."""

    def value(self, params):
        return 0.0

    def gradient(self, params):
        return {}


class Flat:
    """A user's loss without second derivatives."""

    def value(self, p, t, mask):
        return float(np.sum(p))

    def gradient(self, p, t, mask):
        return np.ones_like(p)


def test_what_has_no_second_derivative_says_so_when_it_is_asked_for():
    model, x, t, _ = model_case("dense", 0)
    rough = Objective(model, "squared_error", x, t, [penalties.l2(1.0), Rough()])
    d = np.ones(rough.size)
    rough.fun(rough.theta0)
    for verb in ("hessp", "gauss_newton_product", "curvature"):
        with pytest.raises(TypeError, match=r"penalties\[1\] is .*Rough.* has no hessp"):
            getattr(rough, verb)(rough.theta0, d)
    with pytest.raises(TypeError, match=r"the loss .*Flat.* has no hessp"):
        Objective(model, Flat(), x, t).hessp(rough.theta0, d)
    kinked = Objective(mk.DenseMachine((1, 2, 1), "relu", rng=0), "squared_error", x, t)
    with pytest.raises(TypeError, match=r"relu is of class C\^0"):
        kinked.hessp(kinked.theta0, np.ones(kinked.size))
    kinked.gauss_newton_product(kinked.theta0, np.ones(kinked.size))
    bare = of_scale(Scale(np.ones(2)))
    with pytest.raises(TypeError, match="Scale has no pushforward"):
        bare.hessp(bare.theta0, np.ones(2))


@pytest.mark.parametrize(
    ("d", "error", "words"),
    [
        ([1.0, 2.0], TypeError, "d is a list"),
        (np.ones(3), ValueError, r"d has shape \(3,\) but the model 6 parameters"),
        (np.ones(6, int), TypeError, "d is a numpy array of int64"),
    ],
)
def test_a_wrong_direction_is_refused(d, error, words):
    objective = of_scale(mk.Affine(2, 2, rng=0))
    for verb in (objective.hessp, objective.gauss_newton_product, objective.curvature):
        with pytest.raises(error, match=words):
            verb(objective.theta0, d)
        with pytest.raises(TypeError, match="theta is a list"):
            verb([1.0], np.ones(6))


def test_operators_are_of_a_real_point():
    objective = of_scale(mk.Affine(2, 2, rng=0))
    for make in (objective.hessian, objective.gauss_newton):
        with pytest.raises(TypeError, match="theta is complex128; an operator is of a real"):
            make(objective.theta0 + 0j)


def test_nothing_is_written_to():
    objective = problem("recurrent", "squared_error")
    theta, d = objective.theta0, np.ones(objective.size)
    theta.flags.writeable = d.flags.writeable = False
    first = objective.hessp(theta, d)
    assert np.array_equal(objective.hessp(theta, d), first)
    first[...] = 0.0
    assert objective.hessp(theta, d).any()
    assert far(objective.hessp(theta, d), stepped_gradient(objective, theta, d)) <= 1e-11
