"""What a module refuses: our words, both values and the remedy, before any work."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from machinekit.interop.torch import to_module  # noqa: E402

from .kinds import draw, two_ways  # noqa: E402


def dense(activation="tanh", dtype="float64"):
    return to_module(mk.DenseMachine((2, 2), activation, rng=0, dtype=dtype))


def double(*shape):
    return torch.tensor(draw(*shape), requires_grad=True)


REFUSED = {
    "another device": (
        lambda: dense()(torch.zeros(3, 2, device="meta")),
        TypeError,
        r"y0 is on meta but machines compute on cpu, with NumPy, and on cuda, with CuPy; pass y0.to\('cpu'\)",
    ),
    "another device, z0": (lambda: dense()(double(3, 2), torch.zeros(3, 2, device="meta")), TypeError, "z0 is on meta"),
    "another device, no parameters": (
        lambda: to_module(mk.Softmax())(torch.zeros(3, 2, device="meta")),
        TypeError,
        r"inputs\[0\] is on meta",
    ),
    "double for single": (
        lambda: dense(dtype="float32")(double(3, 2)),
        TypeError,
        r"y0 is torch.float64 but the module's parameters are torch.float32.*y0.float\(\) or module.double\(\)",
    ),
    "single for double": (
        lambda: dense()(double(3, 2).float()),
        TypeError,
        r"y0 is torch.float32 but the module's parameters are torch.float64.*y0.double\(\) or module.float\(\)",
    ),
    "half": (lambda: dense()(double(3, 2).half()), TypeError, r"y0 is torch.float16.*y0.to\(torch.float64\)"),
    "integers": (lambda: dense()(torch.ones(3, 2, dtype=torch.int64)), TypeError, r"y0 is torch.int64.*y0.to\(torch"),
    "bools": (lambda: dense()(torch.ones(3, 2, dtype=torch.bool)), TypeError, "y0 is torch.bool"),
    "an array": (lambda: dense()(draw(3, 2)), TypeError, r"y0 is a ndarray, not a tensor; pass torch.from_numpy\(y0\)"),
    "a list": (lambda: dense()([1.0, 2.0]), TypeError, "y0 is a list, not a tensor"),
    "sparse": (lambda: dense()(double(3, 2).detach().to_sparse()), TypeError, r"sparse_coo.*to_dense\(\)"),
    "a wrong shape": (lambda: dense()(double(3, 3)), ValueError, "y0 has 3 channels.*no block boundary"),
    "two batches": (lambda: dense()(double(3, 2), double(4, 2)), ValueError, r"\(4,\) but y0 has \(3,\)"),
    "nothing": (lambda: dense()(None, None), ValueError, "give at least one"),
    "three signals": (lambda: dense()(*[double(3, 2)] * 3), TypeError, "3"),
    "a network, one too few": (lambda: to_module(two_ways())(double(3, 2)), TypeError, "1 inputs for the spaces a, b"),
    "a network, no such space": (lambda: to_module(two_ways())({"q": double(3, 2)}), ValueError, "'q', which is no"),
    "a network, an array": (lambda: to_module(two_ways())(draw(3, 2), None), TypeError, "input a is a ndarray"),
    "no op": (lambda: to_module(3), TypeError, "model is 3; pass an op"),
    "a class": (lambda: to_module(mk.Affine), TypeError, "pass an op"),
    "a stream": (
        lambda: to_module(mk.RecurrentMachine((1, 1), memory=1).stream()),
        TypeError,
        "model is a Stream.*pass the machine",
    ),
    "half precision": (lambda: dense().half(), TypeError, r"become torch.float16.*module.float\(\)"),
    "meta": (lambda: dense().to("meta"), TypeError, "meta but machines compute on cpu"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call()


def test_a_cuda_tensor_for_a_numpy_machine():
    """No CUDA is needed: what is looked at is the device that a tensor says it is on."""

    class OnGpu(torch.Tensor):
        is_cpu = False
        device = torch.device("cuda:1")

    x = torch.zeros(3, 2, dtype=torch.float64).as_subclass(OnGpu)
    message = (
        r"y0 is on cuda:1 but the module computes on cpu, with NumPy; .*y0.to\('cpu'\), or .*module.to\('cuda:1'\)"
    )
    with pytest.raises(TypeError, match=message):
        dense()(x)


def test_moving_to_a_gpu_asks_for_cupy(monkeypatch):
    """A fake device of parameters; the message is that of ``machine.to("cupy")``."""
    from machinekit.interop.torch import module as inside

    asked = []
    monkeypatch.setattr(inside, "moved", lambda model, verb, to: asked.append((verb, to)) or model)
    monkeypatch.setattr(inside, "backend_flag", lambda device: f"cupy:{device}")
    dense().to("meta")
    assert asked == [("to", "cupy:meta")]


@pytest.mark.parametrize(("device", "flag"), [("cpu", "numpy"), ("cuda", "cupy"), ("cuda:1", "cupy:1")])
def test_the_flag_of_a_device(device, flag):
    from machinekit.interop.torch.tensors import backend_flag

    assert backend_flag(torch.device(device)) == flag


def test_a_refused_cast_changes_nothing():
    module = dense()
    for cast in (lambda: module.half(), lambda: module.to("meta")):
        with pytest.raises(TypeError):
            cast()
        assert module.weight.dtype == torch.float64
        assert module(double(3, 2)).shape == (3, 4)


@pytest.mark.filterwarnings("ignore:Casting complex values to real:UserWarning")
def test_a_complex_module_does_not_become_real():
    with pytest.raises(TypeError, match="would lose its imaginary part"):
        dense(dtype="complex128").to(torch.float64)


def test_second_derivatives_of_a_relu_machine():
    module, x = dense("relu"), double(3, 2)
    (first,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    with pytest.raises(mk.DerivativeError, match=r"(?s)pullback_tangent needs .*C\^1 .*relu"):
        first.sum().backward()


def test_second_derivatives_of_an_op_without_them():
    module, x = to_module(mk.MaxPool((2,))), double(1, 4, 1)
    (first,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    with pytest.raises(TypeError, match="MaxPool is of class C"):
        first.sum().backward()


def test_an_op_without_a_pullback():
    module, x = to_module(lambda x: 2.0 * x), double(3, 2)
    y = module(x)
    with pytest.raises(mk.DerivativeError, match="has no pullback"):
        y.sum().backward()


def test_third_derivatives():
    module, x = dense(), double(3, 2)
    (first,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first**2).sum(), x, create_graph=True)
    with pytest.raises(mk.DerivativeError, match=r"third derivatives .* up to order two"):
        second.sum().backward()


def test_an_equilibrium_that_does_not_converge():
    machine = mk.EquilibriumMachine((1,), "identity", weight=np.array([[2.0]]), solver="picard", max_steps=5)
    with pytest.raises(mk.ConvergenceError):
        to_module(machine)(double(3, 1))


def test_nan_passes_as_nan():
    module, x = dense(), double(3, 2)
    with torch.no_grad():
        x[1, 0] = torch.nan
    z = module(x)
    assert z[1].isnan().any()
    assert not z[[0, 2]].isnan().any()
    z.sum().backward()
    assert x.grad[1].isnan().any()
    assert not x.grad[[0, 2]].isnan().any()
    assert module.weight.grad.isnan().any()
