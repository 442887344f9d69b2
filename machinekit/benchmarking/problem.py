"""One workload made concrete, the results that every competitor must reproduce, and the comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Backend, pick_backend, to_host
from ..machines import Machine
from .workloads import Workload

__all__ = ["Problem", "Results", "mismatches", "tolerance"]

_NAMES = {"z": "z", "y0": "the cotangent of y0", "weight": "the cotangent of the weight"}


@dataclass(frozen=True)
class Results:
    """What a gradient computes, as NumPy arrays in this library's layout.

    Attributes
    ----------
    z : array of shape (batch, *grid, channel)
    y0 : array of shape (batch, *grid, channel)
        Cotangent of the input.
    weight : array of shape (*lag, in, out)
        Cotangent of the weight, zero where dead.
    """

    z: np.ndarray
    y0: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Problem:
    """A workload's machine and data in one dtype on one backend, for a number of threads."""

    workload: Workload
    machine: Machine
    y0: Array
    seed: Array
    dtype: str
    backend: Backend
    threads: int

    @classmethod
    def of(
        cls, workload: Workload, dtype: str = "float32", backend: str | Backend | None = None, threads: int = 1
    ) -> Problem:
        """Build machine and data.

        Raises
        ------
        ValueError, ModuleNotFoundError, RuntimeError
            Unknown backend; CuPy not installed; no GPU.
        """
        home = pick_backend(backend)
        y0, seed = workload.signals(dtype, home)
        return cls(workload, workload.machine(dtype, home), y0, seed, dtype, home, threads)

    @property
    def on_gpu(self) -> bool:
        return self.backend.name == "cupy"

    @property
    def bounds(self) -> tuple[int, ...]:
        """Channel counts at which blocks end, from 0 to all channels."""
        return self.machine.partition.bounds

    def host(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weight, y0 and seed as NumPy arrays, for the peers to slice."""
        return to_host(self.machine.weight), to_host(self.y0), to_host(self.seed)


def tolerance(dtype: str) -> float:
    """Return the relative tolerance of the comparison: 1e-4 in single precision, 1e-10 in double."""
    return 1e-4 if dtype in ("float32", "complex64") else 1e-10


def mismatches(ours: Results, theirs: Results, rtol: float) -> list[str]:
    """Compare two results; return one sentence per array that differs, none if all agree.

    The error is the largest absolute difference over the largest absolute value of ours: an entry-wise
    relative error would punish entries that are zero by cancellation.
    """
    sentences = []
    for key, name in _NAMES.items():
        a, b = getattr(ours, key), getattr(theirs, key)
        if a.shape != b.shape:
            sentences.append(f"{name} has shape {b.shape}, not {a.shape}")
            continue
        scale = float(np.max(np.abs(a), initial=0.0)) or 1.0
        error = float(np.max(np.abs(a - b), initial=0.0)) / scale
        if not error <= rtol:  # so that nan counts as a mismatch
            sentences.append(f"{name} differs by {error:.1e} relative, tolerance {rtol:.0e}")
    return sentences
