"""What the tests of the benchmarks on a GPU share: tiny workloads, and a CuPy to run on."""

from __future__ import annotations

import contextlib

import pytest

from machinekit.benchmarking import Workload

from .standin.install import installed as standin

__all__ = ["TINY", "cupy_here"]

TINY = (
    Workload("dense", "dense", (2, 1, 2), 3, large=True),
    Workload("conv", "conv", (1, 2), 2, (5,), ((1, 2),), large=True),
    Workload("rec", "recurrent", (2, 1), 2, (7,), memory=3, time_block=2, large=True),
)


@pytest.fixture(scope="module", autouse=True)
def cupy_here(request):
    """The stand-in, or what ``--backend`` has put in the place of CuPy already."""
    there = request.config.getoption("--backend") in ("cupy", "standin")
    with contextlib.nullcontext() if there else standin():
        yield
