"""Activations: value, three derivatives, class C^k, real and complex."""

from .catalogue import NAMES, celu, elu, get_activation, hardtanh, leaky_relu, read_activation
from .core import Activation, ComplexStep
from .pointwise import Blockwise, Diagonal, Pointwise, SlopeAt

__all__ = [
    "NAMES",
    "Activation",
    "Blockwise",
    "ComplexStep",
    "Diagonal",
    "Pointwise",
    "SlopeAt",
    "celu",
    "elu",
    "get_activation",
    "hardtanh",
    "leaky_relu",
    "read_activation",
]
