"""A guard that makes hidden device-to-host conversions visible without a device.

``float(x)``, ``int(x)``, ``if x > 0`` and ``numpy.from_dlpack(x)`` stop a GPU, or copy from it, and
say nothing. The strict array library of the array API consortium has make-believe devices but lets
these pass. Inside the guard they raise there, so that the only way to the host is the explicit one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["forbid_host_conversion"]

_LIBRARY = "array_api_strict"
_CONVERSIONS = ("__float__", "__int__", "__bool__", "__complex__", "__index__", "__dlpack__")


@contextmanager
def forbid_host_conversion() -> Iterator[None]:
    """Make implicit conversions of array_api_strict's device arrays raise RuntimeError.

    Arrays on the library's default device, the host, convert as ever, and so does whatever the
    library itself needs while it works. ``machinekit.arrays.to_host`` stays allowed everywhere.
    Guards may be nested; each restores what it found.

    Raises
    ------
    ModuleNotFoundError
        If array_api_strict is not installed.

    Examples
    --------
    >>> import array_api_strict as xp
    >>> x = xp.ones((), device=xp.Device("device1"))
    >>> with forbid_host_conversion():
    ...     float(x)
    Traceback (most recent call last):
        ...
    RuntimeError: __float__ of an array on array_api_strict.Device('device1') moves it to the host \
in silence; use machinekit.arrays.to_host, or compute on the device
    """
    xp = importlib.import_module(_LIBRARY)
    sample = xp.zeros(())
    kind, home = type(sample), sample.device
    found = {name: kind.__dict__[name] for name in _CONVERSIONS if name in kind.__dict__}
    for name, original in found.items():
        setattr(kind, name, _guarded(name, original, home))
    try:
        yield
    finally:
        for name, original in found.items():
            setattr(kind, name, original)


def _guarded(name: str, original: Callable[..., Any], home: Any) -> Callable[..., Any]:
    def convert(self: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if self.device != home and caller.partition(".")[0] != _LIBRARY:
            raise RuntimeError(
                f"{name} of an array on {self.device} moves it to the host in silence; "
                "use machinekit.arrays.to_host, or compute on the device"
            )
        return original(self, *args, **kwargs)

    return convert
