"""Refusing what does not belong together: library, device, precision. Nothing is moved or cast."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from .backend import NUMPY, Array, Backend, backend_of, dtype_name

__all__ = ["DTYPES", "as_array", "check_alike", "common_backend", "integer", "near", "plainly_alike", "precision"]

DTYPES = ("float32", "float64", "complex64", "complex128")
_PRECISION = {"float32": "single", "complex64": "single", "float64": "double", "complex128": "double"}
_PLAIN = frozenset(map(np.dtype, DTYPES))


def near(word: Any, words: Any) -> str:
    """Return a hint that lists the names nearest to `word`, else all of them."""
    words = [str(w) for w in words]
    close = difflib.get_close_matches(str(word), words, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(w) for w in close) + "?"
    return "choose from " + ", ".join(words)


def integer(name: str, value: Any, low: int) -> int:
    """Return an integer that is at least `low`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; pass an integer") from None
    if number < low:
        raise ValueError(f"{name} is {number}; pass at least {low}")
    return number


def precision(array: Array, name: str) -> str:
    """Return ``"single"`` or ``"double"``; raise TypeError for any other kind of number."""
    kind = dtype_name(array)
    if kind not in _PRECISION:
        raise TypeError(
            f"{name} has dtype {kind}; machines compute in {', '.join(DTYPES)}: "
            f"cast it explicitly, as in {name}.astype('float64')"
        )
    return _PRECISION[kind]


def as_array(array: Array, name: str) -> Array:
    """Return `array` if it is a floating array; raise TypeError naming the argument otherwise."""
    backend_of(array, name)
    precision(array, name)
    return array


def plainly_alike(array: Any, like: Any) -> bool:
    """Tell quickly whether both are NumPy arrays of one of the four dtypes, so that nothing else need be checked."""
    if type(array) is not np.ndarray or type(like) is not np.ndarray:
        return False
    dtype = array.dtype
    return dtype in _PLAIN and (dtype is like.dtype or dtype == like.dtype)


def common_backend(arrays: Mapping[str, Array]) -> Backend:
    """Return the one backend of all arrays given by name; None entries are passed over.

    Raises
    ------
    TypeError
        If two arrays belong to different libraries or devices; the message names the call
        that moves one of them.
    """
    first, home = "", NUMPY
    for name, array in arrays.items():
        if array is None:
            continue
        here = backend_of(array, name)
        if not first:
            first, home = name, here
        elif (here.name, here.device) != (home.name, home.device):
            raise TypeError(
                f"{first} is in {home} but {name} is in {here}; nothing is moved silently: "
                f"{_mend(name, here, home)}, or move the model with model.to({_spec(here)!r})"
            )
    return home


def _spec(backend: Backend) -> str:
    if backend.name == "numpy":
        return "numpy"
    device = getattr(backend.device, "id", None)
    if backend.name == "cupy":
        return f"cupy:{device}" if device else "cupy"
    word = str(backend.device).partition("'")[2].rstrip("')") or str(backend.device)
    return f"{backend.name}:{word}"


def _mend(name: str, here: Backend, home: Backend) -> str:
    if home.name == "numpy" and here.name == "cupy":
        return f"bring {name} to the host with cupy.asnumpy({name})"
    if home.name == here.name != "cupy":
        return f"move it with {name}.to_device(…)"
    return f"copy it with {home.name}.asarray({name})"


def check_alike(owner: str, reference: Array, arrays: Mapping[str, Array]) -> None:
    """Refuse arrays of another library, device or precision than a model's; None entries are passed over.

    Parameters
    ----------
    owner : str
        What the message calls the model: "machine", "op".
    reference : array
        A parameter of the model.
    arrays : mapping of name to array or None

    Raises
    ------
    TypeError
        Naming the argument, both values and the call that mends it.
    """
    if all(array is None or plainly_alike(array, reference) for array in arrays.values()):
        return
    kind = precision(reference, owner)
    for name, array in arrays.items():
        if array is None:
            continue
        backend_of(array, name)
        if precision(array, name) != kind:
            raise TypeError(
                f"{name} is in {precision(array, name)} precision ({array.dtype}) but the {owner} in {kind} "
                f"({reference.dtype}); cast one of them: {name}.astype(…) or {owner}.astype(…)"
            )
    common_backend({f"the {owner}": reference, **arrays})
