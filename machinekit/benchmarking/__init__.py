"""Benchmarks: this library against others, against the arithmetic it cannot avoid, and against itself.

Correctness first: a competitor whose result differs is an error in the table and is never timed. Then
everything is timed in interleaved rounds; ratios inside one run are the result. Nothing here is imported by
``import machinekit``, and no other library before it is asked for.
"""

from .competitors import Competitor, ours
from .problem import Problem, Results, mismatches
from .runner import Outcome, run_workload
from .timing import Pace, Stats, measure
from .workloads import GPU_WORKLOADS, WORKLOADS, Workload, pick_workloads

__all__ = [
    "GPU_WORKLOADS",
    "WORKLOADS",
    "Competitor",
    "Outcome",
    "Pace",
    "Problem",
    "Results",
    "Stats",
    "Workload",
    "measure",
    "mismatches",
    "ours",
    "pick_workloads",
    "run_workload",
]
