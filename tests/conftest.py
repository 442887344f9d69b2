"""Profiles, the backend that the suite runs on, and the guard against hidden host conversions."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, nullcontext
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from machinekit.arrays import pick_backend
from machinekit.testing.guard import forbid_host_conversion

from . import standin

_SPECS = {"numpy": "numpy", "cupy": "cupy", "standin": "cupy", "strict": "array_api_strict:device1"}
_EXAMPLES = {"dev": 25, "ci": 100, "thorough": 1000}
_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

_CLOCKS = re.compile("/machinekit/(benchmarking/|gpu/calibrate)")
"""What waits for the device on purpose: what measures."""


def pytest_addoption(parser):
    parser.addoption("--backend", default="numpy", choices=sorted(_SPECS), help="library that the tests compute with")


def pytest_configure(config):
    """Register dev, ci and thorough; the slow libraries, which share their code with NumPy's, get fewer examples."""
    if config.getoption("--backend") == "standin":
        standin.install()
        cheap = ExitStack()
        cheap.enter_context(standin.without_kernels())
        config.add_cleanup(cheap.close)
    share = 4 if config.getoption("--backend") in ("strict", "standin") else 1
    for name, examples in _EXAMPLES.items():
        settings.register_profile(
            name,
            max_examples=max(25, examples // share),
            deadline=None,
            derandomize=name == "ci",
            print_blob=True,
            suppress_health_check=_SLOW,
        )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_collection_modifyitems(config, items):
    """On a library that stands in for a GPU leave out what computes with NumPy in any case: it has its own run."""
    word = {"strict": "array_api_strict", "standin": "standin"}.get(config.getoption("--backend"))
    if word is None:
        return
    asked = [_depends_on_backend(item, word) for item in items]
    config.hook.pytest_deselected(items=[item for item, keep in zip(items, asked, strict=True) if not keep])
    items[:] = [item for item, keep in zip(items, asked, strict=True) if keep]


def _depends_on_backend(item, word):
    names = getattr(item, "fixturenames", ())
    own = getattr(getattr(item, "_fixtureinfo", None), "argnames", ())
    if {"backend", "xp"} & set(names) or "spec" in own:
        return True
    path = getattr(getattr(item, "module", None), "__file__", None)
    return path is not None and word in _source(path)


@cache
def _source(path):
    return Path(path).read_text(encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """On the stand-in for CuPy: the library copies by the calls that are for copying, and waits nowhere else."""
    with standin.transfers() if item.config.getoption("--backend") == "standin" else nullcontext([]) as ledger:
        result = yield
    hidden = [t for t in ledger if "/machinekit/" in t.place and not t.explicit and not _CLOCKS.search(t.place)]
    assert not hidden, f"hidden copies or waits: {sorted(set(hidden))}"
    return result


def pytest_report_header(config):
    return f"backend: {_SPECS[config.getoption('--backend')]}, profile: {settings.get_current_profile_name()}"


@pytest.fixture(scope="session")
def spec(request):
    """The backend flag as a user would write it."""
    return _SPECS[request.config.getoption("--backend")]


@pytest.fixture(scope="session")
def backend(spec):
    """The backend under test; values are drawn on the host and moved with ``backend.from_host``."""
    return pick_backend(spec)


@pytest.fixture(scope="session")
def xp(backend):
    """The namespace under test."""
    return backend.xp


@pytest.fixture(scope="session", autouse=True)
def _no_hidden_conversion(spec):
    with forbid_host_conversion() if spec.startswith("array_api_strict") else nullcontext():
        yield
