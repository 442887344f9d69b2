"""Reading the arguments of a monotone machine's constructor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, as_array, backend_of, common_backend, dtype_name, namespace, precision, real, to_host
from ..partitions import Partition
from .build import Given, draw, read_dtype, read_home, read_weight
from .monotone_form import MonotoneForm

__all__ = ["check_positive", "read_couplings", "read_factors", "read_margin", "softplus_inverse"]


def read_factors(
    form: MonotoneForm, A: Any, B: Any, weight: Any, bias: Any, rng: np.random.Generator, dtype: Any, backend: Any
) -> tuple[Array, Array]:
    """Return A and B, checked, projected, and drawn where they are not given."""
    arrays = {"A": A, "B": B, "weight": weight, "bias": bias if hasattr(bias, "shape") else None}
    home = read_home(backend, arrays)
    given = next((a for a in arrays.values() if a is not None), None)
    if dtype is not None:
        name = read_dtype(dtype)
        if given is not None and precision(given, "A") != precision(np.empty(0, name), "dtype"):
            raise TypeError(
                f"dtype={name!r} but the given arrays are {dtype_name(given)}; leave dtype out, or cast them"
            )
    else:
        name = "float32" if given is not None and precision(given, "A") == "single" else "float64"
    drawn = form.draw(rng)
    factors = []
    for word, array, random, project in (("A", A, drawn[0], form.project_A), ("B", B, drawn[1], form.project_B)):
        if array is None:
            factors.append(home.from_host(random, name))
            continue
        precision(as_array(array, word), word)
        if tuple(array.shape) != random.shape:
            raise ValueError(
                f"{word} has shape {tuple(array.shape)}; sizes {form.sizes} need (*lag, channel, channel) = "
                f"{random.shape}"
            )
        factors.append(project(array))
    if precision(factors[0], "A") != precision(factors[1], "B"):
        raise TypeError(f"A is {factors[0].dtype} but B {factors[1].dtype}; cast one of them to the other's precision")
    return factors[0], factors[1]


def read_margin(margin: Any, form: MonotoneForm, like: Array) -> Array:
    """Return the margin as an array, one or one per block."""
    host = np.asarray(to_host(margin) if hasattr(margin, "dtype") else margin, dtype=float)
    if host.shape not in ((), (len(form.sizes),)):
        raise ValueError(f"margin has shape {host.shape}; pass a number, or one per block, shape ({len(form.sizes)},)")
    check_positive(host)
    return backend_of(like).from_host(host, "float32" if precision(like, "A") == "single" else "float64")


def check_positive(margin: Array) -> None:
    host = to_host(real(margin))
    if not np.all(host > 0) or not np.all(np.isfinite(host)):
        raise ValueError(f"margin is {host}; it must be above 0 for the equilibrium to be unique; pass such as 0.1")


def softplus_inverse(m: Array) -> Array:
    """log(eᵐ − 1), without overflow."""
    xp = namespace(m)
    return xp.asarray(m + xp.log(-xp.expm1(-m)))


def read_couplings(
    partition: Partition, A: Array, given: Given, rng: np.random.Generator
) -> tuple[Array, np.ndarray, Given]:
    """Return the couplings, their live mask, and the arguments with them; drawn where they are not given."""
    weight = given.weight
    if weight is None:
        host = draw(partition.weight_shape, partition.strict.live(), rng)
        weight = backend_of(A).from_host(host, dtype_name(A))
    given = Given(given.activation, weight, given.bias)
    weight, live = read_weight(partition.strict, given)
    common_backend({"A": A, "weight": weight})
    if precision(weight, "weight") != precision(A, "A"):
        raise TypeError(f"weight is {weight.dtype} but A {A.dtype}; cast one of them to the other's precision")
    return weight, live, given
