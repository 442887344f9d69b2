"""`machinekit verify` in processes of its own: without Hypothesis, and where signs are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import machinekit as mk
from machinekit.verification import PROPERTIES

ROOT = Path(mk.__file__).parents[1]
WITHOUT = "import sys; sys.modules['hypothesis'] = None; from machinekit.cli import main; sys.exit(main({}))"


def python(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, encoding="utf-8"
    )


@pytest.mark.parametrize("more", [[], ["--mutants"], ["--json"]])
def test_without_hypothesis_one_line_names_the_remedy(more):
    done = python(WITHOUT.format(["verify", *more]))
    expected = "verify draws its cases with Hypothesis; pip install 'machinekit[test]'"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"machinekit verify: error: {expected}\n"


def test_without_hypothesis_the_statements_are_listed():
    done = python(WITHOUT.format(["verify", "--list"]))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(PROPERTIES)


def test_importing_the_package_brings_in_no_hypothesis():
    done = python("import sys, machinekit.verification, machinekit.cli; print('hypothesis' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


def test_python_dash_m_works_where_signs_are_missing_and_leaves_nothing_behind(tmp_path):
    """A terminal that cannot show σ shows something else; Hypothesis keeps no folder where the command is run."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "machinekit", "verify", "--only", "equation-11", "--examples", "40"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "z = ?(y) + z0." in done.stdout
    assert os.listdir(tmp_path) == []
