"""The code of the page on JAX runs, block after block, in a process of its own: it switches JAX to double precision."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="the JAX bridge needs JAX: pip install 'machinekit[jax]'")

PAGE = Path(__file__).parents[1] / "docs" / "interop-jax.md"


def test_the_code_of_the_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 4
    assert all("assert " in block for block in blocks if "def energy" not in block)
    code = "\n".join(blocks)
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
