"""The plan of array calls on CuPy, on its stand-in: the reference's answers, no transfers, few launches."""

from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import NUMPY, pick_backend, to_host
from machinekit.engine import device as device_module
from machinekit.engine import device_plan as plan_module
from machinekit.engine.device import DeviceGrid, DeviceLine
from machinekit.engine.device_plan import DevicePlan
from machinekit.gpu import pointwise

from .helpers import assert_close, assert_equal, tolerance
from .standin.install import installed
from .standin.ledger import launches, transfers
from .strategies import cases

KINDS = {
    "dense": (mk.DenseMachine, {}, ()),
    "recurrent": (mk.RecurrentMachine, {"memory": 3}, (7,)),
    "recurrent, reversed": (mk.RecurrentMachine, {"memory": 2, "reverse": (-1, 0)}, (5,)),
    "recurrent, looking back further than there is": (mk.RecurrentMachine, {"memory": 6}, (4,)),
    "recurrent, in time blocks": (mk.RecurrentMachine, {"memory": 3, "time_block": 2}, (7,)),
    "conv1d": (mk.ConvMachine, {"padding": ((2, 1),)}, (5,)),
    "conv2d": (mk.ConvMachine, {"padding": ((1, 0), (0, 2))}, (3, 4)),
    "raster": (mk.GridMachine, {"padding": ((1, 0), (1, 1)), "scan": (0, 1), "reverse": (1,)}, (3, 3)),
}
SIZES = (2, 0, 3, 1)
BATCHES = [(), (5,), (2, 3)]
SCHEDULES = {
    "as chosen": {},
    "the live half only": {"_WHOLE_PRODUCT": -1},
    "tiles of few samples": {"_BYTES": 1500},
    "buffers that are returned": {"_OWN_BYTES": 0},
    "buffers that are not kept": {"_KEPT_BYTES": -1},
    "array functions": {"_REAL": ""},
}
_MODULES = (device_module, plan_module, pointwise)


@pytest.fixture(scope="module", autouse=True)
def cupy():
    with installed() as module:
        yield module


@contextmanager
def schedule(name):
    """Other constants than the guessed ones, as for machines of another size, or no fused kernels."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in SCHEDULES[name].items():
            for module in _MODULES:
                if hasattr(module, key):
                    patch.setattr(module, key, value)
        yield


def made(kind, dtype="float64", activation=("tanh", "tanh", "sigmoid", "silu"), **more):
    cls, options, grid = KINDS[kind]
    return cls(SIZES, list(activation), bias=True, rng=0, dtype=dtype, backend="numpy", **options, **more), grid


def everything(machine, home, numbers, method):
    """Return all that a machine's verbs answer, by name."""
    n = {k: None if a is None else home.from_host(a) for k, a in vars(numbers).items()}
    state = machine.solve(n["y0"], n["z0"], method=method)
    pulled = machine.pullback(state, n["seed_z"], y=n["seed_y"], method=method)
    along = {k[1:]: n[k] for k in ("dweight", "dbias", "dslope") if n[k] is not None}
    tangent = machine.pushforward(state, n["dy0"], n["dz0"], **along, method=method)
    found = {"y": state.y, "z": state.z, "y0": pulled.y0, "z0": pulled.z0, "ty": tangent.y, "tz": tangent.z}
    found |= {f"cotangent of {k}": a for k, a in pulled.parameters.items()}
    found |= {} if pulled.slope is None else {"slope": pulled.slope}
    inputs = machine.pullback_inputs(state, n["seed_z"], y=n["seed_y"], method=method)
    found |= {"v": inputs.saved.z, "u": inputs.saved.y}
    if machine.pointwise.smoothness >= 1:
        bent = machine.pullback_tangent(state, pulled, tangent, n["dz0"], y=n["dy0"], method=method)
        found |= {"bent y0": bent.y0, "bent z0": bent.z0} | {f"bent {k}": a for k, a in bent.parameters.items()}
    return found


def compare(got, want, dtype, *context):
    assert set(got) == set(want)
    for name, wanted in want.items():
        assert str(got[name].dtype) == str(wanted.dtype), (name, *context)
        size = 1.0 + max(float(np.abs(a).max(initial=0.0)) for a in want.values())
        scale = size * (1 + sum(a.size for a in want.values()))
        assert_close(name, got[name], wanted, 16 * tolerance(dtype, scale), *context)


@pytest.mark.parametrize("name", SCHEDULES)
@given(case=cases(), twice=st.booleans())
def test_every_machine_equals_the_reference_sweep(name, case, twice):
    """Forward, tangent, dual, dual tangent and all cotangents; any widths, dtypes, orders; Algorithm 1."""
    numbers, home = case.numbers(), pick_backend("cupy")
    if numbers.seed_z is None and numbers.seed_y is None:
        numbers.seed_z = numbers.dz0
    want = everything(case.machine(NUMPY, numbers), NUMPY, numbers, "reference")
    with schedule(name):
        machine = case.machine(home, numbers)
        for _ in range(1 + twice):  # a workspace that has been used is as good as a new one
            got = everything(machine, home, numbers, "plan")
    compare(got, want, case.dtype, case, name)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", BATCHES, ids=str)
@pytest.mark.parametrize(("dtype", "pruned"), [("float64", True), ("float32", False)])
def test_every_kind_and_batch_equals_the_reference(name, kind, batch, dtype, pruned, cupy):
    """Pruned weights stay dead; nothing is copied or waited for; results stay on the device and are the same twice."""
    machine, grid = made(kind, dtype)
    if pruned:
        machine = machine.prune(np.random.default_rng(1).random(machine.weight.shape) < 0.6)
    numbers = drawn(machine, (*batch, *grid), dtype)
    home, moved = pick_backend("cupy"), machine.to("cupy")
    want = everything(machine, NUMPY, numbers, "reference")
    with schedule(name):
        got, again = (everything(moved, home, numbers, "plan") for _ in range(2))
    compare(got, want, dtype, kind, batch, name)
    assert not to_host(got["cotangent of weight"])[~machine.live].any()
    for what, array in again.items():
        assert isinstance(array, cupy.ndarray)
        assert_equal(what, array, got[what])


def drawn(machine, lead, dtype):
    """Draw all that `everything` reads; z0 and one seed of fewer channels."""
    rng, c = np.random.default_rng(2), machine.partition.channels

    def draw(*shape):
        return rng.uniform(-1, 1, shape).astype(dtype)

    class Numbers:
        pass

    numbers = Numbers()
    numbers.__dict__.update(
        y0=draw(*lead, c), z0=draw(*lead, 5), seed_z=draw(*lead, c), seed_y=draw(*lead, 2), dy0=draw(*lead, c),
        dz0=draw(*lead, 5), dweight=draw(*machine.weight.shape), dbias=draw(c), dslope=None,
    )  # fmt: skip
    return numbers


@pytest.mark.parametrize("kind", KINDS)
def test_no_verb_copies_between_host_and_device_or_waits(kind):
    machine, grid = made(kind)
    home, moved = pick_backend("cupy"), machine.prune(np.ones(machine.weight.shape, bool)).to("cupy")
    numbers = drawn(machine, (3, *grid), "float64")
    n = {k: None if a is None else home.from_host(a) for k, a in vars(numbers).items()}
    for _ in range(2):  # not even when the plan is made
        with transfers() as seen:
            state = moved.solve(n["y0"], n["z0"], method="plan")
            pulled = moved.pullback(state, n["seed_z"], y=n["seed_y"], method="plan")
            tangent = moved.pushforward(state, n["dy0"], weight=n["dweight"], bias=n["dbias"], method="plan")
            moved.pullback_tangent(state, pulled, tangent, method="plan")
            assert pulled.z0 is not None
        assert seen == []


def launched(call):
    with launches() as seen:
        call()
    return [name for name in seen if name not in ("empty", "zeros")]  # memory: no kernel, or none worth the name


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_a_dense_step_is_a_product_and_a_pointwise_kernel(blocks):
    """Start in, then two launches for each block but the first, y and z out; the dual as many, and the slope."""
    home = pick_backend("cupy")
    machine = mk.DenseMachine((3,) * blocks, "tanh", bias=True, rng=0, backend="cupy")
    y0 = home.from_host(np.random.default_rng(0).standard_normal((4, 3 * blocks)))
    for _ in range(2):
        state = machine.solve(y0, method="plan")
        machine.pullback(state, y0, method="plan")
    found = launched(lambda: machine.solve(y0, method="plan"))
    assert found.count("gemm") == blocks - 1
    assert len(found) == 1 + 2 * blocks - 1 + 2, found
    found = launched(lambda: machine.pullback(state, y0, method="plan"))
    assert found.count("gemm") == blocks - 1 + 1  # the weight cotangent is one more
    assert len(found) == 2 + 2 * blocks - 1 + 2 + 1 + 1, found  # slope, seed; weight and its dead half; v; bias


def test_the_dual_tangent_is_bounded_in_launches():
    """The products of a sweep at once, the change of the slopes in one launch, the dual sweep, and one sum."""
    machine, blocks = mk.DenseMachine((3, 4, 2), "tanh", bias=True, rng=0, backend="cupy"), 3
    y0 = pick_backend("cupy").from_host(np.random.default_rng(0).standard_normal((4, 9)))
    for _ in range(2):
        state = machine.solve(y0, method="plan")
        pulled = machine.pullback(state, y0, method="plan")
        tangent = machine.pushforward(state, y0, weight=machine.weight, method="plan")
        assert pulled.z0.shape == y0.shape
        call = partial(machine.pullback_tangent, state, pulled, tangent, method="plan")
        found = launched(call)
    assert found.count("gemm") == 3 * (blocks - 1) - (blocks - 1) + 2
    assert found.count("machinekit_pointwise") == 1 + 1 + blocks
    assert len(found) <= 24, found


@pytest.mark.parametrize(("kind", "times", "most"), [("recurrent", 7, 7), ("recurrent, in time blocks", 4, 10)])
def test_a_recurrent_step_is_bounded_in_launches(kind, times, most):
    """The past of all blocks, then a product and a pointwise kernel for each; a copy of taps more in time blocks."""
    machine, grid = made(kind)
    moved, home = machine.to("cupy"), pick_backend("cupy")
    y0 = home.from_host(np.random.default_rng(0).standard_normal((4, *grid, 6)))
    moved.solve(y0, method="plan")
    found = launched(lambda: moved.solve(y0, method="plan"))
    blocks = len(machine.partition.block_order)
    assert found.count("gemm") == times * blocks
    assert len(found) <= times * most + 3 * times, found


def test_a_sigmoid_among_tanh_costs_no_launch_more_in_a_step():
    one = mk.DenseMachine((2, 2, 2), "tanh", rng=0, backend="cupy")
    other = mk.DenseMachine((2, 2, 2), ["tanh", "sigmoid", mk.leaky_relu(0.1)], rng=0, backend="cupy")
    y0 = one.weight[:4, :]
    counts = []
    for machine in (one, other):
        machine.solve(y0, method="plan")
        counts.append(len(launched(lambda machine=machine: machine.solve(y0, method="plan"))))
    assert counts[0] == counts[1]


def test_each_kind_gets_the_schedule_that_is_documented():
    def workspace(machine, lead):
        plan = machine.to("cupy")._plan(lead, method="plan")
        assert type(plan) is DevicePlan
        assert plan.tile == plan.samples
        return type(plan._new(plan.tile))

    for kind in KINDS:
        machine, grid = made(kind)
        assert workspace(machine, (3, *grid)) is (DeviceLine if kind in list(KINDS)[:4] else DeviceGrid)


@pytest.mark.parametrize("name", SCHEDULES)
def test_results_alias_neither_each_other_nor_workspaces(name):
    for kind in KINDS:
        machine, grid = made(kind)
        moved, y0 = machine.to("cupy"), np.random.default_rng(0).standard_normal((3, *grid, 6))
        y0 = pick_backend("cupy").from_host(y0)
        with schedule(name):
            state = moved.solve(y0, method="plan")
            pulled = moved.pullback(state, y0, method="plan")
            kept = [to_host(a).copy() for a in (state.y, state.z, pulled.y0, pulled.weight)]
            moved.pullback(moved.solve(2.0 * y0, method="plan"), 3.0 * y0, method="plan")
        for was, array in zip(kept, (state.y, state.z, pulled.y0, pulled.weight), strict=True):
            assert array.flags.c_contiguous
            assert_equal(kind, array, was)


def test_an_activation_of_ones_own_is_computed_by_array_functions(cupy):
    cube = mk.Activation(lambda y: y * y * y, lambda y: 3.0 * y * y, name="tanh")  # its name does not deceive
    for dtype in ("float64", "complex128"):
        host = mk.DenseMachine((2, 3), cube, rng=0, dtype=dtype)
        y0 = np.random.default_rng(0).standard_normal((4, 5)).astype(dtype)
        want = host.solve(y0)
        moved = host.to("cupy")
        got = moved.solve(cupy.asarray(y0), method="plan")
        assert_close("z", got.z, want.z, 64 * tolerance(dtype, 10.0))
        pulled = moved.pullback(got, got.z, method="plan")
        assert_close("weight", pulled.weight, host.pullback(want, want.z).weight, 64 * tolerance(dtype, 100.0))


def test_an_empty_batch_has_nothing_to_run():
    machine = mk.DenseMachine((2, 3), rng=0, backend="cupy")
    y0 = pick_backend("cupy").zeros((0, 5), "float64")
    state = machine.solve(y0, method="plan")
    assert state.z.shape == (0, 5)
    assert machine.pullback(state, y0, method="plan").weight.shape == (5, 5)
