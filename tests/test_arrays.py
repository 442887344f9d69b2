"""Which library, which device: read from the arrays, asked for by one word, refused when mixed."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import (
    Backend,
    backend_of,
    common_backend,
    dtype_name,
    namespace,
    near,
    pick_backend,
    precision,
    real,
    to_host,
)
from machinekit.testing.guard import forbid_host_conversion

STRICT = "array_api_strict"


def fake_cupy(monkeypatch, available, devices=1):
    """Install a module that imports like CuPy on a machine with or without a GPU."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.cuda = types.SimpleNamespace(
        is_available=lambda: available,
        runtime=types.SimpleNamespace(getDeviceCount=lambda: devices),
        Device=lambda index=None: ("device", index or 0),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def test_the_backend_is_read_from_the_array(backend, xp):
    """Type in is type out; the namespace is the array's own."""
    a = backend.from_host(np.ones(3))
    assert backend_of(a) == backend
    assert namespace(a) is xp
    assert common_backend({"a": a, "nothing": None, "b": a}) == backend
    assert to_host(a).tolist() == [1.0, 1.0, 1.0]
    zeros = backend.zeros((2,), "float32")
    assert backend_of(zeros) == backend
    assert dtype_name(zeros) == "float32"
    assert precision(zeros, "zeros") == "single"
    for made, want in ((backend.eye(2, zeros.dtype), np.eye(2)), (backend.arange(3), np.arange(3))):
        assert backend_of(made) == backend
        assert np.array_equal(to_host(made), want)
    assert dtype_name(backend.eye(2, zeros.dtype)) == "float32"
    assert dtype_name(real(backend.from_host(np.ones(2) * 1j))) == "float64"


def test_from_host_and_to_host_are_inverse_and_copy(backend):
    """A copy on the way in; the values, dtype and shape of what was given."""
    for dtype in ("float32", "float64", "complex64", "complex128", "bool", "int64"):
        host = np.arange(6).reshape(2, 3)[:, ::-1].astype(dtype)
        kept, moved = host.copy(), backend.from_host(host)
        host[...] = 0
        assert np.array_equal(to_host(moved), kept)
        assert to_host(moved).dtype == dtype


@pytest.mark.parametrize("spec_", [None, "numpy"])
def test_numpy_is_the_default(monkeypatch, spec_):
    """Neither flag nor variable: NumPy."""
    monkeypatch.delenv("MACHINEKIT_BACKEND", raising=False)
    assert pick_backend(spec_) == Backend("numpy", np)
    assert mk.DenseMachine((1, 1)).backend == "numpy"


def test_the_environment_variable_is_read_at_call_time(monkeypatch):
    """MACHINEKIT_BACKEND is the default of the flag, not more: a flag or an array beats it."""
    monkeypatch.setenv("MACHINEKIT_BACKEND", f"{STRICT}:device1")
    machine = mk.DenseMachine((1, 2), rng=0)
    assert machine.backend == STRICT
    assert "device1" in str(machine.weight.device)
    assert mk.DenseMachine((1, 2), rng=0, backend="numpy").backend == "numpy"
    assert mk.DenseMachine((1, 2), weight=np.ones((3, 3))).backend == "numpy"
    monkeypatch.setenv("MACHINEKIT_BACKEND", "nunpy")
    with pytest.raises(ValueError, match=r"MACHINEKIT_BACKEND='nunpy'.*did you mean 'numpy'"):
        mk.DenseMachine((1, 2))
    monkeypatch.setenv("MACHINEKIT_BACKEND", "")
    assert mk.DenseMachine((1, 2)).backend == "numpy"


@pytest.mark.parametrize(
    ("word", "hint"),
    [("nunpy", "did you mean 'numpy'"), ("coopy", "did you mean 'cupy'"), ("torch", "numpy"), ("os", "choose from"),
     ("", "numpy"), ("a.b", "numpy")],
)  # fmt: skip
def test_unknown_backends_are_refused_with_near_names(word, hint):
    """ValueError naming the flag, what was given and what to give."""
    with pytest.raises(ValueError, match=hint) as caught:
        pick_backend(word)
    assert f"backend={word!r}" in str(caught.value)


def test_a_backend_flag_of_another_kind_is_refused():
    """TypeError: the flag is a word."""
    with pytest.raises(TypeError, match=r"backend is 3.*'numpy'"):
        pick_backend(3)


def test_near_lists_close_words_first_and_all_where_none_is_close():
    """The hint of every message about an unknown name."""
    assert near("tahn", ["tanh", "relu"]) == "did you mean 'tanh'?"
    assert near("zzz", ["tanh", "relu"]) == "choose from tanh, relu"


def test_cupy_absent_says_what_to_install(monkeypatch):
    """ModuleNotFoundError naming the two extras and the way out."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    for call in (lambda: pick_backend("cupy"), lambda: mk.DenseMachine((1, 1), backend="cupy:0"),
                 lambda: mk.DenseMachine((1, 1)).to("cupy")):  # fmt: skip
        with pytest.raises(ModuleNotFoundError) as caught:
            call()
        for word in (
            "backend='cupy'",
            "not installed",
            "machinekit[cuda12]",
            "machinekit[cuda13]",
            "exactly one",
            "'numpy'",
        ):
            assert word in str(caught.value)
    assert mk.DenseMachine((1, 1)).backend == "numpy"


def test_cupy_without_a_gpu_says_so(monkeypatch):
    """RuntimeError naming the version found and what to check; NumPy goes on working."""
    fake_cupy(monkeypatch, available=False)
    with pytest.raises(RuntimeError) as caught:
        mk.DenseMachine((1, 1), backend="cupy")
    for word in ("backend='cupy'", "14.2.0", "no usable GPU", "nvidia-smi", "backend='numpy'"):
        assert word in str(caught.value)
    monkeypatch.setenv("MACHINEKIT_BACKEND", "cupy")
    with pytest.raises(RuntimeError, match="MACHINEKIT_BACKEND='cupy'"):
        mk.DenseMachine((1, 1))
    assert mk.DenseMachine((1, 1), backend="numpy")(np.ones(2)).shape == (2,)


def test_cupy_devices_are_numbered(monkeypatch):
    """ "cupy:1" is the second GPU; one that is not there is a ValueError naming how many there are."""
    fake_cupy(monkeypatch, available=True, devices=2)
    assert pick_backend("cupy:1").device == ("device", 1)
    assert pick_backend("cupy").name == "cupy"
    for wrong in ("cupy:2", "cupy:x"):
        with pytest.raises(ValueError, match="devices 0 to 1"):
            pick_backend(wrong)


def strict_array(device, dtype="float64"):
    return pick_backend(f"{STRICT}:{device}").from_host(np.ones((2, 3), dtype))


@pytest.mark.parametrize("which", ["y0", "z0", "weight", "bias"])
def test_mixed_libraries_are_refused_and_the_mending_call_named(which):
    """Nothing is moved silently: the message names both arguments, both libraries and the calls."""
    machine, other = mk.DenseMachine((1, 2), rng=0, bias=True), strict_array("device1")
    xp = namespace(other)
    here = np.ones((2, 3))
    call = {
        "y0": lambda: machine.solve(other),
        "z0": lambda: machine.solve(here, other),
        "weight": lambda: machine.replace(weight=xp.ones((3, 3), dtype=xp.float64, device=other.device)),
        "bias": lambda: mk.DenseMachine((1, 2), weight=np.ones((3, 3)), bias=other[0, :]),
    }[which]
    with pytest.raises(TypeError) as caught:
        call()
    for word in (which, "numpy", STRICT, "nothing is moved silently", ".to("):
        assert word in str(caught.value), str(caught.value)


def test_mixed_devices_are_refused_and_the_mending_call_named():
    """Two devices of one library are as different as two libraries."""
    machine = mk.DenseMachine((1, 2), rng=0, backend=f"{STRICT}:device1")
    with pytest.raises(TypeError) as caught:
        machine.solve(strict_array("device2"))
    for word in ("y0", "device1", "device2", "to_device", "model.to('array_api_strict:device2')"):
        assert word in str(caught.value), str(caught.value)


def test_a_flag_that_contradicts_the_arrays_is_refused():
    """backend= exists where no array exists yet."""
    with pytest.raises(TypeError, match=r"backend='array_api_strict:device1' but weight is in numpy.*\.to\("):
        mk.DenseMachine((1, 2), weight=np.ones((3, 3)), backend=f"{STRICT}:device1")
    assert mk.DenseMachine((1, 2), weight=np.ones((3, 3)), backend="numpy").backend == "numpy"


REFUSED = {
    "masked array": (np.ma.masked_array(np.ones((2, 3)), mask=False), ["MaskedArray", "numpy.asarray"]),
    "matrix": (np.ones((2, 3)).view(np.ndarray), None),
    "list": ([[1.0, 2.0, 3.0]], ["list", "numpy.asarray"]),
    "integers": (np.ones((2, 3), dtype=int), ["int64", "astype('float64')"]),
    "objects": (np.ones((2, 3), dtype=object), ["object", "astype('float64')"]),
    "half": (np.ones((2, 3), dtype="float16"), ["float16", "float32"]),
    "scalar": (np.float64(1.0), ["float64", "array"]),
    "text": ("abc", ["str", "array"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_floating_array_is_refused_with_a_hint(kind):
    """Masked arrays, matrices, lists, integers, objects: TypeError naming argument, kind and remedy."""
    value, words = REFUSED[kind]
    if kind == "matrix":
        with pytest.warns(PendingDeprecationWarning):
            value = np.matrix(value)
        words = ["matrix", "numpy.asarray"]
    machine = mk.DenseMachine((1, 2), rng=0)
    state = machine.solve(np.ones((2, 3)))
    calls = {"y0": lambda: machine.solve(value), "z0": lambda: machine.solve(np.ones((2, 3)), value),
             "weight": lambda: mk.DenseMachine((1, 2), weight=value), "y": lambda: machine.pullback(state, y=value),
             "array of Diagonal": lambda: mk.Diagonal(value), "bias": lambda: machine.replace(bias=value)}  # fmt: skip
    for name, call in calls.items():
        with pytest.raises(TypeError) as caught:
            call()
        for word in (name, *words):
            assert word in str(caught.value), (name, str(caught.value))


def test_moving_a_machine_keeps_every_number(backend, spec):
    """machine.to(…) returns a copy with the same weights, bias, slope, liveness and answers."""
    slope = np.linspace(0.5, 1.0, 5)
    machine = mk.RecurrentMachine((2, 3), mk.Diagonal(slope), memory=2, rng=0, bias=np.ones(5))
    moved = machine.to(spec)
    assert moved.backend == backend.name
    y0 = np.random.default_rng(0).standard_normal((4, 5))
    back = moved.to("numpy")
    for other in (moved, back):
        for name in ("weight", "bias", "slope_array", "live"):
            assert np.array_equal(to_host(getattr(other, name)), getattr(machine, name)), name
    assert np.array_equal(back(y0), machine(y0))
    assert np.allclose(to_host(moved(backend.from_host(y0))), machine(y0), rtol=1e-14, atol=1e-14)


def test_the_guard_forbids_hidden_conversions_on_a_device_only(spec):
    """float, int, bool, complex, index and DLPack raise there; the host, the library itself and to_host do not."""
    x, host = strict_array("device1"), strict_array("CPU_DEVICE")
    one = x[0, 0]
    number = namespace(x).astype(one, namespace(x).int64)
    with forbid_host_conversion():
        for convert in (float, bool, complex, np.from_dlpack):
            with pytest.raises(RuntimeError, match=r"device1.*to_host"):
                convert(one)
        for convert in (int, range):
            with pytest.raises(RuntimeError, match="to_host"):
                convert(number)
        assert float(host[0, 0]) == 1.0
        assert to_host(x + x)[0, 0] == 2.0
        with forbid_host_conversion():
            pass
        with pytest.raises(RuntimeError):
            float(one)
    if not spec.startswith(STRICT):  # there the whole session is guarded
        assert float(one) == 1.0
