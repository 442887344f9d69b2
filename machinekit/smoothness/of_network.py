"""Chains and hypergraphs as a structure: their ops read one by one, a∘b in one layer where nothing comes between."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..graph import Chain, CycleError, Hypergraph, Select
from ..graph.op import parameters, parts
from ..machines import Machine
from ..partitions import Step
from ..records.op import NOTHING
from .builder import Builder, Pending, Value
from .maps import IDENTITY
from .of_machine import Unrolled, add_machine, check_finite_depth
from .ops import read_op
from .radii import read_machine_radii
from .structure import Piece, Term

__all__ = ["Flattened", "names_of_parameters"]

Between = Value | Pending


def _leaves(op: Any, path: str) -> Iterator[tuple[str, Any]]:
    inside = parts(op)
    if not inside:
        yield path, op
    for name, part in inside.items():
        yield from _leaves(part, f"{path}.{name}" if path else name)


def names_of_parameters(model: Any) -> dict[int, str]:
    """Return the first path of each leaf that has parameters, by identity: as `Sharing` lists them."""
    found: dict[int, str] = {}
    for path, leaf in _leaves(model, ""):
        if parameters(leaf):
            found.setdefault(id(leaf), path)
    return found


class Flattened:
    """The ops of a network, added to a builder in the order of computation.

    Parameters
    ----------
    names : mapping of int to str
        What the leaves with parameters are called, by identity; one leaf in several places is one parameter.
    radius : mapping of str to float
        Of each of them.
    batch : int
    constants : mapping of str to Piece, optional
    """

    def __init__(
        self, names: Mapping[int, str], radius: Mapping[str, Any], batch: int, constants: Mapping[str, Piece] | None
    ) -> None:
        self.builder, self.names, self.radius = Builder(), names, radius
        self.batch, self.constants = batch, constants

    def run(self, op: Any, inputs: Sequence[Between], path: str, shown: bool = False) -> list[Between]:
        """Return the outputs of an op; blocks that it makes are named after `path`.

        Raises
        ------
        CycleError
            A network with a cycle.
        ValueError, TypeError
            An op that cannot be read, naming it; a machine of infinite depth.
        """
        if isinstance(op, Chain):
            at = list(inputs)
            for k, inner in enumerate(op.ops):
                at = self.run(inner, at, f"{path}.{k}" if path else str(k), shown)
            return at
        if isinstance(op, Hypergraph):
            return self._network(op, inputs, path, shown)
        if isinstance(op, Machine):
            return [self._machine(op, [self.builder.hold(x) for x in inputs], path, shown)]
        if isinstance(op, Select) and isinstance(inputs[0], Value) and inputs[0].channels is not None:
            found = _narrow(op, inputs[0], path, shown)
            if found is not None:
                return [found]
        return [self._leaf(op, inputs, path, shown)]

    def _leaf(self, op: Any, inputs: Sequence[Between], path: str, shown: bool) -> Between:
        try:
            reading = read_op(op, [x.shape for x in inputs], self.batch, self.constants)
        except (TypeError, ValueError) as error:
            raise type(error)(f"the op {path!r}: {error}") from error
        at: Sequence[Between] = inputs
        for k, stage in enumerate(reading.stages, start=1):
            final = k == len(reading.stages)
            label = (reading.shape, path if final else f"{path}:{k}", shown and final)
            if len(at) == 1 and stage.only_pieces and isinstance(at[0], Pending):
                at = [Pending(at[0].terms, (*at[0].pieces, *stage.pieces), *label)]
                continue
            values = [self.builder.hold(x) for x in at]
            terms = tuple(
                Term(p.map, tuple(b for j in p.inputs for b in values[j].blocks), *self._variable(op, p.parameters))
                for p in stage.parts
            )
            at = [Pending(terms, stage.pieces, *label)]
        return at[0]

    def _variable(self, op: Any, held: tuple[str, ...]) -> tuple[Any, float]:
        if not held:
            return None, 0.0
        name = self.names[id(op)]
        if isinstance(self.radius[name], dict):
            raise TypeError(f"radius[{name!r}] is a mapping, which is for machines; pass a number for {op!r}")
        return (name, held), self.radius[name]

    def line(self, op: Any, shapes: Sequence[tuple[int, ...]], bounds: Sequence[float]) -> tuple[int, ...]:
        """Add a chain from its inputs, with bounds of their norms; return the blocks of its outputs."""
        names = ["input"] if len(shapes) == 1 else [f"input {k}" for k in range(len(shapes))]
        inputs = [
            Value((self.builder.block(name, bound),), shape)
            for name, shape, bound in zip(names, shapes, bounds, strict=True)
        ]
        return self._outputs(self.run(op, inputs, "", shown=True))

    def outermost(self, op: Hypergraph, starts: Mapping[str, float]) -> tuple[int, ...]:
        """Add a network from the bounds of the starts of its spaces; return the blocks of its outputs."""
        return self._outputs(self._network(op, [], "", True, starts))

    def _outputs(self, found: Sequence[Between]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(b for value in found for b in self.builder.hold(value).blocks))

    def _network(
        self, op: Hypergraph, inputs: Sequence[Between], path: str, shown: bool, starts: Mapping[str, float] = NOTHING
    ) -> list[Between]:
        if op.components:
            cycle = op.components[0]
            raise CycleError(
                f"{path or 'the network'} has a cycle through {', '.join(cycle)}, whose equilibrium no recursion over "
                "spaces bounds; give a network of finite depth",
                cycle,
            )
        values: dict[str, Value] = {}
        spaces: dict[str, list[Between]] = {name: [] for name in op.spaces}
        for name, value in zip(op.inputs, inputs, strict=bool(inputs)):
            spaces[name].append(value)
        left = {name: sum(name in e.targets for e in op.edges) for name in op.spaces}
        edges = {e.name: e for e in op.edges}

        def close(name: str) -> None:
            block = self.builder.block(f"{path}.{name}" if path else name, starts.get(name), shown)
            for value in spaces[name]:
                self.builder.add(block, value)
            values[name] = Value((block,), op.spaces[name])

        for name in op.spaces:
            if not left[name]:
                close(name)
        for edge in (edges[name] for level in op.levels for name in level):
            here = f"{path}.{edge.name}" if path else edge.name
            outputs = self.run(edge.op, [values[s] for s in edge.sources], here)
            if len(outputs) != len(edge.targets):
                raise ValueError(f"the edge {here!r} has {len(edge.targets)} targets but {len(outputs)} outputs")
            for target, value in zip(edge.targets, outputs, strict=True):
                spaces[target].append(value)
            for target in dict.fromkeys(edge.targets):
                left[target] -= 1
                if not left[target]:
                    close(target)
        return [values[name] for name in op.outputs]

    def _machine(self, op: Machine, inputs: list[Value], path: str, shown: bool) -> Value:
        check_finite_depth(op, f"the machine {path!r}")
        name, axes = self.names[id(op)], op.partition.axes
        radius = self.radius[name]
        options = dict(radius) if isinstance(radius, dict) else {"radius": radius}
        wrong = set(options) - {"radius", "block_radius", "bias_radius"}
        if wrong:
            raise TypeError(f"radius[{name!r}] has {min(wrong)!r}; its keys are block_radius and bias_radius")
        radii = read_machine_radii(
            op, options.get("radius"), options.get("block_radius"), options.get("bias_radius"), f"the machine {name!r}"
        )
        shape = inputs[0].shape
        if len(shape) < axes + 1:
            raise ValueError(f"the machine {path!r} reads a sample of shape {shape}; it has {axes} grid axes")
        cut = len(shape) - 1 - axes
        unrolled = Unrolled(op, tuple(shape[cut:-1]))

        def inside(step: Step) -> list[Term]:
            return [Term(IDENTITY, found)] if (found := _meeting(inputs[0], step)) else []

        before = len(self.builder.names)
        channels = add_machine(
            self.builder, op, unrolled, self.batch * math.prod(shape[:cut]), radii, inside, (None,) * len(op.sizes),
            f"{path}." if path else "", name, self.constants, shown,
        )  # fmt: skip
        for step, place in zip(unrolled.steps, range(before, len(self.builder.names)), strict=True):
            for z0 in inputs[1:]:
                if found := _meeting(z0, step):
                    self.builder.layer(place, [Term(IDENTITY, found)])
        return Value(tuple(c[0] for c in channels), (*shape[:-1], op.partition.channels), channels)


def _meeting(value: Value, step: Step) -> tuple[int, ...]:
    """Return the blocks of a value that have channels of an index set."""
    first, last = step.channels.start, step.channels.stop
    if value.channels is None:
        return value.blocks if first < value.shape[-1] else ()
    return tuple(block for block, start, stop in value.channels if start < last and first < stop)


def _narrow(op: Select, value: Value, path: str, shown: bool) -> Between | None:
    """Return the blocks of a machine that are selected; None where a channel is named twice."""
    spans = [slice(*span).indices(value.shape[-1])[:2] for span in op.spans]
    at, whole, new = 0, True, []
    for start, stop in spans:
        for block, a, b in value.channels or ():
            if a < stop and start < b:
                whole &= start <= a and b <= stop
                new.append((block, at + a - start, at + b - start))
        at += stop - start
    if len({c for span in spans for c in range(*span)}) < at:
        return None
    blocks, shape = tuple(dict.fromkeys(block for block, _, _ in new)), (*value.shape[:-1], at)
    if whole:
        return Value(blocks, shape, tuple(new))
    return Pending((Term(IDENTITY, blocks),), (), shape, path, shown)
