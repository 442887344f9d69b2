"""A forecast trains on its training part, on values that are there, and iterates what it has learned."""

from __future__ import annotations

import csv
import math
import time

import numpy as np
import pytest
from matplotlib import image

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.forecasting import Series, Settings, run, sunspots, write
from machinekit.forecasting.experiment import build, check

SUNSPOTS = Settings(season=11, train=221, transform="sqrt")
QUICK = Settings(train=100, warmup=5)


def wave(n=140, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    values = np.sin(t / 3.0) + 0.1 * rng.standard_normal(n) + 5.0
    return Series("wave", "a test", tuple(map(str, t)), values)


def with_values(series, values):
    return Series(series.name, series.source, series.labels, values)


def forecast(series, settings=QUICK, **options):
    return run(series, settings, "numpy", progress=False, **options)


def weights(outcome):
    return np.concatenate([to_host(a).ravel() for a in outcome.fitted.model.parameters().values()])


@pytest.fixture(scope="module")
def outcome():
    return forecast(wave(), Settings(train=100, warmup=5, horizon=4, season=19))


@pytest.mark.parametrize("seed", range(4))
def test_sunspots_are_forecast_well_and_quickly(seed):
    """Each of seeds 0–3: test error at most 0.20 on the standardised scale, in less than 10 s."""
    start = time.perf_counter()
    got = forecast(sunspots(), Settings(season=11, train=221, transform="sqrt", seed=seed))
    assert time.perf_counter() - start < 10.0
    assert got.errors["machine", 1] <= 0.20
    assert round(got.errors["persistence", 1], 3) == 0.536
    assert round(got.errors["AR(9)", 1], 3) == 0.149
    assert got.gradient_error <= 1e-7
    assert got.stream_error <= 1e-12
    assert (got.train, got.test_count) == (221, 88)
    x = np.sqrt(sunspots().values[:221] + 1.0)
    assert (got.mean, got.deviation) == (pytest.approx(x.mean(), rel=1e-14), pytest.approx(x.std(), rel=1e-14))
    observed = np.sqrt(sunspots().values + 1.0)
    error = np.mean(((np.sqrt(got.forecasts[1] + 1.0) - observed)[221:] / got.deviation) ** 2)
    assert error == pytest.approx(got.errors["machine", 1], rel=1e-9), "the error is that of what is written"


def test_the_machine_is_the_one_that_is_described():
    """Blocks 1-2-2, identity on the input block, nothing feeding it, tanh above, memory 2, linear readout."""
    machine, head = build(SUNSPOTS, "numpy").ops
    assert machine.sizes == (1, 2, 2)
    assert [a.name for a in machine.activation] == ["identity", "tanh", "tanh"]
    assert not machine.live[..., 0].any()
    assert machine.live[1:, :, 1:].all()
    assert machine.live.sum() == 48
    assert tuple(head.weight.shape) == (5, 1)


@pytest.mark.parametrize("where", [slice(60, 70), slice(0, 3), slice(97, 104), slice(130, 133)])
def test_gaps_are_masked_and_never_filled(where):
    """What a gap hides has no influence: not on the scaler, the loss, the model, the forecasts or the errors."""
    values = wave().values.copy()
    values[where] = math.nan
    one = forecast(with_values(wave(), values), Settings(train=100, warmup=5, horizon=2, season=7))
    assert all(math.isfinite(e) for e in one.errors.values())
    assert np.isfinite(one.forecasts[1][1:]).all(), "a forecast is made past every gap"
    assert one.mean == pytest.approx(np.nanmean(values[:100]), rel=1e-14)
    seen = np.isfinite(values)
    test = seen & (np.arange(140) >= 100)
    assert 0 < one.test_count <= test.sum()


def test_a_pair_with_a_gap_is_out_of_the_loss():
    """The loss of the trained model equals one computed by a loop over the pairs that are there."""
    values = wave().values.copy()
    values[[20, 21, 50]] = math.nan
    got = forecast(with_values(wave(), values))
    x = (values - got.mean) / got.deviation
    model = got.fitted.model
    line = np.where(np.isfinite(x), x, 0.0)[:99, None]
    p = model(line)[:, 0]
    terms = [0.5 * (p[k] - x[k + 1]) ** 2 for k in range(4, 99) if np.isfinite(x[k]) and np.isfinite(x[k + 1])]
    penalty = 0.5 * 0.01 * sum(np.sum(a**2) for name, a in model.parameters().items() if name.endswith("weight"))
    assert got.fitted.value == pytest.approx(np.mean(terms) + penalty, rel=1e-9)
    assert len(terms) == 99 - 4 - 5


def test_the_training_part_decides_scale_and_model_alone():
    """Other test values change neither mean, deviation nor model; they do change the errors."""
    values = wave().values.copy()
    values[100:] = 3.0 * values[100:] + 40.0
    one, other = forecast(wave()), forecast(with_values(wave(), values))
    assert (one.mean, one.deviation) == (other.mean, other.deviation)
    np.testing.assert_array_equal(weights(one), weights(other))
    assert one.errors["machine", 1] != other.errors["machine", 1]
    np.testing.assert_array_equal(one.forecasts[1][:101], other.forecasts[1][:101])


def test_a_forecast_sees_no_later_value():
    """The forecast of position k, h steps ahead, is a function of the values up to k − h."""
    settings = Settings(train=100, warmup=5, horizon=3)
    values = wave().values.copy()
    values[120:] += 7.0
    one, other = forecast(wave(), settings), forecast(with_values(wave(), values), settings)
    for h in (1, 3):
        np.testing.assert_allclose(one.forecasts[h][: 120 + h], other.forecasts[h][: 120 + h], rtol=0, atol=1e-12)
        assert abs(one.forecasts[h][120 + h] - other.forecasts[h][120 + h]) > 1e-3


def test_forecasts_ahead_are_the_one_step_forecast_iterated(outcome):
    """For every origin: run over the past, forecast, feed the forecast back, step by step."""
    x = (outcome.series.values - outcome.mean) / outcome.deviation
    model, n = outcome.fitted.model, len(x)
    for origin in (0, 1, 57, 120, n - 1):
        line = list(x[: origin + 1])
        for _ in range(4):
            line.append(float(model(np.array(line)[:, None])[-1, 0]))
        ahead = np.array(line[origin + 1 :]) * outcome.deviation + outcome.mean
        for h in (1, 4):
            if origin + h < n:
                assert outcome.forecasts[h][origin + h] == pytest.approx(ahead[h - 1], abs=1e-10)
        if origin == n - 1:
            np.testing.assert_allclose(outcome.future, ahead, rtol=0, atol=1e-10)
    assert np.isnan(outcome.forecasts[4][:4]).all()
    assert np.isfinite(outcome.forecasts[4][4:]).all()


def test_a_machine_without_memory_is_iterated_too():
    got = forecast(wave(), Settings(train=100, memory=0, horizon=2))
    x = (got.series.values - got.mean) / got.deviation
    first = got.fitted.model(x[-1:, None])
    second = got.fitted.model(first)
    ahead = np.array([first[0, 0], second[0, 0]]) * got.deviation + got.mean
    np.testing.assert_allclose(got.future, ahead, rtol=0, atol=1e-12)


def test_the_seed_decides_and_the_same_seed_gives_the_same():
    a, b, c = (forecast(wave(), Settings(train=100, seed=s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(weights(a), weights(b))
    assert not np.array_equal(weights(a), weights(c))


@pytest.mark.parametrize("transform", ["none", "sqrt", "log"])
def test_forecasts_are_in_the_unit_of_the_series(transform):
    got = forecast(wave(), Settings(train=100, transform=transform))
    assert np.nanmin(got.forecasts[1]) > 3.0
    assert np.nanmax(got.forecasts[1]) < 7.0


def test_another_library_gives_the_same_forecast(spec, monkeypatch):
    fit = mk.fit
    monkeypatch.setattr("machinekit.forecasting.experiment.fit", lambda *a, **k: fit(*a, **{**k, "steps": 3}))
    settings = Settings(train=30, warmup=5, horizon=2)
    here, there = forecast(wave(40), settings), run(wave(40), settings, spec, progress=False)
    np.testing.assert_allclose(here.forecasts[2], there.forecasts[2], rtol=0, atol=1e-9)
    assert there.fitted.model.ops[1].backend == spec.partition(":")[0]


REFUSED = {
    "too short": (wave(9), Settings(), "9 values, 6 to train on and 3 to test on; memory 2 and horizon"),
    "too short for the memory": (wave(), Settings(memory=200), "memory 200 and horizon 1 need at least"),
    "too short for the horizon": (wave(), Settings(horizon=40), "horizon 40 need at least"),
    "nothing to test on": (wave(), Settings(train=140), "140 to train on and 0 to test on"),
    "gaps only": (with_values(wave(), np.full(140, math.nan)), Settings(), "0 values on its training part"),
    "gaps in the test part": (
        with_values(wave(), np.where(np.arange(140) < 100, wave().values, math.nan)), QUICK, "0 on its test part"),
    "constant": (with_values(wave(), np.full(140, 3.0)), Settings(), r"is constant \(3\) on the training part"),
    "too large": (with_values(wave(), 1e200 * wave().values), Settings(), "values too large to standardise"),
    "a negative value for sqrt": (with_values(wave(), wave().values - 9), Settings(transform="sqrt"),
                                  "--transform sqrt needs values of at least 0, but column 'wave' has"),
    "an unknown transform": (wave(), Settings(transform="sqr"), "did you mean 'sqrt'"),
    "horizon 0": (wave(), Settings(horizon=0), "--horizon is 0; pass at least 1"),
    "season 0": (wave(), Settings(season=0), "--season is 0; pass at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_forecast_is_refused_before_any_work(what):
    series, settings, words = REFUSED[what]
    with pytest.raises(ValueError, match=words):
        check(series, settings)
    with pytest.raises(ValueError, match=words):
        forecast(series, settings)


def test_the_files_say_what_was_computed(outcome, tmp_path):
    """forecast.csv: observed, one step and h steps ahead by label, then the future; model.npz reproduces it."""
    lines = write(outcome, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["forecast.csv", "forecast.png", "model.npz"]
    assert len(lines) == 3
    with (tmp_path / "forecast.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["label", "part", "observed", "forecast", "steps_ahead", "forecast_4_ahead"]
    assert [r["part"] for r in rows] == ["train"] * 100 + ["test"] * 40 + ["future"] * 4
    assert [r["label"] for r in rows] == [str(k) for k in range(144)]

    def column(name, part=rows):
        return np.array([float(r[name]) if r[name] else math.nan for r in part])

    np.testing.assert_allclose(column("observed", rows[:140]), outcome.series.values, rtol=1e-9)
    np.testing.assert_allclose(column("forecast", rows[:140]), outcome.forecasts[1], rtol=1e-9)
    np.testing.assert_allclose(column("forecast_4_ahead", rows[:140]), outcome.forecasts[4], rtol=1e-9)
    np.testing.assert_allclose(column("forecast", rows[140:]), outcome.future, rtol=1e-9)
    assert [r["steps_ahead"] for r in rows] == ["1"] * 141 + ["2", "3", "4"]
    model = mk.load(tmp_path / "model.npz")
    x = (outcome.series.values - outcome.mean) / outcome.deviation
    again = model(x[:, None])[:-1, 0] * outcome.deviation + outcome.mean
    np.testing.assert_allclose(again, outcome.forecasts[1][1:], rtol=0, atol=1e-12)
    assert image.imread(tmp_path / "forecast.png").std() > 0.01


def test_without_matplotlib_there_is_a_line_and_no_figure(outcome, tmp_path, monkeypatch):
    monkeypatch.setattr("machinekit.forecasting.outputs.find_spec", lambda name: None)
    lines = write(outcome, tmp_path)
    assert lines[-1] == "no figure: it needs matplotlib, pip install 'machinekit[plot]'"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["forecast.csv", "model.npz"]
