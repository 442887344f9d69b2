"""Verify the theorems on random machines, one line each, or show which of them notice wrong variants."""

from __future__ import annotations

import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    from ..verification import command

    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify; see `machinekit.verification`."""
    from ..verification import command

    return command.command(arguments)
