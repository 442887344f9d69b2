"""A fair clock on a GPU, and peers set up for one; with fakes where a GPU would be needed."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from machinekit.arrays import NUMPY
from machinekit.benchmarking import Pace, Problem, mismatches, ours, pick_workloads
from machinekit.benchmarking import torch_peer as torch_peer_module
from machinekit.benchmarking.clocks import DeviceClock, HostClock
from machinekit.benchmarking.competitors import CannotExpressError, Competitor, installed
from machinekit.benchmarking.device import describe_precision, release_memory
from machinekit.benchmarking.runner import tasks
from machinekit.benchmarking.timing import Task, measure
from machinekit.benchmarking.torch_device import finisher, prepare, record


class Fake(SimpleNamespace):
    """A CUDA device's worth of names that note what is called."""

    @classmethod
    def backend(cls, log, stream=0):
        class Event:
            def record(self):
                log.append("record")

            def synchronize(self):
                log.append("synchronize")

        cuda = SimpleNamespace(
            Event=Event,
            runtime=SimpleNamespace(deviceSynchronize=lambda: log.append("device")),
            get_elapsed_time=lambda start, stop: 6.0,
            get_current_stream=lambda: SimpleNamespace(ptr=stream),
        )
        pool = SimpleNamespace(free_all_blocks=lambda: log.append("free"))
        xp = SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool)
        return cls(name="cupy", xp=xp, device=SimpleNamespace(id=1), context=contextlib.nullcontext)

    @classmethod
    def torch(cls, log, stream=0, gpu=True):
        cuda = SimpleNamespace(
            is_available=lambda: gpu, is_initialized=lambda: gpu, set_device=lambda k: log.append(f"device {k}"),
            current_stream=lambda: SimpleNamespace(cuda_stream=stream), synchronize=lambda: log.append("wait"),
            empty_cache=lambda: log.append("empty"),
        )  # fmt: skip
        backends = SimpleNamespace(
            cudnn=SimpleNamespace(allow_tf32=True, benchmark=False, version=lambda: 90000),
            cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)),
        )
        compiler = SimpleNamespace(
            reset=lambda: log.append("reset"), cudagraph_mark_step_begin=lambda: log.append("mark")
        )
        dynamo = SimpleNamespace(mark_static_address=lambda weight: log.append("static"))
        return cls(__version__="0", cuda=cuda, backends=backends, compiler=compiler, _dynamo=dynamo,
                   version=SimpleNamespace(cuda="13.0"), set_num_threads=lambda n: log.append(f"threads {n}"),
                   autograd=SimpleNamespace(grad=None))  # fmt: skip


def test_what_runs_on_streams_of_its_own_is_waited_for_once_inside_the_events():
    log = []
    clock = DeviceClock(Fake.backend(log))
    call = lambda _: log.append("call") or "result"  # noqa: E731
    assert clock.time(call, None, 3, lambda result: log.append(f"finish {result}")) == pytest.approx(6e-3)
    assert log == ["device", "record", *["call"] * 3, "finish result", "record", "synchronize", "device"]


def test_the_host_clock_waits_once_too():
    log = []
    assert HostClock().time(log.append, "call", 2, lambda _: log.append("finish")) >= 0
    assert log == ["call", "call", "finish"]


def test_a_competitor_hands_its_finish_to_every_task():
    finish = object()
    competitor = Competitor("x", print, print, print, print, finish=finish)
    assert [task.finish for task in tasks(competitor)] == [finish] * 4


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [([1.0, 1.0, 1.0], 3), ([9.0, 1.0, 1.0, 1.0], 3), ([9.0, 5.0, 3.0, 2.0, 1.95, 7.0], 5), ([8.0, 4.0] * 50, 20)],
)
def test_calls_are_untimed_until_two_in_a_row_agree(seconds, calls):
    given = []

    class Clock:
        warm_up, sample = 20, 0.0

        def time(self, call, argument, repeats):
            given.append(repeats)
            return seconds[len(given) - 1] if len(given) <= calls else 1.0

    clock = Clock()
    times = measure([Task(("a", "b"), print)], clock, Pace(0.0, (1, 1), 0.5))
    # warmed up; then one untimed and one to find out how many fill a sample; then one untimed and the sample
    assert len(given) == calls + 4
    assert times["a", "b"].minimum == 1.0


def test_a_gpu_clock_asks_for_warmth_and_a_host_clock_does_not():
    assert DeviceClock.warm_up > 3
    assert not hasattr(HostClock, "warm_up")


def test_torch_without_a_gpu_says_so_and_tf32_is_off():
    log = []
    backend = Fake.backend(log)
    with pytest.raises(CannotExpressError, match=r"PyTorch \(0\) sees no GPU"):
        prepare(Fake.torch(log, gpu=False), backend, 2)
    torch = Fake.torch(log)
    assert prepare(torch, backend, 2) == "cuda:1"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.benchmark
    assert log[-2:] == ["threads 2", "device 1"]
    assert prepare(torch, NUMPY, 1) == "cpu"


def test_torch_is_waited_for_only_where_its_stream_is_another():
    log = []
    assert finisher(Fake.torch(log), NUMPY) is None
    assert finisher(Fake.torch(log, stream=0), Fake.backend(log, stream=0)) is None
    finisher(Fake.torch(log, stream=0), Fake.backend(log, stream=2))("z")
    assert log == ["wait"]


def test_graphs_are_recorded_or_it_is_said_why_not(monkeypatch):
    log, counters = [], {"inductor": {"cudagraph_skips": 3}}
    monkeypatch.setitem(sys.modules, "torch._dynamo.utils", SimpleNamespace(counters=counters))

    def make(call):
        return Competitor("x", call, lambda: log.append("forward"))

    def skip():
        counters["inductor"]["cudagraph_skips"] += 1

    def fail():
        raise RuntimeError("capture is not allowed\nhere")

    torch = Fake.torch(log)
    assert record(torch, make(lambda: log.append("gradient"))) == ""
    assert log == ["forward"] * 4 + ["gradient"] * 4 + ["wait"]
    assert record(torch, make(skip)) == "no CUDA graph: the compiler left out 4 of them"
    assert record(torch, make(fail)) == "no CUDA graph: RuntimeError: capture is not allowed"


@pytest.mark.parametrize(
    ("reasons", "whole", "name", "modes"),
    [
        (["", ""], True, "torch-compile", ["reduce-overhead"]),
        (["static", ""], True, "torch-compile", ["reduce-overhead", "reduce-overhead"]),
        (["no", "never"], True, "torch-compile, no graphs", ["reduce-overhead", "reduce-overhead", None]),
        ([], False, "torch-compile, no graphs", [None]),
    ],
)
def test_torch_compile_falls_back_step_by_step(monkeypatch, reasons, whole, name, modes):
    log, seen, pending = [], [], list(reasons)
    torch = Fake.torch(log)
    problem = SimpleNamespace(on_gpu=True, backend=Fake.backend(log))

    class Network:
        def __init__(self):
            self.torch, self.problem, self.whole, self.mark = torch, problem, whole, None
            self.weights, self.leaves, self.run = ["w"], [], lambda: log.append("run")

        def compile(self, mode=None):
            seen.append(mode)

    monkeypatch.setattr(torch_peer_module, "_network", lambda _: Network())
    monkeypatch.setattr(torch_peer_module, "record", lambda *_: pending.pop(0))
    competitor = torch_peer_module.build(problem, "torch-compile")
    assert (competitor.name, seen) == (name, modes)
    assert bool(competitor.remark) == ("no graphs" in name)
    assert competitor.remark in ("", "never") or "time loop" in competitor.remark
    assert log.count("static") == (1 if whole else 0)
    competitor.forward()
    assert ("mark" in log) == ("no graphs" not in name)


def test_memory_is_given_back_between_workloads(monkeypatch):
    log = []
    monkeypatch.setitem(sys.modules, "torch", Fake.torch(log))
    release_memory(NUMPY)
    assert log == []
    release_memory(Fake.backend(log))
    assert log == ["free", "empty"]


def test_precision_of_the_peers_is_read_back(monkeypatch):
    log = []
    torch = Fake.torch(log)
    torch.backends.cudnn.allow_tf32 = False
    devices = lambda: [SimpleNamespace(device_kind="Some GPU")]  # noqa: E731
    jax = SimpleNamespace(config=SimpleNamespace(jax_default_matmul_precision="highest"), devices=devices)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.delenv("CUPY_TF32", raising=False)
    facts = describe_precision()
    assert facts["TF32"] == "CuPy off, torch matmul on, torch cuDNN off, JAX precision highest"
    assert "CUDA 13.0" in facts["peers' libraries"]


@pytest.mark.parametrize("name", ["dense-small", "conv-small", "rec-small"])
def test_jax_queued_gives_the_same_results_and_waits_at_the_end(name):
    if not installed("jax"):
        pytest.skip("jax is not installed")
    from machinekit.benchmarking import jax_peer

    (workload,) = pick_workloads([name])
    problem = Problem.of(workload, backend="numpy")
    try:
        jax = jax_peer._imported(problem)
    except CannotExpressError as reason:
        pytest.skip(str(reason))
    make, split, join = jax_peer._KINDS[workload.kind]
    weight, y0, seed = problem.host()
    arrays = jax.device_put((y0, seed, split(weight, problem)))
    queued = jax_peer._competitor(jax, "jax", make(jax, problem), arrays, lambda p: join(p, problem), queued=True)
    assert mismatches(ours(problem).results(), queued.results(), 1e-4) == []
    assert np.all(np.isfinite(np.asarray(queued.finish(queued.gradient())[0])))
    assert np.all(np.isfinite(np.asarray(queued.finish(queued.backward(queued.linearize())))))


@pytest.mark.filterwarnings("ignore")  # of PyTorch about itself
def test_torch_compiled_for_graphs_runs_without_them_where_there_are_none():
    if not installed("torch"):
        pytest.skip("torch is not installed")
    (workload,) = pick_workloads(["dense-small"])
    problem = Problem.of(workload, backend="numpy")
    torch_problem = SimpleNamespace(
        **{**vars(problem), "on_gpu": False, "host": problem.host, "bounds": problem.bounds}
    )
    network = torch_peer_module._network(torch_problem)
    competitor = torch_peer_module._recorded("torch-compile", torch_problem, network)
    assert competitor.name == "torch-compile, no graphs"
    assert "left out" in competitor.remark or "CUDA" in competitor.remark
    assert mismatches(ours(problem).results(), competitor.results(), 1e-4) == []
