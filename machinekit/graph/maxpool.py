"""MaxPool: the largest entry of windows of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

from ..arrays import Array, astype, backend_of, framed, namespace, real, taps
from ..errors import DerivativeError
from ..records import Cotangent, State, Tangent
from .pooling import Pool
from .windows import on_batch, on_samples

__all__ = ["MaxPool"]


class MaxPool(Pool):
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
    larger than anything and is passed on. Its place in the window is in ``State.saved``. Linear in pieces, of
    class C⁰: there is no second derivative, and `pullback_tangent` raises DerivativeError, as for relu. Π k comparisons
    per output position.

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
        place = self._first(best, x.shape[1:-1])
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

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, *outputs: Array | None
    ) -> NoReturn:
        """Raise DerivativeError: a maximum is linear in pieces, of class C⁰."""
        raise DerivativeError(
            "pullback_tangent needs an op of class C^1 and MaxPool is of class C^0; use a smoother one, such as AvgPool"
        )

    def _taps(self, count: Sequence[int]) -> list[tuple]:
        g = self.geometry
        return taps(count, g.size, g.stride, g.dilation)

    def _first(self, best: Array, grid: Sequence[int]) -> Array:
        """Return the first place inside the grid of each window: where all is −∞, that is the largest."""
        g, home = self.geometry, backend_of(best)
        place = home.zeros(tuple(best.shape), "int32" if math.prod(g.size) > 127 else "int8")
        if not any(map(sum, g.padding)):
            return place
        count, start, stops = self._edges(grid)
        inside = framed(home.zeros((1, *grid, 1), "float32") + 1.0, start, stops)
        for k, tap in reversed(list(enumerate(self._taps(count)))):
            place = home.xp.where(inside[tap] > 0, home.xp.full_like(place, k), place)
        return place
