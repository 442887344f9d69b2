"""Read the names and parameters of CuPy's functions and methods from CuPy itself: ``python -m tests.standin.names``.

It needs CuPy, and no GPU. What it writes, ``names.json``, is all that the stand-in knows of CuPy's interface.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

__all__ = ["PATH", "main", "read"]

PATH = Path(__file__).parent / "names.json"
_MODULES = ("", "linalg", "fft", "lib.stride_tricks")


def read() -> dict[str, str | list[str]]:
    """Return the parameters of every function that NumPy and CuPy share, and of every method of CuPy's arrays.

    A universal function has the word "ufunc", or "real ufunc" if it takes no complex numbers, or "gufunc"; what of an
    array is no method, "attribute".
    """
    cupy = importlib.import_module("cupy")
    found: dict[str, str | list[str]] = {}
    for module in _MODULES:
        ours, theirs = (importlib.import_module(f"{root}.{module}".rstrip(".")) for root in ("cupy", "numpy"))
        for name in sorted(dir(ours)):
            function = getattr(ours, name)
            if name.startswith("_") or isinstance(function, type) or not callable(function):
                continue
            if not callable(getattr(theirs, name, None)) or isinstance(getattr(theirs, name), type):
                continue
            found[f"{module}.{name}".lstrip(".")] = _kind(cupy, function)
    for name in sorted(dir(cupy.ndarray)):
        if not name.startswith("_"):
            method = getattr(cupy.ndarray, name)
            found[f"ndarray.{name}"] = _written(method) if callable(method) else "attribute"
    return found


def _kind(cupy, function) -> str | list[str]:
    if isinstance(function, cupy.ufunc):
        return "ufunc" if any(set("FD") & set(t.partition("->")[0]) for t in function.types) else "real ufunc"
    if "gufunc" in type(function).__name__.lower():
        return "gufunc"
    try:
        given = inspect.signature(function).parameters.values()
    except ValueError:
        return _written(function)
    return [{p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name for p in given]


def _written(method) -> list[str]:
    """Return the parameters of a compiled method, as its first line says them."""
    line = (method.__doc__ or "").partition("\n")[0]
    inside = re.search(r"\((.*?)\)(?: ->.*)?$", line)
    given = [part.partition("=")[0].split()[-1] for part in inside[1].split(",") if part.strip()] if inside else []
    return [name for name in given if name not in ("self", "/", "*")]


def main() -> None:
    """Write ``names.json``."""
    names = read()
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(kind)}" for name, kind in names.items())
    PATH.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"{PATH}: {len(names)} names of CuPy {importlib.import_module('cupy').__version__}")


if __name__ == "__main__":
    main()
