"""Random structure for the properties: sizes, orders, machines and signals, from few primitive choices.

A source offers whole numbers; Hypothesis is one, so that a failing case shrinks. Values come from a
generator with a drawn seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ..activations import Diagonal
from ..arrays import Array
from ..machines import ConvMachine, DenseMachine, GridMachine, Machine, RecurrentMachine
from ..testing import Case
from ..theory import Endofunction
from .lab import Lab

__all__ = ["KINDS", "SMOOTH", "Draws"]

T = TypeVar("T")
KINDS = ("dense", "conv", "conv2d", "recurrent", "raster")
SMOOTH = ("tanh", "sigmoid", "sin", "softplus", "silu", "identity")
"""Activations that are analytic, so that the complex step measures their derivatives."""


class Draws:
    """Draw what a property needs; remembers what it drew, for the report.

    Parameters
    ----------
    lab : Lab
        Where arrays shall live.
    whole : callable (low, high) -> int
        The source: a whole number in [low, high].
    """

    def __init__(self, lab: Lab, whole: Callable[[int, int], int]) -> None:
        self.lab, self._whole = lab, whole
        self.log: list[str] = []

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number in [low, high]."""
        return self._whole(low, high)

    def flag(self) -> bool:
        """Draw True or False."""
        return bool(self._whole(0, 1))

    def choice(self, options: Sequence[T]) -> T:
        """Draw one of some options."""
        return options[self._whole(0, len(options) - 1)]

    def rng(self) -> np.random.Generator:
        """Return a generator with a drawn seed."""
        return np.random.default_rng(self._whole(0, 2**32 - 1))

    def sizes(self, least: int = 1, most: int = 4, width: int = 3, empty: bool = True) -> tuple[int, ...]:
        """Draw block sizes; empty blocks among them, unless told."""
        return tuple(self._whole(0 if empty else 1, width) for _ in range(self._whole(least, most)))

    def machine(
        self,
        kinds: Sequence[str] = KINDS,
        *,
        sizes: tuple[int, ...] | None = None,
        activations: Sequence[str] = SMOOTH,
        bias: bool | None = None,
        linear: bool = False,
        reverse: bool = True,
    ) -> Machine:
        """Draw a machine of the lab's dtype and backend, with weights of moderate gain.

        Parameters
        ----------
        linear : bool
            With a Diagonal of random numbers in the place of σ.
        reverse : bool
            Whether axes may be swept from their end.
        """
        kind = self.choice(kinds)
        sizes = self.sizes(2, 4) if sizes is None else sizes
        given: dict[str, Any] = {}
        maker: Any = DenseMachine
        if kind in ("conv", "conv2d"):
            maker = ConvMachine
            given["padding"] = tuple(self._pair(2) for _ in range(1 if kind == "conv" else 2))
        elif kind == "recurrent":
            maker, memory = RecurrentMachine, self._whole(0, 4)
            given = {"memory": memory, "time_block": self._whole(1, 3)}
            if reverse:
                given["reverse"] = self.choice(((), (0,), (-1,), (-1, 0)))
        elif kind == "raster":
            maker = GridMachine
            given = {"padding": (self._pair(2), self._pair(1)), "scan": self.choice(((0,), (1,), (0, 1), (1, 0)))}
            given["time_block"] = tuple(self._whole(1, 2) for _ in given["scan"])
            if reverse:
                given["reverse"] = self.choice(((), (-1,), given["scan"][:1]))
        biased = self.flag() if bias is None else bias
        rng = self.rng()
        sigma = Diagonal(self.lab.array(rng.uniform(-1.2, 1.2, sum(sizes)))) if linear else self.choice(activations)
        shape = maker(sizes, rng=0, **given).partition.weight_shape
        weight = rng.uniform(-1, 1, shape)
        weight /= np.maximum(np.abs(weight).sum(axis=tuple(range(len(shape) - 1))), 1e-3)
        values = self.lab.array(rng.uniform(-0.7, 0.7, sum(sizes))) if biased else False
        machine = maker(sizes, sigma, weight=self.lab.array(1.5 * weight), bias=values, **given)
        self.log.append(repr(machine))
        return machine

    def grid(self, machine: Machine) -> tuple[int, ...]:
        """Draw extents for a machine's grid."""
        return tuple(self._whole(1, 5 if machine.partition.axes == 1 else 3) for _ in range(machine.partition.axes))

    def case(self, machine: Machine, batch: tuple[int, ...] | None = None, grid: tuple[int, ...] | None = None) -> Case:
        """Draw inputs, seeds on y and z, and directions for a machine."""
        batch = self.choice(((2,), (), (1, 3))) if batch is None else batch
        grid = self.grid(machine) if grid is None else grid
        self.log.append(f"batch {batch}, grid {grid}")
        return Case.draw(machine, self.rng(), batch, grid)

    def vector(self, n: int) -> Array:
        """Draw a vector of the lab's dtype and backend."""
        return self.lab.array(self.rng().uniform(-1.5, 1.5, n))

    def nilpotent(self, n: int, general: bool = True) -> np.ndarray:
        """Draw a nilpotent matrix of integers: strictly lower triangular, moved by an integer change of basis."""
        rng = self.rng()
        lower = np.tril(rng.integers(-3, 4, (n, n)), -1).astype(object)
        if not general:
            return lower
        change = np.tril(rng.integers(-1, 2, (n, n)), -1).astype(object) + np.eye(n, dtype=int).astype(object)
        inverse = np.eye(n, dtype=int).astype(object)
        power = inverse
        for _ in range(n):
            power = power @ (np.eye(n, dtype=int).astype(object) - change)
            inverse = inverse + power
        order = rng.permutation(n)
        turned = change.T @ lower[np.ix_(order, order)] @ inverse.T
        self.log.append(f"nilpotent matrix {turned.tolist()}")
        return turned

    def graph(self, spaces: int | None = None, hyper: bool = True) -> Endofunction:
        """Draw a sum of nonlinear edges without a cycle, on spaces of unequal dimensions."""
        rng = self.rng()
        count = self._whole(2, 5) if spaces is None else spaces
        sizes = {f"x{k}": int(rng.integers(1, 4)) for k in range(count)}
        edges: list[tuple[str, Any]] = []
        for k in range(1, count):
            for _ in range(int(rng.integers(0, 3))):
                sources = sorted(int(s) for s in rng.choice(k, size=min(k, 1 + int(rng.integers(0, 2))), replace=False))
                several = hyper and k + 1 < count and rng.random() < 0.3
                targets = [k, k + 1] if several else [k]
                names = [" ".join(f"x{s}" for s in group) for group in (sources, targets)]
                edges.append((" -> ".join(names), self.edge([sizes[f"x{s}"] for s in sources],
                                                             [sizes[f"x{t}"] for t in targets], rng)))  # fmt: skip
        f = Endofunction.of_edges(sizes, edges, like=self.lab.array(np.zeros(0)))
        self.log.append(f"edges {[e.name for e in f.edges or ()]} on {sizes}")
        return f

    def polynomial(self) -> Endofunction:
        """Draw a sum of edges A x + (B x)² with whole coefficients, without a cycle: exact on whole vectors."""
        rng = self.rng()
        sizes = {f"x{k}": int(rng.integers(1, 4)) for k in range(self._whole(2, 4))}
        names = list(sizes)

        def edge(source: str, target: str) -> Callable[[Array], Array]:
            a, b = (rng.integers(-2, 3, (sizes[target], sizes[source])).astype(object) for _ in range(2))
            return lambda x: a @ x + (b @ x) * (b @ x)

        edges = {
            f"{s} -> {t}": edge(s, t) for k, t in enumerate(names) for s in names[:k] if k == 1 or rng.random() < 0.7
        }
        self.log.append(f"edges {list(edges)} on {sizes}")
        return Endofunction.of_edges(sizes, edges)

    def edge(self, reads: Sequence[int], writes: Sequence[int], rng: np.random.Generator) -> Any:
        """Return an edge between spaces of these dimensions: tanh of a random affine map, cut into the targets."""
        weights = [[self.lab.array(rng.uniform(-1, 1, (w, r))) for r in reads] for w in writes]
        shifts = [self.lab.array(rng.uniform(-0.5, 0.5, w)) for w in writes]
        from ..arrays import namespace

        def function(*xs: Array) -> tuple[Array, ...]:
            out = []
            for rows, shift in zip(weights, shifts, strict=True):
                total = shift
                for w, x in zip(rows, xs, strict=True):
                    total = total + w @ x
                out.append(namespace(total).tanh(total))
            return tuple(out)

        return function

    def _pair(self, most: int) -> tuple[int, int]:
        return self._whole(0, most), self._whole(0, most)
