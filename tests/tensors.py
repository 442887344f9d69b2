"""Tensors and a machine for the tests of the bridge to PyTorch."""

from __future__ import annotations

import machinekit as mk

from .kinds import draw


def tensor(*shape, seed=0):
    """Return a tensor in double precision that wants a gradient."""
    import torch

    return torch.tensor(draw(*shape, seed=seed), requires_grad=True)


def machine():
    """Return a dense machine of three blocks, with a bias."""
    return mk.DenseMachine((2, 2, 1), "tanh", bias=draw(5), rng=0)
