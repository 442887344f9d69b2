"""Print and draw certified bounds of VGG-16 with and without batch normalisation, and check the claims about them."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

__all__ = ["add_arguments", "run"]

_FORMATS = ("png", "pdf", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the figure; made if missing")
    parser.add_argument("--image", type=int, default=224, help="extent of the square images (default 224)")
    parser.add_argument("--batch", type=int, default=128, help="images that are concatenated (default 128)")
    parser.add_argument("--radius", type=float, default=1.0, help="bound on weight and bias of a layer (default 1)")
    parser.add_argument("--format", choices=_FORMATS, default="png", help="kind of the figure (default png)")


def run(arguments: argparse.Namespace) -> int:
    """Compute, check, print and draw; see `machinekit.smoothness.vgg_report`. Of the backend nothing is needed."""
    from ..arrays import pick_backend
    from ..figures import require_matplotlib
    from ..smoothness import vgg_report

    pick_backend(arguments.backend)
    require_matplotlib()
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # fails before any work if nothing can be written
        pass
    measured = vgg_report.measure(image=arguments.image, batch=arguments.batch, radius=arguments.radius)
    print(vgg_report.table(measured))
    path = folder / f"smoothness.{arguments.format}"
    vgg_report.figure(path, measured)
    print(path)
    return 0 if all(claim.held for claim in vgg_report.claims(measured)) else 1
