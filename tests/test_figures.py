"""Figures 1 and 2 of the paper: counts, stacks, the formulas of the hypergraph, and the command that draws them."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit import figures, theory
from machinekit.arrays import to_host
from machinekit.cli import main

SEEDS = st.integers(0, 2**32 - 1)
needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")


def largest(a, b):
    return float(abs(to_host(a) - to_host(b)).max(initial=0.0))


def run(*arguments):
    try:
        return main(["figures", *map(str, arguments)])
    except SystemExit as end:  # argparse
        return end.code


def test_five_nodes_take_10_20_or_40_edge_evaluations(backend):
    numbers = figures.connectivity(5, backend=backend)
    assert {s: numbers.evaluations(s) for s in figures.connectivity(5).sequences} == {
        "source": 10, "changed": 20, "full": 40,
    }  # fmt: skip


@pytest.mark.parametrize("n", range(1, 13))
def test_counts_follow_the_formulas(n):
    numbers = figures.connectivity(n)
    counted = {strategy: numbers.evaluations(strategy) for strategy in numbers.sequences}
    assert counted == figures.formulas(n)
    assert counted["source"] == sum(1 for i in range(n) for _ in range(i + 1, n))
    assert counted["changed"] == sum(i + 1 for i in range(n) for _ in range(i + 1, n))
    assert counted["full"] == sum(n - 1 for i in range(n) for _ in range(i + 1, n))


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_an_edge_is_evaluated_when_its_source_has_changed(n):
    """Node i, counted from 0, changes at steps 1 to i: an edge out of it is due at steps 1 to i + 1."""
    numbers = figures.connectivity(n)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    assert numbers.edge_steps("source") == {(i, j): (i + 1,) for i, j in pairs}
    assert numbers.edge_steps("changed") == {(i, j): tuple(range(1, i + 2)) for i, j in pairs}
    assert numbers.edge_steps("full") == {(i, j): tuple(range(1, n)) for i, j in pairs}


@given(nodes=st.integers(1, 12), seed=SEEDS)
def test_both_stacks_sum_to_the_resolvent(backend, nodes, seed):
    numbers = figures.connectivity(nodes, seed, backend)
    matrix = numbers.f.jacobian(numbers.x0)
    solution = np.linalg.solve(np.eye(nodes) - matrix, to_host(numbers.x0))
    for strategy in numbers.sequences:
        bars = numbers.bars(strategy)
        assert bars.shape == (nodes, nodes)
        assert (bars >= 0).all()
        assert (bars[0] > 0).all()
        assert largest(bars.sum(axis=0), solution) <= 1e-12
        assert largest(bars.sum(axis=0), theory.resolvent(numbers.f, numbers.x0)) <= 1e-12
        assert largest(bars.sum(axis=0), theory.depth_sequence(numbers.f, numbers.x0).last) <= 1e-12


def test_the_two_stacks_differ_in_their_steps():
    """Lifted, step k brings what node k − 1 gives; plain, it brings all paths of length k."""
    numbers = figures.connectivity(5, 3)
    matrix, x0 = numbers.f.jacobian(numbers.x0), numbers.x0
    x = theory.resolvent(numbers.f, x0)
    lifted = [x0, *(matrix[:, k] * x[k] for k in range(4))]
    plain = [np.linalg.matrix_power(matrix, k) @ x0 for k in range(5)]
    assert largest(numbers.bars("source"), np.stack(lifted)) <= 1e-12
    assert largest(numbers.bars("changed"), np.stack(plain)) <= 1e-12
    assert largest(np.stack(lifted), np.stack(plain)) > 0.01


@given(seed=SEEDS)
def test_the_eight_formulas_of_the_hypergraph(backend, seed):
    """x1, …, x8 by hand, each with its own input, are the resolvent."""
    f = figures.figure_two_graph(seed, backend=backend)
    assert sorted(f.sizes.values()) == list(range(1, 9))
    x0 = backend.from_host(np.random.default_rng(seed).normal(size=f.dimension))
    i1, i2, i3, i4, i5, i6, i7, i8 = f.split(x0).values()
    f1, f2, f3, f4, f5 = (edge.function for edge in f.edges)
    x1, x2 = i1, i2
    x3 = f1(x1, x2) + i3
    x4 = f3(x3) + i4
    to5, to6, to7 = f4(x4)
    x5 = f2(x1) + to5 + i5
    x6, x7 = to6 + i6, to7 + i7
    x8 = f5(x6) + i8
    by_hand = backend.xp.concat([x1, x2, x3, x4, x5, x6, x7, x8])
    assert largest(theory.resolvent(f, x0), by_hand) <= 1e-12
    grouped = theory.lifted_depth_sequence(f, x0, schedule=figures.grouping(figures.PAPER_GROUPING))
    assert grouped.steps == 4
    assert largest(grouped.last, by_hand) <= 1e-12


def test_edges_of_the_hypergraph_are_nonlinear():
    f = figures.figure_two_graph(5)
    for edge in f.edges:
        parts = {s: np.full(f.sizes[s], 0.75) for s in edge.sources}
        twice = edge.images({s: 2 * v for s, v in parts.items()})
        zero = edge.images({s: 0 * v for s, v in parts.items()})
        for target, image in edge.images(parts).items():
            assert largest(twice[target] + zero[target], 2 * image) > 1e-4


def test_the_hypergraph_has_depth_4_and_five_edges():
    f = figures.figure_two_graph(1)
    assert len(f.edges) == 5
    assert theory.depth(f) == theory.depth(f, method="iteration") == 4
    assert theory.levels(f) == figures.grouping([("f1", "f2"), ("f3",), ("f4",), ("f5",)])


@pytest.mark.parametrize(
    ("groups", "valid"),
    [
        (figures.PAPER_GROUPING, True),
        ([("f1", "f2"), ("f3",), ("f4",), ("f5",)], True),
        ([("f1",), ("f3",), ("f2", "f4"), ("f5",)], True),
        ([("f1",), ("f2",), ("f3",), ("f4",), ("f5",)], True),
        ([("f3",), ("f1",), ("f2",), ("f4",), ("f5",)], False),
        ([("f1", "f3"), ("f2",), ("f4",), ("f5",)], False),
        ([("f1",), ("f2", "f3"), ("f4", "f5")], False),
        ([("f1",), ("f3",), ("f4",), ("f5",)], False),
        ([("f1",), ("f1", "f2", "f3"), ("f4",), ("f5",)], False),
    ],
)
def test_a_grouping_is_a_schedule_if_it_reads_what_is_final(groups, valid):
    f, schedule = figures.figure_two_graph(2), figures.grouping(groups)
    assert theory.is_schedule(f, schedule) is valid
    if not valid:
        with pytest.raises(ValueError, match="is none: every edge once"):
            theory.lifted_depth_sequence(f, np.zeros(f.dimension), schedule=schedule)


def test_a_cycle_is_refused_and_named_along_its_edges():
    f = figures.figure_two_graph(0, extra=("x8 -> x3",))
    for refuse in (theory.levels, theory.depth, lambda g: theory.resolvent(g, np.zeros(g.dimension))):
        with pytest.raises(ValueError, match="the edges make a cycle, ") as caught:
            refuse(f)
        *cycle, last = re.search(r"cycle, (.*);", str(caught.value))[1].split(" -> ")
        turned = cycle[cycle.index("x3") :] + cycle[: cycle.index("x3")]
        assert (turned, last) == (["x3", "x4", "x6", "x8"], cycle[0])


def test_nothing_stands_on_anything_else():
    for groups in (figures.PAPER_GROUPING, [("f1", "f2"), ("f3",), ("f4",), ("f5",)]):
        places = figures.positions(groups)
        assert len(set(places.values())) == len(places) == 13
        for name, signature in figures.FIGURE_TWO.items():
            sources, targets = (side.split() for side in signature.split("->"))
            assert max(places[s][0] for s in sources) < places[name][0] < min(places[t][0] for t in targets)


@needs_matplotlib
@pytest.mark.parametrize("kind", figures.FORMATS)
def test_the_command_checks_and_writes(kind, tmp_path, capsys):
    start = {"png": b"\x89PNG", "pdf": b"%PDF-", "svg": b"<?xml"}[kind]
    folder = tmp_path / "new" / "out"
    assert run(folder, "--format", kind) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert sorted(os.listdir(folder)) == [f"figure1.{kind}", f"figure2.{kind}"]
    assert all(p.read_bytes().startswith(start) for p in folder.iterdir())
    said = (f"figure1.{kind}", "each once: 10;", "whose input changed: 20;", "at every step: 40;", "both stacks",
            f"figure2.{kind}", "formulas of 8 spaces", "5 edges in 4 levels; f needs 4 steps",
            "{f1}, {f2, f3}, {f4}, {f5} is a schedule", "refused: the edges make a cycle, x3 -> x4")  # fmt: skip
    assert [words for words in said if words not in shown.out] == []
    assert "failed" not in shown.out


@needs_matplotlib
@pytest.mark.parametrize("nodes", [2, 3, 12])
def test_other_numbers_of_nodes_are_drawn(nodes, tmp_path, capsys, spec):
    assert run(tmp_path, "--nodes", nodes, "--seed", 7, "--backend", spec) == 0
    shown = capsys.readouterr()
    assert f"{nodes} nodes, edge evaluations, each once: {nodes * (nodes - 1) // 2};" in shown.out
    assert shown.err == ""


@needs_matplotlib
def test_drawing_leaves_no_trace_in_pyplot():
    import matplotlib

    before = dict(matplotlib.rcParams)
    had = "matplotlib.pyplot" in sys.modules
    figures.render(figures.draw_connectivity(figures.connectivity(3)), "svg")
    figures.render(figures.draw_hypergraph(figures.figure_two_graph()), "svg")
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had
    with pytest.raises(ValueError, match="format is 'gif'; choose from png, pdf, svg"):
        figures.render(figures.draw_connectivity(figures.connectivity(2)), "gif")


@needs_matplotlib
def test_a_check_that_fails_is_said_and_is_status_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("machinekit.figures.checks.formulas", lambda n: {"source": 10, "changed": 21, "full": 40})
    assert run(tmp_path) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if "a check failed: " in line]
    assert len(failed) == 1
    assert "changed: 20; n(n+1)(n−1)/6 = 21" in failed[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("out", "--nodes", 1), r"--nodes is 1; pass 2 to 12"),
        (("out", "--nodes", 400), r"--nodes is 400; pass 2 to 12"),
        (("out", "--nodes", "five"), r"argument --nodes: invalid int value: 'five' \(see machinekit figures --help\)"),
        (("out", "--seed", -1), r"--seed is -1; pass at least 0"),
        (("out", "--format", "gif"), r"argument --format: invalid choice: 'gif' \(choose from .*png"),
        (("out", "--backend", "nunpy"), r"backend='nunpy' is no array library; did you mean 'numpy'"),
        ((), r"the following arguments are required: OUT"),
        pytest.param(("file",), r"file: File exists; choose another path", marks=needs_matplotlib),
        pytest.param(("file/out",), r"file/out: Not a directory; choose another path", marks=needs_matplotlib),
    ],
)
def test_bad_input_is_one_line_and_status_2_and_nothing_is_written(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine", encoding="utf-8")
    monkeypatch.setattr(figures, "connectivity", lambda *_: pytest.fail("work was done"))
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert re.match(rf"machinekit figures: error: .*{words}", shown.err), shown.err
    assert os.listdir() == ["file"]
    assert Path("file").read_text(encoding="utf-8") == "mine"


def test_without_matplotlib_one_line_names_the_remedy(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(tmp_path / "out") == 2
    expected = "machinekit figures: error: no figure: it needs matplotlib, pip install 'machinekit[plot]'\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "out").exists()


def test_every_option_is_documented():
    from machinekit.cli import parser

    command = next(a for a in parser()._actions if a.dest == "command").choices["figures"]
    flags = {f for a in command._actions for f in a.option_strings if f.startswith("--")} - {"--help"}
    page = (Path(__file__).parents[1] / "docs" / "paper-figures.md").read_text(encoding="utf-8")
    assert {f for f in flags if f"`{f}" not in page} == set()
