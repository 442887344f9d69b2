"""Print versions, the BLAS library and the backends that can be used here."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from .. import __version__
from ..arrays import pick_backend

__all__ = ["add_arguments", "run"]

_OPTIONAL = (
    "cupy-cuda12x",
    "cupy-cuda13x",
    "cupy",
    "matplotlib",
    "hypothesis",
    "array-api-strict",
    "torch",
    "jax",
    "scikit-learn",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command: it has none of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Print the report."""
    chosen = pick_backend(arguments.backend)
    rows = [
        ("machinekit", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        *((name, version(name)) for name in ("numpy", "scipy", "tqdm")),
        ("BLAS", _blas()),
        *((name, _installed(name)) for name in _OPTIONAL),
        *((f"backend {name}", _usable(name)) for name in ("numpy", "cupy")),
        ("MACHINEKIT_BACKEND", os.environ.get("MACHINEKIT_BACKEND", "not set")),
        ("default backend", str(chosen)),
    ]
    for name, value in rows:
        if value:
            print(f"{name:<20} {value}")
    return 0


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _usable(name: str) -> str:
    try:
        return f"usable: {pick_backend(name)}"
    except (ImportError, RuntimeError) as error:
        return f"not usable: {error}"


def _blas() -> str:
    try:
        found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    except (KeyError, TypeError):
        return "unknown"
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()
