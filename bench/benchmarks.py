"""The workloads in the form that asv (airspeed velocity) discovers: one class each, times in seconds.

To follow this library over its own history; comparisons with other libraries are ``python -m bench``.
"""

from __future__ import annotations

from machinekit.benchmarking import Problem, ours, pick_workloads


class _Benchmark:
    workload = ""

    def setup(self) -> None:
        (workload,) = pick_workloads([self.workload])
        self.competitor = ours(Problem.of(workload))
        self.state = self.competitor.forward()
        self.competitor.gradient()

    def time_forward(self) -> None:
        self.competitor.forward()

    def time_backward(self) -> None:
        self.competitor.backward(self.state)

    def time_gradient(self) -> None:
        self.competitor.gradient()

    def peakmem_gradient(self) -> None:
        self.competitor.gradient()


class DenseSmall(_Benchmark):
    workload = "dense-small"


class DenseMedium(_Benchmark):
    workload = "dense-medium"


class ConvSmall(_Benchmark):
    workload = "conv-small"


class ConvMedium(_Benchmark):
    workload = "conv-medium"


class RecSmall(_Benchmark):
    workload = "rec-small"


class RecMedium(_Benchmark):
    workload = "rec-medium"


class RecSmallTimeBlock1(_Benchmark):
    workload = "rec-small-t1"


class RecMediumTimeBlock1(_Benchmark):
    workload = "rec-medium-t1"


class DenseDeep(_Benchmark):
    workload = "dense-deep"


class DenseLarge(_Benchmark):
    workload = "dense-large"


class Conv1dLong(_Benchmark):
    workload = "conv1d-long"


class Conv2d(_Benchmark):
    workload = "conv2d"


class RecLong(_Benchmark):
    workload = "rec-long"


class RecWide(_Benchmark):
    workload = "rec-wide"
