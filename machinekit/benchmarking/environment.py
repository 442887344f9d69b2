"""What a table must say about where it was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from .timing import core_count

__all__ = ["describe_environment", "thread_variables"]

_PACKAGES = ("numpy", "scipy", "cupy", "cupy-cuda12x", "cupy-cuda13x")
_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "XLA_FLAGS", "OMP_WAIT_POLICY")


def describe_environment(packages: Iterable[str] = (), **more: str) -> dict[str, str]:
    """Return the head of a table: date, versions, processor, thread settings.

    Parameters
    ----------
    packages : iterable of str
        Distributions to name besides NumPy, SciPy and CuPy, where installed.
    **more : str
        Further lines, put first.
    """
    versions = {name: _version(name) for name in (*_PACKAGES, *packages)}
    set_ = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    return {
        **more,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machinekit": _own_version(),
        "Python": platform.python_version(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "processor": f"{_processor()}, {core_count()} cores usable",
        "system": platform.platform(),
        "environment": " ".join(set_) or "no thread variables set",
    }


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that hold BLAS, OpenMP and XLA to a number of threads from the start."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC")
    return dict.fromkeys(names, str(threads))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _own_version() -> str:
    from .. import __version__

    return __version__


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
