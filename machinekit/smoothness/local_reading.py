"""A machine, or a chain of Affine and Pointwise, around a point: its weights read, and the balls that contain it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..activations import Diagonal
from ..arrays import namespace
from ..graph import Affine, Chain, Pointwise
from ..graph.op import solve
from ..machines import Machine
from ..machines.checks import check_state
from ..partitions import Step
from ..records import State
from .builder import Builder
from .local import LEAST, Around, Constants, Weights, as_real, norm_of
from .of_machine import Unrolled, build_machine, check_finite_depth
from .of_network import Flattened, names_of_parameters
from .radii import MachineRadii, read_bound, read_machine_radii, read_radius, read_starts
from .structure import hyp

__all__ = ["local_structure"]


def local_structure(
    model: Any, at: Any, radius: Any, input_bound: Any, options: Mapping[str, Any], constants: Constants
) -> tuple[Builder, Builder]:
    """Return a model around a point, and in the balls about 0 that contain what is around it.

    Raises
    ------
    TypeError, ValueError
        Another model than a machine, or a chain of Affine and Pointwise; a point of another model; as `bounds`.
    """
    if isinstance(model, Machine):
        return _machine(model, at, options, constants)
    if isinstance(model, Chain) and all(isinstance(op, Affine | Pointwise) for op in model.ops):
        return _chain(model, at, radius, input_bound, constants)
    raise TypeError(
        f"at is given, which machines and chains of Affine and Pointwise have, not {model!r}; leave it out, or bound "
        "the machine or the chain inside by itself"
    )


def _machine(machine: Machine, at: Any, options: Mapping[str, Any], constants: Constants) -> tuple[Builder, Builder]:
    check_finite_depth(machine, "the machine")
    count, p = len(machine.sizes), machine.partition
    radii = _moving(read_machine_radii(machine, options["radius"], options["block_radius"], options["bias_radius"]))
    inside = read_starts("input_bound", options["input_bound"], count)
    behind = read_starts("start_bound", options["start_bound"], count)
    state: Any = check_state(machine, at if isinstance(at, State) else machine.solve(at))
    y, z = as_real(state.y), as_real(state.z)
    cut = y.ndim - 1 - p.axes
    grid, batch = tuple(y.shape[cut:-1]), math.prod(y.shape[:cut])
    unrolled, around = Unrolled(machine, grid), Around(constants)
    places: list[int] = []
    at_point = _Point(machine, unrolled)
    for step in unrolled.steps:
        maps = at_point.maps(step, batch, radii, places)
        activation = _activation(machine, step, y.shape)
        places.append(
            around.block(
                unrolled.name(step), maps, activation, y[step.index], norm_of(z[step.index]), inside[step.block],
                behind[step.block],
            )
        )  # fmt: skip
    image = machine.apply(state.y, state.z)
    starts = [_split(machine, start) for start in (state.y - image.y, state.z - image.z)]
    wide = {
        **at_point.widened(radii),
        "input_bound": _farther(starts[0], inside),
        "start_bound": _farther(starts[1], behind),
    }
    return around.builder, build_machine(machine, grid=grid, batch=batch, constants=constants, **wide)


def _moving(radii: MachineRadii) -> MachineRadii:
    """Return radii that are not 0, so that no parameter is a constant."""
    rows, bias = (None if r is None else tuple(max(x, LEAST) for x in r) for r in (radii.rows, radii.bias))
    return MachineRadii(rows, None if radii.blocks is None else np.maximum(radii.blocks, LEAST), bias)


class _Point:
    """The weights of a machine, by blocks."""

    def __init__(self, machine: Machine, unrolled: Unrolled) -> None:
        self.machine, self.unrolled = machine, unrolled
        self.kernel = as_real(machine.kernel)
        self.bias = None if machine.bias is None else as_real(machine.bias)

    def weights(self, i: int, sources: Sequence[int]) -> list[np.ndarray]:
        """Return W[lag] from some blocks to one, for each lag, as matrices [in, out]."""
        p = self.machine.partition
        rows = np.concatenate([np.arange(p.channels)[p.blocks[j]] for j in sources] or [np.arange(0)])
        return [self.kernel[p.tap(lag)][rows][:, p.blocks[i]] for lag, _ in self.unrolled.taps(i)]

    def size(self, i: int, sources: Sequence[int], bias: bool) -> float:
        """Return the Frobenius norm of weights, and of the bias."""
        parts = self.weights(i, sources)
        if bias and self.bias is not None:
            parts = [*parts, self.bias[self.machine.partition.blocks[i]]]
        return hyp(*(norm_of(part) for part in parts))

    def norm(self, i: int, sources: Sequence[int], overlap: int) -> float:
        """Return a bound of the operator norm: ≤ √overlap ‖(W_lag)_lag‖₂, and ≤ Σ_lag ‖W_lag‖₂."""
        parts = self.weights(i, sources)
        if not parts or not sources:
            return 0.0
        together = math.sqrt(overlap) * float(np.linalg.norm(np.concatenate(parts), 2))
        return min(together, sum(float(np.linalg.norm(part, 2)) for part in parts))

    def maps(self, step: Step, batch: int, radii: MachineRadii, places: Sequence[int]) -> list[Weights]:
        """Return the maps into an index set: those of `of_machine`, at the point."""
        reads = {j: tuple(places[k] for k in found) for j, found in self.unrolled.reads(step).items()}
        overlap, i = self.unrolled.overlap(step), step.block
        ones = math.sqrt(batch * self.unrolled.positions(step)) if self.bias is not None else 0.0
        if radii.rows is not None:
            parents = tuple(k for found in reads.values() for k in found)
            product = math.sqrt(overlap) if parents else 0.0
            norm = self.norm(i, tuple(reads), overlap)
            return [Weights(parents, norm, product, ones, ("row", i), radii.rows[i])]
        table: Any = radii.blocks
        maps = [
            Weights(found, self.norm(i, (j,), overlap), math.sqrt(overlap), 0.0, ("weight", j, i), float(table[j, i]))
            for j, found in reads.items()
        ]
        if radii.bias is not None:
            maps.append(Weights((), 0.0, 0.0, ones, ("bias", i), radii.bias[i]))
        return maps

    def widened(self, radii: MachineRadii) -> dict[str, Any]:
        """Return the radii of balls about 0 that contain those about the weights."""
        count = len(self.machine.sizes)
        if radii.rows is not None:
            every = range(count)
            return {"radius": [self.size(i, every, True) + radii.rows[i] for i in every]}
        table: Any = radii.blocks
        blocks = [[self.size(i, (j,), False) + float(table[j, i]) for i in range(count)] for j in range(count)]
        bias = None if radii.bias is None else [self.size(i, (), True) + r for i, r in enumerate(radii.bias)]
        return {"block_radius": np.array(blocks), "bias_radius": bias}


def _chain(model: Chain, at: Any, radius: Any, input_bound: Any, constants: Constants) -> tuple[Builder, Builder]:
    names = names_of_parameters(model)
    given = read_radius(radius, tuple(dict.fromkeys(names.values())))
    radii = {name: max(r, LEAST) for name, r in given.items()}
    moves = read_bound("input_bound", input_bound) if input_bound is not None else None
    if moves is None:
        raise TypeError("input_bound is missing; pass a bound of the change of the input, over the whole batch")
    x = at.inputs[0] if isinstance(at, State) else at
    values = [x]
    for op in model.ops:
        values.append(solve(op, values[-1]).outputs[0])
    around = Around(constants)
    place = around.start("input", norm_of(as_real(x)), moves)
    k = 0
    while k < len(model.ops):
        op, maps = model.ops[k], [Weights((place,), 1.0)]
        if isinstance(op, Affine):
            rows = math.prod(values[k].shape[:-1])
            ones = 0.0 if op.bias is None else math.sqrt(rows)
            norm = float(np.linalg.norm(as_real(op.weight), 2)) if math.prod(op.weight.shape) else 0.0
            name = names[id(op)]
            maps = [Weights((place,), norm, 1.0, ones, name, radii[name])]
            k += 1
        follows = k < len(model.ops) and isinstance(model.ops[k], Pointwise)
        activation = model.ops[k].activation if follows else _IDENTITY
        y = as_real(values[k])
        k += follows
        place = around.block(str(k - 1), maps, activation, y, norm_of(as_real(values[k])))
    wide = {names[i]: r + hyp(*(norm_of(as_real(a)) for a in op.parameters().values()))
            for op in model.ops if (i := id(op)) in names for r in (radii[names[i]],)}  # fmt: skip
    sample = tuple(x.shape[1:]) if x.ndim > 1 else tuple(x.shape)
    flat = Flattened(names, wide, x.shape[0] if x.ndim > 1 else 1, constants)
    flat.line(model, [sample], [norm_of(as_real(x)) + moves])
    return around.builder, flat.builder


_IDENTITY = Diagonal.trusted(np.ones(()))


def _activation(machine: Machine, step: Step, shape: tuple[int, ...]) -> Any:
    sigma = machine.pointwise
    if not isinstance(sigma, Diagonal):
        return sigma.activations[step.block]
    return Diagonal.trusted(namespace(sigma.array).broadcast_to(sigma.array, shape)[step.index])


def _split(machine: Machine, x: Any) -> tuple[float, ...]:
    """Return the norm of each block of a start."""
    host = as_real(x)
    return tuple(norm_of(host[..., block]) for block in machine.partition.blocks)


def _farther(sizes: Sequence[float], moves: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return bounds of starts that move; one that does not move is a constant of its size."""
    return tuple(
        size + (move or 0.0) if move is not None or size else None for size, move in zip(sizes, moves, strict=True)
    )
