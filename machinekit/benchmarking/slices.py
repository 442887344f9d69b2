"""The weight of a machine in the pieces that a framework's own layers want, and back.

A framework has no masked kernels: block i of a DenseNet-style network owns a matrix from the channels before
it to its own. A recurrent one owns, besides, one matrix from the remembered past to all channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

__all__ = ["block_weights", "from_blocks", "from_windows", "window_weights"]


def block_weights(weight: np.ndarray, bounds: tuple[int, ...]) -> list[np.ndarray]:
    """Return, for every block but the first, its weight from the channels before it: (*lag, before, own)."""
    return [np.ascontiguousarray(weight[..., :a, a:b]) for a, b in pairwise(bounds[1:])]


def from_blocks(shape: tuple[int, ...], bounds: tuple[int, ...], parts: Iterable[np.ndarray]) -> np.ndarray:
    """Assemble what `block_weights` took apart; zero elsewhere."""
    parts = list(parts)
    weight = np.zeros(shape, dtype=np.result_type(np.float32, *parts))
    for (a, b), part in zip(pairwise(bounds[1:]), parts, strict=True):
        weight[..., :a, a:b] = part
    return weight


def window_weights(weight: np.ndarray, bounds: tuple[int, ...], time_block: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the matrices of a recurrent machine that act on flattened windows, oldest position first.

    Parameters
    ----------
    weight : array of shape (memory + 1, in, out)
    bounds : tuple of int
    time_block : int, at most memory

    Returns
    -------
    far : array of shape ((memory + 1 - time_block) * channel, channel)
        Lags of at least a time block: all channels, all from the past.
    near : list of arrays of shape (time_block * before, own)
        Shorter lags: for every block but the first, the channels before it.
    """
    far = np.ascontiguousarray(weight[time_block:][::-1])
    near = block_weights(weight[:time_block][::-1], bounds)
    return far.reshape(-1, far.shape[-1]), [part.reshape(-1, part.shape[-1]) for part in near]


def from_windows(
    shape: tuple[int, ...], bounds: tuple[int, ...], time_block: int, far: np.ndarray, near: Iterable[np.ndarray]
) -> np.ndarray:
    """Assemble what `window_weights` took apart; zero elsewhere."""
    parts = [part.reshape(time_block, -1, part.shape[-1]) for part in near]
    weight = np.zeros(shape, dtype=far.dtype)
    weight[:time_block] = from_blocks((time_block, *shape[1:]), bounds, parts)[::-1]
    weight[time_block:] = far.reshape(-1, *shape[1:])[::-1]
    return weight
