"""Convolutions and pools written straight from their formulas, in loops over positions; and what is drawn for them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import machinekit as mk

from .strategies import batches, mostly, seeds


@dataclass(frozen=True)
class Window:
    """One geometry with one set of shapes."""

    size: tuple
    stride: tuple
    dilation: tuple
    padding: tuple
    grid: tuple
    batch: tuple
    groups: int
    widths: tuple  # of the inputs
    n_out: int
    seed: int

    @property
    def axes(self) -> int:
        return len(self.size)

    @property
    def n_in(self) -> int:
        return sum(self.widths)

    def count(self) -> tuple:
        given = zip(self.grid, self.padding, self.size, self.stride, self.dilation, strict=True)
        return tuple((n + b + a - d * (k - 1) - 1) // s + 1 for n, (b, a), k, s, d in given)

    def extra(self) -> tuple:
        """How much longer the grid is than the shortest with as many windows."""
        given = zip(self.grid, self.padding, self.size, self.stride, self.dilation, self.count(), strict=True)
        return tuple(n + b + a - d * (k - 1) - 1 - s * (m - 1) for n, (b, a), k, s, d, m in given)

    def options(self) -> dict:
        return {name: getattr(self, name) for name in ("stride", "dilation", "padding", "groups")}

    def draw(self, dtype="float64"):
        """Return weight, bias, inputs and a seed on the host."""
        rng = np.random.default_rng(self.seed)
        weight = normal(rng, (*self.size, self.n_in // self.groups, self.n_out), dtype)
        inputs = [normal(rng, (*self.batch, *self.grid, w), dtype) for w in self.widths]
        return (
            weight,
            normal(rng, (self.n_out,), dtype),
            inputs,
            normal(rng, (*self.batch, *self.count(), self.n_out), dtype),
        )


def normal(rng, shape, dtype="float64"):
    values = rng.standard_normal((2, *shape))
    return (values[0] + 1j * values[1] if dtype.startswith("complex") else values[0]).astype(dtype)


def places(window):
    """Yield (p, j, q) for every output position p, kernel index j and the position q on the grid that they meet in."""
    for p in itertools.product(*map(range, window.count())):
        for j in itertools.product(*map(range, window.size)):
            given = zip(p, j, window.size, window.stride, window.dilation, window.padding, strict=True)
            q = tuple(s * a + d * (k - 1 - i) - before for a, i, k, s, d, (before, _) in given)
            if all(0 <= a < n for a, n in zip(q, window.grid, strict=True)):
                yield p, j, q


def channels(window):
    """Yield the runs of channels (in, out) of each group."""
    i, o = window.n_in // window.groups, window.n_out // window.groups
    for g in range(window.groups):
        yield slice(g * i, (g + 1) * i), slice(g * o, (g + 1) * o)


def conv(window, weight, x):
    """y[p] = Σ_j x[s p + d (k−1−j) − before] W[j]."""
    y = np.zeros((*window.batch, *window.count(), window.n_out), np.result_type(weight, x))
    for (p, j, q), (read, write) in itertools.product(places(window), channels(window)):
        y[(..., *p, write)] += x[(..., *q, read)] @ weight[(*j, slice(None), write)]
    return y


def conv_adjoint(window, weight, y):
    """x[q] = Σ_{p, j : q} y[p] W[j]ᵀ."""
    x = np.zeros((*window.batch, *window.grid, window.n_in), np.result_type(weight, y))
    for (p, j, q), (read, write) in itertools.product(places(window), channels(window)):
        x[(..., *q, read)] += y[(..., *p, write)] @ weight[(*j, slice(None), write)].T
    return x


def conv_weight(window, x, y):
    """W[j] = Σ x[s p + d (k−1−j) − before]ᵀ y[p]."""
    weight = np.zeros((*window.size, window.n_in // window.groups, window.n_out), np.result_type(x, y))
    for (p, j, q), (read, write) in itertools.product(places(window), channels(window)):
        left, right = x[(..., *q, read)], y[(..., *p, write)]
        left, right = (a.reshape(int(np.prod(window.batch)), a.shape[-1]) for a in (left, right))
        weight[(*j, slice(None), write)] += left.T @ right
    return weight


def forth(window, backend, weight, bias=False):
    """Return the Conv of a geometry."""
    return mk.Conv(
        window.n_in, window.n_out, window.size, weight=backend.from_host(weight),
        bias=backend.from_host(bias) if bias is not False else False, **window.options(),
    )  # fmt: skip


def back(window, backend, weight, bias=False):
    """Return the ConvTranspose that leads back to its grid."""
    return mk.ConvTranspose(
        window.n_out, window.n_in, window.size, extra=window.extra(), weight=backend.from_host(weight),
        bias=backend.from_host(bias) if bias is not False else False, **window.options(),
    )  # fmt: skip


def split(array, widths):
    """Split the channels as the inputs are."""
    return np.split(array, np.cumsum(widths)[:-1], axis=-1)


@st.composite
def conv_windows(draw, most=3):
    """Any geometry of one to three axes on which at least one window fits, strides and paddings that differ."""
    axes = draw(st.integers(1, most))
    each = [draw(st.tuples(*[st.integers(1, 3)] * 3, *[st.integers(0, 3)] * 2, st.integers(0, 5))) for _ in range(axes)]
    size, stride, dilation, before, after, more = zip(*each, strict=True)
    given = zip(size, dilation, before, after, more, strict=True)
    grid = tuple(max(d * (k - 1) + 1 - b - a, 1) + e for k, d, b, a, e in given)
    groups = draw(st.integers(1, 3))
    widths = draw(st.lists(mostly(st.integers(1, 3), st.just(0)), min_size=1, max_size=3))
    widths[-1] += -sum(widths) % groups
    n_out = groups * draw(mostly(st.integers(1, 2), st.just(0)))
    padding = tuple(zip(before, after, strict=True))
    return Window(size, stride, dilation, padding, grid, draw(batches()), groups, tuple(widths), n_out, draw(seeds()))


@st.composite
def pool_windows(draw, most=3):
    """A geometry without dilation, every padding less than the size."""
    axes = draw(st.integers(1, most))
    size = draw(st.tuples(*[st.integers(1, 3)] * axes))
    stride = draw(st.tuples(*[st.integers(1, 4)] * axes))
    padding = tuple(draw(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1))) for k in size)
    grid = tuple(max(k - b - a, 1) + draw(st.integers(0, 4)) for k, (b, a) in zip(size, padding, strict=True))
    width, ones = draw(mostly(st.integers(1, 2), st.just(0))), (1,) * axes
    return Window(size, stride, ones, padding, grid, draw(batches()), 1, (width,), width, draw(seeds()))
