"""Bounds of equilibria hold for every slope that σ may have, and are exact where the answer is known."""

import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.linear import apply
from machinekit.smoothness.equilibrium import equilibrium_bound
from machinekit.smoothness.resolvent import resolvent_bound
from machinekit.smoothness.slope_ranges import slope_range

from .resolvents import UP

ROTATION = np.array([[0.0, -2.0], [2.0, 0.0]])
EQUILIBRIA = [
    (mk.MonotoneMachine((4, 3, 2), "relu", margin=(0.2, 0.5, 1.0), rng=0), ()),
    (mk.MonotoneMachine((3, 3), "tanh", margin=0.3, tiers=True, rng=1), ()),
    (mk.MonotoneMachine((2, 1), "softplus", margin=0.5, padding=((1, 0),), rng=2), (4,)),
    (mk.EquilibriumMachine((2,), "relu", weight=ROTATION), ()),
    (mk.EquilibriumMachine((3, 2), "gelu", weight=np.random.default_rng(5).normal(size=(5, 5)) * 0.15), ()),
    (mk.DenseMachine((2, 3, 2), "sigmoid", rng=6), ()),
    (mk.EquilibriumMachine((2, 2), mk.Diagonal(np.array([0.5, 1.0, -0.5, 2.0])), weight=np.full((4, 4), 0.1)), ()),
]


@pytest.mark.parametrize(("machine", "grid"), EQUILIBRIA)
def test_the_equilibrium_bound_dominates_every_jacobian(machine, grid):
    shape = (*grid, machine.partition.channels)
    n, rng = math.prod(shape), np.random.default_rng(0)
    matrix = apply(machine.partition, machine.kernel, np.eye(n).reshape(n, *shape)).reshape(n, n).T
    bounds = {start: equilibrium_bound(machine, grid, start=start) for start in ("z0", "y0")}
    linear, met = machine.slope_array is not None, dict.fromkeys(bounds, 0.0)
    ends = (0, 1) if linear else slope_range(machine.pointwise.activations[0], -math.inf, math.inf)
    for k in range(300):
        d = rng.random(n) if k % 2 else rng.integers(0, 2, n)
        d = np.broadcast_to(machine.slope_array, shape).ravel() if linear else ends[0] + (ends[1] - ends[0]) * d
        inverse = np.linalg.inv(np.eye(n) - d[:, None] * matrix)
        met["z0"] = max(met["z0"], np.linalg.norm(inverse, 2))
        met["y0"] = max(met["y0"], np.linalg.norm(inverse * d, 2))
    for start, bound in bounds.items():
        assert met[start] <= bound * UP, start
        assert met[start] >= 0.02 * bound, start


def test_equilibrium_bounds_that_are_known_exactly():
    weight = np.array([[0.5, 3.0], [0.0, 0.0]])
    chain = mk.EquilibriumMachine((1, 1), "tanh", weight=weight)
    assert equilibrium_bound(chain, start="y0") == pytest.approx(np.linalg.norm([[2.0, 0.0], [6.0, 1.0]], 2), rel=1e-12)
    assert equilibrium_bound(chain) == pytest.approx(np.linalg.norm([[2.0, 0.0], [6.0, 1.0]], 2), rel=1e-12)
    alone = mk.MonotoneMachine((5,), "relu", margin=0.25, rng=0)
    assert equilibrium_bound(alone, start="y0") == pytest.approx(4.0, rel=1e-9)
    finite = mk.DenseMachine((2, 3, 3), "relu", rng=0)
    assert equilibrium_bound(finite) == pytest.approx(resolvent_bound(finite, method="block"), rel=1e-12)


def test_what_nothing_certifies_is_infinite_and_bad_input_is_refused():
    wild = mk.EquilibriumMachine((2,), "gelu", weight=ROTATION)  # monotone, but gelu is not proximal
    assert equilibrium_bound(wild) == math.inf
    assert equilibrium_bound(mk.EquilibriumMachine((1,), "relu", weight=np.array([[1.5]]))) == math.inf
    assert equilibrium_bound(mk.EquilibriumMachine((1,), "square", weight=np.array([[0.1]]))) == math.inf
    with pytest.raises(ValueError, match=r"use smoothness\.resolvent_bound"):
        equilibrium_bound(mk.RecurrentMachine((1,), memory=1), (3,))
    with pytest.raises(ValueError, match=r"grid is \(3,\) but the machine has 0 grid axes"):
        equilibrium_bound(wild, (3,))
    with pytest.raises(TypeError, match="start='x0' is unknown"):
        equilibrium_bound(wild, start="x0")
