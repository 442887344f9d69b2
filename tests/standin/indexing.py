"""How CuPy reads an index: integer arrays wrap around, masks are waited for, entries written twice race."""

from __future__ import annotations

import numpy as np

from .ledger import note

__all__ = ["read_key", "written_key"]


def read_key(key, shape):
    """Return NumPy's index for one that reads."""
    found = _host(key, shape)
    if any(k.dtype == bool for k in _arrays(found)):
        note("wait", "indexing by a mask")
    return found


def written_key(key, shape, with_array):
    """Return NumPy's index for one that writes an array, or a number; refuse to write an entry twice."""
    found = _host(key, shape)
    arrays = _arrays(found)
    if with_array and any(k.dtype == bool for k in arrays):
        note("wait", "indexing by a mask")
    if arrays and all(k.dtype != bool for k in arrays):
        at = np.broadcast_arrays(*arrays)
        places = np.stack([a.ravel() for a in at], axis=1)
        if with_array and len(np.unique(places, axis=0)) != len(places):
            raise RuntimeError("an entry is written twice: on a GPU either of the two may be the last")
    return found


def _arrays(key):
    return [k for k in (key if isinstance(key, tuple) else (key,)) if isinstance(k, np.ndarray) and k.dtype != object]


def _host(key, shape):
    """Return the index with arrays of the host, those of integers wrapped around."""
    keys = key if isinstance(key, tuple) else (key,)
    keys = tuple(_one(k) for k in keys)
    taken = sum(k.ndim if _is_mask(k) else 1 for k in keys if k is not None and k is not Ellipsis)
    axis, found = 0, []
    for k in keys:
        if k is Ellipsis:
            axis += len(shape) - taken
        elif k is not None:
            if isinstance(k, np.ndarray) and not _is_mask(k) and axis < len(shape) and shape[axis]:
                k = k % shape[axis]
            axis += k.ndim if _is_mask(k) else 1
        found.append(k)
    return tuple(found) if isinstance(key, tuple) else found[0]


def _one(k):
    if hasattr(k, "_host"):
        return k._host
    if isinstance(k, np.ndarray | list):  # CuPy copies it to the device, silently
        note("up", "indexing by a host array")
        return np.asarray(k, dtype=None if len(np.shape(k)) and np.size(k) else int)
    if isinstance(k, slice) and any(hasattr(end, "_host") for end in (k.start, k.stop, k.step)):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return k


def _is_mask(k):
    return isinstance(k, np.ndarray) and k.dtype == bool
