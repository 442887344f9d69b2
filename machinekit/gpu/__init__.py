"""Kernels for a GPU: a whole sweep in one launch, and the choice between that and array calls."""

from .calibrate import calibrate
from .cost import choose
from .plan import KernelPlan
from .rates import Rates, rates_of, read_rates, write_rates

__all__ = ["KernelPlan", "Rates", "calibrate", "choose", "rates_of", "read_rates", "write_rates"]
