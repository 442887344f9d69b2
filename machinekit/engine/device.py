"""The schedules on a GPU: the same steps in as few launches: a product adds by itself, a pointwise step is one call.

The rows of a line lie in memory as the user's arrays do, (sample, time, channel), each sample followed by as many
zero times as the machine looks back: nothing is transposed, and a lag is an offset along the rows of all samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..activations import Blockwise
from ..arrays import Array
from ..gpu import pointwise
from ..gpu.products import Product, multiply
from ..linear import transpose
from ..partitions import CHANNELS
from .grid import GridWorkspace
from .plain import PlainLine
from .workspace import Program, Sheet, Workspace

__all__ = ["DeviceGrid", "DeviceLine"]

_WHOLE_PRODUCT = 1 << 24
"""Multiply-adds for each launch that is saved, up to which a product is taken as a whole, its dead half included."""
_WHOLE_BYTES = 1 << 28
"""Size up to which the taps of all positions are kept for it."""


class _OnDevice(Workspace):
    """What both schedules do otherwise than on the host."""

    def put(self, targets: list[Array], native: Array | None) -> None:
        Workspace.put(self, targets, native)

    def copy(self, target: Array, source: Array, axis: int = 0) -> None:
        pointwise.copy(self.xp, target, source)

    def start(self, native: Array | None, bias: Array) -> None:
        if native is None or native.shape[self._channel_axis] != self.partition.channels:
            super().start(native, bias)
            return
        for start, sheet in zip(self.x_full, self.sheets, strict=True):
            column = bias.reshape((-1,) + (1,) * (start.ndim - 1 - sheet.channel))
            pointwise.sum_into(self.xp, sheet.of(native), self.xp.broadcast_to(column, start.shape), start)

    @property
    def _channel_axis(self) -> int:
        """The channel axis of a native array: the scanned axes go before."""
        return len(self.partition.scan)

    def store(self, y: Array | None, z: Array | None) -> None:
        for target, sources in ((y, self.y_full), (z, self.z_full)):
            if target is not None:
                for sheet, source in zip(self.sheets, sources, strict=True):
                    self.copy(sheet.of(target), source)

    def pointwise(self, sigma: Blockwise | None, added: bool, block: int, sheet: int, rows: slice, z: Array) -> Program:
        y = self.y[sheet][rows].reshape(z.shape)
        more = self._cell("added", sheet, rows, z.shape) if added else None
        if sigma is None:
            return [pointwise.scaled_into(self.xp, self._cell("slope", sheet, rows, z.shape), y, z, more)]
        return [pointwise.value_into(self.xp, sigma.activations[block], y, z, more)]


class DeviceLine(_OnDevice, PlainLine):
    """The schedule of dense and recurrent machines on a GPU; see `PlainLine`."""

    def _arrange(self) -> None:
        c, n, t = self.partition.channels, self.samples, self.times
        self.own = slice(0, t) if self.backwards else slice(self.memory, None)
        self._rooms: dict[str, Array] = {}
        self._earlier: Array | None = None
        self.z_rows, line = self._padded()
        self.y_rows, y = self._padded()
        rows = slice(self.own.start * c, None if self.own.stop is None else self.own.stop * c)
        self.line, self.z, self.y = line, line[rows], [y[rows]]
        self.x = self.y
        shape = (t, c, n) if self.grid else (c, n)
        self.sheets = [Sheet(shape, (), None, len(shape) - 2)]
        self.z_full = [self.z.reshape(shape)]
        self.whole_product = c * c * t * n <= _WHOLE_PRODUCT * len(self.partition.block_order)

    def _padded(self) -> tuple[Array, Array]:
        """Return memory for all samples, times, and zero times: as rows (sample × time, channel), and as a line."""
        c, n, length = self.partition.channels, self.samples, self.times + self.memory
        memory = (self.xp.zeros if self.memory else self.xp.empty)((n, length, c), self.dtype)
        return memory.reshape(n * length, c), memory.reshape(n, length * c).T

    def more(self, name: str) -> list[Array]:
        if name not in self._more:
            c, n, t = self.partition.channels, self.samples, self.times
            memory = self.xp.empty((n, t, c), self.dtype)
            self._rooms[name] = memory.reshape(n, t * c).T
            self._more[name] = [memory.transpose(1, 2, 0) if self.grid else self._rooms[name]]
        return self._more[name]

    def _cell(self, name: str, sheet: int, rows: slice, shape: tuple[int, ...]) -> Array:
        self.more(name)
        return self._rooms[name][rows]

    def gather(self, weight: Array, kernels: Sequence[Array]) -> None:
        c = self.partition.channels
        if self.memory:
            self.copy(kernels[0].reshape(c, self.memory, c).transpose(1, 2, 0), weight[self.taps()[0]])
        present = self.present(weight)
        for block, kernel in zip(self.partition.blocks, kernels[1:], strict=True):
            if kernel.size:
                self.copy(kernel, present[block, self.reads(block)])

    def room(self) -> None:
        return

    def bring(self, kernel: Array, done: Array, y: Array, room: Any) -> Program:
        return [Product(self.home, kernel, done, y)]

    def still(self, weight: Array | None, contract: str) -> None:
        """See `Workspace.still`: all times and samples at once, what stands between samples being zero."""
        if weight is not None:
            self._spread(weight)
        for call in self.contraction(contract):
            call()

    def _spread(self, weight: Array) -> None:
        present, y, z, now = self.present(weight), self.y_rows, self.z_rows, self.taps()[1].start if self.grid else 0
        for block in self.partition.blocks:
            reads = self.reads(block)
            if reads.stop > reads.start and block.stop > block.start:
                multiply(self.home, z[:, reads], present[block, reads].T, y[:, block])
        for lag in range(1, min(self.memory, self.times - 1) + 1):
            early, late = slice(0, len(y) - lag), slice(lag, None)
            here, there, tap = (early, late, now - lag) if self.backwards else (late, early, now + lag)
            multiply(self.home, z[there], weight[tap], y[here], 1.0)

    def _contract_dense(self, first: bool) -> None:
        if first:
            make = self.xp.empty if self.whole_product else self.xp.zeros
            self._result = make((self.partition.channels,) * 2, self.dtype)
        self._contract_blocks(self._primal, self.z, self._result, first)

    def _contract_times(self, first: bool) -> None:
        """Σ z[g − ℓ] v[g] over times and samples, lag by lag."""
        c, n, length, home = self.partition.channels, self.samples, self.times + self.memory, self.home
        if first:
            self._result = self.xp.zeros((self.partition.kernel[0], c, c), self.dtype)
        if self._earlier is None:
            self._earlier = self._padded()[0]
        self.copy(self._earlier.reshape(n, length, c).transpose(1, 2, 0)[self.own], self._primal)
        present = self.partition.padding[0][0]  # tap of lag 0 in the machine, whose padding is swapped here
        for lag in range(min(self.memory, self.times - 1) + 1):
            early, late = slice(0, n * length - lag), slice(lag, None)
            seen, here, tap = (early, late, present + lag) if self.backwards else (late, early, present - lag)
            z, v = self._earlier[seen].T, self.z_rows[here]
            if lag:
                multiply(home, z, v, self._result[tap], 0.0 if first else 1.0)
            else:
                self._contract_blocks(z, v.T, self._result[tap], first)

    def _contract_blocks(self, z: Array, v: Array, out: Array, first: bool) -> None:
        """z vᵀ where earlier blocks feed later ones: as a whole where launches cost more than the dead half."""
        p, beta = self.partition, 0.0 if first else 1.0
        if self.whole_product:
            multiply(self.home, z, v.T, out, beta)
            self.xp.copyto(out, 0, where=self._dead)
            return
        for block in p.blocks:
            reads = slice(0, block.start) if self.backwards else slice(block.stop, p.channels)
            if reads.stop > reads.start and block.stop > block.start:
                multiply(self.home, z[reads], v[block].T, out[reads, block], beta)

    @cached_property
    def _dead(self) -> Array:
        p = self.partition
        dead = self.xp.ones((p.channels, p.channels), bool)
        for block in p.blocks:
            dead[slice(0, block.start) if self.backwards else slice(block.stop, None), block] = False
        return dead


class DeviceGrid(_OnDevice, GridWorkspace):
    """The schedule of any machine on a grid on a GPU; see `GridWorkspace`."""

    def _arrange_taps(self, positions: list[int]) -> None:
        super()._arrange_taps(positions)
        del self.scratch

    def _is_whole(self, work: int, positions: int) -> bool:
        size = sum(self.counts) * self.partition.channels * positions * self.dtype.itemsize
        return work <= _WHOLE_PRODUCT * len(self.sheets) * len(self.partition.block_order) and size <= _WHOLE_BYTES

    def _push(self, kernel: Array, taps: Array, y: Array) -> Program:
        return [Product(self.home, kernel, taps, y)]

    def _arrange_products(self) -> None:
        self.outer = [self.xp.zeros(shape[::-1], self.dtype) for shape in self.kernel_shapes()]

    def _turn_to(self, sheet: int) -> None:
        self._primal_rows = self.sheets[sheet].of(self._primal).reshape(self.y[sheet].shape).T

    def _product(self, taps: Array, later: slice, out: Array, first: bool) -> None:
        multiply(self.home, taps, self._primal_rows[:, later], out, 0.0 if first else 1.0)

    def collected(self) -> Array:
        p = self.partition
        if self.whole:
            self.xp.copyto(self.outer[-1], 0, where=self._unpushed)
        out = self.xp.zeros(p.weight_shape, self.dtype)
        mirrored = transpose(p, out)
        for box, outer in zip(self.lags, self.outer, strict=True):
            cut = self._cut(mirrored, box)  # (out, in, *lag), of which `outer` holds (in × lag, out)
            held = outer.reshape(*cut.shape[1:], cut.shape[0])
            cut[...] = held.transpose(held.ndim - 1, *range(held.ndim - 1))
        self._primal = self._primal_rows = None
        return out

    @cached_property
    def _unpushed(self) -> Array:
        """The entries of a whole product that no block pushes."""
        p = self.partition
        kept = self.xp.ones((math.prod(map(len, self.lags[-1])) * p.channels, p.channels), bool)
        for k in p.block_order:
            later = slice(0, p.blocks[k].start) if CHANNELS in p.reverse else slice(p.blocks[k].stop, None)
            kept[self._rows(-1, p.blocks[k]), later] = False
        return kept
