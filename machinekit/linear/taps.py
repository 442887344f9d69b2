"""Windows of a grid with stride and dilation: their geometry, and their entries as rows of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..arrays import Array, Buffer, Frame, backend_of, namespace, windows

__all__ = ["Strided", "tap_matrices"]

_PART = {"numpy": 1 << 18}
_WHOLE = 1 << 26
"""Most entries of copied windows at a time: what a cache holds, and elsewhere what memory does not miss."""

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
    xp, inner = namespace(x), x.shape[-1] // g.groups
    samples, lines, rest = x.shape[0], count[0], math.prod(count[1:])
    entries = math.prod(g.size) * inner
    if not samples * lines * rest:
        return
    most = max(_PART.get(backend_of(x).name, _WHOLE) // max(entries * g.groups * rest, 1), 1)  # lines at a time
    together, each = max(most // lines, 1), min(most, lines)
    stops = tuple(b + s * (n - 1) + span for b, s, n, span in zip(start, g.stride, count, g.spans(), strict=True))
    order = (1 + 2 * g.axes, *range(1 + 2 * g.axes), 2 + 2 * g.axes)
    buffer, frame = Buffer(), Frame(start, stops)
    view: Array = None
    for a in range(0, samples, together):
        some = slice(a, min(a + together, samples))
        source, same = frame.of(x[some, ...])
        if not same:
            view = windows(source, count, g.size, g.stride, g.dilation)
            view = xp.permute_dims(xp.reshape(view, (*view.shape[:-1], g.groups, inner)), order)
        for b in range(0, lines, each):
            run = slice(b, min(b + each, lines))
            shape = (g.groups, (some.stop - a) * (run.stop - b) * rest, entries)
            yield (some, run, ...), buffer.copy(view if each == lines else view[:, :, run, ...], shape)
