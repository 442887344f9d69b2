"""nn.RNN as recurrent machines, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...activations import Activation
from ...graph import Affine, Chain
from ...machines import RecurrentMachine
from .kernels import host
from .library import torch

__all__ = ["from_rnn", "to_rnn"]


def from_rnn(layer: Any) -> Chain:
    """Return a `torch.nn.RNN` as a chain, for each layer an `mk.Affine` and an `mk.RecurrentMachine` of memory 1.

    Parameters
    ----------
    layer : torch.nn.RNN
        With tanh or relu, one direction, any number of layers.

    Returns
    -------
    Chain
        From (*batch, time, input) to (*batch, time, hidden), whatever ``batch_first`` is.

    Raises
    ------
    TypeError
        Another layer; parameters that are not on the CPU.
    ValueError
        Two directions; dropout.

    Notes
    -----
    h_t = σ(W_hh h_{t−1} + b_hh + W_ih x_t + b_ih) is a machine of one block: y = W z + b + y0, z = σ(y), where W has
    W_hhᵀ at lag 1 and nothing at lag 0, b = b_hh, and y0 = x W_ihᵀ + b_ih is the affine map before it. An initial
    state h_0 is an addition of h_0 W_hhᵀ to y0 at the first time.

    Examples
    --------
    >>> import torch
    >>> from machinekit.interop.torch import from_rnn
    >>> from_rnn(torch.nn.RNN(2, 3)).ops[0]
    Affine(2, 3, float32 on numpy)
    """
    if not isinstance(layer, torch.nn.RNN):
        raise TypeError(f"layer is a {type(layer).__name__}; pass a torch.nn.RNN, with tanh or relu")
    if layer.bidirectional:
        raise ValueError("bidirectional is True but a chain runs one way; bring each direction over by itself")
    if layer.dropout:
        raise ValueError(f"dropout is {layer.dropout} but machines have none; set layer.dropout = 0.0 first")
    ops: list[Any] = []
    for k in range(layer.num_layers):
        reads, feeds = (host(name, getattr(layer, name)).T for name in (f"weight_ih_l{k}", f"weight_hh_l{k}"))
        b_ih, b_hh = (
            host(name, getattr(layer, name)) if layer.bias else False for name in (f"bias_ih_l{k}", f"bias_hh_l{k}")
        )
        weight = np.stack([np.zeros_like(feeds), feeds])
        ops.append(Affine(*reads.shape, weight=reads, bias=b_ih))
        ops.append(RecurrentMachine((len(feeds),), layer.nonlinearity, memory=1, weight=weight, bias=b_hh))
    return Chain(ops)


def to_rnn(model: Any, *, batch_first: bool = True) -> Any:
    """Return recurrent machines of one block and memory 1 as a `torch.nn.RNN`.

    Parameters
    ----------
    model : RecurrentMachine or Chain
        A machine, which reads its y0: W_ih is the identity. Or a chain as `from_rnn` makes them, with an `mk.Affine`
        before each machine.
    batch_first : bool
        Where the layer expects the time.

    Raises
    ------
    TypeError
        Another model; arrays that are not NumPy's.
    ValueError
        A machine that is no layer of an `RNN`: several blocks, another memory or activation, reversed; layers of
        several sizes or activations, or only some of them with a bias.

    Examples
    --------
    >>> import torch, machinekit as mk
    >>> from machinekit.interop.torch import to_rnn
    >>> to_rnn(mk.RecurrentMachine((3,), "tanh", memory=1, rng=0))
    RNN(3, 3, bias=False, batch_first=True)
    """
    pairs = _pairs(model)
    hidden, names = {m.sizes[0] for _, m in pairs}, {_activation(m) for _, m in pairs}
    biased = {op.bias is not None or m.bias is not None for op, m in pairs}
    inner = {op.weight.shape[0] for op, _ in pairs[1:]} - hidden
    if len(hidden) != 1 or inner or len(names) != 1 or len(biased) != 1:
        raise ValueError(
            f"the layers have {sorted(hidden | inner)} channels, the activations {', '.join(sorted(names))}, and "
            f"biases: {sorted(biased)}; an RNN has one of each"
        )
    (size,), (name,), (bias,) = hidden, names, biased
    first = pairs[0][0].weight
    if not all(isinstance(a, np.ndarray) for op, m in pairs for a in (op.weight, m.weight)):
        raise TypeError(f"weight is a {type(first).__name__}, no array of NumPy; bring it over with model.to('numpy')")
    layer = torch.nn.RNN(
        first.shape[0], size, num_layers=len(pairs), nonlinearity=name, bias=bias,
        batch_first=batch_first, dtype=torch.from_numpy(np.empty(0, first.dtype)).dtype, device="meta",
    ).to_empty(device="cpu")  # fmt: skip
    with torch.no_grad():
        for k, (op, m) in enumerate(pairs):
            given = {f"weight_ih_l{k}": op.weight.T, f"weight_hh_l{k}": m.weight[1].T}
            if bias:
                given |= {f"bias_ih_l{k}": op.bias, f"bias_hh_l{k}": m.bias}
            for key, array in given.items():
                parameter = getattr(layer, key)
                parameter.copy_(torch.zeros_like(parameter) if array is None else torch.from_numpy(np.array(array)))
    return layer


def _pairs(model: Any) -> list[tuple[Affine, RecurrentMachine]]:
    """Return the affine map and the machine of each layer."""
    if isinstance(model, RecurrentMachine):
        size = model.partition.channels
        _check_machine(model)
        return [(Affine(size, size, weight=np.eye(size, dtype=model.dtype), bias=False), model)]
    ops = model.ops if isinstance(model, Chain) else ()
    affine, machines = ops[::2], ops[1::2]
    if (
        not ops
        or len(affine) != len(machines)
        or not all(isinstance(op, Affine) for op in affine)
        or not all(isinstance(m, RecurrentMachine) for m in machines)
    ):
        raise TypeError(
            f"model is {model!r}; pass an mk.RecurrentMachine, or a chain with an mk.Affine before each of them"
        )
    for m in machines:
        _check_machine(m)
    return list(zip(affine, machines, strict=True))


def _check_machine(machine: RecurrentMachine) -> None:
    found = (len(machine.sizes), machine.partition.padding)
    if found != (1, ((1, 0),)) or machine.partition.reverse or tuple(machine.partition.time_block) not in ((), (1,)):
        raise ValueError(
            f"{machine!r} is no layer of an RNN, which has one block, memory 1 and time block 1 and runs forwards"
        )


def _activation(machine: RecurrentMachine) -> str:
    activation = machine.activation
    name = activation.name if isinstance(activation, Activation) else type(activation).__name__
    if name not in ("tanh", "relu"):
        raise ValueError(f"the activation is {name} but an RNN has tanh or relu; use one of these")
    return name
