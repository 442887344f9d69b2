"""The plan of a machine on a GPU by array calls: products by cuBLAS, a fused pointwise step.

All calls are launched on the current stream and nothing waits for them. A workspace belongs to a stream: the next
call there may use it at once, for what is launched on one stream runs in order.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from ..arrays import Array, Backend
from ..partitions import Partition
from .device import DeviceGrid, DeviceLine
from .plan import Plan
from .workspace import Workspace

__all__ = ["DevicePlan"]

_BYTES = 1 << 32
"""Working set of a tile: samples are taken all at once, unless their taps would fill the memory of a GPU."""
_OWN_BYTES = 1 << 26
"""Size of y from which a call on a dense machine makes its own buffers and returns them, instead of copies."""
_KEPT_BYTES = 1 << 28
"""Size of y up to which workspaces wait for the next call; larger ones leave their memory to others."""
_STREAMS = 8
"""Streams whose workspaces are kept, for each plan."""
_PER_THREAD = 2
"""The address of the default stream of a thread, the same for all threads."""


class DevicePlan(Plan):
    """The compiled schedule of one partition, shape and dtype on one device of CuPy; see `Plan`.

    Parameters
    ----------
    partition : Partition
    lead : tuple of int
        (*batch, *grid), no extent zero.
    dtype : dtype
    home : Backend
    """

    def __init__(self, partition: Partition, lead: tuple[int, ...], dtype: Any, home: Backend) -> None:
        super().__init__(partition, lead, dtype, home)
        self.fold = self.copied = False
        y_bytes = math.prod(lead) * partition.channels * self.dtype.itemsize
        self.fresh = not partition.axes and self.tile == self.samples and y_bytes >= _OWN_BYTES
        self.kept = y_bytes <= _KEPT_BYTES

    def _budget(self) -> int:
        return _BYTES

    def _new(self, samples: int) -> Workspace:
        if self.line:
            return DeviceLine(self.partition, samples, self.grid, self.dtype, self.home)
        return DeviceGrid(self.partition, samples, self.grid, self.dtype, self.samples_last, self.home)

    def _place(self, samples: int) -> tuple:
        stream = self.xp.cuda.get_current_stream().ptr
        return samples, stream, threading.get_ident() if stream == _PER_THREAD else 0

    def give(self, workspace: Workspace, samples: int) -> None:
        """See `Tiles.give`; the streams seen first are forgotten first."""
        if not self.kept:
            return
        super().give(workspace, samples)
        while len({place[1:] for place in list(self._pools)}) > _STREAMS:
            self._pools.pop(next(iter(list(self._pools))), None)

    def _device(self) -> Any:
        """Return a context of this plan's device; each its own, for what it restores is the caller's."""
        return self.xp.cuda.Device(self.home.device.id)

    def empty(self) -> Array:
        """Return a new native array over all channels, in memory as the user's arrays are."""
        return self.native(self.xp.empty((*self.lead, self.channels), self.dtype))

    # Running ---------------------------------------------------------------------------------

    def solve(
        self, weight: Array, bias: Array | None, sigma: Any, y0: Array | None, z0: Array | None
    ) -> tuple[Array, Array]:
        """See `Plan.solve`."""
        with self._device():
            return super().solve(weight, bias, sigma, y0, z0)

    def pullback(
        self,
        weight: Array,
        sigma: Any,
        state: tuple[Array, Array, Array | None],
        seeds: tuple[Array | None, Array | None],
        dead: Array | None,
        bias_shape: tuple[int, ...] | None,
        with_u: bool = True,
    ) -> tuple[Array | None, Array, Array, Array | None]:
        """See `Plan.pullback`; the bias cotangent is summed at once."""
        with self._device():
            u, v, out, _ = super().pullback(weight, sigma, state, seeds, dead, None, with_u)
            bias = None if bias_shape is None else self.xp.sum(v, axis=tuple(range(v.ndim - 1)))
        return u, v, out, bias

    def products(
        self, weight: Array | None, z: Array, primal: Array | None = None
    ) -> tuple[Array | None, Array | None]:
        """See `Plan.products`."""
        with self._device():
            return super().products(weight, z, primal)
