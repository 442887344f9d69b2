"""The pointwise step of a plan on CuPy: what goes from y to z, in one launch for any strides.

An activation of the user's own, and complex numbers, are computed by array functions instead, some launches more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from ..activations import Activation, Blockwise
from ..arrays import Array
from .expressions import HELPERS, Expressions, expressions

__all__ = ["bent", "copy", "in_order", "scaled_into", "slope_into", "sum_into", "value_into"]

Call = Callable[[], Any]
_REAL = "fd"


@lru_cache(maxsize=256)
def _kernel(xp: Any, inputs: tuple[str, ...], operation: str) -> Any:
    """Return the kernel `z = operation` of some inputs."""
    given = ", ".join(f"T {name}" for name in inputs)
    return xp.ElementwiseKernel(given, "T out", f"out = {operation}", "machinekit_pointwise", preamble=HELPERS)


@lru_cache(maxsize=256)
def _looked_up(activation: Activation) -> Expressions | None:
    return expressions(activation)


def _known(activation: Activation) -> Expressions | None:
    try:
        return _looked_up(activation)
    except TypeError:  # a callable of the user's that cannot be hashed
        return None


def in_order(first: Array, *others: Array | None) -> list[Array]:
    """Return views with the axes in the order in which the first lies in memory; None are left out.

    Kernels run along the last axis: neighbours should be neighbours in memory.
    """
    axes = sorted(range(first.ndim), key=lambda a: -first.strides[a])
    return [a.transpose(axes) for a in (first, *others) if a is not None]


def _fused(xp: Any, operation: str | None, named: dict[str, Array | None], out: Array) -> Call | None:
    """Return the call of a kernel, or None where none serves."""
    given = {name: a for name, a in named.items() if a is not None}
    if operation is None or any(a.dtype != out.dtype for a in given.values()) or out.dtype.char not in _REAL:
        return None
    out, *inputs = in_order(out, *given.values())
    return partial(_kernel(xp, tuple(given), operation), *inputs, out)


def value_into(xp: Any, activation: Activation, y: Array, z: Array, added: Array | None = None) -> Call:
    """Return the call that writes σ(y) + added into z.

    Parameters
    ----------
    xp : module
        CuPy.
    y, z, added : arrays of one shape
    """
    known = _known(activation)
    more = "" if added is None else " + a"
    call = _fused(xp, None if known is None else known.value + more, {"y": y, "a": added}, z)
    return call or partial(_assign, xp, activation.value, y, z, added)


def _assign(xp: Any, function: Callable[[Array], Array], y: Array, z: Array, added: Array | None) -> None:
    if added is None:
        z[...] = function(y)
    else:
        xp.add(function(y), added, z)


def scaled_into(xp: Any, slope: Array, y: Array, z: Array, added: Array | None = None) -> Call:
    """Return the call that writes slope · y + added into z; see `value_into`."""
    operation = "s * y" if added is None else "s * y + a"
    call = _fused(xp, operation, {"s": slope, "y": y, "a": added}, z)
    return call or partial(_scale, xp, slope, y, z, added)


def _scale(xp: Any, slope: Array, y: Array, z: Array, added: Array | None) -> None:
    xp.multiply(slope, y, z)
    if added is not None:
        xp.add(z, added, z)


def slope_into(xp: Any, activation: Activation, y: Array, value: Array | None, out: Array) -> None:
    """Write σ′(y) into `out`, from the stored value σ(y) where that is given and serves; see `value_into`."""
    stored = value is not None and activation.slope_of_value is not None
    known, given = _known(activation), value if stored else y
    operation = None if known is None else known.slope_of_value if stored else known.slope
    call = _fused(xp, operation, {"z" if stored else "y": given}, out)
    if call is not None:
        call()
    else:
        out[...] = (activation.slope_of_value if stored else activation.derivative)(given)  # type: ignore[misc]


def bent(xp: Any, sigma: Blockwise, y: Array, value: Array | None, dy: Array, u: Array) -> Array | None:
    """Return σ″(y) ẏ u, or None where there is no kernel: one launch if there is one activation, else one a block.

    Parameters
    ----------
    y, value, dy, u : arrays of one shape, channels last
        `value` is σ(y), or None where something was added to it.
    """
    out, calls = xp.empty(y.shape, y.dtype), []
    alone = sigma.single
    pairs = zip(sigma.activations, sigma.blocks, strict=True) if alone is None else [(alone, slice(0, y.shape[-1]))]
    for activation, block in pairs:
        known = _known(activation)
        if known is None or not out.size:
            return None
        if block.stop == block.start:
            continue
        stored = alone is not None and value is not None and known.second_of_value is not None
        named = {"z" if stored else "y": value if stored else y, "d": dy, "u": u}
        operation = f"{known.second_of_value if stored else known.second} * d * u"
        call = _fused(xp, operation, {name: a[..., block] for name, a in named.items()}, out[..., block])
        if call is None:
            return None
        calls.append(call)
    for call in calls:
        call()
    return out


def copy(xp: Any, target: Array, source: Array) -> None:
    """Copy, along the memory of the target."""
    xp.copyto(*in_order(target, source))


def sum_into(xp: Any, a: Array, b: Array, out: Array) -> None:
    """Write a + b into `out`, along its memory."""
    out, a, b = in_order(out, a, b)
    xp.add(a, b, out)
