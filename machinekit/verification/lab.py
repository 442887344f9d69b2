"""The implementation under test: a table of the functions that the properties call.

A property never calls the library directly where the paper makes a statement; it asks the lab. A mutant
is a lab in which one entry is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import theory
from ..arrays import NUMPY, Array, Backend, pick_backend
from ..linear import apply as apply_kernel
from ..machines import Machine
from ..partitions import Partition
from ..records import MachineCotangent, MachineState

__all__ = ["Lab"]


def _solve(m: Machine, y0: Array | None, z0: Array | None = None) -> MachineState:
    return m.solve(y0, z0)


def _tangent(m: Machine, state: MachineState, y0: Array, z0: Array | None = None) -> tuple[Array, Array]:
    solution = m.tangent(state).solve(y0, z0)
    return solution.y, solution.z


def _dual(m: Machine, state: MachineState, u0: Array, v0: Array | None = None) -> tuple[Array, Array]:
    solution = m.dual(state).solve(u0, v0)
    return solution.y, solution.z


def _pullback(m: Machine, state: MachineState, z: Array | None, y: Array | None) -> MachineCotangent:
    return m.pullback(state, z, y=y)


def _weight_cotangent(m: Machine, state: MachineState, z: Array | None, y: Array | None) -> Array:
    return m.pullback(state, z, y=y).weight


def _slope(m: Machine, state: MachineState) -> Array:
    return m.slope(state)


def _live(p: Partition) -> np.ndarray:
    return p.live()


def _linear(m: Machine, z: Array) -> Array:
    return apply_kernel(m.partition, m.weight, z)


def _lifted(f: theory.Endofunction, x0: Array, schedule: Sequence[Sequence[str]] | None = None) -> tuple[Array, ...]:
    return theory.lifted_depth_sequence(f, x0, schedule=schedule).values


def _numeric_depth(f: theory.Endofunction, rng: int = 0) -> float:
    return theory.depth(f, method="iteration", rng=rng)


def _structural_depth(f: Any, grid: tuple[int, ...] = ()) -> float:
    return theory.depth(f, grid)


def _gradient_by_jacobian(jacobian: np.ndarray, seed: np.ndarray) -> np.ndarray:
    return jacobian.T @ seed


@dataclass(frozen=True)
class Lab:
    """What the properties ask.

    Attributes
    ----------
    name : str
        "" for the library itself; a mutant's name otherwise.
    backend : Backend
    dtype : str
        Of the machines that are drawn: float64 or float32.
    solve : callable (machine, y0, z0) -> MachineState
    tangent, dual : callable (machine, state, …) -> pair of arrays
        (ẏ, ż) from (ẏ0, ż0), and (u, v) from (u0, v0).
    pullback : callable (machine, state, seed on z, seed on y) -> MachineCotangent
    weight_cotangent : callable (machine, state, seed on z, seed on y) -> array
    slope : callable (machine, state) -> array
    live : callable (partition) -> bool array
    linear : callable (machine, z) -> array
        W z.
    lifted : callable (f, x0, schedule) -> tuple of vectors
    numeric_depth, structural_depth : callable (f, …) -> number
    independent : callable (f1, f2, rng=…) -> bool
    resolvent_of_sum : callable (f1, f2, x0) -> vector
    dual_flag : callable (cofiltration) -> cofiltration
    chain_gradient : callable (jacobian, seed) -> vector
        The chain rule of a directed acyclic graph.
    """

    name: str = ""
    backend: Backend = NUMPY
    dtype: str = "float64"
    solve: Callable[..., MachineState] = _solve
    tangent: Callable[..., tuple[Array, Array]] = _tangent
    dual: Callable[..., tuple[Array, Array]] = _dual
    pullback: Callable[..., MachineCotangent] = _pullback
    weight_cotangent: Callable[..., Array] = _weight_cotangent
    slope: Callable[..., Array] = _slope
    live: Callable[[Partition], np.ndarray] = _live
    linear: Callable[..., Array] = _linear
    lifted: Callable[..., tuple[Array, ...]] = _lifted
    numeric_depth: Callable[..., float] = _numeric_depth
    structural_depth: Callable[..., float] = _structural_depth
    independent: Callable[..., bool] = theory.is_independent
    resolvent_of_sum: Callable[..., Array] = theory.resolvent_of_sum
    dual_flag: Callable[[theory.Cofiltration], theory.Cofiltration] = theory.Cofiltration.dual
    chain_gradient: Callable[[np.ndarray, np.ndarray], np.ndarray] = _gradient_by_jacobian

    @classmethod
    def on(cls, backend: str | None = None, dtype: str = "float64") -> Lab:
        """Return the lab of a backend.

        Raises
        ------
        ValueError
            For another dtype than float64 and float32, or an unknown backend.
        ModuleNotFoundError, RuntimeError
            CuPy is not installed; there is no GPU.
        """
        if dtype not in ("float64", "float32"):
            raise ValueError(f"dtype is {dtype!r}; the properties are verified in float64 or float32")
        return cls(backend=pick_backend(backend), dtype=dtype)

    def but(self, name: str, **entries: Any) -> Lab:
        """Return a lab with other entries: a mutant."""
        return replace(self, name=name, **entries)

    def array(self, values: Any) -> Array:
        """Return host values as an array of the lab's dtype on its backend."""
        return self.backend.from_host(np.asarray(values).astype(self.dtype))
