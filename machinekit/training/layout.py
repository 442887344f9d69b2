"""Layout: where the parameters of a model lie in one flat vector θ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array, Backend, backend_of, dtype_name
from ..graph.op import live_masks, parameters
from .carrier import Carrier
from .places import Places

__all__ = ["Layout"]

_COMPLEX = {"float32": "complex64", "float64": "complex128"}


class Layout:
    """The order of θ: ``parameters()`` order, of each parameter its live entries in C order.

    Parameters
    ----------
    model : op
        With real parameters.

    Attributes
    ----------
    masks : dict of str to bool host array
        The live masks; absent = all live.
    size : int
        The length of θ.

    Raises
    ------
    TypeError
        If a parameter is complex.
    """

    def __init__(self, model: Any) -> None:
        self._references = parameters(model)
        for name, array in self._references.items():
            if dtype_name(array) not in _COMPLEX:
                raise TypeError(
                    f"parameter {name} is {dtype_name(array)}; only real parameters are trained, "
                    "replace it by its real part or train real and imaginary part as two models"
                )
        # what has a cotangent without being trained, as the margin of a monotone machine
        directions: Mapping[str, Any] = getattr(model, "directions", dict)()
        self._untrained = {n for n, array in directions.items() if array is not None and n not in self._references}
        self.masks = {name: mask for name, mask in live_masks(model).items() if name in self._references}
        self._places = {
            name: Places(tuple(array.shape), self.masks.get(name)) for name, array in self._references.items()
        }
        self.size = sum(places.count for places in self._places.values())
        self._carrier: Carrier | None = None

    def pack(self, arrays: Mapping[str, Array]) -> np.ndarray:
        """Return θ from arrays by name, parameters or their cotangents.

        Returns
        -------
        vector of length `size`
            On the host, new; float64, or complex128 if any array is complex. Dead entries are left out.

        Raises
        ------
        ValueError
            Names or shapes other than the model's.
        """
        arrays = {name: array for name, array in arrays.items() if name not in self._untrained}
        if set(arrays) != set(self._references):
            raise ValueError(f"got the names {sorted(arrays)}; the model's parameters are {sorted(self._references)}")
        for name, reference in self._references.items():
            if tuple(arrays[name].shape) != tuple(reference.shape):
                raise ValueError(f"{name} has shape {tuple(arrays[name].shape)}; pass {tuple(reference.shape)}")
        some_complex = any("complex" in dtype_name(array) for array in arrays.values())
        theta, start = np.empty(self.size, np.complex128 if some_complex else np.float64), 0
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            self._away(backend_of(next(iter(arrays.values())))).pack(arrays, theta)
            return theta
        for name, places in self._places.items():
            places.gather(arrays[name], theta[start : start + places.count])
            start += places.count
        return theta

    def unpack(self, theta: np.ndarray, name: str = "theta") -> dict[str, Array]:
        """Return the parameters by name, in the model's library and precision, zero where dead; see `check`."""
        theta = self.check(theta, name)
        words = {key: dtype_name(reference) for key, reference in self._references.items()}
        if theta.dtype.kind == "c":
            words = {key: _COMPLEX[word] for key, word in words.items()}
        if not all(isinstance(array, np.ndarray) for array in self._references.values()):
            return self._away(backend_of(next(iter(self._references.values())))).unpack(theta, words)
        found, start = {}, 0
        for key, places in self._places.items():
            found[key] = places.scatter(theta[start : start + places.count], words[key])
            start += places.count
        return found

    def _away(self, home: Backend) -> Carrier:
        """Return what carries θ to the device where the parameters are, in one copy, and back."""
        if self._carrier is None:
            self._carrier = Carrier(self._places, home)
        return self._carrier

    def check(self, theta: Any, name: str = "theta") -> np.ndarray:
        """Return `theta` if it is a vector of this layout, real or complex floating; `name` is its name in errors.

        Raises
        ------
        TypeError
            If it is not a floating NumPy array.
        ValueError
            If it has another shape.
        """
        if not isinstance(theta, np.ndarray) or theta.dtype.kind not in "fc":
            kind = f"numpy array of {theta.dtype}" if isinstance(theta, np.ndarray) else type(theta).__name__
            raise TypeError(f"{name} is a {kind}; pass a float64 NumPy vector on the host, such as objective.theta0")
        if theta.shape != (self.size,):
            raise ValueError(
                f"{name} has shape {theta.shape} but the model {self.size} parameters; pass ({self.size},)"
            )
        return theta
