"""Activations: value, three derivatives, class C^k, proximal operator, real and complex."""

from .catalogue import NAMES, celu, elu, get_activation, hardtanh, leaky_relu, read_activation, soft_threshold
from .core import Activation, ComplexStep
from .pointwise import Blockwise, Diagonal, Pointwise, SlopeAt
from .scalar import ScalarProx, scalar_prox
from .smooth import zero

__all__ = [
    "NAMES",
    "Activation",
    "Blockwise",
    "ComplexStep",
    "Diagonal",
    "Pointwise",
    "ScalarProx",
    "SlopeAt",
    "celu",
    "elu",
    "get_activation",
    "hardtanh",
    "leaky_relu",
    "read_activation",
    "scalar_prox",
    "soft_threshold",
    "zero",
]
