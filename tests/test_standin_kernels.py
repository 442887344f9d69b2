"""The stand-in runs kernels as a GPU would, and notices what a GPU leaves to chance."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from .standin import host_compiler
from .standin.install import installed
from .standin.kernels import COMPILER, ORDERS, ElementwiseKernel, LaunchError, RawKernel, RawModule, thread_order
from .standin.ledger import launches

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed, so the stand-in cannot run kernels")

REVERSE = """
extern "C" __global__ void reverse(const float* x, float* y, int n) {{
    extern __shared__ float room[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    room[threadIdx.x] = x[i];
    {barrier};
    y[i] = room[blockDim.x - 1 - threadIdx.x];
}}
"""


@pytest.fixture(scope="module")
def cupy():
    with installed() as module:
        yield module


def run_reverse(cupy, barrier, shared=None):
    x, y = cupy.arange(64, dtype=cupy.float32), cupy.zeros(64, cupy.float32)
    kernel = RawKernel(REVERSE.format(barrier=barrier), "reverse")
    kernel((2,), (32,), (x, y, np.int32(64)), shared_mem=32 * 4 if shared is None else shared)
    return y.get()


@pytest.mark.parametrize("order", ORDERS)
def test_threads_meet_at_a_barrier(cupy, order):
    with thread_order(order):
        got = run_reverse(cupy, "__syncthreads()")
    assert np.array_equal(got, np.arange(64).reshape(2, 32)[:, ::-1].reshape(-1))


def test_a_missing_barrier_shows_in_some_order(cupy):
    answers = []
    for order in ORDERS:
        with thread_order(order):
            answers.append(run_reverse(cupy, "(void)0"))
    assert not all(np.array_equal(answers[0], a, equal_nan=True) for a in answers)


def test_a_barrier_that_some_threads_pass_by_is_an_error(cupy):
    with pytest.raises(LaunchError, match="divergent: 16 of 32 threads have ended, 16 wait"):
        run_reverse(cupy, "if (threadIdx.x < 16) return; __syncthreads()")


@pytest.mark.parametrize("bytes_", [31 * 4, 0])
def test_a_write_beside_shared_memory_is_an_error(cupy, bytes_):
    with pytest.raises(LaunchError, match="wrote beside its"):
        run_reverse(cupy, "__syncthreads()", bytes_)


def test_a_shuffle_exchanges_within_a_warp_and_needs_all_lanes(cupy):
    code = """extern "C" __global__ void add(float* x, int lanes) {{
        float v = x[threadIdx.x];
        {before}
        for (int far = 16; far; far >>= 1) v += __shfl_xor_sync(0xffffffffu, v, far);
        x[threadIdx.x] = v;
    }}"""
    x = cupy.arange(64, dtype=cupy.float32)
    RawKernel(code.format(before=""), "add")((1,), (64,), (x, np.int32(32)))
    assert np.array_equal(x.get(), np.repeat([np.arange(32).sum(), np.arange(32, 64).sum()], 32))
    with pytest.raises(LaunchError, match="divergent"):
        RawKernel(code.format(before="if (threadIdx.x == 5) return;"), "add")((1,), (64,), (x, np.int32(32)))
    with pytest.raises(LaunchError, match="a lane that is not there"):
        RawKernel(code.format(before=""), "add")((1,), (24,), (x, np.int32(32)))


def test_arguments_must_be_what_the_kernel_takes(cupy):
    code = 'extern "C" __global__ void f(const float* x, double* y, long long n, bool b) {}'
    kernel = RawModule(code=code, options=("--std=c++17",)).get_function("f")
    x, y, n, b = cupy.zeros(3, cupy.float32), cupy.zeros(3), np.int64(3), np.bool_(True)
    with launches() as launched:
        kernel((1,), (1,), (x, y, n, b))
        kernel((1,), (1,), (np.uint64(0), y, 3, True))
    assert launched == ["f", "f"]
    wrong = [
        (x.get(), y, n, b), (y, y, n, b), (x, y, np.int32(3), b), (x, y, 3.0, b), (x, y, n), (None, y, n, b),
        (np.uint64(8), y, n, b), (x, y, x, b), (x, y, "3", b),
    ]  # fmt: skip
    for args in wrong:
        with pytest.raises(TypeError):
            kernel((1,), (1,), args)
    for grid, block, shared in (((1, 1 << 16), (1,), 0), ((1,), (1025,), 0), ((1,), (1,), (48 << 10) + 1)):
        with pytest.raises(LaunchError, match="INVALID_VALUE"):
            kernel(grid, block, (x, y, n, b), shared_mem=shared)
    with pytest.raises(host_compiler.CompileError):
        RawKernel('extern "C" __global__ void f() { not C }', "f")((1,), (1,), ())


def test_an_elementwise_kernel_broadcasts_and_writes_with_strides(cupy):
    kernel = ElementwiseKernel("T x, raw T w, float64 a", "T y, int32 k", "y = twice(x) + w[0] + a; k = i", "k2",
                               preamble="template <typename V> __device__ V twice(V v) { return v + v; }")  # fmt: skip
    x, w = cupy.arange(3.0), cupy.arange(6.0)[::-1]
    wide = cupy.zeros((2, 6))
    count = cupy.zeros((2, 3), cupy.int32)
    with launches() as launched:
        kernel(x[None, :], w, 0.5, wide[:, ::2], count)
    assert launched == ["k2"]
    assert np.array_equal(wide.get()[:, ::2], [[5.5, 7.5, 9.5]] * 2)
    assert not wide.get()[:, 1::2].any()
    assert np.array_equal(count.get(), np.arange(6).reshape(2, 3))
    new, _ = kernel(x.astype(cupy.float32), w.astype(cupy.float32), 0)
    assert new.dtype == np.float32


def test_an_elementwise_kernel_refuses_what_cupy_refuses(cupy):
    kernel = ElementwiseKernel("T x, T y", "T z", "z = x + y", "add")
    x = cupy.zeros(3)
    for args in ((x, x.astype(cupy.float32)), (x, np.zeros(3)), (x,), (x, x, cupy.zeros(3, cupy.float32)), (x, x, 1.0)):
        with pytest.raises(TypeError):
            kernel(*args)
    for out in (cupy.zeros(4), cupy.zeros(())):
        with pytest.raises(ValueError, match="mismatch"):
            kernel(x, x, out)
    assert float(kernel(x, 2.0)[1]) == 2.0


SANITIZED = """
import numpy as np, sys
import machinekit as mk
from machinekit.arrays import pick_backend, to_host
from machinekit.gpu import KernelPlan
from machinekit.linear import transpose
from tests.standin import host_compiler
host_compiler.FLAGS += ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-static-libubsan")
from tests.standin.install import install
install()
from tests.gpu_runs import DEALT, dealt
home = pick_backend("cupy")
machines = [mk.DenseMachine((3, 0, 33, 2), bias=True, rng=0), mk.ConvMachine((2, 3), padding=((1, 0), (0, 2)), rng=0),
            mk.RecurrentMachine((2, 3), memory=3, time_block=2, rng=0)]
for m, name in [(m, name) for m in machines for name in DEALT]:
    p, lead = m.partition, (5, *(4,) * m.partition.axes)
    y0 = np.random.default_rng(0).standard_normal((*lead, p.channels))
    plan, dual = (KernelPlan(q, lead, "float64", home, dealt(q, lead, "float64", name)) for q in (p, p.dual()))
    weight, start = home.from_host(m.weight), home.from_host(y0)
    y, z = plan.solve(weight, None if m.bias is None else home.from_host(m.bias), m.pointwise, start, start[..., :0])
    dual.pullback(transpose(p, weight), m.pointwise, (y, z, z), (start, None), None, (p.channels,))
    plan.products(weight, z)
    assert np.allclose(to_host(z), m.solve(y0).z)
    if len(sys.argv) > 1:  # a sample less than the plan reads
        plan.solve(weight, None, m.pointwise, home.from_host(y0[:-1]), None)
print("clean")
"""


@pytest.mark.parametrize("wrong", [False, True])
def test_kernels_are_clean_under_the_address_and_undefined_sanitizers(wrong):
    """Slow: everything is compiled anew. With an input that is too short, the sanitizer must speak."""
    library = subprocess.run([COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(library) or shutil.which("env") is None:
        pytest.skip("g++ has no address sanitizer here")
    env = {**os.environ, "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"}
    command = [sys.executable, "-c", SANITIZED, *(["wrong"] if wrong else [])]
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    if "clean" not in run.stdout and "AddressSanitizer" not in run.stderr and "runtime error" not in run.stderr:
        pytest.skip(f"the sanitizer does not run inside Python here: {run.stderr[-300:]}")
    assert ("heap-buffer-overflow" in run.stderr) == wrong, run.stderr[-3000:]
    assert ("clean" in run.stdout) != wrong, run.stderr[-3000:]
