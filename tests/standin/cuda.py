"""``cupy.cuda`` of the stand-in: one device, streams that are current in a thread, events that read the clock."""

from __future__ import annotations

import threading
import time
import types
from functools import partial

from .ledger import note

__all__ = ["DEVICE", "Device", "Event", "Stream", "module"]

_here = threading.local()


class Device:
    """``cupy.cuda.Device``: there is one. Like CuPy's it has no hash."""

    __module__ = "cupy.cuda.device"
    __hash__ = None

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def use(self):
        return self

    def synchronize(self):
        note("wait", "Device.synchronize")

    @property
    def attributes(self):
        return {"MultiProcessorCount": 4, "MaxSharedMemoryPerBlock": 49152, "MaxThreadsPerBlock": 1024, "WarpSize": 32,
                "MaxSharedMemoryPerBlockOptin": 232448}  # fmt: skip

    @property
    def compute_capability(self):
        return "90"


DEVICE = Device()


class Stream:
    """``cupy.cuda.Stream``: an address, current in a thread inside ``with``."""

    null: Stream
    _made = 0

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        type(self)._made += not null
        self.ptr, self._before = 0 if null else 0x1000 * self._made, []

    def synchronize(self):
        note("wait", "Stream.synchronize")

    def use(self):
        _here.stream = self
        return self

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        pass

    def __enter__(self):
        self._before.append(current_stream())
        return self.use()

    def __exit__(self, *error):
        _here.stream = self._before.pop()


Stream.null = Stream(null=True)


def current_stream(device_id=-1):
    return getattr(_here, "stream", Stream.null)


class Event:
    """``cupy.cuda.Event``."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.at = 0.0
        self.done = True

    def record(self, stream=None):
        self.at = time.perf_counter()

    def synchronize(self):
        note("wait", "Event.synchronize")


def module(new):
    """Return ``cupy.cuda``, made by the given function of a name and entries."""
    runtime = new(
        "cupy.cuda.runtime",
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        deviceSynchronize=partial(note, "wait", "deviceSynchronize"),
        streamSynchronize=lambda stream: note("wait", "streamSynchronize"),
        runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 12090,
        getDeviceProperties=lambda device: {"name": b"stand-in", "major": 9, "minor": 0, "multiProcessorCount": 4,
                                            "totalGlobalMem": 1 << 34, "sharedMemPerBlock": 49152},
    )  # fmt: skip
    memory = types.SimpleNamespace(used_bytes=lambda: 0, total_bytes=lambda: 0, free_all_blocks=lambda: None)
    return new(
        "cupy.cuda",
        is_available=lambda: True,
        runtime=runtime,
        Device=Device,
        Event=Event,
        Stream=Stream,
        get_current_stream=current_stream,
        get_elapsed_time=lambda start, stop: (stop.at - start.at) * 1e3,
        get_device_id=lambda: 0,
    ), memory
