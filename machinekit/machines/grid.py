"""The four machines. They differ in the partition that they build and in nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..arrays import Array
from ..partitions import Partition
from .base import Machine
from .build import Given, integer, read_order, read_padding, read_sizes
from .stream import Stream, open_stream

__all__ = ["ConvMachine", "DenseMachine", "GridMachine", "RecurrentMachine"]

_SHARED = """
    activation : str, Activation, Diagonal, or a sequence of the first two with one entry per block
        σ; `mk.Diagonal(array)` makes the machine linear.
    weight : array of shape (*lag, in, out), real or complex floating, optional
        Any full kernel; copied and projected onto its live part. By default drawn with `rng`.
    bias : bool or array of shape (channel,)
        False: none. True: zeros, trained. An array: a copy of that.
    rng : numpy.random.Generator, int or None
        Draws the full kernel in C order, in float64 on the host, N(0, 1 / live fan-in of the output
        channel): the same seed gives the same weights for any dtype and backend.
    dtype : dtype or str, optional
        float32, float64, complex64 or complex128; by default that of the given arrays, else float64.
    backend : str, optional
        "numpy", "cupy", "cupy:1"; by default that of the given arrays, else `MACHINEKIT_BACKEND`,
        else NumPy.

    Raises
    ------
    ValueError
        Negative or no sizes, a malformed padding, a time block below 1, a wrong shape, an unknown
        activation (the message lists near names) or backend name.
    TypeError
        Lists, integers or objects for arrays; mixed libraries or precisions.
    ModuleNotFoundError, RuntimeError
        CuPy not installed; no GPU.
"""


def _document(cls: type) -> type:
    """Write the parameters that all machines share into a class docstring."""
    cls.__doc__ = (cls.__doc__ or "").replace("\n    {shared}\n", _SHARED + "\n")
    return cls


@_document
class GridMachine(Machine):
    """A machine on a grid: some axes scanned in order, the others convolutional.

    Parameters
    ----------
    sizes : sequence of int
        Channels of the blocks, in order; empty blocks are allowed.
    padding : sequence of (before, after)
        One pair per grid axis: lags −after … before, kernel size before + after + 1; kernel index j
        is lag j − after, and a lag > 0 looks at the lower index.
    scan : sequence of int
        Grid axes swept position by position, lexicographically in this order.
    reverse : sequence of int
        Axes swept from their end: scanned grid axes, or −1 for the channel blocks.
    time_block : int or sequence of int
        Positions that share an index set, for each scanned axis: within one, only earlier blocks are read.
    {shared}
    Notes
    -----
    y[g, o] = y0[g, o] + b[o] + Σ z[g − (j − after), c] W[j, c, o], zero outside the grid;
    z = σ(y) + z0. A weight is live iff every pair of positions that it couples is strictly ordered
    by (⌊g / time block⌋ on each scanned axis, block) (arXiv:2204.12786, §3, eqs. (10)–(14)).

    Examples
    --------
    A 2-D raster machine: each pixel reads its left and upper neighbours.

    >>> import machinekit as mk
    >>> m = mk.GridMachine((1, 2), padding=((1, 0), (1, 1)), scan=(0, 1), rng=0)
    >>> m.live.sum(axis=(2, 3))  # rows: lag 0, 1 along axis 0; columns: lag -1, 0, 1 along axis 1
    array([[0, 2, 9],
           [9, 9, 9]])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "tanh",
        *,
        padding: Sequence[tuple[int, int]],
        scan: Sequence[int] = (),
        reverse: Sequence[int] = (),
        time_block: int | Sequence[int] = 1,
        weight: Array | None = None,
        bias: bool | Array = False,
        rng: Any = None,
        dtype: Any = None,
        backend: Any = None,
    ) -> None:
        pairs = read_padding(padding)
        partition = Partition(read_sizes(sizes), pairs, **read_order(len(pairs), scan, reverse, time_block))
        super().__init__(partition, Given(activation, weight, bias, rng, dtype, backend))

    def stream(self, batch_shape: Sequence[int] = (), grid: Sequence[int] = ()) -> Stream:
        """Return a stream that takes the scanned axis chunk by chunk.

        Parameters
        ----------
        batch_shape : sequence of int
        grid : sequence of int
            Extents of the other grid axes, where there are any.

        Raises
        ------
        ValueError
            Unless exactly one axis is scanned, from its start, with no lag into the future.
        """
        return open_stream(self, batch_shape, grid)


@_document
class DenseMachine(Machine):
    """A machine without grid axes: blocks of units, each reading all blocks before it.

    Parameters
    ----------
    sizes : sequence of int
        Units of the blocks, in order; empty blocks are allowed.
    {shared}
    Notes
    -----
    y = y0 + b + z W with W of shape (in, out), strictly block upper triangular in this layout;
    z = σ(y) + z0 (arXiv:2204.12786, §3, eqs. (10)–(11)).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.DenseMachine((1, 1, 1), "square", weight=np.ones((3, 3)))
    >>> m.weight
    array([[0., 1., 1.],
           [0., 0., 1.],
           [0., 0., 0.]])
    >>> m(np.array([[2.0]]))
    array([[ 4., 16., 400.]])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "tanh",
        *,
        weight: Array | None = None,
        bias: bool | Array = False,
        rng: Any = None,
        dtype: Any = None,
        backend: Any = None,
    ) -> None:
        super().__init__(Partition(read_sizes(sizes)), Given(activation, weight, bias, rng, dtype, backend))


@_document
class ConvMachine(GridMachine):
    """A convolution machine: blocks in order, every lag free.

    Parameters
    ----------
    sizes : sequence of int
        Channels of the blocks, in order; empty blocks are allowed.
    padding : sequence of (before, after)
        One pair per grid axis; may be asymmetric, the kernel even and longer than the grid.
    {shared}
    Notes
    -----
    `GridMachine` with nothing scanned (arXiv:2204.12786, §3).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.ConvMachine((1, 1), "identity", padding=((1, 0),), weight=np.ones((2, 2, 2)))
    >>> m(np.array([[1.0], [2.0], [4.0]]))[:, 1]
    array([1., 3., 6.])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "tanh",
        *,
        padding: Sequence[tuple[int, int]],
        weight: Array | None = None,
        bias: bool | Array = False,
        rng: Any = None,
        dtype: Any = None,
        backend: Any = None,
    ) -> None:
        super().__init__(
            sizes, activation, padding=padding, weight=weight, bias=bias, rng=rng, dtype=dtype, backend=backend
        )


@_document
class RecurrentMachine(GridMachine):
    """A recurrent machine: one grid axis, swept in time; every block reads the whole recent past.

    Parameters
    ----------
    sizes : sequence of int
        Channels of the blocks, in order; empty blocks are allowed.
    memory : int
        The largest lag; the weight has shape (memory + 1, in, out).
    time_block : int
        Positions that share an index set: lags below it reach earlier blocks only.
    reverse : sequence of int
        ``(0,)`` runs time backwards: padding (0, memory), the kernel index j being lag j − memory.
    {shared}
    Notes
    -----
    `GridMachine` with ``scan=(0,)`` and ``padding=((memory, 0),)``. With time block 1, lag 0 is block
    triangular and every lag ≥ 1 is full (arXiv:2204.12786, §3).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.RecurrentMachine((1,), "identity", memory=1, weight=np.full((2, 1, 1), 0.5))
    >>> m(np.array([[1.0], [0.0], [0.0]]))[:, 0]  # lag 0 is dead, lag 1 feeds back
    array([1.  , 0.5 , 0.25])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "tanh",
        *,
        memory: int,
        time_block: int = 1,
        reverse: Sequence[int] = (),
        weight: Array | None = None,
        bias: bool | Array = False,
        rng: Any = None,
        dtype: Any = None,
        backend: Any = None,
    ) -> None:
        memory = integer("memory", memory, 0)
        reverse = tuple(reverse) if isinstance(reverse, Iterable) else reverse
        backwards = isinstance(reverse, tuple) and 0 in reverse
        super().__init__(
            sizes, activation, padding=((0, memory) if backwards else (memory, 0),), scan=(0,), reverse=reverse,
            time_block=time_block, weight=weight, bias=bias, rng=rng, dtype=dtype, backend=backend,
        )  # fmt: skip
