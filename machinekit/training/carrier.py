"""Carrier: one vector between the host and a device, in one copy each way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, Backend, astype, dtype_name, to_host
from .places import Places

__all__ = ["Carrier"]


class Carrier:
    """Cuts a vector into parameters where these are, and joins them again.

    Parameters
    ----------
    places : mapping of str to Places
        Where the live entries of each parameter lie, in the order of the vector.
    home : Backend
        Where the parameters are; not NumPy.

    Notes
    -----
    What is live is read and written by an index of entries, which is copied to the device once; dead entries read a
    zero that is put behind the vector.
    """

    def __init__(self, places: Mapping[str, Places], home: Backend) -> None:
        self._places, self._home = places, home
        self._indices: dict[str, tuple[Array, Array]] = {}

    def unpack(self, theta: np.ndarray, words: Mapping[str, str]) -> dict[str, Array]:
        """Return new parameters of the dtypes named: θ is copied once for each dtype that there is."""
        vectors = {word: self._home.from_host(theta, word) for word in set(words.values())}
        found, start, xp = {}, 0, self._home.xp
        for name, places in self._places.items():
            part = vectors[words[name]][start : start + places.count]
            start += places.count
            if places.whole:
                found[name] = astype(xp.reshape(part, places.shape))
            else:
                wide = xp.concat([part, self._home.zeros((1,), part.dtype)])
                found[name] = xp.reshape(xp.take(wide, self._index(name)[1], axis=0), places.shape)
        return found

    def pack(self, arrays: Mapping[str, Array], theta: np.ndarray) -> None:
        """Fill a host vector with the live entries: one copy for each dtype that there is."""
        xp, flat = self._home.xp, {}
        for name, places in self._places.items():
            flat[name] = xp.reshape(arrays[name], (-1,))
            if not places.whole:
                flat[name] = xp.take(flat[name], self._index(name)[0], axis=0)
        for kind in {dtype_name(array) for array in flat.values()}:
            self._fetch({name: array for name, array in flat.items() if dtype_name(array) == kind}, theta)

    def _fetch(self, flat: Mapping[str, Array], theta: np.ndarray) -> None:
        host, taken, start = to_host(self._joined(list(flat.values()))), 0, 0
        for name, places in self._places.items():
            if name in flat:
                theta[start : start + places.count] = host[taken : taken + places.count]
                taken += places.count
            start += places.count

    def _joined(self, parts: Sequence[Array]) -> Any:
        return parts[0] if len(parts) == 1 else self._home.xp.concat(parts)

    def _index(self, name: str) -> tuple[Array, Array]:
        """Return the places of the live entries, and for every entry its place in the vector."""
        if name not in self._indices:
            places = self._places[name]
            index, inverse = places.index(), np.full(places.size, places.count)
            inverse[index] = np.arange(places.count)
            self._indices[name] = self._home.from_host(index), self._home.from_host(inverse)
        return self._indices[name]
