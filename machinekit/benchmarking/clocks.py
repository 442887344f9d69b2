"""The clocks: that of the process, and that of a GPU.

On a GPU calls are queued, and whoever waits for the device after every call is timed by another measure than who
does not. So one measure is kept for all: a loop of calls is queued, then waited for once. Two events on the stream
that CuPy uses enclose the loop; the device is idle before the first. What runs on that stream, or on one that it
waits for, needs nothing more: this library, thinc, and torch, whose current stream is the same one (the legacy
default; its peer compares the two). What runs on streams of its own is waited for on the host after the last call
of the loop, before the second event: JAX, by ``block_until_ready``, and torch where the streams differ. The events are
then as far apart as on a host clock around the same loop, for the first one passes at once on an idle device.

The same arrays are read in every call, so that caches are warm as far as they reach: for machines whose arrays fit
into the second cache all of them, for those that exceed it what the end of a call leaves.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from ..arrays import Backend

__all__ = ["Clock", "DeviceClock", "HostClock", "clock_for"]


class Clock(Protocol):
    """Times a loop of calls."""

    def time(
        self, call: Callable[[Any], Any], argument: Any, repeats: int, finish: Callable[[Any], Any] | None = None
    ) -> float:
        """Return the seconds that ``repeats`` calls take, results complete; `finish` waits for the last of them."""
        ...


class HostClock:
    """The clock of the process."""

    def time(
        self, call: Callable[[Any], Any], argument: Any, repeats: int, finish: Callable[[Any], Any] | None = None
    ) -> float:
        """Return the seconds that ``repeats`` calls take."""
        loop = itertools.repeat(None, repeats if finish is None else repeats - 1)
        start = time.perf_counter()
        for _ in loop:
            call(argument)
        if finish is not None:
            finish(call(argument))
        return time.perf_counter() - start


class DeviceClock:
    """The clock of a GPU: two events around the loop, the device idle before the first.

    Where launching takes longer than computing, the gaps count: that is what a user waits for.

    Attributes
    ----------
    warm_up : int
        Calls that a task may take to become steady, untimed.
    sample : float
        Seconds that a loop shall last at least: an event is good to half a microsecond, an idle device starts late.
    """

    warm_up: ClassVar[int] = 20
    sample: ClassVar[float] = 5e-3

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._cuda = backend.xp.cuda

    def time(
        self, call: Callable[[Any], Any], argument: Any, repeats: int, finish: Callable[[Any], Any] | None = None
    ) -> float:
        """Return the seconds between the events."""
        with self._backend.context():
            start, stop = self._cuda.Event(), self._cuda.Event()
            self._cuda.runtime.deviceSynchronize()
            start.record()
            for _ in itertools.repeat(None, repeats if finish is None else repeats - 1):
                call(argument)
            if finish is not None:
                finish(call(argument))
            stop.record()
            stop.synchronize()
            self._cuda.runtime.deviceSynchronize()
            return float(self._cuda.get_elapsed_time(start, stop)) * 1e-3


def clock_for(backend: Backend) -> Clock:
    """Return the clock for a backend's arrays: events on a GPU, else that of the process."""
    return DeviceClock(backend) if backend.name == "cupy" else HostClock()
