"""`machinekit smoothness`: the table and the figure by one command, and refusals that leave nothing behind."""

from __future__ import annotations

import pytest

from machinekit.cli import main

pytest.importorskip("matplotlib")


def test_table_and_figure_by_one_command(tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert main(["smoothness", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| true constants, sharp | 8.89 / 18.25 | 33.32 / 67.04 |" in printed
    assert "32 of 32 comparisons" in printed
    assert (out / "smoothness.png").read_bytes().startswith(b"\x89PNG")


def test_other_sizes_and_formats(tmp_path, capsys):
    arguments = ["--image", "32", "--batch", "1", "--radius", "0.5", "--format", "svg"]
    assert main(["smoothness", str(tmp_path), *arguments]) in (0, 1)
    assert "comparisons" in capsys.readouterr().out
    assert b"<svg" in (tmp_path / "smoothness.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--image", "0"], "image"), (["--batch", "0"], "batch"), (["--radius", "-1"], "radius")],
)
def test_bad_numbers_are_refused_in_one_line(tmp_path, capsys, arguments, words):
    assert main(["smoothness", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert not list(tmp_path.iterdir())
