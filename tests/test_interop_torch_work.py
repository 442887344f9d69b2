"""What a module computes, and what it leaves out: no derivative that nobody asked for."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import machinekit as mk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from machinekit.interop.torch import to_module  # noqa: E402
from machinekit.interop.torch.call import Call  # noqa: E402

from .helpers import assert_close, tolerance  # noqa: E402
from .kinds import draw, two_ways  # noqa: E402
from .tensors import machine, tensor  # noqa: E402


def counted(monkeypatch, *verbs):
    """Count the calls of the verbs of machines and of affine maps."""
    calls = dict.fromkeys(verbs, 0)
    for kind in (mk.DenseMachine, mk.Affine):
        for verb in verbs:
            inner = getattr(kind, verb, None)
            if inner is None:
                continue

            def count(self, *args, _inner=inner, _verb=verb, **kwargs):
                calls[_verb] += 1
                return _inner(self, *args, **kwargs)

            monkeypatch.setattr(kind, verb, count)
    return calls


def test_no_grad_does_no_work_for_derivatives(monkeypatch):
    module, x, kept = to_module(machine()), tensor(3, 2), []
    solve = Call.solve

    def watched(call):
        outputs = solve(call)
        kept.append(weakref.ref(call.state))
        return outputs

    monkeypatch.setattr(Call, "solve", watched)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            z = module(x)
        assert not z.requires_grad
    module.requires_grad_(False)
    assert not module(x.detach()).requires_grad
    gc.collect()
    assert len(kept) == 3
    assert not any(ref() for ref in kept), "the state is kept"


def test_frozen_parameters_cost_no_products(monkeypatch):
    module = to_module(machine()).requires_grad_(False)
    x = tensor(3, 2)
    calls = counted(monkeypatch, "pullback", "pullback_inputs")
    module(x).sum().backward()
    assert calls == {"pullback": 0, "pullback_inputs": 1}
    assert module.weight.grad is None


@pytest.mark.parametrize("frozen", [0, 2])
def test_a_frozen_op_of_a_chain_costs_no_products(monkeypatch, frozen):
    """Its pullback is that without parameters; the other one's gradients are what they were."""
    chain = mk.Chain([mk.Affine(2, 3, rng=0), mk.Pointwise("tanh"), mk.Chain([mk.Affine(3, 1, rng=1)])])
    x, module = tensor(4, 2), to_module(chain)
    module(x).sum().backward()
    full, slope = {n: p.grad for n, p in module.named_parameters()}, x.grad
    part = to_module(chain)
    for name, p in part.named_parameters():
        p.requires_grad_(not name.startswith(str(frozen)))
    x.grad = None
    calls = counted(monkeypatch, "pullback_into", "pullback_inputs")
    part(x).sum().backward()
    assert calls == {"pullback_into": 1, "pullback_inputs": 1}
    assert torch.equal(x.grad, slope)
    for name, p in part.named_parameters():
        assert (p.grad is None) if name.startswith(str(frozen)) else torch.equal(p.grad, full[name])


def test_second_derivatives_of_a_chain_with_a_frozen_op():
    chain = mk.Chain([mk.Affine(2, 3, rng=0), mk.Pointwise("tanh"), mk.Affine(3, 1, rng=1)])
    x, results = tensor(4, 2), []
    for freeze in (False, True):
        module = to_module(chain)
        module.get_parameter("0.weight").requires_grad_(not freeze)
        module.get_parameter("0.bias").requires_grad_(not freeze)
        (slope,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
        found = torch.autograd.grad((slope**2).sum(), (x, module.get_parameter("2.weight")))
        results.append(found)
    for a, b in zip(*results, strict=True):
        assert_close("second derivative", a.numpy(), b.numpy(), tolerance("float64", b.abs().numpy() + 1.0))


@pytest.mark.parametrize("inputs", ["y0", "z0", "both", "none"])
def test_only_some_inputs_need_gradients(inputs):
    m, y0, z0, seed = machine(), draw(3, 2), draw(3, 5, seed=1), draw(3, 5, seed=2)
    module = to_module(m)
    a = torch.tensor(y0, requires_grad=inputs in ("y0", "both"))
    b = torch.tensor(z0, requires_grad=inputs in ("z0", "both"))
    module(a, b).backward(torch.tensor(seed))
    cotangent = m.pullback(m.solve(y0, z0), seed)
    for t, name in ((a, "y0"), (b, "z0")):
        if t.requires_grad:
            assert_close(name, t.grad.numpy(), getattr(cotangent, name), tolerance("float64", 10.0))
        else:
            assert t.grad is None
    assert np.array_equal(module.weight.grad.numpy(), cotangent.weight)


def test_outputs_that_nobody_used():
    net = two_ways()
    module, a, b = to_module(net), tensor(3, 2), tensor(3, 2, seed=1)
    module(a, b)[1].sum().backward()
    state = net.solve(a.detach().numpy(), b.detach().numpy())
    cotangent = net.pullback(state, None, np.ones((3, 1)))
    for name, p in module.named_parameters():
        assert_close(name, p.grad.numpy(), cotangent.parameters[name], tolerance("float64", 10.0))


def test_inputs_of_a_hypergraph_by_name():
    net = two_ways()
    module, a, b = to_module(net), tensor(3, 2), tensor(3, 2, seed=1)
    for x, y in zip(module(a, b), module({"b": b, "a": a}), strict=True):
        assert torch.equal(x, y)
    for x, y in zip(module(a, None), module({"a": a}), strict=True):
        assert torch.equal(x, y)
    module({"a": a, "c": b})[0].sum().backward()
    assert b.grad is not None


def test_retain_graph_and_no_retain_graph():
    module, x = to_module(machine()), tensor(3, 2)
    z = module(x).sum()
    z.backward(retain_graph=True)
    first = x.grad.clone()
    z.backward()
    assert torch.equal(x.grad, 2.0 * first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        z.backward()


def test_checkpoints():
    from torch.utils.checkpoint import checkpoint

    module, x = to_module(machine()), tensor(3, 2)
    (plain,) = torch.autograd.grad(module(x).sum(), x)
    (again,) = torch.autograd.grad(checkpoint(module, x, use_reentrant=False).sum(), x)
    assert torch.equal(plain, again)
