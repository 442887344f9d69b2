"""machinekit: neural networks as machines, resolvents and duals, without autodiff.

A network is an endofunction f of one global space; running it is the resolvent (id − f)⁻¹, and its
tangent and its dual (back-propagation) are machines again, solved by the same sweep
(Vertechi & Bergomi, *Machines of finite depth*, arXiv:2204.12786).
"""

from . import activations, testing
from .activations import Activation, Diagonal, celu, elu, hardtanh, leaky_relu
from .graph import Affine, Chain
from .machines import ConvMachine, DenseMachine, GridMachine, Machine, RecurrentMachine
from .records import Cotangent, State, Tangent

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Affine",
    "Chain",
    "ConvMachine",
    "Cotangent",
    "DenseMachine",
    "Diagonal",
    "GridMachine",
    "Machine",
    "RecurrentMachine",
    "State",
    "Tangent",
    "activations",
    "celu",
    "elu",
    "hardtanh",
    "leaky_relu",
    "testing",
]
