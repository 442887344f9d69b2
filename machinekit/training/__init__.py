"""Training: losses, penalties, the objective as a function of one vector, and fitting it."""

from . import losses, penalties
from .fit import fit
from .objective import Objective
from .result import FitResult

__all__ = ["FitResult", "Objective", "fit", "losses", "penalties"]
