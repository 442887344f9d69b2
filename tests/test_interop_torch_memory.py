"""Whose memory it is; copies of modules, other processes, other precisions, another library."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import machinekit as mk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from machinekit.interop.torch import to_module  # noqa: E402

from .helpers import assert_close, tolerance  # noqa: E402
from .kinds import draw, two_ways  # noqa: E402
from .tensors import machine, tensor  # noqa: E402


class Made(torch.utils.data.Dataset):
    """A data set whose items a machine makes, in the workers."""

    def __init__(self, module, x):
        self.module, self.x = module, x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        with torch.no_grad():
            return self.module(self.x[k])


class Spy:
    """An op of a user's own that tells where its arrays are, and hands back what it was given if asked to."""

    def __init__(self, same=False):
        self.same, self.seen = same, []

    def __call__(self, x):
        self.seen.append(x.__array_interface__["data"][0])
        y = x if self.same else x * 2.0
        self.seen.append(y.__array_interface__["data"][0])
        return y

    def pullback(self, state, y):
        self.seen.append(y.__array_interface__["data"][0])
        return mk.Cotangent((y if self.same else 2.0 * y,))


def test_nothing_is_copied_on_the_way():
    op, x, seed = Spy(), tensor(3, 2), torch.ones(3, 2, dtype=torch.float64)
    y = to_module(op)(x)
    y.backward(seed)
    assert op.seen == [x.data_ptr(), y.data_ptr(), seed.data_ptr()]


def test_an_op_that_hands_back_its_arguments_shares_no_memory():
    x, seed = tensor(3, 2), torch.ones(3, 2, dtype=torch.float64)
    module = to_module(Spy(same=True))
    y = module(x)
    y.backward(seed)
    assert len({t.data_ptr() for t in (x, y, seed, x.grad)}) == 4
    with torch.no_grad():
        assert module(x).data_ptr() != x.data_ptr()


def test_memory_of_the_user_is_not_written_to():
    given = {"x": draw(3, 2), "seed": draw(3, 5, seed=1)}
    kept = {name: a.copy() for name, a in given.items()}
    x = torch.from_numpy(given["x"]).requires_grad_()
    module = to_module(machine())
    weight = module.weight.detach().clone()
    z = module(x)
    grads = torch.autograd.grad(z, (x, module.weight), torch.from_numpy(given["seed"]), create_graph=True)
    sum((g**2).sum() for g in grads).backward()
    assert all(np.array_equal(given[name], kept[name]) for name in given)
    assert torch.equal(module.weight, weight)


def test_results_are_the_caller_s():
    """Writing to gradients and outputs changes no later result."""
    module, x = to_module(machine()), tensor(3, 2)
    z = module(x)
    seed = torch.ones_like(z)
    first = torch.autograd.grad(z, (x, module.weight), seed, retain_graph=True)
    kept = [g.clone() for g in first]
    for g in first:
        g.zero_()
    again = torch.autograd.grad(z, (x, module.weight), seed)
    assert all(map(torch.equal, again, kept))


def test_strided_tensors():
    module, wide = to_module(machine()), draw(2, 6)
    base = torch.tensor(wide)
    plain = torch.tensor(np.ascontiguousarray(wide.T[::2]), requires_grad=True)
    strided = base.t()[::2].requires_grad_()
    assert not strided.is_contiguous()
    for t in (plain, strided):
        module.zero_grad()
        module(t).sum().backward()  # the seed is expanded, all its strides 0
        t.kept = module.weight.grad.clone()
    assert_close("y0", strided.grad.numpy(), plain.grad.numpy(), tolerance("float64", 10.0))
    assert_close("weight", strided.kept.numpy(), plain.kept.numpy(), tolerance("float64", 10.0))
    same = torch.tensor(wide[:1].T[:2, 0]).expand(4, 2)
    assert torch.equal(module(same), module(same.clone()))


@pytest.mark.parametrize("what", ["input", "output", "parameter"])
def test_tensors_that_are_written_to_before_the_backward_pass_are_refused(what):
    module, x = to_module(machine()), tensor(3, 2)
    copied = x * 1.0
    z = module(copied)
    with torch.no_grad():
        {"input": copied, "output": z, "parameter": module.weight}[what].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_gradients_that_are_written_to_before_second_derivatives_are_refused():
    module, x = to_module(machine()), tensor(3, 2)
    (slope,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    value = slope.sum()
    with torch.no_grad():
        slope.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


class Scaled:
    """An op of a user's own that holds the very array that it is given."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x):
        return self.scale * x

    def parameters(self):
        return {"scale": self.scale}

    def replace(self, scale):
        return Scaled(scale)

    def pullback(self, state, y):
        return mk.Cotangent((self.scale * y,), {"scale": (state.inputs[0] * y).sum(axis=0)})


def test_an_op_that_does_not_copy_its_parameters():
    module, x = to_module(Scaled(draw(2))), tensor(3, 2)
    model = module.model
    y = module(x)
    with torch.no_grad():
        module.scale.mul_(2.0)
    assert np.array_equal(2.0 * model.scale, module.scale.detach().numpy())
    assert torch.equal(module(x), 2.0 * y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_an_inplace_relu_may_follow_an_op_that_does_not_read_its_outputs():
    layer, x = mk.Affine(2, 3, rng=0), tensor(4, 2)
    net = torch.nn.Sequential(to_module(mk.Chain([mk.Pointwise("tanh"), layer])), torch.nn.ReLU(inplace=True))
    same = torch.nn.Sequential(to_module(mk.Chain([mk.Pointwise("tanh"), layer])), torch.nn.ReLU())
    assert torch.equal(*(torch.autograd.grad(n(x).sum(), x)[0] for n in (net, same)))


class Largest:
    """An op with a second output that has no derivative: where the largest entry is."""

    def __call__(self, x):
        return x.max(axis=-1), x.argmax(axis=-1)

    def pullback(self, state, y, place=None):
        back = np.zeros_like(state.inputs[0])
        np.put_along_axis(back, state.outputs[1][:, None], y[:, None], axis=-1)
        return mk.Cotangent((back,))


def test_an_output_without_derivatives():
    x = tensor(3, 4)
    value, place = to_module(Largest())(x)
    assert value.requires_grad
    assert not place.requires_grad
    value.sum().backward()
    assert torch.equal(x.grad.argmax(-1), place)


def test_copies_are_independent():
    module, x = to_module(two_ways()), (tensor(3, 2), tensor(3, 2, seed=1))
    module(*x)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert all(map(torch.equal, module(*x), twin(*x)))
        with torch.no_grad():
            for p in twin.parameters():
                p.add_(1.0)
        assert not any(map(torch.equal, module(*x), twin(*x)))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader(start):
    module, x = to_module(mk.Chain([machine(), mk.Affine(5, 2, rng=0)])), torch.tensor(draw(6, 2))
    loader = torch.utils.data.DataLoader(
        Made(module, x), batch_size=3, num_workers=1, multiprocessing_context=start, timeout=120
    )
    with torch.no_grad():
        expected = torch.stack([module(row) for row in x])
    assert torch.equal(torch.cat(list(loader)), expected)


def test_single_and_double_precision():
    norm = mk.BatchNorm(2, scale=False, bias=False)
    ready = norm.with_statistics(norm.solve(draw(5, 2)))  # has coefficients, which are no parameters
    chain = mk.Chain([mk.Affine(2, 2, rng=0), ready])
    module, x = to_module(chain), torch.tensor(draw(3, 2))
    single = copy.deepcopy(module).float()
    y = single(x.float())
    assert y.dtype == torch.float32
    assert single.model.parameters()["0.weight"].dtype == np.float32
    assert_close("y", y.detach().numpy(), chain(draw(3, 2)), tolerance("float32", 10.0))
    assert single.double()(x).dtype == torch.float64
    assert torch.equal(module(x), to_module(chain)(x))


def test_a_machine_on_another_library_through_dlpack(monkeypatch):
    """The way of a GPU, walked on the host: array_api_strict is exchanged by DLPack as CuPy is."""
    pytest.importorskip("array_api_strict")
    m, x = machine(), tensor(3, 2)
    module, plain = to_module(m.to("array_api_strict")), to_module(m)
    assert module.model.backend == "array_api_strict"
    results = []
    for net in (module, plain):
        z = net(x)
        grads = torch.autograd.grad(z, (x, *net.parameters()), torch.ones_like(z), create_graph=True)
        seconds = torch.autograd.grad(sum((g**2).sum() for g in grads), (x, *net.parameters()))
        results.append([z, *grads, *seconds])
    for a, b in zip(*results, strict=True):
        assert_close("result", a.detach().numpy(), b.detach().numpy(), tolerance("float64", 100.0))
    with torch.no_grad():
        module.weight.mul_(2.0)
    assert np.array_equal(np.from_dlpack(module.model.weight), 2.0 * m.weight)
