"""All properties, in the order of the paper, and all mutants."""

from __future__ import annotations

from .definitions import DEFINITIONS
from .depth import DEPTH
from .examples import EXAMPLES
from .graphs import GRAPHS
from .machine_equations import MACHINE_EQUATIONS
from .mutants import Mutant, gather
from .nilpotent import NILPOTENT
from .orders import ORDERS
from .registry import Property, collect
from .shifts import SHIFTS
from .sums import SUMS
from .wrong_machines import WRONG_MACHINES
from .wrong_theory import WRONG_THEORY

__all__ = ["MUTANTS", "PROPERTIES"]

_MACHINES = (*MACHINE_EQUATIONS, *ORDERS)
_GENERAL = tuple(p for p in _MACHINES if not p.source.startswith("§3"))  # stated in §2, checked on machines
_SPECIAL = tuple(p for p in _MACHINES if p not in _GENERAL)

PROPERTIES: dict[str, Property] = collect(
    DEFINITIONS, _GENERAL, DEPTH, NILPOTENT, SUMS, GRAPHS, _SPECIAL, SHIFTS, EXAMPLES
)
"""Every statement by its id."""

MUTANTS: dict[str, Mutant] = gather(WRONG_MACHINES, WRONG_THEORY)
"""Every mistake by its id."""
