"""Radii: the numbers of the user, read and checked; how far each parameter and each start may reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import as_array, near, to_host

__all__ = ["MachineRadii", "read_bound", "read_bounds", "read_machine_radii", "read_radius", "read_starts"]


class MachineRadii(NamedTuple):
    """How far the weights of a machine may reach.

    Attributes
    ----------
    rows : tuple of float or None
        Of all that enters each block, weights and bias jointly.
    blocks : array of shape (blocks, blocks) or None
        Of each weight block [source, target], over all lags.
    bias : tuple of float or None
        Of each block's bias; None without one.
    """

    rows: tuple[float, ...] | None = None
    blocks: np.ndarray | None = None
    bias: tuple[float, ...] | None = None


def read_bound(name: str, value: Any) -> float:
    """Return a number in [0, ∞].

    Raises
    ------
    TypeError, ValueError
        No number; below 0 or NaN.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; pass a number at least 0") from None
    if isinstance(value, str | bool) or not number >= 0:
        kind = TypeError if isinstance(value, str | bool) else ValueError
        raise kind(f"{name} is {value!r}; pass a number at least 0")
    return number


def read_bounds(name: str, value: Any, count: int, what: str) -> tuple[float, ...]:
    """Return one number per thing, from one for all or from a sequence.

    Raises
    ------
    TypeError, ValueError
        As `read_bound`; another count.
    """
    each = _each(name, value, count, what)
    return tuple(read_bound(f"{name}[{k}]", v) for k, v in enumerate(each))


def read_starts(name: str, value: Any, count: int) -> tuple[float | None, ...]:
    """Return a bound of the start in each block, None where there is none; it raises what `read_bounds` does."""
    each = _each(name, value, count, "blocks")
    return tuple(None if v is None else read_bound(f"{name}[{k}]", v) for k, v in enumerate(each))


def _each(name: str, value: Any, count: int, what: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return (value,) * count
    given = tuple(value)
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} numbers for {count} {what}; pass one for each, or one for all")
    return given


def read_machine_radii(
    machine: Any, radius: Any, block_radius: Any, bias_radius: Any, where: str = "the machine"
) -> MachineRadii:
    """Return the radii of a machine, joint ones or those of its blocks.

    Raises
    ------
    TypeError
        Neither, or both; what are no numbers.
    ValueError
        Another count; a number below 0; a bias radius for a machine without bias.
    """
    count, biased = len(machine.sizes), machine.bias is not None
    if (radius is None) == (block_radius is None):
        given = "both" if radius is not None else "missing"
        raise TypeError(
            f"radius and block_radius of {where} are {given}; pass radius, a bound of its (weight, bias) jointly, or "
            "block_radius, one for each weight block, with bias_radius"
        )
    if radius is not None:
        if bias_radius is not None:
            raise TypeError(
                f"bias_radius is given with radius, which bounds weight and bias of {where} jointly; drop it"
            )
        return MachineRadii(rows=read_bounds("radius", radius, count, "blocks"))
    if biased and bias_radius is None:
        raise TypeError(f"bias_radius of {where} is missing, and it has a bias; pass a number, or one per block")
    if not biased and bias_radius is not None:
        raise ValueError(f"bias_radius is {bias_radius!r} but {where} has no bias; leave it out")
    return MachineRadii(
        blocks=_table(block_radius, count),
        bias=read_bounds("bias_radius", bias_radius, count, "blocks") if biased else None,
    )


def _table(given: Any, count: int) -> np.ndarray:
    if hasattr(given, "shape") and not isinstance(given, np.ndarray | np.generic):
        given = to_host(as_array(given, "block_radius"))
    try:
        table = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"block_radius is {given!r}; pass a number or an array of numbers") from None
    if table.shape not in ((), (count, count)):
        raise ValueError(
            f"block_radius has shape {table.shape}; pass a number, or one for each [source, target] of the {count} "
            f"blocks, shape {(count, count)}"
        )
    if not np.all(table >= 0):
        raise ValueError(f"block_radius has the entry {table[~(table >= 0)].flat[0]}; pass numbers at least 0")
    return np.broadcast_to(table, (count, count))


def read_radius(radius: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the radius of each op that has parameters, from one number or from a mapping.

    Parameters
    ----------
    radius : float or mapping of str to float
        A number bounds (weight, bias) of each op by itself. The keys of a mapping are op names: what stands before
        the last dot of a parameter's name, ``"f1"`` or ``"0.2"``. For a machine inside, the entry may also be a mapping
        with ``"block_radius"`` and ``"bias_radius"``.
    names : sequence of str
        The ops that have parameters.

    Raises
    ------
    TypeError, ValueError
        A missing radius, an unknown name, no number, one below 0.
    """
    if radius is None:
        if not names:
            return {}
        raise TypeError(
            f"radius is missing, and there are parameters in {_list(names)}; pass a number that bounds (weight, bias) "
            "of each op, or a mapping of op name to number"
        )
    if not isinstance(radius, Mapping):
        number = read_bound("radius", radius)
        return dict.fromkeys(names, number)
    for name in radius:
        if name not in names:
            raise ValueError(f"radius has {name!r}, which is no op with parameters; {near(str(name), list(names))}")
    missing = [name for name in names if radius.get(name) is None]
    if missing:
        raise TypeError(f"radius has no entry for {_list(missing)}; pass a bound of (weight, bias) of each op")
    return {
        name: dict(r) if isinstance(r := radius[name], Mapping) else read_bound(f"radius[{name!r}]", r)
        for name in names
    }


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "no op"
