"""Streaming: a machine that scans one axis, fed chunk by chunk, with the past carried outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..arrays import Array, as_array, backend_of, namespace
from ..linear import apply
from ..records import MachineState
from .checks import check_arrays, check_signals, widen

if TYPE_CHECKING:
    from .base import Machine

__all__ = ["Stream", "open_stream"]


class Stream:
    """The carried state of a machine that scans time: its last values of z.

    Made by `RecurrentMachine.stream`. The stream changes with every chunk, the machine never.

    Notes
    -----
    At chunk time g the past enters as Σ z[g − ℓ] W[ℓ] over the lags that reach behind the chunk: a
    constant, added to y0. The chunk is then solved as any input is.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.RecurrentMachine((1,), "identity", memory=1, weight=np.full((2, 1, 1), 0.5))
    >>> stream = m.stream(())
    >>> stream.solve(np.array([[1.0]])).z, stream.solve(np.array([[0.0], [0.0]])).z.ravel()
    (array([[1.]]), array([0.5 , 0.25]))
    """

    def __init__(self, machine: Machine, history: Array, lead: tuple[int, ...], axis: int) -> None:
        self._machine, self._history, self._lead, self._axis = machine, history, lead, axis

    def __repr__(self) -> str:
        return f"Stream({self._machine!r}, memory {self._history.shape[self._axis]})"

    @property
    def history(self) -> Array:
        """The last `memory` values of z, of shape (*batch, *grid, channel); a copy. Settable."""
        return self._history + 0

    @history.setter
    def history(self, value: Array) -> None:
        check_arrays(self._machine, {"history": as_array(value, "history")})
        if tuple(value.shape) != tuple(self._history.shape):
            raise ValueError(
                f"history has shape {tuple(value.shape)}; this stream carries {tuple(self._history.shape)}"
            )
        self._history = value + 0

    def solve(self, y0: Array | None, z0: Array | None = None) -> MachineState:
        """Solve the next chunk and carry its end.

        Parameters
        ----------
        y0, z0 : arrays of shape (*batch, *grid, channel)
            The chunk, of any length in time; as for `Machine.solve`.

        Returns
        -------
        MachineState
            The same numbers as one call over all chunks would give, to rounding.

        Raises
        ------
        ValueError, TypeError
            As `Machine.solve`; a batch shape other than the stream's. The stream is then unchanged.
        """
        machine, axis = self._machine, self._axis
        lead, widths = check_signals(machine, {"y0": y0, "z0": z0})
        length = lead[axis]
        if (*lead[:axis], 0, *lead[axis + 1 :]) != self._lead:
            raise ValueError(
                f"the chunk has batch and grid shape {lead}; "
                f"this stream takes {self._lead} with any length for the 0 at axis {axis}"
            )
        start = widen(machine, y0, lead)
        start = start + self._past(start, length)
        state = machine.solve(start, z0)
        self._history = self._last(state.z)
        full = machine.partition.channels
        widths = (full if y0 is None else widths[0], full if z0 is None else widths[1])
        inputs = (y0,) if z0 is None else (y0, z0)
        return MachineState(state.y, state.z, inputs=inputs, widths=widths, slope=state.slope, of=state.of)

    def _past(self, start: Array, length: int) -> Array:
        """Return what the history adds to y0: W applied to history and zeros, cut to the chunk."""
        memory = self._history.shape[self._axis]
        reach = min(memory, length)
        home = backend_of(start)

        def zeros(n: int, dtype: object) -> Array:
            return home.zeros((*self._lead[: self._axis], n, *self._lead[self._axis + 1 :], start.shape[-1]), dtype)

        xp = namespace(start)
        machine = self._machine
        line = xp.concat([self._history, zeros(reach, self._history.dtype)], axis=self._axis)
        image = apply(machine.partition, machine.weight, line)[self._cut(memory, None)]
        return xp.concat([image, zeros(length - reach, image.dtype)], axis=self._axis)

    def _last(self, z: Array) -> Array:
        memory = self._history.shape[self._axis]
        line = namespace(z).concat([self._history, z], axis=self._axis)
        return line[self._cut(line.shape[self._axis] - memory, None)] + 0

    def _cut(self, start: int, stop: int | None) -> tuple:
        return (*(slice(None),) * self._axis, slice(start, stop), ...)


def open_stream(machine: Machine, batch_shape: Sequence[int], grid: Sequence[int]) -> Stream:
    """Return a stream with an empty past; see `GridMachine.stream`."""
    p = machine.partition
    if len(p.scan) != 1 or p.scan[0] in p.reverse or p.padding[p.scan[0]][1]:
        raise ValueError(
            f"this machine scans {p.scan} in reverse {p.reverse} with padding {p.padding}; "
            "a stream needs exactly one scanned axis, swept from its start, with no lag into the future"
        )
    if machine.slope_array is not None and any(n != 1 for n in machine.slope_array.shape[:-1]):
        raise ValueError(
            "this machine has a Diagonal that varies over batch or grid; a stream needs one slope per channel"
        )
    batch, others, scanned = tuple(batch_shape), tuple(grid), p.scan[0]
    if len(others) != p.axes - 1:
        raise ValueError(f"grid is {others}; pass the {p.axes - 1} extents of the grid axes that are not scanned")
    if any(n < 0 for n in (*batch, *others)):
        raise ValueError(f"batch_shape is {batch} and grid {others}; extents are at least 0")
    lead = (*batch, *others[:scanned], 0, *others[scanned:])
    axis = len(batch) + scanned
    memory = p.padding[scanned][0]
    shape = (*lead[:axis], memory, *lead[axis + 1 :], p.channels)
    return Stream(machine, backend_of(machine.weight).zeros(shape, machine.dtype), lead, axis)
