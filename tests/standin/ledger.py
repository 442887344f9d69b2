"""What was copied between host and device, and where the host waited."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Transfer", "launches", "note", "note_launch", "transfers"]


class Transfer(NamedTuple):
    """One copy or wait: "up", "down" or "wait", by which call, from where, and how many entries."""

    kind: str
    call: str
    place: str
    entries: int = 0

    @property
    def explicit(self) -> bool:
        """Whether it is a copy by the calls that are for copying."""
        return self.call in ("asnumpy", "asarray")


_HERE = str(Path(__file__).parent) + os.sep
_open: list[list[Transfer]] = []
_launches: list[list[str]] = []


def note(kind: str, call: str, entries: int = 0) -> None:
    """Write into the open lists."""
    if not _open:
        return
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    place = "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
    for ledger in _open:
        ledger.append(Transfer(kind, call, place, entries))


def note_launch(name: str) -> None:
    """Write the name of a kernel, or of a function that would launch some."""
    for ledger in _launches:
        ledger.append(name)


@contextmanager
def transfers():
    """Collect the copies and waits of a block of code in a list."""
    ledger: list[Transfer] = []
    _open.append(ledger)
    try:
        yield ledger
    finally:
        _open[:] = [each for each in _open if each is not ledger]


@contextmanager
def launches():
    """Collect the names of what a block of code launches: kernels, and array functions by their names."""
    ledger: list[str] = []
    _launches.append(ledger)
    try:
        yield ledger
    finally:
        _launches[:] = [each for each in _launches if each is not ledger]
