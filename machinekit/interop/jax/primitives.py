"""The verbs of a model as primitives of JAX, closed under differentiation up to order two.

Each verb but `solve` is linear in each group of its arrays (see `calls`). Along a group its derivative is the same
verb, along (θ, x) it is told here, and so is its transpose in one group.

=====================  ======================  ======================================================
verb                   along (θ, x)            transpose
=====================  ======================  ======================================================
solve                  pushforward
pushforward            pushforward_tangent     pullback
pullback               pullback_tangent        pushforward
pullback_tangent       none                    in ȳ pushforward_tangent, in (θ̇, ẋ) pullback_tangent
pushforward_tangent    none                    pullback_tangent
=====================  ======================  ======================================================

The last two are what ∂²⟨ȳ, y⟩ along two directions is, read in three ways: second derivatives are symmetric.

Compiled code calls the host by the same callback as `jax.pure_callback`, but hands over NumPy arrays: `pure_callback`
makes JAX arrays of them first, and to read a large one inside the callback may wait, on one core always, for a thread
that waits for the callback (jax-ml/jax#24255, #25861).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import DerivativeError
from .calls import SEEDS, VERBS, Call, expand
from .library import Primitive, ShapedArray, ad, batching, jax, jnp, mlir

__all__ = ["bind"]

_NEXT = {"solve": "pushforward", "pushforward": "pushforward_tangent", "pullback": "pullback_tangent"}
_PRIMITIVES: dict[str, Any] = {}
Rule = Callable[..., Any]


def bind(verb: str, call: Call, primal: Sequence[Any], groups: Sequence[Sequence[Any]] = (), into: Any = ()) -> list:
    """Return the results of a verb; None in a group is zero, `into` tells which cotangents are wanted."""
    changed, flat = call.with_groups(groups, tuple(into))
    return _PRIMITIVES[verb].bind(*primal, *flat, call=changed)


def _impl(verb: str) -> Rule:
    """Return the rule of calls outside of `jax.jit`: the host is called here and now."""

    def rule(*arrays: Any, call: Call) -> list[Any]:
        results = call.run(verb, [np.asarray(a) for a in arrays])
        devices: set[Any] = next((a.devices() for a in arrays if isinstance(a, jax.Array)), set())
        device = next(iter(devices)) if len(devices) == 1 else None
        return [jax.device_put(a, device) for a in results]

    return rule


def _shapes(verb: str) -> Rule:
    """Return the rule of shapes and dtypes; it is here that wrong shapes are refused under `jax.jit`."""

    def rule(*avals: Any, call: Call) -> list[Any]:
        dtype = avals[0].dtype
        return [ShapedArray(shape, dtype) for shape in call.results([a.shape for a in avals], dtype)]

    return rule


def _lowering(verb: str) -> Rule:
    """Return the rule of compiled code: a call back to the host."""

    def rule(ctx: Any, *operands: Any, call: Call) -> Any:
        def callback(*arrays: Any) -> tuple[np.ndarray, ...]:
            return tuple(call.run(verb, [np.asarray(a) for a in arrays]))

        results, _, _ = mlir.emit_python_callback(
            ctx, callback, None, list(operands), ctx.avals_in, ctx.avals_out, has_side_effect=False
        )
        return results

    return rule


def _derivative(verb: str) -> Rule:
    """Return the rule of forward mode: the results, and their derivative along the tangents that are not zero."""

    def rule(primals: Any, tangents: Any, *, call: Call) -> tuple[Any, Any]:
        results = _PRIMITIVES[verb].bind(*primals, call=call)
        primal, groups = call.split(primals)
        moved, changes = call.split([None if type(t) is ad.Zero else t for t in tangents])
        terms = []
        for k, change in enumerate(changes):
            if any(c is not None for c in change):
                terms.append(bind(verb, call, primal, [*groups[:k], change, *groups[k + 1 :]], call.into))
        if any(d is not None for d in moved):
            if verb not in _NEXT:
                raise DerivativeError(
                    "third derivatives are asked for but functions of to_function have those up to order two; "
                    "take the last one by differences"
                )
            if verb != "solve":
                call.host.demand_second(call.inputs([np.shape(a) for a in primals]), primals[0].dtype)
            terms.append(bind(_NEXT[verb], call, primal, [*groups, moved], call.into))
        if not terms:
            return results, [jnp.zeros_like(a) for a in results]
        return results, terms[0] if len(terms) == 1 else [a + b for a, b in zip(*terms, strict=True)]

    return rule


def _transpose(verb: str) -> Rule:
    """Return the rule of reverse mode, in the one group that is not known."""

    def rule(seeds: Any, *arrays: Any, call: Call) -> list[Any]:
        unknown = [ad.is_undefined_primal(a) for a in arrays]
        primal, groups = call.split(arrays)
        wanted = next(mask for mask in call.split(unknown)[1] if any(mask))
        k = next(j for j, group in enumerate(groups) if any(map(ad.is_undefined_primal, group)))
        known = [group for j, group in enumerate(groups) if j != k]
        given = [None if type(s) is ad.Zero else s for s in seeds]
        if all(s is None for s in given):
            return [ad.Zero(a.aval) if ad.is_undefined_primal(a) else None for a in arrays]
        given = expand(call.into, given) if call.into else given
        mask = tuple(map(bool, wanted))
        if VERBS[verb][k] == SEEDS:  # from cotangents to outputs: the seeds become directions
            turned = "pushforward" if verb == "pullback" else "pushforward_tangent"
            found = bind(turned, call, primal, [*known, given])
            found = [a for a, w in zip(found, mask, strict=True) if w]
        elif call.into:  # symmetric
            found = bind(verb, call, primal, [*known, given], mask)
        else:  # from directions to outputs: what comes are seeds
            turned = "pullback" if verb == "pushforward" else "pullback_tangent"
            found = bind(turned, call, primal, [given, *known], mask)
        rest = iter(found)
        return [_fit(next(rest), a.aval.shape) if ad.is_undefined_primal(a) else None for a in arrays]

    return rule


def _fit(array: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the loops in which the array that this is the cotangent of does not vary."""
    axes = tuple(k for k, (n, m) in enumerate(zip(array.shape, shape, strict=True)) if n != m)
    return jnp.sum(array, axis=axes, keepdims=True) if axes else array


def _batching(verb: str) -> Rule:
    """Return the rule of `jax.vmap`: the axis joins the batch, or the host loops over it.

    The cotangents of parameters are sums over the batch, so that those of each sample are computed one by one.
    """

    def rule(arrays: Any, dims: Any, *, call: Call) -> tuple[Any, Any]:
        size = next(a.shape[d] for a, d in zip(arrays, dims, strict=True) if d is not None)
        weighs = call.weighs(verb)
        varies = any(w and d is not None for w, d in zip(weighs, dims, strict=True))
        if call.host.joins and not varies and not any(call.into[: len(call.host.names)]):
            at, extent, loops = len(call.loops), size, call.loops
        else:
            at, extent, loops, weighs = 0, 1, (size, *call.loops), [False] * len(weighs)
        moved = [a if w else _axis(a, d, at, extent) for a, d, w in zip(arrays, dims, weighs, strict=True)]
        results = _PRIMITIVES[verb].bind(*moved, call=call.looped(loops))
        return results, [at] * len(results)

    return rule


def _axis(array: Any, d: int | None, at: int, extent: int) -> Any:
    """Return an array with the mapped axis at a place, of the extent given where it has none."""
    if d is not None:
        return jnp.moveaxis(array, d, at)
    return jnp.broadcast_to(jnp.expand_dims(array, at), (*array.shape[:at], extent, *array.shape[at:]))


def _make(verb: str) -> Any:
    primitive = Primitive(f"machinekit_{verb}")
    primitive.multiple_results = True
    primitive.def_impl(_impl(verb))
    primitive.def_abstract_eval(_shapes(verb))
    mlir.register_lowering(primitive, _lowering(verb))
    ad.primitive_jvps[primitive] = _derivative(verb)
    if VERBS[verb]:
        ad.primitive_transposes[primitive] = _transpose(verb)
    batching.primitive_batchers[primitive] = _batching(verb)
    return primitive


for _verb in VERBS:
    _PRIMITIVES[_verb] = _make(_verb)
