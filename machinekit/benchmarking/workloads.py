"""The workloads: which machines are timed, on how much data.

The first six are those of the paper's Table 1 (arXiv:2204.12786), where 5 blocks of 2 units run on 2 samples
("small") and 5 blocks of 32 units on 32 samples ("medium"); sequences have 16 positions, kernels 7 taps. The
others are longer, deeper, wider or two-dimensional.

There are two tables of sizes. ``"cpu"`` is the paper's, with larger machines that keep one core busy for
milliseconds. ``"gpu"`` has the same names: the small machines as they are (launching them is the cost), the medium
ones with batches, the large ones with batches and widths that fill a GPU of a data centre. Its largest arrays are
those of dense-large (y of 134 MB, a weight of 268 MB in single precision) and of conv2d and rec-wide (y of 168 and
201 MB); a gradient is 0.7, 0.3 and 1.1 Tflop there.

Every workload is tanh, has no bias, gets a full-width random ``y0`` (an input to every block, not to the first
one only), no ``z0``, and a full-width random seed on z. So every block and every live weight matters in both
directions, and no competitor can leave out a part of the work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..arrays import Array, Backend, near, pick_backend
from ..machines import ConvMachine, DenseMachine, Machine, RecurrentMachine

__all__ = ["GPU_WORKLOADS", "SIZES", "WORKLOADS", "Workload", "pick_workloads"]


@dataclass(frozen=True)
class Workload:
    """One machine and the amount of data that it is timed on.

    Parameters
    ----------
    id : str
    kind : {"dense", "conv", "recurrent"}
    sizes : tuple of int
        Channels of the blocks.
    batch : int
    grid : tuple of int
        Extents of the grid axes; empty for dense machines.
    padding : tuple of (before, after)
        For convolution machines.
    memory, time_block : int
        For recurrent machines.
    large : bool
        Whether arithmetic outweighs the overhead of calls, so that the gemm floor means something.
    rng : int
        Seed of the weights; the data are drawn with ``rng + 1``.
    """

    id: str
    kind: str
    sizes: tuple[int, ...]
    batch: int
    grid: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    memory: int = 0
    time_block: int = 1
    large: bool = False
    rng: int = 0

    @property
    def channels(self) -> int:
        return sum(self.sizes)

    def __str__(self) -> str:
        """Say it in words: blocks, grid, batch."""
        widths = set(self.sizes)
        own = f"{len(self.sizes)} blocks of {widths.pop()}" if len(widths) == 1 else f"blocks {self.sizes}"
        grid = [f"length {self.grid[0]}"] if len(self.grid) == 1 else [" × ".join(map(str, self.grid))]
        memory = [f"memory {self.memory}", f"time block {self.time_block}"] if self.kind == "recurrent" else []
        return ", ".join(word for word in (own, *grid, *memory, f"batch {self.batch}") if word)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of y0 and of the seed, (batch, *grid, channel)."""
        return (self.batch, *self.grid, self.channels)

    @property
    def positions(self) -> int:
        """Rows of the data: samples times grid positions."""
        return self.batch * math.prod(self.grid)

    def machine(self, dtype: str = "float32", backend: str | Backend | None = None) -> Machine:
        """Build the machine.

        Raises
        ------
        ValueError
            If `kind` is none of the three.
        """
        if self.kind == "dense":
            return DenseMachine(self.sizes, "tanh", rng=self.rng, dtype=dtype, backend=backend)
        if self.kind == "conv":
            return ConvMachine(self.sizes, "tanh", padding=self.padding, rng=self.rng, dtype=dtype, backend=backend)
        if self.kind == "recurrent":
            return RecurrentMachine(
                self.sizes, "tanh", memory=self.memory, time_block=self.time_block, rng=self.rng, dtype=dtype,
                backend=backend,
            )  # fmt: skip
        raise ValueError(f"kind is {self.kind!r}; {near(self.kind, ('dense', 'conv', 'recurrent'))}")

    def signals(self, dtype: str = "float32", backend: str | Backend | None = None) -> tuple[Array, Array]:
        """Draw y0 and the seed on z, both full width, N(0, 1), on the host in float64, then cast and moved."""
        draw = np.random.default_rng(self.rng + 1).standard_normal
        home = pick_backend(backend)
        y0, seed = draw(self.shape), draw(self.shape)
        return home.from_host(y0, dtype), home.from_host(seed, dtype)


WORKLOADS: tuple[Workload, ...] = (
    Workload("dense-small", "dense", (2,) * 5, 2),
    Workload("dense-medium", "dense", (32,) * 5, 32),
    Workload("conv-small", "conv", (2,) * 5, 2, (16,), ((3, 3),)),
    Workload("conv-medium", "conv", (32,) * 5, 32, (16,), ((3, 3),)),
    Workload("rec-small", "recurrent", (2,) * 5, 2, (16,), memory=6, time_block=5),
    Workload("rec-medium", "recurrent", (32,) * 5, 32, (16,), memory=6, time_block=5),
    Workload("rec-small-t1", "recurrent", (2,) * 5, 2, (16,), memory=6),
    Workload("rec-medium-t1", "recurrent", (32,) * 5, 32, (16,), memory=6),
    Workload("dense-deep", "dense", (8,) * 32, 16),
    Workload("dense-large", "dense", (128,) * 8, 256, large=True),
    Workload("conv1d-long", "conv", (16,) * 6, 32, (256,), ((3, 3),), large=True),
    Workload("conv2d", "conv", (16,) * 5, 16, (32, 32), ((1, 1), (1, 1)), large=True),
    Workload("rec-long", "recurrent", (8,) * 4, 16, (256,), memory=6),
    Workload("rec-wide", "recurrent", (128,) * 3, 64, (64,), memory=2, large=True),
)
"""All workloads, in the order of the tables."""

GPU_WORKLOADS: tuple[Workload, ...] = (
    Workload("dense-small", "dense", (2,) * 5, 2),
    Workload("dense-medium", "dense", (32,) * 5, 8192),
    Workload("conv-small", "conv", (2,) * 5, 2, (16,), ((3, 3),)),
    Workload("conv-medium", "conv", (32,) * 5, 1024, (16,), ((3, 3),)),
    Workload("rec-small", "recurrent", (2,) * 5, 2, (16,), memory=6, time_block=5),
    Workload("rec-medium", "recurrent", (32,) * 5, 1024, (16,), memory=6, time_block=5),
    Workload("rec-small-t1", "recurrent", (2,) * 5, 2, (16,), memory=6),
    Workload("rec-medium-t1", "recurrent", (32,) * 5, 1024, (16,), memory=6),
    Workload("dense-deep", "dense", (8,) * 32, 4096),
    Workload("dense-large", "dense", (1024,) * 8, 4096, large=True),
    Workload("conv1d-long", "conv", (16,) * 6, 256, (256,), ((3, 3),), large=True),
    Workload("conv2d", "conv", (64,) * 5, 32, (64, 64), ((1, 1), (1, 1)), large=True),
    Workload("rec-long", "recurrent", (8,) * 4, 2048, (256,), memory=6),
    Workload("rec-wide", "recurrent", (512,) * 3, 512, (64,), memory=2, large=True),
)
"""The same machines in sizes that fill a GPU."""

SIZES: Mapping[str, tuple[Workload, ...]] = MappingProxyType({"cpu": WORKLOADS, "gpu": GPU_WORKLOADS})
"""The tables of sizes, by name."""


def pick_workloads(ids: Sequence[str] | None = None, sizes: str = "cpu") -> tuple[Workload, ...]:
    """Return the workloads with these ids, or all of them, in one of the tables of sizes.

    Raises
    ------
    ValueError
        For an id or a table that is unknown; the message lists near ones.
    """
    if sizes not in SIZES:
        raise ValueError(f"sizes {sizes!r} is unknown; {near(sizes, SIZES)}")
    if not ids:
        return SIZES[sizes]
    by_id = {w.id: w for w in SIZES[sizes]}
    for word in ids:
        if word not in by_id:
            raise ValueError(f"workload {word!r} is unknown; {near(word, by_id)}")
    return tuple(by_id[word] for word in ids)
