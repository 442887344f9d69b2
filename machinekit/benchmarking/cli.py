"""The command line of the benchmarks: ``python -m bench``, and the same under ``machinekit bench``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..arrays import Backend, pick_backend
from .agreement import Check, agreement, format_agreement, format_reproducible, reproducible
from .bars import judge
from .competitors import installed, pick_peers
from .device import describe_device, describe_precision
from .environment import describe_environment, thread_variables
from .equilibrium import judge_equilibrium, run_equilibrium
from .equilibrium_report import equilibrium_csv, format_equilibrium
from .figures import can_draw, draw_backward_forward, draw_scaling
from .hessians import HESSIANS, format_hessians, run_hessians
from .networks import format_networks, run_networks
from .report import format_head, markdown, write
from .runner import Outcome, run_workloads
from .scaling import CURVES, format_fits, run_curve
from .table1 import format_table1, run_table1
from .timing import Pace, core_count
from .workloads import SIZES, WORKLOADS, Workload, pick_workloads

__all__ = ["QUICK", "add_arguments", "main", "run"]

QUICK = ("dense-small", "conv-small", "rec-small")
"""The workloads of ``--quick``."""
_KINDS = ("table1", "scaling", "networks", "hessians", "equilibrium", "agreement", "reproducible")
"""The options that ask for something else than the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the benchmarks, but for ``--backend``, which every command has, to a parser."""
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument(
        "--workload", nargs="+", metavar="ID", help="from: " + ", ".join(w.id for w in WORKLOADS) + "; by default all"
    )
    parser.add_argument("--sizes", choices=tuple(SIZES), help="of the workloads; by default gpu on a GPU, else cpu")
    parser.add_argument("--peers", help="names joined by commas (torch, torch-compile, jax, thinc), none, or all")
    parser.add_argument("--threads", choices=("1", "all", "both"), help="by default both, one process each")
    parser.add_argument("--quick", action="store_true", help="a smoke run: three workloads, no peers, one thread")
    parser.add_argument("--table1", action="store_true", help="the paper's Table 1")
    parser.add_argument("--scaling", action="store_true", help="time against batch, width, depth and length")
    parser.add_argument("--networks", action="store_true", help="networks of ops: random DAGs and a U-Net, with torch")
    parser.add_argument("--hessians", action="store_true", help="Hessian products, with torch and JAX")
    parser.add_argument("--equilibrium", action="store_true", help="equilibrium layers, with torch and torchdeq")
    parser.add_argument("--agreement", action="store_true", help="largest difference from NumPy, both precisions")
    parser.add_argument("--reproducible", action="store_true", help="runs repeated and compared bit by bit")
    parser.add_argument("--seconds", type=float, default=4.0, help="measuring time to aim for, per workload")
    parser.add_argument("--output", metavar="DIR", help="where to write CSV, markdown and figures; none by default")


def run(args: argparse.Namespace) -> int:
    """Run what the options ask for; print it, and write it where `output` says.

    Returns
    -------
    int
        0 if every result was right and, in a full run, every bar that was measured held; else 1. A wrong
        argument gives 2.
    """
    short = args.quick or any(getattr(args, kind) for kind in _KINDS)
    try:
        names = pick_peers(args.peers or ("none" if short else "all"))
        home = pick_backend(args.backend)
        on_gpu = home.name == "cupy"
        sizes = args.sizes or ("gpu" if on_gpu else "cpu")
        workloads = pick_workloads(args.workload or (QUICK if args.quick else None), sizes)
    except (TypeError, ValueError, ModuleNotFoundError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    threads = args.threads or ("all" if on_gpu else "1" if short else "both")
    if threads == "both" and not on_gpu:
        return _both(args)
    count = 1 if threads == "1" else core_count()
    pace = Pace(min(args.seconds, 0.5), (3, 20)) if args.quick else Pace(args.seconds)
    if args.table1:
        return _table1(args, count, pace)
    if args.scaling:
        return _scaling(args, count, pace)
    if args.networks:
        outcomes = run_networks(args.dtype, args.backend, count, pace)
        _page(args, "networks", _head(args, count, ("torch",)), format_networks(outcomes))
        return int(any(o.wrong for o in outcomes))
    if args.hessians:
        chosen = args.workload or (HESSIANS[:2] if args.quick else HESSIANS)
        products = run_hessians(args.dtype, args.backend, count, pace, chosen)
        _page(args, "hessians", _head(args, count, ("torch", "jax")), format_hessians(products))
        return int(any(o.remarks for o in products))
    if args.equilibrium:
        return _equilibrium(args, count, pace)
    if args.agreement:
        checks = agreement(workloads, home, count)
        return _checks(args, "agreement", sizes, count, format_agreement(checks), checks)
    if args.reproducible:
        checks = reproducible(workloads, home, count)
        return _checks(args, "reproducible", sizes, count, format_reproducible(checks), checks)
    return _table(args, workloads, home, sizes, count, names, pace)


def _table(
    args: argparse.Namespace, workloads: Sequence[Workload], home: Backend, sizes: str, count: int,
    names: Sequence[str], pace: Pace,
) -> int:  # fmt: skip
    missing = [name for name in names if not installed(name)]
    lines = ["Not installed: " + ", ".join(missing) + "."] if missing else []
    on_gpu = home.name == "cupy"

    def page(outcomes: Sequence[Outcome]) -> tuple[dict[str, str], str]:
        head = _head(args, count, names, outcomes, sizes=sizes if on_gpu or sizes != "cpu" else "")
        return head, markdown(head, outcomes, lines)

    name = f"{'quick' if args.quick else 'table'}-{home.name}-{args.dtype}"
    name += "" if on_gpu else f"-threads-{count}"
    name += "" if (sizes == "gpu") == on_gpu else f"-{sizes}-sizes"

    def keep(outcomes: Sequence[Outcome]) -> None:
        """Write what there is: a long run may be cut off."""
        if on_gpu and args.output:
            head, text = page(outcomes)
            write(Path(args.output), name, head, outcomes, text)

    outcomes = run_workloads(workloads, home, args.dtype, count, names, pace, keep)
    head, text = page(outcomes)
    print(text)
    if args.output:
        paths = write(Path(args.output), name, head, outcomes, text)
        _say(paths, draw_backward_forward(outcomes, Path(args.output) / f"{name}.png"))
    failed = any(o.failed for o in outcomes)
    return int(failed or (not args.quick and any(v.failed for v in judge(outcomes)[0])))


def _table1(args: argparse.Namespace, count: int, pace: Pace) -> int:
    outcomes, remark = run_table1(count, pace)
    head = _head(args, count, (), outcomes, dtype="float64 on the CPU, float32 on the GPU")
    parts = ["# Table 1", format_head(head), format_table1(outcomes), remark, *_reasons(outcomes)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    print(text)
    if args.output:
        paths = write(Path(args.output), "table1", head, outcomes, text)
        _say(paths, draw_backward_forward(outcomes, Path(args.output) / "table1.png"))
    return int(any(o.failed for o in outcomes))


def _checks(
    args: argparse.Namespace, name: str, sizes: str, count: int, table: str, checks: Sequence[Check]
) -> int:  # fmt: skip
    _page(args, name, _head(args, count, dtype="float64 and float32", sizes=sizes), table)
    return int(any(c.failed for c in checks))


def _scaling(args: argparse.Namespace, count: int, pace: Pace) -> int:
    points = 3 if args.quick else None
    fits = []
    for curve in CURVES:
        print(f"… {curve.id}", file=sys.stderr, flush=True)
        fits.append(run_curve(curve, args.dtype, args.backend, count, pace, points))
    page = _page(args, "scaling", _head(args, count), format_fits(fits))
    if page is not None:
        _say([], *(draw_scaling(fit, page.with_name(f"{page.stem}-{fit.curve.id}.png")) for fit in fits))
    return 0


def _equilibrium(args: argparse.Namespace, count: int, pace: Pace) -> int:
    try:
        report = run_equilibrium(args.backend, count, pace, args.quick)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    head = _head(args, count, ("torch", "torchdeq"), dtype="float32 and float64")
    page = _page(args, "equilibrium", head, format_equilibrium(report))
    if page is not None:
        table = page.with_suffix(".csv")
        table.write_text(equilibrium_csv(head, report), encoding="utf-8")
        _say([table])
    return int(bool(report.wrong) or (not args.quick and any(v.failed for v in judge_equilibrium(report))))


def _page(args: argparse.Namespace, name: str, head: Mapping[str, str], table: str) -> Path | None:
    """Print a page of one table, and write it where `output` says; of CuPy with its name added."""
    text = "\n\n".join([f"# {name.capitalize()}", format_head(head), table]) + "\n"
    print(text)
    if not args.output:
        return None
    home = pick_backend(args.backend)
    page = Path(args.output) / (f"{name}.md" if home.name == "numpy" else f"{name}-{home.name}.md")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    _say([page])
    return page


def _head(
    args: argparse.Namespace, count: int, names: Sequence[str] = (), outcomes: Sequence[Outcome] = (), dtype: str = "",
    sizes: str = "",
) -> dict[str, str]:  # fmt: skip
    packages = dict.fromkeys(name.partition("-")[0] for name in names)
    pools = next((o.pools for o in outcomes if o.pools), "")
    more = {"dtype": dtype or args.dtype, "threads": str(count), **({"pools": pools} if pools else {})}
    more |= {"sizes": sizes} if sizes else {}
    home = pick_backend("cupy" if any(o.on_gpu for o in outcomes) else args.backend)
    if home.name == "cupy":
        more |= {**describe_device(home), **describe_precision()}
    return describe_environment(packages, **more)


def _reasons(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{o.workload.id}, {note.competitor}: {note.text}" for o in outcomes for note in o.notes]


def _say(paths: Sequence[Path], *figures: Path | None) -> None:
    for path in (*paths, *figures):
        if path is not None:
            print(f"wrote {path}")
    if not can_draw():
        print("no figure: matplotlib is not installed")


def _both(args: argparse.Namespace) -> int:
    """Run once with one thread and once with all, each in a process of its own.

    Thread pools take their size from the environment when they start; XLA's cannot be changed later.
    """
    status = 0
    for word, count in {"1": 1, "all": core_count()}.items():
        if word == "all" and count == 1:
            print("one core only: the run with all threads would be the same")
            continue
        command = [sys.executable, "-m", __package__, *_arguments(args), "--threads", word]
        status = max(status, subprocess.run(command, env={**os.environ, **thread_variables(count)}).returncode)
    return status


def _arguments(args: argparse.Namespace) -> list[str]:
    """Return the options, less the threads, as words of a command line."""
    words = []
    for name in ("backend", "dtype", "sizes", "peers", "seconds", "output"):
        value = getattr(args, name)
        words += [] if value is None else [f"--{name}", str(value)]
    words += [f"--{name}" for name in ("quick", *_KINDS) if getattr(args, name)]
    return words + (["--workload", *args.workload] if args.workload else [])


def main(argv: Sequence[str] | None = None, output: str | None = None) -> int:
    """Parse a command line and run it; `output` is the default folder for files."""
    parser = argparse.ArgumentParser(prog="bench", description="Benchmarks of machinekit; times in microseconds.")
    parser.add_argument("--backend", help="numpy, cupy, cupy:1; by default MACHINEKIT_BACKEND, else numpy")
    add_arguments(parser)
    parser.set_defaults(output=output)
    return run(parser.parse_args(argv))
