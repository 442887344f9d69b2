"""Each program of the gallery has its page, its figure and its row in the index; CI runs the programs themselves."""

from __future__ import annotations

import ast
import re
import struct
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = sorted((DOCS / "examples").glob("gallery_*.py"))
PAGES = sorted(DOCS.glob("gallery-*.md"))


def name_of(path):
    return path.stem.removeprefix("gallery").strip("_-").replace("_", "-")


def test_programs_and_pages_are_the_same_items():
    assert len(PROGRAMS) >= 7
    assert [name_of(p) for p in PAGES] == [name_of(p) for p in PROGRAMS]


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_a_page_shows_its_figure_and_links_its_program(program):
    name = name_of(program)
    page = (DOCS / f"gallery-{name}.md").read_text(encoding="utf-8")
    assert f"](images/{name}.png)" in page
    assert f"](examples/{program.name})" in page
    assert ">>> " in page, "no code that the suite runs"


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_a_figure_is_a_small_png(program):
    content = (DOCS / "images" / f"{name_of(program)}.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) < 120_000
    width, height = struct.unpack(">II", content[16:24])
    assert 400 <= width <= 1600
    assert 150 <= height <= 1200


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_the_index_has_a_row_with_a_thumbnail(program):
    name = name_of(program)
    rows = [r for r in (DOCS / "gallery.md").read_text(encoding="utf-8").splitlines() if f"(gallery-{name}.md)" in r]
    assert len(rows) == 1
    assert f'src="images/{name}.png"' in rows[0]


def test_the_index_has_no_other_rows():
    index = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"\]\(gallery-([\w-]+)\.md\)", index))) == [name_of(p) for p in PROGRAMS]


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_a_program_asserts_what_it_claims_and_runs_without_matplotlib(program):
    """Without assertions it could not fail; what only the figure needs is imported where it is drawn."""
    tree = ast.parse(program.read_text(encoding="utf-8"))
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    modules = {n.module for n in tree.body if isinstance(n, ast.ImportFrom)}
    modules |= {alias.name for n in tree.body if isinstance(n, ast.Import) for alias in n.names}
    assert not any(module.startswith("matplotlib") for module in modules)
