"""The laws of an op: pushforward and pullback are adjoint and derivatives of its solve; so are the second ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, astype, backend_of, dtype_name, namespace, to_host
from ..errors import DerivativeError
from ..graph.op import (
    MissingVerb,
    live_masks,
    parameters,
    pullback,
    pullback_inputs,
    pullback_tangent,
    pushforward,
    replace,
    solve,
)
from ..records import Cotangent, State, Tangent
from .instruments import STEP, array, complex_step, finite_difference, inner, inner_scale
from .report import Finding, compare, equal, skipped, tolerance

__all__ = ["op_findings"]

_SLACK = 16.0
"""Headroom for the operations inside an op, of which a general check knows nothing."""


def op_findings(op: Any, inputs: Sequence[Array], rng: np.random.Generator) -> list[Finding]:
    """Return the findings of `check_op`."""
    for k, x in enumerate(inputs):
        if dtype_name(x) != "float64":
            raise TypeError(f"inputs[{k}] is {dtype_name(x)}; ops are checked in float64")
    given = [(x, np.array(to_host(x))) for x in inputs]
    state = solve(op, *inputs)
    seeds = tuple(_normal(rng, y) for y in state.outputs)
    along, other = _directions(op, inputs, rng), _directions(op, inputs, rng)
    given += [(a, np.array(to_host(a))) for a in (*seeds, *along.values(), *other.values())]
    cotangent = pullback(op, state, seeds)
    given += [(y, np.array(to_host(y))) for y in state.outputs]
    cotangents = _by_name(op, cotangent)
    given += [(a, np.array(to_host(a))) for a in cotangents.values()]
    findings = [equal("one cotangent for each input", len(cotangent.inputs), len(inputs))]
    for name, x in _points(op, inputs).items():
        findings.append(equal(f"cotangent of {name} has its shape", tuple(cotangents[name].shape), tuple(x.shape)))
    findings += _adjoint(op, state, seeds, along, cotangents)
    findings += _differences(op, inputs, seeds, along, cotangents)
    findings += _second(op, inputs, state, (seeds, cotangent), (along, other), rng)
    same = all(np.array_equal(to_host(a), copy, equal_nan=True) for a, copy in given)
    return [*findings, equal("no input is written to", same, True)]


def _points(op: Any, inputs: Sequence[Array]) -> dict[str, Array]:
    """Return all that an op can be differentiated by: inputs and parameters by name."""
    return {**{f"input {k}": x for k, x in enumerate(inputs)}, **parameters(op)}


def _directions(op: Any, inputs: Sequence[Array], rng: np.random.Generator) -> dict[str, Array]:
    masks = live_masks(op)
    return {name: _normal(rng, x, masks.get(name)) for name, x in _points(op, inputs).items()}


def _by_name(op: Any, cotangent: Cotangent) -> dict[str, Array]:
    found = {f"input {k}": c for k, c in enumerate(cotangent.inputs)}
    return {**found, **{name: cotangent.parameters[name] for name in parameters(op)}}


def _normal(rng: np.random.Generator, like: Array, mask: np.ndarray | None = None) -> Array:
    values = rng.standard_normal(tuple(like.shape))
    return backend_of(like).from_host(values if mask is None else np.where(mask, values, 0.0))


def _push(op: Any, state: State, along: dict[str, Array]) -> Tangent:
    directions = [along[f"input {k}"] for k in range(len(state.inputs))]
    return pushforward(op, state, directions, {n: d for n, d in along.items() if not n.startswith("input ")})


def _adjoint(op: Any, state: Any, seeds: Any, along: dict[str, Array], cotangents: dict[str, Array]) -> list[Finding]:
    law = "adjoint identity of pullback and pushforward"
    try:
        tangent = _push(op, state, along)
    except MissingVerb as error:  # of the op, or of an op inside it
        return [skipped(law, str(error))]
    left = [(cotangents[name], d) for name, d in along.items()]
    right = list(zip(seeds, tangent.outputs, strict=True))
    scale = _SLACK * (inner_scale(left) + inner_scale(right))
    return [compare(law, inner(left), inner(right), scale)]


def _differences(op: Any, inputs: Any, seeds: Any, along: dict[str, Array], cotangents: Any) -> list[Finding]:
    findings = []
    size = inner_scale(
        list(zip(seeds, solve(op, *inputs).outputs, strict=True))
    )  # a slope 1 − z² has errors of z's size
    for name, direction in along.items():

        def loss(x: Array, name: str = name) -> Any:
            if not name.startswith("input "):
                return inner(list(zip(seeds, solve(replace(op, {name: x}), *inputs).outputs, strict=True)))
            k = int(name.removeprefix("input "))
            return inner(list(zip(seeds, solve(op, *inputs[:k], x, *inputs[k + 1 :]).outputs, strict=True)))

        point = inputs[int(name.removeprefix("input "))] if name.startswith("input ") else parameters(op)[name]
        pairs = [(cotangents[name], direction)]
        scale = inner_scale(pairs)
        law = f"cotangent of {name} by"
        try:
            exact = complex_step(loss, point, direction)
            allowed = 1e-12 * scale + tolerance("float64", size)
            findings.append(compare(f"{law} the complex step", inner(pairs), exact, scale, allowed=allowed))
        except TypeError as error:
            findings.append(skipped(f"{law} the complex step", str(error)))
        plain = finite_difference(loss, point, direction)
        allowed = 1e-6 * (scale + abs(loss(point)))
        findings.append(compare(f"{law} finite differences", inner(pairs), plain, scale, allowed=allowed))
    return findings


def _second(
    op: Any, inputs: Any, state: State, back: tuple[Any, Cotangent], moves: tuple[dict[str, Array], ...], rng: Any
) -> list[Finding]:
    """`pullback_tangent` is the derivative of `pullback`, everything moving at once; with fixed seeds it is symmetric.

    It is given what `pullback` returned, and for the symmetry what `pullback_inputs` did, if the op has that.
    """
    step, symmetry = "tangent of the pullback by the complex step", "second derivatives are symmetric"
    (seeds, cotangent), (along, other) = back, moves
    changes = tuple(_normal(rng, y) for y in state.outputs)
    try:
        tangents = [_push(op, state, directions) for directions in moves]
        moved = _by_name(op, pullback_tangent(op, state, cotangent, tangents[0], changes))
        lean = pullback_inputs(op, state, seeds)
        left, right = (_by_name(op, pullback_tangent(op, state, lean, tangent)) for tangent in tangents)
    except DerivativeError as error:  # a verb is missing, or an op is not smooth enough
        return [skipped(law, str(error)) for law in (step, symmetry)]
    shapes = {name: tuple(a.shape) for name, a in _points(op, inputs).items()}
    findings = [equal("tangent of the pullback has its shapes", {n: tuple(a.shape) for n, a in moved.items()}, shapes)]
    if not findings[0].ok:
        return findings
    pairs = [[(found[n], d) for n, d in by.items()] for found, by in ((left, other), (right, along))]
    scale = _SLACK * (inner_scale(pairs[0]) + inner_scale(pairs[1]))
    findings.append(compare(symmetry, inner(pairs[0]), inner(pairs[1]), scale))
    try:
        exact = _by_name(op, _stepped(op, inputs, seeds, along, changes))
    except TypeError as error:
        return [*findings, skipped(step, str(error))]
    held = _by_name(op, cotangent)
    size = inner_scale([(y, d) for both in (seeds, changes) for y, d in zip(state.outputs, both, strict=True)])
    for name, d in other.items():
        pair, law = [(moved[name], d)], f"tangent of the cotangent of {name} by the complex step"
        scale = inner_scale(pair) + inner_scale([(held[name], d)])
        allowed = 1e-12 * scale + tolerance("float64", size)  # as for a first derivative
        want = np.imag(inner([(exact[name], d)])) / STEP
        findings.append(compare(law, inner(pair), want, scale, allowed=allowed))
    return findings


def _stepped(op: Any, inputs: Any, seeds: Any, along: dict[str, Array], changes: Any) -> Cotangent:
    """Return the pullback with inputs, parameters and seeds moved by i h."""

    def moved(x: Array, d: Array) -> Array:
        return array(astype(x, namespace(x).complex128) + 1j * (STEP * d))

    there = replace(op, {name: moved(a, along[name]) for name, a in parameters(op).items()})
    points = [moved(x, along[f"input {k}"]) for k, x in enumerate(inputs)]
    return pullback(there, solve(there, *points), [moved(y, d) for y, d in zip(seeds, changes, strict=True)])
