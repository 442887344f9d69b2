"""A weighted loss is the weighted mean: an integer weight repeats its sample, a weight of 0 leaves it out."""

import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.training import losses, penalties

from .fits import QUIET, line
from .objectives import KINDS, case
from .test_losses import DEVICE, EVERY, STEP, close, draw, frozen, plain, scale_of, seeds, shapes


def weighted(loss, shape, seed, dtype="float64", whole=False):
    """Return p, t, d, mask and weights, some of them zero, one of a counted sample at least not."""
    p, t, d, mask = draw(loss, shape, seed, dtype)
    rng = np.random.default_rng(seed + 7)
    weights = rng.integers(0, 4, shape[:-1]) * (1.0 if whole else rng.uniform(0.5, 2.0, shape[:-1]))
    weights = np.asarray(np.where(mask & (weights == 0) & (np.cumsum(mask).reshape(mask.shape) == 1), 2.0, weights))
    return p, t, d, mask, frozen(weights.astype(dtype))


@EVERY
@given(shape=shapes, seed=seeds)
@settings(deadline=None)
def test_value_is_the_weighted_mean(loss, shape, seed):
    p, t, _, mask, weights = weighted(loss, shape, seed)
    close(loss.value(p, t, None, weights), np.average(plain(loss, p, t), weights=weights), scale_of(p, t))
    close(loss.value(p, t, mask, weights), np.average(plain(loss, p, t), weights=weights * mask), scale_of(p, t))


@EVERY
@given(shape=shapes, seed=seeds, masked=st.booleans())
@settings(deadline=None)
def test_weighted_gradient_and_hessp_are_complex_steps(loss, shape, seed, masked):
    p, t, d, mask, weights = weighted(loss, shape, seed)
    rest = (mask if masked else None, weights)
    stepped = loss.value(p + 1j * STEP * d, t, *rest).imag / STEP
    close(np.sum(loss.gradient(p, t, *rest) * d), stepped, scale_of(p, t, d) ** 2)
    stepped = loss.gradient(p + 1j * STEP * d, t, *rest).imag / STEP
    close(loss.hessp(p, t, d, *rest), stepped, scale_of(p, t, d))


@EVERY
@given(shape=shapes, seed=seeds)
@settings(deadline=None)
def test_integer_weights_are_repetitions(loss, shape, seed):
    p, t, d, _, weights = weighted(loss, shape, seed, whole=True)
    flat = [np.reshape(a, (-1, shape[-1])) for a in (p, t, d)]
    times = np.reshape(weights, -1).astype(int)
    owner = np.repeat(np.arange(times.size), times)
    again = [a[owner] for a in flat]
    close(loss.value(p, t, None, weights), loss.value(*again[:2]), scale_of(p, t))
    for verb, count in ((loss.gradient, 2), (loss.hessp, 3)):
        summed = np.zeros_like(flat[0])
        np.add.at(summed, owner, verb(*again[:count]))
        close(verb(*(p, t, d)[:count], weights=weights), summed.reshape(shape), scale_of(p, t, d))


@EVERY
@pytest.mark.parametrize("junk", [math.nan, math.inf, 1e300])
def test_samples_of_weight_zero_never_leak(loss, junk):
    p, t, d, mask, _ = weighted(loss, (4, 3, 2), 5)
    dirty = [np.where(mask[..., None], a, junk) for a in (p, t, d)]
    weights = np.where(mask, 1.0, 0.0)
    close(loss.value(*dirty[:2], None, weights), loss.value(p, t, mask), scale_of(p, t))
    for verb, count in ((loss.gradient, 2), (loss.hessp, 3)):
        found = verb(*dirty[:count], weights=weights)
        assert not found[~mask].any()
        close(found, verb(*(p, t, d)[:count], mask), scale_of(p, t, d))
    under = np.where(mask, 1.0, junk)  # nor do the weights of masked samples
    assert loss.value(p, t, mask, under) == loss.value(p, t, None, weights)


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_weights_in_any_library_and_precision(loss, dtype):
    real = "float32" if dtype == "float32" else "float64"
    given = weighted(loss, (2, 3, 2), 3, real)
    p = given[0].astype(dtype)
    there = [strict.asarray(a, device=DEVICE, copy=True) for a in (p, *given[1:])]
    value, gradient = (f(*there[:2], *there[3:]) for f in (loss.value, loss.gradient))
    close(value, loss.value(p, given[1], *given[3:]), scale_of(*given[:2]), real)
    assert gradient.device == DEVICE
    assert str(gradient.dtype).endswith(dtype)
    assert np.array_equal(to_host(gradient), loss.gradient(p, given[1], *given[3:]))
    assert np.array_equal(to_host(loss.hessp(*there)), loss.hessp(p, *given[1:]))


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([1.0, 1.0], TypeError, "weights is a list"),
        (np.ones(2, int), TypeError, "weights is int64 but p is float64; pass real floating"),
        (np.ones(2, complex), TypeError, "weights is complex128"),
        (np.ones(2, "float32"), TypeError, "weights is float32 but p is float64"),
        (np.ones((2, 2)), ValueError, r"weights has shape \(2, 2\) but p has samples of shape \(2,\)"),
        (np.array([1.0, -0.5]), ValueError, "least entry -0.5"),
        (np.array([1.0, np.nan]), ValueError, "weights has the sum nan"),
        (np.array([1.0, np.inf]), ValueError, "weights has the sum inf"),
        (np.zeros(2), ValueError, "weights are zero for every sample"),
        (strict.ones(2), TypeError, "weights is in array_api_strict"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, error, words):
    p = np.ones((2, 2))
    for verb in (losses.squared_error.value, losses.squared_error.gradient):
        with pytest.raises(error, match=words):
            verb(p, p, None, weights)


def test_weights_of_no_sample_are_refused():
    with pytest.raises(ValueError, match=r"weights has shape \(0,\), no sample"):
        losses.squared_error.value(np.ones((0, 2)), np.ones((0, 2)), None, np.ones(0))


@pytest.mark.parametrize("kind", KINDS)
def test_weighted_objective_is_that_of_repeated_samples(kind):
    model, x, t, mask = case(kind, (1, 2), 0)
    times = np.array([2, 0, 3])
    weights = np.broadcast_to(times.reshape(3, *[1] * (mask.ndim - 1)), mask.shape) * 1.0
    objective = mk.Objective(model, "squared_error", x, t, penalties.l2(0.25), mask, weights)
    again = mk.Objective(model, "squared_error", *(np.repeat(a, times, axis=0) for a in (x, t)), penalties.l2(0.25),
                         np.repeat(mask, times, axis=0))  # fmt: skip
    theta, d = objective.theta0, np.random.default_rng(1).standard_normal(objective.size)
    assert objective.check_gradient(rng=0) < 1e-13
    np.testing.assert_allclose(objective.value(theta), again.value(theta), rtol=1e-13)
    for found, expected in (
        (objective.fun(theta)[1], again.fun(theta)[1]),
        (objective.hessp(theta, d), again.hessp(theta, d)),
        (objective.gauss_newton_product(theta, d), again.gauss_newton_product(theta, d)),
        (objective.hessp(theta, d), objective.fun(theta + 1j * STEP * d)[1].imag / STEP),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_parts_of_weighted_samples_have_the_mean_of_the_whole():
    """The weighted mean over one sample knows nothing of its weight; the gradients of such parts would be biased."""
    model, x, t, _ = case("dense", (1, 2), 0)
    objective = mk.Objective(model, "squared_error", x, t, weights=np.array([1.0, 5.0, 2.0]))
    parts = [objective.subset(np.array([k])) for k in range(3)]
    theta, d = objective.theta0, np.ones(objective.size)
    np.testing.assert_allclose(np.mean([p.value(theta) for p in parts]), objective.value(theta), rtol=1e-14)
    for verb in (lambda o: o.fun(theta)[1], lambda o: o.hessp(theta, d)):
        np.testing.assert_allclose(np.mean([verb(p) for p in parts], axis=0), verb(objective), rtol=1e-12, atol=1e-15)
    pairs = objective.subset(np.array([0, 1])).subset(np.array([1]))
    np.testing.assert_allclose(pairs.value(theta), parts[1].value(theta), rtol=1e-14)


def test_penalties_that_average_over_samples_refuse_weights():
    model, x, t, _ = case("dense", (1, 2), 0)
    for penalty in (penalties.input_gradient(1.0), penalties.jacobian_norm(1.0)):
        objective = mk.Objective(model, "squared_error", x, t, penalty, weights=np.ones(3))
        with pytest.raises(TypeError, match="knows no weights; leave it out"):
            objective.fun(objective.theta0)


def test_a_loss_of_ones_own_needs_weights_only_where_they_are_given():
    class Own:
        def value(self, p, t, mask):
            return float(np.sum(p - t))

        def gradient(self, p, t, mask):
            return np.ones_like(p)

    model, x, t, _ = case("dense", (1, 2), 0)
    plain_objective = mk.Objective(model, Own(), x, t)
    assert plain_objective.fun(plain_objective.theta0)[0] == float(np.sum(model(x) - t))
    with pytest.raises(TypeError, match="takes none; give its value and gradient a last argument weights"):
        mk.Objective(model, Own(), x, t, weights=np.ones(3))


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg", "gauss-newton", "levenberg-marquardt"])
def test_fit_finds_the_weighted_least_squares_solution(method):
    x, t, _ = line()
    weights = np.random.default_rng(3).integers(0, 4, len(x)).astype(float)
    root = np.sqrt(weights)[:, None]
    best, *_ = np.linalg.lstsq(root * np.concatenate([x, np.ones((len(x), 1))], axis=1), root * t, rcond=None)
    result = mk.fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, method, weights=weights, tolerance=1e-12, **QUIET)
    np.testing.assert_allclose(result.theta, best[:, 0], atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, None])
def test_adam_leaves_samples_of_weight_zero_out(size):
    x, t, _ = line(12)
    weights = np.where(np.arange(12) % 3 == 0, 0.0, 2.0)
    options = {"steps": 4, "batch_size": size, **QUIET}
    one = mk.fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, "adam", weights=weights, rng=0, **options)
    kept = weights > 0
    two = mk.fit(mk.Affine(2, 1, rng=0), "squared_error", x[kept], t[kept], "adam", rng=0, **options)
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-12)


def test_validation_takes_weights():
    x, t, _ = line()
    head, weights = mk.Affine(2, 1, rng=0), np.arange(40.0)
    result = mk.fit(head, "squared_error", x, t, validation=(x, t, None, weights), steps=3, **QUIET)
    assert result.validation_history[0] == losses.squared_error.value(head(x), t, None, weights)


def test_minibatches_of_a_network_that_flattens_its_grid():
    """Its targets have no grid axes, and their first axis is a batch."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((6, 12)), rng.standard_normal((6, 2))
    machine = mk.ConvMachine((1, 2), padding=((1, 1), (1, 1)), rng=0)
    model = mk.Chain([mk.Reshape(12, (3, 4, 1)), machine, mk.Reshape((3, 4, 3), 36), mk.Affine(36, 2, rng=0)])
    result = mk.fit(model, "squared_error", x, t, "adam", steps=20, batch_size=4, rng=0, **QUIET)
    assert result.value < result.history[0]
    last = mk.Chain([mk.Affine(1, 1, rng=0), mk.ConvMachine((1, 2), padding=((1, 1),), rng=0)])
    with pytest.raises(ValueError, match="no batch axis before the grid"):
        mk.fit(last, "squared_error", x[0, :, None], np.ones((12, 3)), "adam", batch_size=4, **QUIET)
    inner = mk.Chain([mk.Chain([mk.Reshape(12, (3, 4, 1)), machine]), mk.Pointwise("tanh")])
    with pytest.raises(ValueError, match="no batch axis before the grid"):
        mk.fit(inner, "squared_error", x[0], np.ones((3, 4, 3)), "adam", batch_size=2, **QUIET)
