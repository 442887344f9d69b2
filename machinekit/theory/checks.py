"""Bad input of the theory, refused in words: which argument, both values, what to give instead."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, to_host
from ..machines import Machine

__all__ = [
    "check_call",
    "check_finite",
    "check_image",
    "check_vector",
    "columns",
    "extents",
    "listed",
    "read_sizes",
    "whole",
]


def whole(name: str, value: Any, least: int) -> int:
    """Return a whole number of at least `least`.

    Raises
    ------
    TypeError, ValueError
        For another kind of number, or a smaller one.
    """
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}; give a whole number, at least {least}")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{name} is {number}; give a whole number, at least {least}")
    return number


def listed(name: str, given: Any, of: str) -> list[Any]:
    """Return what was given as a list; TypeError, with a word on what belongs there, for a string or no iterable."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name} is {given!r}, a {type(given).__name__}; give a sequence of {of}")
    return list(given)


def check_finite(name: str, array: Array) -> None:
    """Raise TypeError unless an array holds numbers, and ValueError if one of them is infinite or NaN."""
    host = to_host(array)
    if host.dtype.kind not in "biufcO":
        raise TypeError(f"{name} has dtype {host.dtype}; give numbers")
    if host.dtype.kind in "fc" and not np.isfinite(host).all():
        index = tuple(np.argwhere(~np.isfinite(host))[0].tolist())
        raise ValueError(f"{name} is {host[index]} at {index}; give finite numbers")


def check_call(name: str, function: Any) -> None:
    """Raise TypeError unless `function` can be called."""
    if not callable(function):
        raise TypeError(f"{name} is {function!r}, a {type(function).__name__}; give a function of vectors")


def check_vector(name: str, x: Any, dimension: int, of: Any) -> None:
    """Raise TypeError unless x is an array, and ValueError unless its shape is (dimension,)."""
    if not isinstance(x, np.ndarray):
        backend_of(x, name)
    if tuple(x.shape) != (dimension,):
        raise ValueError(f"{name} has shape {tuple(x.shape)}; {of!r} takes vectors of shape ({dimension},)")


def read_sizes(sizes: Any) -> dict[str, int]:
    """Return dimensions by name, from a number, several, or a mapping; names are x1, x2, … unless given.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        Without a space, or with one of a negative dimension.
    """
    if hasattr(sizes, "__index__") and not isinstance(sizes, bool | np.ndarray):
        sizes = (sizes,)
    if isinstance(sizes, str) or not isinstance(sizes, Iterable):
        raise TypeError(f"sizes is {sizes!r}; give a number, a sequence of numbers, or a mapping of name to number")
    if not isinstance(sizes, Mapping):
        sizes = {f"x{k}": n for k, n in enumerate(sizes, 1)}
    if not sizes:
        raise ValueError("sizes is empty; give at least one space, if of 0 dimensions")
    return {name: whole(f"sizes[{name!r}]", n, 0) for name, n in sizes.items()}


def columns(name: str, given: Any, dimension: int | None = None) -> np.ndarray:
    """Return a basis on the host, shape (n, dim).

    Raises
    ------
    TypeError
        For something else than numbers.
    ValueError
        Unless it has two axes, the first of extent `dimension` if that is given, and finite entries.
    """
    basis = to_host(given) if hasattr(given, "shape") else np.asarray(given)
    if basis.ndim != 2:
        raise ValueError(f"{name} has shape {basis.shape}; give vectors in columns, shape (n, dim)")
    if dimension is not None and basis.shape[0] != dimension:
        raise ValueError(f"{name} has columns of {basis.shape[0]} entries, the space {dimension}; give one space")
    check_finite(name, basis)
    return basis


def extents(machine: Any, grid: Any) -> tuple[int, ...]:
    """Return the grid of a machine as a tuple.

    Raises
    ------
    TypeError
        If `machine` is none, or `grid` no sequence of whole numbers.
    ValueError
        Unless there is one extent, at least 0, for each grid axis.
    """
    if not isinstance(machine, Machine):
        raise TypeError(f"machine is {machine!r}, a {type(machine).__name__}; give a machine, as mk.DenseMachine(…)")
    if isinstance(grid, str) or not isinstance(grid, Iterable):
        raise TypeError(f"grid is {grid!r}; give one extent for each grid axis, as a tuple")
    lead = tuple(whole(f"grid[{k}]", n, 0) for k, n in enumerate(grid))
    axes = machine.partition.axes
    if len(lead) != axes:
        raise ValueError(f"grid is {lead}; the machine has {axes} grid axes, give one extent for each")
    return lead


def check_image(what: str, image: Any, like: Array) -> None:
    """Raise TypeError unless an image is an array, and ValueError unless it has the shape of `like`."""
    shape = tuple(like.shape)
    if not hasattr(image, "shape"):
        raise TypeError(f"{what} is {image!r}, a {type(image).__name__}; return an array of shape {shape}")
    if tuple(image.shape) != shape:
        raise ValueError(f"{what} has shape {tuple(image.shape)}; nothing is broadcast, return shape {shape}")
