"""machinekit: neural networks as machines, resolvents and duals, without autodiff.

A network is an endofunction f of one global space; running it is the resolvent (id − f)⁻¹, and its
tangent and its dual (back-propagation) are machines again, solved by the same sweep
(Vertechi & Bergomi, *Machines of finite depth*, arXiv:2204.12786).
"""

from . import activations, testing, theory
from .activations import Activation, Diagonal, celu, elu, hardtanh, leaky_relu, soft_threshold
from .errors import ConvergenceError, ConvergenceWarning, DerivativeError
from .graph import (
    Add,
    Adjoint,
    Affine,
    AvgPool,
    BatchNorm,
    Chain,
    Concatenate,
    Conv,
    ConvTranspose,
    CycleError,
    Edge,
    Embed,
    Hypergraph,
    JetOp,
    LayerNorm,
    Linearized,
    MaxPool,
    Norm,
    Op,
    Pointwise,
    Reshape,
    Select,
    Softmax,
    Upsample,
)
from .machines import (
    ConvMachine,
    DenseMachine,
    EquilibriumMachine,
    GridMachine,
    Machine,
    MonotoneMachine,
    RecurrentMachine,
    Stream,
    monotonicity,
    spectral_radius,
)
from .records import Cotangent, Jet, State, Tangent
from .saving import load, save
from .solvers import Equilibrium
from .training import FitResult, Objective, Represented, bases, fit, hypergradient, losses, penalties

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Add",
    "Adjoint",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "Chain",
    "Concatenate",
    "Conv",
    "ConvMachine",
    "ConvTranspose",
    "ConvergenceError",
    "ConvergenceWarning",
    "Cotangent",
    "CycleError",
    "DenseMachine",
    "DerivativeError",
    "Diagonal",
    "Edge",
    "Embed",
    "Equilibrium",
    "EquilibriumMachine",
    "FitResult",
    "GridMachine",
    "Hypergraph",
    "Jet",
    "JetOp",
    "LayerNorm",
    "Linearized",
    "Machine",
    "MaxPool",
    "MonotoneMachine",
    "Norm",
    "Objective",
    "Op",
    "Pointwise",
    "RecurrentMachine",
    "Represented",
    "Reshape",
    "Select",
    "Softmax",
    "State",
    "Stream",
    "Tangent",
    "Upsample",
    "activations",
    "bases",
    "celu",
    "elu",
    "fit",
    "hardtanh",
    "hypergradient",
    "leaky_relu",
    "load",
    "losses",
    "monotonicity",
    "penalties",
    "save",
    "soft_threshold",
    "spectral_radius",
    "testing",
    "theory",
]
