"""A fit finds the minimum and keeps the best it has seen."""

import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.training import Objective, fit, losses, penalties

from .fits import ALL, QUIET, Moody, line, small


@pytest.mark.parametrize("method", ALL)
def test_every_method_finds_the_least_squares_solution(method):
    x, t, best = line()
    result = fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, method, steps=3000, tolerance=1e-10, **QUIET)
    assert np.max(np.abs(result.theta - best)) < 1e-4, result
    assert result.gradient_norm < 1e-3
    assert result.method == method
    assert result.converged or method in ("BFGS", "CG"), result  # these two may end at the rounding of the value


@pytest.mark.parametrize("method", ALL)
def test_a_nonlinear_machine_gets_better_and_the_record_is_consistent(method):
    model, x, t = small()
    result = fit(
        model, "squared_error", x, t, method, steps=15, penalties=penalties.l2(0.01), learning_rate=None, **QUIET
    )
    objective = Objective(model, "squared_error", x, t, penalties.l2(0.01))
    assert result.history[0] == objective.value(objective.theta0)
    assert result.value < result.history[0]
    assert result.value == objective.value(result.theta) == min(result.history)
    assert result.gradient_norm == pytest.approx(np.linalg.norm(objective.fun(result.theta)[1]), rel=1e-12)
    assert len(result.history) == result.steps + 1 <= 16
    assert result.history[result.best_step] == result.value
    assert result.evaluations >= result.steps
    assert result.validation_history == ()
    assert np.array_equal(objective.pack(result.model.parameters()), result.theta)
    assert type(result.model) is type(model)


@pytest.mark.parametrize("method", ALL)
@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=5)
def test_dead_and_pruned_weights_are_unmoved(method, seed):
    model, x, t = small()
    model = model.prune(np.random.default_rng(seed).random(model.weight.shape) < 0.6)
    result = fit(model, "squared_error", x, t, method, steps=4, **QUIET)
    assert not result.model.weight[~model.live].any()
    assert np.array_equal(result.model.live, model.live)
    assert np.any(result.model.weight != model.weight)
    assert result.theta.size == model.parameter_count


def test_the_model_given_is_not_changed():
    model, x, t = small()
    before = model.weight.copy()
    x.flags.writeable = t.flags.writeable = False
    fit(model, "squared_error", x, t, steps=3, **QUIET)
    assert np.array_equal(model.weight, before)


def test_the_best_is_kept_and_not_the_last():
    x, t, _ = line()
    start = mk.Affine(2, 1, weight=np.array([[1.0], [-2.0]]))
    result = fit(start, "squared_error", x, t, "adam", steps=30, learning_rate=3.0, **QUIET)
    assert result.history[-1] > result.value == min(result.history)
    assert result.value == Objective(start, "squared_error", x, t).value(result.theta)
    assert result.best_step == int(np.argmin(result.history))


@pytest.mark.parametrize("method", ALL)
def test_the_best_is_judged_on_the_validation_set_when_there_is_one(method):
    rng = np.random.default_rng(0)
    x, t, v = rng.standard_normal((8, 6)), rng.standard_normal((8, 1)), rng.standard_normal((20, 6))
    held_out = (v, np.zeros((20, 1)))
    start = mk.Affine(6, 1, weight=np.zeros((6, 1)))
    result = fit(start, "squared_error", x, t, method, validation=held_out, patience=4, steps=200, **QUIET)
    assert len(result.validation_history) == len(result.history) == result.steps + 1
    judge = Objective(start, "squared_error", *held_out)
    assert judge.value(result.theta) == min(result.validation_history)
    assert result.best_step == int(np.argmin(result.validation_history)) == 0  # zero is the best there is
    assert result.steps <= 4
    assert result.value == result.history[0] > min(result.history)


def test_validation_takes_a_mask_and_no_penalties():
    x, t, _ = line()
    mask = np.arange(len(x)) % 2 == 0
    gaps = np.where(mask[:, None], t, math.nan)
    head = mk.Affine(2, 1, rng=0)
    result = fit(head, "squared_error", x, t, validation=(x, gaps, mask), penalties=penalties.l2(1.0), steps=3, **QUIET)
    assert result.validation_history[0] == losses.squared_error.value(head(x), gaps, mask)


def test_adam_is_adam():
    """Kingma & Ba, Algorithm 1, written out."""
    x, t, _ = line()
    objective = Objective(mk.Affine(2, 1, rng=0), "squared_error", x, t)
    theta, m, v = objective.theta0, 0.0, 0.0
    for k in range(1, 11):
        g = objective.fun(theta)[1]
        m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g**2
        theta = theta - 0.05 * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
    result = fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, "adam", steps=10, learning_rate=0.05, **QUIET)
    assert result.best_step == 10
    assert np.allclose(result.theta, theta, rtol=1e-12, atol=0)


def test_one_batch_of_everything_is_the_full_gradient():
    model, x, t = small()
    full = fit(model, "squared_error", x, t, "adam", steps=20, **QUIET)
    batched = fit(model, "squared_error", x, t, "adam", steps=20, batch_size=6, rng=0, **QUIET)
    assert np.allclose(full.theta, batched.theta, rtol=0, atol=1e-9)
    assert np.allclose(full.history, batched.history, rtol=1e-9)
    assert math.isfinite(batched.gradient_norm)


def test_minibatches_are_drawn_by_the_generator():
    model, x, t = small()
    runs = [fit(model, "squared_error", x, t, "adam", steps=5, batch_size=4, rng=r, **QUIET) for r in (0, 0, 1)]
    assert np.array_equal(runs[0].theta, runs[1].theta)
    assert not np.array_equal(runs[0].theta, runs[2].theta)
    assert runs[0].value < runs[0].history[0]


def test_every_pass_takes_every_counted_sample_once():
    taken = []

    class Spy(Moody):
        def __call__(self, x):
            taken.append(x[:, 0])
            return self.w * x

        def replace(self, w):
            return Spy(w, [], 0)

    x = np.arange(7.0)[:, None]
    mask = np.array([True, True, False, True, True, True, False])
    fit(Spy(np.ones(1), [], 0), "squared_error", x, 2 * x, "adam", steps=3, batch_size=2, rng=0, mask=mask, **QUIET)
    batches = [rows for rows in taken if len(rows) < 7]
    assert len(batches) == 9
    for start in range(0, 9, 3):
        assert sorted(np.concatenate(batches[start : start + 3])) == [0.0, 1.0, 3.0, 4.0, 5.0]
    assert [list(rows) for rows in batches[:3]] != [list(rows) for rows in batches[3:6]]


def test_minibatches_of_labels_are_those_of_one_hot_rows():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((10, 2)), rng.integers(0, 3, 10)
    options = {"steps": 4, "batch_size": 4, "rng": 0, **QUIET}
    by_label, by_row = (
        fit(mk.Affine(2, 3, rng=0), "softmax_cross_entropy", x, t, "adam", **options)
        for t in (labels, np.eye(3)[labels])
    )
    assert np.allclose(by_label.theta, by_row.theta, rtol=0, atol=1e-12)


def test_minibatches_shuffle_samples_and_never_time():
    model, x, t = small()
    with pytest.raises(ValueError, match="no batch axis before the grid"):
        fit(model, "squared_error", x[0], t[0], "adam", batch_size=2, **QUIET)
    chained = mk.Chain([model, mk.Affine(4, 1, rng=0)])
    with pytest.raises(ValueError, match="no batch axis before the grid"):
        fit(chained, "squared_error", x[0], t[0][..., :1], "adam", batch_size=2, **QUIET)


@pytest.mark.parametrize("method", ["L-BFGS-B", "adam"])
def test_single_precision_and_other_libraries(method):
    model, x, t = small()
    model, x, t = model.astype("float32"), x.astype("float32"), t.astype("float32")
    here = fit(model, "squared_error", x, t, method, steps=5, **QUIET)
    device = strict.Device("device1")
    there = [strict.asarray(a, device=device, copy=True) for a in (x, t)]
    options = {"batch_size": 6, "rng": 0} if method == "adam" else {}
    moved = fit(model.to("array_api_strict:device1"), "squared_error", *there, method, steps=5, **options, **QUIET)
    assert here.theta.dtype == moved.theta.dtype == np.float64
    assert here.model.weight.dtype == np.float32
    assert moved.model.weight.device == device
    assert np.allclose(here.theta, moved.theta, rtol=0, atol=1e-3)
    assert np.array_equal(here.theta, here.theta.astype("float32"))
