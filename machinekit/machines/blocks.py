"""What is known of the diagonal blocks of W: kept with the machines that share W, and made again at any time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..activations import Activation
from ..arrays import Array, backend_of, dtype_name, every, precision, to_host
from ..linear.circulant import CirculantOperator
from ..linear.operators import DenseOperator, Operator, best_step
from ..partitions import Partition
from .step_sizes import StepSizes

__all__ = ["Blocks"]

_GRIDS = 8
"""Grids whose operators, with what was factorised for them, a machine keeps."""
_POWERS = 8
_SPECTRAL = 1024
"""Unknowns up to which eigenvalues are computed only to choose a solver."""


class Blocks:
    """Operators, step sizes and margins of the diagonal blocks of one kernel.

    Parameters
    ----------
    partition : Partition
    kernel : array of shape (*lag, in, out)
    margins : sequence of float, optional
        Of each block, where they are known by construction.
    sizes : StepSizes, optional
        Step sizes of kernels a little different.
    """

    def __init__(
        self,
        partition: Partition,
        kernel: Array,
        margins: Sequence[float] | None = None,
        sizes: StepSizes | None = None,
    ) -> None:
        self.partition, self.kernel, self.margins = partition, kernel, margins
        self.sizes = StepSizes() if sizes is None else sizes
        self._steps: dict[tuple, float] = {}
        self._operators: dict[tuple, Operator] = {}
        self._feeds: dict[int, bool] = {}
        self._couplings: dict[int, float] = {}
        self._passed: dict[tuple, float] = {}
        self._source: Blocks | None = None
        self._met: set[tuple] = set()

    def mirrored(self, partition: Partition, kernel: Array) -> Blocks:
        """Return the blocks of Wᵀ, which know what these do."""
        twin = Blocks(partition, kernel, self.margins, self.sizes)
        twin._source, twin._met = self, self._met
        return twin

    def feeds(self, block: int) -> bool:
        """Tell whether a block reads itself."""
        if self._source is not None:
            return self._source.feeds(block)
        if block not in self._feeds:
            self._feeds[block] = not every(self._diagonal(block) == 0)
        return self._feeds[block]

    def _diagonal(self, block: int) -> Array:
        own = self.partition.blocks[block]
        return self.kernel[(..., own, own)]

    def operator(self, block: int, grid: tuple[int, ...]) -> Operator:
        """Return W of a block on a grid."""
        key = (block, grid)
        known = self._operators.get(key)
        if known is not None:
            return known
        made: Operator
        if self._source is not None:
            made = self._source.operator(block, grid).transposed()
        elif self.partition.axes:
            made = CirculantOperator(self._diagonal(block), self.partition.padding, grid)
        else:
            made = DenseOperator(self._diagonal(block))
        if len(self._operators) >= _GRIDS * len(self.partition.sizes):
            oldest, *_ = tuple(self._operators)  # its factorisation goes with it
            self._operators.pop(oldest, None)
        return self._operators.setdefault(key, made)

    def fresh(self, block: int, grid: tuple[int, ...]) -> bool:
        """Tell, once, that nothing was solved with this block."""
        new = (block, grid) not in self._met
        self._met.add((block, grid))
        return new

    def margin(self, block: int, grid: tuple[int, ...]) -> float:
        """Return m with I − W ⪰ m I for a block that reads itself; −∞ where that is not known."""
        if self.margins is not None:
            return float(self.margins[block])
        operator = self.operator(block, grid)
        return operator.monotonicity() if operator.kernel.shape[-1] <= _SPECTRAL else -np.inf

    def step(self, block: int, grid: tuple[int, ...], sigma: Activation | None) -> float:
        """Return α for Peaceman–Rachford from the spectrum of the block.

        A smooth σ has no closed proximal operator but at α = 1, where it is σ: that is taken unless it needs three
        times the steps.
        """
        if self._source is not None:
            return self._source.step(block, grid, sigma)
        key = (block, grid)
        if key not in self._steps:
            alpha = self.sizes.known(key)
            if alpha is None:
                alpha = self._found(block, grid, sigma)
                self.sizes.keep(key, alpha)
            self._steps[key] = alpha
        return self._steps[key]

    def _found(self, block: int, grid: tuple[int, ...], sigma: Activation | None) -> float:
        values = self.operator(block, grid).eigenvalues()
        alpha, rate = best_step(values)
        if sigma is not None and sigma.smoothness > 0 and not sigma.piecewise_linear:
            f = 1.0 - values
            plain = float(np.max(np.abs((1.0 - f) / (1.0 + f)), initial=0.0))
            alpha = 1.0 if plain**3 <= rate else alpha
        return alpha

    def report(self, block: int, grid: tuple[int, ...], steps: float) -> None:
        """Hear how many steps a solve took: a step size that has become slow is not handed on."""
        if self._source is None and (block, grid) in self._steps:
            self.sizes.hear((block, grid), self._steps[block, grid], steps)

    def coupling(self, block: int) -> float:
        """Return a bound on the norm of what a block reads of others: the sum over lags of spectral norms."""
        if block not in self._couplings:
            p, host = self.partition, to_host(self.kernel)
            pieces = [host[p.tap(lag)][reads, p.blocks[block]] for lag, reads in p.strict.taps[block]]
            self._couplings[block] = float(sum(np.linalg.norm(piece, 2) for piece in pieces if piece.size))
        return self._couplings[block]

    def finest(self, grid: tuple[int, ...]) -> float:
        """Return the least relative tolerance that rounding allows, 2 eps (1 + L)."""
        fed = [k for k in self.partition.block_order if self.feeds(k)]
        return 2.0 * self._eps() * (1.0 + max((self.operator(k, grid).norm() for k in fed), default=0.0))

    def check(self, rtol: float, grid: tuple[int, ...]) -> None:
        """Refuse a tolerance that rounding does not allow; the norm is computed only when the bound is near."""
        if self._source is not None:
            return self._source.check(rtol, grid)
        if rtol >= self._passed.get(grid, math.inf):
            return None
        unit = 2.0 * self._eps()
        if rtol >= unit * (2.0 + self._size) or rtol >= unit * (1.0 + self._least_norm(grid)):
            self._passed[grid] = rtol
            return None
        raise ValueError(
            f"rtol is {rtol:g}, but rounding in {dtype_name(self.kernel)} allows no less than 2 eps (1 + ‖I − W‖₂) = "
            f"{self.finest(grid):.3g} for this machine; pass a larger rtol, or machine.astype('float64')"
        )

    def _least_norm(self, grid: tuple[int, ...]) -> float:
        """Return a number a little below the largest ‖I − W_ii‖₂, by a few steps of the power method."""
        found = 0.0
        for k in self.partition.block_order:
            if self.feeds(k):
                operator = self.operator(k, grid)
                back = operator.transposed()
                v = backend_of(self.kernel).from_host(np.ones((1, operator.unknowns)), dtype_name(self.kernel))
                for _ in range(_POWERS):
                    w = v - operator.product(v)
                    size = float(np.linalg.norm(to_host(v)))
                    if size > 0:
                        found = max(found, float(np.linalg.norm(to_host(w))) / size)
                        v = (w - back.product(w)) / size
        return found

    def _eps(self) -> float:
        return float(np.finfo(np.float32 if precision(self.kernel, "weight") == "single" else np.float64).eps)

    @cached_property
    def _size(self) -> float:
        """A bound on the norm of any diagonal block: the sum over lags of Frobenius norms of W."""
        host = np.abs(to_host(self.kernel))
        return float(np.sum(np.sqrt(np.sum(host * host, axis=(-2, -1)))))
