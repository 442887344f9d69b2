"""Random machines solved twice: by the lab, and explicitly, with the scales that rounding errors are measured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..machines import Machine
from ..records import MachineState
from ..testing import Case
from .draws import Draws
from .explicit import Explicit, wide
from .lab import Lab

__all__ = ["Drawn", "Pair", "Point", "drawn"]


@dataclass(frozen=True)
class Pair:
    """Two arrays, and the scales against which an error in them is measured."""

    first: np.ndarray
    second: np.ndarray
    scale_first: np.ndarray
    scale_second: np.ndarray


@dataclass(frozen=True)
class Point:
    """A solution, with σ′ and σ″ there; the scales are what rounding errors of one unit each can grow to."""

    of: Explicit
    y: np.ndarray
    z: np.ndarray
    slope: np.ndarray
    second: np.ndarray
    scale_y: np.ndarray
    scale_z: np.ndarray

    @classmethod
    def at(cls, e: Explicit, y0: np.ndarray, z0: np.ndarray) -> Point:
        """Return the solution at an input."""
        y, z = e.solve(y0, z0)
        slope, second = e.sigma(y, 1), e.sigma(y, 2)
        start_y = e.times(np.abs(e.matrix), np.abs(z)) + np.abs(e.bias) + np.abs(y0)
        start_z = np.abs(z) + np.abs(z0) + np.abs(y * slope)
        return cls(e, y, z, slope, second, *e.line(np.abs(e.matrix), np.abs(slope), start_y, start_z))

    def tangent(self, along: Mapping[str, np.ndarray]) -> Pair:
        """Return (ẏ, ż) along inputs and parameters by name."""
        e, size, zero = self.of, {k: np.abs(d) for k, d in along.items()}, 0.0 * self.y
        start_y = zero + along.get("bias", 0.0) + along.get("y0", 0.0)
        start_z = zero + along.get("slope", 0.0) * self.y + along.get("z0", 0.0)
        size_y = zero + size.get("bias", 0.0) + size.get("y0", 0.0)
        size_z = zero + size.get("slope", 0.0) * (np.abs(self.y) + self.scale_y) + size.get("z0", 0.0)
        if "weight" in along:
            moved = e.spread_kernel(along["weight"])
            start_y = start_y + e.times(moved, self.z)
            size_y = size_y + e.times(np.abs(moved), np.abs(self.z) + self.scale_z)
        y, z = e.line(e.matrix, self.slope, start_y, start_z)
        size_y = size_y + e.times(np.abs(e.matrix), np.abs(z))
        return Pair(y, z, *e.line(np.abs(e.matrix), np.abs(self.slope), size_y, size_z + self._slopes(y)))

    def dual(self, u0: np.ndarray, v0: np.ndarray) -> Pair:
        """Return (u, v) of u = Wᵀ v + u0, v = σ′(y) ⊙ u + v0."""
        e = self.of
        u, v = e.line(e.matrix.T, self.slope, u0, v0)
        size_u = e.times(np.abs(e.matrix).T, np.abs(v)) + np.abs(u0)
        return Pair(u, v, *e.line(np.abs(e.matrix).T, np.abs(self.slope), size_u, self._slopes(u) + np.abs(v0)))

    def kernel(self, dual: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Return the weight cotangent and its scale."""
        e, z, v = self.of, np.abs(self.z), np.abs(dual.second)
        return e.kernel(dual.second, self.z), e.kernel(v + dual.scale_second, z) + e.kernel(v, self.scale_z)

    def _slopes(self, y: np.ndarray) -> np.ndarray:
        """Return the size of what enters σ′(y) ⊙ ẏ: slopes are computed from numbers of size 1, at a rounded y."""
        return (1 + np.abs(self.slope) + np.abs(self.second) * self.scale_y) * np.abs(y)


@dataclass(frozen=True)
class Drawn:
    """A random machine with inputs, seeds and directions, solved by the lab and explicitly."""

    machine: Machine
    case: Case
    state: MachineState
    point: Point
    y0: np.ndarray
    z0: np.ndarray
    v0: np.ndarray
    u0: np.ndarray
    along: dict[str, np.ndarray]

    @property
    def explicit(self) -> Explicit:
        return self.point.of


def drawn(
    lab: Lab, draws: Draws, machine: Machine | None = None, grid: tuple[int, ...] | None = None, **options: Any
) -> Drawn:
    """Draw a case; options go to `Draws.machine`, unless a machine is given."""
    options = {"linear": draws.choice((False, False, False, True)), **options}
    m = draws.machine(**options) if machine is None else machine
    case = draws.case(m, grid=grid)
    explicit = Explicit(m, m.partition.grid(case.y0.shape))
    y0, z0, v0, u0 = (wide(a) for a in (case.y0, case.z0, case.seed_y, case.seed_z))
    along = {name: wide(d) for name, d in case.directions.items()}
    return Drawn(m, case, lab.solve(m, case.y0, case.z0), Point.at(explicit, y0, z0), y0, z0, v0, u0, along)
