"""The four sweeps of a hypergraph: forward, tangent, dual, and the tangent of the dual."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..arrays import Array, namespace
from ..errors import DerivativeError
from ..records import ByName, Cotangent, GraphCotangent, GraphState, GraphTangent, State, Tangent
from ..records.op import NOTHING
from ..solvers import fail
from .components import Component
from .container import records_inside
from .cycle import Settling, options_of
from .edge import Edge
from .linearized import at_state, is_turned
from .op import pullback, pullback_inputs, pullback_tangent, pushforward, solve
from .passes import Act, AffinePass, Pass, Round
from .reading import check_outputs, read_inputs, read_named, read_warm
from .values import Values

if TYPE_CHECKING:
    from .verbs import NetworkVerbs

__all__ = ["pull", "pull_inputs", "pull_tangent", "push", "solve_network"]


def solve_network(net: NetworkVerbs, inputs: Sequence[Any], warm: Any = None) -> GraphState:
    """Run every edge once: h ← h + f_e h, the sources of e being final; components of edges are settled."""
    given, full = read_inputs(inputs, net.inputs, net.spaces, net.like)
    start = None if warm is None else read_warm(warm, full, next(iter(given.values())))

    def run(k: int, sources: Sequence[Array]) -> State:
        return solve(net.edges[k].op, *sources)

    values = Values(full, next(iter(given.values())), given, zeros=True)
    states: list[Any] = [None] * len(net.edges)
    settling = _forwards(net, values, run, warm=start) if net._components else None
    _forward(net, net.groups, values, run, states, settling)
    values.own(net.outputs, given)
    spaces = {name: values[name] for name in net.spaces}
    saved = tuple(map(partial(_lean, spaces), net.edges, states))
    info = NOTHING if settling is None else settling.told
    state = GraphState(ByName(tuple(given), given), ByName(net.outputs, spaces), saved, spaces, info)
    if settling is not None:
        fail(settling.told, state, options_of(net), "the equilibrium of the cycles")
    return state


def push(net: NetworkVerbs, state: State, inputs: Sequence[Any], parameters: Mapping[str, Array]) -> GraphTangent:
    """Run the derivative of every edge once; None is a zero direction."""
    state = _own(state)
    along = net.sharing.distribute(parameters, "network")
    given = read_named("direction", state.inputs.names, state.spaces, inputs)

    def derive(k: int, directions: Sequence[Array | None]) -> Tangent:
        return pushforward(net.edges[k].op, state.saved[k], directions, along[net.edges[k].name])

    def linear(k: int, directions: Sequence[Array | None]) -> Tangent:
        return pushforward(net.edges[k].op, state.saved[k], directions, {})

    full = {name: tuple(value.shape) for name, value in state.spaces.items()}
    values = Values(full, next(iter(state.spaces.values())), given)
    tangents: list[Any] = [None] * len(net.edges)
    settling = _forwards(net, values, derive, linear, state) if net._components else None
    _forward(net, net.groups, values, derive, tangents, settling)
    values.own(net.spaces, given)
    spaces = {name: values[name] for name in net.spaces}
    info = NOTHING if settling is None else settling.told
    named = ByName(net.outputs, spaces)
    tangent = GraphTangent(named, tuple(given.values()), parameters, tuple(tangents), spaces, info)
    if settling is not None:
        fail(settling.told, tangent, options_of(net), "the tangent of the cycles")
    return tangent


def _forward(
    net: NetworkVerbs,
    groups: Sequence[tuple[int, ...] | Component],
    values: Values,
    run: Act,
    records: Any,
    settling: Settling | None = None,
) -> None:
    """Run the edges, group by group, and add what they return to the values."""
    edges = net.edges
    read: Callable[[str], Array | None] = values.__getitem__ if values.zeros else values.get
    for group in groups:
        if isinstance(group, Component):
            settling.settle(group, values, records)  # type: ignore[union-attr]
            continue
        sources = [[read(s) for s in edges[k].sources] for k in group]
        for k, record in zip(group, _each(net, group)(run, group, sources), strict=True):
            edge, outputs = edges[k], record.outputs
            records[k] = record
            check_outputs(edge, outputs, values.full)
            for target, image in zip(edge.targets, outputs, strict=True):
                values.add(target, image)


def _forwards(
    net: NetworkVerbs,
    values: Values,
    act: Act,
    linear: Act | None = None,
    state: GraphState | None = None,
    warm: Mapping[str, Array] | None = None,
) -> Settling:
    """Return how components are settled in a forward sweep; the edges of a tangent or a dual network are linear."""

    def run(k: int, sources: Sequence[Array | None]) -> State:
        return solve(net.edges[k].op, *sources)

    def derive(k: int, record: State, directions: Sequence[Array | None]) -> Tangent:
        return pushforward(net.edges[k].op, record, directions, {})

    def pose(round: Round, like: Array) -> Pass | AffinePass:
        if linear is None and not at_state(ops):
            return Pass(round, act, derive, like, warm)
        return AffinePass(round, act, linear or run, like)

    ops = _inside(net)
    steps = options_of(net).dual_steps if all(map(is_turned, ops)) else None
    return Settling(net, partial(_forward, net), act, values, pose, steps, None if state is None else state.spaces)


def pull(net: NetworkVerbs, state: State, outputs: Sequence[Any], into: Mapping[str, Array]) -> GraphCotangent:
    """Run the transpose of every edge once, last level first: λ_s = seed + Σ Jᵀ λ over the edges that read s."""
    state = _own(state)

    def transpose(k: int, seeds: Sequence[Array | None]) -> Cotangent:
        edge = net.edges[k]
        return pullback(edge.op, state.saved[k], seeds, net.sharing.inside(into, edge.name))

    return _back(net, state, read_named("seed", net.outputs, state.spaces, outputs), transpose)


def pull_inputs(net: NetworkVerbs, state: State, outputs: Sequence[Any]) -> GraphCotangent:
    """Run `pull` without the cotangents of the parameters, as far as the ops can leave them out."""
    state = _own(state)

    def transpose(k: int, seeds: Sequence[Array | None]) -> Cotangent:
        return pullback_inputs(net.edges[k].op, state.saved[k], seeds)

    return _back(net, state, read_named("seed", net.outputs, state.spaces, outputs), transpose, gather=False)


def pull_tangent(
    net: NetworkVerbs, state: State, cotangent: Cotangent, tangent: Tangent, outputs: Sequence[Any]
) -> GraphCotangent:
    """Run the derivative of every transpose once: λ̇_s = change of the seed + Σ (Jᵀ λ)˙ over the edges that read s."""
    state = _own(state)
    cotangents, tangents = records_inside(net, cotangent, tangent)
    steps = options_of(net).dual_steps if net._components else None
    if steps is not None:
        raise DerivativeError(
            f"pullback_tangent differentiates the exact dual, but dual_steps={steps} stops it early; use "
            "network.with_options(dual_steps=None)"
        )

    def bend(k: int, changes: Sequence[Array | None]) -> Cotangent:
        return pullback_tangent(net.edges[k].op, state.saved[k], cotangents[k], tangents[k], changes)

    changes = read_named("change of the seed", net.outputs, state.spaces, outputs)
    return _back(net, state, changes, bend, "pullback_tangent")


def _back(
    net: NetworkVerbs,
    state: GraphState,
    seeds: Mapping[str, Array | None],
    act: Act,
    verb: str = "pullback",
    gather: bool = True,
) -> GraphCotangent:
    """Run the action of every edge on what has come to its targets, last level first, and collect the answer."""
    values = Values({}, None, seeds)
    saved: dict[str, Cotangent] = {}
    settling = _backwards(net, state, values, act, verb) if net._components else None
    _backward(net, net.groups, values, act, saved, settling, verb)
    for name, value in state.spaces.items():
        if values.get(name) is None:
            values[name] = namespace(value).zeros_like(value)
    values.own(net.spaces, seeds)
    parameters, contributions = net.sharing.gather(saved) if gather else ({}, {})
    inputs = ByName(state.inputs.names, values)
    each = tuple(saved[e.name] for e in net.edges)
    info = NOTHING if settling is None else settling.told
    cotangent = GraphCotangent(inputs, parameters, tuple(seeds.values()), each, contributions, info)
    if settling is not None:
        what = "the dual" if verb == "pullback" else "the tangent of the dual"
        fail(settling.told, cotangent, options_of(net), f"{what} of the cycles")
    return cotangent


def _backward(
    net: NetworkVerbs,
    groups: Sequence[tuple[int, ...] | Component],
    values: Values,
    act: Act,
    saved: dict[str, Cotangent],
    settling: Settling | None = None,
    verb: str = "pullback",
) -> None:
    """Run the action of the edges, last group first, and add up at their sources."""
    edges = net.edges
    for group in reversed(groups):
        if isinstance(group, Component):
            settling.settle(group, values, saved)  # type: ignore[union-attr]
            continue
        arrived = [[values.get(t) for t in edges[k].targets] for k in group]
        for k, cotangent in zip(group, list(_each(net, group)(act, group, arrived)), strict=True):
            edge = edges[k]
            saved[edge.name] = cotangent
            if len(cotangent.inputs) != len(edge.sources):
                raise ValueError(
                    f"the edge {edge.name!r} reads {', '.join(edge.sources)} but its op's {verb} returned "
                    f"{len(cotangent.inputs)} cotangents; return one per input"
                )
            for source, image in zip(edge.sources, cotangent.inputs, strict=True):
                values.add(source, image)


def _backwards(net: NetworkVerbs, state: GraphState, values: Values, act: Act, verb: str) -> Settling:
    """Return how components are settled in a backward sweep: the linear part of each is that of the dual."""

    def transpose(k: int, seeds: Sequence[Array | None]) -> Cotangent:
        return pullback_inputs(net.edges[k].op, state.saved[k], seeds)

    def pose(round: Round, like: Array) -> AffinePass:
        return AffinePass(round, transpose if verb == "pullback" else act, transpose, like)

    values.full = {name: tuple(value.shape) for name, value in state.spaces.items()}
    steps = None if all(map(is_turned, _inside(net))) else options_of(net).dual_steps
    return Settling(net, partial(_backward, net, verb=verb), act, values, pose, steps, state.spaces, turned=True)


def _inside(net: NetworkVerbs) -> list[Any]:
    """Return the ops of the cycles."""
    return [net.edges[k].op for c in net._components for k in c.edges]


def _each(net: NetworkVerbs, group: Sequence[int]) -> Callable[..., Iterable[Any]]:
    return map if net.executor is None or len(group) == 1 else net.executor.map


def _lean(spaces: Mapping[str, Array], edge: Edge, state: State) -> State:
    """Let go of outputs that were added to others, where the op's derivatives need their shape only."""
    if getattr(edge.op, "reads_outputs", True):
        return state
    values = tuple([spaces[t] for t in edge.targets])
    if all(map(operator.is_, values, state.outputs)):
        return state
    return State(state.inputs, values, state.saved)


def _own(state: State) -> GraphState:
    if not isinstance(state, GraphState):
        raise TypeError(f"state is a {type(state).__name__}; pass what this network's solve returned")
    return state
