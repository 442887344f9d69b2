"""Which way "auto" goes on the stand-in: kernels are interpreted there, and compiled for each set of activations."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager

from machinekit.gpu.rates import RATES_VARIABLE, Rates, write_rates

__all__ = ["without_kernels"]


@contextmanager
def without_kernels():
    """Have "auto" choose array calls, by rates that make a launch as dear as a second."""
    before = os.environ.get(RATES_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rates.json")
        write_rates(Rates(launch=1.0), path)
        os.environ[RATES_VARIABLE] = path
        try:
            yield
        finally:
            del os.environ[RATES_VARIABLE]
            if before is not None:
                os.environ[RATES_VARIABLE] = before
