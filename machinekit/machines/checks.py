"""Checks at the door: every array that a machine is given is looked at once, before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..activations import Diagonal
from ..arrays import Array, backend_of, check_alike, namespace
from ..records import MachineState, MachineTangent, State

if TYPE_CHECKING:
    from .form import Form

__all__ = [
    "check_arrays",
    "check_cotangent",
    "check_direction",
    "check_signals",
    "check_state",
    "check_tangent",
    "dual_key",
    "widen",
]


def check_arrays(machine: Form, arrays: Mapping[str, Array]) -> None:
    """Refuse arrays of another library, device or precision than the machine's."""
    kind, dtype = machine._kind, machine.weight.dtype
    given = arrays.values()
    plain = kind is not np.ndarray and all(a is None or (type(a) is kind and a.dtype == dtype) for a in given)
    if plain and machine._here(*given):  # on CuPy: nothing else need be checked
        return
    check_alike("machine", machine.weight, arrays)


def check_signals(
    machine: Form, arrays: Mapping[str, Array], shape: Sequence[int] | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check signals (inputs, seeds, directions); return their common leading shape and channel counts.

    Parameters
    ----------
    arrays : mapping of name to array or None
        Arrays of shape (*batch, *grid, channels), channels ending at a block boundary.
    shape : sequence of int, optional
        The (*batch, *grid) that all must have; by default that of the first array.

    Raises
    ------
    TypeError
        Wrong library, device, dtype or kind.
    ValueError
        Wrong shape, or a channel count inside a block.
    """
    check_arrays(machine, arrays)
    partition = machine.partition
    lead, owner = (None, "") if shape is None else (tuple(shape), "the state")
    widths = []
    for name, array in arrays.items():
        if array is None:
            widths.append(0)
            continue
        if array.ndim < partition.axes + 1:
            raise ValueError(
                f"{name} has shape {tuple(array.shape)}; a machine with {partition.axes} grid axes takes "
                f"(*batch, {'*grid, ' if partition.axes else ''}channel), at least {partition.axes + 1} axes"
            )
        if array.shape[-1] not in partition.bounds:
            raise ValueError(
                f"{name} has {array.shape[-1]} channels, which is no block boundary of sizes {partition.sizes}; "
                f"pass one of {sorted(set(partition.bounds))} channels (missing ones are zero)"
            )
        if lead is None:
            lead, owner = tuple(array.shape[:-1]), name
        elif tuple(array.shape[:-1]) != lead:
            raise ValueError(
                f"{name} has batch and grid shape {tuple(array.shape[:-1])} but {owner} has {lead}; "
                "they must be equal (nothing is broadcast)"
            )
        widths.append(array.shape[-1])
    if lead is None:
        raise ValueError(f"{' and '.join(arrays)} are all None; give at least one, its shape tells batch and grid")
    _check_slope(machine, lead)
    return lead, tuple(widths)


def _check_slope(machine: Form, lead: tuple[int, ...]) -> None:
    """A Diagonal must broadcast to y without enlarging it."""
    sigma = machine.pointwise
    if not isinstance(sigma, Diagonal):
        return
    full, shape = (*lead, machine.partition.channels), sigma.shape
    padded = (1,) * (len(full) - len(shape)) + shape
    if len(shape) > len(full) or any(a not in (1, b) for a, b in zip(padded, full, strict=True)):
        raise ValueError(
            f"the Diagonal has shape {shape}, which does not broadcast to y of shape {full} without enlarging it; "
            "solve with the batch and grid shape that the Diagonal was made for"
        )


def check_state(machine: Form, state: State) -> MachineState:
    """Return a state that belongs to a machine of this shape."""
    if not isinstance(state, MachineState):
        raise TypeError(f"state is a {type(state).__name__}; pass what machine.solve returned, or mk.State(y, z)")
    check_arrays(machine, {"state.y": state.y, "state.z": state.z})
    channels = machine.partition.channels
    if tuple(state.y.shape) != tuple(state.z.shape) or not state.y.shape or state.y.shape[-1] != channels:
        raise ValueError(
            f"state has y of shape {tuple(state.y.shape)} and z of shape {tuple(state.z.shape)}; "
            f"both must be equal and end in {channels} channels, as machine.solve returns them"
        )
    if state.y.ndim < machine.partition.axes + 1:
        raise ValueError(
            f"state.y has shape {tuple(state.y.shape)}; "
            f"it needs {machine.partition.axes} grid axes and the channel axis"
        )
    _check_slope(machine, tuple(state.y.shape[:-1]))
    return state


def check_cotangent(machine: Form, state: MachineState, cotangent: Any) -> tuple[Array, Array]:
    """Return (u, v), the dual solution that a cotangent of this machine at this state keeps."""
    dual = getattr(cotangent, "saved", None)
    if not isinstance(dual, MachineState):
        raise TypeError(
            f"cotangent is a {type(cotangent).__name__}; pass what machine.pullback, or pullback_inputs, returned"
        )
    if tuple(dual.z.shape) != tuple(state.y.shape):
        raise ValueError(
            f"the cotangent has v of shape {tuple(dual.z.shape)} but the state has y of shape "
            f"{tuple(state.y.shape)}; pass the cotangent of this state"
        )
    check_arrays(machine, {"cotangent.saved.z": dual.z})
    return dual.y, dual.z


def check_tangent(machine: Form, state: MachineState, tangent: Any) -> MachineTangent:
    """Return a tangent that belongs to a state of this machine."""
    if not isinstance(tangent, MachineTangent):
        raise TypeError(
            f"along is a {type(tangent).__name__}; pass what machine.pushforward returned, or a mapping of directions"
        )
    if tuple(tangent.y.shape) != tuple(state.y.shape):
        raise ValueError(
            f"the tangent has y of shape {tuple(tangent.y.shape)} but the state has {tuple(state.y.shape)}; "
            "pass the tangent of this state"
        )
    check_arrays(machine, {"along.y": tangent.y, "along.z": tangent.z})
    return tangent


def check_direction(machine: Form, name: str, array: Any) -> None:
    """Check the direction of a parameter or of the slope, by name; None is zero."""
    known = machine.directions()
    if name not in known:
        raise TypeError(f"{name!r} is no parameter of this machine; directions are {', '.join(known)}")
    if array is None:
        return
    if known[name] is None:
        cure = {
            "bias": "the machine has none; machine.replace(bias=array) adds one",
            "slope": "the machine is not linear; only machines with mk.Diagonal have a slope coefficient",
        }
        raise TypeError(f"{name} is given but {cure[name]}")
    check_arrays(machine, {name: array})
    shape = tuple(known[name].shape)  # type: ignore[union-attr]
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(array.shape)}; its direction must have the shape {shape}")


def widen(machine: Form, array: Array | None, lead: tuple[int, ...]) -> Array:
    """Return a signal over all channels, the missing ones zero; `array` itself when nothing is missing."""
    channels = machine.partition.channels
    home = backend_of(machine.weight)
    if array is None:
        return home.zeros((*lead, channels), machine.dtype)
    if array.shape[-1] == channels:
        return array
    rest = home.zeros((*lead, channels - array.shape[-1]), array.dtype)
    return namespace(array).concat([array, rest], axis=-1)


def dual_key(machine: Form, state: Any, z: Any, y: Any) -> tuple:
    """Return the shapes and the one dtype of a pullback where the machine is, by which its plan is known; else ()."""
    if not isinstance(state, MachineState):
        return ()
    first, second, kind = state.y, state.z, machine._kind
    if type(first) is not kind or type(second) is not kind:
        return ()
    dtype = first.dtype
    shape_z = shape_y = None
    if z is not None:
        if type(z) is not kind or z.dtype != dtype:
            return ()
        shape_z = z.shape
    if y is not None:
        if type(y) is not kind or y.dtype != dtype:
            return ()
        shape_y = y.shape
    if kind is not np.ndarray and not machine._here(first, second, z, y):
        return ()
    return (first.shape, second.shape, shape_z, shape_y, dtype) if second.dtype == dtype else ()
