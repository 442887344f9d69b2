"""Operators, reductions and conversions of the stand-in's array, made from NumPy's."""

from __future__ import annotations

import operator

import numpy as np

from .arrays import SCALARS, ndarray, result, unwrap, wrap
from .ledger import note, note_launch

__all__ = ["equip"]

_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
_COMPARED = {"lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "gt": np.greater,
             "ge": np.greater_equal}  # fmt: skip
_UNARY = {"neg": operator.neg, "pos": operator.pos, "abs": operator.abs, "invert": operator.invert}
_REDUCED = ("sum", "prod", "mean", "max", "min", "all", "any", "argmax", "argmin", "cumsum", "cumprod", "trace", "take",
            "repeat", "round", "clip", "argsort", "searchsorted", "std", "var")  # fmt: skip


def equip(names):
    """Give the array its operators and those methods that NumPy has too, with the keywords that CuPy takes."""
    for word, function in _BINARY.items():
        setattr(ndarray, f"__{word}__", _operator(word, function))
        setattr(ndarray, f"__r{word}__", _operator(word, function, mirrored=True))
        if word != "matmul":  # CuPy's has none: a @= b makes a new array
            setattr(ndarray, f"__i{word}__", _operator(word, function, in_place=True))
    for word, function in _COMPARED.items():
        setattr(ndarray, f"__{word}__", _operator(word, function))
    ndarray.__hash__ = None
    for word, function in _UNARY.items():
        setattr(ndarray, f"__{word}__", _unary(word, function))
    for kind in (float, int, bool, complex):
        setattr(ndarray, f"__{kind.__name__}__", _converted(kind))
    for name in _REDUCED:
        setattr(ndarray, name, _reduced(name, names[f"ndarray.{name}"]))


def _operator(name, function, mirrored=False, in_place=False):
    def method(self, other):
        if isinstance(other, np.ndarray):
            raise TypeError(f"Unsupported type {type(other)}")
        if not isinstance(other, (ndarray, *SCALARS)):
            return NotImplemented
        note_launch(name)
        theirs = other._host if isinstance(other, ndarray) else other
        with np.errstate(all="ignore"):
            if in_place:
                function(self._host, theirs, out=self._host, casting="same_kind")
                return self
            pair = (theirs, self._host) if mirrored else (self._host, theirs)
            return wrap(function(*pair) if name == "matmul" else function(*pair, order="C"))

    return method


def _unary(name, function):
    def method(self):
        note_launch(name)
        with np.errstate(all="ignore"):
            return wrap(np.asarray(function(self._host), order="C"))

    return method


def _converted(kind):
    def method(self):
        note("down", f"{kind.__name__}()")
        return kind(self._host)

    return method


def _reduced(name, keywords):
    def method(self, *args, **kwargs):
        note_launch(name)
        extra = set(kwargs) - set(keywords)
        if extra:
            raise TypeError(f"{name}() got an unexpected keyword argument {sorted(extra)[0]!r}")
        if name == "take":
            return _taken(self, *args, **kwargs)
        out = kwargs.pop("out", None)
        args = tuple(unwrap(a, name) for a in args)
        with np.errstate(all="ignore"):
            found = getattr(self._host, name)(*args, **{k: unwrap(v, name) for k, v in kwargs.items()})
        return result(np.asarray(found, order="C"), out)

    return method


def _taken(array, indices, axis=None, out=None):
    """Return entries by number; numbers that are too large wrap around."""
    if isinstance(indices, list | tuple | np.ndarray):
        note("up", "take")
    indices = indices._host if isinstance(indices, ndarray) else np.asarray(indices)
    return result(np.take(array._host, indices, axis, mode="wrap"), out)
