"""A machine from its definition: explicit matrices, brute-force liveness, dense solves.

Nothing here is shared with the engine. The matrix is built by loops over pairs of grid positions
from ``y[g, o] = Σ z[g − (j − after), c] W[j, c, o]``, a weight is live iff all pairs of positions
on a large grid that it couples are strictly ordered, the solution is the fixed point reached from
zero, and derivatives are solutions with the block matrices [[0, W], [D, 0]] and their transposes.
Every method comes with a *scale*: the running sum of the absolute values that entered.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace

import numpy as np


@dataclass(frozen=True)
class Order:
    """The order of computation, as the constructors take it."""

    sizes: tuple
    padding: tuple = ()
    scan: tuple = ()
    reverse: tuple = ()
    time_block: tuple = ()

    @property
    def block_of(self) -> list:
        return [k for k, size in enumerate(self.sizes) for _ in range(size)]

    def place(self, g) -> tuple:
        """The time-block coordinates of a grid position, ascending in the order of computation."""
        return tuple(
            (-1 if a in self.reverse else 1) * (g[a] // b) for a, b in zip(self.scan, self.time_block, strict=False)
        )

    def rank(self, k) -> int:
        return -k if -1 in self.reverse else k

    def before(self, g, k, h, m) -> bool:
        """Whether (position g, block k) is computed strictly before (position h, block m)."""
        return (*self.place(g), self.rank(k)) < (*self.place(h), self.rank(m))

    def kernel(self) -> tuple:
        return tuple(before + after + 1 for before, after in self.padding)

    def live(self) -> np.ndarray:
        """Brute force over all pairs of positions of a grid of 3 time blocks and all lags."""
        block = dict(zip(self.scan, self.time_block, strict=False))
        extents = [3 * block.get(a, 1) + n for a, n in enumerate(self.kernel())]
        positions = list(np.ndindex(*extents))
        mask = np.zeros((*self.kernel(), len(self.block_of), len(self.block_of)), dtype=bool)
        for j in np.ndindex(*self.kernel()):
            lag = [a - after for a, (_, after) in zip(j, self.padding, strict=False)]
            pairs = set()
            for g in positions:
                source = tuple(a - ell for a, ell in zip(g, lag, strict=False))
                if all(0 <= a < n for a, n in zip(source, extents, strict=False)):
                    pairs.add((self.place(source), self.place(g)))
            for (c, k), (o, m) in itertools.product(enumerate(self.block_of), repeat=2):
                mask[(*j, c, o)] = all((*p, self.rank(k)) < (*q, self.rank(m)) for p, q in pairs)
        return mask


def explicit_matrix(padding, weight, grid) -> np.ndarray:
    """Return M with y = M z over flattened (grid position, channel), by loops over pairs of positions."""
    channels = weight.shape[-1]
    positions = list(np.ndindex(*grid))
    matrix = np.zeros((len(positions), channels, len(positions), channels), dtype=weight.dtype)
    for (p, g), (q, h) in itertools.product(enumerate(positions), repeat=2):
        j = tuple(a - b + after for a, b, (_, after) in zip(g, h, padding, strict=False))
        if all(0 <= a < before + after + 1 for a, (before, after) in zip(j, padding, strict=False)):
            matrix[p, :, q, :] = weight[j].T
    return matrix.reshape(len(positions) * channels, len(positions) * channels)


def kernel_cotangent(padding, gram, grid, channels) -> np.ndarray:
    """Return Q[j, c, o] = Σ over pairs of positions with that lag of gram[(g, o), (g − lag, c)]."""
    positions = list(np.ndindex(*grid))
    gram = gram.reshape(len(positions), channels, len(positions), channels)
    out = np.zeros((*(b + a + 1 for b, a in padding), channels, channels), dtype=gram.dtype)
    for (p, g), (q, h) in itertools.product(enumerate(positions), repeat=2):
        j = tuple(a - b + after for a, b, (_, after) in zip(g, h, padding, strict=False))
        if all(0 <= a < before + after + 1 for a, (before, after) in zip(j, padding, strict=False)):
            out[j] += gram[p, :, q, :].T
    return out


def sum_to(array, shape) -> np.ndarray:
    """Add every entry into the place of the broadcast array that it came from."""
    out = np.zeros(shape, dtype=array.dtype)
    for index in np.ndindex(*array.shape):
        tail = index[len(index) - len(shape) :]
        out[tuple(0 if n == 1 else i for i, n in zip(tail, shape, strict=False))] += array[index]
    return out


@dataclass
class Oracle:
    """One machine at one input; `sigma` is (value, slope, second) per block, or None with a `slope` array."""

    order: Order
    weight: np.ndarray
    batch: tuple
    grid: tuple
    bias: np.ndarray | None = None
    sigma: list | None = None
    slope: np.ndarray | None = None
    y0: np.ndarray | None = None
    z0: np.ndarray | None = None
    steps: int = field(default=0, init=False)

    def __post_init__(self):
        self.channels = sum(self.order.sizes)
        self.live = self.order.live()
        self.W = np.where(self.live, self.weight, 0)
        self.M = explicit_matrix(self.order.padding, self.W, self.grid)

    def flat(self, a) -> np.ndarray:
        """Widen to all channels with zeros, and flatten to (samples, positions × channels)."""
        full = np.zeros((*self.batch, *self.grid, self.channels), dtype=complex if a is None else a.dtype)
        if a is None:
            full = full.real
        else:
            full[..., : a.shape[-1]] = a
        return full.reshape(int(np.prod(self.batch)), int(np.prod(self.grid)) * self.channels)

    def full(self, a) -> np.ndarray:
        return a.reshape(*self.batch, *self.grid, self.channels)

    def pointwise(self, y, which) -> np.ndarray:
        """σ, σ′ or σ″ (which = 0, 1, 2) on flattened y, block by block."""
        y = self.full(y)
        if self.slope is not None:
            out = [self.slope * y, self.slope + 0 * y, 0 * y][which]
            return self.flat(out)
        out = np.zeros_like(y)
        edges = np.cumsum([0, *self.order.sizes])
        for k, functions in enumerate(self.sigma):
            if self.order.sizes[k]:
                out[..., edges[k] : edges[k + 1]] = functions[which](y[..., edges[k] : edges[k + 1]])
        return self.flat(out)

    @cached_property
    def index_sets(self) -> int:
        """How many distinct (time block, channel block) pairs there are."""
        sets = {(self.order.place(g), k) for g in np.ndindex(*self.grid) for k in self.order.block_of}
        return len(sets)

    def flat_bias(self) -> np.ndarray:
        positions = int(np.prod(self.grid))
        return np.zeros(positions * self.channels) if self.bias is None else np.tile(self.bias, positions)

    @cached_property
    def solution(self) -> SimpleNamespace:
        """Iterate the endofunction from zero until nothing changes, bit for bit."""
        y0, z0, b = self.flat(self.y0), self.flat(self.z0), self.flat_bias()
        y = z = np.zeros_like(y0, dtype=np.result_type(y0, z0, b, self.M, self.weight))
        if self.slope is not None:
            y = z = y.astype(np.result_type(y, self.slope))
        for step in range(self.index_sets + 2):
            new_y = z @ self.M.T + b + y0
            new_z = self.pointwise(new_y, 0) + z0
            if np.array_equal(new_y, y) and np.array_equal(new_z, z):
                self.steps = step
                break
            y, z = new_y, new_z
        else:
            raise AssertionError(f"no fixed point after {self.index_sets} steps: not of finite depth; {self.order}")
        D, D2 = self.pointwise(y, 1), self.pointwise(y, 2)
        start = np.abs(z) @ np.abs(self.M).T + np.abs(b) + np.abs(y0), np.abs(z) + np.abs(z0) + np.abs(y * D)
        ey, ez = self.linear(np.abs(self.M), np.abs(D), *start)
        return SimpleNamespace(y=y, z=z, D=D, D2=D2, ey=ey, ez=ez)

    def linear(self, M, D, start_y, start_z, adjoint=False) -> tuple:
        """Solve (1 − J) x = start, or (1 − Jᵀ) x = start, J = [[0, M], [D, 0]], sample by sample.

        The dense solve leaves rounding where the truth is exactly zero; since J is nilpotent, iterating
        x ← start + J x afterwards removes it.
        """
        n = M.shape[0]
        out = np.zeros((len(D), 2 * n), dtype=np.result_type(M, D, start_y, start_z))
        for s in range(len(D)):
            J = np.zeros((2 * n, 2 * n), dtype=np.result_type(M, D))
            J[:n, n:], J[n:, :n] = M, np.diag(D[s])
            J = J.T if adjoint else J
            start = np.concatenate([start_y[s], start_z[s]])
            solved = out[s] = np.linalg.solve(np.eye(2 * n) - J, start)
            for _ in range(2 * self.index_sets):
                out[s] = start + J @ out[s]
            assert np.allclose(solved, out[s], rtol=1e-9, atol=1e-9 * np.abs(out[s]).max(initial=0))
        return out[:, :n], out[:, n:]

    def tangent(self, y0=None, z0=None, weight=None, bias=None, slope=None) -> SimpleNamespace:
        """The derivative of the solution along directions of inputs and parameters."""
        s, M = self.solution, np.abs(self.M)
        moved = np.zeros_like(self.W) if weight is None else np.where(self.live, weight, 0)
        dM = explicit_matrix(self.order.padding, moved, self.grid)
        db = np.zeros(len(self.M)) if bias is None else np.tile(bias, int(np.prod(self.grid)))
        dd = 0 if slope is None else self.flat(slope + 0 * self.full(s.y))
        dy0, dz0 = self.flat(y0), self.flat(z0)
        y, z = self.linear(self.M, s.D, s.z @ dM.T + db + dy0, dd * s.y + dz0)
        sy = np.abs(z) @ M.T + (np.abs(s.z) + s.ez) @ np.abs(dM).T + np.abs(db) + np.abs(dy0)
        sz = np.abs(s.D * y) + np.abs(s.D2 * y) * s.ey + np.abs(dd) * (np.abs(s.y) + s.ey) + np.abs(dz0)
        ey, ez = self.linear(M, np.abs(s.D), sy, sz)
        return SimpleNamespace(y=self.full(y), z=self.full(z), ey=self.full(ey), ez=self.full(ez))

    def pullback(self, seed_z=None, seed_y=None) -> SimpleNamespace:
        """All cotangents, with scales under the same names in `.scale`."""
        s, M = self.solution, np.abs(self.M)
        v0, u0 = self.flat(seed_y), self.flat(seed_z)
        v, u = self.linear(self.M, s.D, v0, u0, adjoint=True)
        sv = np.abs(s.D * u) + np.abs(s.D2 * u) * s.ey + np.abs(v0)
        ev, eu = self.linear(M, np.abs(s.D), sv, np.abs(v) @ M + np.abs(u0), adjoint=True)
        out = self._sums(s.y, s.z, u, v)
        az, av, au, ay = np.abs(s.z), np.abs(v), np.abs(u), np.abs(s.y)
        out.scale = self._sums(ay + s.ey, az + s.ez, au + eu, av + ev)
        out.scale.y0, out.scale.z0 = self.full(ev), self.full(eu)
        return out

    def _sums(self, y, z, u, v) -> SimpleNamespace:
        gram = np.einsum("sp,sq->pq", v, z)
        weight = kernel_cotangent(self.order.padding, gram, self.grid, self.channels)
        bias = self.full(v).sum(axis=tuple(range(len(self.batch) + len(self.grid))))
        slope = None if self.slope is None else sum_to(self.full(y * u), self.slope.shape)
        return SimpleNamespace(
            y0=self.full(v), z0=self.full(u), weight=np.where(self.live, weight, 0), bias=bias, slope=slope
        )
