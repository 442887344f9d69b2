"""The folded line schedule: the start stands in rows of z, and an identity among the weights picks it up."""

from __future__ import annotations

from cmath import isfinite
from collections.abc import Sequence
from functools import partial

import numpy as np

from ..activations import Blockwise
from .line import Line
from .workspace import Program

__all__ = ["FoldedLine"]

_PROBE = 1 << 12
"""Entries of y up to which one product over all of them tells whether they are finite."""


class FoldedLine(Line):
    """The schedule of small machines: two array calls for each index set, a product and a pointwise step.

    The start stands in the rows of z that are not yet computed, and is picked up by an identity among
    the weights: one call less per set, at (block size)² more multiply-adds per sample.
    """

    def _arrange(self) -> None:
        super()._arrange()
        self.x = [self.z]
        self._reads = [self.reads(block) for block in self.partition.blocks]
        # y · probe is finite iff y is, and overflows for no finite y: a square root of the smallest normal number
        small = self.y[0].size <= _PROBE
        self._probed = self.y[0].reshape(-1) if small else self.y[0]
        self._probe = np.full(self._probed.shape[-1], 2.0 ** (int(np.finfo(self.dtype).minexp) // 2), self.dtype)

    def is_finite(self) -> bool:
        """Tell whether y is finite throughout; where it is not, an identity may have spread 0 · ∞ to block-mates."""
        probed = self._probed.dot(self._probe)
        return isfinite(probed if probed.ndim == 0 else probed.sum())

    def kernel_shapes(self) -> list[tuple[int, int]]:
        """For each block: its rows, and columns for the past, the present and the identity."""
        past = self.memory * self.partition.channels
        sizes = []
        for block in self.partition.blocks:
            reads, own = self.reads(block), block.stop - block.start
            sizes.append((own, past + reads.stop - reads.start + own))
        return sizes

    def gather(self, weight: np.ndarray, kernels: Sequence[np.ndarray]) -> None:
        """The rows run (own, later blocks, future) in a dual, (past, earlier blocks, own) otherwise."""
        present = self.present(weight)
        past = self.past(weight) if self.memory else None
        for block, reads, kernel in zip(self.partition.blocks, self._reads, kernels, strict=True):
            own, width = kernel.shape
            if self.loaded is None:  # the identity stays when other weights come
                first = 0 if self.backwards else width - own
                kernel[:, first : first + own] = np.eye(own, dtype=self.dtype)
            near = reads.stop - reads.start
            if self.backwards:
                kernel[:, own : own + near] = present[block, reads]
            else:
                kernel[:, width - own - near : width - own] = present[block, reads]
            if past is not None:
                far = slice(own + near, None) if self.backwards else slice(0, width - own - near)
                kernel[:, far] = past[block]

    def build(self, sigma: Blockwise | None, added: bool, contract: str) -> Program:
        """Product and pointwise step, index set by index set."""
        p, c = self.partition, self.partition.channels
        calls: Program = []
        for t in self.times_in_order():
            for k in p.block_order:
                rows = slice(t * c + p.blocks[k].start, t * c + p.blocks[k].stop)
                width, end = self.kernels[k].shape[1], (t + self.memory + 1) * c
                read = slice(end - width, end) if self.backwards else slice(t * c, t * c + width)
                calls.append(partial(self.kernels[k].dot, self.line[read], self.y[0][rows]))
                calls += self.pointwise(sigma, added, k, 0, rows, self.z[rows])
        return calls + self.contraction(contract)
