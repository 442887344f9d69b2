"""Training: losses, penalties, the objective as a function of one vector, fitting it, and what lies behind it."""

from . import bases, losses, penalties
from .fit import fit
from .hypergradient import hypergradient
from .objective import Objective
from .representation import Represented
from .result import FitResult

__all__ = ["FitResult", "Objective", "Represented", "bases", "fit", "hypergradient", "losses", "penalties"]
