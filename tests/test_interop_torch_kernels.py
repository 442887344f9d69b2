"""Kernels of PyTorch's layers here, and back: the same outputs, to 1e-12 in double precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import machinekit as mk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from machinekit.interop.torch import (  # noqa: E402
    from_conv1d,
    from_conv2d,
    from_kernel,
    from_linear,
    from_rnn,
    to_conv1d,
    to_conv2d,
    to_kernel,
    to_linear,
    to_module,
    to_rnn,
)

from .helpers import PARITY, assert_close  # noqa: E402
from .kinds import draw  # noqa: E402


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def same(got, want):
    """Compare an array of channels last with a tensor, or two tensors."""
    got, want = (a.detach().numpy() if isinstance(a, torch.Tensor) else a for a in (got, want))
    assert want.size
    assert_close("output", got, want, PARITY * (1.0 + np.abs(want)))


def equal_layers(a, b):
    assert repr(a) == repr(b)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.data_ptr() != q.data_ptr()


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    layer = torch.nn.Linear(3, 2, bias=bias).double()
    op = from_linear(layer)
    same(op(draw(4, 5, 3)), layer(torch.tensor(draw(4, 5, 3))))
    equal_layers(to_linear(op), layer)


def options():
    for stride, dilation, groups, padding, bias in itertools.product(
        (1, 2), (1, 2), (1, 2), (0, 2, "same", "valid"), (True, False)
    ):
        if padding != "same" or stride == 1:
            yield {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding, "bias": bias}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("given", list(options()), ids=str)
def test_conv1d(size, given):
    """Even kernels too: "same" pads the odd position behind."""
    layer = torch.nn.Conv1d(4, 6, size, **given).double()
    op = from_conv1d(layer)
    x = torch.tensor(draw(2, 4, 9))
    same(op(np.moveaxis(x.numpy(), 1, -1)), layer(x).movedim(1, -1))
    back = to_conv1d(op)
    same(back(x), layer(x))
    equal_layers(to_conv1d(from_conv1d(back)), back)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("padding", [(2, 0), "same"])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d(padding, groups):
    stride = 1 if padding == "same" else (1, 2)
    layer = torch.nn.Conv2d(2, 4, (2, 3), stride, padding, (2, 1), groups).double()
    op = from_conv2d(layer)
    x = torch.tensor(draw(3, 2, 6, 5))
    same(op(np.moveaxis(x.numpy(), 1, -1)), layer(x).movedim(1, -1))
    same(to_conv2d(op)(x), layer(x))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_convolution_layers_as_blocks_of_one_machine():
    """σ(conv2(σ(conv1(x)))) is the last block of a machine whose weight holds both kernels, reversed."""
    first = torch.nn.Conv1d(2, 3, 4, padding="same").double()
    second = torch.nn.Conv1d(3, 2, 4, padding="same").double()
    sizes, weight = (2, 3, 2), np.zeros((4, 7, 7))
    weight[:, 0:2, 2:5] = from_kernel(first.weight)
    weight[:, 2:5, 5:7] = from_kernel(second.weight)
    bias = np.concatenate([np.zeros(2), first.bias.detach().numpy(), second.bias.detach().numpy()])
    machine = mk.ConvMachine(sizes, ["identity", "tanh", "tanh"], padding=((1, 2),), weight=weight, bias=bias)
    x = torch.tensor(draw(3, 2, 8))
    z = machine(np.moveaxis(x.numpy(), 1, -1))
    same(z[..., 5:], torch.tanh(second(torch.tanh(first(x)))).movedim(1, -1))
    assert torch.equal(to_kernel(machine.weight[:, 2:5, 5:7]), second.weight)


def test_convolution_layers_of_two_axes_as_blocks_of_one_machine():
    layer = torch.nn.Conv2d(2, 3, (3, 5), padding=(1, 2), bias=False).double()
    weight = np.zeros((3, 5, 5, 5))
    weight[..., 0:2, 2:5] = from_kernel(layer.weight)
    machine = mk.ConvMachine((2, 3), ["identity", "tanh"], padding=((1, 1), (2, 2)), weight=weight)
    x = torch.tensor(draw(2, 2, 4, 6))
    same(machine(np.moveaxis(x.numpy(), 1, -1))[..., 2:], torch.tanh(layer(x)).movedim(1, -1))
    assert torch.equal(to_kernel(weight[..., 0:2, 2:5]), layer.weight)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_rnn(nonlinearity, layers, bias):
    layer = torch.nn.RNN(3, 4, layers, nonlinearity, bias, batch_first=True).double()
    chain = from_rnn(layer)
    x = torch.tensor(draw(2, 6, 3))
    same(chain(x.numpy()), layer(x)[0])
    equal_layers(to_rnn(chain), layer)
    late = to_rnn(chain, batch_first=False)
    same(late(x.movedim(1, 0))[0].movedim(0, 1), layer(x)[0])


def test_the_gradients_of_an_rnn():
    """Those of PyTorch's own layer, through the module of the chain."""
    layer = torch.nn.RNN(3, 4, 2, batch_first=True).double()
    module, x = to_module(from_rnn(layer)), torch.tensor(draw(2, 6, 3), requires_grad=True)
    slopes = [torch.autograd.grad((f(x)[0] if f is layer else f(x)).sin().sum(), x)[0] for f in (layer, module)]
    same(*slopes)
    module(x).sin().sum().backward()
    layer(x)[0].sin().sum().backward()
    same(module.get_parameter("1.weight").grad[1].T, layer.weight_hh_l0.grad)
    same(module.get_parameter("2.weight").grad.T, layer.weight_ih_l1.grad)


def test_the_initial_state_of_an_rnn():
    layer = torch.nn.RNN(3, 4, batch_first=True).double()
    affine, machine = from_rnn(layer).ops
    x, h0 = draw(2, 6, 3), draw(2, 4, seed=1)
    y0 = affine(x)
    y0[:, 0] += h0 @ machine.weight[1]
    same(machine(y0), layer(torch.tensor(x), torch.tensor(h0)[None])[0])


def test_a_recurrent_machine_as_an_rnn():
    machine = mk.RecurrentMachine((3,), "relu", memory=1, bias=draw(3), rng=0)
    x = draw(2, 5, 3)
    same(machine(x), to_rnn(machine)(torch.tensor(x))[0])


REFUSED = {
    "from_linear, another layer": (lambda: from_linear(torch.nn.ReLU()), TypeError, "layer is a ReLU.*Linear"),
    "from_linear, meta": (lambda: from_linear(torch.nn.Linear(1, 1, device="meta")), TypeError, "is on meta.*cpu"),
    "from_linear, half": (lambda: from_linear(torch.nn.Linear(1, 1).half()), TypeError, "float16.*layer.float"),
    "from_kernel, array": (lambda: from_kernel(np.zeros((1, 1))), TypeError, "kernel is a ndarray; pass a tensor"),
    "from_kernel, vector": (lambda: from_kernel(torch.zeros(3)), ValueError, r"shape \(3,\).*\(out, in"),
    "to_kernel, vector": (lambda: to_kernel(np.zeros(3)), ValueError, r"shape \(3,\).*in, out"),
    "to_kernel, tensor": (lambda: to_kernel(torch.zeros(1, 1)), TypeError, "weight is a Tensor.*NumPy"),
    "from_conv1d, 2d": (lambda: from_conv1d(torch.nn.Conv2d(1, 1, 1)), TypeError, "Conv2d; pass a torch.nn.Conv1d"),
    "from_conv1d, circular": (
        lambda: from_conv1d(torch.nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")),
        ValueError,
        "'circular'.*zeros.*functional.pad",
    ),
    "to_linear, conv": (lambda: to_linear(mk.Conv(1, 1, (1,))), TypeError, "op is a Conv; pass an mk.Affine"),
    "to_conv1d, affine": (lambda: to_conv1d(mk.Affine(1, 1)), TypeError, "op is a Affine; pass an mk.Conv"),
    "to_conv1d, 2 axes": (lambda: to_conv1d(mk.Conv(1, 1, (1, 1))), ValueError, "2 grid axes but a Conv1d has 1"),
    "to_conv1d, padding": (
        lambda: to_conv1d(mk.Conv(1, 1, (3,), padding=((2, 0),))),
        ValueError,
        r"padding is \(\(2, 0\),\).*both sides alike",
    ),
    "from_rnn, LSTM": (lambda: from_rnn(torch.nn.LSTM(1, 1)), TypeError, "layer is a LSTM; pass a torch.nn.RNN"),
    "from_rnn, two ways": (lambda: from_rnn(torch.nn.RNN(1, 1, bidirectional=True)), ValueError, "bidirectional"),
    "from_rnn, dropout": (lambda: from_rnn(torch.nn.RNN(1, 1, 2, dropout=0.5)), ValueError, "dropout is 0.5.*= 0.0"),
    "to_rnn, dense": (lambda: to_rnn(mk.DenseMachine((1, 1))), TypeError, "pass an mk.RecurrentMachine"),
    "to_rnn, blocks": (lambda: to_rnn(mk.RecurrentMachine((1, 1), memory=1)), ValueError, "no layer of an RNN"),
    "to_rnn, memory": (lambda: to_rnn(mk.RecurrentMachine((2,), memory=2)), ValueError, "no layer of an RNN"),
    "to_rnn, reversed": (
        lambda: to_rnn(mk.RecurrentMachine((2,), memory=1, reverse=(0,))),
        ValueError,
        "no layer of an RNN",
    ),
    "to_rnn, gelu": (lambda: to_rnn(mk.RecurrentMachine((2,), "gelu", memory=1)), ValueError, "gelu.*tanh or relu"),
    "to_rnn, two sizes": (
        lambda: to_rnn(
            mk.Chain([
                mk.Affine(1, 2), mk.RecurrentMachine((2,), memory=1),
                mk.Affine(2, 3), mk.RecurrentMachine((3,), memory=1),
            ])
        ),
        ValueError,
        r"\[2, 3\] channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_counterpart_is_refused(case):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()
