"""Reading an op: which bi-affine maps and pieces describe it. A table by class, open to ops of your own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from ..arrays import integer, to_host
from ..graph import (
    Add,
    Affine,
    AvgPool,
    BatchNorm,
    Concatenate,
    Conv,
    ConvTranspose,
    Embed,
    LayerNorm,
    MaxPool,
    Norm,
    Pointwise,
    Reshape,
    Select,
    Softmax,
    Upsample,
)
from .activations import activation_piece
from .maps import IDENTITY, convolution, dense, gains, linear, pooling_norm, window_overlap
from .pieces import linear_piece, max_pooling, normalisation, norms, softmax
from .stages import Part, Reading, Shape, Stage, output_shape
from .structure import BiAffine, Piece

__all__ = ["read_op"]

Constants = Mapping[str, Piece] | None


@singledispatch
def read_op(op: Any, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    """Return the maps and pieces that describe an op.

    Parameters
    ----------
    op : op
        A built-in op that is no container, or one of a registered class.
    shapes : sequence of tuple of int
        The shape of a sample of each input.
    batch : int
        Samples; constants are those of the whole batch as one vector.
    constants : mapping of str to Piece, optional
        Of activations of your own, see `activation_piece`.

    Returns
    -------
    Reading

    Raises
    ------
    TypeError
        A class that is not in the table.
    ValueError, TypeError
        Inputs that the op does not take.

    Notes
    -----
    ===========================================  =============================================================
    op                                           read as
    ===========================================  =============================================================
    Affine, Conv, ConvTranspose                  one bi-affine map of the concatenated inputs, v = (weight, bias)
    Add; Concatenate                             the identity of each input; of all inputs together
    Pointwise, Softmax, AvgPool, MaxPool, Norm   a piece
    Upsample, Select, Embed, Reshape             a linear piece of norm √Π f, √(most often named), 1, 1
    BatchNorm, LayerNorm                         a piece, and the bi-affine map n ⊙ scale + bias, v = (scale, bias)
    BatchNorm with fixed statistics              a linear piece of norm max 1/d, and the same map
    ===========================================  =============================================================

    Weights are variables: only their shapes are read. The table is a `functools.singledispatch`; an op of your own
    joins by its class.

    Examples
    --------
    >>> import machinekit as mk
    >>> from machinekit.smoothness.ops import read_op
    >>> from machinekit.smoothness.stages import Part, Reading, Stage
    >>> from machinekit.smoothness.structure import BiAffine
    >>> read_op(mk.Affine(3, 2), [(3,)], 4).stages[0].parts[0].map.bias
    2.0
    >>> class Double:
    ...     def __call__(self, x):
    ...         return 2.0 * x
    >>> @read_op.register
    ... def _(op: Double, shapes, batch, constants=None):
    ...     return Reading((Stage((Part(BiAffine(linear=2.0)),)),), shapes[0])
    >>> read_op(Double(), [(3,)], 4).shape
    (3,)
    """
    raise TypeError(
        f"the constants of {op!r} are not known; register its class: @mk.smoothness.read_op.register(type(op)) on a "
        "function of (op, shapes, batch, constants) that returns an mk.smoothness.Reading"
    )


def _maps(op: Any, shapes: Sequence[Shape], of: BiAffine) -> Reading:
    """One map of all inputs, with the op's parameters."""
    part = Part(of, tuple(range(len(shapes))), tuple(op.parameters()))
    return Reading((Stage((part,)),), output_shape(op, shapes))


def _piece(op: Any, shapes: Sequence[Shape], piece: Piece) -> Reading:
    return Reading((Stage((Part(IDENTITY),), (piece,)),), output_shape(op, shapes))


@read_op.register
def _(op: Affine, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    rows = _count(batch, _sample(op, shapes)[:-1])
    return _maps(op, shapes, dense(rows, bias=op.bias is not None, name="Affine"))


@read_op.register(Conv)
@read_op.register(ConvTranspose)
def _(op: Any, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    sample, axes, geometry = _sample(op, shapes), op.geometry.axes, op.geometry
    grid = _grid(op, sample, axes)
    out = output_shape(op, shapes)[-1 - axes : -1]
    # the smaller of the two grids counts, whichever comes out
    each = zip(geometry.size, geometry.stride, geometry.dilation, out, strict=True)
    of = convolution(
        [window_overlap(*one) for one in each], grid, math.prod(out), _count(batch, sample[: -1 - axes]),
        bias=op.bias is not None, name=type(op).__name__,
    )  # fmt: skip
    return _maps(op, shapes, of)


@read_op.register
def _(op: AvgPool, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    grid = _grid(op, _sample(op, shapes), len(op.size))
    windows = op.geometry
    norm = pooling_norm(grid, windows.size, windows.stride, windows.padding, count_padding=op.count_padding)
    return _piece(op, shapes, linear_piece(norm, name="AvgPool"))


@read_op.register
def _(op: MaxPool, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    windows = op.geometry
    count = windows.count(_grid(op, _sample(op, shapes), windows.axes))
    each = zip(windows.size, windows.stride, count, strict=True)
    overlap = math.prod(window_overlap(k, s, 1, max(n, 0)) for k, s, n in each)
    return _piece(op, shapes, max_pooling(overlap, name="MaxPool"))


@read_op.register
def _(op: Upsample, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    # rows sum to one and columns to f along each axis: constants are stretched by √f, nothing by more
    _grid(op, _sample(op, shapes), len(op.factor))
    return _piece(op, shapes, linear_piece(math.sqrt(math.prod(op.factor)), name="Upsample"))


@read_op.register
def _(op: Pointwise, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    piece = activation_piece(op.activation, _count(batch, _sample(op, shapes)), constants=constants)
    return _piece(op, shapes, piece)


@read_op.register
def _(op: Softmax, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    sample = _sample(op, shapes)
    _check_axis(op, sample)
    others = (n for k, n in enumerate(sample) if k != len(sample) + op.axis)
    return _piece(op, shapes, softmax(sample[op.axis], _count(batch, others)))


@read_op.register
def _(op: BatchNorm, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    shape, rows = output_shape(op, shapes), _count(batch, _sample(op, shapes)[:-1])
    if op.mean is None:
        piece = normalisation(op.last[0], rows, op.epsilon, op.form, name="BatchNorm")
    else:
        mean, variance = np.abs(to_host(op.mean)), to_host(op.variance)
        divisor = np.sqrt(op.epsilon + variance) if op.form == "sqrt" else op.epsilon + np.sqrt(variance)
        value = math.sqrt(rows) * float(np.linalg.norm(mean / divisor))
        piece = linear_piece(float(np.max(1.0 / divisor, initial=0.0)), value, name="BatchNorm")
    return Reading(_normalised(op, piece, rows), shape)


@read_op.register
def _(op: LayerNorm, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    shape = output_shape(op, shapes)
    groups = _count(batch, shape[: len(shape) - len(op.last)])
    piece = normalisation(groups, math.prod(op.last), op.epsilon, op.form, name="LayerNorm")
    return Reading(_normalised(op, piece, groups), shape)


def _normalised(op: Any, piece: Piece, rows: int) -> tuple[Stage, ...]:
    first = Stage((Part(IDENTITY),), (piece,))
    if op.scale is None and op.bias is None:
        return (first,)
    of = gains(rows, scale=op.scale is not None, bias=op.bias is not None, name=type(op).__name__)
    return first, Stage((Part(of, (0,), tuple(op.parameters())),))


@read_op.register(Reshape)
@read_op.register(Embed)
def _(op: Any, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    return _piece(op, shapes, linear_piece(1.0, name=type(op).__name__))


@read_op.register
def _(op: Select, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    named = np.zeros(_sample(op, shapes)[-1:] or (1,))
    for span in op.spans:
        named[slice(*span)] += 1.0
    return _piece(op, shapes, linear_piece(math.sqrt(float(np.max(named, initial=0.0))), name="Select"))


@read_op.register
def _(op: Norm, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    return _piece(op, shapes, norms(name="Norm"))


@read_op.register
def _(op: Add, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    parts = tuple(Part(IDENTITY, (k,)) for k in range(len(shapes)))
    return Reading((Stage(parts),), output_shape(op, shapes))


@read_op.register
def _(op: Concatenate, shapes: Sequence[Shape], batch: int, constants: Constants = None) -> Reading:
    for shape in shapes:
        _check_axis(op, shape)
    return _maps(op, shapes, linear(1.0, name="Concatenate"))


def _sample(op: Any, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of a sample of the first input."""
    if not shapes:
        raise ValueError(f"shapes is empty; {op!r} reads at least one input")
    return tuple(shapes[0])


def _grid(op: Any, shape: Shape, axes: int) -> Shape:
    """Return the grid of a sample."""
    if len(shape) <= axes:
        raise ValueError(f"a sample has shape {shape}; {op!r} reads {axes} grid axes and a channel axis")
    return shape[-1 - axes : -1]


def _check_axis(op: Any, shape: Shape) -> None:
    if len(shape) < -op.axis:
        raise ValueError(f"a sample has shape {shape}, which has no axis {op.axis}; {op!r} would couple samples")


def _count(batch: int, shape: Iterable[int]) -> int:
    return integer("batch", batch, 0) * math.prod(shape)
