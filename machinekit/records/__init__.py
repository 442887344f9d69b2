"""The frozen answers of the verbs: State, Tangent, Cotangent, of ops and of machines."""

from .graph import ByName, GraphCotangent, GraphState, GraphTangent
from .jet import Jet, JetCotangent, JetTangent
from .machine import DualState, MachineCotangent, MachineState, MachineTangent, machine_state
from .op import Cotangent, State, Tangent

__all__ = [
    "ByName",
    "Cotangent",
    "DualState",
    "GraphCotangent",
    "GraphState",
    "GraphTangent",
    "Jet",
    "JetCotangent",
    "JetTangent",
    "MachineCotangent",
    "MachineState",
    "MachineTangent",
    "State",
    "Tangent",
    "machine_state",
]
