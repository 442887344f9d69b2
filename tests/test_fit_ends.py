"""A fit says why it ended: converged, limited, interrupted, or no longer finite."""

import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.training import FitResult, Objective, fit

from .fits import ALL, QUIET, Moody, line, small


def test_an_early_stop_comes_after_patience_steps():
    x, t, _ = line()
    far = (x, t + 100.0 * (x @ np.array([[1.0], [2.0]])))
    result = fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, "adam", validation=far, patience=3, steps=100, **QUIET)
    assert result.steps == result.best_step + 3 < 100
    assert not result.converged
    assert "early stop: the validation loss has not fallen for 3 steps" in result.message


@pytest.mark.parametrize("method", ALL)
def test_a_value_that_is_not_finite_ends_the_fit_and_the_best_is_kept(method):
    x = np.arange(1.0, 9.0).reshape(4, 2)
    start = Moody(np.array([1.0, -1.0]), [], 3)
    result = fit(start, "squared_error", x, 3.0 * x, method, learning_rate=0.1 if method == "adam" else None, **QUIET)
    assert not result.converged
    assert "the value is nan at step" in result.message
    assert "Look for NaN" in result.message
    assert math.isfinite(result.value)
    assert result.value <= min(result.history)
    clean = Objective(Moody(start.w, [], 10**9), "squared_error", x, 3.0 * x)
    assert result.value == clean.value(result.theta)


class Cliff(Moody):
    """A user's op whose pullback, and nothing else, is NaN."""

    def replace(self, w):
        return Cliff(w, self.calls, self.bad)

    def pullback(self, state, y):
        return mk.Cotangent((y,), {"w": np.full_like(self.w, math.nan)})


@pytest.mark.parametrize("method", ALL)
def test_a_gradient_that_is_not_finite_ends_the_fit(method):
    x = np.ones((4, 2))
    result = fit(Cliff(np.ones(2), [], 10**9), "squared_error", x, 3.0 * x, method, **QUIET)
    assert "the gradient norm is nan at step 0" in result.message
    assert not result.converged


@pytest.mark.parametrize("method", ALL)
def test_a_validation_loss_that_is_not_finite_ends_the_fit(method):
    x, t, _ = line()
    gaps = (x, np.full_like(t, math.inf))
    result = fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, method, validation=gaps, **QUIET)
    assert "the validation loss is inf at step 0" in result.message
    assert result.steps == 0


def test_a_fit_of_nan_returns_the_start():
    x, t, _ = line()
    head = mk.Affine(2, 1, rng=0)
    for method in ALL:
        result = fit(head, "squared_error", x, np.full_like(t, math.nan), method, **QUIET)
        assert np.array_equal(result.theta, Objective(head, "squared_error", x, t).theta0)
        assert not result.converged
        assert math.isnan(result.value)
        assert "at step 0" in result.message
        assert "nan" in str(result)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_an_interrupt_or_the_callback_ends_the_fit_with_the_best_so_far(method, error):
    model, x, t = small()
    seen = []

    def callback(step, value, theta):
        seen.append((step, value))
        theta[...] = 0.0  # a copy: the fit does not notice
        if step == 2 and error:
            raise error
        return step == 2

    result = fit(model, "squared_error", x, t, method, callback=callback, **QUIET)
    assert [step for step, _ in seen] == [1, 2]
    assert [value for _, value in seen] == list(result.history[1:])
    assert ("interrupted at step 2" if error else "the callback asked for it at step 2") in result.message
    assert result.value == min(result.history) < result.history[0]
    assert result.value == Objective(model, "squared_error", x, t).value(result.theta)


@pytest.mark.parametrize("method", ALL)
def test_steps_are_limited(method):
    model, x, t = small()
    result = fit(model, "squared_error", x, t, method, steps=2, **QUIET)
    assert result.steps == 2 == len(result.history) - 1
    assert not result.converged
    assert "the limit of 2 steps is reached" in result.message


def test_progress_goes_to_a_terminal_only(capsys, monkeypatch):
    model, x, t = small()
    fit(model, "squared_error", x, t, steps=3)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fit(model, "squared_error", x, t, steps=3, validation=(x, t))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "step" in shown.err
    fit(model, "squared_error", x, t, steps=3, progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_report_says_what_happened():
    x, t, _ = line()
    result = fit(mk.Affine(2, 1, rng=0), "squared_error", x, t, validation=(x, t), **QUIET)
    report = str(result)
    for word in ("L-BFGS-B: converged", f"{result.steps} steps", f"{result.value:.6g}", "validation", result.message):
        assert word in report
    assert isinstance(result, FitResult)
    with pytest.raises(AttributeError):
        result.value = 0.0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "LBFGS"}, TypeError, "method='LBFGS' is unknown; did you mean 'BFGS' or 'L-BFGS-B'"),
        ({"method": "sgd"}, TypeError, "method='sgd' is unknown; choose from"),
        ({"learning_rate": 0.1}, TypeError, "learning_rate=0.1 is an option of method='adam'"),
        ({"batch_size": 4}, TypeError, "batch_size=4 is an option of method='adam'"),
        ({"method": "adam", "batch_size": 0}, ValueError, "batch_size is 0"),
        ({"method": "adam", "learning_rate": -1.0}, ValueError, "learning_rate is -1.0"),
        ({"method": "adam", "learning_rate": "1"}, TypeError, "learning_rate is '1'"),
        ({"steps": 0}, ValueError, "steps is 0"),
        ({"steps": 1.5}, TypeError, "steps is 1.5"),
        ({"patience": 0}, ValueError, "patience is 0"),
        ({"tolerance": math.nan}, ValueError, "tolerance is nan"),
        ({"validation": [1, 2]}, TypeError, "validation is list"),
        ({"validation": (1, 2, 3, 4, 5)}, TypeError, "pass \\(inputs, targets\\)"),
        ({"loss": "huuber"}, ValueError, "did you mean 'huber'"),
    ],
)
def test_wrong_options_are_refused(options, error, words):
    x, t, _ = line()
    with pytest.raises(error, match=words):
        fit(**{"model": mk.Affine(2, 1), "loss": "squared_error", "inputs": x, "targets": t, **QUIET, **options})


def test_a_model_without_live_parameters_is_refused():
    with pytest.raises(ValueError, match="no live parameters"):
        fit(mk.DenseMachine((2,)), "squared_error", np.ones((1, 2)), np.ones((1, 2)), **QUIET)
