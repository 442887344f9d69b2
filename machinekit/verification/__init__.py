"""The statements of the paper as named properties, verified on random machines, and mutants that they must reject.

Sources: Vertechi and Bergomi, *Machines of finite depth*, arXiv:2204.12786. `machinekit verify` runs them.
"""

from .catalogue import MUTANTS, PROPERTIES
from .draws import Draws
from .lab import Lab
from .mutants import ENTRIES, Mutant, Trial, attack, entries_used
from .registry import Property
from .runner import Outcome, run

__all__ = [
    "ENTRIES",
    "MUTANTS",
    "PROPERTIES",
    "Draws",
    "Lab",
    "Mutant",
    "Outcome",
    "Property",
    "Trial",
    "attack",
    "entries_used",
    "run",
]
