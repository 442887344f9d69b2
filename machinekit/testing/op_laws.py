"""The laws of an op: pushforward and pullback are adjoint, and both are derivatives of its solve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, dtype_name, to_host
from ..graph.op import MissingVerb, live_masks, parameters, pullback, pushforward, replace, solve
from .instruments import complex_step, finite_difference, inner, inner_scale
from .report import Finding, compare, equal, skipped, tolerance

__all__ = ["op_findings"]

_SLACK = 16.0
"""Headroom for the operations inside an op, of which a general check knows nothing."""


def op_findings(op: Any, inputs: Sequence[Array], rng: np.random.Generator) -> list[Finding]:
    """Return the findings of `check_op`."""
    for k, x in enumerate(inputs):
        if dtype_name(x) != "float64":
            raise TypeError(f"inputs[{k}] is {dtype_name(x)}; ops are checked in float64")
    before = [np.array(to_host(x)) for x in inputs]
    state = solve(op, *inputs)
    seeds = tuple(_normal(rng, y) for y in state.outputs)
    along = {f"input {k}": _normal(rng, x) for k, x in enumerate(inputs)}
    masks = live_masks(op)
    for name, array in parameters(op).items():
        along[name] = _normal(rng, array, masks.get(name))
    cotangent = pullback(op, state, seeds)
    cotangents = {f"input {k}": c for k, c in enumerate(cotangent.inputs)}
    cotangents.update({name: cotangent.parameters[name] for name in parameters(op)})
    findings = [equal("one cotangent for each input", len(cotangent.inputs), len(inputs))]
    for name, array in {**{f"input {k}": x for k, x in enumerate(inputs)}, **parameters(op)}.items():
        findings.append(equal(f"cotangent of {name} has its shape", tuple(cotangents[name].shape), tuple(array.shape)))
    findings += _adjoint(op, state, seeds, along, cotangents)
    findings += _differences(op, inputs, seeds, along, cotangents)
    return [*findings, _inputs_kept(op, inputs, before, seeds)]


def _normal(rng: np.random.Generator, like: Array, mask: np.ndarray | None = None) -> Array:
    values = rng.standard_normal(tuple(like.shape))
    return backend_of(like).from_host(values if mask is None else np.where(mask, values, 0.0))


def _adjoint(op: Any, state: Any, seeds: Any, along: dict[str, Array], cotangents: dict[str, Array]) -> list[Finding]:
    law = "adjoint identity of pullback and pushforward"
    directions = [along[f"input {k}"] for k in range(len(state.inputs))]
    try:
        tangent = pushforward(op, state, directions, {n: d for n, d in along.items() if not n.startswith("input ")})
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


def _inputs_kept(op: Any, inputs: Any, before: list[np.ndarray], seeds: Any) -> Finding:
    before = [*before, *(np.array(to_host(a)) for a in seeds)]
    pullback(op, solve(op, *inputs), seeds)
    after = [to_host(a) for a in (*inputs, *seeds)]
    same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))
    return equal("no input is written to", same, True)
