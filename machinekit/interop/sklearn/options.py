"""Options: the parameters of an estimator, looked at when it is fitted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arrays import integer, near
from ...training.options import nonnegative, positive

__all__ = ["METHODS", "Options", "Shape", "read_generator_of", "read_options"]

METHODS = {"lbfgs": "L-BFGS-B", "adam": "adam"}
"""The solvers, and what `fit` calls them."""


@dataclass(frozen=True)
class Shape:
    """How the features of a sample lie on a grid.

    Attributes
    ----------
    grid : tuple of int
        Positions along each axis.
    channels : int
    padding : tuple of (before, after)
        One pair per axis; the kernel has before + after + 1 entries.
    """

    grid: tuple[int, ...]
    channels: int
    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Options:
    """What the parameters of an estimator say, read."""

    hidden: tuple[int, ...]
    activation: Any
    alpha: float
    shape: Shape | None
    method: str
    max_iter: int
    tol: float
    learning_rate: float
    batch_size: int | None
    early_stopping: bool
    validation_fraction: float
    patience: int


def read_options(given: Any, features: int) -> Options:
    """Return the options of an estimator.

    Parameters
    ----------
    given : estimator
    features : int
        The columns of X.

    Raises
    ------
    TypeError
        A parameter of the wrong kind.
    ValueError
        One out of range; an unknown solver; an `input_shape` that has not as many entries as X has features.
    """
    if not isinstance(given.solver, str) or given.solver not in METHODS:
        raise ValueError(f"solver={given.solver!r} is unknown; {near(given.solver, METHODS)}")
    return Options(
        hidden=_hidden(given.hidden),
        activation=given.activation,
        alpha=nonnegative("alpha", given.alpha),
        shape=None if given.input_shape is None else _shape(given.input_shape, given.kernel_size, features),
        method=METHODS[given.solver],
        max_iter=integer("max_iter", given.max_iter, 1),
        tol=positive("tol", given.tol),
        learning_rate=positive("learning_rate", given.learning_rate),
        batch_size=None if given.batch_size is None else integer("batch_size", given.batch_size, 1),
        early_stopping=_flag("early_stopping", given.early_stopping),
        validation_fraction=_fraction(given.validation_fraction),
        patience=integer("n_iter_no_change", given.n_iter_no_change, 1),
    )


def read_generator_of(random_state: Any) -> np.random.Generator:
    """Return the generator of a ``random_state``: what ``check_random_state`` takes, or a Generator itself.

    Raises
    ------
    ValueError
        For anything else.
    """
    from sklearn.utils import check_random_state

    if isinstance(random_state, np.random.Generator):
        return random_state
    return np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _hidden(given: Any) -> tuple[int, ...]:
    if isinstance(given, str) or given is None:
        raise TypeError(f"hidden is {given!r}; pass the units of each hidden block, such as (32, 32)")
    entries = tuple(given) if isinstance(given, Iterable) else (given,)
    return tuple(integer(f"hidden[{k}]", entry, 1) for k, entry in enumerate(entries))


def _shape(given: Any, kernel: Any, features: int) -> Shape:
    entries = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    shape = tuple(integer(f"input_shape[{k}]", entry, 1) for k, entry in enumerate(entries))
    if math.prod(shape) != features or not shape:
        raise ValueError(
            f"input_shape={given!r} has {math.prod(shape)} entries but X has {features} features; "
            "pass a shape whose product they are"
        )
    several = isinstance(kernel, Iterable) and not isinstance(kernel, str)
    kernels = tuple(integer(f"kernel_size[{k}]", entry, 1) for k, entry in enumerate(kernel)) if several else ()
    axes = len(kernels) if several else min(len(shape), 2)
    if axes not in (1, 2) or len(shape) - axes not in (0, 1):
        raise ValueError(
            f"input_shape={given!r} and kernel_size={kernel!r} make no grid of 1 or 2 axes with maybe one of channels; "
            "pass (height, width), (height, width, channels) or (length,), or (length, channels) with kernel_size=(3,)"
        )
    kernels = kernels or (integer("kernel_size", kernel, 1),) * axes
    padding = tuple((k // 2, (k - 1) // 2) for k in kernels)
    return Shape(shape[:axes], shape[axes] if len(shape) > axes else 1, padding)


def _flag(name: str, given: Any) -> bool:
    if not isinstance(given, bool | np.bool_):
        raise TypeError(f"{name} is {given!r}; pass True or False")
    return bool(given)


def _fraction(given: Any) -> float:
    if not 0.0 < positive("validation_fraction", given) < 1.0:
        raise ValueError(f"validation_fraction is {given}; pass a number between 0 and 1, both excluded")
    return float(given)
