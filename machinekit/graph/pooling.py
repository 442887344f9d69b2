"""What AvgPool and MaxPool share: windows of a grid, and where they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays import Array, framed
from ..linear.taps import Strided
from .leaf import Leaf
from .windows import check_windows, on_samples, per_axis, read_axes, read_pairs, short_pairs, summary

__all__ = ["Pool"]


class Pool(Leaf):
    """Base of the pools: no parameters, one input, windows of a size."""

    reads_outputs = False
    size: tuple[int, ...]
    geometry: Strided

    def _build(self, size: Any, stride: Any, padding: Any, axes: int | None, **more: Any) -> None:
        stride = size if stride is None else stride
        axes = read_axes(axes, size=size, stride=stride, padding=padding)
        sizes, strides = per_axis("size", size, axes, 1), per_axis("stride", stride, axes, 1)
        pairs = read_pairs("padding", padding, axes)
        short_pairs(pairs, sizes)
        self.__dict__["geometry"] = Strided(sizes, strides, (1,) * axes, pairs)
        self._fill({}, size=sizes, stride=strides, padding=pairs, **more)

    def __repr__(self) -> str:
        zero = tuple((0, 0) for _ in self.size)
        told = summary(self._options, {"stride": self.size, "padding": zero})
        more = summary(self._options, {"count_padding": False}) if "count_padding" in self._options else ""
        return f"{type(self).__name__}({self.size}{told}{more})"

    def _read(self, inputs: Sequence[Array]) -> Array:
        """Check the one input and return it on samples."""
        (x,) = self._one(inputs)
        check_windows(type(self).__name__, x, self.geometry)
        return on_samples(x, self.geometry.axes)

    def _batch(self, x: Array) -> tuple[int, ...]:
        return tuple(x.shape[: -1 - self.geometry.axes])

    def _edges(self, grid: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return how many windows there are, and from where to where they reach."""
        g = self.geometry
        count = g.count(grid)
        start = tuple(-before for before, _ in g.padding)
        given = zip(start, g.stride, count, g.size, strict=True)
        return count, start, tuple(b + s * (n - 1) + k for b, s, n, k in given)

    def _back(self, frame: Array, grid: Sequence[int]) -> Array:
        """Cut the cotangent of what the windows reach to the grid, zero where they do not reach."""
        starts = [before for before, _ in self.geometry.padding]
        return framed(frame, starts, [a + n for a, n in zip(starts, grid, strict=True)])
