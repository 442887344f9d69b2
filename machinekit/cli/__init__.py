"""The command line: `machinekit …`, or `python -m machinekit …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from . import bench, figures, forecast, info, smoothness, verify

__all__ = ["main", "parser"]

_COMMANDS = (info, forecast, verify, figures, smoothness, bench)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # exits
        """Print one line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = _Parser(prog="machinekit", description="Neural networks as machines, resolvents and duals.")
    top.add_argument("--version", action="version", version=f"machinekit {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2]
        summary = (command.__doc__ or "").splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.add_argument("--backend", metavar="NAME", help="numpy (default), cupy, cupy:1; else MACHINEKIT_BACKEND")
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 all held, 1 something failed, 2 bad input."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        print(f"machinekit {arguments.command}: error: {_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"machinekit {arguments.command}: interrupted", file=sys.stderr)
        return 130


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = error.filename2 or error.filename  # of a rename, the target
        return f"{f'{place}: ' if place else ''}{error.strerror}; choose another path"
    return " ".join(str(error).split())
