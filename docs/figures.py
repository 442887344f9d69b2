"""Make the pictures of the pages by running the programs that draw them.

``python docs/figures.py`` makes those of docs/images that are missing or older than their program, ``--all`` makes
every one, and names make only these. The build of the site calls `make` with a folder of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
SLOW = ("unet", "monotone-digits", "gradient-regularisation", "digits")
"""Ten seconds to a minute each, most of it training; the others take one to six."""


def programs():
    """Return, for the name of each picture, the arguments of Python that draw it, without the file to write."""
    found = {"vgg-smoothness": ("-m", "machinekit", "smoothness")}
    for path in sorted((DOCS / "examples").glob("*.py")):
        if "savefig(" in path.read_text(encoding="utf-8"):
            found[path.stem.removeprefix("gallery_").replace("_", "-")] = (str(path),)
    return dict(sorted(found.items(), key=lambda item: item[0] not in SLOW))  # the long ones first


def source(name):
    """Return the file whose change makes a picture old."""
    last = programs()[name][-1]
    return Path(last) if last.endswith(".py") else DOCS.parent / "machinekit/smoothness/vgg_report.py"


def old(name, folder=IMAGES):
    """Return whether a picture is missing, or older than its program."""
    path = folder / f"{name}.png"
    return not path.exists() or path.stat().st_mtime < source(name).stat().st_mtime


def draw(name, folder=IMAGES):
    """Run the program of a picture, with one thread, and return the seconds that it took."""
    start, root = time.perf_counter(), str(DOCS.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        arguments, made = programs()[name], Path(scratch) / "smoothness.png"
        target = scratch if arguments[0] == "-m" else str(made)
        command = [sys.executable, *arguments, target]
        done = subprocess.run(command, env={**os.environ, **single, "PYTHONPATH": path}, capture_output=True, text=True)
        if done.returncode or not made.exists():
            raise RuntimeError(f"{name}: {' '.join(command)} failed\n{done.stdout}{done.stderr}")
        made.replace(folder / f"{name}.png")
    return time.perf_counter() - start


def make(names, folder=IMAGES, workers=None):
    """Draw pictures, as many at once as there are cores, and yield each name with its seconds."""
    names = list(names)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        yield from zip(names, pool.map(lambda name: draw(name, folder), names), strict=True)


def main():
    """Make the pictures that are asked for, and print how long each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures; by default those that are old")
    parser.add_argument("--all", action="store_true", help="every picture")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="default docs/images")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(programs()))
    if unknown:
        parser.error(f"no picture is called {', '.join(unknown)}; choose from {', '.join(programs())}")
    names = arguments.names or [name for name in programs() if arguments.all or old(name, arguments.folder)]
    for name, seconds in make(names, arguments.folder):
        print(f"{seconds:6.1f} s  {name}", flush=True)


if __name__ == "__main__":
    main()
