"""Derivatives and weights as linear operators of SciPy: `linear_operator`, `weight_operator`."""

from .jacobian import linear_operator
from .weight import weight_operator

__all__ = ["linear_operator", "weight_operator"]
