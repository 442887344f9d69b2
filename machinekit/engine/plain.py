"""The plain line schedule: the start stands in y, and products are added to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..activations import Blockwise
from ..arrays import Array
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

    def gather(self, weight: Array, kernels: Sequence[Array]) -> None:
        """See `Workspace.gather`."""
        if self.memory:
            copy_turned(kernels[0], self.past(weight))
        present = self.present(weight)
        for block, kernel in zip(self.partition.blocks, kernels[1:], strict=True):
            copy_turned(kernel, present[block, self.reads(block)])

    def load(self, weight: Array) -> None:
        """See `Workspace.load`."""
        if self.grid:
            super().load(weight)
        elif weight is not self.loaded:
            self.loaded = weight
            present = self.present(self.xp.asarray(weight, self.dtype))
            self.kernels = [present, *(present[block, self.reads(block)] for block in self.partition.blocks)]
            self.forget()

    def build(self, sigma: Blockwise | None, added: bool, contract: str) -> Program:
        """The past at once, then block by block what the blocks before bring, and the pointwise step."""
        p, c, y = self.partition, self.partition.channels, self.y[0]
        scratch = self.room()
        past, *present = self.kernels
        calls: Program = []
        for t in self.times_in_order():
            now = slice(t * c, (t + 1) * c)
            if self.memory:
                first = (t + 1) * c if self.backwards else t * c
                calls += self.bring(past, self.line[first : first + self.memory * c], y[now], scratch)
            for k in p.block_order:
                block, reads = p.blocks[k], self.reads(p.blocks[k])
                rows = slice(t * c + block.start, t * c + block.stop)
                if reads.stop > reads.start:
                    done = self.z[t * c + reads.start : t * c + reads.stop]
                    calls += self.bring(present[k], done, y[rows], scratch)
                calls += self.pointwise(sigma, added, k, 0, rows, self.z[rows])
        return calls + self.contraction(contract)

    def room(self) -> Array | None:
        """Return what `bring` needs between a product and its addition."""
        return np.empty((self.partition.channels, self.samples), self.dtype)

    def bring(self, kernel: Array, done: Array, y: Array, room: Any) -> Program:
        """Return the calls of ``y += kernel · done``."""
        part = room[: len(y)]
        # `dot` has less ceremony, but would copy a view
        return [
            partial(kernel.dot if self.grid else partial(np.matmul, kernel), done, part),
            partial(np.add, y, part, y),
        ]
