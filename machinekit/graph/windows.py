"""Reading the arguments of ops on windows of a grid, and checking that an input has such a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import Array, namespace
from ..linear.taps import Strided
from ..machines.build import integer

__all__ = [
    "check_windows",
    "grid_of",
    "on_batch",
    "on_samples",
    "per_axis",
    "read_axes",
    "read_pairs",
    "short_pairs",
    "summary",
]

DEFAULT_AXES = 2


def read_axes(axes: Any, **given: Any) -> int:
    """Return the number of grid axes: that of the arguments that are sequences, else `axes`, else two.

    Raises
    ------
    ValueError
        If two of them disagree.
    TypeError
        If `axes` is no integer.
    """
    counts = {} if axes is None else {"axes": integer("axes", axes, 1)}
    counts.update({name: len(value) for name, value in given.items() if isinstance(value, Sequence)})
    for name, count in counts.items():
        first, other = next(iter(counts.items()))
        if count != other:
            told = f"{first} is {axes if first == 'axes' else given[first]!r}"
            raise ValueError(
                f"{told} but {name} is {given[name]!r}; give each one entry per grid axis, or one integer for all"
            )
    found = next(iter(counts.values()), DEFAULT_AXES)
    if not found:
        raise ValueError(f"{next(iter(counts))} is empty; give one entry per grid axis, at least one")
    return found


def per_axis(name: str, value: Any, axes: int, low: int) -> tuple[int, ...]:
    """Return one integer per grid axis, each at least `low`."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(integer(f"{name}[{k}]", entry, low) for k, entry in enumerate(value))
    return (integer(name, value, low),) * axes


def read_pairs(name: str, value: Any, axes: int) -> tuple[tuple[int, int], ...]:
    """Return one (before, after) pair per grid axis; an integer stands for both."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        value = (value,) * axes
    pairs = []
    for k, entry in enumerate(value):
        if isinstance(entry, Sequence) and not isinstance(entry, str):
            if len(entry) != 2:
                raise ValueError(f"{name}[{k}] is {entry!r}; pass an integer or a (before, after) pair")
            pairs.append((integer(f"{name}[{k}][0]", entry[0], 0), integer(f"{name}[{k}][1]", entry[1], 0)))
        else:
            pairs.append((integer(f"{name}[{k}]", entry, 0),) * 2)
    return tuple(pairs)


def short_pairs(pairs: Sequence[tuple[int, int]], size: Sequence[int]) -> None:
    """Refuse padding that a window could lie in as a whole."""
    for k, (pair, n) in enumerate(zip(pairs, size, strict=True)):
        if max(pair) >= n:
            raise ValueError(
                f"padding[{k}] is {pair} but size[{k}] is {n}; every window must reach the grid: pad less than the size"
            )


def check_windows(kind: str, x: Array, geometry: Strided) -> tuple[int, ...]:
    """Return the grid of an input, on which at least one window fits along every axis.

    Raises
    ------
    ValueError
        Too few axes, or a grid too short.
    """
    grid = grid_of(kind, x, geometry.axes)
    if min(geometry.count(grid)) < 1:
        wide = tuple(n + sum(pad) for n, pad in zip(grid, geometry.padding, strict=True))
        raise ValueError(
            f"the grid {grid} of inputs[0] is too short: {kind} reads windows over {geometry.spans()} entries and has "
            f"{wide} with padding {geometry.padding}; pad more, or take a smaller size or dilation"
        )
    return grid


def grid_of(kind: str, x: Array, axes: int) -> tuple[int, ...]:
    """Return the grid of an array of shape (*batch, *grid, channel)."""
    if x.ndim < axes + 1:
        raise ValueError(
            f"inputs[0] has shape {tuple(x.shape)} but this {kind} reads {axes} grid axes and a channel axis, "
            f"(*batch, *grid, channel); give its arguments one entry per grid axis, such as {(2,) * max(x.ndim - 1, 1)}"
        )
    return tuple(x.shape[-1 - axes : -1])


def on_samples(array: Array, axes: int) -> Array:
    """Flatten the batch: (*batch, *grid, channel) to (samples, *grid, channel), a view where it can be one."""
    lead, tail = array.shape[: -1 - axes], array.shape[-1 - axes :]
    if len(lead) == 1:
        return array
    return namespace(array).reshape(array, (math.prod(lead), *tail))


def on_batch(array: Array, batch: tuple[int, ...]) -> Array:
    """Undo `on_samples`."""
    return array if len(batch) == 1 else namespace(array).reshape(array, (*batch, *array.shape[1:]))


def summary(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the options of an op that differ from their defaults, as they were given."""
    return "".join(f", {name}={options[name]!r}" for name, default in defaults.items() if options[name] != default)
