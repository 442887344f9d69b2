"""Arrays of numbers in [0, ∞]: products in which 0 · ∞ is 0, norms that may be infinite."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["product", "spectral"]


def product(a: float | np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the elementwise product, in which 0 · ∞ is 0.

    >>> import numpy as np
    >>> product(float("inf"), np.array([0.0, 2.0]))
    array([ 0., inf])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where((np.asarray(a) == 0.0) | (b == 0.0), 0.0, a * b)


def spectral(*blocks: np.ndarray) -> float:
    """Return the spectral norm of non-negative matrices side by side; infinite if an entry is.

    >>> import numpy as np
    >>> spectral(np.array([[1.0, 2.0]]), np.array([[2.0]]))
    3.0
    """
    largest = max((float(b.max(initial=0.0)) for b in blocks), default=0.0)
    if largest == 0.0 or math.isinf(largest):
        return largest
    if len(blocks) == 1:
        return largest * float(np.linalg.norm(blocks[0] / largest, 2))
    gram = sum((b / largest) @ (b / largest).T for b in blocks)
    return largest * math.sqrt(float(np.linalg.eigvalsh(gram)[-1]))
