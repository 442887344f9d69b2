"""The bars: what must hold and what is aimed at, judged on what one run has measured.

Ratios are of minima, except against JAX, whose asynchronous dispatch makes the median the fair figure. A GPU has
bars of its own, all of medians.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .competitors import OURS
from .floor import FLOOR
from .plan_calls import PLAN_CALLS
from .problem import tolerance
from .runner import Outcome

__all__ = ["Verdict", "judge"]

_JULIA: Mapping[str, float] = MappingProxyType({
    "dense-small": 24.0, "dense-medium": 402.0, "conv-small": 139.0, "conv-medium": 16480.0,
    "rec-small": 423.0, "rec-medium": 37330.0,
})  # fmt: skip
"""Gradients of the paper authors' Julia package, in µs: float32, one thread, minimum, one core of an AVX-512 server."""


@dataclass(frozen=True)
class Verdict:
    """One bar on one workload.

    Attributes
    ----------
    bar, workload : str
    threads : int
    measured : float
    must, aim : float or None
        None: nothing is demanded.
    larger : bool
        Whether larger is better.
    """

    bar: str
    workload: str
    threads: int
    measured: float
    must: float | None
    aim: float | None
    larger: bool

    def _meets(self, limit: float) -> bool:  # nan meets nothing
        return self.measured >= limit if self.larger else self.measured <= limit

    @property
    def failed(self) -> bool:
        return self.must is not None and not self._meets(self.must)

    @property
    def word(self) -> str:
        """``"FAIL"``, ``"pass"``, or ``"pass, aim met"``; ``"orientation"`` where nothing is demanded."""
        if self.failed:
            return "FAIL"
        met = self.aim is not None and self._meets(self.aim)
        if self.must is None:
            return "orientation, aim met" if met else "orientation"
        return "pass, aim met" if met else "pass"


def _torch(o: Outcome) -> tuple[float | None, float | None, float | None]:
    w = o.workload
    wide = w.id in ("conv1d-long", "conv2d")
    overhead = w.kind == "recurrent" or w.id.endswith(("small", "deep"))
    return o.ratio("torch"), 0.9 if wide else 1.3, 10.0 if overhead else 1.5


def _compiled(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return o.ratio("torch-compile"), None if o.workload.id == "conv1d-long" else 1.0, 1.3


def _jax(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return o.ratio("jax", statistic="median"), 0.7 if o.workload.id == "rec-small-t1" else 1.0, 1.3


def _backward(o: Outcome) -> tuple[float | None, float | None, float | None]:
    if o.backend != "numpy":
        return None, None, None
    return _over(o, (OURS, "backward"), (OURS, "forward")), 1.0 if o.workload.kind == "dense" else 1.1, 0.9


def _floor(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return (_over(o, (OURS, "gradient"), (FLOOR, "gradient")) if o.workload.large else None), 2.0, 1.4


def _memory(o: Outcome) -> tuple[float | None, float | None, float | None]:
    telling = o.memory is not None and o.memory.needed >= 1 << 20  # below, Python's own objects count
    return (o.memory.ratio if o.memory and telling else None), 2.5, 1.5


def _recorded(o: Outcome) -> tuple[float | None, float | None, float | None]:
    """Another run on the same kind of processor: an orientation, nothing is demanded."""
    here = (o.backend, o.dtype, o.threads) == ("numpy", "float32", 1)
    own, theirs = o.time(OURS, "gradient"), _JULIA.get(o.workload.id) if here else None
    ratio = None if own is None or theirs is None else theirs * 1e-6 / own
    return ratio, None, 2.0 if o.workload.id.endswith("small") else 5.0


def _interface(o: Outcome) -> tuple[float | None, float | None, float | None]:
    measured = _over(o, (OURS, "gradient"), (PLAN_CALLS, "gradient")) if o.workload.id == "dense-small" else None
    return measured, 1.8, 1.3


def _over(o: Outcome, numerator: tuple[str, str], denominator: tuple[str, str]) -> float | None:
    a, b = o.time(*numerator), o.time(*denominator)
    return None if a is None or b is None else a / b


_Rule = Callable[[Outcome], tuple[float | None, float | None, float | None]]
_RULES: tuple[tuple[str, bool, _Rule], ...] = (
    ("gradient vs torch eager, times faster", True, _torch),
    ("gradient vs torch.compile, times faster", True, _compiled),
    ("gradient vs JAX jit (median), times faster", True, _jax),
    ("gradient vs recorded Julia figures, times faster", True, _recorded),
    ("backward / forward", False, _backward),
    ("gradient / gemm floor", False, _floor),
    ("peak memory / bytes needed", False, _memory),
    ("public gradient / plan calls only", False, _interface),
)


_GPU_SMALL = ("dense-small", "conv-small", "rec-small")


def _gpu_torch(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return o.ratio("torch"), 5.0 if o.workload.id in _GPU_SMALL else None, None


def _gpu_compiled(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return o.ratio("torch-compile"), 1.5 if o.workload.id in _GPU_SMALL else None, None


def _gpu_jax(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return o.ratio("jax"), None, None


def _gpu_floor(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return (_over(o, (OURS, "gradient"), (FLOOR, "gradient")) if o.workload.large else None), 1.3, None


def _gpu_agreement(o: Outcome) -> tuple[float | None, float | None, float | None]:
    return o.difference, tolerance(o.dtype), None


_GPU_RULES: tuple[tuple[str, bool, _Rule], ...] = (
    ("gradient vs torch eager, times faster", True, _gpu_torch),
    ("gradient vs torch.compile with CUDA graphs, times faster", True, _gpu_compiled),
    ("gradient vs JAX jit, times faster", True, _gpu_jax),
    ("gradient / bare cuBLAS products", False, _gpu_floor),
    ("largest relative difference from NumPy", False, _gpu_agreement),
)


def judge(outcomes: Sequence[Outcome]) -> tuple[list[Verdict], list[str]]:
    """Judge every bar that was measured.

    Returns
    -------
    verdicts : list of Verdict
    unmeasured : list of str
        The bars for which nothing was measured.
    """
    verdicts: list[Verdict] = []
    unmeasured = []
    on_gpu = [o for o in outcomes if o.on_gpu]
    others = [o for o in outcomes if not o.on_gpu]
    rules = [(*rule, others) for rule in _RULES if others or not on_gpu]
    for bar, larger, rule, where in [*rules, *((*rule, on_gpu) for rule in _GPU_RULES if on_gpu)]:
        found = list(_apply(bar, larger, rule, where))
        verdicts += found
        if not found:
            unmeasured.append(bar)
    return verdicts, unmeasured


def _apply(bar: str, larger: bool, rule: _Rule, outcomes: Sequence[Outcome]) -> Iterable[Verdict]:
    for o in outcomes:
        measured, must, aim = rule(o)
        if measured is not None:
            yield Verdict(bar, o.workload.id, o.threads, measured, must, aim, larger)
