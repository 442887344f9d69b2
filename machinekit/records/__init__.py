"""The frozen answers of the verbs: State, Tangent, Cotangent, of ops and of machines."""

from .machine import DualState, MachineCotangent, MachineState, MachineTangent, machine_state
from .op import Cotangent, State, Tangent

__all__ = [
    "Cotangent",
    "DualState",
    "MachineCotangent",
    "MachineState",
    "MachineTangent",
    "State",
    "Tangent",
    "machine_state",
]
