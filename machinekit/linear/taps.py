"""Windows of a grid with stride and dilation: their geometry, and their entries as rows of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..arrays import Array, Buffer, Frame, backend_of, namespace, taps, windows

__all__ = ["Strided", "line_matrices", "tap_matrices", "views"]

_PART = {"numpy": 1 << 18}
_WHOLE = 1 << 26
"""Most entries of copied windows at a time: what a cache holds, and elsewhere what memory does not miss."""

_SHORT = 8
"""Entries side by side from which it pays to copy them as they lie."""

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Strided:
    """The geometry of a convolution, one entry per grid axis.

    Attributes
    ----------
    size, stride, dilation : tuple of int
    padding : tuple of (before, after)
    groups : int
        Channels in and out are cut into as many equal runs, each reading its own.
    """

    size: Ints
    stride: Ints
    dilation: Ints
    padding: tuple[tuple[int, int], ...]
    groups: int = 1

    @property
    def axes(self) -> int:
        """Number of grid axes."""
        return len(self.size)

    def spans(self) -> Ints:
        """Return how many entries a window reaches over, d (k−1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    def count(self, grid: Sequence[int]) -> Ints:
        """Return the grid of windows, ⌊(n + before + after − d (k−1) − 1)/s⌋ + 1; below 1 where none fits."""
        given = zip(grid, self.padding, self.spans(), self.stride, strict=True)
        return tuple((n + sum(pad) - span) // s + 1 for n, pad, span, s in given)

    def reached(self, count: Sequence[int], extra: Sequence[int]) -> Ints:
        """Return the grid with so many windows, `extra` entries longer than the shortest such."""
        given = zip(count, extra, self.padding, self.spans(), self.stride, strict=True)
        return tuple(s * (m - 1) + span + e - sum(pad) for m, e, pad, span, s in given)


def tap_matrices(x: Array, g: Strided, start: Ints, count: Ints) -> Iterator[tuple[tuple, Array]]:
    """Yield the windows of some samples and lines at a time, a row for each.

    Parameters
    ----------
    x : array of shape (samples, *grid, channel)
    start : tuple of int
        The index of x at which the first window begins, per grid axis; outside the grid x is zero.
    count : tuple of int
        Windows per grid axis; a line is an entry of the first.

    Yields
    ------
    index : tuple
        Of these samples and lines in an array of shape (samples, *count, …).
    rows : array of shape (groups, windows, size · in / groups)
        Good until the next is asked for.
    """
    xp, buffer = namespace(x), Buffer()
    entries = math.prod(g.size) * (x.shape[-1] // g.groups)
    # entries first where few lie side by side: (groups, samples, *count, *size, in) -> (groups, *size, in, …)
    turned = (0, *range(2 + g.axes, 3 + 2 * g.axes), *range(1, 2 + g.axes))
    for index, view in views(x, g, start, count, math.prod(count[1:]) * entries * g.groups):
        windows = math.prod(view.shape[1 : 2 + g.axes])
        if entries == view.shape[-1]:
            yield index, xp.reshape(view, (g.groups, windows, entries))
        elif g.size[-1] * view.shape[-1] < _SHORT:
            columns = buffer.copy(xp.permute_dims(view, turned), (g.groups, entries, windows))
            yield index, xp.matrix_transpose(columns)
        else:
            yield index, buffer.copy(view, (g.groups, windows, entries))


def line_matrices(x: Array, g: Strided, start: Ints, count: Ints) -> Iterator[tuple[tuple, list[Array]]]:
    """Yield the windows of some samples and lines at a time, copied along the last axis only.

    Along the others they are read where they lie in that copy, at stride one without a further copy.
    Arguments and the index are those of `tap_matrices`.

    Yields
    ------
    index : tuple
    parts : list of arrays of shape (groups, samples, *count[:-2], windows, size[-1] · in / groups)
        One for each position in a window on all axes but the last, in C order. Good until the next are asked for.
    """
    xp, buffer = namespace(x), Buffer()
    entries = g.size[-1] * (x.shape[-1] // g.groups)
    tall = tuple(s * (n - 1) + span for s, n, span in zip(g.stride, count, g.spans(), strict=True))[:-1]
    ones = (1,) * len(tall)
    flat = Strided((*ones, g.size[-1]), (*ones, g.stride[-1]), (*ones, g.dilation[-1]), g.padding, g.groups)
    each = math.prod(tall[1:]) * count[-1] * entries * g.groups
    for index, view in views(x, flat, start, (*tall, count[-1]), each, g.stride[0], g.spans()[0]):
        copy = buffer.copy(view, (*view.shape[: 2 + g.axes], entries))
        lines = ((view.shape[2] - g.spans()[0]) // g.stride[0] + 1, *count[1:-1])
        shape = (*copy.shape[:2], *lines[:-1], lines[-1] * count[-1], entries)
        each_tap = taps(lines, g.size[:-1], g.stride[:-1], g.dilation[:-1])
        yield index, [xp.reshape(copy[(slice(None), *tap)], shape) for tap in each_tap]


def views(
    x: Array, g: Strided, start: Ints, count: Ints, each: int, step: int = 1, reach: int = 1
) -> Iterator[tuple[tuple, Array]]:
    """Yield all windows of some samples and lines at a time, as many as memory for copies is taken for.

    Parameters
    ----------
    x, g, start, count
        As for `tap_matrices`.
    each : int
        Entries of the windows of a line.
    step, reach : int
        Lines are wanted `reach` at a time, `step` apart; then the index counts these.

    Yields
    ------
    index : tuple
    view : array of shape (groups, samples, lines, *count[1:], *size, in / groups)
    """
    samples, total = x.shape[0], (count[0] - reach) // step + 1
    if not samples * math.prod(count):
        return
    most = _PART.get(backend_of(x).name, _WHOLE) // max(each, 1)  # lines at a time
    together, lines = _even(samples, max(most // count[0], 1)), _even(total, max((most - reach) // step + 1, 1))
    stops = tuple(b + s * (n - 1) + span for b, s, n, span in zip(start, g.stride, count, g.spans(), strict=True))
    order = (1 + 2 * g.axes, *range(1 + 2 * g.axes), 2 + 2 * g.axes)
    xp, frame = namespace(x), Frame(start, stops)
    view: Array = None
    for a in range(0, samples, together):
        some = slice(a, min(a + together, samples))
        source, same = frame.of(x[some, ...])
        if not same:
            view = windows(source, count, g.size, g.stride, g.dilation)
            view = xp.permute_dims(xp.reshape(view, (*view.shape[:-1], g.groups, x.shape[-1] // g.groups)), order)
        for b in range(0, total, lines):
            run = slice(b, min(b + lines, total))
            read = slice(step * b, step * (run.stop - 1) + reach)
            yield (some, run, ...), view if lines == total else view[:, :, read, ...]


def _even(total: int, most: int) -> int:
    """Return how many to take at a time, at most so many, that the takes are alike."""
    return -(-total // -(-total // most))
