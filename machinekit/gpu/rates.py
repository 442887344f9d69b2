"""The speeds that the choice between the kernels and the array plan rests on: estimates, until they are measured."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..arrays import Backend

__all__ = ["RATES_VARIABLE", "Rates", "rates_of", "read_rates", "write_rates"]

RATES_VARIABLE = "MACHINEKIT_GPU_RATES"
"""The environment variable that names a file of rates, as `write_rates` makes it; read at every choice."""


@dataclass(frozen=True)
class Rates:
    """Speeds of a GPU and of the host that feeds it.

    The defaults are estimates for a data-centre GPU, made from published clock rates and latencies. They were not
    measured. `calibrate` of `machinekit.gpu` measures them.

    Attributes
    ----------
    processors : int
        Multiprocessors of the GPU.
    launch : float
        Seconds of the host for a call that is one kernel.
    call : float
        Seconds of the host for each array call of the plan: a product by cuBLAS, or a pointwise kernel.
    step : float
        Seconds of a thread block for an index set with next to no work: entries of the table, σ, barrier.
    trip : float
        Seconds for a round of loads and 4 multiply-adds in one thread, which waits for the round before.
    kernel : float
        Multiply-adds per second of the kernels in single precision, all processors busy; half as many in double.
    gemm : float
        Multiply-adds per second of cuBLAS in single precision (TF32 off) on products that fill the GPU; half as many
        in double.

    Examples
    --------
    >>> from dataclasses import replace
    >>> replace(Rates(), processors=80).processors
    80
    """

    processors: int = 132
    launch: float = 6e-6
    call: float = 8e-6
    step: float = 0.5e-6
    trip: float = 0.2e-6
    kernel: float = 4e12
    gemm: float = 15e12

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise ValueError(f"{field.name} is {value!r}; pass a positive finite number")


def rates_of(home: Backend) -> Rates:
    """Return the rates for a device: those of the file that ``MACHINEKIT_GPU_RATES`` names, else the estimates.

    Of the estimates only the number of processors is asked of the device.

    Raises
    ------
    ValueError
        If the file is missing or is none that `write_rates` made.
    """
    path = os.environ.get(RATES_VARIABLE)
    if path:
        return read_rates(path)
    return _estimates(home.xp.cuda.runtime.getDeviceProperties, getattr(home.device, "id", 0))


def read_rates(path: str | os.PathLike) -> Rates:
    """Return the rates of a file; it is read again when it has changed.

    Raises
    ------
    ValueError
        If the file is missing or is none that `write_rates` made.
    """
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError as error:
        raise ValueError(
            f"{RATES_VARIABLE}={os.fspath(path)!r} cannot be read ({error.strerror}); write it with "
            "machinekit.gpu.write_rates(machinekit.gpu.calibrate(), path), or unset the variable"
        ) from None
    return _read(os.fspath(path), changed)


@lru_cache(maxsize=16)
def _estimates(properties: Callable[[int], dict], device: int) -> Rates:
    return replace(Rates(), processors=int(properties(device)["multiProcessorCount"]))


@lru_cache(maxsize=8)
def _read(path: str, changed: int) -> Rates:
    names = sorted(field.name for field in fields(Rates))
    try:
        found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{RATES_VARIABLE}={path!r} is not a JSON file: {error}") from None
    if not isinstance(found, dict) or sorted(found) != names:
        raise ValueError(f"{RATES_VARIABLE}={path!r} has not the keys {', '.join(names)}; write it with write_rates")
    return Rates(**found)


def write_rates(rates: Rates, path: str | os.PathLike) -> None:
    """Write rates to a JSON file, for ``MACHINEKIT_GPU_RATES`` to name."""
    Path(path).write_text(json.dumps(asdict(rates), indent=2) + "\n", encoding="utf-8")
