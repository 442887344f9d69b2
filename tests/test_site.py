"""The pages of the site: in a table of contents, with links that lead somewhere and pictures that programs draw."""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import machinekit

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
PACKAGES = (
    "", "activations", "training.losses", "training.penalties", "training.bases", "testing", "theory", "smoothness",
    "interop.torch", "interop.jax", "interop.scipy", "interop.sklearn",
)  # fmt: skip


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module("figures")
    sys.modules.pop("figures", None)


@pytest.fixture
def conf(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    yield importlib.import_module("conf")
    for name in ("conf", "figures"):
        sys.modules.pop(name, None)


def contents(page):
    """Return the names in the tables of contents of a page, patterns filled in."""
    found = []
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", page, re.M | re.S):
        for entry in (line for line in block.splitlines() if line and not line.startswith(":")):
            found += [name for name in PAGES if fnmatch(name, entry)] if "*" in entry else [entry]
    return found


def test_every_page_is_in_one_table_of_contents_and_can_be_reached():
    listed = [name for page in PAGES.values() for name in contents(page)]
    assert sorted(listed) == sorted(set(PAGES) - {"index"})
    reached, new = set(), {"index"}
    while new:
        reached |= new
        new = {name for page in new for name in contents(PAGES[page])} - reached
    assert reached == set(PAGES)


@pytest.mark.parametrize("page", ["index", "mathematics", "api"])
def test_what_an_overview_has_in_its_contents_it_shows_on_a_code_host_too(page):
    shown = set(re.findall(r"\]\(([\w-]+)\.md", PAGES[page]))
    assert set(contents(PAGES[page])) <= shown


def anchors(text):
    """Return the anchors of a page: its headings as code hosts and MyST spell them."""
    for included in re.findall(r"^```\{include\} (\S+)", text, re.M):
        text += (DOCS / included).read_text(encoding="utf-8")
    found = []
    for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_to_a_heading_of_it(page):
    wrong = []
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", FENCED.sub("", PAGES[page])):
        path = DOCS / target if target else DOCS / f"{page}.md"
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            wrong.append(f"{target}#{anchor}")
    assert not wrong


def shown():
    """Return the names of the pictures that pages show."""
    pattern = re.compile(r"(?:\]\(|src=\")(?!https?:)([^)\"]+\.(?:png|svg|jpg|gif))")
    return {picture for page in PAGES.values() for picture in pattern.findall(page)}


def test_every_picture_exists_and_is_drawn_by_a_program(figures):
    assert shown() == {f"images/{name}.png" for name in figures.programs()}
    assert {path.name for path in (DOCS / "images").iterdir()} == {f"{name}.png" for name in figures.programs()}
    assert set(figures.SLOW) < set(figures.programs())


def test_the_page_about_the_site_has_a_row_for_each_picture(figures):
    rows = dict(re.findall(r"^\| ([\w-]+) \| (?:\[.*\]\((.*)\)|`.*`) \| \d+ \|$", PAGES["site"], re.M))
    drawn = {name: command[-1] for name, command in figures.programs().items()}
    assert set(rows) == set(drawn)
    assert all(not link or str(DOCS / link) == drawn[name] for name, link in rows.items())


def test_a_picture_is_drawn_again_when_its_program_is_newer_and_only_then(figures, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import sys\nopen(sys.argv[1], 'w').write('drawn')\n", encoding="utf-8")
    monkeypatch.setattr(figures, "programs", lambda: {"thing": (str(program),)})
    folder = tmp_path / "images"
    assert figures.old("thing", folder)
    assert [name for name, _ in figures.make(["thing"], folder)] == ["thing"]
    assert (folder / "thing.png").read_text(encoding="utf-8") == "drawn"
    assert not figures.old("thing", folder)
    os.utime(folder / "thing.png", (0, 0))
    assert figures.old("thing", folder)


def test_a_program_that_fails_leaves_no_picture_and_says_why(figures, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("raise ValueError('no such digits')\n", encoding="utf-8")
    monkeypatch.setattr(figures, "programs", lambda: {"thing": (str(program),)})
    with pytest.raises(RuntimeError, match="no such digits"):
        list(figures.make(["thing"], tmp_path / "images"))
    assert list((tmp_path / "images").iterdir()) == []


def test_formulas_of_a_docstring_stay_as_they_are_and_mathematics_is_no_markup(conf):
    written = r"""Return |x|.

x : array (*batch, n)
    Any.

    More.

With W_ and

    a = *b*

    c_

end |y|

>>> f(**k)
1 | 2

`|z|`::

    d_ *"""
    lines = written.splitlines()
    conf.render(None, "function", "f", None, None, lines)
    wanted = written.replace("|x|", r"\|x\|").replace("(*b", r"(\*b").replace("W_", r"W\_").replace("|y|", r"\|y\|")
    assert lines == wanted.replace("    a = *b*", "::\n\n    a = *b*").splitlines()


def test_only_the_pictures_of_this_build_are_shown_in_place_of_the_committed_ones(conf, monkeypatch):
    monkeypatch.setattr(conf.figures, "old", lambda name, folder: name != "unet")
    source = ["![a](images/unet.png) ![b](images/lstm.png) [c](../bench/results/networks.md) [d](../README.md)"]
    conf.relink(None, "page", source)
    assert source == [
        "![a](_build/images/unet.png) ![b](images/lstm.png) [c](benchmarks.md#networks) [d](path:../README.md)"
    ]


def test_an_unknown_choice_of_pictures_is_refused(conf, monkeypatch):
    monkeypatch.setenv("MACHINEKIT_FIGURES", "some")
    with pytest.raises(ValueError, match="MACHINEKIT_FIGURES is 'some'; set it to all, fast or none"):
        conf.draw(None)


@pytest.mark.parametrize(("choice", "names"), [("all", {"unet", "lstm"}), ("fast", {"lstm"}), ("none", set())])
def test_the_build_draws_what_it_is_told_to(conf, monkeypatch, choice, names):
    drawn = []
    monkeypatch.setenv("MACHINEKIT_FIGURES", choice)
    monkeypatch.setattr(conf.figures, "old", lambda name, folder: name in ("unet", "lstm"))
    monkeypatch.setattr(conf.figures, "draw", lambda name, folder: drawn.append((name, folder)) or 0.0)
    conf.draw(None)
    assert set(drawn) == {(name, conf.MADE) for name in names}


def listed():
    """Return what the pages of the API list, by the module that it is listed under."""
    found: dict[str, set[str]] = {}
    for name, page in PAGES.items():
        if name.startswith("api-"):
            for block in re.findall(r"^```\{eval-rst\}\n(.*?)^```$", page, re.M | re.S):
                module = re.search(r"currentmodule:: (\S+)", block)[1]
                found.setdefault(module, set()).update(re.findall(r"^   (\w+)$", block, re.M))
    return found


def exports(package):
    """Return the classes and functions that a package exports, read from its source: bridges need other libraries."""
    tree = ast.parse(source(package).read_text(encoding="utf-8"))
    value = next(n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__")
    modules = {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) and not n.module for a in n.names}
    return {
        name
        for name in ast.literal_eval(value)
        if not name.isupper() and name not in modules | {"bases", "losses", "penalties"}
    }


def source(package):
    path = Path(machinekit.__file__).parent.joinpath(*package.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_a_page_in_the_api(package):
    where = f"machinekit.{package}".rstrip(".")
    known = listed()
    assert exports(package) - known[where] - known["machinekit"] == set()


def test_every_name_on_a_page_of_the_api_exists():
    for module, names in listed().items():
        if not module.startswith("machinekit.interop"):
            assert {n for n in names if not hasattr(importlib.import_module(module), n)} == set(), module
        else:
            assert names <= exports(module.removeprefix("machinekit."))
