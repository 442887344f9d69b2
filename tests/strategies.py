"""Hypothesis draws structure, a seeded generator draws values.

A `Case` is everything that determines a test: kind of machine, order, shapes, dtype and seed. Its
repr is what a failure prints, and it is enough to run the case again.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

import machinekit as mk
from machinekit.activations import NAMES, get_activation

from .oracle import Oracle, Order

KINDS = ("dense", "conv1d", "conv2d", "recurrent", "grid")
ASYMMETRIC = tuple((b, a) for b, a in itertools.product(range(4), repeat=2) if b != a and b + a < 5)
SINGLE = ("float32", "complex64")
DTYPES = ("float64", "complex128", *SINGLE)
SMOOTH = tuple(name for name in NAMES if get_activation(name).smoothness >= 1)


@dataclass(frozen=True)
class Case:
    """One machine with one set of shapes; `activation` is a name, a name per block, or the shape of a Diagonal."""

    kind: str
    order: Order
    batch: tuple
    grid: tuple
    widths: tuple  # channels of y0, z0, the seed on y, the seed on z; None: not given
    bias: bool
    activation: object
    dtype: str
    seed: int

    @property
    def channels(self) -> int:
        return sum(self.order.sizes)

    @property
    def linear(self) -> bool:
        return isinstance(self.activation, SimpleNamespace)

    def names(self) -> tuple:
        """The activation of each block."""
        given = self.activation
        return (given,) * len(self.order.sizes) if isinstance(given, str) else tuple(given)

    def numbers(self) -> SimpleNamespace:
        """Draw all arrays on the host, in a fixed order and in float64, then cast."""
        rng = np.random.default_rng(self.seed)
        lead, channels = (*self.batch, *self.grid), self.channels
        small = 0.15 if not self.linear and "square" in str(self.activation) else 1.5

        def draw(shape, size):
            real, imaginary = rng.uniform(-size, size, shape), rng.uniform(-0.05, 0.05, shape)
            return np.asarray(real + 1j * imaginary if self.dtype.startswith("complex") else real).astype(self.dtype)

        weight = draw((*self.order.kernel(), channels, channels), 1.0)
        fan_in = np.abs(weight).sum(axis=tuple(range(weight.ndim - 1)))
        weight = (weight * (0.9 if small > 1 else 0.45) / np.maximum(fan_in, 1e-3)).astype(self.dtype)
        names = ("y0", "z0", "seed_y", "seed_z")
        signals = {n: None if w is None else draw((*lead, w), small) for n, w in zip(names, self.widths, strict=False)}
        return SimpleNamespace(
            weight=weight,
            bias=draw(channels, small / 2) if self.bias else None,
            slope=draw(self.activation.shape, 1.2) if self.linear else None,
            **signals,
            dy0=draw((*lead, channels), 1.0),
            dz0=draw((*lead, channels), 1.0),
            dweight=draw(weight.shape, 1.0),
            dbias=draw(channels, 1.0) if self.bias else None,
            dslope=draw(self.activation.shape, 1.0) if self.linear else None,
        )

    def machine(self, backend, numbers, **changes):
        """Build the machine with the constructor of its kind."""
        move, order = backend.from_host, self.order
        activation = mk.Diagonal(move(numbers.slope)) if self.linear else self._activation(backend)
        shared = {"weight": move(numbers.weight), "bias": move(numbers.bias) if self.bias else False, **changes}
        if self.kind == "dense":
            return mk.DenseMachine(order.sizes, activation, **shared)
        if self.kind.startswith("conv"):
            return mk.ConvMachine(order.sizes, activation, padding=order.padding, **shared)
        if self.kind == "recurrent":
            memory, block = max(order.padding[0]), order.time_block[0]
            more = {"memory": memory, "time_block": block, "reverse": order.reverse}
            return mk.RecurrentMachine(order.sizes, activation, **more, **shared)
        more = {"padding": order.padding, "scan": order.scan, "reverse": order.reverse, "time_block": order.time_block}
        return mk.GridMachine(order.sizes, activation, **more, **shared)

    def _activation(self, backend):
        names = self.names()
        return names[0] if isinstance(self.activation, str) else list(names)

    def oracle(self, backend, numbers) -> Oracle:
        """Build the explicit-matrix oracle, in double precision, from the same numbers."""

        def wide(a):
            return None if a is None else a.astype("complex128" if a.dtype.kind == "c" else "float64")

        sigma = None
        if not self.linear:
            sigma = [(a.value, a.derivative, a.second) for a in map(get_activation, self.names())]
        return Oracle(
            self.order, wide(numbers.weight), self.batch, self.grid, wide(numbers.bias), sigma, wide(numbers.slope),
            wide(numbers.y0), wide(numbers.z0),
        )  # fmt: skip

    def with_(self, **changes) -> Case:
        return replace(self, **changes)


@st.composite
def mostly(draw, common, edge):
    """Draw from `common` five times in six: edge cases must not crowd out the cases where something happens."""
    return draw(common if draw(st.integers(0, 5)) else edge)


def sizes(most=3, blocks=4):
    """Block sizes: one block (n = 0) to `blocks`, empty ones included."""
    rich = st.lists(st.sampled_from([0, *range(1, most + 1), 1, most]), min_size=2, max_size=blocks)
    filled = rich.filter(lambda given: sum(map(bool, given)) > 1)
    return mostly(filled, st.lists(st.integers(0, most), min_size=1, max_size=blocks)).map(tuple)


def asymmetric_padding(axes, most=4):
    """One (before, after) pair per axis, before ≠ after on each: kernels of even and odd length."""
    pairs = [p for p in ASYMMETRIC if sum(p) <= most]
    return st.tuples(*[st.sampled_from(pairs)] * axes)


@st.composite
def orders(draw, kind=None, most=3, blocks=4):
    """A kind of machine and its order of computation."""
    kind = draw(st.sampled_from(KINDS)) if kind is None else kind
    given_sizes = draw(sizes(min(most, 2) if kind in ("conv2d", "grid") else most, blocks))
    if kind == "dense":
        return kind, Order(given_sizes)
    if kind == "conv1d":
        return kind, Order(given_sizes, draw(asymmetric_padding(1)))
    if kind == "conv2d":
        return kind, Order(given_sizes, draw(asymmetric_padding(2, most=3)))
    if kind == "recurrent":
        reverse = draw(st.sampled_from([(), (0,), (-1,), (-1, 0)]))
        memory = draw(st.integers(0, 7))
        padding = ((0, memory) if 0 in reverse else (memory, 0),)
        return kind, Order(given_sizes, padding, (0,), reverse, (draw(st.integers(1, 5)),))
    axes = draw(st.integers(1, 2))
    scan = tuple(draw(st.permutations(range(axes))))[: draw(st.integers(0, axes))]
    reverse = tuple(a for a in (-1, *sorted(scan)) if draw(st.booleans()))
    time_block = tuple(draw(st.integers(1, 5 if axes == 1 else 3)) for _ in scan)
    return kind, Order(given_sizes, draw(asymmetric_padding(axes, most=3)), scan, reverse, time_block)


def batches():
    return mostly(st.sampled_from([(3,), (), (2, 2)]), st.sampled_from([(0,), (1,), (2, 0)]))


def grids(axes, least=0):
    """Grid extents, some shorter than the kernel, 0 and 1 included; `least` to leave them out."""
    most = (9, 4)[axes - 1] if axes else 0
    return st.tuples(*[mostly(st.integers(2, most), st.integers(least, max(least, 1)))] * axes) if axes else st.just(())


def activations(count, names=NAMES):
    """One name for all blocks, or one per block."""
    one = st.sampled_from(names)
    return one | st.lists(one, min_size=count, max_size=count).map(tuple)


@st.composite
def slope_shapes(draw, full):
    """The shape of a Diagonal: leading axes of y missing, others 1 or whole."""
    kept = full[draw(st.integers(0, len(full))) :]
    return SimpleNamespace(shape=tuple(n if draw(st.booleans()) else 1 for n in kept))


@st.composite
def cases(draw, kind=None, linear=None, dtypes=DTYPES, names=NAMES, least=0, most=3, blocks=4):
    """A whole case. `linear`: None either, True a Diagonal, False none. `least`: smallest grid extent."""
    kind, order = draw(orders(kind, most, blocks))
    grid = draw(grids(len(order.padding), least))
    batch = draw(batches())
    bounds = sorted({0, *np.cumsum(order.sizes).tolist()})
    width = mostly(st.sampled_from([bounds[-1], *bounds[1:]]), st.sampled_from(bounds))
    widths = (draw(width), *(draw(mostly(width, st.none())) for _ in range(3)))
    if linear is None:
        linear = draw(st.integers(0, 3)) == 0
    full = (*batch, *grid, bounds[-1])
    activation = draw(slope_shapes(full)) if linear else draw(activations(len(order.sizes), names))
    dtype = draw(st.sampled_from(dtypes))
    return Case(kind, order, batch, grid, widths, draw(st.booleans()), activation, dtype, draw(seeds()))


def seeds():
    return st.integers(0, 2**32 - 1)
