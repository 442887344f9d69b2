"""Adam, over the whole training set or by minibatches."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, namespace, to_host
from ..machines.build import read_generator
from .structure import output_axes
from .tracker import Tracker

__all__ = ["Batches", "run_adam"]


class Batches:
    """The minibatches of each pass: a fresh shuffle of the samples that the mask counts at least in part."""

    def __init__(self, model: Any, targets: Array, mask: Array | None, size: int, rng: Any) -> None:
        labels = not namespace(targets).isdtype(targets.dtype, ("real floating", "complex floating"))  # no channel axis
        shape = tuple(targets.shape)
        lead = (shape if labels else shape[:-1]) if mask is None else tuple(mask.shape)
        if len(lead) <= output_axes(model):
            raise ValueError(
                f"batch_size={size} but targets of shape {tuple(targets.shape)} have no batch axis before the grid; "
                "leave batch_size out, or stack several series along a first axis"
            )
        samples = np.arange(lead[0])
        if mask is not None:
            samples = samples[to_host(mask).reshape(lead[0], -1).any(axis=1)]
        self._samples, self._size, self._rng = samples, size, read_generator(rng)

    def __call__(self) -> list[np.ndarray]:
        order = self._rng.permutation(self._samples)
        return [order[a : a + self._size] for a in range(0, len(order), self._size)]


class _Adam:
    """The update of Adam, with its moments (Kingma & Ba, arXiv:1412.6980, Algorithm 1)."""

    def __init__(self, rate: float, size: int) -> None:
        self._rate, self._first, self._second, self._count = rate, np.zeros(size), np.zeros(size), 0

    def move(self, theta: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return θ after one update."""
        self._count += 1
        self._first += 0.1 * (gradient - self._first)
        self._second += 0.001 * (gradient * gradient - self._second)
        mean, square = self._first / (1.0 - 0.9**self._count), self._second / (1.0 - 0.999**self._count)
        return theta - self._rate * mean / (np.sqrt(square) + 1e-8)


def run_adam(tracker: Tracker, rate: float, tolerance: float, batches: Batches | None) -> tuple[bool, str]:
    """Run Adam until its gradient is small or the tracker stops it."""
    theta = tracker.objective.theta0
    adam = _Adam(rate, theta.size)
    while True:
        if batches is not None:
            tracker.step(theta)
            for index in batches():
                theta = adam.move(theta, tracker.objective.subset(index).fun(theta)[1])
            continue
        _, gradient = tracker.fun(theta)
        tracker.step(theta)
        if np.max(np.abs(gradient)) <= tolerance:
            return True, f"no entry of the gradient is above the tolerance {tolerance:g}"
        theta = adam.move(theta, gradient)
