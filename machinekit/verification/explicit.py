"""An explicit oracle: a machine as one dense matrix on (grid position × channel), from the definition alone.

Loops over pairs of positions on the host, in double precision. Of a machine only its order and its numbers are
read; the rules of the partition, the linear operators and the engine are not used.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..activations import Diagonal
from ..arrays import to_host
from ..machines import Machine

__all__ = ["Explicit", "wide"]

_STEP = 1e-20


def _sigmoid(y: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-y))


def _bump(y: np.ndarray) -> np.ndarray:
    return _sigmoid(y) * _sigmoid(-y)


_CURVES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tanh": (np.tanh, lambda y: 1 - np.tanh(y) ** 2, lambda y: -2 * np.tanh(y) * (1 - np.tanh(y) ** 2)),
    "sigmoid": (_sigmoid, _bump, lambda y: _bump(y) * (1 - 2 * _sigmoid(y))),
    "sin": (np.sin, np.cos, lambda y: -np.sin(y)),
    "softplus": (lambda y: np.log1p(np.exp(y)), _sigmoid, _bump),
    "silu": (lambda y: y * _sigmoid(y), lambda y: _sigmoid(y) + y * _bump(y),
             lambda y: _bump(y) * (2 + y * (1 - 2 * _sigmoid(y)))),
    "identity": (lambda y: y + 0, np.ones_like, np.zeros_like),
}  # fmt: skip


def wide(array: Any) -> np.ndarray:
    """Return an array on the host in double precision."""
    host = to_host(array)
    return host.astype(complex if np.iscomplexobj(host) else float)


class Explicit:
    """The matrix, the index sets and the live weights of a machine on a grid.

    Parameters
    ----------
    m : Machine
    grid : tuple of int

    Attributes
    ----------
    live : bool array of shape (*lag, in, out)
        By all pairs of positions of one period of the unbounded grid.
    matrix : array of shape (position × channel, position × channel)
        ``y = matrix @ z + bias + y0`` for one sample, flattened.
    """

    def __init__(self, m: Machine, grid: tuple[int, ...]) -> None:
        p = m.partition
        self.grid, self.padding, self.scan, self.extents = tuple(grid), p.padding, p.scan, p.time_block
        self.reverse, self.shape = p.reverse, p.weight_shape
        sign = -1 if -1 in p.reverse else 1
        self.rank = np.array([sign * k for k, size in enumerate(p.sizes) for _ in range(size)], dtype=int)
        self.positions = list(itertools.product(*(range(n) for n in self.grid)))
        self.n = len(self.positions) * len(self.rank)
        self.live = self._live()
        self.weight = np.where(self.live, wide(m.weight), 0)
        self.bias = np.zeros(len(self.rank)) if m.bias is None else wide(m.bias)
        sigma = m.pointwise
        self.slope = wide(sigma.array) if isinstance(sigma, Diagonal) else None
        self.name = "" if isinstance(sigma, Diagonal) else sigma.activations[0].name

    def but(self, **parameters: np.ndarray) -> Explicit:
        """Return the same with other numbers: weight, bias, slope."""
        other = copy.copy(self)
        other.__dict__.pop("matrix", None)
        other.__dict__.update(parameters)
        return other

    def place(self, g: tuple[int, ...]) -> tuple[int, ...]:
        """Return the time blocks of a position, ascending in the order of computation."""
        pairs = zip(self.scan, self.extents, strict=True)
        return tuple((-1 if axis in self.reverse else 1) * (g[axis] // extent) for axis, extent in pairs)

    def _live(self) -> np.ndarray:
        mask = np.ones(self.shape, dtype=bool)
        period = [range(dict(zip(self.scan, self.extents, strict=True)).get(a, 1)) for a in range(len(self.padding))]
        for j in np.ndindex(*self.shape[:-2]):
            for g in itertools.product(*period):  # moving a pair by a time block changes no order
                h = tuple(a - k + after for a, k, (_, after) in zip(g, j, self.padding, strict=True))
                here, there = self.place(h), self.place(g)
                mask[j] &= here < there if here != there else self.rank[:, None] < self.rank[None, :]
        return mask

    def _taps(self) -> Any:
        """Yield (target position, source position, kernel index) for all pairs that the kernel couples."""
        for (p, g), (q, h) in itertools.product(enumerate(self.positions), repeat=2):
            j = tuple(a - b + after for a, b, (_, after) in zip(g, h, self.padding, strict=True))
            if all(0 <= a < n for a, n in zip(j, self.shape[:-2], strict=True)):
                yield p, q, j

    def spread_kernel(self, kernel: np.ndarray) -> np.ndarray:
        """Return a kernel, its dead entries dropped, as a matrix."""
        kernel, channels = np.where(self.live, kernel, 0), len(self.rank)
        matrix = np.zeros((len(self.positions), channels, len(self.positions), channels), dtype=kernel.dtype)
        for p, q, j in self._taps():
            matrix[p, :, q, :] = kernel[j].T
        return matrix.reshape(self.n, self.n)

    def kernel(self, v: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return Q[ℓ, c, o] = Σ z[g − ℓ, c] v[g, o] over samples and pairs of positions, 0 where dead."""
        samples, channels = math.prod(z.shape) // max(self.n, 1), len(self.rank)
        gram = v.reshape(samples, self.n).T @ z.reshape(samples, self.n)
        gram = gram.reshape(len(self.positions), channels, len(self.positions), channels)
        out = np.zeros(self.shape, dtype=gram.dtype)
        for p, q, j in self._taps():
            out[j] += gram[p, :, q, :].T
        return np.where(self.live, out, 0)

    @cached_property
    def matrix(self) -> np.ndarray:
        return self.spread_kernel(self.weight)

    @cached_property
    def sets(self) -> list[np.ndarray]:
        """The index sets I_0, I_1, … in order, as places in a flattened sample."""
        found: dict[tuple, list[int]] = {}
        for place, (g, rank) in enumerate(itertools.product(self.positions, self.rank.tolist())):
            found.setdefault((*self.place(g), rank), []).append(place)
        return [np.array(found[key]) for key in sorted(found)]

    @cached_property
    def when(self) -> np.ndarray:
        """The number of the index set of each place in a flattened sample."""
        out = np.zeros(self.n, dtype=int)
        for k, places in enumerate(self.sets):
            out[places] = k
        return out

    def times(self, matrix: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Apply a matrix to every sample of an array of shape (*batch, *grid, channel)."""
        samples = math.prod(z.shape) // max(self.n, 1)
        return (z.reshape(samples, self.n) @ matrix.T).reshape(z.shape)

    def sigma(self, y: np.ndarray, order: int = 0) -> np.ndarray:
        """Return σ, σ′ or σ″ at y."""
        if self.slope is None:
            return _CURVES[self.name][order](y)
        return (self.slope * y, self.slope + 0 * y, 0 * y)[order]

    def solve(self, y0: np.ndarray, z0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Iterate y ← W z + b + y0, z ← σ(y) + z0, once for each index set: a set is right once all before it are."""
        y, z = y0, z0
        for _ in self.sets:
            y = self.times(self.matrix, z) + self.bias + y0
            z = self.sigma(y) + z0
        return y, z

    def line(self, matrix: np.ndarray, slope: np.ndarray, y0: Any, z0: Any) -> tuple[np.ndarray, np.ndarray]:
        """Iterate y ← matrix z + y0, z ← slope ⊙ y + z0, once for each index set."""
        y, z = y0, z0
        for _ in self.sets:
            y = self.times(matrix, z) + y0
            z = slope * y + z0
        return y, z

    def step(self, y0: np.ndarray, z0: np.ndarray, along: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivative of the solution by the complex step, along inputs and parameters by name."""
        moved = {k: getattr(self, k) + 1j * _STEP * d for k, d in along.items() if k not in ("y0", "z0")}
        start = [x + 1j * _STEP * along.get(k, 0.0 * x) for k, x in (("y0", y0), ("z0", z0))]
        y, z = self.but(**moved).solve(*start)
        return y.imag / _STEP, z.imag / _STEP
