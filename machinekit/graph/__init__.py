"""Ops and networks of ops."""

from .affine import Affine
from .avgpool import AvgPool
from .batchnorm import BatchNorm
from .chain import Chain
from .conv import Conv, ConvTranspose
from .edge import Edge
from .hypergraph import Hypergraph
from .jet_op import JetOp
from .linearized import Adjoint, Linearized
from .maxpool import MaxPool
from .norms import LayerNorm, Norm
from .op import Op, live_masks
from .order import CycleError
from .pointwise import Pointwise, Softmax
from .portrait import Memory
from .selection import Embed, Select
from .shapes import Add, Concatenate, Reshape
from .sharing import Sharing
from .upsample import Upsample

__all__ = [
    "Add",
    "Adjoint",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "Chain",
    "Concatenate",
    "Conv",
    "ConvTranspose",
    "CycleError",
    "Edge",
    "Embed",
    "Hypergraph",
    "JetOp",
    "LayerNorm",
    "Linearized",
    "MaxPool",
    "Memory",
    "Norm",
    "Op",
    "Pointwise",
    "Reshape",
    "Select",
    "Sharing",
    "Softmax",
    "Upsample",
    "live_masks",
]
