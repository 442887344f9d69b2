"""Machines of finite depth."""

from .base import Machine
from .grid import ConvMachine, DenseMachine, GridMachine, RecurrentMachine
from .stream import Stream

__all__ = ["ConvMachine", "DenseMachine", "GridMachine", "Machine", "RecurrentMachine", "Stream"]
