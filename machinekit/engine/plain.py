"""The plain line schedule: the start stands in y, and products are added to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..activations import Blockwise
from ..partitions import Partition
from .line import Line
from .workspace import Program

__all__ = ["PlainLine"]


class PlainLine(Line):
    """The schedule of large machines: the start stands in y, and products are added to it.

    At each time one product brings the whole past to all blocks at once.
    """

    def kernel_shapes(self) -> list[tuple[int, int]]:
        """The kernel of the past, and for each block that of the present, each contiguous."""
        c, blocks = self.partition.channels, self.partition.blocks
        present = [(b.stop - b.start, self.reads(b).stop - self.reads(b).start) for b in blocks]
        return [(c, self.memory * c), *present]

    def gather(self, weight: np.ndarray, kernels: Sequence[np.ndarray]) -> None:
        """See `Workspace.gather`."""
        if self.memory:
            kernels[0][...] = self.past(weight)
        present = self.present(weight)
        for block, kernel in zip(self.partition.blocks, kernels[1:], strict=True):
            kernel[...] = present[block, self.reads(block)]

    @classmethod
    def gathered(cls, partition: Partition, weight: np.ndarray, dtype: Any) -> list[np.ndarray]:
        """Return gathered kernels for workspaces that take them as they are."""
        rows = cls(partition, 0, (0,) * partition.axes, dtype)
        rows.gather(weight, rows.kernels)
        return rows.kernels

    def build(self, sigma: Blockwise | None, added: bool, contract: str) -> Program:
        """The past at once, then block by block what the blocks before bring, and the pointwise step."""
        p, c, y = self.partition, self.partition.channels, self.y[0]
        scratch = np.empty((c, self.samples), self.dtype)
        past, *present = self.kernels
        calls: Program = []
        for t in self.times_in_order():
            now = slice(t * c, (t + 1) * c)
            if self.memory:
                first = (t + 1) * c if self.backwards else t * c
                calls.append(partial(past.dot, self.line[first : first + self.memory * c], scratch))
                calls.append(partial(np.add, y[now], scratch, y[now]))
            for k in p.block_order:
                block, reads = p.blocks[k], self.reads(p.blocks[k])
                rows = slice(t * c + block.start, t * c + block.stop)
                if reads.stop > reads.start:
                    part = scratch[: block.stop - block.start]
                    done = self.z[t * c + reads.start : t * c + reads.stop]
                    calls.append(partial(present[k].dot, done, part))
                    calls.append(partial(np.add, y[rows], part, y[rows]))
                calls += self.pointwise(sigma, added, k, 0, rows, self.z[rows])
        return calls + self.contraction(contract)
