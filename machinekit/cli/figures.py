"""Draw figures 1 and 2 of the paper into a folder, and check what they show."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

__all__ = ["add_arguments", "run"]

_MOST = 12  # more than these 66 edges cannot be told apart


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    from ..figures import FORMATS

    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the files; made if missing")
    parser.add_argument("--nodes", type=int, default=5, help=f"nodes of figure 1, 2 to {_MOST} (default 5)")
    parser.add_argument("--format", choices=FORMATS, default="png", help="kind of the files (default png)")
    parser.add_argument("--seed", type=int, default=0, help="seed of edges, dimensions and inputs (default 0)")


def run(arguments: argparse.Namespace) -> int:
    """Compute, check, draw, print and write; see `machinekit.figures`."""
    from .. import figures
    from ..arrays import pick_backend
    from ..forecasting.outputs import write_bytes

    if not 2 <= arguments.nodes <= _MOST:
        raise ValueError(f"--nodes is {arguments.nodes}; pass 2 to {_MOST}")
    if arguments.seed < 0:
        raise ValueError(f"--seed is {arguments.seed}; pass at least 0")
    home = pick_backend(arguments.backend)
    figures.require_matplotlib()
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # fails before any work if nothing can be written
        pass

    numbers = figures.connectivity(arguments.nodes, arguments.seed, home)
    drawn = {
        "figure1": (figures.draw_connectivity(numbers), figures.check_connectivity(numbers)),
        "figure2": (
            figures.draw_hypergraph(figures.figure_two_graph(arguments.seed)),
            figures.check_hypergraph(arguments.seed, home),
        ),
    }
    for name, (figure, checks) in drawn.items():
        path = folder / f"{name}.{arguments.format}"
        write_bytes(path, figures.render(figure, arguments.format))
        print(f"{path}:")
        for check in checks:
            print(f"  {check.text}" if check.held else f"  a check failed: {check.text}")
    return 0 if all(check.held for _, checks in drawn.values() for check in checks) else 1
