"""A random case of a machine: inputs, seeds and directions, drawn on the host and moved to the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import Array
from ..machines import Machine
from ..records import MachineCotangent, MachineState
from .instruments import Majorant, inner, like, sharp

__all__ = ["Case", "named", "pad"]


@dataclass(frozen=True)
class Case:
    """A machine with inputs (y0, z0), seeds on (y, z), and a direction for everything that has one.

    All arrays are over all channels unless widths are given; real parts are standard normal.
    """

    machine: Machine
    y0: Array
    z0: Array
    seed_y: Array
    seed_z: Array
    directions: dict[str, Array]

    @classmethod
    def draw(
        cls,
        machine: Machine,
        rng: np.random.Generator,
        batch: Sequence[int] = (2,),
        grid: Sequence[int] | None = None,
        widths: Sequence[int] | None = None,
        size: float = 1.0,
    ) -> Case:
        """Draw a case.

        Parameters
        ----------
        batch, grid : sequence of int
            By default the batch of a Diagonal that has one, and a grid on which every lag acts.
        widths : four ints
            Channels of y0, z0, the seed on y, the seed on z.
        size : float
            Standard deviation of y0 and z0.
        """
        p = machine.partition
        if grid is None:
            grid = [before + after + 2 + k for k, (before, after) in enumerate(p.padding)]
        lead = (*batch, *grid)
        if machine.slope_array is not None and machine.slope_array.ndim > 1:
            lead = _fit(lead, tuple(machine.slope_array.shape[:-1]))
        counts = (p.channels,) * 4 if widths is None else tuple(widths)
        is_complex = "complex" in str(machine.dtype)

        def normal(shape: Sequence[int]) -> Array:
            values = np.asarray(rng.standard_normal(tuple(shape)))
            # imaginary parts are small: tanh and its kin have poles at ±iπ/2
            return like(values + 0.25j * rng.standard_normal(tuple(shape)) if is_complex else values, machine)

        y0, z0, seed_y, seed_z = (normal((*lead, n)) for n in counts)
        y0, z0 = size * y0, size * z0
        shapes: dict[str, Any] = {"y0": y0.shape, "z0": z0.shape}
        shapes |= {name: a.shape for name, a in machine.directions().items() if a is not None}
        if "raw_margin" in shapes:  # which stands for the margin
            del shapes["margin"]
        return cls(machine, y0, z0, seed_y, seed_z, {name: normal(shape) for name, shape in shapes.items()})

    @cached_property
    def state(self) -> MachineState:
        return self.machine.solve(self.y0, self.z0)

    @cached_property
    def majorant(self) -> Majorant:
        full = [pad(a, self.machine.partition.channels) for a in (self.y0, self.z0)]
        return Majorant(self.machine, self.state, *full)

    def wide(self, name: str) -> np.ndarray:
        """Return a signal direction over all channels, on the host; a parameter direction, projected, as it is."""
        if name in ("y0", "z0"):
            return pad(self.directions[name], self.machine.partition.channels)
        return pad(self.machine.project(self.directions[name]) if name == "weight" else self.directions[name], 0)

    def loss(self, state: MachineState) -> Any:
        """Return ⟨seed_y, y⟩ + ⟨seed_z, z⟩ over the seeds' channels."""
        n, m = self.seed_y.shape[-1], self.seed_z.shape[-1]
        return inner([(self.seed_y, state.y[(..., slice(0, n))]), (self.seed_z, state.z[(..., slice(0, m))])])

    def moved(self, name: str, value: Array) -> MachineState:
        """Solve with one input or parameter replaced."""
        if name in ("y0", "z0"):
            return self.machine.solve(**{"y0": self.y0, "z0": self.z0, name: value})
        return self.machine.replace(**{name: value}).solve(self.y0, self.z0)

    def base(self, name: str) -> Array:
        """Return the value of an input or parameter."""
        return {"y0": self.y0, "z0": self.z0, **self.machine.directions()}[name]

    def double(self) -> Case:
        """Return the same case in double precision, where derivatives are measured."""
        if self.machine.precision == "double":
            return self
        kind = "complex128" if "complex" in str(self.machine.dtype) else "float64"
        machine = sharp(self.machine.astype(kind), self.machine.partition.grid(self.y0.shape))
        y0, z0, seed_y, seed_z = (like(pad(a, 0), machine) for a in (self.y0, self.z0, self.seed_y, self.seed_z))
        directions = {name: like(pad(d, 0), machine) for name, d in self.directions.items()}
        return Case(machine, y0, z0, seed_y, seed_z, directions)


def named(cotangent: MachineCotangent, name: str) -> Array:
    """Return the cotangent of an input, a parameter or the slope by name."""
    found = cotangent.parameters.get(name)
    return getattr(cotangent, name) if found is None else found


def _fit(lead: tuple[int, ...], slope: tuple[int, ...]) -> tuple[int, ...]:
    """Give the leading shape the extents on which a Diagonal insists."""
    size = max(len(lead), len(slope))
    padded, wanted = (2,) * (size - len(lead)) + lead, (1,) * (size - len(slope)) + slope
    return tuple(w if w != 1 else n for n, w in zip(padded, wanted, strict=True))


def pad(array: Array, channels: int) -> np.ndarray:
    """Return an array on the host with zero channels appended up to `channels`."""
    from ..arrays import to_host

    host = to_host(array)
    missing = channels - host.shape[-1] if host.ndim else 0
    if missing <= 0:
        return host
    return np.concatenate([host, np.zeros((*host.shape[:-1], missing), host.dtype)], axis=-1)
