"""Machines: of finite depth, and equilibria."""

from .base import Machine
from .certificates import monotonicity, spectral_radius
from .equilibrium import EquilibriumMachine
from .grid import ConvMachine, DenseMachine, GridMachine, RecurrentMachine
from .monotone import MonotoneMachine
from .stream import Stream

__all__ = [
    "ConvMachine",
    "DenseMachine",
    "EquilibriumMachine",
    "GridMachine",
    "Machine",
    "MonotoneMachine",
    "RecurrentMachine",
    "Stream",
    "monotonicity",
    "spectral_radius",
]
