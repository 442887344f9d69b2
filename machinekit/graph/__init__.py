"""Ops and networks of ops."""

from .affine import Affine
from .chain import Chain
from .edge import Edge
from .hypergraph import Hypergraph
from .linearized import Adjoint, Linearized
from .op import Op, live_masks
from .order import CycleError
from .portrait import Memory
from .sharing import Sharing

__all__ = [
    "Adjoint",
    "Affine",
    "Chain",
    "CycleError",
    "Edge",
    "Hypergraph",
    "Linearized",
    "Memory",
    "Op",
    "Sharing",
    "live_masks",
]
