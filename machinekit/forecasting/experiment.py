"""One series forecast end to end: scale, train a recurrent machine, compare with baselines, look ahead."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import Backend, backend_of, near, pick_backend, to_host
from ..graph import Affine, Chain
from ..machines import RecurrentMachine
from ..training import FitResult, Objective, fit
from ..training.penalties import l2
from .baselines import autoregression, persistence, seasonal
from .series import Series

__all__ = ["TRANSFORMS", "Outcome", "Settings", "build", "check", "run"]

TRANSFORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], float]] = {
    "none": (lambda x: x, lambda v: v, -math.inf),
    "sqrt": (lambda x: np.sqrt(x + 1.0), lambda v: np.maximum(v, 1.0) ** 2 - 1.0, 0.0),
    "log": (lambda x: np.log1p(x), np.expm1, 0.0),
}
"""Name -> (map, inverse, least value): what is done to the values before they are standardised."""


@dataclass(frozen=True)
class Settings:
    """What to forecast and how.

    Attributes
    ----------
    horizon : int
        Steps ahead; the machine learns one step and is iterated.
    season : int or None
        Period of the seasonal baseline.
    train : int or None
        Length of the training part; None takes five sevenths.
    seed : int
    transform : str
        A name of `TRANSFORMS`.
    sizes, memory : the recurrent machine's
    strength : float
        L2 penalty, ½ · strength · Σ w².
    warmup : int
        First steps that are left out of the loss.
    order : int
        Lags of the autoregression beside it.
    """

    horizon: int = 1
    season: int | None = None
    train: int | None = None
    seed: int = 0
    transform: str = "none"
    sizes: tuple[int, ...] = (1, 2, 2)
    memory: int = 2
    strength: float = 0.01
    warmup: int = 12
    order: int = 9


@dataclass(frozen=True)
class Outcome:
    """The result of a forecast.

    Attributes
    ----------
    fitted : FitResult
        With the trained model, a `Chain` of the machine and a linear readout.
    forecasts : dict of str to array of shape (time,)
        For "1" and the horizon: the forecast of each position, in the series' own unit.
    future : array of shape (horizon,)
    errors : dict of (method, steps ahead) to float
        Mean squared errors on the test part, standardised scale.
    gradient_error, stream_error : float
        Of the gradient against the complex step, and of streaming against one call.
    train, test_count : int
    mean, deviation : float
        Of the transformed training part.
    """

    series: Series
    settings: Settings
    fitted: FitResult
    forecasts: dict[int, np.ndarray]
    future: np.ndarray
    errors: dict[tuple[str, int], float]
    gradient_error: float
    stream_error: float
    train: int
    test_count: int
    mean: float
    deviation: float


def build(settings: Settings, backend: str | Backend | None = None) -> Chain:
    """Return the untrained model: identity on the input block, which nothing feeds, tanh above, a linear readout."""
    sigma = ["identity"] + ["tanh"] * (len(settings.sizes) - 1)
    rng = np.random.default_rng(settings.seed)
    home = pick_backend(backend)
    machine = RecurrentMachine(settings.sizes, sigma, memory=settings.memory, bias=True, rng=rng, backend=home)
    keep = np.ones(machine.weight.shape, dtype=bool)
    keep[..., : settings.sizes[0]] = False
    return Chain([machine.prune(keep), Affine(sum(settings.sizes), 1, rng=rng, backend=home)])


def run(series: Series, settings: Settings, backend: str | Backend | None = None, *, progress: bool = True) -> Outcome:
    """Forecast a series.

    Raises
    ------
    ValueError
        A series too short for the settings, values that the transform cannot take, a constant series.
    """
    settings, train = check(series, settings)
    forward, inverse, _ = TRANSFORMS[settings.transform]
    raw = forward(series.values)
    mean, deviation = _scale(series, settings, train)
    x = (raw - mean) / deviation
    home = pick_backend(backend)
    model, penalties = build(settings, home), [l2(settings.strength)]
    inputs, targets, mask = (home.from_host(a) for a in _pairs(x[:train], settings))
    gradient_error = Objective(model, "squared_error", inputs, targets, penalties, mask).check_gradient(rng=0)
    fitted = fit(model, "squared_error", inputs, targets, penalties=penalties, mask=mask, steps=1000, progress=progress)
    paths, stream_error = _iterate(fitted.model, x, settings)

    def restore(v: np.ndarray) -> np.ndarray:
        return inverse(v * deviation + mean)

    errors, count = _errors(x, paths, settings, train)
    n = len(x)
    kept = {h: restore(_aligned(paths[h - 1], h, n)) for h in sorted({1, settings.horizon})}
    future = restore(np.array([path[-1] for path in paths]))
    return Outcome(
        series, settings, fitted, kept, future, errors, gradient_error, stream_error, train, count,
        mean, deviation,
    )  # fmt: skip


def _scale(series: Series, settings: Settings, train: int) -> tuple[float, float]:
    """Return mean and deviation of the transformed training part; nothing else enters."""
    raw = TRANSFORMS[settings.transform][0](series.values[:train])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(np.nanmean(raw)), float(np.nanstd(raw))
    if not math.isfinite(deviation):
        raise ValueError(f"column {series.name!r} has values too large to standardise; divide them by a constant")
    if not deviation > 1e-12 * max(1.0, abs(mean)):
        raise ValueError(
            f"column {series.name!r} is constant ({mean:g}) on the training part; there is nothing to learn"
        )
    return mean, deviation


def check(series: Series, settings: Settings) -> tuple[Settings, int]:
    """Check the series against the settings, before any work; return what `run` uses and the length to train on.

    Raises
    ------
    ValueError
        As `run`.
    """
    if settings.transform not in TRANSFORMS:
        raise ValueError(f"--transform is {settings.transform!r}; {near(settings.transform, TRANSFORMS)}")
    n = len(series.values)
    train = n * 5 // 7 if settings.train is None else settings.train
    warmup = min(settings.warmup, train // 4)
    if settings.horizon < 1:
        raise ValueError(f"--horizon is {settings.horizon}; pass at least 1")
    if settings.season is not None and settings.season < 1:
        raise ValueError(f"--season is {settings.season}; pass at least 1")
    least = settings.memory + warmup + 4
    if train < least or n - train < settings.horizon + 1:
        raise ValueError(
            f"column {series.name!r} has {n} values, {train} to train on and {n - train} to test on; memory "
            f"{settings.memory} and horizon {settings.horizon} need at least {least} and {settings.horizon + 1}: "
            "give a longer series or a shorter horizon"
        )
    seen = series.observed
    if seen[:train].sum() < least or seen[train:].sum() < 2:
        raise ValueError(
            f"column {series.name!r} has {int(seen[:train].sum())} values on its training part and "
            f"{int(seen[train:].sum())} on its test part, the rest are gaps; {least} and 2 are needed"
        )
    low = TRANSFORMS[settings.transform][2]
    if np.nanmin(series.values) < low:
        raise ValueError(
            f"--transform {settings.transform} needs values of at least {low:g}, but column {series.name!r} has "
            f"{np.nanmin(series.values):g}; use --transform none"
        )
    _scale(series, settings, train)
    return replace(settings, warmup=warmup), train


def _pairs(x: np.ndarray, settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair every value with the next; a pair counts when both are there. A gap enters as no input at all."""
    seen = np.isfinite(x)
    counted = seen[1:] & seen[:-1] & (np.arange(1, len(x)) >= settings.warmup)
    line = np.where(seen, x, 0.0)[:, None]
    return line[:-1], line[1:], counted


def _iterate(model: Chain, x: np.ndarray, settings: Settings) -> tuple[list[np.ndarray], float]:
    """Return, for 1 … horizon steps ahead, the forecast made at every position; and the streaming error.

    All positions are iterated at once: the batch axis of the stream runs over them.
    """
    machine, head = model.ops
    home = backend_of(machine.weight)
    start = home.from_host(np.where(np.isfinite(x), x, 0.0)[:, None])
    z = machine.solve(start).z
    memory, n = settings.memory, len(x)
    line = np.concatenate([np.zeros((memory, z.shape[-1])), to_host(z)])
    history = np.stack([line[k + 1 : k + 1 + memory] for k in range(n)]) if memory else np.zeros((n, 0, z.shape[-1]))
    stream = machine.stream((n,))
    stream.history = home.from_host(history)
    paths = [to_host(head(z))[:, 0]]
    for _ in range(settings.horizon - 1):
        following = stream.solve(home.from_host(paths[-1][:, None, None])).z
        paths.append(to_host(head(following))[:, 0, 0])
    step = machine.stream(())
    walked = np.concatenate([to_host(step.solve(start[k : k + 1, :]).z) for k in range(n)])
    return paths, float(np.max(np.abs(walked - to_host(z))))


def _aligned(path: np.ndarray, horizon: int, n: int) -> np.ndarray:
    """Move a forecast from the position where it was made to the one that it is for."""
    out = np.full(n, math.nan)
    out[horizon:] = path[: n - horizon]
    return out


def _errors(
    x: np.ndarray, paths: list[np.ndarray], settings: Settings, train: int
) -> tuple[dict[tuple[str, int], float], int]:
    """Return test errors by (method, steps ahead), all over the same positions."""
    n = len(x)
    errors: dict[tuple[str, int], float] = {}
    count = 0
    for h in sorted({1, settings.horizon}):
        made = {"machine": _aligned(paths[h - 1], h, n), "persistence": persistence(x, h)}
        if settings.season is not None:
            made[f"seasonal ({settings.season})"] = seasonal(x, h, settings.season)
        order = min(settings.order, max(1, train // 4))
        made[f"AR({order})"] = autoregression(x, h, order, train)
        made = {name: f for name, f in made.items() if np.isfinite(f[train:]).any()}
        common = np.isfinite(x) & (np.arange(n) >= train) & np.all([np.isfinite(f) for f in made.values()], axis=0)
        count = int(common.sum()) if h == 1 else count
        for name, forecast in made.items():
            errors[name, h] = float(np.mean((forecast - x)[common] ** 2)) if common.any() else math.nan
    return errors, count
