"""A model as a layer of PyTorch: parameters, memory, what is computed, and what is kept."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import numpy as np
import pytest

import machinekit as mk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from machinekit.interop.torch import to_module  # noqa: E402

from .kinds import MACHINES, draw, two_ways  # noqa: E402
from .tensors import machine, tensor  # noqa: E402


def test_the_module_computes_what_the_model_computes():
    m, x, seed = machine(), draw(3, 2), draw(3, 5, seed=1)
    module, at = to_module(m), torch.tensor(x, requires_grad=True)
    z = module(at)
    z.backward(torch.tensor(seed))
    state = m.solve(x)
    cotangent = m.pullback(state, seed)
    assert np.array_equal(z.detach().numpy(), state.z)
    assert np.array_equal(at.grad.numpy(), cotangent.y0)
    for name, parameter in module.named_parameters():
        assert np.array_equal(parameter.grad.numpy(), cotangent.parameters[name])


def test_parameters_have_the_names_of_the_model_and_the_state_dict_goes_round():
    net = two_ways()
    module, other = to_module(net), to_module(net.replace(**{n: a + 1.0 for n, a in net.parameters().items()}))
    assert list(module.state_dict()) == list(net.parameters())
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    x = (tensor(3, 2), tensor(3, 2, seed=1))
    before = other(*x)
    for assign in (False, True):
        other.load_state_dict(torch.load(file), assign=assign)
        file.seek(0)
        for a, b, c in zip(module(*x), other(*x), before, strict=True):
            assert torch.equal(a, b)
            assert not torch.equal(a, c)


@pytest.mark.parametrize("name", ["model", "train", "weight"])
def test_an_edge_may_have_the_name_of_an_attribute(name):
    net = mk.Hypergraph({"a": 2, "b": 1}, [mk.Edge(name, mk.Affine(2, 1, rng=0), "a -> b")])
    module = to_module(net)
    assert list(module.state_dict()) == [f"{name}.weight", f"{name}.bias"]
    assert module(tensor(3, 2)).shape == (3, 1)
    assert module.train() is module


def test_the_model_of_a_module_has_its_present_parameters_and_keeps_them():
    module = to_module(machine())
    with torch.no_grad():
        module.weight.mul_(2.0)
    first = module.model
    assert np.array_equal(first.weight, module.weight.detach().numpy())
    with torch.no_grad():
        module.weight.mul_(2.0)
    assert not np.array_equal(first.weight, module.weight.detach().numpy())


OPTIMIZERS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "Adam, weight decay": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1),
}
SOLVED = [name for name in MACHINES if name != "dense, z0 alone"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", SOLVED)
def test_twenty_steps_inside_a_pytorch_model_move_every_live_weight_and_no_dead_one(case, optimizer):
    make, shapes = MACHINES[case]
    m = make()
    width = m.partition.channels
    torch.manual_seed(0)
    body = to_module(m)
    net = torch.nn.Sequential(torch.nn.Linear(3, width, dtype=torch.float64), body, torch.nn.Linear(width, 2).double())
    lead = (8, *shapes[0][1:-1]) if m.partition.axes else (8,)
    x, targets = torch.tensor(draw(*lead, 3)), torch.tensor(draw(*lead, 2, seed=1))
    before = {name: p.detach().clone() for name, p in body.named_parameters()}
    steps = OPTIMIZERS[optimizer](net.parameters())
    losses = []
    for _ in range(20):
        steps.zero_grad()
        loss = ((net(x) - targets) ** 2).mean()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    masks = m.live_masks()
    for name, parameter in body.named_parameters():
        moved = (parameter != before[name]).numpy()
        live = np.asarray(masks.get(name, np.ones(moved.shape, dtype=bool)))
        if name == "B":  # of a monotone machine, whose W has B − Bᵀ: a diagonal is live and without influence
            moved |= live & np.eye(len(live), dtype=bool)
        assert np.array_equal(moved, live), name
        assert not parameter.detach().numpy()[~live].any(), name


def test_what_is_written_to_dead_entries_has_no_influence():
    m = machine()
    module, x = to_module(m), tensor(3, 2)
    before = module(x)
    with torch.no_grad():
        module.weight[torch.tensor(~m.live)] = 7.0
    assert torch.equal(module(x), before)
    assert not module.model.weight[~m.live].any()
    module(x).sum().backward()
    assert not module.weight.grad[torch.tensor(~m.live)].any()


@pytest.mark.parametrize("size", [2, 60])
def test_parameters_written_behind_pytorch_s_back_are_seen(size):
    """`parameter.data` has a version counter of its own; small and large parameters are compared in two ways."""
    module, x = to_module(mk.DenseMachine((size, size), rng=0)), tensor(2, size)
    before = module(x)
    module.weight.data.mul_(2.0)
    assert not torch.equal(module(x), before)
    module.weight.data = module.weight.data / 2.0
    assert torch.equal(module(x), before)


def test_parametrized_parameters():
    module, x = to_module(machine()), tensor(3, 2)
    torch.nn.utils.parametrizations.weight_norm(module, "weight")
    module(x).sum().backward()
    originals = [p for name, p in module.named_parameters() if "original" in name]
    assert len(originals) == 2
    assert all(p.grad is not None for p in originals)


def test_the_overhead_is_measured():
    """A smoke test of the figure in the documentation; a loaded machine may take ten times as long."""
    m, y0, seed = mk.DenseMachine((2,) * 5, rng=0), draw(2, 10), draw(2, 10, seed=1)
    module, x, v = to_module(m), torch.tensor(y0, requires_grad=True), torch.tensor(seed)
    calls = {
        "bare": lambda: m.pullback(m.solve(y0), seed),
        "module": lambda: torch.autograd.grad(module(x), (x, module.weight), v),
    }
    best = dict.fromkeys(calls, np.inf)
    for _ in range(300):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - begin)
    assert best["module"] - best["bare"] < 1e-3


def test_the_page_about_pytorch_runs():
    """The blocks of docs/interop-torch.md, in order, in one namespace."""
    page = Path(__file__).parents[1] / "docs" / "interop-torch.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) > 3
    torch.manual_seed(0)
    names: dict = {}
    for block in blocks:
        exec(block, names)
