"""CuPy is installed and there is no GPU: everything else works, and whoever asks for one is told so in one line."""

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import pick_backend
from machinekit.cli import main

from . import readings, standin
from .standin import names
from .standin.install import NAMES, VERSION, build

MESSAGE = r"='cupy': CuPy 1\d\.\d+\.\d+ is installed but finds no usable GPU .*check nvidia-smi, or use backend='numpy'"


@pytest.fixture(scope="module")
def cupy():
    """CuPy itself, on a machine without a GPU."""
    loaded = sys.modules.get("cupy")
    if getattr(loaded, "ndarray", None) is standin.ndarray:
        pytest.skip("this is the stand-in; .ci/run has a job with CuPy")
    if loaded is None and importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed; .ci/run has a job with it")
    module = importlib.import_module("cupy")
    if module.cuda.is_available():
        pytest.skip("there is a GPU; run the suite with --backend cupy")
    return module


def small():
    return mk.DenseMachine((2, 2), "tanh", rng=0)


def test_importing_does_not_import_it(cupy):
    code = "import sys, machinekit; print([n for n in ('cupy', 'cupyx', 'cupy_backends') if n in sys.modules])"
    root = Path(mk.__file__).parent.parent
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert told.stdout.strip() == "[]"


def test_numpy_works_beside_it(cupy, monkeypatch):
    monkeypatch.delenv("MACHINEKIT_BACKEND", raising=False)
    machine, x = small(), np.ones((3, 2))
    assert machine.backend == "numpy"
    j = mk.Objective(machine, "squared_error", x, np.zeros((3, 4)))
    assert mk.fit(machine, "squared_error", x, np.zeros((3, 4)), steps=3, progress=False).steps <= 3
    assert j.check_gradient() < 1e-12
    mk.testing.check_machine(machine, rng=0)


def with_backend():
    """Every public constructor and loader that has the flag, called with as little as it needs."""
    given = {
        mk.Affine: (2, 3), mk.BatchNorm: (2,), mk.Conv: (2, 3, 3), mk.ConvTranspose: (2, 3, 3), mk.LayerNorm: (2,),
        mk.DenseMachine: ((2, 3),), mk.EquilibriumMachine: ((2, 3),), mk.MonotoneMachine: ((2, 3),),
        mk.ConvMachine: ((2, 3),), mk.GridMachine: ((2, 3),), mk.RecurrentMachine: ((2, 3),), mk.load: ("m.npz",),
    }  # fmt: skip
    padded = {"padding": ((1, 1),)}
    more = {mk.ConvMachine: padded, mk.GridMachine: padded, mk.RecurrentMachine: {"memory": 1}}
    return {f.__name__: (f, args, more.get(f, {})) for f, args in given.items()}


def test_no_constructor_with_the_flag_is_left_out():
    public = [getattr(mk, name) for name in mk.__all__]
    having = {f.__name__ for f in public if callable(f) and "backend" in _parameters(f)}
    assert having == set(with_backend())


def _parameters(f):
    try:
        return inspect.signature(f).parameters
    except (TypeError, ValueError):
        return ()


@pytest.mark.parametrize("name", with_backend())
def test_the_flag_raises_our_message_everywhere(cupy, tmp_path, monkeypatch, name):
    f, args, options = with_backend()[name]
    monkeypatch.chdir(tmp_path)
    mk.save("m.npz", small())
    with pytest.raises(RuntimeError, match="backend" + MESSAGE):
        f(*args, **options, backend="cupy")
    monkeypatch.setenv("MACHINEKIT_BACKEND", "cupy")
    with pytest.raises(RuntimeError, match="MACHINEKIT_BACKEND" + MESSAGE):
        f(*args, **options)
    f(*args, **options, backend="numpy")


@pytest.mark.parametrize("model", [small(), mk.Affine(2, 2, rng=0), mk.Chain([mk.Affine(2, 2, rng=0)])], ids=repr)
def test_moving_raises_our_message(cupy, model):
    with pytest.raises(RuntimeError, match="backend" + MESSAGE):
        model.to("cupy")
    with pytest.raises(RuntimeError, match="backend='cupy'"):
        model.to("cupy:0")


@pytest.mark.parametrize(
    "command", ["info", "forecast --quiet", "verify", "bench", "figures figures", "smoothness figures"]
)
def test_commands_say_so_in_one_line_and_end_with_status_2(cupy, command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if command.endswith("figures"):
        pytest.importorskip("matplotlib")
    assert main([*command.split(), "--backend", "cupy"]) == 2
    told = capsys.readouterr().err
    assert "backend='cupy': CuPy" in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_benchmarks_say_so(cupy, tmp_path):
    root, out = Path(mk.__file__).parent.parent, str(tmp_path)
    command = [sys.executable, "-m", "bench", "--backend", "cupy", "--quick", "--output", out]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    assert "backend='cupy': CuPy" in done.stderr


def test_info_lists_it_as_not_usable(cupy, capsys):
    assert main(["info"]) == 0
    told = capsys.readouterr().out
    assert "finds no usable GPU" in told
    assert "usable: numpy" in told


def test_a_numpy_array_never_asks_for_it(cupy):
    """CuPy installed is not CuPy used."""
    assert pick_backend("numpy").name == "numpy"
    assert mk.DenseMachine((2, 2), weight=np.zeros((4, 4))).solve(np.ones((1, 2))).z.shape == (1, 4)


# The stand-in, compared with what it stands for --------------------------------------------------------------


def test_the_stand_in_has_cupys_names_and_parameters(cupy):
    """Make ``names.json`` anew with ``python -m tests.standin.names`` when CuPy has changed."""
    assert cupy.__version__.split(".")[0] == VERSION.split(".")[0]
    if cupy.__version__ != VERSION:
        pytest.skip(f"the names are those of CuPy {VERSION}, this is {cupy.__version__}")
    assert names.read() == NAMES


def test_the_stand_ins_array_has_no_method_that_cupys_has_not(cupy):
    private = ("_host", "_of", "__slots__", "__weakref__", "__firstlineno__")
    own = {name for name in vars(standin.ndarray) if name not in private}
    assert own <= set(dir(cupy.ndarray)) | {"__static_attributes__"}
    assert type(cupy.cuda.Device(0)).__hash__ is None or _unhashable(cupy.cuda.Device(0))
    ours = {name for name in vars(standin.cuda.Device) if not name.startswith("_")}
    assert ours <= set(dir(cupy.cuda.Device))


def _unhashable(value):
    with pytest.raises(TypeError):
        hash(value)
    return True


def test_the_stand_ins_modules_have_nothing_that_cupys_have_not(cupy):
    for name, module in build().items():
        try:
            theirs = importlib.import_module(name)
        except ImportError:  # some want the libraries of CUDA when they are imported
            continue
        extra = {n for n in vars(module) if not n.startswith("__") and not hasattr(theirs, n)}
        assert not extra, f"{name}: {sorted(extra)}"


def test_all_that_the_library_reads_from_a_namespace_is_in_cupy(cupy):
    assert readings.missing(cupy) == {}
    assert readings.unknown_keywords(names.read()) == []


def test_all_that_the_library_reads_from_a_namespace_is_in_the_stand_in():
    """The same without CuPy."""
    assert len(readings.readings()) > 40
    assert readings.missing(build()["cupy"]) == {}
    assert readings.unknown_keywords(NAMES) == []
