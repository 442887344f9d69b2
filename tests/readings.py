"""What the library reads from an array namespace, found in its sources."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import machinekit

ROOT = Path(machinekit.__file__).parent
OTHERS = {
    ("arrays/backend.py", "Device"),  # where the library has one
    ("arrays/backend.py", "__name__"),
    ("arrays/pick.py", "Device"),
}
"""What is read from libraries of the standard only."""
KEYWORDS = {("arrays/backend.py", "device")}
"""Keywords for libraries of the standard only."""


def readings():
    """Return for each dotted name that is read from a namespace where that is, and the keywords it is called with.

    A namespace is `xp`, `….xp`, `…._xp`, ``namespace(…)`` and ``backend_of(…).xp``; a file in which `xp` is NumPy's
    alone is not told from others, so NumPy has its own name, `np`.
    """
    found = defaultdict(set)
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {id(node.func): [k.arg for k in node.keywords] for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            name = _dotted(node) if isinstance(node, ast.Attribute) else None
            if name and (inside, name) not in OTHERS:
                words = {k for k in calls.get(id(node), ()) if k and (inside, k) not in KEYWORDS}
                found[name].add((f"{inside}:{node.lineno}", frozenset(words)))
    return found


def _dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
        if _is_namespace(node):
            return ".".join(reversed(parts))
    return None


def _is_namespace(node):
    if isinstance(node, ast.Attribute):
        return node.attr in ("xp", "_xp")
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "namespace"
    return isinstance(node, ast.Name) and node.id == "xp"


def missing(module):
    """Return what the library reads and a module of CuPy has not, with the places."""
    lost = {}
    for name, places in readings().items():
        found = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            lost[name] = sorted(place for place, _ in places)
    return lost


def unknown_keywords(names):
    """Return the keywords that the library gives to functions of CuPy which do not take them."""
    lost = []
    for name, places in readings().items():
        kind = names.get(name)
        allowed = {"out", "dtype", "casting"} if isinstance(kind, str) else set(kind or ())
        lost += [(name, place, sorted(words - allowed)) for place, words in places if kind and words - allowed]
    return sorted(lost)
