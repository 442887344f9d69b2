"""A machine of finite depth as a structure: its blocks, unrolled over the positions that it scans."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from ..activations import Diagonal
from ..arrays import integer
from ..machines import Machine
from ..partitions import Step
from .activations import activation_piece
from .builder import Builder, Channels
from .maps import IDENTITY
from .radii import MachineRadii, read_machine_radii, read_starts
from .structure import BiAffine, Piece, Structure, Term

__all__ = ["Unrolled", "add_machine", "build_machine", "check_finite_depth", "of_machine"]

Starts = Callable[[Step], Sequence[Term]]


class Unrolled:
    """The index sets of a machine on a grid, and which of them each reads.

    Parameters
    ----------
    machine : Machine
    grid : tuple of int

    Attributes
    ----------
    steps : list of Step
        In order of computation.
    """

    def __init__(self, machine: Machine, grid: tuple[int, ...]) -> None:
        self.partition, self.grid, self._live = machine.partition, grid, machine.live
        self.steps = list(self.partition.steps(grid)) if all(grid) else []
        self._place = {(self._key(s), s.block): k for k, s in enumerate(self.steps)}

    def _key(self, step: Step) -> tuple[int, ...]:
        p = self.partition
        return tuple(step.box[a].start // n for a, n in zip(p.scan, p.time_block, strict=True))

    def name(self, step: Step) -> str:
        """Return "2" for a block, "2@5" for it at position 5 of the scanned axis, "2@5,3" for two of them."""
        at = ",".join(str(step.box[a].start) for a in self.partition.scan)
        return f"{step.block}@{at}" if at else str(step.block)

    def positions(self, step: Step) -> int:
        """Return how many positions an index set has."""
        return math.prod(s.stop - s.start for s in step.box)

    def overlap(self, step: Step) -> int:
        """Return how many positions of an index set may read one position of another, at most."""
        return math.prod(min(k, s.stop - s.start) for k, s in zip(self.partition.kernel, step.box, strict=True))

    def reads(self, step: Step) -> dict[int, tuple[int, ...]]:
        """Return the index sets that one reads, by number, for each source block."""
        found: dict[int, dict[int, None]] = {}
        for lag, blocks in self.taps(step.block):
            for key in self._boxes(step, lag):
                for j in blocks:
                    found.setdefault(j, {})[self._place[key, j]] = None
        return {j: tuple(found[j]) for j in sorted(found)}

    def taps(self, block: int) -> Iterator[tuple[tuple[int, ...], list[int]]]:
        """Yield the lags at which a block reads others, with those of which a weight is live."""
        p = self.partition
        for lag, _ in p.taps[block]:
            live = self._live[p.tap(lag)][:, p.blocks[block]]
            if found := [j for j in sorted(p.block_order) if live[p.blocks[j]].any()]:
                yield lag, found

    def _boxes(self, step: Step, lag: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Yield the time blocks that a lag reaches from a box; none if it leaves the grid."""
        ids: dict[int, range] = {}
        for axis, (box, ell, n) in enumerate(zip(step.box, lag, self.grid, strict=True)):
            first, last = max(box.start - ell, 0), min(box.stop - 1 - ell, n - 1)
            if first > last:
                return
            ids[axis] = range(first, last + 1)
        p = self.partition
        ranges = [
            range(ids[a].start // n, (ids[a].stop - 1) // n + 1) for a, n in zip(p.scan, p.time_block, strict=True)
        ]
        yield from itertools.product(*ranges)


def of_machine(
    machine: Machine,
    *,
    radius: Any = None,
    block_radius: Any = None,
    bias_radius: Any = None,
    start_bound: Any = None,
    input_bound: Any = None,
    grid: Sequence[int] = (),
    batch: int = 1,
    constants: Mapping[str, Piece] | None = None,
) -> Structure:
    """Return a machine's blocks z_i = σ(Σ_j z_j W_ji + b_i + y0_i) + z0_i as a structure.

    Parameters
    ----------
    machine : Machine
        Of finite depth.
    radius : float or sequence of float, optional
        Of all that enters a block, weights and bias jointly in the Frobenius norm; one number serves every block, and
        so does a bound of the whole (weight, bias).
    block_radius : float or array of shape (blocks, blocks), optional
        Instead: of each weight block [source, target], over all lags; each is then a parameter of its own.
    bias_radius : float or sequence of float, optional
        With `block_radius`: of the bias of each block, a parameter of its own.
    start_bound : float or sequence of float or None, optional
        Of z0, block by block: the start behind the nonlinearity, ξ_i of x_i = ξ_i + a(…). A number bounds z0 in every
        block. Where there is none, None: a bound of 0 is of one that stays at 0 and yet is an input. None by default.
    input_bound : float or sequence of float or None, optional
        Of y0 in the same way: the start inside the nonlinearity, an affine summand of its argument. For a y0 that stops
        at a block boundary, ``(1.0, None, None)``.
    grid : sequence of int
        Extents of the grid axes.
    batch : int
        Samples; all norms are of whole batches.
    constants : mapping of str to Piece, optional
        Of activations of your own, see `activation_piece`.

    Returns
    -------
    Structure
        Blocks named by their number, scanned ones ``"2@5"``, each with its start z0. A block whose name ends in
        ``" y0"`` is a start inside a nonlinearity, an input that is no value of z.

    Raises
    ------
    TypeError
        No machine; radii that are missing or given twice; what are no numbers.
    ValueError
        A machine of infinite depth; counts that do not fit; numbers below 0.

    Notes
    -----
    Each index set of the order of computation is a block: on scanned axes each time block has its own, all with the
    same parameters, which only the block level accepts. Of an index set whose boxes have extents n_d, the weight block
    of a kernel k_d has L_b = (Π_d min(k_d, n_d))^½: a position is read at most so often; 1 for dense machines and for
    scanned axes with time block 1. A bias has lᵛ = (samples × positions)^½.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.smoothness.evaluate import evaluate
    >>> m = mk.DenseMachine((2, 2, 2, 2), "tanh", bias=True, rng=0)  # all shortcuts
    >>> s = of_machine(m, block_radius=1, bias_radius=(0, 0.5, 0.5, 0.5), start_bound=(1, 0.3, 0.3, 0.3))
    >>> found = evaluate(s, level="block")
    >>> round(found.lipschitz, 6), round(found.smoothness, 5)
    (7.457575, 47.62669)
    """
    builder = build_machine(
        machine, radius=radius, block_radius=block_radius, bias_radius=bias_radius, start_bound=start_bound,
        input_bound=input_bound, grid=grid, batch=batch, constants=constants,
    )  # fmt: skip
    return builder.structure()


def build_machine(
    machine: Machine,
    *,
    radius: Any = None,
    block_radius: Any = None,
    bias_radius: Any = None,
    start_bound: Any = None,
    input_bound: Any = None,
    grid: Sequence[int] = (),
    batch: int = 1,
    constants: Mapping[str, Piece] | None = None,
) -> Builder:
    """Return what `of_machine` does, still in the making; it takes and raises the same."""
    check_finite_depth(machine, "the machine")
    radii = read_machine_radii(machine, radius, block_radius, bias_radius)
    behind = read_starts("start_bound", start_bound, len(machine.sizes))
    inside = read_starts("input_bound", input_bound, len(machine.sizes))
    if start_bound is None and input_bound is None:
        raise TypeError("input_bound and start_bound are missing; pass a bound of y0, of z0, or of both")
    extents = tuple(integer(f"grid[{k}]", n, 0) for k, n in enumerate(grid))
    if len(extents) != machine.partition.axes:
        raise ValueError(f"grid is {extents}; the machine has {machine.partition.axes} grid axes, give an extent each")
    builder = Builder()
    unrolled = Unrolled(machine, extents)

    def starts(step: Step) -> Sequence[Term]:
        if inside[step.block] is None:
            return ()
        name = f"{unrolled.name(step)} y0"
        return (Term(IDENTITY, (builder.block(name, inside[step.block], shown=False),)),)

    add_machine(builder, machine, unrolled, integer("batch", batch, 0), radii, starts, behind, constants=constants)
    return builder


def check_finite_depth(machine: Any, where: str) -> None:
    """Raise unless this is a machine whose blocks read only what was computed before."""
    if not isinstance(machine, Machine):
        raise TypeError(f"{where} is {machine!r}, a {type(machine).__name__}; pass a machine, as mk.DenseMachine(…)")
    if machine.partition.feedback:
        raise ValueError(
            f"{where}, {machine!r}, has blocks that read themselves: it is of infinite depth and no recursion over "
            "blocks ends; use smoothness.equilibrium_bound, or a machine of finite depth"
        )


def add_machine(
    builder: Builder,
    machine: Machine,
    unrolled: Unrolled,
    batch: int,
    radii: MachineRadii,
    inside: Starts,
    behind: Sequence[float | None],
    prefix: str = "",
    key: Hashable = "machine",
    constants: Mapping[str, Piece] | None = None,
    shown: bool = True,
) -> Channels:
    """Add a machine's blocks and layers; return the blocks with the channels that they are.

    Parameters
    ----------
    inside : callable of Step
        The terms by which y0 enters an index set.
    behind : sequence of float or None
        For each channel block, a bound of z0 if it is a start.
    prefix : str
        Of the names of blocks.
    key : hashable
        Whose the parameters are: the same key twice shares them.
    """
    places: list[int] = []
    for step in unrolled.steps:
        terms = [*_weights(machine, unrolled, step, batch, radii, places, key), *inside(step)]
        target = builder.block(prefix + unrolled.name(step), behind[step.block], shown)
        places.append(target)
        shape = (batch, unrolled.positions(step), step.channels.stop - step.channels.start)
        piece = _piece(machine, step, math.prod(shape), constants)
        if terms or piece.value:
            builder.layer(target, terms, (piece,))
    return tuple((k, s.channels.start, s.channels.stop) for s, k in zip(unrolled.steps, places, strict=True))


def _weights(
    machine: Machine,
    unrolled: Unrolled,
    step: Step,
    batch: int,
    radii: MachineRadii,
    places: Sequence[int],
    key: Hashable,
) -> Iterator[Term]:
    """Yield the maps into an index set: one for all weights and the bias, or one for each weight block and the bias."""
    reads = {j: tuple(places[k] for k in numbers) for j, numbers in unrolled.reads(step).items()}
    product = math.sqrt(unrolled.overlap(step))
    ones = math.sqrt(batch * unrolled.positions(step)) if machine.bias is not None else 0.0
    i = step.block
    if radii.rows is not None:
        parents = tuple(p for found in reads.values() for p in found)
        if parents or ones:
            map = BiAffine(bilinear=product if parents else 0.0, bias=ones, name=f"weights into {i}")
            yield Term(map, parents, (key, "row", i), radii.rows[i])
        return
    table = radii.blocks
    for j, parents in reads.items():
        map = BiAffine(bilinear=product, name=f"weight {j}→{i}")
        yield Term(map, parents, (key, "weight", j, i), float(table[j, i]))  # type: ignore[index]
    if radii.bias is not None:
        yield Term(BiAffine(bias=ones, name=f"bias {i}"), (), (key, "bias", i), radii.bias[i])


def _piece(machine: Machine, step: Step, coordinates: int, constants: Mapping[str, Piece] | None) -> Piece:
    sigma = machine.pointwise
    if not isinstance(sigma, Diagonal):
        return activation_piece(sigma.activations[step.block], coordinates, constants=constants)
    shape = tuple(sigma.array.shape)
    own = sigma.array[..., step.channels] if shape and shape[-1] == machine.partition.channels else sigma.array
    return activation_piece(Diagonal.trusted(own), coordinates)
