"""What a table made on a GPU must say about it, and giving its memory back between workloads.

Everything is read through the array library; nothing is set. Clocks are not read: they follow load and heat.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..arrays import Backend
from ..gpu.rates import RATES_VARIABLE
from .problem import Problem

__all__ = ["chosen_method", "describe_device", "describe_precision", "release_memory"]

_TELLING = (
    "CUPY_TF32", "NVIDIA_TF32_OVERRIDE", "CUPY_ACCELERATORS", "CUPY_CUDA_PER_THREAD_DEFAULT_STREAM",
    "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "XLA_PYTHON_CLIENT_PREALLOCATE",
)  # fmt: skip
"""Environment variables that change what is measured."""


def describe_device(backend: Backend) -> dict[str, str]:
    """Return the lines of a head about a GPU: its name and size, driver and CUDA, clock and cache."""
    runtime, index = backend.xp.cuda.runtime, backend.device.id
    p = runtime.getDeviceProperties(index)
    name = p["name"].decode() if isinstance(p["name"], bytes) else str(p["name"])
    facts = [f"compute capability {p['major']}.{p['minor']}", f"{p['multiProcessorCount']} multiprocessors"]
    facts.append(f"{p['totalGlobalMem'] / 2**30:.0f} GiB")
    cache = p.get("l2CacheSize")
    size = f"of {cache / 2**20:.0f} MiB" if cache else "of unknown size"
    rates = os.environ.get(RATES_VARIABLE)
    set_ = [f"{word}={os.environ[word]}" for word in _TELLING if word in os.environ]
    return {
        "GPU": f"{name}, device {index}, {', '.join(facts)}; clocks unknown, not locked",
        "CUDA": f"driver {_driver()}, for CUDA {_version(runtime.driverGetVersion())}, "
        f"runtime {_version(runtime.runtimeGetVersion())}",
        "clock": "device events around loops of queued calls, medians of interleaved rounds, first calls untimed",
        "cache": f"warm, the same arrays in every call; L2 {size}",
        "choice of the method": f"by the rates in {rates}" if rates else "by estimated rates, not measured on this GPU",
        "GPU environment": " ".join(set_) or "no variables set",
    }


def describe_precision() -> dict[str, str]:
    """Return the lines of a head about TF32, and the CUDA libraries of the peers that are loaded."""
    facts = ["CuPy " + ("on" if os.environ.get("CUPY_TF32", "0") not in ("", "0") else "off")]
    libraries = []
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and torch.cuda.is_available():
        for name, where in (("matmul", torch.backends.cuda.matmul), ("cuDNN", torch.backends.cudnn)):
            facts.append(f"torch {name} {'on' if where.allow_tf32 else 'off'}")
        libraries.append(f"torch with CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    if jax is not None:
        facts.append(f"JAX precision {jax.config.jax_default_matmul_precision}")
        libraries.append(f"JAX on {jax.devices()[0].device_kind}")
    return {"TF32": ", ".join(facts), **({"peers' libraries": "; ".join(libraries)} if libraries else {})}


def chosen_method(problem: Problem) -> str:
    """Return the method that ``method="auto"`` takes: one word, or two where forward and dual differ."""
    ask: Any = getattr(problem.machine, "_chosen", None)
    if ask is None:
        return "not told"
    lead = tuple(problem.y0.shape[:-1])
    words = [str(ask(lead, problem.dtype, dual=dual)) for dual in (False, True)]
    return words[0] if words[0] == words[1] else f"{words[0]}, dual {words[1]}"


def release_memory(backend: Backend) -> None:
    """Give back the device memory that is kept for later; each library would keep its own share otherwise."""
    if backend.name != "cupy":
        return
    gc.collect()
    backend.xp.get_default_memory_pool().free_all_blocks()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver() -> str:
    """Return the version of the driver, from the system; "unknown" where it does not say."""
    page = Path("/proc/driver/nvidia/version")
    if page.exists():
        found = re.search(r"\d{3,}\.\d+(\.\d+)?", page.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found.group()
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return lines[0] if lines else "unknown"
