"""Two layouts of one array: the user's (*batch, *grid, channel), and the engine's, in which rows are contiguous."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import NUMPY, Array, Backend
from ..partitions import Partition

__all__ = ["Layout"]


class Layout:
    """The native layout (*scanned, channel, sample, *others) for one partition, leading shape and dtype.

    Parameters
    ----------
    partition : Partition
    lead : tuple of int
        (*batch, *grid), no extent zero.
    dtype : dtype
    home : Backend
        Whose arrays they are.
    samples_last : bool
        (*scanned, channel, *others, sample) instead.
    """

    def __init__(
        self,
        partition: Partition,
        lead: tuple[int, ...],
        dtype: Any,
        home: Backend = NUMPY,
        samples_last: bool = False,
    ) -> None:
        self.partition, self.lead, self.dtype = partition, lead, np.dtype(dtype)
        self.home, self.xp = home, home.xp
        self.channels = partition.channels
        cut = len(lead) - partition.axes
        self.grid, self.samples = lead[cut:], math.prod(lead[:cut])
        self.flat = (self.samples, *self.grid) if cut != 1 else None
        others = tuple(a + 1 for a in range(partition.axes) if a not in partition.scan)
        tail = (*others, 0) if samples_last else (0, *others)
        self.order = (*(a + 1 for a in partition.scan), partition.axes + 1, *tail)
        self.inverse = tuple(int(k) for k in np.argsort(self.order))
        self.sample_axis, self.channel_axis = self.order.index(0), len(partition.scan)
        self.summed = tuple(a for a in range(len(self.order)) if a != self.channel_axis)

    def native(self, array: Array) -> Array:
        """Return a view of a user's array in native layout."""
        if self.flat is not None:
            array = array.reshape((*self.flat, array.shape[-1]))
        return array.transpose(self.order)

    def user(self, native: Array) -> Array:
        """Return a view of a native array in the user's layout."""
        array = native.transpose(self.inverse)
        return array if self.flat is None else array.reshape((*self.lead, array.shape[-1]))

    def full(self, array: Array) -> Array:
        """Return a Diagonal's array, broadcast to y, in native layout."""
        shape = (*self.lead, self.partition.channels)
        return self.native(array if array.shape == shape else self.xp.broadcast_to(array, shape))

    def empty(self) -> Array:
        """Return a new native array over all channels."""
        full = (self.samples, *self.grid, self.partition.channels)
        return self.xp.empty([full[k] for k in self.order], self.dtype)
