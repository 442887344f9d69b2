"""A loss is the mean it says, its gradient and Hessian product are derivatives, and masked samples do not exist."""

import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from machinekit.arrays import to_host
from machinekit.training import losses

STEP = 2.0**-70
LOSSES = (losses.squared_error, losses.softmax_cross_entropy, losses.logistic, losses.huber, losses.huber(0.25))
EVERY = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name}-{getattr(loss, 'delta', '')}")
DEVICE = strict.Device("device1")

shapes = st.tuples(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 4)).map(lambda s: (*s[0], s[1]))
seeds = st.integers(0, 2**32 - 1)


def frozen(array):
    array.flags.writeable = False
    return array


def draw(loss, shape, seed, dtype="float64"):
    """Return read-only p, t, d and a mask that counts at least one sample."""
    rng = np.random.default_rng(seed)
    p, t, d = (rng.standard_normal(shape) for _ in range(3))
    if loss.name == "logistic":
        t = rng.random(shape)
    if loss.name == "softmax_cross_entropy":
        t = special.softmax(t, axis=-1)
    mask = np.asarray(rng.random(shape[:-1]) < 0.5)
    if not mask.any():
        mask = np.asarray(~mask)
    return *(frozen(a.astype(dtype)) for a in (p, t, d)), frozen(mask)


def plain(loss, p, t):
    """The loss per sample, by formulas that the library does not use."""
    if loss.name == "squared_error":
        each = (p - t) ** 2 / 2
    elif loss.name == "softmax_cross_entropy":
        each = -t * special.log_softmax(p, axis=-1)
    elif loss.name == "logistic":
        each = -t * special.log_expit(p) - (1 - t) * special.log_expit(-p)
    else:
        each = special.huber(loss.delta, p - t)
    return each.sum(axis=-1)


def close(a, b, scale, dtype="float64"):
    bound = 64 * float(np.finfo(dtype).eps) * scale
    worst = float(np.max(np.abs(np.asarray(a) - np.asarray(b)), initial=0.0))
    assert worst <= bound, f"{a} and {b} differ by {worst}, allowed {bound}"


def scale_of(*arrays):
    return 1.0 + sum(float(np.sum(np.abs(a))) for a in arrays)


@EVERY
@given(shape=shapes, seed=seeds)
@settings(deadline=None)
def test_value_is_the_mean_over_samples_of_the_sum_over_channels(loss, shape, seed):
    p, t, _, mask = draw(loss, shape, seed)
    close(loss.value(p, t), plain(loss, p, t).mean(), scale_of(p, t))
    close(loss.value(p, t, mask), plain(loss, p, t)[mask].mean(), scale_of(p, t))


@EVERY
@given(shape=shapes, seed=seeds, masked=st.booleans())
@settings(deadline=None)
def test_gradient_is_the_complex_step_of_the_value(loss, shape, seed, masked):
    p, t, d, mask = draw(loss, shape, seed)
    mask = mask if masked else None
    stepped = loss.value(p + 1j * STEP * d, t, mask).imag / STEP
    close(np.sum(loss.gradient(p, t, mask) * d), stepped, scale_of(p, t, d) ** 2)


@EVERY
@given(shape=shapes, seed=seeds, masked=st.booleans())
@settings(deadline=None)
def test_hessp_is_the_complex_step_of_the_gradient(loss, shape, seed, masked):
    p, t, d, mask = draw(loss, shape, seed)
    mask = mask if masked else None
    stepped = loss.gradient(p + 1j * STEP * d, t, mask).imag / STEP
    close(loss.hessp(p, t, d, mask), stepped, scale_of(p, t, d))


@EVERY
@given(shape=shapes, seed=seeds)
@settings(deadline=None)
def test_central_differences_agree(loss, shape, seed):
    p, t, d, _ = draw(loss, shape, seed)
    if hasattr(loss, "delta") and np.min(np.abs(np.abs(p - t) - loss.delta)) < 1e-4:
        return  # a difference across the jump of the second derivative says less
    h = 1e-5
    difference = (loss.value(p + h * d, t) - loss.value(p - h * d, t)) / (2 * h)
    assert abs(difference - np.sum(loss.gradient(p, t) * d)) <= 1e-6 * scale_of(p, t, d)


@EVERY
@given(shape=shapes, seed=seeds)
@settings(deadline=None)
def test_hessian_is_symmetric(loss, shape, seed):
    p, t, d, mask = draw(loss, shape, seed)
    e = np.random.default_rng(seed + 1).standard_normal(shape)
    left, right = np.sum(e * loss.hessp(p, t, d, mask)), np.sum(d * loss.hessp(p, t, e, mask))
    close(left, right, scale_of(d) * scale_of(e))


@EVERY
@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, 1e300])
@given(shape=shapes, seed=seeds)
@settings(deadline=None)
def test_masked_samples_never_leak(loss, junk, shape, seed):
    p, t, d, mask = draw(loss, shape, seed)
    dirty = [np.where(mask[..., None], a, junk) for a in (p, t, d)]
    assert loss.value(dirty[0], dirty[1], mask) == loss.value(p, t, mask)
    gradient, product = loss.gradient(*dirty[:2], mask), loss.hessp(*dirty, mask)
    assert np.array_equal(gradient, loss.gradient(p, t, mask))
    assert np.array_equal(product, loss.hessp(p, t, d, mask))
    assert not gradient[~mask].any()
    assert not product[~mask].any()
    close(gradient[mask], loss.gradient(p[mask], t[mask]), scale_of(p, t))


@EVERY
def test_float32_stays_float32(loss):
    p, t, d, mask = draw(loss, (3, 2), 0, "float32")
    assert type(loss.value(p, t, mask)) is float
    assert loss.gradient(p, t, mask).dtype == np.float32
    assert loss.hessp(p, t, d, mask).dtype == np.float32
    assert loss.gradient(p.astype("complex64"), t).dtype == np.complex64
    wide = [a.astype("float64") for a in (p, t)]
    close(loss.gradient(p, t), loss.gradient(*wide), scale_of(*wide), "float32")


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_any_library_and_device_gives_the_same(loss, dtype):
    p, t, d, mask = draw(loss, (2, 3, 2), 3)
    p, t, d = p.astype(dtype), *(a.astype("float32" if dtype == "float32" else "float64") for a in (t, d))
    there = [strict.asarray(a, device=DEVICE, copy=True) for a in (p, t, d, mask)]
    assert loss.value(*there[:2], there[3]) == loss.value(p, t, mask)
    gradient = loss.gradient(*there[:2], there[3])
    assert gradient.device == DEVICE
    assert np.array_equal(to_host(gradient), loss.gradient(p, t, mask))
    assert np.array_equal(to_host(loss.hessp(*there)), loss.hessp(p, t, d, mask))


@EVERY
def test_results_share_no_memory_with_the_arguments(loss):
    p, t, d, mask = draw(loss, (3, 2), 1)
    for result in (loss.gradient(p, t), loss.hessp(p, t, d), loss.hessp(p, t, d, mask)):
        assert not any(np.shares_memory(result, a) for a in (p, t, d))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int64"])
def test_labels_are_one_hot_targets(kind):
    loss, p = losses.softmax_cross_entropy, draw(losses.softmax_cross_entropy, (4, 5, 3), 2)[0]
    labels = np.random.default_rng(0).integers(0, 3, (4, 5)).astype(kind)
    hot = np.eye(3)[labels]
    assert loss.value(p, labels) == loss.value(p, hot)
    assert np.array_equal(loss.gradient(p, labels), loss.gradient(p, hot))
    assert np.array_equal(loss.hessp(p, labels, p), loss.hessp(p, hot, p))
    there = [strict.asarray(a, device=DEVICE, copy=True) for a in (p, labels)]
    assert loss.value(*there) == loss.value(p, labels)


def test_labels_of_more_channels_than_their_dtype_counts():
    p = np.zeros((1, 300))
    assert losses.softmax_cross_entropy.gradient(p, np.array([7], dtype="int8"))[0, 7] < 0


def test_masked_labels_may_be_anything():
    p, mask = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([True, False])
    labels = np.array([1, -1])
    assert losses.softmax_cross_entropy.value(p, labels, mask) == losses.softmax_cross_entropy.value(p[:1], labels[:1])
    assert not losses.softmax_cross_entropy.gradient(p, labels, mask)[1].any()


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_softmax_cross_entropy_is_stable(size):
    p = np.array([[size, 0.0, 0.0]])
    loss = losses.softmax_cross_entropy
    right, wrong = (0, 1) if size > 0 else (1, 0)
    assert loss.value(p, np.array([right])) == pytest.approx(0.0 if size > 0 else math.log(2), rel=1e-15, abs=0)
    assert loss.value(p, np.array([wrong])) == pytest.approx(1e4 + (0.0 if size > 0 else math.log(2)), rel=1e-15, abs=0)
    expected = np.array([[1.0, 0.0, 0.0]]) if size > 0 else np.array([[0.0, 0.5, 0.5]])
    assert np.array_equal(loss.gradient(p, np.zeros((1, 3))), np.zeros((1, 3)))
    assert np.array_equal(loss.gradient(p, np.array([right])) + np.eye(3)[[right]], expected)


@given(shape=shapes, seed=seeds)
@settings(deadline=None)
def test_softmax_cross_entropy_does_not_notice_a_shift(shape, seed):
    p, t, _, _ = draw(losses.softmax_cross_entropy, shape, seed)
    close(losses.softmax_cross_entropy.value(p + 8.0, t), losses.softmax_cross_entropy.value(p, t), 8 * p.size)
    close(losses.softmax_cross_entropy.gradient(p, t).sum(axis=-1), 0.0, 1.0)


def test_logistic_is_stable():
    p = np.array([[1e4], [-1e4], [30.0]])
    right = np.array([[1.0], [0.0], [1.0]])
    assert losses.logistic.value(p, 1.0 - right) == pytest.approx(20030.0 / 3, rel=1e-15, abs=0)
    assert losses.logistic.value(p, right) == pytest.approx(math.log1p(math.exp(-30.0)) / 3, rel=1e-14, abs=0)
    assert losses.logistic.gradient(p, right)[2, 0] == pytest.approx(-special.expit(-30.0) / 3, rel=1e-14, abs=0)
    assert np.all(np.isfinite(losses.logistic.hessp(p, right, p)))


def test_huber_is_quadratic_inside_and_linear_outside():
    p, t = np.array([[0.5, 3.0, -3.0, 2.0]]), np.zeros((1, 4))
    loss = losses.huber(2.0)
    assert loss.value(p, t) == 0.125 + 4.0 + 4.0 + 2.0
    assert np.array_equal(loss.gradient(p, t), [[0.5, 2.0, -2.0, 2.0]])
    assert np.array_equal(loss.hessp(p, t, np.ones((1, 4))), [[1.0, 0.0, 0.0, 1.0]])
    assert losses.huber.delta == 1.0


@pytest.mark.parametrize(
    ("mend", "error", "words"),
    [
        (lambda a: {**a, "p": [[1.0, 2.0]]}, TypeError, "p is a list"),
        (lambda a: {**a, "t": [[1.0, 2.0]]}, TypeError, "t is a list"),
        (lambda a: {**a, "t": None}, TypeError, "t is a NoneType"),
        (lambda a: {**a, "p": np.ones((2, 2), int)}, TypeError, "p has dtype int64"),
        (lambda a: {**a, "t": np.ones((2, 2), int)}, TypeError, "t has dtype int64"),
        (lambda a: {**a, "t": np.ones((2, 2), "float32")}, TypeError, "t is float32 but p is float64"),
        (lambda a: {**a, "t": np.ones((2, 3))}, ValueError, r"t has shape \(2, 3\) but p has \(2, 2\)"),
        (lambda a: {**a, "t": strict.ones((2, 2))}, TypeError, "t is in array_api_strict"),
        (lambda a: {**a, "p": np.array(1.0)}, ValueError, "channel axis"),
        (lambda a: {**a, "p": np.ones((0, 2)), "t": np.ones((0, 2))}, ValueError, "mean over nothing"),
        (lambda a: {**a, "mask": np.ones(2)}, TypeError, "mask is float64; pass a bool array"),
        (lambda a: {**a, "mask": np.ones((2, 2), bool)}, ValueError, r"mask has shape \(2, 2\)"),
        (lambda a: {**a, "mask": np.zeros(2, bool)}, ValueError, "counts none of the 2 samples"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_a_remedy(mend, error, words):
    arguments = mend({"p": np.ones((2, 2)), "t": np.ones((2, 2)), "mask": None})
    for verb in (losses.squared_error.value, losses.squared_error.gradient):
        with pytest.raises(error, match=words):
            verb(**arguments)


def test_directions_that_do_not_fit_are_refused():
    p = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"d has shape \(2, 1\)"):
        losses.squared_error.hessp(p, p, np.ones((2, 1)))
    with pytest.raises(TypeError, match="d is float32"):
        losses.squared_error.hessp(p, p, np.ones((2, 2), "float32"))


def test_targets_out_of_range_are_refused():
    p = np.ones((2, 2))
    for bad in (-0.5, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            losses.logistic.value(p, np.full((2, 2), bad))
    for labels in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="outside 0 … 1"):
            losses.softmax_cross_entropy.gradient(p, np.array(labels))
    with pytest.raises(ValueError, match="labels have no channel axis"):
        losses.softmax_cross_entropy.value(p, np.ones((2, 2), int))
    with pytest.raises(ValueError, match="no channel to choose from"):
        losses.softmax_cross_entropy.value(np.ones((2, 0)), np.ones((2, 0)))


def test_delta_is_checked():
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="delta is"):
            losses.huber(bad)
    for bad in ("1", None, True):
        with pytest.raises(TypeError, match="delta is"):
            losses.huber(bad)


def test_losses_are_found_by_name_or_passed_on():
    for loss in LOSSES[:4]:
        assert losses.get_loss(loss.name) is loss
        assert losses.get_loss(loss) is loss
    with pytest.raises(ValueError, match="did you mean 'squared_error'"):
        losses.get_loss("square_error")
    for bad in (None, abs, type(losses.huber)):
        with pytest.raises(TypeError, match="loss is"):
            losses.get_loss(bad)
