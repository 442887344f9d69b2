"""Which way a machine is run on CuPy and who may run it at once: `method=`, streams, threads; on the stand-in."""

import threading
from functools import partial

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import pick_backend, to_host
from machinekit.engine import device_plan as plan_module
from machinekit.machines import first_order, kept

from .helpers import assert_equal
from .standin.install import installed


@pytest.fixture(scope="module", autouse=True)
def cupy():
    with installed() as module:
        yield module


def test_the_quick_path_by_shapes_serves_cupy(monkeypatch):
    """The second call of a shape finds its plan at once; another library is refused all the same."""
    monkeypatch.setattr(kept, "choose", lambda *given: "plan")
    machine = mk.DenseMachine((2, 3), rng=0, backend="cupy")
    y0 = pick_backend("cupy").from_host(np.ones((4, 5)))
    state = machine.solve(y0)
    machine.pullback(state, y0)
    monkeypatch.setattr(first_order, "check_signals", None)
    assert machine.pullback(machine.solve(y0), y0).weight.shape == (5, 5)
    assert machine._known[(y0.shape, None)].home.name == "cupy"
    monkeypatch.setattr(kept.Kept, "_here", lambda *given: False)  # as for arrays on another device
    for call in (machine.solve, partial(machine.pullback, state)):
        with pytest.raises(TypeError, match="not callable"):  # the checks are asked
            call(y0)
    monkeypatch.undo()
    with pytest.raises(TypeError, match="nothing is moved silently"):
        machine.solve(np.ones((4, 5)))
    with pytest.raises(TypeError, match="precision"):
        machine.solve(y0.astype("float32"))


def test_a_workspace_belongs_to_a_stream(cupy):
    """What runs on two streams at once must not meet in one buffer; the streams remembered are bounded."""
    machine = mk.DenseMachine((2, 3), rng=0, backend="cupy")
    y0 = pick_backend("cupy").from_host(np.ones((4, 5)))
    machine.solve(y0, method="plan")
    plan = machine._plan((4,), y0, method="plan")
    streams = [cupy.cuda.Stream() for _ in range(20)]
    seen = []
    for stream in streams[:2]:
        with stream:
            machine.solve(y0, method="plan")
            workspace = plan.take(4, None)
            seen.append(workspace)
            plan.give(workspace, 4)
    assert seen[0] is not seen[1]
    with streams[0]:
        assert plan.take(4, None) is seen[0], "the next call on a stream finds the workspace of the last"
    for stream in streams:
        with stream:
            machine.solve(y0, method="plan")
    assert len(plan._pools) <= plan_module._STREAMS


def test_threads_with_streams_of_their_own_get_the_serial_results(cupy):
    moved, home = mk.RecurrentMachine((2, 3, 1), memory=3, rng=0, backend="cupy"), pick_backend("cupy")
    given_ = [home.from_host(np.random.default_rng(k).standard_normal((3, 7, 6))) for k in range(8)]

    def gradient(y0):
        return to_host(moved.pullback(moved.solve(y0, method="plan"), y0, method="plan").weight)

    serial, results = [gradient(y0) for y0 in given_], {}

    def work(k):
        with cupy.cuda.Stream():
            for _ in range(3):
                results[k] = gradient(given_[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.array_equal(results[k], serial[k]) for k in range(8))


REFUSED = {
    "on the host": (lambda: mk.DenseMachine((1, 1), rng=0), "runs on a GPU only"),
    "complex": (lambda: mk.DenseMachine((1, 1), rng=0, dtype="complex128", backend="cupy"), "complex128"),
    "an activation of one's own": (
        lambda: mk.DenseMachine((1, 1), mk.Activation(lambda y: y * y, lambda y: 2.0 * y), rng=0, backend="cupy"),
        "not a built-in one",
    ),
    "an equilibrium": (
        lambda: mk.EquilibriumMachine((2,), weight=pick_backend("cupy").zeros((2, 2), "float64")),
        "found by iteration",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_kernel_that_cannot_serve_says_why(why):
    """Every verb that takes `method`."""
    make, text = REFUSED[why]
    machine = make()
    home = pick_backend(machine.backend)
    y0 = home.from_host(np.ones((3, 2)), str(machine.dtype))
    state = machine.solve(y0)
    pulled = machine.pullback(state, y0)
    for call in (
        lambda: machine.solve(y0, method="kernel"),
        lambda: machine.pullback(state, y0, method="kernel"),
        lambda: machine.pushforward(state, y0, method="kernel"),
        lambda: machine.pullback_inputs(state, y0, method="kernel"),
        lambda: machine.pullback_tangent(state, pulled, {"y0": y0}, method="kernel"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


def test_an_unknown_method_is_refused_by_every_verb():
    machine = mk.DenseMachine((1, 1), rng=0)
    state = machine.solve(np.ones((3, 2)))
    pulled = machine.pullback(state, state.z)
    for call in (machine.pullback, machine.pushforward, machine.pullback_inputs):
        with pytest.raises(TypeError, match=r"kernal.*did you mean 'kernel'"):
            call(state, state.z, method="kernal")
    with pytest.raises(TypeError, match=r"kernal.*did you mean 'kernel'"):
        machine.pullback_tangent(state, pulled, {}, method="kernal")


def test_a_plan_can_be_forced_on_numpy_and_not_where_there_is_none():
    machine = mk.DenseMachine((2, 3), rng=0)
    y0 = np.ones((4, 5))
    assert_equal("z", machine.solve(y0, method="plan").z, machine.solve(y0).z)
    strict = machine.to("array_api_strict:device1")
    moved = pick_backend("array_api_strict:device1").from_host(y0)
    with pytest.raises(ValueError, match="only the reference sweep runs"):
        strict.solve(moved, method="plan")
    assert strict.solve(moved, method="reference").z.shape == (4, 5)
