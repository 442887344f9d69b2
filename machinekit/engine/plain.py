"""The plain line schedule: the start stands in y, and products are added to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ..activations import Blockwise
from .line import Line, copy_turned
from .workspace import Program

__all__ = ["PlainLine"]


class PlainLine(Line):
    """The schedule of large machines: the start stands in y, and products are added to it.

    At each time one product brings the whole past to all blocks at once. The weight of a dense machine, each entry
    of which a call reads once, is read where it lies; that of a recurrent one is gathered first.
    """

    def kernel_shapes(self) -> list[tuple[int, int]]:
        """The kernel of the past, and for each block that of the present, each contiguous."""
        if not self.grid:
            return []
        c, blocks = self.partition.channels, self.partition.blocks
        present = [(b.stop - b.start, self.reads(b).stop - self.reads(b).start) for b in blocks]
        return [(c, self.memory * c), *present]

    def gather(self, weight: np.ndarray, kernels: Sequence[np.ndarray]) -> None:
        """See `Workspace.gather`."""
        if self.memory:
            copy_turned(kernels[0], self.past(weight))
        present = self.present(weight)
        for block, kernel in zip(self.partition.blocks, kernels[1:], strict=True):
            copy_turned(kernel, present[block, self.reads(block)])

    def load(self, weight: np.ndarray) -> None:
        """See `Workspace.load`."""
        if self.grid:
            super().load(weight)
        elif weight is not self.loaded:
            self.loaded = weight
            present = self.present(np.asarray(weight, self.dtype))
            self.kernels = [present, *(present[block, self.reads(block)] for block in self.partition.blocks)]
            self.forget()

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
                    # `dot` has less ceremony, but would copy a view
                    calls.append(partial(present[k].dot if self.grid else partial(np.matmul, present[k]), done, part))
                    calls.append(partial(np.add, y[rows], part, y[rows]))
                calls += self.pointwise(sigma, added, k, 0, rows, self.z[rows])
        return calls + self.contraction(contract)
