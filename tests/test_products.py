"""Products of a sweep for a solution that is known, as second derivatives take them: plan against reference."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk
from machinekit.linear import apply, transpose, weight_cotangent

from .helpers import assert_close, tolerance
from .test_plan import SCHEDULES, schedule

MACHINES = {
    "dense": (mk.DenseMachine, {}, ()),
    "recurrent": (mk.RecurrentMachine, {"memory": 3}, (6,)),
    "recurrent, memory longer than time": (mk.RecurrentMachine, {"memory": 4}, (3,)),
    "recurrent, backwards": (mk.RecurrentMachine, {"memory": 2, "reverse": (-1, 0)}, (5,)),
    "recurrent, in time blocks": (mk.RecurrentMachine, {"memory": 3, "time_block": 2}, (7,)),
    "conv1d": (mk.ConvMachine, {"padding": ((2, 1),)}, (5,)),
    "conv2d": (mk.ConvMachine, {"padding": ((1, 0), (0, 2))}, (3, 4)),
    "raster": (mk.GridMachine, {"padding": ((1, 0), (1, 1)), "scan": (0, 1), "reverse": (1,)}, (3, 3)),
}


def made(kind, dtype="float64", pruned=False):
    cls, options, grid = MACHINES[kind]
    machine = cls((2, 0, 3, 1), "tanh", bias=True, rng=0, dtype=dtype, backend="numpy", **options)
    return (machine.prune(np.random.default_rng(1).random(machine.weight.shape) < 0.6) if pruned else machine), grid


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_products_are_those_of_the_reference(name, kind, batch, dtype):
    """W z of another weight than the machine's, the weight cotangent, each alone and both; of machine and dual."""
    machine, grid = made(kind, dtype)
    rng, lead = np.random.default_rng(2), (*batch, *grid)

    def draw(shape):
        imaginary = 1j * rng.uniform(-1, 1, shape) if dtype.startswith("complex") else 0.0
        return (rng.uniform(-1, 1, shape) + imaginary).astype(dtype)

    with schedule(name):
        z, primal, weight = draw((*lead, 6)), draw((*lead, 6)), machine.project(draw(machine.weight.shape))
        cases = [(machine.partition, weight), (machine._mirrored.partition, transpose(machine.partition, weight))]
        for k, (partition, kernel) in enumerate(cases):
            plan = machine._plan(lead, z, dual=bool(k))
            assert plan.partition == partition
            want = apply(partition, kernel, z), weight_cotangent(partition.dual(), primal, z)
            allowed = 64 * tolerance(dtype, 6.0 * max(want[0].size, want[1].size))
            for given in ((kernel, primal), (kernel, None), (None, primal), (kernel, primal)):
                got = plan.products(given[0], z, given[1])
                for what, found, wanted, asked in zip(("W z", "Q"), got, want, given, strict=True):
                    assert (found is None) == (asked is None)
                    if asked is not None:
                        assert found.dtype == dtype
                        assert_close(what, found, wanted, allowed, kind, name)


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("kind", MACHINES)
def test_every_kind_has_exact_second_derivatives_with_all_weights_moving(kind, pruned):
    """Im of the pullback at the weight and bias moved by i h; what was pruned stays exactly zero."""
    machine, grid = made(kind, pruned=pruned)
    rng, step = np.random.default_rng(3), 2.0**-600
    y0, seed = (rng.uniform(-1, 1, (3, *grid, n)) for n in (2, 6))
    along = {"weight": rng.uniform(-1, 1, machine.weight.shape), "bias": rng.uniform(-1, 1, 6)}
    state = machine.solve(y0)
    got = machine.pullback_tangent(state, machine.pullback(state, seed), along)
    moved = machine.replace(**{n: getattr(machine, n) + 1j * step * d for n, d in along.items()})
    want = moved.pullback(moved.solve(y0 + 0j), seed + 0j)
    for name in ("y0", "weight", "bias"):
        wanted = getattr(want, name).imag / step
        assert_close(name, getattr(got, name), wanted, 1e-12 * (1 + np.abs(wanted).max()), kind, pruned)
    assert not got.weight[~machine.live].any()
