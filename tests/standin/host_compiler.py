"""CUDA C++ as a library of the host: rewritten where C++ differs, compiled by g++, and kept by a hash of its text."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["COMPILER", "FLAGS", "CompileError", "build", "compiled", "folder"]

COMPILER = shutil.which("g++")
"""Where g++ is; None if there is none, and then no kernel runs."""
_SHIM = Path(__file__).parent / "shim.h"
FLAGS = ("-std=c++14", "-w", "-shared", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE")
"""The rule is speed of compiling: tests compile more than they compute. The standard is CuPy's, less a heavy header."""
_SHARED = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*)?([\w\s]+?)\s+(\w+)\s*\[\s*\]\s*;")
"""The declaration of shared memory whose size is told at the launch."""


class CompileError(Exception):
    """What g++ says about a source."""


def folder() -> Path:
    """Return where libraries are kept, for this user."""
    user = getattr(os, "getuid", lambda: 0)()
    path = Path(tempfile.gettempdir()) / f"machinekit-standin-{user}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != user:
        raise PermissionError(f"{path} belongs to someone else; what lies there is not loaded")
    return path


def build(code: str) -> Path:
    """Compile a source behind the shim, unless that has been done before; return the library."""
    if COMPILER is None:
        raise RuntimeError("g++ is not installed, so the stand-in cannot run kernels")
    code = _SHARED.sub(r"\1* \2 = reinterpret_cast<\1*>(standin::room);", code)
    text = f'{_SHIM.read_text(encoding="utf-8")}\n#line 1 "kernel.cu"\n{code}\n'
    key = hashlib.sha256("\0".join((text, *FLAGS)).encode()).hexdigest()[:32]
    library = folder() / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder()) as scratch:
            source, made = Path(scratch) / "kernel.cpp", Path(scratch) / "kernel.so"
            source.write_text(text, encoding="utf-8")
            run = subprocess.run(
                [COMPILER, *FLAGS, str(source), "-o", str(made)], capture_output=True, text=True, check=False
            )
            if run.returncode:
                raise CompileError(run.stderr[-4000:])
            os.replace(made, library)
    return library


@functools.lru_cache(maxsize=512)
def compiled(code: str) -> ctypes.PyDLL:
    """Return the library of a source. Calls keep the interpreter's lock: the shim's state is one for all threads."""
    return ctypes.PyDLL(str(build(code)))
