"""A partition on a grid as a table of int32, which the kernels read: index sets, taps, and where pairs meet.

Everything that differs between machines is in the table, so that one compiled kernel serves all of them. The names
of its entries are given to the CUDA source from here, see `constants`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..linear import overlap
from ..partitions import Partition

__all__ = ["AXES", "INPUTS", "MOST_CHANNELS", "MOST_THREADS", "WARPS", "Schedule", "constants", "make_table", "turned"]

AXES = 3
"""Grid axes that a table has room for; a machine with fewer has extents of 1 before its own."""
MOST_CHANNELS = (1 << 24) - 1
MOST_THREADS = 512
WARPS, INPUTS = 8, 4
"""Of a thread block of `contract`: warps, and input channels for each of its threads."""

_HEADER = (
    "EXTENT0", "EXTENT1", "EXTENT2", "POSITIONS", "CHANNELS", "SAMPLES", "GROUP", "WIDTH", "PRODUCT_ROWS",
    "KERNEL_TAPS", "STEP_COUNT", "STEPS", "BLOCKS", "TAPS", "MEETINGS", "STRIPS", "LIVE",
)  # fmt: skip
_STEP = (
    "FIRST", "SIZE", "NUMBER", "TAP_BEGIN", "TAP_END", "TAP_BITS", "CHANNEL_BITS",
    "START0", "START1", "START2", "BOX0", "BOX1", "BOX2",
)  # fmt: skip
_TAP = ("LAG0", "LAG1", "LAG2", "SHIFT", "KERNEL", "READ_BEGIN", "READ_END")
_MEETING = ("COUNT0", "COUNT1", "COUNT2", "COUNT3", "PITCH0", "PITCH1", "PITCH2", "BEGIN", "MEETING_SHIFT")
_SIZES = {"STEP_SIZE": 16, "TAP_SIZE": 8, "MEETING_SIZE": 12}
_HOW = {"Z0_WIDTH": 24, "MODE": 48, "TURNED": 50}
"""Bits of the argument `how`: the widths of y0 and z0, what the pointwise step does, and how the weight lies."""
_MODES = {"CURVE": 0, "SLOPE_GIVEN": 1, "SLOPE_AT": 2}


def constants() -> dict[str, int]:
    """Return the names that the CUDA source uses: places in the table, limits, and bits of `how`."""
    names = {name: k for part in (_HEADER, _STEP, _TAP, _MEETING) for k, name in enumerate(part)}
    limits = {"MOST_CHANNELS": MOST_CHANNELS, "MOST_THREADS": MOST_THREADS, "WARPS": WARPS, "INPUTS": INPUTS}
    return {**names, **_SIZES, **_HOW, **_MODES, **limits}


@dataclass(frozen=True)
class Schedule:
    """How the threads of a GPU are dealt out to the work of one machine.

    Attributes
    ----------
    group : int
        Samples of a thread block.
    threads : int
        Of a thread block, a multiple of 32.
    tile : {1, 4}
        Rows (sample and position) that one thread computes together.
    lanes : tuple of (int, int)
        For each channel block: how many threads share an output, as powers of two, over taps and over input channels;
        at most 5 in all.
    shared : bool
        Whether z of the group lies in shared memory.
    product_rows : int
        Rows of a thread block where z is known.
    """

    group: int
    threads: int
    tile: int
    lanes: tuple[tuple[int, int], ...]
    shared: bool
    product_rows: int

    def width(self, channels: int) -> int:
        """Return the distance of rows of z in shared memory; an odd one lets neighbours be read at once."""
        return channels | 1 if self.shared else channels

    def room(self, partition: Partition, grid: tuple[int, ...], itemsize: int) -> int:
        """Return the bytes of shared memory of a thread block."""
        return self.group * math.prod(grid) * self.width(partition.channels) * itemsize if self.shared else 0


def make_table(partition: Partition, samples: int, grid: tuple[int, ...], schedule: Schedule) -> np.ndarray:
    """Return the table of a machine whose sweep, or whose dual's weight cotangent, is to be computed.

    Parameters
    ----------
    partition : Partition
        With at most `AXES` grid axes, no feedback.
    samples : int
    grid : tuple of int
        No extent zero.
    schedule : Schedule

    Returns
    -------
    table : int32 array
        The header `_HEADER`, and the parts that it points at. The taps of `partition` are for its sweep; the
        meetings are those of the machine whose dual has this partition, for its weight cotangent.
    """
    wide = (*(1,) * (AXES - len(grid)), *grid)
    parts = {
        "STEPS": _steps(partition, partition.boxes(grid), schedule),
        "BLOCKS": _steps(partition, [tuple(slice(0, n) for n in grid)], schedule),
        "TAPS": _taps(partition, wide),
        **_meetings(partition.dual(), samples, wide),
    }
    header = dict(zip(("EXTENT0", "EXTENT1", "EXTENT2"), wide, strict=True))
    header |= {
        "POSITIONS": math.prod(grid), "CHANNELS": partition.channels, "SAMPLES": samples, "GROUP": schedule.group,
        "WIDTH": schedule.width(partition.channels), "PRODUCT_ROWS": schedule.product_rows,
        "KERNEL_TAPS": math.prod(partition.kernel), "STEP_COUNT": len(parts["STEPS"]),
    }  # fmt: skip
    at = len(_HEADER)
    for name, part in parts.items():
        header[name] = at
        at += part.size
    pieces = [np.array([header[name] for name in _HEADER], np.int32), *(part.reshape(-1) for part in parts.values())]
    return np.concatenate(pieces, dtype=np.int32)


def turned(partition: Partition, itemsize: int) -> tuple[int, ...]:
    """Return the strides of the transpose of a kernel: lags reversed, channels exchanged; see `linear.transpose`.

    Examples
    --------
    >>> turned(Partition((1, 2), ((2, 0),)), 8)
    (-72, 8, 24)
    """
    c = partition.channels
    steps = [c * c * math.prod(partition.kernel[a + 1 :]) for a in range(partition.axes)]
    return tuple(s * itemsize for s in (*(-s for s in steps), 1, c))


def _widened(values: tuple[int, ...], fill: int) -> tuple[int, ...]:
    return (*(fill,) * (AXES - len(values)), *values)


def _rows(rows: list[tuple[int, ...]], size: int) -> np.ndarray:
    out = np.zeros((len(rows), size), np.int32)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out


def _steps(partition: Partition, boxes: Iterable[tuple[slice, ...]], schedule: Schedule) -> np.ndarray:
    """The index sets of some boxes, in order: channels and number of the block, its taps, its lanes, and the box."""
    blocks, at = [], 0
    for k in partition.block_order:
        end = at + len(partition.taps[k])
        blocks.append((partition.blocks[k].start, partition.sizes[k], k, at, end, *schedule.lanes[k]))
        at = end
    rows = []
    for box in boxes:
        corner, extents = tuple(s.start for s in box), tuple(s.stop - s.start for s in box)
        rows += [(*block, *_widened(corner, 0), *_widened(extents, 1)) for block in blocks]
    return _rows(rows, _SIZES["STEP_SIZE"])


def _pitches(extents: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(extents[a + 1 :]) for a in range(len(extents)))


def _flat(index: tuple[int, ...], extents: tuple[int, ...]) -> int:
    return sum(i * pitch for i, pitch in zip(index, _pitches(extents), strict=True))


def _taps(partition: Partition, wide: tuple[int, ...]) -> np.ndarray:
    """What the blocks read, in order: lag, the same in positions, where in the kernel, and which channels."""
    square, rows = partition.channels**2, []
    for k in partition.block_order:
        for lag, reads in partition.taps[k]:
            kernel = _flat(partition.tap(lag), partition.kernel) * square
            long = _widened(lag, 0)
            rows.append((*long, _flat(long, wide), kernel, reads.start, reads.stop))
    return _rows(rows, _SIZES["TAP_SIZE"])


def _meetings(partition: Partition, samples: int, wide: tuple[int, ...]) -> dict[str, np.ndarray]:
    """For each tap of the kernel the rows at which source and target are both on the grid, and what is live of it.

    A meeting is a box of rows, as nested counts of which the last is a run without gaps. LIVE has the input channels
    (first, end) that each output channel reads at a tap, STRIPS the same for all of 32 output channels together.
    """
    c, whole = partition.channels, tuple(slice(0, n) for n in wide)
    rows, live = [], np.zeros((len(partition.lags), c, 2), np.int32)
    for j, lag in enumerate(partition.lags):
        long = _widened(lag, 0)
        met = overlap(whole, long, wide)
        rows.append((0, 1, 1, 1, 0, 0, 0, 0, 0) if met is None else (*_run(met[0], samples, wide), _flat(long, wide)))
        for k, block in enumerate(partition.blocks):
            reads = partition.sources(lag, k)
            live[j, block] = (reads.start, reads.stop) if reads.stop > reads.start else (0, 0)
    rows.append((*_run(whole, samples, wide), 0))  # the bias meets every row
    return {"MEETINGS": _rows(rows, _SIZES["MEETING_SIZE"]), "STRIPS": _strips(live), "LIVE": live}


def _run(box: tuple[slice, ...], samples: int, wide: tuple[int, ...]) -> tuple[int, ...]:
    """Return counts and pitches of the rows of a box in all samples, and the first; what lies in a run is merged."""
    counts, extents = [samples, *(s.stop - s.start for s in box)], [samples, *wide]
    outer = list(_pitches((samples, *wide)))[:-1]  # the innermost count is a run of pitch 1
    while outer and counts[-1] == extents[-1]:
        counts[-2:], extents[-2:] = [math.prod(counts[-2:])], [math.prod(extents[-2:])]
        outer.pop()
    missing = AXES - len(outer)
    return (*(1,) * missing, *counts, *(0,) * missing, *outer, _flat(tuple(s.start for s in box), wide))


def _strips(live: np.ndarray) -> np.ndarray:
    """Return the range of input channels that any of 32 neighbouring output channels reads."""
    taps, c, _ = live.shape
    out = np.zeros((taps, -(-c // 32), 2), np.int32)
    for strip in range(out.shape[1]):
        part = live[:, 32 * strip : 32 * strip + 32]
        reads = part[..., 1] > part[..., 0]
        out[:, strip, 0] = np.where(reads, part[..., 0], c).min(axis=1)
        out[:, strip, 1] = part[..., 1].max(axis=1)
    return out
