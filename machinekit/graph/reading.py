"""Reading what a hypergraph is given: spaces, edges, inputs, seeds; refused before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import NUMPY, Array, as_array, backend_of, check_alike, near
from ..machines import Machine
from ..records import GraphState
from ..solvers import Equilibrium
from .components import Component
from .edge import Edge, check_name
from .op import Op, parameters, parts
from .order import read_signature

__all__ = [
    "Shape",
    "by_name",
    "check_outputs",
    "check_samples",
    "read_cycles",
    "read_edges",
    "read_inputs",
    "read_named",
    "read_spaces",
    "read_terminals",
    "read_warm",
    "try_edges",
]

Shape = tuple[int, ...]


def read_spaces(spaces: Any) -> dict[str, Shape]:
    """Return the shape of a sample in each space."""
    if not isinstance(spaces, Mapping):
        raise TypeError(f"spaces is a {type(spaces).__name__}; pass a mapping such as {{'x1': 2, 'x2': (8, 3)}}")
    if not spaces:
        raise ValueError("spaces is empty; a network needs at least one space")
    found: dict[str, Shape] = {}
    for name, shape in spaces.items():
        check_name("the name of a space", name)
        extents = (shape,) if isinstance(shape, int | np.integer) else shape
        if not isinstance(extents, Sequence) or not all(isinstance(n, int | np.integer) and n >= 0 for n in extents):
            raise ValueError(f"the space {name!r} is {shape!r}; pass a whole number at least 0, or a tuple of them")
        found[name] = tuple(int(n) for n in extents)
    return found


def read_edges(edges: Iterable[Any], shapes: Mapping[str, Shape]) -> tuple[Edge, ...]:
    """Return the edges, with names of their own, known spaces and parameters that belong together."""
    given = tuple(edges)
    seen: set[str] = set()
    first: tuple[str, Array] | None = None
    for k, edge in enumerate(given):
        if not isinstance(edge, Edge):
            raise TypeError(f"edges[{k}] is {edge!r}; pass mk.Edge('f1', op, 'x1 x2 -> x3')")
        if edge.name in seen:
            raise ValueError(f"two edges are named {edge.name!r}; give each edge a name of its own")
        seen.add(edge.name)
        for space in (*edge.sources, *edge.targets):
            if space not in shapes:
                raise ValueError(
                    f"the edge {edge.name!r}, {edge.signature}, names the space {space!r}; {near(space, shapes)}"
                )
        for key, array in parameters(edge.op).items():
            name = f"{edge.name}.{key}"
            first = first or (name, array)
            check_alike(f"parameter {first[0]}", first[1], {name: array})
    return given


def read_terminals(
    signature: str | None, shapes: Mapping[str, Shape], edges: Sequence[Edge]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the inputs and outputs as an op."""
    if signature is None:
        written = {t for e in edges for t in e.targets}
        read = {s for e in edges for s in e.sources}
        return tuple(n for n in shapes if n not in written), tuple(n for n in shapes if n not in read)
    sides = read_signature(signature, "the network")
    for side, names in zip(("inputs", "outputs"), sides, strict=True):
        for name in names:
            if name not in shapes:
                raise ValueError(f"signature={signature!r} names the space {name!r}; {near(name, shapes)}")
        if not names or len(set(names)) < len(names):
            raise ValueError(f"signature={signature!r}: its {side} are {list(names)}; name some, each once")
    return sides


_SOLVERS = ("auto", "anderson", "broyden", "newton-krylov", "picard")
_DUAL_SOLVERS = ("auto", "bicgstab", "anderson", "broyden", "picard")


def read_cycles(cycles: Any) -> Equilibrium | None:
    """Return how cycles are solved, by a solver that needs no more than their maps; None forbids them."""
    if cycles is None:
        return None
    if not isinstance(cycles, Equilibrium):
        raise TypeError(f"cycles is {cycles!r}; pass mk.Equilibrium(), or None where there is no cycle")
    for name, fit in (("solver", _SOLVERS), ("dual_solver", _DUAL_SOLVERS)):
        given = getattr(cycles, name)
        if given not in fit:
            raise ValueError(
                f"cycles has {name}={given!r}, which needs the blocks of a machine; for a network choose from "
                f"{', '.join(fit)}"
            )
    return cycles


def check_samples(edges: Sequence[Edge], components: Iterable[Component]) -> None:
    """Refuse ops in cycles through which the samples of a batch know of each other."""
    for component in components:
        for edge in (edges[k] for k in component.edges):
            for op in _leaves(edge.op):
                if getattr(op, "couples_samples", False):
                    raise ValueError(
                        f"the edge {edge.name!r} is in a cycle but its op {op!r} couples the samples of a batch, which "
                        "are solved each by itself; fix its statistics first, with op.with_statistics(state)"
                    )


def _leaves(op: Any) -> list[Any]:
    inside = parts(op)
    return [leaf for part in inside.values() for leaf in _leaves(part)] if inside else [op]


def try_edges(shapes: Mapping[str, Shape], edges: Sequence[Edge]) -> None:
    """Run each built-in op on one sample of zeros, so that a shape that does not fit is found at construction."""
    like = next((a for e in edges for a in parameters(e.op).values()), None)
    for edge in edges:
        if not isinstance(edge.op, Op | Machine):
            continue
        home = NUMPY if like is None else backend_of(like)
        zeros = [home.zeros((1, *shapes[s]), "float64" if like is None else like.dtype) for s in edge.sources]
        given = ", ".join(f"{s} {shapes[s]}" for s in edge.sources)
        try:
            with np.errstate(all="ignore"):
                outputs = edge.op.solve(*zeros).outputs if hasattr(edge.op, "solve") else edge.op(*zeros)
        except (ValueError, TypeError) as error:
            raise type(error)(f"the edge {edge.name!r}, {edge.signature}, cannot run on {given}: {error}") from error
        check_outputs(edge, outputs, {name: (1, *shape) for name, shape in shapes.items()})


def check_outputs(edge: Edge, outputs: Any, full: Mapping[str, Shape]) -> None:
    """Raise unless an op's outputs are as many as the targets of its edge, and of their shapes."""
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    if len(outputs) != len(edge.targets):
        raise ValueError(
            f"the edge {edge.name!r} has the targets {', '.join(edge.targets)} but its op returned {len(outputs)}; "
            "name one target per output"
        )
    for target, image in zip(edge.targets, outputs, strict=True):
        if image is not None and tuple(image.shape) != full[target]:
            raise ValueError(
                f"the edge {edge.name!r}, {edge.signature}, returned shape {tuple(image.shape)} for the space "
                f"{target!r}, which is {full[target]}, batch first; change the op or the space"
            )


def by_name(what: str, names: Sequence[str], shapes: Mapping[str, Any], arrays: Sequence[Any]) -> dict[str, Any]:
    """Return arrays by space, from one mapping or by position."""
    if len(arrays) == 1 and isinstance(arrays[0], Mapping):
        for name in arrays[0]:
            if name not in shapes:
                raise ValueError(f"{what} for {name!r}, which is no space; {near(name, shapes)}")
        return dict(arrays[0])
    if arrays and len(arrays) != len(names):
        raise TypeError(
            f"the {what}s: got {len(arrays)} for the spaces {', '.join(names) or 'none'}; pass one each, None is zero, "
            "or one mapping of space to array"
        )
    return dict(zip(names, arrays or (None,) * len(names), strict=True))


def read_inputs(
    inputs: Sequence[Any], names: Sequence[str], shapes: Mapping[str, Shape], like: Array | None
) -> tuple[dict[str, Array], dict[str, Shape]]:
    """Return the inputs by space, and the shape of every space with the batch."""
    given = {n: x for n, x in by_name("input", names, shapes, inputs).items() if x is not None}
    if not given:
        raise ValueError(f"no input is given; pass an array for at least one of {', '.join(names or shapes)}")
    batch: Shape | None = None
    for name, x in given.items():
        as_array(x, f"input {name}")
        shape, space = tuple(x.shape), shapes[name]
        cut = len(shape) - len(space)
        if cut < 0 or shape[cut:] != space:
            raise ValueError(f"input {name} has shape {shape}; its space is {space}, so pass (*batch, *{space})")
        if batch is None:
            batch, first = shape[:cut], name
        elif shape[:cut] != batch:
            raise ValueError(
                f"input {first} has the batch {batch} but input {name}, of shape {shape}, has {shape[:cut]}; "
                "pass the same batch axes to each"
            )
    reference = next(iter(given.values())) if like is None else like
    check_alike("network", reference, {f"input {n}": x for n, x in given.items()})
    return given, {name: (*(batch or ()), *shape) for name, shape in shapes.items()}


def read_warm(warm: Any, full: Mapping[str, Shape], like: Array) -> Mapping[str, Array]:
    """Return the values of a state to start from."""
    if not isinstance(warm, GraphState):
        raise TypeError(f"warm is a {type(warm).__name__}; pass what this network's solve returned for another input")
    for name, shape in full.items():
        if name not in warm.spaces or tuple(warm.spaces[name].shape) != shape:
            held = tuple(warm.spaces[name].shape) if name in warm.spaces else "none"
            raise ValueError(
                f"warm has the value {held} of the space {name!r}, which is {shape} here, batch first; pass a state of "
                "this network and batch"
            )
    check_alike("input", like, {f"warm[{name!r}]": warm.spaces[name] for name in full})
    return warm.spaces


def read_named(what: str, names: Sequence[str], values: Mapping[str, Array], arrays: Sequence[Any]) -> dict[str, Any]:
    """Return directions or seeds by space, each None or of the shape of the space's value."""
    given = by_name(what, names, values, arrays)
    for name, x in given.items():
        if x is not None:
            check_alike("state", values[name], {f"{what} {name}": x})
            if tuple(x.shape) != tuple(values[name].shape):
                raise ValueError(
                    f"the {what} of {name} has shape {tuple(x.shape)}; its value has {tuple(values[name].shape)}"
                )
    return given
