"""The paper's Table 1: forward and backward times of six machines on a CPU and on a GPU.

float64 on the CPU, float32 on the GPU; 5 blocks of 2 with batch 2 or of 32 with batch 32, length 16, 7 taps,
memory 6, time block 5, tanh (arXiv:2204.12786, Table 1, where the unit is printed as ms but is µs). Minima on the
CPU, medians on the GPU, where the method is the one that the library chose.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import pick_backend
from .competitors import OURS
from .problem import Problem
from .report import format_table, microseconds
from .runner import Outcome, run_workload
from .timing import Pace
from .workloads import pick_workloads

__all__ = ["ROWS", "format_table1", "run_table1"]

ROWS = ("dense-small", "dense-medium", "conv-small", "conv-medium", "rec-small", "rec-medium")
"""The workloads of the table."""


def run_table1(threads: int = 1, pace: Pace | None = None) -> tuple[list[Outcome], str]:
    """Measure the table.

    Returns
    -------
    outcomes : list of Outcome
        Six of NumPy in float64, and six of CuPy in float32 where there is a GPU.
    remark : str
        Why there are no GPU rows; empty if there are.
    """
    homes, remark = [("numpy", "float64")], ""
    try:
        pick_backend("cupy")
        homes.append(("cupy", "float32"))
    except (ModuleNotFoundError, RuntimeError) as error:
        remark = f"6 of 12 rows: no GPU rows, because {error}"
    outcomes = [
        run_workload(Problem.of(workload, dtype, backend, threads), pace=pace, methods=())
        for backend, dtype in homes
        for workload in pick_workloads(ROWS)
    ]
    return outcomes, remark


def format_table1(outcomes: Sequence[Outcome]) -> str:
    """Return the table as markdown, in µs: minima on the CPU, medians on the GPU."""
    rows, methods = [], any(o.on_gpu for o in outcomes)
    for o in outcomes:
        times = [o.time(OURS, op) for op in ("forward", "backward", "weights")]
        ratio = "–" if times[0] is None or times[1] is None else f"{times[1] / times[0]:.2f}"
        size = o.workload.id.rpartition("-")[2]
        device = "GPU" if o.on_gpu else "CPU"
        method = [o.method or "–"] if methods else []
        rows.append([o.workload.kind, size, device, o.dtype, *map(microseconds, times), ratio, *method])
    header = ("machine", "size", "device", "dtype", "forward µs", "backward µs", "weights µs", "backward/forward")
    return format_table((*header, "method") if methods else header, rows)
