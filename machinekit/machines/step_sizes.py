"""Step sizes of Peaceman–Rachford, which take a spectrum: kept for machines that differ by a training step."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

__all__ = ["StepSizes"]

_USES = 100
"""Kernels after which a step size is looked for again."""
_GROWTH = 1.25
"""So many times more steps than at first ask for a new step size."""


@dataclass(frozen=True)
class _Kept:
    alpha: float
    uses: int = 0
    steps: float = 0.0


class StepSizes:
    """What machines made of one another by `replace` share. Any step size gives the same answer, to the tolerance.

    Entries are replaced, never changed, so that threads may share one of these; an entry lost to a race costs one
    spectrum more.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def known(self, key: Hashable) -> float | None:
        """Return the step size for one kernel more, unless it was used for many or has become slow."""
        kept = self._kept.get(key)
        if kept is None or kept.uses >= _USES:
            return None
        self._kept[key] = replace(kept, uses=kept.uses + 1)
        return kept.alpha

    def keep(self, key: Hashable, alpha: float) -> None:
        """Keep a step size that fits a kernel."""
        self._kept[key] = _Kept(alpha)

    def hear(self, key: Hashable, alpha: float, steps: float) -> None:
        """Hear how many steps a solve took with a step size; one that has become slow is forgotten."""
        kept = self._kept.get(key)
        if kept is None or kept.alpha != alpha:
            return
        if not kept.steps:
            self._kept[key] = replace(kept, steps=steps)
        elif steps > _GROWTH * kept.steps + 2:
            self._kept.pop(key, None)
