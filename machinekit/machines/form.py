"""Form: the structure and the parameters of a machine, immutable; every change returns another machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ..activations import Activation, Diagonal, Pointwise
from ..arrays import (
    Array,
    Backend,
    as_array,
    astype,
    backend_of,
    dtype_name,
    namespace,
    pick_backend,
    precision,
    to_host,
)
from ..engine import PlanCache
from ..partitions import Partition
from .build import Given, cast, on_device_of, read_bias, read_dtype, read_keep, read_slope, read_weight
from .checks import check_direction
from .describe import describe, summary
from .kept import Kept

__all__ = ["Form"]

_BOX = 256
"""Entries of a weight for each dead box, from which clearing the boxes is faster than a mask."""


class Form(Kept):
    """An ordered partition, a weight that is zero where dead, a bias or none, and a pointwise map."""

    partition: Partition
    weight: Array
    bias: Array | None
    _sigma: Pointwise
    _live: np.ndarray
    _live_here: Array
    dtype: Any
    precision: str

    def __init__(self, partition: Partition, given: Given) -> None:
        weight, live = read_weight(partition, given)
        sigma = read_slope(given, weight, partition)
        self._fill(partition, weight, read_bias(partition, given, weight), sigma, live)

    _pruned: bool

    def _fill(
        self,
        partition: Partition,
        weight: Array,
        bias: Array | None,
        sigma: Pointwise,
        live: np.ndarray,
        live_here: Array = None,
        plans: PlanCache | None = None,
        pruned: bool = False,
    ) -> None:
        xp = namespace(weight)
        arrays = [a for a in (weight, bias, getattr(sigma, "array", None)) if a is not None]
        for array in arrays:
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        self.__dict__.update(
            partition=partition, weight=weight, bias=bias, dtype=xp.result_type(*arrays),
            precision=precision(weight, "weight"), _sigma=sigma, _live=live, _pruned=pruned,
            _live_here=on_device_of(weight, live) if live_here is None else live_here,
            _plans=PlanCache() if plans is None else plans, _known={}, _kind=type(weight),
        )  # fmt: skip

    def _derive(self, **changes: Any) -> Self:
        """Return a machine of the same class with trusted parts changed."""
        new = object.__new__(type(self))
        new._fill(**{**self._parts(), **changes})
        return new

    def _parts(self) -> dict[str, Any]:
        return {"partition": self.partition, "weight": self.weight, "bias": self.bias, "sigma": self._sigma,
                "live": self._live, "live_here": self._live_here, "plans": self._plans,
                "pruned": self._pruned}  # fmt: skip

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a machine does not change; use machine.replace({name}=…), which returns another")

    def __repr__(self) -> str:
        return summary(self)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Channels of the blocks."""
        return self.partition.sizes

    @property
    def activation(self) -> Activation | Diagonal | tuple[Activation, ...]:
        """The activation: one, or a tuple with one per block."""
        if isinstance(self._sigma, Diagonal):
            return self._sigma
        each = self._sigma.activations
        return each[0] if all(a is each[0] for a in each) else each

    @property
    def pointwise(self) -> Pointwise:
        """σ as the sweep sees it: one map over all blocks."""
        return self._sigma

    @property
    def slope_array(self) -> Array | None:
        """The array of a linear machine's Diagonal; None for a nonlinear machine."""
        return self._sigma.array if isinstance(self._sigma, Diagonal) else None

    @property
    def live(self) -> np.ndarray:
        """Mask of the live weights, bool of shape (*lag, in, out), on the host; a copy."""
        return self._live.copy()

    def reads(self) -> np.ndarray:
        """Return which entries of W may be other than zero, bool of shape (*lag, in, out), on the host."""
        return self.live

    @property
    def parameter_count(self) -> int:
        """Live weights plus bias entries."""
        return int(self._live.sum()) + (0 if self.bias is None else self.partition.channels)

    @property
    def kernel(self) -> Array:
        """W as it meets z, of shape (*lag, in, out): the weight itself, unless W is made of other parameters."""
        return self.weight

    @property
    def backend(self) -> str:
        """Name of the library that holds the parameters."""
        return backend_of(self.weight).name

    def depth_bound(self, grid: tuple[int, ...] = ()) -> int:
        """Return the bound 2n + 1 on the depth of f on X, for n + 1 non-empty index sets on `grid`.

        One more if the bias of the first set is not zero; 0 where there is nothing to compute
        (arXiv:2204.12786, §3).

        Raises
        ------
        ValueError
            If `grid` has not one extent per grid axis.
        """
        grid = tuple(grid)
        if len(grid) != self.partition.axes or any(n < 0 for n in grid):
            raise ValueError(
                f"grid is {grid}; pass one extent, at least 0, for each of the {self.partition.axes} grid axes"
            )
        sets = self.partition.count(grid)
        if not sets:
            return 0
        first = self.partition.blocks[self.partition.block_order[0]]
        biased = self.bias is not None and bool(np.any(to_host(self.bias)[first]))
        return 2 * sets - 1 + biased

    def more_rows(self) -> list[str]:
        """Return lines for `describe` about what not every machine has."""
        return []

    def describe(self) -> str:
        """Return a text of several lines: blocks, live weights per lag, what is recurrent, what influences what."""
        return describe(self)

    def project(self, weight: Array) -> Array:
        """Return a full weight array with its dead entries set to exact zero."""
        dead = self.partition.dead
        if type(weight) is np.ndarray and not self._pruned and len(dead) * _BOX <= weight.size:
            out = np.array(weight, order="C")
            for box in dead:
                out[box] = 0
            return out
        xp = namespace(weight)
        return xp.where(self._live_here, weight, xp.zeros_like(weight))

    def parameters(self) -> dict[str, Array]:
        """Return the trainable arrays by name: weight, and bias if there is one."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def replace(self, **parameters: Any) -> Self:
        """Return the same machine with other parameters.

        Parameters
        ----------
        weight, bias, slope : arrays, optional
            Of the same precision; real may become complex. `bias` may be added. The weight is
            projected onto the live weights, `slope` is for linear machines.

        Raises
        ------
        ValueError
            Wrong shape.
        TypeError
            Another library, device or precision; a name that is none of these.
        """
        changes: dict[str, Any] = {}
        for name, array in parameters.items():
            if name == "bias" and self.bias is None:
                given = Given(self._sigma, weight=self.weight, bias=array)
                changes["bias"] = read_bias(self.partition, given, self.weight)
                continue
            check_direction(self, name, as_array(array, name))
            if name == "weight":
                changes["weight"] = self.project(array)
            elif name == "bias":
                changes["bias"] = astype(array)
            else:
                changes["sigma"] = Diagonal.trusted(astype(array))
        return self._derive(**changes)

    def prune(self, mask: Array) -> Self:
        """Return the machine with ``live & mask`` as its live weights, permanently.

        Parameters
        ----------
        mask : bool array of shape (*lag, in, out)
            True keeps a weight.

        Raises
        ------
        ValueError, TypeError
            Wrong shape or dtype.
        """
        live = self._live & read_keep(mask, self.partition)
        here = on_device_of(self.weight, live)
        xp = namespace(self.weight)
        weight = xp.where(here, self.weight, xp.zeros_like(self.weight))
        return self._derive(weight=weight, live=live, live_here=here, pruned=True)

    def to(self, backend: str | Backend) -> Self:
        """Return a copy on another backend: ``"numpy"``, ``"cupy"``, ``"cupy:1"``.

        Raises
        ------
        ValueError, ModuleNotFoundError, RuntimeError
            Unknown name; CuPy not installed; no GPU.
        """
        home = pick_backend(backend)
        return self._map(lambda a: home.from_host(to_host(a)), home.from_host(self._live))

    def astype(self, dtype: Any) -> Self:
        """Return a copy in another precision or kind: float32, float64, complex64, complex128.

        Raises
        ------
        TypeError
            For any other dtype, and for complex → real.
        """
        name = read_dtype(dtype)
        if dtype_name(self._sample()).startswith("complex") and not name.startswith("complex"):
            raise TypeError(
                f"the machine is {self.dtype} and would lose its imaginary part as {name}; "
                "build it anew from real arrays"
            )
        return self._map(lambda a: cast(a, name), self._live_here)

    def _sample(self) -> Array:
        """An empty array of the machine's dtype."""
        return backend_of(self.weight).zeros((0,), self.dtype)

    def _map(self, move: Any, live_here: Array) -> Self:
        sigma = self._sigma
        if isinstance(sigma, Diagonal):
            sigma = Diagonal.trusted(move(sigma.array))
        bias = None if self.bias is None else move(self.bias)
        return self._derive(weight=move(self.weight), bias=bias, sigma=sigma, live_here=live_here)

    def directions(self) -> dict[str, Array | None]:
        """Return all that has a direction and a cotangent by name: parameters, and the slope; None where missing."""
        return {"weight": self.weight, "bias": self.bias, "slope": self.slope_array}

    def live_masks(self) -> Mapping[str, np.ndarray]:
        """Return the masks of the parameters that are not live throughout, as containers need them."""
        return {"weight": self._live}
