"""A sweep by one kernel is the reference sweep, whatever the order of its threads and however they are dealt out."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.activations import NAMES, Diagonal, SlopeAt
from machinekit.arrays import NUMPY, to_host
from machinekit.engine import sweep
from machinekit.gpu import KernelPlan
from machinekit.linear import apply, sum_to, transpose, weight_cotangent

from .gpu_runs import DEALT, Fenced, close, dealt, device, every_order, is_standin
from .helpers import assert_close, tolerance
from .standin.ledger import launches
from .strategies import cases

REAL = ("float64", "float32")
CURVES = ("tanh", "softplus")


@pytest.fixture(scope="module")
def home(spec):
    with device(spec) as found:
        yield found


def wide(array, shape):
    full = np.zeros(shape)
    if array is not None:
        full[..., : array.shape[-1]] = array
    return full


def reference_solve(partition, weight, bias, sigma, y0, z0, shape):
    start = wide(y0, shape) + (0 if bias is None else bias)
    return sweep(partition, weight.astype(float), sigma, start, wide(z0, shape))


@pytest.mark.parametrize("name", DEALT)
@given(case=cases(dtypes=REAL, names=CURVES, most=4))
def test_a_sweep_by_one_kernel_is_the_reference_sweep(home, name, case):
    """Forward and dual, any width of input and seed, weight and bias cotangent, products; Algorithm 1."""
    numbers, lead = case.numbers(), (*case.batch, *case.grid)
    machine = case.machine(NUMPY, numbers)
    p, shape, context = machine.partition, (*lead, machine.partition.channels), (case, name)
    with Fenced(home).block() as fenced:
        plan = KernelPlan(p, lead, case.dtype, home, dealt(p, lead, case.dtype, name))
        dual = KernelPlan(p.dual(), lead, case.dtype, home, dealt(p.dual(), lead, case.dtype, name))
        weight, bias, y0, z0 = map(fenced.of, (machine.weight, machine.bias, numbers.y0, numbers.z0))
        sigma = Diagonal.trusted(fenced.of(numbers.slope)) if case.linear else machine.pointwise
        with launches() as launched:
            y, z = every_order(home, lambda: plan.solve(weight, bias, sigma, y0, z0), *context)
        if is_standin(home) and not case.linear:
            assert len(launched) == 3 * bool(y.size), "one launch for each of three orders"
        given_ = (machine.weight, machine.bias, machine.pointwise, numbers.y0, numbers.z0)
        want_y, want_z = reference_solve(p, *given_, shape)
        close("y", y, want_y, case.dtype, *context)
        close("z", z, want_z, case.dtype, *context)

        seeds = tuple(map(fenced.of, (numbers.seed_z, numbers.seed_y)))
        value = z if numbers.z0 is None and not case.linear else None
        turned = transpose(p, weight)
        state, shape_of_bias = (y, z, value), (p.channels,)
        u, v, out, sums = every_order(
            home, lambda: dual.pullback(turned, sigma, state, seeds, None, shape_of_bias), *context
        )
        slope = machine.pointwise.slope(want_y)
        want_u, want_v = reference_solve(
            p.dual(), transpose(p, machine.weight), None, Diagonal.trusted(slope), numbers.seed_z, numbers.seed_y, shape
        )
        close("u", u, want_u, case.dtype, *context)
        close("v", v, want_v, case.dtype, *context)
        close("weight", out, weight_cotangent(p, want_z, want_v), case.dtype, *context)
        close("bias", sums, sum_to(want_v, shape_of_bias), case.dtype, *context)
        assert not to_host(out)[~machine.live].any(), "a dead weight has a cotangent"
        assert dual.pullback(turned, sigma, state, seeds, None, None, False)[::3] == (None, None)

        moved, primal = fenced.of(machine.project(numbers.dweight)), fenced.of(numbers.dz0)
        image, _ = every_order(home, lambda: plan.products(moved, z), *context)
        close("products", image, apply(p, to_host(moved).astype(float), to_host(z).astype(float)), case.dtype, *context)
        image, out = every_order(home, lambda: dual.products(transpose(p, moved), v, primal), *context)
        host = to_host(v).astype(float)
        close("dual products", image, apply(p.dual(), transpose(p, to_host(moved).astype(float)), host), case.dtype)
        close("contraction", out, weight_cotangent(p, numbers.dz0.astype(float), host), case.dtype, *context)


@given(case=cases(dtypes=REAL, names=CURVES))
def test_the_verbs_of_a_machine_by_kernels_are_those_on_numpy(home, case):
    """solve, pushforward, pullback, pullback_tangent, with all directions."""
    numbers, kernel = case.numbers(), {"method": "kernel"}
    along = {"y0": numbers.dy0, "z0": numbers.dz0, "weight": numbers.dweight}
    if case.bias:
        along["bias"] = numbers.dbias
    if case.linear:
        along["slope"] = numbers.dslope
    found = []
    for backend, method in ((NUMPY, {"method": "reference"}), (home, kernel)):
        move = lambda a: None if a is None else backend.from_host(a)  # noqa: B023, E731
        machine = case.machine(backend, numbers)
        machine = machine.prune(np.random.default_rng(case.seed).random(machine.weight.shape) < 0.7)
        state = machine.solve(move(numbers.y0), move(numbers.z0), **method)
        tangent = machine.pushforward(state, **{k: move(a) for k, a in along.items()}, **method)
        cotangent = machine.pullback(state, move(numbers.seed_z), y=move(numbers.seed_y), **method)
        answers = [state.y, state.z, tangent.y, tangent.z, cotangent.y0, cotangent.z0, *cotangent.parameters.values()]
        if not case.linear:
            seeds = [move(numbers.seed_y), move(numbers.seed_z)]
            bent = machine.pullback_tangent(state, cotangent, tangent, seeds[1], y=seeds[0], **method)
            answers += [bent.y0, bent.z0, *bent.parameters.values()]
        assert not to_host(cotangent.weight)[~machine.live].any()
        found.append(answers)
    for k, (want, got) in enumerate(zip(*found, strict=True)):
        close(f"answer {k}", got, want, case.dtype, case)


def every_activation(home, dtype):
    sizes = (1,) * len(NAMES)
    machine = mk.DenseMachine(sizes, list(NAMES), rng=0, bias=True, dtype=dtype)
    rng = np.random.default_rng(1)
    extremes = np.array([-80.0, -41.0, -1.0, -0.0, 0.0, 1e-3, 0.5, 2.0, 41.0, 80.0])
    return machine, rng.uniform(-3, 3, (40, 1)) + rng.permuted(np.resize(extremes, (40, len(NAMES))), axis=0)


@pytest.mark.parametrize("dtype", REAL)
def test_every_activation_and_its_slope(home, dtype):
    """At both ends and at kinks, from y and from σ(y)."""
    machine, points = every_activation(home, dtype)
    p, y0 = machine.partition, points.astype(dtype)
    nothing = np.zeros_like(machine.weight)
    plan = KernelPlan(p, (40,), dtype, home)
    weight, start = home.from_host(nothing), home.from_host(y0)
    y, z = plan.solve(weight, None, machine.pointwise, start, None)
    assert np.array_equal(to_host(y), y0)
    want = machine.pointwise.value(y0.astype(float))
    assert_close("σ", z, want, tolerance(dtype, np.abs(want) + np.abs(y0) + 1))
    ones = home.from_host(np.ones_like(y0))
    for value in (None, z):
        _, slopes = plan.solve(weight, None, SlopeAt(machine.pointwise, y, value), ones, None)
        assert_close("σ′", slopes, machine.pointwise.slope(y0.astype(float)), tolerance(dtype, 4 + np.abs(y0)), value)


def test_slopes_come_from_the_value_where_there_is_one(home):
    """tanh′ of a value is 1 − z², a pass without a transcendental; softplus has no such formula."""
    machine = mk.DenseMachine((1, 1), ["tanh", "softplus"], rng=0)
    y, value, ones = (home.from_host(np.full((3, 2), a)) for a in (0.0, 0.5, 1.0))
    plan = KernelPlan(machine.partition, (3,), "float64", home)
    weight = home.from_host(np.zeros((2, 2)))
    _, slopes = plan.solve(weight, None, SlopeAt(machine.pointwise, y, value), ones, None)
    assert np.array_equal(to_host(slopes), [[0.75, 0.5]] * 3)


@pytest.mark.parametrize("scan", [(), (2,), (1, 0)])
@pytest.mark.parametrize("name", DEALT)
def test_three_grid_axes(home, scan, name):
    """With different extents and paddings on each."""
    padding = ((1, 0), (0, 2), (2, 1))
    m = mk.GridMachine((2, 1, 3), "tanh", padding=padding, scan=scan, time_block=(2, 1)[: len(scan)], rng=0, bias=True)
    rng, lead = np.random.default_rng(0), (2, 3, 4, 5)
    y0, seed = (rng.standard_normal((*lead, 6)) for _ in range(2))
    p = m.partition
    plans = [KernelPlan(q, lead, "float64", home, dealt(q, lead, "float64", name)) for q in (p, p.dual())]
    weight, bias, start, back = map(home.from_host, (m.weight, m.bias, y0, seed))
    y, z = every_order(home, lambda: plans[0].solve(weight, bias, m.pointwise, start, None))
    state = m.solve(y0, method="reference")
    close("z", z, state.z, "float64")
    args = (transpose(p, weight), m.pointwise, (y, z, z), (back, None), None, (6,))
    u, v, out, sums = every_order(home, lambda: plans[1].pullback(*args))
    want = m.pullback(state, seed)
    wanted = (want.z0, want.y0, want.weight, want.bias)
    for what, got, good in zip(("u", "v", "weight", "bias"), (u, v, out, sums), wanted, strict=True):
        close(what, got, good, "float64")


@given(case=cases(linear=False, dtypes=["float64"], names=CURVES, least=1), data=st.data())
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_spreads_as_in_the_reference_sweep(home, bad, case, data):
    """What lies outside the grid is left out, not multiplied by zero."""
    numbers = case.numbers()
    if not numbers.y0.size:
        return
    y0 = numbers.y0.copy()
    y0.flat[data.draw(st.integers(0, y0.size - 1))] = bad
    machine = case.machine(NUMPY, numbers)
    plan = KernelPlan(machine.partition, y0.shape[:-1], "float64", home)
    move = lambda a: None if a is None else home.from_host(a)  # noqa: E731
    y, z = plan.solve(move(machine.weight), move(machine.bias), machine.pointwise, move(y0), move(numbers.z0))
    with np.errstate(all="ignore"):
        want = machine.solve(y0, numbers.z0, method="reference")
    for got, wanted in ((y, want.y), (z, want.z)):
        assert np.array_equal(np.isfinite(to_host(got)), np.isfinite(wanted)), case


def test_every_tile_and_memory_was_met():
    """The ways to deal out threads cover the four sweeps."""
    ways = {(d["tile"], d.get("shared", True)) for d in DEALT.values() if d}
    assert ways == set(itertools.product((1, 4), (True, False)))
