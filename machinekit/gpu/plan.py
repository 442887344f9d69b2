"""A plan whose every sweep is one kernel: the interface of `machinekit.engine.Plan` for small machines on a GPU."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..activations import Blockwise, SlopeAt
from ..arrays import Array, Backend
from ..partitions import Partition
from .cost import deal, refusal
from .expressions import Expressions
from .rates import rates_of
from .source import Modules, read_curves
from .tables import INPUTS, WARPS, Schedule, constants, make_table, turned

__all__ = ["KernelPlan"]

_NULL = np.uint64(0)
"""A pointer to nothing, as an argument of a kernel."""
_MODULES = Modules()
"""What has been compiled, for all plans of the process."""
_BITS = constants()
_ROWS = 64
"""Rows for each warp of `contract` above which they are cut into chunks, if thread blocks are few."""
_KEPT = 16
"""Machines whose activations a plan remembers the kernel of."""


class KernelPlan:
    """The kernels of one partition for one batch and grid shape and one dtype.

    Nothing is written to but what a call returns, so that any number of threads and streams may share a plan.
    Equal calls give equal bits.

    Parameters
    ----------
    partition : Partition
        Without feedback, with at most three grid axes.
    lead : tuple of int
        (*batch, *grid).
    dtype : dtype
        float32 or float64.
    home : Backend
        CuPy and a device.
    schedule : Schedule, optional
        How threads are dealt out; by default as estimated to be fastest.
    chunks : int, optional
        Into how many the rows are cut for the weight cotangent; by default as many as keep the GPU busy.

    Raises
    ------
    ValueError
        If there is no kernel for this machine.
    """

    def __init__(
        self,
        partition: Partition,
        lead: tuple[int, ...],
        dtype: Any,
        home: Backend,
        schedule: Schedule | None = None,
        chunks: int | None = None,
    ) -> None:
        why = refusal(partition, lead, dtype, None, home)
        if why:
            raise ValueError(f"a KernelPlan cannot serve {why}")
        self.partition, self.lead, self.dtype, self.home = partition, tuple(lead), np.dtype(dtype), home
        cut = len(lead) - partition.axes
        self.grid, self.samples, self.channels = self.lead[cut:], math.prod(lead[:cut]), partition.channels
        self.shape = (*self.lead, self.channels)
        self.empty = not math.prod(self.shape)
        self.rows = math.prod(self.lead)
        self.weights = math.prod(partition.weight_shape)
        self._turned = turned(partition, self.dtype.itemsize)
        self._many = home.xp.cuda.runtime.getDeviceCount() > 1
        self._hows: dict[tuple[int, int, str, bool], np.int64] = {}
        self._known: dict[int, tuple] = {}
        self._lock = threading.Lock()
        if not self.empty:
            rates = rates_of(home)
            self._deal(schedule or deal(partition, self.lead, self.dtype.itemsize, rates).schedule)
            self._cut(chunks, rates.processors)

    def _deal(self, schedule: Schedule) -> None:
        """Make what the launches of sweeps need, and put the table on the device."""
        p, s = self.partition, schedule
        self.schedule = schedule
        with self._device():
            self.table = self._upload(make_table(p, self.samples, self.grid, schedule))
            known = _MODULES.known(self.home, self.dtype)
            self._products = known.get_function(f"products{s.tile}")
            self._contract, self._total = known.get_function("contract"), known.get_function("total")
        self._sweep_name = f"sweep{s.tile}_{'shared' if s.shared else 'global'}"
        self._block, self._room = (s.threads, 1, 1), s.room(p, self.grid, self.dtype.itemsize)
        self._sweep_grid = (-(-self.samples // s.group), 1, 1)
        self._products_grid = (-(-self.rows // s.product_rows), len(p.block_order), 1)

    def _cut(self, chunks: int | None, processors: int) -> None:
        """Make what the launches of weight cotangents need."""
        strips = -(-self.channels // 32)
        tiles = math.prod(self.partition.kernel) * -(-self.channels // INPUTS) * strips
        few = max(1, 4 * processors // tiles)
        self._chunks = chunks or min(-(-self.rows // (WARPS * _ROWS)), few)
        self._contract_grids = {with_bias: (tiles + with_bias * strips, self._chunks, 1) for with_bias in (False, True)}
        self._total_grid = (-(-(self.weights + self.channels) // (32 * WARPS)), 1, 1)
        self._total_sizes = (np.int32(self._chunks), np.int32(self.weights), np.int32(self.channels))

    def _device(self) -> AbstractContextManager:
        """Return a context in which kernels and new arrays go to this plan's device."""
        return self.home.context() if self._many else nullcontext()

    def _upload(self, host: np.ndarray) -> Array:
        """Copy to the device and wait for it, so that every stream finds it there."""
        return self.home.xp.asarray(host, blocking=True)

    # Running ---------------------------------------------------------------------------------

    def solve(
        self, weight: Array, bias: Array | None, sigma: Any, y0: Array | None, z0: Array | None
    ) -> tuple[Array, Array]:
        """Run the machine in one launch; see `machinekit.engine.Plan.solve`. Never raises NotFinite."""
        return self._swept(weight, bias, sigma, y0, z0)

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
        """Run the dual and contract the weight cotangent, in two launches; see `machinekit.engine.Plan.pullback`.

        `dead` is on the device. A third launch adds up where the rows of many samples were cut into chunks.
        """
        y, z, value = state
        slope = SlopeAt(sigma, y, value) if isinstance(sigma, Blockwise) else sigma
        u, v = self._swept(weight, None, slope, *seeds, with_y=with_u)
        out, bias = self._contracted(z, v, dead, bias_shape is not None)
        return u, v, out, bias

    def products(
        self, weight: Array | None, z: Array, primal: Array | None = None
    ) -> tuple[Array | None, Array | None]:
        """Return W z, and the weight cotangent of primal and z; see `machinekit.engine.Plan.products`."""
        xp, y, out = self.home.xp, None, None
        with self._device():
            z = self._laid(z)
            if weight is not None:
                y = xp.empty(self.shape, self.dtype)
                if not self.empty:
                    lain, flipped = self._lies(weight)
                    arguments = (self.table, self._how(0, 0, "CURVE", flipped), lain, z, y)
                    self._products(self._products_grid, self._block, arguments)
        if primal is not None:
            out, _ = self._contracted(primal, z, None, False)
        return y, out

    def _swept(
        self, weight: Array, bias: Array | None, sigma: Any, y0: Array | None, z0: Array | None, with_y: bool = True
    ) -> tuple[Any, Array]:
        xp = self.home.xp
        with self._device():
            y, z = xp.empty(self.shape, self.dtype) if with_y else None, xp.empty(self.shape, self.dtype)
            if self.empty:
                return y, z
            lain, flipped = self._lies(weight)
            mode, kernel, ids, slope, value = self._pointwise(sigma)
            widths = (0 if y0 is None else y0.shape[-1], 0 if z0 is None else z0.shape[-1])
            arguments = (
                self.table, self._how(*widths, mode, flipped), lain, *map(self._argument, (bias, y0, z0)), slope, value,
                ids, _NULL if y is None else y, z,
            )  # fmt: skip
            kernel(self._sweep_grid, self._block, arguments, shared_mem=self._room)
        return y, z

    def _contracted(self, z: Array, v: Array, dead: Array | None, with_bias: bool) -> tuple[Array, Array | None]:
        xp, p = self.home.xp, self.partition
        with self._device():
            if self.empty:
                return xp.zeros(p.weight_shape, self.dtype), xp.zeros(self.channels, self.dtype) if with_bias else None
            out = xp.empty(p.weight_shape, self.dtype)
            bias = xp.empty(self.channels, self.dtype) if with_bias else None
            cut = self._chunks > 1
            parts = xp.empty((self._chunks, self.weights + self.channels), self.dtype) if cut else _NULL
            into, last = (out, _NULL if bias is None else bias), self.dtype.itemsize * 32 * WARPS * INPUTS
            arguments = (self.table, self._laid(z), self._laid(v), self._argument(dead), *into, parts)
            self._contract(self._contract_grids[with_bias], (32 * WARPS, 1, 1), arguments, shared_mem=last)
            if cut:
                self._total(self._total_grid, (32 * WARPS, 1, 1), (parts, *self._total_sizes, *into))
        return out, bias

    # Arguments -------------------------------------------------------------------------------

    def _laid(self, array: Array) -> Array:
        """Return an array in C order, itself if it is; the user's layout is that of the kernels."""
        return array if array.flags.c_contiguous else self.home.xp.ascontiguousarray(array)

    def _argument(self, array: Array | None) -> Any:
        return _NULL if array is None else self._laid(array)

    def _lies(self, weight: Array) -> tuple[Array, bool]:
        """Return a weight that kernels can read and whether it is the transpose of one that lies in C order."""
        if weight.flags.c_contiguous:
            return weight, False
        steps = zip(weight.shape, weight.strides, self._turned, strict=True)
        if all(n == 1 or have == want for n, have, want in steps):
            return weight, True
        return self.home.xp.ascontiguousarray(weight), False

    def _how(self, y0_width: int, z0_width: int, mode: str, flipped: bool) -> np.int64:
        """Return the argument that tells widths, mode and how the weight lies; it is made once for each."""
        key = (y0_width, z0_width, mode, flipped)
        found = self._hows.get(key)
        if found is None:
            bits = _BITS[mode] << _BITS["MODE"] | flipped << _BITS["TURNED"]
            found = self._hows[key] = np.int64(y0_width | z0_width << _BITS["Z0_WIDTH"] | bits)
        return found

    def _pointwise(self, sigma: Any) -> tuple[str, Any, Any, Any, Any]:
        """Return mode, kernel, ids by block, and the arrays that slopes come from."""
        if isinstance(sigma, Blockwise):
            return "CURVE", *self._curves(sigma), _NULL, _NULL
        if type(sigma) is SlopeAt and tuple(sigma.y.shape) == self.shape:
            return "SLOPE_AT", *self._curves(sigma.of), self._laid(sigma.y), self._argument(sigma.value_at)
        array = sigma.array
        full = array if tuple(array.shape) == self.shape else self.home.xp.broadcast_to(array, self.shape)
        return "SLOPE_GIVEN", *self._curves(None), self._laid(full), _NULL

    def _curves(self, sigma: Blockwise | None) -> tuple[Any, Any]:
        """Return the kernel with the activations of a machine, and the id of each block's in it."""
        found = self._known.get(id(sigma))
        if found is None:
            curves, ids = ((), _NULL) if sigma is None else self._read(sigma.activations)
            kernel = _MODULES.sweeps(self.home, self.dtype, curves).get_function(self._sweep_name)
            found = (kernel, ids, sigma)  # sigma is kept alive, for its id to stay its own
            with self._lock:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[id(sigma)] = found
        return found[0], found[1]

    def _read(self, activations: Sequence[Any]) -> tuple[tuple[Expressions, ...], Any]:
        """Return the set of activations in CUDA C++, and the id of each block's on the device, if there are several."""
        each = [read_curves([a]) if n else () for a, n in zip(activations, self.partition.sizes, strict=True)]
        if None in each:
            names = ", ".join(repr(a.name) for a, found in zip(activations, each, strict=True) if found is None)
            raise ValueError(f"a KernelPlan has no expression in CUDA C++ of {names}; use method='plan'")
        curves = read_curves(a for a, found in zip(activations, each, strict=True) if found) or ()
        if len(curves) < 2:
            return curves, _NULL
        return curves, self._upload(np.array([curves.index(c[0]) if c else 0 for c in each], np.int32))
