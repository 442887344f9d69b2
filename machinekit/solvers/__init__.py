"""Solvers of fixed-point equations on rows: one sample per row."""

from .options import DUAL_SOLVERS, SOLVERS, Equilibrium
from .problem import BlockProblem, FixedPoint
from .record import RANKS, Info, Outcome
from .settle import fail, settle, settle_cycle

__all__ = [
    "DUAL_SOLVERS",
    "RANKS",
    "SOLVERS",
    "BlockProblem",
    "Equilibrium",
    "FixedPoint",
    "Info",
    "Outcome",
    "fail",
    "settle",
    "settle_cycle",
]
