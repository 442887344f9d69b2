"""What a hypergraph looks like: text, Graphviz, and the memory of its states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import NUMPY, backend_of
from ..records import State
from .components import space_steps
from .op import parameters

if TYPE_CHECKING:
    from .hypergraph import Hypergraph

__all__ = ["Memory", "counted", "describe", "memory", "to_dot"]


class Memory(NamedTuple):
    """Bytes that a state holds, each array counted once.

    Attributes
    ----------
    inputs : int
        The arrays that were passed in.
    spaces : int
        The values of the other spaces, and of those that have more than an input.
    edges : mapping of str to int
        What each edge keeps besides: outputs of their own, argmaxima, statistics, inner states.
    """

    inputs: int
    spaces: int
    edges: Mapping[str, int]

    @property
    def total(self) -> int:
        """The sum."""
        return self.inputs + self.spaces + sum(self.edges.values())


def memory(net: Hypergraph, batch: int | tuple[int, ...] = 1) -> Memory:
    """Return the bytes of a state, from runs on one and on two samples of zeros: memory is affine in the batch."""
    extents = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in extents):
        raise ValueError(f"batch is {batch!r}; pass a whole number at least 0, or a tuple of them")
    samples = math.prod(int(n) for n in extents)
    one, two = (_measure(net, n) for n in (1, 2))

    def grown(a: int, b: int) -> int:
        return a + (samples - 1) * (b - a) if samples else 0

    edges = {name: grown(a, two.edges[name]) for name, a in one.edges.items()}
    return Memory(grown(one.inputs, two.inputs), grown(one.spaces, two.spaces), edges)


def _measure(net: Hypergraph, samples: int) -> Memory:
    like = next(iter(parameters(net).values()), None)
    home = NUMPY if like is None else backend_of(like)
    dtype = "float64" if like is None else like.dtype
    zeros = {n: home.zeros((samples, *net.spaces[n]), dtype) for n in net.inputs or net.spaces}
    # what a state holds does not depend on how far a cycle has come
    quick = net.with_options(max_steps=0, on_failure="return") if net.components else net
    with np.errstate(all="ignore"):
        state = quick.solve(zeros)
    seen = {id(_base(a)) for a in parameters(net).values()}
    inputs = _fresh(state.inputs, seen)
    spaces = _fresh(tuple(state.spaces.values()), seen)
    edges = {e.name: _fresh(inner, seen) for e, inner in zip(net.edges, state.saved, strict=True)}
    return Memory(inputs, spaces, edges)


def _base(array: Any) -> Any:
    while isinstance(getattr(array, "base", None), type(array)):
        array = array.base
    return array


def _fresh(record: Any, seen: set[int]) -> int:
    """Return the bytes of the arrays in a record that have not been seen yet."""
    if isinstance(record, tuple | list):
        return sum(_fresh(each, seen) for each in record)
    if isinstance(record, Mapping):
        return sum(_fresh(each, seen) for each in record.values())
    if isinstance(record, State):
        return sum(_fresh(each, seen) for each in vars(record).values())
    if not hasattr(record, "shape") or not hasattr(record, "dtype"):
        return 0
    base = _base(record)
    if id(base) in seen:
        return 0
    seen.add(id(base))
    return int(math.prod(base.shape) * _width(base.dtype))


def _width(dtype: Any) -> int:
    return int(getattr(dtype, "itemsize", 0)) or np.dtype(str(dtype).rpartition(".")[2]).itemsize


def counted(net: Hypergraph) -> str:
    """Return how many cycles there are, in words."""
    return f"{len(net.components)} cycle{'s' * (len(net.components) != 1)}"


def describe(net: Hypergraph) -> str:
    """Return spaces, levels, cycles and parameters as text."""
    of_space, _ = space_steps(net.spaces, net.edges, net._components)
    listed = net.parameters()
    count = sum(math.prod(a.shape) for a in listed.values())
    cycles = f"{counted(net)}, " if net.components else ""
    head = (
        f"network {net.signature}: {len(net.spaces)} spaces, {len(net.edges)} edges, depth {net.depth}, "
        f"{cycles}{count} parameters in {len(listed)} arrays"
    )
    lines = [head]
    width = max(map(len, net.spaces))
    for name, shape in net.spaces.items():
        role = " input" * (name in net.inputs) + " output" * (name in net.outputs)
        size = "×".join(map(str, shape)) or "scalar"
        lines.append(f"  space {name:{width}}  {size:>10}  final after step {of_space[name]}{role}")
    by_name = {e.name: e for e in net.edges}
    for step, group in enumerate(net.levels, 1):
        lines.append(f"  step {step}")
        lines.extend(f"    {name}: {by_name[name].signature}   {by_name[name].op!r}" for name in group)
        for component in net._components:
            if component.names[0] in group:
                lines.append(f"    together: {', '.join(component.names)}; unknown: {', '.join(component.cut)}")
    shared = [f"{n} is {first}" for n, first in net.sharing.first.items() if n != first]
    if shared:
        lines.append(f"  shared: {', '.join(shared)}")
    return "\n".join(lines)


def to_dot(net: Hypergraph) -> str:
    """Return the network in the language of Graphviz."""

    def quoted(*words: str) -> str:
        return '"' + "\\n".join(word.replace("\\", "\\\\").replace('"', '\\"') for word in words) + '"'

    lines = ["digraph network {", "  rankdir=LR;"]
    for name, shape in net.spaces.items():
        label = quoted(name, "×".join(map(str, shape)) or "scalar")
        lines.append(f"  {quoted('space ' + name)} [shape=ellipse, label={label}];")
    for k, component in enumerate(net._components):
        inside = [*(f"edge {name}" for name in component.names), *(f"space {s}" for s in component.spaces)]
        words = " ".join(quoted(name) + ";" for name in inside)
        lines.append(f"  subgraph cluster_{k} {{ label=cycle; {words} }}")
    together = {name for component in net.components for name in component}
    for group in net.levels:
        alone = [quoted("edge " + name) + ";" for name in group if name not in together]
        lines += ["  { rank=same; " + " ".join(alone) + " }"] if alone else []
    for edge in net.edges:
        lines.append(f"  {quoted('edge ' + edge.name)} [shape=box, label={quoted(edge.name, type(edge.op).__name__)}];")
        lines.extend(f"  {quoted('space ' + s)} -> {quoted('edge ' + edge.name)};" for s in edge.sources)
        lines.extend(f"  {quoted('edge ' + edge.name)} -> {quoted('space ' + t)};" for t in edge.targets)
    return "\n".join([*lines, "}"])
