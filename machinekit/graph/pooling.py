"""AvgPool and MaxPool: the mean and the largest entry of windows of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, astype, backend_of, dtype_name, framed, namespace, real, taps
from ..linear.taps import Strided
from ..records import Cotangent, State, Tangent
from .leaf import Leaf
from .windows import check_windows, on_batch, on_samples, per_axis, read_axes, read_pairs, short_pairs, summary

__all__ = ["AvgPool", "MaxPool"]


class _Pool(Leaf):
    """What the pools share: no parameters, one input, windows of a size."""

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


class AvgPool(_Pool):
    """The mean over windows of the grid, channel by channel.

    Parameters
    ----------
    size : int or sequence of int
        Entries k of a window, per grid axis. Lengths of sequences, here and below, tell the number of grid
        axes; an integer serves all axes.
    stride : int or sequence of int, optional
        Steps s from window to window; the size by default.
    padding : int or sequence with an int or a pair (before, after) per grid axis
        Zeros around the grid, less than the size. A pair alone is not one axis: write ``((1, 0),)``.
    count_padding : bool
        Whether the mean divides by Π k everywhere, or (by default) by the entries inside the grid.
    axes : int, optional
        Number of grid axes where every argument is an integer; 2 by default.

    Raises
    ------
    ValueError
        A size or stride below 1; padding not less than the size; when called, a grid too short for one window.
    TypeError
        Anything but integers; no array.

    Notes
    -----
    y[p] = Σ_i x[s p + i − before] / N[p] with ⌊(n + before + after − k)/s⌋ + 1 positions per axis; no
    parameters. Linear: ẏ is the pool of ẋ, x̄[q] = Σ_{s p + i − before = q} ȳ[p] / N[p]. Axis by axis, Σ k
    additions per output position.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> pool = mk.AvgPool((2,))
    >>> x = np.array([1.0, 2.0, 3.0, 5.0, 8.0])[:, None]
    >>> pool(x)[:, 0]
    array([1.5, 4. ])
    >>> pool.pullback(pool.solve(x), np.array([[2.0], [4.0]])).inputs[0][:, 0]
    array([1., 1., 2., 2., 0.])
    """

    count_padding: bool

    def __init__(
        self, size: Any, *, stride: Any = None, padding: Any = 0, count_padding: bool = False, axes: int | None = None
    ) -> None:
        if not isinstance(count_padding, bool | np.bool_):
            raise TypeError(f"count_padding is {count_padding!r}; pass True or False")
        self._build(size, stride, padding, axes, count_padding=bool(count_padding))

    def solve(self, *inputs: Array) -> State:
        """Return the state of the means.

        Parameters
        ----------
        x : array of shape (*batch, *grid, channel)
        """
        x = self._read(inputs)
        return State(inputs, (on_batch(self._mean(x), self._batch(inputs[0])),))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return the means of ẋ."""
        (direction,) = self._directions(state, inputs)
        self._along(parameters)
        if direction is None:
            return Tangent((namespace(state.outputs[0]).zeros_like(state.outputs[0]),), (None,), parameters)
        return Tangent((on_batch(self._mean(self._read((direction,))), self._batch(direction)),), (direction,))

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄, each ȳ spread evenly over its window."""
        (seed,) = self._seeds(state, (y,))
        g, grid = self.geometry, tuple(state.inputs[0].shape[-1 - self.geometry.axes : -1])
        count, start, stops = self._edges(grid)
        part = on_samples(seed, g.axes) * self._weights(seed, grid)
        for axis in range(g.axes):
            shape = list(part.shape)
            shape[1 + axis] = stops[axis] - start[axis]
            wide = backend_of(part).zeros(tuple(shape), part.dtype)
            for tap in _line(axis, count[axis], g.size[axis], g.stride[axis]):
                wide[tap] += part
            part = wide
        return Cotangent((on_batch(self._back(part, grid), self._batch(seed)),), {}, (y,))

    def _mean(self, x: Array) -> Array:
        g, grid = self.geometry, tuple(x.shape[1:-1])
        count, start, stops = self._edges(grid)
        part = framed(x, start, stops)
        for axis in range(g.axes):
            first, *others = _line(axis, count[axis], g.size[axis], g.stride[axis])
            total = part[first] + part[others[0]] if others else part[first]
            for tap in others[1:]:
                total += part[tap]
            part = total
        return part * self._weights(x, grid)

    def _weights(self, x: Array, grid: Sequence[int]) -> Any:
        """Return 1 / N, a number or an array of shape (*count, 1)."""
        g = self.geometry
        if self.count_padding or not any(map(sum, g.padding)):
            return 1.0 / math.prod(g.size)
        entries = np.ones(())
        for n, k, s, (before, _), m in zip(grid, g.size, g.stride, g.padding, g.count(grid), strict=True):
            low = s * np.arange(m) - before
            entries = np.multiply.outer(entries, np.minimum(low + k, n) - np.maximum(low, 0))
        return backend_of(x).from_host(1.0 / entries[..., None], dtype_name(real(x)))


class MaxPool(_Pool):
    """The largest entry of windows of the grid, channel by channel.

    Parameters
    ----------
    size, stride, padding, axes
        As for `AvgPool`; padding counts as −∞.

    Raises
    ------
    ValueError, TypeError
        As for `AvgPool`.

    Notes
    -----
    y[p] = max_i x[s p + i − before], i over the window inside the grid; complex entries are compared by
    their real parts. Where several entries are largest, the first in C order of the window is taken: it
    alone gives ẏ[p] = ẋ[q(p)] and receives ȳ[p], so that x̄[q] = Σ_{p : q(p) = q} ȳ[p]. A NaN counts as
    larger than anything and is passed on. Its place in the window is in ``State.saved``. Π k comparisons per
    output position.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> pool = mk.MaxPool((2,))
    >>> x = np.array([1.0, 3.0, 5.0, 5.0])[:, None]
    >>> pool(x)[:, 0]
    array([3., 5.])
    >>> pool.pullback(pool.solve(x), np.array([[2.0], [4.0]])).inputs[0][:, 0]
    array([0., 2., 4., 0.])
    """

    def __init__(self, size: Any, *, stride: Any = None, padding: Any = 0, axes: int | None = None) -> None:
        self._build(size, stride, padding, axes)

    def solve(self, *inputs: Array) -> State:
        """Return the state of the largest entries; ``saved`` holds the place of each in its window, in C order.

        Parameters
        ----------
        x : array of shape (*batch, *grid, channel)
        """
        x, xp = self._read(inputs), namespace(inputs[0])
        count, start, stops = self._edges(x.shape[1:-1])
        wide = framed(x, start, stops, -math.inf)
        each = self._taps(count)
        padded = any(map(sum, self.geometry.padding))
        best = xp.full_like(wide[each[0]], -math.inf) if padded else astype(wide[each[0]])
        place = self._first(x, count)
        for k in range(0 if padded else 1, len(each)):
            entry = wide[each[k]]
            # not (entry ≤ best) holds for a NaN entry too; a NaN that is there already stays
            better = ~(real(entry) <= real(best)) & (best == best)
            best = xp.where(better, entry, best)
            place = xp.where(better, xp.full_like(place, k), place)
        batch = self._batch(inputs[0])
        return State(inputs, (on_batch(best, batch),), on_batch(place, batch))

    def pushforward(self, state: State, *inputs: Array | None, **parameters: Array) -> Tangent:
        """Return ẋ where x is largest."""
        (direction,) = self._directions(state, inputs)
        self._along(parameters)
        xp = namespace(state.outputs[0])
        if direction is None:
            return Tangent((xp.zeros_like(state.outputs[0]),), (None,), parameters)
        flat = self._read((direction,))
        place = on_samples(state.saved, self.geometry.axes)
        count, start, stops = self._edges(flat.shape[1:-1])
        wide, taken = framed(flat, start, stops), 0.0
        for k, tap in enumerate(self._taps(count)):
            entry = wide[tap]
            taken = xp.where(place == k, entry, xp.zeros_like(entry) if not k else taken)
        return Tangent((on_batch(taken, self._batch(direction)),), (direction,))

    def pullback(self, state: State, y: Array | None = None) -> Cotangent:
        """Return x̄: each ȳ goes to the entry that was largest."""
        (seed,) = self._seeds(state, (y,))
        axes, xp = self.geometry.axes, namespace(seed)
        grid = tuple(state.inputs[0].shape[-1 - axes : -1])
        flat, place = on_samples(seed, axes), on_samples(state.saved, axes)
        count, start, stops = self._edges(grid)
        extent = (b - a for a, b in zip(start, stops, strict=True))
        wide = backend_of(flat).zeros((flat.shape[0], *extent, flat.shape[-1]), flat.dtype)
        none = xp.zeros_like(flat)
        for k, tap in enumerate(self._taps(count)):
            wide[tap] += xp.where(place == k, flat, none)
        return Cotangent((on_batch(self._back(wide, grid), self._batch(seed)),), {}, (y,))

    def _taps(self, count: Sequence[int]) -> list[tuple]:
        g = self.geometry
        return taps(count, g.size, g.stride, g.dilation)

    def _first(self, x: Array, count: Sequence[int]) -> Array:
        """Return the first place inside the grid of each window: where all is −∞, that is the largest."""
        g = self.geometry
        place = np.zeros((), dtype=np.int32)
        for k, s, (before, _), m in zip(g.size, g.stride, g.padding, count, strict=True):
            place = np.add.outer(place * k, np.maximum(before - s * np.arange(m), 0))
        host = np.broadcast_to(place[..., None], (x.shape[0], *count, x.shape[-1]))
        return backend_of(x).from_host(host, "int32" if math.prod(g.size) > 127 else "int8")


def _line(axis: int, count: int, size: int, stride: int) -> list[tuple]:
    """Return the index of each entry of windows along one axis, on (samples, *grid, channel)."""
    return [(slice(None),) * axis + tap for tap in taps((count,), (size,), (stride,), (1,))]
