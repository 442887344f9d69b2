"""Forecast a series with a recurrent machine: the bundled sunspot numbers, or a CSV file of yours."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..arrays import pick_backend
from ..forecasting.experiment import TRANSFORMS, Outcome, Settings, check
from ..forecasting.experiment import run as forecast
from ..forecasting.outputs import write
from ..forecasting.series import Series, read_series, sunspots

__all__ = ["add_arguments", "run"]

_GRADIENT, _STREAM = 1e-7, 1e-12
_SUNSPOTS = Settings(season=11, train=221, transform="sqrt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE.csv", help="a CSV file with a header; default: bundled sunspots"
    )
    parser.add_argument("--column", help="the column to forecast")
    parser.add_argument("--date-column", help="the column of dates or labels (default: the first other column)")
    parser.add_argument("--horizon", type=int, default=1, help="steps ahead (default 1)")
    parser.add_argument(
        "--season", type=int, help="period of the seasonal baseline (default: 11 for sunspots, else none)"
    )
    parser.add_argument("--train", type=int, help="length of the training part (default: 221 for sunspots, else 5/7)")
    parser.add_argument("--memory", type=int, default=2, help="the machine's memory (default 2)")
    parser.add_argument("--transform", help=f"{', '.join(TRANSFORMS)} (default: sqrt for sunspots, else none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial weights (default 0)")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=Path("forecast"), help="folder for the files (default forecast)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Read, forecast, print and write."""
    series = (
        read_series(arguments.file, arguments.column, arguments.date_column) if arguments.file else _bundled(arguments)
    )
    settings = _settings(arguments)
    check(series, settings)
    pick_backend(arguments.backend)
    arguments.output.mkdir(parents=True, exist_ok=True)
    _check_writable(arguments.output)
    start = time.perf_counter()
    outcome = forecast(series, settings, arguments.backend, progress=not arguments.quiet)
    seconds = time.perf_counter() - start
    print("\n".join(_report(outcome, seconds)))
    for line in write(outcome, arguments.output):
        print(line)
    held = outcome.gradient_error <= _GRADIENT and outcome.stream_error <= _STREAM
    if not held:
        print(f"a check failed: gradient {outcome.gradient_error:.1e} > {_GRADIENT:g} or stream > {_STREAM:g}")
    return 0 if held else 1


def _bundled(arguments: argparse.Namespace) -> Series:
    for flag in ("column", "date_column"):
        if getattr(arguments, flag) is not None:
            name = "--" + flag.replace("_", "-")
            raise ValueError(f"{name} is {getattr(arguments, flag)!r} but no file is given; name a CSV file before it")
    return sunspots()


def _settings(arguments: argparse.Namespace) -> Settings:
    base = Settings() if arguments.file else _SUNSPOTS
    transform = base.transform if arguments.transform is None else arguments.transform
    for flag, low in (("seed", 0), ("memory", 0), ("horizon", 1)):
        if getattr(arguments, flag) < low:
            raise ValueError(f"--{flag} is {getattr(arguments, flag)}; pass at least {low}")
    return Settings(
        horizon=arguments.horizon, seed=arguments.seed, memory=arguments.memory, transform=transform,
        season=base.season if arguments.season is None else arguments.season,
        train=base.train if arguments.train is None else arguments.train,
    )  # fmt: skip


def _check_writable(folder: Path) -> None:
    """Fail before any work if nothing can be written to the folder."""
    probe = folder / ".machinekit-probe"
    try:
        probe.touch()
    finally:
        probe.unlink(missing_ok=True)


def _report(outcome: Outcome, seconds: float) -> list[str]:
    series, settings, fitted = outcome.series, outcome.settings, outcome.fitted
    last = len(series.values) - 1
    span = (
        f"{len(series.values)} values, {series.label(0)} to {series.label(last)}, {int((~series.observed).sum())} gaps"
    )
    scaling = f"mean {outcome.mean:.4g} and deviation {outcome.deviation:.4g} of the training part"
    rows = [
        f"{series.name} from {series.source}: {span}",
        f"  trained up to {series.label(outcome.train - 1)}, tested on {outcome.test_count} values after it",
        f"  transform {settings.transform}, {scaling}",
        "",
        *_model_rows(outcome),
        f"  {fitted.steps} steps, {fitted.evaluations} gradients, objective {fitted.value:.5f}, {seconds:.1f} s",
        "",
        "mean squared error on the test part, standardised scale:",
    ]
    for h in sorted({1, settings.horizon}):
        rows.append(f"  {h} step{'s' if h > 1 else ''} ahead")
        rows += [f"    {name:<14} {error:.3f}" for (name, steps), error in outcome.errors.items() if steps == h]
    ahead = ", ".join(f"{series.label(last + k)}: {value:.4g}" for k, value in enumerate(outcome.future[:12], 1))
    return [*rows, "", f"next: {ahead}{' …' if len(outcome.future) > 12 else ''}", ""]


def _model_rows(outcome: Outcome) -> list[str]:
    machine, head = outcome.fitted.model.ops
    blocks, memory, live = len(machine.sizes), outcome.settings.memory, machine.live
    by_lag = ", ".join(f"lag {k}: {int(tap.sum())} of {tap.size}" for k, tap in enumerate(live))
    loop = f"lags 1 to {memory} feed blocks 1 to {blocks - 1} back" if memory else "nothing feeds back"
    return [
        f"{machine!r}, then {head!r}",
        f"  live weights: {int(live.sum())} of {live.size} ({by_lag})",
        f"  {loop}; nothing feeds block 0, the input",
        f"  gradient by hand against complex step: relative error {outcome.gradient_error:.1e}",
        f"  streamed value by value against one call: largest difference {outcome.stream_error:.1e}",
    ]
