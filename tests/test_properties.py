"""Every statement of the paper holds: by id, at five seeds, in both precisions, on the backend of the session.

`pytest tests/test_properties.py -k theorem-2` runs the statements whose id holds these words.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import settings

from machinekit.verification import PROPERTIES, Lab, run

DOCS = Path(__file__).parents[1] / "docs"
SEEDS = range(5)
STATED = {
    "definitions": ["definition-1", "definition-2", "definition-3", "definition-4", "parametric-machine"],
    "propositions": [
        "proposition-1", "proposition-1-converse", "proposition-1-counterexample-cubic",
        "proposition-1-counterexample-identity", "proposition-2", "proposition-3", "proposition-3-exception",
        "proposition-4", "proposition-5",
    ],
    "theorems": ["theorem-1", "theorem-2-ordered", "theorem-2-mutual", "theorem-3-inputs", "theorem-3-parameters"],
    "remarks": ["remark-1", "remark-2"],
    "equations": [f"equation-{k}" for k in range(1, 15)],
    "algorithms": ["algorithm-1-forward", "algorithm-1-backward"],
    "figures": ["figure-1", "figure-2", "figure-2-depth"],
    "examples": ["nilpotent-example", "nilpotent-sum", "sequential-example", "sequential-nilpotent-overlap"],
    "sums": [
        "independence-is-no-product", "independence-vector-space", "self-independence", "slides-counterexample",
        "depth-of-sums", "lifted-sequence", "directed-graph-gradient", "transient",
    ],
    "architectures": [
        "adjoint-identity", "dual-of-dual", "dual-order", "live-weights", "reachability", "depth-bound", "depth-sharp",
        "equivariance", "equivariance-in-time", "forward-time-reversal", "slopes-from-values", "partial-input",
        "linear-exact", "pruning",
    ],
}  # fmt: skip


def examples():
    """A fifth of the profile's cases for each of the five seeds, of which most take a few milliseconds."""
    return max(settings().max_examples // 10, 3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("id", PROPERTIES)
def test_statement(id, dtype, spec):
    """It holds at every seed; on other backends and in single precision, where that means something."""
    lab = Lab.on(spec, dtype)
    for seed in SEEDS:
        outcome = run(PROPERTIES[id], lab, examples(), seed)
        assert outcome.ok, f"{id} on {spec}, {dtype}\n{outcome.failure}"
        if not outcome.skipped:
            assert outcome.examples > 0
            assert outcome.ratio <= 1


def test_what_is_skipped_is_so_for_a_reason(spec):
    """In double precision on NumPy nothing is skipped; elsewhere what is about fractions, flags or exact digits."""
    for dtype in ("float64", "float32"):
        lab = Lab.on(spec, dtype)
        skipped = {id for id, p in PROPERTIES.items() if not p.serves(lab)}
        allowed = {
            id for id, p in PROPERTIES.items() if (p.double and dtype == "float32") or (p.host and spec != "numpy")
        }
        assert skipped == allowed
        assert len(skipped) < len(PROPERTIES) / 2
    assert all(p.serves(Lab()) for p in PROPERTIES.values())


@pytest.mark.parametrize("kind", STATED)
def test_every_statement_of_the_paper_is_there(kind):
    assert [id for id in STATED[kind] if id not in PROPERTIES] == []


def test_no_statement_is_there_without_being_listed():
    assert sorted(PROPERTIES) == sorted(id for ids in STATED.values() for id in ids)


def test_general_statements_come_before_those_on_architectures():
    """In the paper's order: what §3 states comes last."""
    places = {id: k for k, id in enumerate(PROPERTIES)}
    assert max(places[id] for id in ("definition-1", "theorem-1", "theorem-2-ordered", "theorem-3-inputs")) < min(
        places[id] for id in ("equation-10", "algorithm-1-forward", "live-weights", "pruning")
    )
    for first, second in (
        ("proposition-2", "definition-3"),
        ("definition-3", "definition-4"),
        ("theorem-1", "figure-2"),
    ):
        assert places[first] < places[second]


def test_every_statement_has_words_a_source_and_a_place_in_the_documentation():
    """`machinekit verify` prints the id, and a page says what it means."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("theory*.md")))
    named = set(re.findall(r"`([a-z0-9-]+)`", pages))
    assert [id for id in PROPERTIES if id not in named] == []
    for p in PROPERTIES.values():
        assert p.source
        assert p.statement.endswith(".")
        assert "\n" not in p.statement
        assert len(p.statement) <= 120


def test_the_same_seed_draws_the_same_cases(spec):
    lab = Lab.on(spec)
    once, twice, other = (run(PROPERTIES["equation-1"], lab, 3, seed).worst for seed in (5, 5, 6))
    assert (once.left, once.right, once.allowed) == (twice.left, twice.right, twice.allowed)
    assert (once.left, once.right, once.allowed) != (other.left, other.right, other.allowed)
