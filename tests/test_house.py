"""The rules of the house: floors, explicit exports, file lengths, what importing brings in."""

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import machinekit

ROOT = Path(machinekit.__file__).parent
MODULES = sorted(
    ".".join(("machinekit", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py" and path != ROOT / "__init__.py"
)
BRIDGES = {"torch": "PyTorch", "jax": "JAX", "scipy": "SciPy", "sklearn": "scikit-learn"}
FLOORS = [
    {"arrays", "activations", "partitions", "linear", "records", "data", "errors"},
    {"engine", "solvers", "gpu"},
    {"machines"},
    {"graph"},
    {"training", "testing", "saving", "theory", "smoothness"},
    {"cli", "figures", "forecasting", "benchmarking", "verification", "interop"},
]


def floor(part):
    return next(k for k, names in enumerate(FLOORS) if part in names)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_exports_exactly_its_public_definitions(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if "pip install" not in str(error):  # the one line of a bridge whose library is missing
            raise
        pytest.skip(str(error))
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) if not n.name.startswith("_")}
    exported = getattr(module, "__all__", [])
    assert sorted(exported) == sorted(set(exported)), "an export is listed twice"
    assert defined <= set(exported), f"{defined - set(exported)} not in __all__"
    assert all(hasattr(module, n) for n in exported)


def test_imports_go_down_the_floors_only():
    wrong = []
    for path in ROOT.rglob("*.py"):
        inside = path.relative_to(ROOT)
        if inside.name in ("__main__.py",) or (len(inside.parts) == 1 and inside.stem == "__init__"):
            continue
        here = inside.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                depth = len(inside.parts) - node.level
                parts = [*inside.parts[:depth], *(node.module or "").split(".")]
                target = next((p for p in parts if p), None)
                if target and floor(target) > floor(here):
                    wrong.append(f"{inside} imports {target}")
    assert not wrong


def test_no_file_is_longer_than_the_ceiling():
    folders = (ROOT, ROOT.parent / "tests", ROOT.parent / "bench")
    lengths = {str(p): len(p.read_text(encoding="utf-8").splitlines()) for f in folders for p in f.rglob("*.py")}
    assert {p: n for p, n in lengths.items() if n > 300} == {}


def test_cupy_is_imported_in_the_array_module_only():
    imports = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name.split(".")[0].startswith("cupy")
    ]
    assert imports == []  # the array module itself imports it by name, at run time


def test_importing_brings_in_no_optional_library():
    optional = ("cupy", "torch", "jax", "matplotlib", "hypothesis", "pytest", "sklearn", "pylops", "thinc",
                "threadpoolctl")  # fmt: skip
    code = f"import sys, machinekit, machinekit.interop; print([n for n in {optional!r} if n in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("library", ["torch", "jax", "sklearn"])
def test_a_bridge_without_its_library_tells_in_one_line_how_to_install_it(library):
    """A library that is not there looks like None in sys.modules; scipy is always there."""
    name = f"machinekit.interop.{library}"
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not there")
    code = f"import sys; sys.modules[{library!r}] = None\nimport {name}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT.parent)
    last = ran.stderr.strip().splitlines()[-1]
    needs = f"{name} needs {BRIDGES[library]}; pip install 'machinekit[{library}]'"
    assert last == f"ImportError: {needs}"
