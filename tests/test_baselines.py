"""The forecasts to beat, each against a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.forecasting import sunspots
from machinekit.forecasting.baselines import autoregression, persistence, seasonal

lengths, horizons, seeds = st.integers(0, 30), st.integers(1, 6), st.integers(0, 2**32 - 1)


def series(length, seed, gaps=0.2):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(length)
    values[rng.random(length) < gaps] = math.nan
    return values


def standardised():
    x = np.sqrt(sunspots().values + 1.0)
    return (x - x[:221].mean()) / x[:221].std()


def error(forecast):
    return float(np.mean((forecast - standardised())[221:] ** 2))


def test_the_figures_of_the_sunspots_are_the_known_ones():
    """Trained to 1920, tested after it, standardised scale: persistence 0.536, AR(9) 0.149."""
    assert round(error(persistence(standardised(), 1)), 3) == 0.536
    assert round(error(autoregression(standardised(), 1, 9, 221)), 3) == 0.149


@given(length=lengths, horizon=horizons, season=st.integers(1, 7), seed=seeds)
def test_persistence_and_seasonal_look_back_as_far_as_they_must(length, horizon, season, seed):
    """Seasonal: the fewest whole seasons that are known `horizon` steps ahead."""
    values = series(length, seed)
    for k in range(length):
        back = next(m * season for m in range(1, 100) if m * season >= horizon)
        for got, by in ((persistence(values, horizon), horizon), (seasonal(values, horizon, season), back)):
            np.testing.assert_equal(got[k], values[k - by] if k >= by else math.nan)


@given(length=st.integers(20, 40), horizon=horizons, order=st.integers(1, 4), seed=seeds)
def test_autoregression_is_least_squares_iterated_step_by_step(length, horizon, order, seed):
    """Normal equations and a loop over origins; a window with a gap neither fits nor forecasts."""
    values, train = series(length, seed, 0.1), 16
    rows = [k for k in range(order, train) if np.isfinite(values[k - order : k + 1]).all()]
    got = autoregression(values, horizon, order, train)
    if len(rows) <= order:
        assert np.isnan(got).all()
        return
    design = np.array([[*values[k - order : k], 1.0] for k in rows])
    a = np.linalg.pinv(design) @ values[rows]
    for k in range(length):
        line = list(values[max(0, k - horizon - order + 1) : max(0, k - horizon + 1)])
        if len(line) < order or not np.isfinite(line).all():
            assert math.isnan(got[k])
            continue
        for _ in range(horizon):
            line.append(float(np.dot(line[-order:], a[:-1]) + a[-1]))
        assert got[k] == pytest.approx(line[-1], rel=1e-7, abs=1e-7)


@given(seed=seeds, horizon=horizons)
def test_autoregression_sees_no_test_value_and_no_future(seed, horizon):
    """What comes after an origin, and after the training part for the fit, changes nothing."""
    values = series(40, seed, 0.0)
    changed = values.copy()
    changed[30:] = 99.0
    before, after = (autoregression(v, horizon, 2, 20) for v in (values, changed))
    np.testing.assert_array_equal(before[: 30 + horizon], after[: 30 + horizon])


def test_an_exact_recursion_is_forecast_exactly():
    values = np.ones(30)
    for k in range(2, 30):
        values[k] = 0.5 * values[k - 1] - 0.9 * values[k - 2] + 0.25
    for horizon in (1, 4):
        got = autoregression(values, horizon, 2, 20)
        np.testing.assert_allclose(got[20:], values[20:], atol=1e-12)


def test_too_little_to_fit_is_no_forecast():
    assert np.isnan(autoregression(np.arange(5.0), 1, 4, 5)).all()
    assert np.isnan(autoregression(np.arange(3.0), 1, 5, 3)).all()
    assert np.isnan(autoregression(np.full(20, math.nan), 1, 2, 15)).all()
