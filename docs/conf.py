"""How Sphinx makes the site: ``python -m sphinx -W -b html docs docs/_build/html``. Nothing is fetched."""

import inspect
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import figures
from figures import DOCS

project = "machinekit"
author = "The machinekit developers"
copyright = author
version = release = re.search(r'__version__ = "(.+)"', (DOCS.parent / "machinekit/__init__.py").read_text())[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc"]
exclude_patterns = ["_build", "_templates", "examples", "images"]
templates_path = ["_templates"]
suppress_warnings = ["myst.header"]  # some pages go from # to ###

myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]

html_theme = "furo"
html_title = "machinekit"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

default_role = "literal"
autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": "BaseException, tuple, dict"}
autodoc_mock_imports = ["torch", "jax", "machinekit.interop.jax.primitives"]  # described without their libraries
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False

MADE = DOCS / "_build" / "images"
_EMPHASIS = re.compile(r"(?<![^\s(])(\*\*?)(?=\w)([^*`|]*\w)\1(?!\w)")
_CODE = re.compile(r"``.+?``|`[^`]+`")
_MARKUP = re.compile(r"[*|]|(?<=\w)_(?!\w)")


def escape(line):
    """Escape what would be markup in RST and is mathematics here.

    >>> print(escape("(*batch, n) with |x| of `a*b`, W_; *Machines of finite depth*, ``**options``"))
    (\\*batch, n) with \\|x\\| of `a*b`, W\\_; *Machines of finite depth*, ``**options``
    """
    inside = {i for pattern in (_EMPHASIS, _CODE) for m in pattern.finditer(line) for i in range(*m.span())}
    return _MARKUP.sub(lambda m: m[0] if m.start() in inside else "\\" + m[0], line)


def render(app, what, name, obj, options, lines):
    """Turn a docstring of the house into RST: escaped, and with its indented formulas as they stand."""
    found, example, formula = [], False, None
    for k, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        before = next((old for old in reversed(lines[:k]) if old.strip()), "")
        starts = bool(line.strip()) and (k == 0 or not lines[k - 1].strip())
        if formula is not None and line.strip() and indent <= formula:
            formula = None
        if example and not line.strip():
            example = False
        example = example or line.lstrip().startswith(">>>")
        if formula is None and starts and not example and before:
            outer = len(before) - len(before.lstrip())
            if indent > outer:
                formula = outer
                if not before.endswith("::"):
                    found += [" " * outer + "::", ""]
        found.append(line if example or formula is not None else escape(line))
    lines[:] = found


def draw(app):
    """Make the pictures into docs/_build/images: all, or all but the slow ones, or none."""
    choice = os.environ.get("MACHINEKIT_FIGURES", "all")
    if choice not in ("all", "fast", "none"):
        raise ValueError(f"MACHINEKIT_FIGURES is {choice!r}; set it to all, fast or none")
    wanted = [n for n in figures.programs() if choice == "all" or (choice == "fast" and n not in figures.SLOW)]
    for name, seconds in figures.make([n for n in wanted if figures.old(n, MADE)], MADE):
        print(f"made {name}.png in {seconds:.1f} s")


def relink(app, page, source):
    """Let pages that are written for a code host show the pictures of this build, and files beside docs."""
    text = re.sub(r"\]\(\.\./bench/results/(\w+)\.md\)", r"](benchmarks.md#\1)", source[0])
    text = text.replace("](../bench/results/)", "](benchmarks.md)")
    text = re.sub(r"\]\((\.\./\w+\.md)\)", r"](path:\1)", text)  # a file to download
    for name in figures.programs():
        if not figures.old(name, MADE):
            text = text.replace(f"images/{name}.png", f"_build/images/{name}.png")
    source[0] = text


def ours(app, what, name, obj, skip, options):
    """Leave out what classes inherit from other libraries."""
    return skip or not (getattr(obj, "__module__", None) or "machinekit").startswith("machinekit")


def sign(app, what, name, obj, options, signature, returns):
    """Show the arguments of __init__ where a record has a __new__ that takes anything."""
    if what == "class" and signature == "(*args, **kwargs)":
        arguments = list(inspect.signature(obj.__init__).parameters.values())[1:]
        bare = [a.replace(annotation=inspect.Parameter.empty) for a in arguments]
        signature = str(inspect.Signature(bare))
    return signature, returns


def unlist(app, doctree):
    """Keep the two hundred pages of the API out of the sidebar, which would take longer than all the rest."""
    from sphinx.ext.autosummary import autosummary_toc

    for node in list(doctree.findall(autosummary_toc)):
        node.parent.remove(node)


def setup(app):
    app.connect("builder-inited", draw)
    app.connect("source-read", relink)
    app.connect("doctree-read", unlist, priority=100)  # before the tables of contents are read
    app.connect("autodoc-skip-member", ours)
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-process-docstring", render, priority=400)  # before numpydoc
