"""The four sweeps of a hypergraph: forward, tangent, dual, and the tangent of the dual."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..arrays import Array, astype, backend_of, namespace, plus
from ..records import ByName, Cotangent, GraphCotangent, GraphState, GraphTangent, State, Tangent
from .container import records_inside
from .edge import Edge
from .op import pullback, pullback_inputs, pullback_tangent, pushforward, solve
from .reading import Shape, check_outputs, read_inputs, read_named

if TYPE_CHECKING:
    from .verbs import NetworkVerbs

__all__ = ["pull", "pull_inputs", "pull_tangent", "push", "solve_network"]


class _Values(dict[str, Any]):
    """Sums by space; a space that nothing was added to reads as zeros of its shape."""

    def __init__(self, full: Mapping[str, Shape], like: Array, given: Mapping[str, Array | None]) -> None:
        super().__init__({name: x for name, x in given.items() if x is not None})
        self.full, self._like = full, like

    def __missing__(self, name: str) -> Array:
        self[name] = backend_of(self._like).zeros(self.full[name], self._like.dtype)
        return self[name]

    def add(self, name: str, image: Array | None) -> None:
        """Add to a space; None is zero."""
        if image is not None:
            held = self.get(name)
            self[name] = image if held is None else plus(held, image)

    def own(self, names: Iterable[str], given: Mapping[str, Array | None]) -> None:
        """Copy what is still the caller's own array."""
        for name in names:
            if given.get(name) is not None and self[name] is given[name]:
                self[name] = astype(self[name])


def solve_network(net: NetworkVerbs, inputs: Sequence[Any]) -> GraphState:
    """Run every edge once: h ← h + f_e h, the sources of e being final."""
    given, full = read_inputs(inputs, net.inputs, net.spaces, net.like)
    values = _Values(full, next(iter(given.values())), given)
    states = _forward(net, values, lambda k, xs: solve(net.edges[k].op, *xs), values.__getitem__)
    values.own(net.outputs, given)
    spaces = {name: values[name] for name in net.spaces}
    saved = tuple(map(partial(_lean, spaces), net.edges, states))
    return GraphState(ByName(tuple(given), given), ByName(net.outputs, spaces), saved, spaces)


def push(net: NetworkVerbs, state: State, inputs: Sequence[Any], parameters: Mapping[str, Array]) -> GraphTangent:
    """Run the derivative of every edge once; None is a zero direction."""
    state = _own(state)
    along = net.sharing.distribute(parameters, "network")
    given = read_named("direction", state.inputs.names, state.spaces, inputs)

    def derive(k: int, directions: Sequence[Array | None]) -> Tangent:
        return pushforward(net.edges[k].op, state.saved[k], directions, along[net.edges[k].name])

    full = {name: tuple(value.shape) for name, value in state.spaces.items()}
    values = _Values(full, next(iter(state.spaces.values())), given)
    tangents = _forward(net, values, derive, values.get)
    values.own(net.spaces, given)
    spaces = {name: values[name] for name in net.spaces}
    return GraphTangent(ByName(net.outputs, spaces), tuple(given.values()), parameters, tuple(tangents), spaces)


def _forward(
    net: NetworkVerbs,
    values: _Values,
    run: Callable[[int, Sequence[Any]], Any],
    read: Callable[[str], Array | None],
) -> list[Any]:
    """Run the edges, level by level, and add what they return to the values."""
    edges = net.edges
    records: list[Any] = [None] * len(edges)
    for group in net.groups:
        sources = [[read(s) for s in edges[k].sources] for k in group]
        for k, record in zip(group, _each(net, group)(run, group, sources), strict=True):
            records[k] = record
            check_outputs(edges[k], record.outputs, values.full)
            for target, image in zip(edges[k].targets, record.outputs, strict=True):
                values.add(target, image)
    return records


def pull(net: NetworkVerbs, state: State, outputs: Sequence[Any], into: Mapping[str, Array]) -> GraphCotangent:
    """Run the transpose of every edge once, last level first: λ_s = seed + Σ Jᵀ λ over the edges that read s."""
    state = _own(state)

    def transpose(k: int, seeds: Sequence[Array | None]) -> Cotangent:
        edge = net.edges[k]
        return pullback(edge.op, state.saved[k], seeds, net.sharing.inside(into, edge.name))

    return _backward(net, state, read_named("seed", net.outputs, state.spaces, outputs), transpose)


def pull_inputs(net: NetworkVerbs, state: State, outputs: Sequence[Any]) -> GraphCotangent:
    """Run `pull` without the cotangents of the parameters, as far as the ops can leave them out."""
    state = _own(state)

    def transpose(k: int, seeds: Sequence[Array | None]) -> Cotangent:
        return pullback_inputs(net.edges[k].op, state.saved[k], seeds)

    return _backward(net, state, read_named("seed", net.outputs, state.spaces, outputs), transpose, gather=False)


def pull_tangent(
    net: NetworkVerbs, state: State, cotangent: Cotangent, tangent: Tangent, outputs: Sequence[Any]
) -> GraphCotangent:
    """Run the derivative of every transpose once: λ̇_s = change of the seed + Σ (Jᵀ λ)˙ over the edges that read s."""
    state = _own(state)
    cotangents, tangents = records_inside(net, cotangent, tangent)

    def bend(k: int, changes: Sequence[Array | None]) -> Cotangent:
        return pullback_tangent(net.edges[k].op, state.saved[k], cotangents[k], tangents[k], changes)

    changes = read_named("change of the seed", net.outputs, state.spaces, outputs)
    return _backward(net, state, changes, bend, "pullback_tangent")


def _backward(
    net: NetworkVerbs,
    state: GraphState,
    seeds: Mapping[str, Array | None],
    act: Callable[[int, Sequence[Array | None]], Cotangent],
    verb: str = "pullback",
    gather: bool = True,
) -> GraphCotangent:
    """Run the action of every edge on what has come to its targets, last level first, and add up at its sources."""
    values = _Values({}, None, seeds)
    saved: dict[str, Cotangent] = {}
    for group in reversed(net.groups):
        arrived = [[values.get(t) for t in net.edges[k].targets] for k in group]
        for k, cotangent in zip(group, list(_each(net, group)(act, group, arrived)), strict=True):
            edge = net.edges[k]
            saved[edge.name] = cotangent
            if len(cotangent.inputs) != len(edge.sources):
                raise ValueError(
                    f"the edge {edge.name!r} reads {', '.join(edge.sources)} but its op's {verb} returned "
                    f"{len(cotangent.inputs)} cotangents; return one per input"
                )
            for source, image in zip(edge.sources, cotangent.inputs, strict=True):
                values.add(source, image)
    for name, value in state.spaces.items():
        if values.get(name) is None:
            values[name] = namespace(value).zeros_like(value)
    values.own(net.spaces, seeds)
    parameters, contributions = net.sharing.gather(saved) if gather else ({}, {})
    inputs = ByName(state.inputs.names, values)
    each = tuple(saved[e.name] for e in net.edges)
    return GraphCotangent(inputs, parameters, tuple(seeds.values()), each, contributions)


def _each(net: NetworkVerbs, group: Sequence[int]) -> Callable[..., Iterable[Any]]:
    return map if net.executor is None or len(group) == 1 else net.executor.map


def _lean(spaces: Mapping[str, Array], edge: Edge, state: State) -> State:
    """Let go of outputs that were added to others, where the op's derivatives need their shape only."""
    values = tuple(spaces[t] for t in edge.targets)
    if getattr(edge.op, "reads_outputs", True) or all(map(operator.is_, values, state.outputs)):
        return state
    return State(state.inputs, values, state.saved)


def _own(state: State) -> GraphState:
    if not isinstance(state, GraphState):
        raise TypeError(f"state is a {type(state).__name__}; pass what this network's solve returned")
    return state
