"""What the documentation names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def test_every_test_that_is_named_exists():
    """A row of the errata without its test would be a claim."""
    named = {m for page in PAGES for m in re.findall(r"(tests/\w+\.py)::(\w+)", page.read_text(encoding="utf-8"))}
    assert len(named) > 10
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, f"{path} has no {name}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda p: p.name)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert sorted({link for link in links if not (page.parent / link).exists()}) == []


def test_every_option_of_the_command_is_documented():
    from machinekit.cli import parser

    commands = next(a for a in parser()._actions if a.dest == "command").choices
    flags = {f for a in commands["forecast"]._actions for f in a.option_strings if f.startswith("--")} - {"--help"}
    page = (ROOT / "docs" / "forecasting.md").read_text(encoding="utf-8")
    assert {f for f in flags if f"`{f}" not in page} == set()


def test_every_law_is_documented():
    from machinekit.testing import LAWS, RULES

    page = (ROOT / "docs" / "laws.md").read_text(encoding="utf-8")
    assert [name for name in (*LAWS, *RULES) if f"| {name} |" not in page] == []


def test_every_mutant_that_the_errata_name_is_one():
    from machinekit.verification import MUTANTS

    page = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\| `([a-z0-9-]+)` \|$", page, re.M))
    assert len(named) == 13
    assert named <= set(MUTANTS)
