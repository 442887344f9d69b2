"""Slopes σ′(y) in place, with as few array passes as each σ allows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..activations import Activation, Blockwise, Diagonal, SlopeAt
from ..arrays import Array
from ..gpu import pointwise
from .layout import Layout
from .pointwise import TANH
from .workspace import Workspace

__all__ = ["slope_filler", "slopes_into"]


def slope_filler(layout: Layout, sigma: Diagonal) -> Callable[[Workspace, tuple], None]:
    """Return the function that fills the slope buffers of a workspace for a cut of the samples.

    The slope of a state is computed there, tile by tile; an array that was given is copied.
    """
    if not isinstance(sigma, SlopeAt) or sigma.y.shape[:-1] != layout.lead:
        whole = layout.full(sigma.array)
        return lambda workspace, cut: workspace.put(workspace.more("slope"), whole[cut])
    curve, y = sigma.of, layout.native(sigma.y)
    value = None if sigma.value_at is None else layout.native(sigma.value_at)
    write = slopes_into if layout.xp is np else partial(_slopes_on_device, layout.xp)

    def fill(workspace: Workspace, cut: tuple) -> None:
        for sheet, buffer in zip(workspace.sheets, workspace.more("slope"), strict=True):
            given = None if value is None else sheet.of(value[cut])
            write(curve, sheet.of(y[cut]), given, buffer, sheet.channel)

    return fill


def slopes_into(sigma: Blockwise, y: np.ndarray, value: np.ndarray | None, out: np.ndarray, axis: int) -> None:
    """Write σ′(y) into `out`, from the stored values σ(y) where that is stable and cheaper.

    Parameters
    ----------
    y, out : arrays of one shape
        The channels along `axis`.
    value : array of that shape, or None
        σ(y), where nothing was added to it.
    """
    if sigma.single is not None:
        _slope_into(sigma.single, y, value, out)
        return
    _in_blocks(_slope_into, sigma, y, value, out, axis)


def _slopes_on_device(xp: Any, sigma: Blockwise, y: Array, value: Array | None, out: Array, axis: int) -> None:
    """Do the same on CuPy, in one launch if there is one activation, else in one for each block."""
    if sigma.single is not None:
        pointwise.slope_into(xp, sigma.single, y, value, out)
        return
    _in_blocks(partial(pointwise.slope_into, xp), sigma, y, value, out, axis)


def _in_blocks(
    write: Callable[..., None], sigma: Blockwise, y: Array, value: Array | None, out: Array, axis: int
) -> None:
    before = (slice(None),) * axis
    for activation, block in zip(sigma.activations, sigma.blocks, strict=True):
        if block.stop > block.start:
            part = (*before, block)
            write(activation, y[part], None if value is None else value[part], out[part])


def _slope_into(activation: Activation, y: np.ndarray, value: np.ndarray | None, out: np.ndarray) -> None:
    if value is None or activation.slope_of_value is None:
        out[...] = activation.derivative(y)
    elif activation.value is TANH:
        np.multiply(value, value, out)
        np.subtract(1.0, out, out)
    else:
        out[...] = activation.slope_of_value(value)
