"""machinekit: neural networks as machines, resolvents and duals, without autodiff.

A network is an endofunction f of one global space; running it is the resolvent (id − f)⁻¹, and its
tangent and its dual (back-propagation) are machines again, solved by the same sweep
(Vertechi & Bergomi, *Machines of finite depth*, arXiv:2204.12786).
"""

from . import activations, testing, theory
from .activations import Activation, Diagonal, celu, elu, hardtanh, leaky_relu
from .graph import Adjoint, Affine, Chain, CycleError, Edge, Hypergraph, Linearized, Op
from .machines import ConvMachine, DenseMachine, GridMachine, Machine, RecurrentMachine, Stream
from .records import Cotangent, State, Tangent
from .saving import load, save
from .training import FitResult, Objective, fit, losses, penalties

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Adjoint",
    "Affine",
    "Chain",
    "ConvMachine",
    "Cotangent",
    "CycleError",
    "DenseMachine",
    "Diagonal",
    "Edge",
    "FitResult",
    "GridMachine",
    "Hypergraph",
    "Linearized",
    "Machine",
    "Objective",
    "Op",
    "RecurrentMachine",
    "State",
    "Stream",
    "Tangent",
    "activations",
    "celu",
    "elu",
    "fit",
    "hardtanh",
    "leaky_relu",
    "load",
    "losses",
    "penalties",
    "save",
    "testing",
    "theory",
]
