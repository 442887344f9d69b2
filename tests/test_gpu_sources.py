"""The CUDA sources compile for old and new GPUs, without one: by NVRTC where CuPy is, by nvcc where that is."""

import configparser
import fnmatch
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

import machinekit
from machinekit.activations import NAMES, get_activation
from machinekit.gpu import source
from machinekit.gpu.tables import constants

SETS = {"linear": (), "tanh": ("tanh",), "two": ("relu", "tanh"), "all": NAMES}
ARCHITECTURES = (75, 90)
KERNELS = {
    "sweeps": {f"sweep{p}_{where}" for p in (1, 4) for where in ("shared", "global")},
    "known": {"products1", "products4", "contract", "total"},
}


def sources(dtype):
    """Return all sources of a dtype by name."""
    made = {f"sweeps, {name}": source.sweep_source(dtype, curves(names)) for name, names in SETS.items()}
    return {**made, "known": source.known_source(dtype)}


def curves(names):
    return source.read_curves(map(get_activation, names))


@pytest.fixture(scope="module")
def nvrtc():
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # whatever a library that is half there raises
        pytest.skip(f"NVRTC is not at hand, CuPy's binding says: {type(error).__name__} {error}")
    return nvrtc


def assembly(nvrtc, code, architecture):
    program = nvrtc.createProgram(code, "kernels.cu", [], [])
    try:
        options = (*source.OPTIONS, f"--gpu-architecture=compute_{architecture}", "-ftz=true")
        nvrtc.compileProgram(program, (*options, "--device-as-default-execution-space"))
        found = nvrtc.getPTX(program)
        return found.decode() if isinstance(found, bytes) else found
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nvrtc_compiles_the_sources_as_cupy_would(nvrtc, dtype, architecture):
    """Single precision must not touch a double: one literal without T(…) would be some 30 times slower."""
    for name, code in sources(dtype).items():
        text = assembly(nvrtc, code, architecture)
        entries = set(re.findall(r"\.entry (\w+)", text))
        assert entries == KERNELS[name.partition(",")[0]], name
        doubles = [line for line in text.splitlines() if ".f64" in line]
        allowed = doubles and name == "sweeps, all"  # sinf of large numbers reduces them in double precision
        assert dtype == "float64" or not doubles or allowed, (name, doubles[:3])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nvcc_compiles_the_sources_without_spills(dtype, architecture, tmp_path):
    if shutil.which("nvcc") is None or shutil.which("ptxas") is None:
        pytest.skip("nvcc and ptxas are not on PATH")
    found = sources(dtype)
    for name in ("sweeps, all", "known"):  # the others are parts of these, and NVRTC compiles them too
        code = found[name]
        file = tmp_path / "kernels.cu"
        file.write_text(code, encoding="utf-8")
        command = ["nvcc", "-std=c++17", f"-arch=sm_{architecture}", "-Xptxas", "-v", "-cubin", "-o", "kernels.cubin"]
        run = subprocess.run([*command, file.name], capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert "warning" not in run.stderr, run.stderr
        spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", run.stderr)
        assert len(spills) >= 4
        assert set(spills) == {("0", "0")}, (name, run.stderr)
        assert max(map(int, re.findall(r"Used (\d+) registers", run.stderr))) <= 128, name


def test_every_name_that_the_table_has_is_used_by_the_sources():
    """And every name in capitals that the sources use is one of them, or a parameter of theirs."""
    text = "".join(source.known_source("float32") + source.sweep_source("float32", ()))
    text = re.sub(r"//[^\n]*", "", text)
    declared = constants()
    body = text.replace("enum {", "", 1)
    unused = {name for name in declared if len(re.findall(rf"\b{name}\b", body)) < 2}
    by_offset = {"COUNT1", "COUNT2", "COUNT3", "PITCH1", "PITCH2"}
    assert unused <= by_offset
    used = set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", body))
    assert used <= set(declared) | {"NAME", "SHARED", "SWEEP", "PRODUCTS"}


def test_the_sources_are_part_of_the_package():
    """A wheel without them would fail at the first launch only."""
    folder = Path(machinekit.__file__).parent / "gpu"
    found = {p.name for p in folder.iterdir() if p.is_file() and p.suffix != ".py"}
    assert found == {"sweep.cu", "contract.cu", "linear.cuh"}
    assert all(resources.files("machinekit.gpu").joinpath(name).is_file() for name in found)
    setup = configparser.ConfigParser()
    if not setup.read(folder.parent.parent / "setup.cfg"):
        pytest.skip("the package is installed; its setup.cfg is not here")
    patterns = setup["options.package_data"]["machinekit.gpu"].split(", ")
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in patterns) for name in found)


def test_sets_of_activations_have_one_source_whatever_their_order():
    """Modules are compiled per set; an activation that is not built in has no source."""
    assert curves(["tanh", "relu", "tanh"]) == curves(["relu", "tanh"])
    assert len(curves(["tanh", "relu", "tanh"])) == 2
    assert source.read_curves([machinekit.Activation(lambda y: y**3, name="cube")]) is None
    assert source.read_curves([machinekit.leaky_relu(0.1)]) != source.read_curves([machinekit.leaky_relu(0.2)])
