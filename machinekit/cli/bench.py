"""Time machines against other libraries: forward, backward, gradient, in microseconds."""

from __future__ import annotations

import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    from ..benchmarking import cli

    cli.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmarks; see `machinekit.benchmarking`."""
    from ..benchmarking import cli

    return cli.run(arguments)
