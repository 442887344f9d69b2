"""Network: the machine with a linear head that an estimator trains."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...graph import Affine, Chain, Reshape
from ...graph.op import live_masks, parameters
from ...machines import ConvMachine, DenseMachine
from .options import Options

__all__ = ["build_network", "check_same_network"]


def build_network(options: Options, features: int, outputs: int, dtype: Any, rng: np.random.Generator) -> Chain:
    """Return the network of the options, with weights drawn from `rng`.

    Parameters
    ----------
    options : Options
    features, outputs : int
    dtype : dtype
        float32 or float64.
    rng : numpy.random.Generator

    Returns
    -------
    Chain
        From arrays of shape (samples, features) to arrays of shape (samples, outputs).

    Raises
    ------
    ValueError, TypeError
        An activation that there is not, or a sequence of them of another length than `hidden`.

    Notes
    -----
    Block 0 is the input, with the identity; every hidden block reads all blocks before it, and the head reads all
    blocks, the input too:

        z_0 = x + b_0 ,   z_k = σ(Σ_{j<k} z_j W_jk + b_k) ,   p = (z_0, …, z_n) A + a

    with convolutions for the products where the input has a shape (arXiv:2204.12786, §3).
    """
    activation = _activations(options)
    common = {"bias": True, "rng": rng, "dtype": dtype}
    if options.shape is None:
        sizes = (features, *options.hidden)
        return Chain([DenseMachine(sizes, activation, **common), Affine(sum(sizes), outputs, rng=rng, dtype=dtype)])
    grid, sizes = options.shape.grid, (options.shape.channels, *options.hidden)
    last = (*grid, sum(sizes))
    machine = ConvMachine(sizes, activation, padding=options.shape.padding, **common)
    return Chain(
        [
            Reshape(features, (*grid, sizes[0])),
            machine,
            Reshape(last, math.prod(last)),
            Affine(math.prod(last), outputs, rng=rng, dtype=dtype),
        ]
    )


def _activations(options: Options) -> list[Any]:
    given = options.activation
    if not isinstance(given, list | tuple):
        return ["identity", *[given] * len(options.hidden)]
    if len(given) != len(options.hidden):
        raise ValueError(
            f"activation has {len(given)} entries but hidden {len(options.hidden)}; give one for each, or one for all"
        )
    return ["identity", *given]


def check_same_network(before: Any, fresh: Any) -> None:
    """Raise ValueError unless two networks have parameters of the same shapes, live in the same places."""
    old, new = ({name: tuple(a.shape) for name, a in parameters(m).items()} for m in (before, fresh))
    masks = [live_masks(m) for m in (before, fresh)]
    alike = old == new and all(np.array_equal(mask, masks[1][name]) for name, mask in masks[0].items())
    if not alike:
        raise ValueError(
            f"warm_start goes on with the last network, whose parameters are {old}, but hidden, input_shape, "
            f"kernel_size and y now ask for {new}; set warm_start=False, or these as they were"
        )
