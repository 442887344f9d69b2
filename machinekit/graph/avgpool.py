"""AvgPool: the mean of windows of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, framed, namespace, real, taps
from ..records import Cotangent, State, Tangent
from .op import Linear
from .pooling import Pool
from .windows import on_batch, on_samples

__all__ = ["AvgPool"]


class AvgPool(Linear, Pool):
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
        return self._sums(x) * self._weights(x, tuple(x.shape[1:-1]))

    def _sums(self, x: Array) -> Array:
        """Return the sums of all windows, zero outside the grid."""
        g = self.geometry
        count, start, stops = self._edges(tuple(x.shape[1:-1]))
        part = framed(x, start, stops)
        for axis in range(g.axes):
            first, *others = _line(axis, count[axis], g.size[axis], g.stride[axis])
            total = part[first] + part[others[0]] if others else part[first]
            for tap in others[1:]:
                total += part[tap]
            part = total
        return part

    def _weights(self, x: Array, grid: Sequence[int]) -> Any:
        """Return 1 / N, a number or an array of shape (*count, 1)."""
        g = self.geometry
        if self.count_padding or not any(map(sum, g.padding)):
            return 1.0 / math.prod(g.size)
        return 1.0 / self._sums(backend_of(x).zeros((1, *grid, 1), real(x).dtype) + 1.0)


def _line(axis: int, count: int, size: int, stride: int) -> list[tuple]:
    """Return the index of each entry of windows along one axis, on (samples, *grid, channel)."""
    return [(slice(None),) * axis + tap for tap in taps((count,), (size,), (stride,), (1,))]
