"""PyTorch's own checkers: `gradcheck` and `gradgradcheck` of inputs, weights and seeds, in double precision."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from machinekit.interop.torch import to_module  # noqa: E402

from .kinds import MACHINES, NETWORKS, OPS, ROUGH, draw  # noqa: E402


def function(model, shapes, dtype="float64"):
    """Return a function of inputs and parameters, and where to check it."""
    module = to_module(model)
    names = [name for name, _ in module.named_parameters()]
    given = [
        None if shape is None else torch.tensor(draw(*shape, seed=k).astype(dtype)) for k, shape in enumerate(shapes)
    ]

    def run(*tensors):
        rest = iter(tensors)
        inputs = tuple(None if x is None else next(rest) for x in given)
        return torch.func.functional_call(module, dict(zip(names, rest, strict=True)), inputs)

    at = [*(x for x in given if x is not None), *(p.detach().clone() for p in module.parameters())]
    return run, tuple(t.requires_grad_() for t in at)


@pytest.mark.parametrize("case", [*MACHINES, *OPS, *NETWORKS, *ROUGH])
def test_gradcheck(case):
    make, shapes = {**MACHINES, **OPS, **NETWORKS, **ROUGH}[case]
    assert torch.autograd.gradcheck(*function(make(), shapes))


@pytest.mark.parametrize("case", [*MACHINES, *OPS, *NETWORKS])
def test_gradgradcheck(case):
    """Inputs, parameters and upstream seeds, the latter drawn by the checker."""
    make, shapes = {**MACHINES, **OPS, **NETWORKS}[case]
    assert torch.autograd.gradgradcheck(*function(make(), shapes))


@pytest.mark.parametrize("check", ["gradcheck", "gradgradcheck"])
def test_complex_tensors_too(check):
    """PyTorch's gradients are conjugate to the cotangents of a holomorphic function."""
    weight = draw(4, 4) + 0.5j * draw(4, 4, seed=1)
    run, at = function(mk.DenseMachine((2, 2), "tanh", weight=weight, bias=True), [(3, 2)], "complex128")
    assert getattr(torch.autograd, check)(run, at)


@pytest.mark.parametrize("check", ["gradcheck", "gradgradcheck"])
def test_a_complex_input_of_a_real_machine(check):
    run, at = function(mk.DenseMachine((2, 2), "tanh", rng=0), [(3, 2)], "complex128")
    assert getattr(torch.autograd, check)(run, at)


def test_the_hessian_is_that_of_the_objective():
    """`torch.autograd.functional.hessian` of the parameters against `Objective.hessian`, live entries."""
    machine = mk.DenseMachine((1, 2, 1), "tanh", bias=True, rng=0)
    x, targets = draw(5, 1), draw(5, 4, seed=1)
    objective = mk.Objective(machine, "squared_error", x, targets)
    module = to_module(machine)

    def loss(weight, bias):
        z = torch.func.functional_call(module, {"weight": weight, "bias": bias}, (torch.tensor(x),))
        return 0.5 * ((z - torch.tensor(targets)) ** 2).sum(-1).mean()

    blocks = torch.autograd.functional.hessian(loss, tuple(p.detach() for p in module.parameters()))
    live = np.flatnonzero(np.concatenate([machine.live.ravel(), np.ones(4, dtype=bool)]))
    rows = zip(module.parameters(), blocks, strict=True)
    flat = torch.cat([torch.cat([b.reshape(a.numel(), -1) for b in row], 1) for a, row in rows])
    expected = objective.hessian(objective.theta0) @ np.eye(objective.size)
    np.testing.assert_allclose(flat.numpy()[np.ix_(live, live)], expected, rtol=1e-12, atol=1e-14)
