"""The law suite: run it on your own machine, activation or op.

Needs neither pytest nor Hypothesis. A broken law raises `LawError`, whose message has the seed, both
sides and the scale.
"""

from .case import Case
from .check import adjoint_identity, check_activation, check_machine, check_op
from .instruments import Majorant, complex_step, finite_difference
from .machine_laws import LAWS
from .memory_laws import RULES
from .report import Finding, LawError, Report, tolerance

__all__ = [
    "LAWS",
    "RULES",
    "Case",
    "Finding",
    "LawError",
    "Majorant",
    "Report",
    "adjoint_identity",
    "check_activation",
    "check_machine",
    "check_op",
    "complex_step",
    "finite_difference",
    "tolerance",
]
