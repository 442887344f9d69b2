"""Bounds near a point: on balls, in the parameters, of second order."""

import itertools
import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.linear import apply
from machinekit.smoothness.parameters import block_readings, parameter_bound, second_order_bound
from machinekit.smoothness.regional import reach, region, regional_bound
from machinekit.smoothness.resolvent import resolvent_bound
from machinekit.smoothness.structure import Piece
from machinekit.smoothness.system_reading import read_system

from .resolvents import UP, drawn

RADII = (0.0, 1e-3, 1e-2, 0.1, 1.0, 3.0)
OWN = {"arctan": Piece(lipschitz=1.0, smoothness=3.0 * math.sqrt(3.0) / 8.0)}
ARCTAN = mk.Activation(np.arctan, lambda y: 1.0 / (1.0 + y * y), name="arctan")


def wide(a):
    """Return W, [out, in]."""
    return a.weight.T


def slopes_norm(machine, y):
    """Return ‖(I − D W)⁻¹‖ at y of a dense machine."""
    d = machine.pointwise.slope(y)
    return np.linalg.norm(np.linalg.inv(np.eye(len(y)) - d[:, None] * wide(machine)), 2)


# Balls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "square", "sin", "softsign", "hardtanh", "arctan"])
def test_the_regional_bound_is_exact_at_radius_zero_and_holds_on_every_ball(name):
    rng = np.random.default_rng(0)
    sigma = ARCTAN if name == "arctan" else name
    machine = mk.DenseMachine((4, 3, 3, 2), sigma, weight=0.4 * rng.normal(size=(12, 12)), bias=rng.normal(size=12))
    y0, z0 = rng.normal(size=12), rng.normal(size=12)
    state, last = machine.solve(y0, z0), 0.0
    for radius in RADII:
        if name == "square" and radius > 0.1:
            continue
        bound = regional_bound(machine, state, radius, constants=OWN)
        there = region(machine, y0, radius, z0=z0, constants=OWN)
        if not radius:
            assert bound == pytest.approx(slopes_norm(machine, state.y), rel=1e-12)
        assert bound >= last / UP, "a larger ball, a smaller bound"
        last = bound
        for _ in range(40):
            step = rng.normal(size=12)
            step *= radius * rng.random() ** 0.1 / np.linalg.norm(step)
            y = machine.solve(y0, z0 + step).y
            assert slopes_norm(machine, y) <= bound * UP
            assert (np.abs(y - state.y) <= there.reach * UP + 1e-12).all()
            slope, bend = machine.pointwise.slope(y), np.abs(machine.pointwise.second(y))
            assert (
                (slope >= there.least - 1e-9) & (slope <= there.most + 1e-9) & (bend <= there.curvature + 1e-9)
            ).all()
    if name not in ("square", "arctan"):
        assert last <= resolvent_bound(machine) * UP
        assert regional_bound(machine, state, 0.01) < 0.9 * resolvent_bound(machine)


def test_other_methods_use_the_slopes_that_are_met():
    """Multipliers, too, where a box of slopes has next to no width."""
    machine = mk.DenseMachine((3, 3, 3), "tanh", rng=0)
    state = machine.solve(np.random.default_rng(0).normal(size=9))
    exact = slopes_norm(machine, state.y)
    for radius in (1e-9, 1e-6, 1e-3, 0.3):
        centred, sharp, corner = (
            regional_bound(machine, state, radius, method=m) for m in ("centred", "multipliers", "exact")
        )
        assert exact <= corner * UP
        assert corner <= sharp * UP
        assert sharp <= centred * UP
        assert corner - exact <= 2.0 * radius
    assert regional_bound(machine, state, 0.3, of=(2, 0)) < centred


def test_a_ball_of_y0_moves_units_too():
    rng = np.random.default_rng(1)
    machine = mk.DenseMachine((3, 3, 3), "tanh", rng=rng)
    y0 = rng.normal(size=9)
    for radii in ((0.0, 0.3), (0.2, 0.3)):
        bound = regional_bound(machine, y0, radii[0], y0_radius=radii[1])
        there, centre = region(machine, y0, radii[0], y0_radius=radii[1]), machine.solve(y0).y
        assert bound > regional_bound(machine, y0, radii[0])
        for _ in range(60):
            dz, dy = (r * d / np.linalg.norm(d) for r, d in zip(radii, rng.normal(size=(2, 9)), strict=True))
            y = machine.solve(y0 + dy, dz).y
            assert (np.abs(y - centre) <= there.reach * UP).all()
            assert slopes_norm(machine, y) <= bound * UP


def test_samples_of_a_batch_and_grids_are_bounded_one_by_one(backend):
    host = np.random.default_rng(2).normal(size=(2, 3, 4, 2))
    kernel = np.random.default_rng(3).normal(size=(3, 3, 3)) / 3.0
    machine = mk.RecurrentMachine((2, 1), ("tanh", "sigmoid"), memory=2, weight=backend.from_host(kernel))
    found = regional_bound(machine, backend.from_host(host), 0.1)
    assert found.shape == (2, 3)
    alone = regional_bound(machine, backend.from_host(host[1, 2]), 0.1, method="multipliers")
    assert isinstance(alone, float)
    assert alone <= found[1, 2] * UP
    assert found[1, 2] == pytest.approx(regional_bound(machine, backend.from_host(host[1, 2]), 0.1), rel=1e-12)


@pytest.mark.parametrize(
    ("machine", "grid"),
    [(mk.RecurrentMachine((2, 1), ("tanh", "sin"), memory=2, time_block=2, reverse=(0, -1), rng=2), (5,)),
     (mk.ConvMachine((1, 2, 1), ("tanh", "sin", "gelu"), padding=((1, 1),), rng=0), (4,))],
)  # fmt: skip
def test_the_units_of_a_grid_keep_their_places(machine, grid):
    """Whatever the order of computation is: slopes and reach are those of the unit at that place."""
    rng, shape = np.random.default_rng(0), (*grid, machine.partition.channels)
    y0 = rng.normal(size=shape)
    there, state = region(machine, y0, 0.2), machine.solve(y0)
    exact = region(machine, state, 0.0)
    assert np.array_equal(exact.least, machine.slope(state))
    assert np.array_equal(exact.reach, np.zeros(shape))
    linear = machine._derive(sigma=mk.Diagonal(machine.slope(state)))
    n = math.prod(shape)
    truth = np.linalg.norm(linear(None, np.eye(n).reshape(n, *shape)).reshape(n, n), 2)
    assert regional_bound(machine, state, 0.0) == pytest.approx(truth, rel=1e-12)
    for _ in range(50):
        step = rng.normal(size=shape)
        y = machine.solve(y0, 0.2 * step / np.linalg.norm(step)).y
        assert (np.abs(y - state.y) <= there.reach * UP).all()


@pytest.mark.parametrize("seed", range(10))
def test_rows_of_the_outer_resolvents_are_bounded_and_exact_without_a_box(seed):
    """‖Y_i‖ with Y = W (I − D W)⁻¹, and the rows of (I − W D)⁻¹ = I + Y D, at all corners."""
    rng, sizes = np.random.default_rng(seed), (2, 2, 3)
    weight, least = drawn(rng, sizes), rng.normal(size=7)
    most = least + rng.exponential(size=7)
    bounds, exact = (reach(read_system(weight, sizes, box)) for box in ((least, most), (least, least)))
    for k, d in enumerate(itertools.product(*zip(least, most, strict=True))):
        y = weight.T @ np.linalg.inv(np.eye(7) - np.array(d)[:, None] * weight.T)
        rows = [np.linalg.norm(a, axis=1) for a in (y, np.eye(7) + y * np.array(d))]
        assert all((row <= bound * UP + 1e-12).all() for row, bound in zip(rows, bounds, strict=True))
        if not k:
            assert all(np.allclose(row, bound, rtol=1e-12, atol=1e-12) for row, bound in zip(rows, exact, strict=True))


def test_bad_balls_are_refused_in_words():
    machine = mk.DenseMachine((2, 2), "tanh", rng=0)
    with pytest.raises(ValueError, match=r"radius is -1.0; pass a finite number"):
        regional_bound(machine, np.zeros(2), -1.0)
    with pytest.raises(ValueError, match=r"y0_radius is inf"):
        regional_bound(machine, np.zeros(2), 1.0, y0_radius=math.inf)
    with pytest.raises(TypeError, match=r"z0 is given with a state"):
        regional_bound(machine, machine.solve(np.zeros(2)), 1.0, z0=np.zeros(4))
    with pytest.raises(TypeError, match=r"machine is a ndarray"):
        regional_bound(np.zeros((2, 2)), np.zeros(2), 1.0)


# Parameters and second order -----------------------------------------------------------------------


PLACES = [
    (mk.DenseMachine((3, 2, 3), "tanh", bias=True, rng=0), ()),
    (mk.DenseMachine((3, 0, 3), "gelu", rng=1), ()),
    (mk.ConvMachine((1, 2), "softplus", padding=((1, 1),), bias=True, rng=2), (5,)),
    (mk.RecurrentMachine((1, 1), ("sin", "tanh"), memory=1, bias=True, rng=3), (4,)),
]


@pytest.mark.parametrize(("machine", "grid"), PLACES)
@pytest.mark.parametrize("batch", [(), (3,)])
def test_the_parameter_bound_holds_and_is_near_the_jacobian(machine, grid, batch):
    """Against the norm of the whole Jacobian in all live weights and biases, direction by direction."""
    state = machine.solve(np.random.default_rng(0).normal(size=(*batch, *grid, machine.partition.channels)))
    columns = []
    for name, array in machine.parameters().items():
        live = machine.live if name == "weight" else np.ones(array.shape, bool)
        for place in np.argwhere(live):
            direction = np.zeros(array.shape)
            direction[tuple(place)] = 1.0
            columns.append(machine.pushforward(state, **{name: direction}).z.ravel())
    truth = np.linalg.norm(np.stack(columns, axis=1), 2)
    d = machine.slope(state)
    local = parameter_bound(machine, state, slopes=(d, d)) if not batch else math.inf
    assert truth <= parameter_bound(machine, state) * UP
    assert truth <= local * UP
    assert batch or local <= 6.0 * truth


@pytest.mark.parametrize(("machine", "grid"), PLACES)
def test_what_blocks_read_times_a_direction_is_what_it_makes_of_z(machine, grid):
    rng, p = np.random.default_rng(1), machine.partition
    z = rng.normal(size=(2, *grid, p.channels))
    weight, bias = machine.project(rng.normal(size=p.weight_shape)), rng.normal(size=p.channels)
    image = apply(p, weight, z) + (0.0 if machine.bias is None else bias)
    for k, own in enumerate(p.blocks):
        stacked = [] if machine.bias is None else [bias[None, own]]
        stacked += [weight[(*p.tap(lag), reads, own)] for lag, reads in p.taps[k]]
        if stacked and own.stop > own.start:
            found = block_readings(machine, z, k) @ np.concatenate(stacked)
            assert np.allclose(found, image[..., own].reshape(found.shape), rtol=1e-12, atol=1e-12)


def test_the_second_order_bound_of_one_layer_is_exact():
    """z[1] = σ(2 z[0]) + …, of which the second derivative is 4 σ″; σ″ of the first block has no part in it."""
    weight = np.array([[0.0, 2.0], [0.0, 0.0]])
    assert second_order_bound(weight, (1, 1), slopes=(0, 0), curvature=0.5) == pytest.approx(2.0, rel=1e-12)
    assert second_order_bound(weight, (1, 1), slopes=(0, 0), curvature=np.array([9.0, 0.5])) == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["tanh", "gelu", "sin", "square"])
def test_the_second_order_bound_holds(name):
    """Against D²z[u, u] by central differences of the tangent, at many points and directions."""
    rng = np.random.default_rng(4)
    machine = mk.DenseMachine((2, 2, 2), name, weight=rng.normal(size=(6, 6)) * 0.7)
    y0, h = rng.normal(size=6), 1e-5
    radius = 0.1 if name == "square" else 0.5
    there = region(machine, y0, radius)
    local = second_order_bound(machine, slopes=(there.least, there.most), curvature=there.curvature)
    bounds = [local] if name == "square" else [local, second_order_bound(machine)]
    assert min(bounds) == local
    most = 0.0
    for _ in range(200):
        u, z0 = rng.normal(size=(2, 6))
        u, z0 = u / np.linalg.norm(u), (radius - 2 * h) * z0 / np.linalg.norm(z0) * rng.random()
        ends = [machine.pushforward(machine.solve(y0, z0 + s * h * u), z0=u).z for s in (1, -1)]
        most = max(most, float(np.linalg.norm(ends[0] - ends[1])) / (2 * h))
    assert all(most <= bound * (1 + 1e-6) for bound in bounds)
    assert most > 0.02 * local


def test_the_second_order_bound_of_kinks_is_infinite_where_they_matter():
    assert second_order_bound(mk.DenseMachine((2, 2), "relu", rng=0)) == math.inf
    assert second_order_bound(mk.DenseMachine((2, 2), ("relu", "tanh"), rng=0)) < math.inf  # z[0] = relu(y0) + z0
    assert second_order_bound(mk.DenseMachine((2, 2), "identity", rng=0)) == 0.0
    with pytest.raises(TypeError, match="curvature is None"):
        second_order_bound(np.zeros((2, 2)), (1, 1))
    with pytest.raises(ValueError, match="curvature is -1"):
        second_order_bound(np.zeros((2, 2)), (1, 1), curvature=-1)
