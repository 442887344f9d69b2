"""The block sweep with live diagonal blocks: Algorithm 1, in which an index set may be an equilibrium."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..activations import Blockwise, Diagonal
from ..arrays import Array, astype, backend_of, namespace
from ..linear import accumulate
from ..partitions import Partition, Step
from ..records import MachineState
from ..solvers import RANKS, BlockProblem, Equilibrium, Info, Outcome, settle
from ..solvers.problem import is_proximal
from ..solvers.watch import sizes
from .blocks import Blocks

__all__ = ["block_sweep"]

Left = Callable[[], np.ndarray]


def block_sweep(
    partition: Partition,
    blocks: Blocks,
    activation: Blockwise | Diagonal,
    y0: Array,
    z0: Array | None,
    options: Equilibrium,
    rtol: float,
    warm: MachineState | None = None,
    truncated: bool = False,
) -> tuple[Array, Array, Info]:
    """Solve ``y = W z + y0``, ``z = σ(y) + z0``, one block after the other; blocks that read themselves by iteration.

    Notes
    -----
    Block i meets b = y0_i + W_ii z0_i + Σ_{j<i} W_ij z_j and is resolved alone for s = σ(W_ii s + b). The state has
    z_i = σ(y_i) + z0_i exactly; what is left of the equation is r_i = y_i − W_ii σ(y_i) − b, and where σ is a proximal
    operator and I − W_ii ⪰ m_i, ‖z_i − z*_i‖ ≤ (‖r_i‖ + Σ_{j<i} ‖W_ij‖ ‖z_j − z*_j‖)/m_i. Zero diagonal
    blocks are machines of finite depth (arXiv:2204.12786, Theorem 2; arXiv:2006.08591).
    """
    xp = namespace(y0)
    arrays = [blocks.kernel, y0, *([] if z0 is None else [z0])]
    if isinstance(activation, Diagonal):
        arrays.append(activation.array)
    dtype = xp.result_type(*arrays)
    y, z = astype(y0, dtype), backend_of(y0).zeros(y0.shape, dtype)
    sigma, grid = activation.on(y.shape), partition.grid(y.shape)
    told = _Told(partition, y.shape)
    for step in partition.steps(grid):
        here = step.index
        accumulate(partition.strict, blocks.kernel, z, y, step)
        added = None if z0 is None else z0[here]
        if not math.prod(y.shape) or not blocks.feeds(step.block):
            image = sigma.part(y[here], here, step.block)
            z[here] = image if added is None else image + added
            continue
        problem = _problem(partition, blocks, sigma, y[here], added, step, grid)
        start = None if warm is None else _start(warm, z0, step, problem, dtype)
        alpha = partial(blocks.step, step.block, grid, problem.sigma)
        outcome = settle(problem, options, rtol, alpha, start, truncated)
        if outcome.solver == "peaceman-rachford":
            blocks.report(step.block, grid, float(outcome.steps.max(initial=0)))
        image, answer, residual = _closed(problem, outcome)
        if outcome.y is not None and len(partition.block_order) == 1:  # all there is: nothing to copy
            told.hear(step.block, outcome, residual, problem.margin)
            y, z = xp.reshape(image, y.shape), xp.reshape(answer, y.shape)
            z = z if added is None else z + added
            continue
        left = residual()
        told.hear(step.block, outcome, lambda left=left: left, problem.margin)  # type: ignore[misc]
        shape = y[here].shape
        y[here] = xp.reshape(image, shape)
        answer = xp.reshape(answer, shape)
        z[here] = answer if added is None else answer + added
    return y, z, told.info(blocks, activation)


def _problem(
    partition: Partition,
    blocks: Blocks,
    sigma: Blockwise | Diagonal,
    start: Array,
    added: Array | None,
    step: Step,
    grid: tuple[int, ...],
) -> BlockProblem:
    operator = blocks.operator(step.block, grid)
    b = _flat(start, operator.unknowns)
    if added is not None:
        b = b + operator.product(_flat(added, operator.unknowns))
    slope = activation = None
    if isinstance(sigma, Diagonal):
        slope = _flat(sigma.array[step.index], operator.unknowns)
    else:
        activation = sigma.activations[step.block]
    problem = BlockProblem(operator, b, activation, slope, -np.inf, blocks.fresh(step.block, grid))
    if problem.proximal:
        problem.margin = blocks.margin(step.block, grid)
    return problem


def _flat(a: Array, unknowns: int) -> Array:
    """Return (*batch, *grid, channel) as rows of samples."""
    samples = math.prod(a.shape) // unknowns if unknowns else 0
    return namespace(a).reshape(a, (samples, unknowns))


def _closed(problem: BlockProblem, outcome: Outcome) -> tuple[Array, Array, Left]:
    """Return y, σ(y) and what makes the sizes of y − W σ(y) − b: the answer as a state whose z is exact."""
    operator, b, y, s = problem.operator, problem.b, outcome.y, outcome.answer
    if y is not None:
        return y, s, lambda: sizes(y - operator.product(s) - b)
    image = operator.product(s)
    image += b
    answer = problem.value(image)
    return image, answer, lambda: sizes(operator.product(s - answer))


def _start(warm: MachineState, z0: Array | None, step: Step, problem: BlockProblem, dtype: Any) -> tuple[Array, Array]:
    """Return (y, s) of a state of another input, from which the splitting variable follows."""
    s = warm.z[step.index] if z0 is None else warm.z[step.index] - z0[step.index]
    return tuple(astype(_flat(a, problem.shape[1]), dtype) for a in (warm.y[step.index], s))


class _Told:
    """Collects what the blocks report, sample by sample."""

    def __init__(self, partition: Partition, shape: tuple[int, ...]) -> None:
        self.partition, self.batch = partition, tuple(shape[: len(shape) - 1 - partition.axes])
        samples = math.prod(self.batch)
        self.steps = np.zeros(samples, int)
        self.rank = np.zeros(samples, int)
        self.residuals: dict[int, Left] = {}
        self.margins: dict[int, float] = {}
        self.solvers = [""] * len(partition.sizes)

    def hear(self, block: int, outcome: Outcome, residual: Left, margin: float) -> None:
        self.steps += outcome.steps
        words = set(outcome.status.tolist())
        for rank in sorted(map(RANKS.index, words)):
            worse = True if len(words) == 1 else outcome.status == RANKS[rank]
            self.rank = np.maximum(self.rank, rank, where=worse, out=self.rank)
        self.residuals[block] = residual
        self.margins[block] = margin
        self.solvers[block] = outcome.solver

    def info(self, blocks: Blocks, sigma: Blockwise | Diagonal) -> Info:
        """Return what there is to tell; the residual, which costs a product, is computed when it is asked for."""
        steps, status = self.steps.reshape(self.batch), np.array(RANKS)[self.rank].reshape(self.batch)
        bound = lambda: self._bound(blocks, sigma).reshape(self.batch)  # noqa: E731
        return Info(steps, self._residual, status, tuple(self.solvers), bound)

    @cached_property
    def _squares(self) -> dict[int, np.ndarray]:
        """The squared residual of each block that was solved."""
        return {block: np.sum(left() ** 2, axis=0) for block, left in self.residuals.items()}

    def _residual(self) -> np.ndarray:
        total = sum(self._squares.values(), start=np.zeros(self.steps.shape))
        return np.sqrt(total).reshape(self.batch)

    def _explicit(self, sigma: Blockwise | Diagonal, block: int) -> float:
        """Return the margin of an explicit block: 1, if σ does not expand errors."""
        if isinstance(sigma, Blockwise):
            return 1.0 if is_proximal(sigma.activations[block], None) else -1.0
        return 1.0 if is_proximal(None, sigma.array[(..., self.partition.blocks[block])]) else -1.0

    def _bound(self, blocks: Blocks, sigma: Blockwise | Diagonal) -> np.ndarray:
        """Return the bound on the error of z, carried from block to block."""
        nothing = np.zeros(self.steps.shape)
        squares = nothing.copy()
        for block in self.partition.block_order:
            carried = blocks.coupling(block) * np.sqrt(squares) if squares.any() else nothing
            own = np.sqrt(self._squares.get(block, nothing)) + carried
            margin = self.margins[block] if block in self.margins else self._explicit(sigma, block)
            error = np.where(own > 0, own / margin if margin > 0 else np.inf, 0.0)
            squares = squares + error * error
        return np.sqrt(squares)
