"""Conv and ConvTranspose: one linear map and its adjoint, with stride, dilation and groups."""

from __future__ import annotations

from typing import Any

from ..arrays import Array
from ..linear import strided
from ..machines.build import integer
from .convolution import Convolution
from .windows import check_windows, grid_of

__all__ = ["Conv", "ConvTranspose"]


class Conv(Convolution):
    """The convolution y[p] = Σ_j x[s p + d (k−1−j) − before] W[j] + b over the grid axes.

    Parameters
    ----------
    n_in, n_out : int
        Channels in and out.
    kernel_size : int or sequence of int
        Entries k of the kernel, per grid axis. Lengths of sequences, here and below, tell the number of
        grid axes; an integer serves all axes.
    stride, dilation : int or sequence of int
        Steps s from one output position to the next, and d from one kernel entry to the next.
    groups : int
        The channels are cut into so many equal runs; each run out reads its own run in.
    padding : int or sequence with an int or a pair (before, after) per grid axis
        Zeros around the grid. A pair alone is not one axis: write ``((2, 0),)``.
    bias : bool or array of shape (n_out,)
        True: zeros, trained. False: none. An array: a copy of that.
    weight : array of shape (*k, n_in / groups, n_out), optional
        Copied. By default drawn with `rng` in float64 on the host, N(0, 1/fan-in), fan-in = Π k · n_in / groups.
    axes : int, optional
        Number of grid axes where every argument is an integer; 2 by default.
    rng : numpy.random.Generator, int or None
    dtype, backend : optional
        As for the machines.

    Raises
    ------
    ValueError
        Wrong counts or shapes; `groups` that do not divide the channels; when called, a grid that is too
        short for one window.
    TypeError
        Lists, integers or objects for arrays; mixed libraries or precisions.

    Notes
    -----
    The grid of y has ⌊(n + before + after − d (k−1) − 1)/s⌋ + 1 positions per axis. With s = d = 1 this is
    the convolution of a `ConvMachine`: kernel index j is lag j − after. Other frameworks correlate: their
    kernel is this one reversed along the lag axes.

    Called with several arrays it reads their channel-wise concatenation and splits the cotangent again.
    Tangent ẏ = W ẋ + Ẇ x + ḃ; dual x̄[q] = Σ_{s p + d (k−1−j) − before = q} ȳ[p] W[j]ᵀ, the map of
    `ConvTranspose`; W̄[j] = Σ x[s p + d (k−1−j) − before]ᵀ ȳ[p], b̄ = Σ ȳ, sums over batch and positions. The
    derivative of the dual is the dual of ȳ˙ at (W, x) and that of ȳ at (Ẇ, ẋ). Π k · n_in · n_out / groups
    multiply-adds per output position for each product (arXiv:2204.12786, eqs. (10)–(14), here with stride and
    dilation).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.Conv(1, 1, (2,), stride=2, weight=np.array([10.0, 1.0]).reshape(2, 1, 1))
    >>> x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])[:, None]
    >>> op(x)[:, 0]  # 10 x[2p + 1] + x[2p]
    array([21., 43.])
    >>> op.pullback(op.solve(x), np.array([[1.0], [2.0]])).inputs[0][:, 0]
    array([ 1., 10.,  2., 20.,  0.])
    """

    def __init__(
        self, n_in: int, n_out: int, kernel_size: Any, *, stride: Any = 1, dilation: Any = 1, groups: int = 1,
        padding: Any = 0, bias: bool | Array = True, weight: Array | None = None, axes: int | None = None,
        rng: Any = None, dtype: Any = None, backend: Any = None,
    ) -> None:  # fmt: skip
        self.__dict__.update(n_in=integer("n_in", n_in, 0), n_out=integer("n_out", n_out, 0))
        given = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding": padding}
        arrays = {"bias": bias, "weight": weight, "rng": rng, "dtype": dtype, "backend": backend}
        self._build(self.n_in, self.n_out, {**given, "groups": groups, "axes": axes}, arrays)

    def _map(self, weight: Array, x: Array) -> Array:
        return strided.apply(self.geometry, weight, x)

    def _adjoint(self, weight: Array, y: Array, grid: tuple[int, ...]) -> Array:
        return strided.adjoint(self.geometry, weight, y, grid)

    def _outer(self, y: Array, x: Array) -> Array:
        return strided.weight_cotangent(self.geometry, x, y)

    def _both(self, weight: Array, y: Array, x: Array) -> tuple[Array, Array]:
        return strided.adjoint_and_weight(self.geometry, weight, x, y)

    def _check(self, x: Array) -> None:
        check_windows("Conv", x, self.geometry)


class ConvTranspose(Convolution):
    """The adjoint of a convolution: y[q] = Σ_{s p + d (k−1−j) − before = q} x[p] W[j]ᵀ + b.

    Parameters
    ----------
    n_in, n_out : int
        Channels in and out.
    kernel_size, stride, dilation, groups, padding, bias, axes, rng, dtype, backend
        As for `Conv`, of which this is the adjoint: padding is what that convolution pads.
    weight : array of shape (*k, n_out / groups, n_in), optional
        That of a ``Conv(n_out, n_in)``, so that ``ConvTranspose(n_in, n_out, k, weight=conv.weight)`` undoes
        the shapes of that `conv`. By default drawn with N(0, 1/fan-in), fan-in = Π k · n_in / (groups · Π s),
        at least 1: an output position is reached by every s-th kernel entry.
    extra : int or sequence of int
        Which of the grids that the convolution maps to the grid of x: `extra` positions longer than the
        shortest. Less than the stride on each axis.

    Raises
    ------
    ValueError, TypeError
        As for `Conv`; an `extra` not below the stride; when called, an empty grid, or one so short that
        nothing is left inside the padding.

    Notes
    -----
    The grid of y has s (m − 1) + d (k−1) + 1 + extra − before − after positions per axis, for m of x.
    Tangent ẏ = Wᵀ ẋ + Ẇᵀ x + ḃ; dual x̄ = W ȳ, the map of `Conv`; W̄[j] = Σ ȳ[s p + d (k−1−j) − before]ᵀ x[p],
    b̄ = Σ ȳ. Forward and dual are those of `Conv` swapped, the same two functions; cost and second derivatives
    as there, per position of x.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> conv = mk.Conv(1, 1, (2,), stride=2, bias=False, weight=np.array([10.0, 1.0]).reshape(2, 1, 1))
    >>> back = mk.ConvTranspose(1, 1, (2,), stride=2, extra=1, bias=False, weight=conv.weight)
    >>> back(np.array([[1.0], [2.0]]))[:, 0]
    array([ 1., 10.,  2., 20.,  0.])
    """

    extra: tuple[int, ...]

    def __init__(
        self, n_in: int, n_out: int, kernel_size: Any, *, stride: Any = 1, dilation: Any = 1, groups: int = 1,
        padding: Any = 0, extra: Any = 0, bias: bool | Array = True, weight: Array | None = None,
        axes: int | None = None, rng: Any = None, dtype: Any = None, backend: Any = None,
    ) -> None:  # fmt: skip
        self.__dict__.update(n_in=integer("n_in", n_in, 0), n_out=integer("n_out", n_out, 0))
        given = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding": padding}
        arrays = {"bias": bias, "weight": weight, "rng": rng, "dtype": dtype, "backend": backend}
        self._build(self.n_out, self.n_in, {**given, "groups": groups, "axes": axes}, arrays, extra=extra)

    def _map(self, weight: Array, x: Array) -> Array:
        return strided.adjoint(self.geometry, weight, x, self.geometry.reached(x.shape[1:-1], self.extra))

    def _adjoint(self, weight: Array, y: Array, grid: tuple[int, ...]) -> Array:
        return strided.apply(self.geometry, weight, y)

    def _outer(self, y: Array, x: Array) -> Array:
        return strided.weight_cotangent(self.geometry, y, x)

    def _both(self, weight: Array, y: Array, x: Array) -> tuple[Array, Array]:
        return strided.apply_and_weight(self.geometry, weight, y, x)

    def _check(self, x: Array) -> None:
        grid = grid_of("ConvTranspose", x, self.geometry.axes)
        reached = self.geometry.reached(grid, self.extra)
        if min(grid) < 1 or min(reached) < 1:
            raise ValueError(
                f"the grid {grid} of inputs[0] gives the grid {reached}; pass at least one position per axis, "
                f"or pad less than {self.geometry.padding}"
            )
