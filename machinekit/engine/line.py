"""The line schedules: dense and recurrent machines, whose every step reads one run of rows.

Rows are (time, channel), columns are samples. In that layout the whole past of a step, together with
the blocks already done, *is* contiguous, and nothing is ever copied. A dense machine is the case of
one time and no memory. There are two ways to run the rows: folded, where array calls are what costs,
and plain, where multiply-adds are.
"""

from __future__ import annotations

from cmath import isfinite
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..activations import Blockwise
from ..partitions import CHANNELS, Partition
from .workspace import Program, Sheet, Workspace

__all__ = ["FoldedLine", "Line", "PlainLine", "is_line"]

_WHOLE_PRODUCT = 1 << 18
"""Multiply-adds per block below which a whole product is cheaper than its live half in several calls."""
_MASKED = 64
"""Channels up to which one masked assignment is cheaper than one assignment for each block."""


def is_line(p: Partition) -> bool:
    """Tell whether the line schedules serve: no grid, or one scanned axis in steps of 1, all swept one way."""
    if not p.axes:
        return True
    return p.axes == 1 and p.scan == (0,) and p.time_block == (1,) and set(p.reverse) in (set(), {CHANNELS, 0})


class Line(Workspace):
    """The rows that both line schedules run, and the weight cotangent.

    Parameters
    ----------
    partition : Partition
    samples : int
    grid : tuple of int
        () for a dense machine, (times,) for a recurrent one.
    dtype : dtype
    kernels : sequence of arrays, optional
    """

    def __init__(
        self,
        partition: Partition,
        samples: int,
        grid: tuple[int, ...],
        dtype: Any,
        kernels: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.samples, self.grid = samples, grid
        self.times = grid[0] if grid else 1
        self.backwards = CHANNELS in partition.reverse
        before, after = partition.padding[0] if grid else (0, 0)
        self.memory = after if self.backwards else before
        self._primal: Any = None
        self._result: Any = None
        super().__init__(partition, dtype, kernels)

    def _arrange(self) -> None:
        c, n, t = self.partition.channels, self.samples, self.times
        self.line = np.empty(((t + self.memory) * c, n), self.dtype)
        own, beyond = slice(self.memory * c, None), slice(0, self.memory * c)
        if self.backwards:
            own, beyond = slice(0, t * c), slice(t * c, None)
        self.line[beyond] = 0
        self.z = self.line[own]
        shape = (t, c, n) if self.grid else (c, n)
        self.sheets = [Sheet(shape, (), None, len(shape) - 2)]
        self.z_full = [self.z.reshape(shape)]
        self.y = [np.empty((t * c, n), self.dtype)]
        self.whole_product = c * c * t * n <= _WHOLE_PRODUCT * len(self.partition.block_order)
        self.masked = self.whole_product and c <= _MASKED
        self.x = self.y

    def times_in_order(self) -> Iterator[int]:
        """Yield the times as they are swept."""
        yield from range(self.times - 1, -1, -1) if self.backwards else range(self.times)

    def reads(self, block: slice) -> slice:
        """Return the channels that a block reads at its own time: the blocks before it in the sweep."""
        return slice(block.stop, self.partition.channels) if self.backwards else slice(0, block.start)

    def taps(self) -> tuple[slice, slice]:
        """Return the kernel taps of the past, as the rows run, and of the present."""
        after = self.partition.padding[0][1]
        past = slice(after - 1, None, -1) if self.backwards else slice(after + self.memory, after, -1)
        return past, slice(after, after + 1)

    def past(self, weight: np.ndarray) -> np.ndarray:
        """Return the kernel of the past, (out, time × in) as the rows run."""
        c = self.partition.channels
        return weight[self.taps()[0]].reshape(self.memory * c, c).T

    def present(self, weight: np.ndarray) -> np.ndarray:
        """Return the kernel of the present, (out, in), a view."""
        return (weight[self.taps()[1]][0] if self.grid else weight).T

    def put(self, targets: list[np.ndarray], native: np.ndarray | None) -> None:
        """See `Workspace.put`; there is one sheet, and it is the native layout."""
        if native is not None and native.shape[-2] == self.partition.channels:
            np.copyto(targets[0], native)
        else:
            super().put(targets, native)

    def primal(self, z: np.ndarray) -> None:
        """See `Workspace.primal`."""
        self._primal = z

    def collected(self) -> np.ndarray:
        """See `Workspace.collected`."""
        result, self._result, self._primal = self._result, None, None
        return result

    def contraction(self, contract: str) -> Program:
        """Return the call that computes the weight cotangent once the sweep is done."""
        if not contract:
            return []
        return [partial(self._contract_times if self.grid else self._contract_dense, contract == "first")]

    def _contract_times(self, first: bool) -> None:
        """Σ z[g − ℓ] v[g] over times and samples, lag by lag."""
        c, n, t, m = self.partition.channels, self.samples, self.times, self.memory
        if first:
            self._result = np.zeros((self.partition.kernel[0], c, c), self.dtype)
        # (channel, time × sample): a lag of the machine is then an offset along the second axis
        line = np.zeros((c, (t + m) * n), self.dtype)
        start = m * n if self.backwards else 0
        line[:, start : start + t * n].reshape(c, t, n)[...] = self._primal.transpose(1, 0, 2)
        v = np.ascontiguousarray(self.z.reshape(t, c, n).transpose(1, 0, 2)).reshape(c, t * n)
        present = self.partition.padding[0][0]  # tap of lag 0 in the machine, whose padding is swapped here
        for lag in range(m + 1):
            at, tap = ((m - lag) * n, present + lag) if self.backwards else (lag * n, present - lag)
            z, out = line[:, at : at + t * n], self._result[tap]
            if not lag:
                self._contract_blocks(z, v, out, first)
            elif first:
                np.dot(z, v.T, out)
            else:
                np.add(out, np.dot(z, v.T), out)

    def _contract_dense(self, first: bool) -> None:
        if first:
            c = self.partition.channels
            self._result = np.zeros((c, c), self.dtype)
        self._contract_blocks(self._primal, self.z, self._result, first)

    def _contract_blocks(self, z: np.ndarray, v: np.ndarray, out: np.ndarray, first: bool) -> None:
        """z vᵀ where earlier blocks feed later ones: as a whole where calls cost more than the dead half."""
        p = self.partition
        whole = self.whole_product
        if whole and first:
            z.dot(v.T, out)
        elif whole:
            np.add(out, np.dot(z, v.T), out)
        if self.masked:
            np.putmask(out, self._dead, 0)
            return
        for k in p.block_order:
            block = p.blocks[k]
            reads = slice(0, block.start) if self.backwards else slice(block.stop, p.channels)
            if whole:
                out[slice(block.start, None) if self.backwards else slice(0, block.stop), block] = 0
            elif reads.stop == reads.start:
                continue
            elif first:
                np.matmul(z[reads], v[block].T, out[reads, block])
            else:
                np.add(out[reads, block], np.dot(z[reads], v[block].T), out[reads, block])

    @cached_property
    def _dead(self) -> np.ndarray:
        """Pairs of channels of which the machine's rule lets none read the other at one time."""
        p = self.partition
        dead = np.ones((p.channels, p.channels), dtype=bool)
        for block in p.blocks:
            dead[slice(0, block.start) if self.backwards else slice(block.stop, None), block] = False
        return dead


class FoldedLine(Line):
    """The schedule of small machines: two array calls for each index set, a product and a pointwise step.

    The start stands in the rows of z that are not yet computed, and is picked up by an identity among
    the weights: one call less per set, at (block size)² more multiply-adds per sample.
    """

    def _arrange(self) -> None:
        super()._arrange()
        self.x = [self.z]
        self._flat = self.y[0].reshape(-1)
        # y · probe is finite iff y is, and overflows for no finite y: a square root of the smallest normal number
        self._probe = np.full(self._flat.shape, 2.0 ** (int(np.finfo(self.dtype).minexp) // 2), self.dtype)

    def is_finite(self) -> bool:
        """Tell whether y is finite throughout; where it is not, an identity may have spread 0 · ∞ to block-mates."""
        return isfinite(self._flat.dot(self._probe))

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
        past = self.past(weight) if self.memory else present[:, :0]
        for block, kernel in zip(self.partition.blocks, kernels, strict=True):
            own, parts = kernel.shape[0], [past[block], present[block, self.reads(block)]]
            if self.backwards:
                parts.reverse()
            at = own if self.backwards else 0
            for part in parts:
                kernel[:, at : at + part.shape[1]] = part
                at += part.shape[1]
            first = 0 if self.backwards else kernel.shape[1] - own
            kernel[:, first : first + own] = np.eye(own, dtype=self.dtype)

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
