"""Kernels of PyTorch's layers as kernels of machines and ops, and back.

========  ==============================  ==================================================
          PyTorch                         here
========  ==============================  ==================================================
dense     (out, in), y = x Wᵀ + b         (in, out), y = x W + b
conv      (out, in / groups, *k), a       (*k, in / groups, out), a convolution: the kernel
          correlation                     index j is PyTorch's k − 1 − j
images    (batch, channel, *grid)         (*batch, *grid, channel)
========  ==============================  ==================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Affine, Conv
from .library import torch

__all__ = ["from_conv1d", "from_conv2d", "from_kernel", "from_linear", "host", "to_conv1d", "to_conv2d", "to_kernel",
           "to_linear"]  # fmt: skip


def from_kernel(kernel: Any) -> np.ndarray:
    """Return the kernel of a convolution layer as a weight (*lag, in, out), reversed along the lag axes.

    A layer with this kernel and `before` zeros in front reads at lag ℓ what a machine with padding (before, after)
    reads with the weight's index ℓ + after. So it can be written between two blocks of a `ConvMachine`.

    Parameters
    ----------
    kernel : Tensor of shape (out, in, *k)
        On the CPU.

    Raises
    ------
    TypeError
        No floating tensor on the CPU.
    ValueError
        Fewer than two axes.

    Examples
    --------
    >>> import torch
    >>> from machinekit.interop.torch import from_kernel
    >>> from_kernel(torch.tensor([[[1.0, 10.0, 100.0]]]))[:, 0, 0]
    array([100.,  10.,   1.], dtype=float32)
    """
    array = host("kernel", kernel)
    if array.ndim < 2:
        raise ValueError(f"kernel has shape {array.shape}; pass one of shape (out, in, *k)")
    lags = tuple(range(array.ndim - 2))
    # (out, in, *k) -> (*k, in, out)
    moved = np.moveaxis(array, (0, 1), (-1, -2))
    return np.ascontiguousarray(np.flip(moved, lags))


def to_kernel(weight: Any) -> Any:
    """Return a weight (*lag, in, out) as the kernel (out, in, *k) of a convolution layer: `from_kernel` undone.

    Parameters
    ----------
    weight : array of shape (*lag, in, out)
        On the host.

    Raises
    ------
    TypeError
        An array of another library.
    ValueError
        Fewer than two axes.
    """
    array = _on_host("weight", weight)
    if array.ndim < 2:
        raise ValueError(f"weight has shape {array.shape}; pass one of shape (*lag, in, out)")
    flipped = np.flip(array, tuple(range(array.ndim - 2)))
    return torch.from_numpy(np.array(np.moveaxis(flipped, (-1, -2), (0, 1)), order="C"))


def from_linear(layer: Any) -> Affine:
    """Return a `torch.nn.Linear` as an `mk.Affine` of the same weight, transposed, and bias.

    Raises
    ------
    TypeError
        Another layer; parameters that are not on the CPU.

    Examples
    --------
    >>> import torch
    >>> from machinekit.interop.torch import from_linear
    >>> from_linear(torch.nn.Linear(3, 2))
    Affine(3, 2, float32 on numpy)
    """
    _check_layer(layer, torch.nn.Linear)
    weight = host("weight", layer.weight)
    bias = False if layer.bias is None else host("bias", layer.bias)
    return Affine(layer.in_features, layer.out_features, weight=weight.T, bias=bias)


def to_linear(op: Any) -> Any:
    """Return an `mk.Affine` as a `torch.nn.Linear`.

    Raises
    ------
    TypeError
        Another op; arrays that are not NumPy's.
    """
    if not isinstance(op, Affine):
        raise TypeError(f"op is a {type(op).__name__}; pass an mk.Affine")
    weight = _on_host("weight", op.weight)
    kind = torch.from_numpy(np.empty(0, weight.dtype)).dtype
    layer = torch.nn.utils.skip_init(torch.nn.Linear, *weight.shape, bias=op.bias is not None, dtype=kind)
    return _filled(layer, torch.from_numpy(np.array(weight.T, order="C")), op.bias)


def from_conv1d(layer: Any) -> Conv:
    """Return a `torch.nn.Conv1d` as an `mk.Conv` of one grid axis.

    It reads (*batch, time, channel), where the layer reads (batch, channel, time). Stride, dilation, groups and
    padding are the layer's; ``padding="same"`` pads the odd position behind, as there. The kernel is reversed along
    the lag axis.

    Raises
    ------
    TypeError
        Another layer; parameters that are not on the CPU.
    ValueError
        A ``padding_mode`` other than zeros.

    Examples
    --------
    >>> import torch
    >>> from machinekit.interop.torch import from_conv1d
    >>> from_conv1d(torch.nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2))
    Conv(2, 4, (3,), stride=(2,), groups=2, padding=((1, 1),), float32 on numpy)
    """
    return _from_conv(layer, torch.nn.Conv1d)


def from_conv2d(layer: Any) -> Conv:
    """Return a `torch.nn.Conv2d` as an `mk.Conv` of two grid axes; see `from_conv1d`.

    It reads (*batch, height, width, channel), where the layer reads (batch, channel, height, width).
    """
    return _from_conv(layer, torch.nn.Conv2d)


def _from_conv(layer: Any, kind: Any) -> Conv:
    _check_layer(layer, kind)
    if layer.padding_mode != "zeros":
        raise ValueError(
            f"padding_mode is {layer.padding_mode!r} but an mk.Conv pads with zeros; pad before the layer, with "
            "torch.nn.functional.pad, and leave its padding out"
        )
    size, dilation, padding = layer.kernel_size, layer.dilation, layer.padding
    if padding == "same":
        whole = [d * (k - 1) for k, d in zip(size, dilation, strict=True)]
        padding = [(n // 2, n - n // 2) for n in whole]
    elif padding == "valid":
        padding = [(0, 0) for _ in size]
    else:
        padding = [(n, n) for n in padding]
    return Conv(
        layer.in_channels, layer.out_channels, size, stride=layer.stride, dilation=dilation, groups=layer.groups,
        padding=padding, weight=from_kernel(layer.weight),
        bias=False if layer.bias is None else host("bias", layer.bias),
    )  # fmt: skip


def to_conv1d(op: Any) -> Any:
    """Return an `mk.Conv` of one grid axis as a `torch.nn.Conv1d`; `from_conv1d` undone.

    Raises
    ------
    TypeError
        Another op; arrays that are not NumPy's.
    ValueError
        Another number of grid axes; a padding that the layer has not: it pads both sides alike, or, without
        stride, behind more than before by one at most.
    """
    return _to_conv(op, torch.nn.Conv1d, 1)


def to_conv2d(op: Any) -> Any:
    """Return an `mk.Conv` of two grid axes as a `torch.nn.Conv2d`; see `to_conv1d`."""
    return _to_conv(op, torch.nn.Conv2d, 2)


def _to_conv(op: Any, kind: Any, axes: int) -> Any:
    if not isinstance(op, Conv):
        raise TypeError(f"op is a {type(op).__name__}; pass an mk.Conv")
    if len(op.kernel_size) != axes:
        raise ValueError(f"op has {len(op.kernel_size)} grid axes but a {kind.__name__} has {axes}; pass such a Conv")
    form = op.geometry
    same = [(n // 2, n - n // 2) for n in (d * (k - 1) for k, d in zip(form.size, form.dilation, strict=True))]
    pairs: Any = [tuple(pair) for pair in form.padding]
    if all(before == after for before, after in pairs):
        padding: Any = tuple(before for before, _ in pairs)
    elif pairs == same and set(form.stride) == {1}:
        padding = "same"
    else:
        raise ValueError(
            f"padding is {form.padding} but a {kind.__name__} pads both sides alike; make the Conv without padding and "
            "pad before the layer, with torch.nn.functional.pad"
        )
    kernel = to_kernel(op.weight)
    layer = torch.nn.utils.skip_init(
        kind, op.n_in, op.n_out, form.size, stride=form.stride, padding=padding, dilation=form.dilation,
        groups=form.groups, bias=op.bias is not None, dtype=kernel.dtype,
    )  # fmt: skip
    return _filled(layer, kernel, op.bias)


def host(name: str, tensor: Any) -> np.ndarray:
    """Return a copy of a floating tensor on the CPU as an array."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} is a {type(tensor).__name__}; pass a tensor")
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is on {tensor.device} but is to become an array of NumPy; pass layer.to('cpu')")
    if tensor.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        raise TypeError(f"{name} is {tensor.dtype}; cast the layer first, with layer.float() or layer.double()")
    return np.array(tensor.detach().resolve_conj().numpy())


def _on_host(name: str, array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is a {type(array).__name__}, no array of NumPy; bring it to the host with to('numpy')")
    return array


def _check_layer(layer: Any, kind: Any) -> None:
    if not isinstance(layer, kind):
        raise TypeError(f"layer is a {type(layer).__name__}; pass a torch.nn.{kind.__name__}")


def _filled(layer: Any, weight: Any, bias: Any) -> Any:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(np.array(_on_host("bias", bias))))
    return layer
