"""`machinekit verify`: run the properties, or the mutants, and print lines or one JSON document."""

from __future__ import annotations

import argparse
import difflib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from .. import __version__
from .catalogue import MUTANTS, PROPERTIES
from .lab import Lab
from .lines import Table, count, failure_text, outcome_entry, total, trial_entry
from .mutants import Mutant, Trial, attack, entries_used
from .registry import Property
from .runner import Outcome, run

__all__ = ["EXAMPLES", "EXAMPLES_OF_MUTANTS", "Verification", "add_arguments", "choose", "command"]

EXAMPLES, EXAMPLES_OF_MUTANTS = 100, 40
"""Random cases for each property: when it is verified, and when it looks for a mutant."""
_THOROUGH = 10
T = TypeVar("T", Property, Mutant)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, but for ``--backend``, which every command has, to a parser."""
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="default float64")
    parser.add_argument(
        "--examples", type=int, metavar="N",
        help=f"random cases for each statement (default {EXAMPLES}; {EXAMPLES_OF_MUTANTS} with --mutants)",
    )  # fmt: skip
    parser.add_argument("--thorough", action="store_true", help=f"{_THOROUGH} times as many")
    parser.add_argument(
        "--only", action="append", metavar="ID", help="these statements (mutants) only; repeat, or join by commas"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same cases (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")
    parser.add_argument("--list", action="store_true", help="print ids and statements; run nothing")
    parser.add_argument("--mutants", action="store_true", help="try wrong variants: each must be noticed")


def choose(only: Sequence[str] | None, known: Mapping[str, T]) -> dict[str, T]:
    """Return what is asked for, in the order of `known`; everything if nothing is.

    Raises
    ------
    ValueError
        For an id that is not known.
    """
    if only is None:
        return dict(known)
    asked = [word.strip() for given in only for word in given.split(",")]
    for word in asked:
        if word not in known:
            close = difflib.get_close_matches(word, known, n=4, cutoff=0.6)
            close = close or [name for name in known if word and word in name][:4]
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "--list shows all"
            raise ValueError(f"--only is {word!r}, which is not one of {len(known)} ids; {hint}")
    return {name: row for name, row in known.items() if name in asked}


class Verification:
    """One run of the command.

    Parameters
    ----------
    lab : Lab
    examples, seed : int
    backend : str, optional
        As it was given, for the commands that repeat a failure.
    silent : bool
        Whether to print nothing.
    """

    def __init__(
        self, lab: Lab, examples: int, seed: int = 0, backend: str | None = None, silent: bool = False
    ) -> None:
        self.lab, self.examples, self.seed, self.backend, self.silent = lab, examples, seed, backend, silent
        self.width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self.start = time.perf_counter()

    def properties(self, chosen: Mapping[str, Property]) -> list[Outcome]:
        """Verify properties, printing a line for each, and what broke below them."""
        table, outcomes = Table(chosen, self.width), []
        self.say(table.head)
        for p in chosen.values():
            outcomes.append(run(p, self.lab, self.examples, self.seed))
            self.say(table.outcome(outcomes[-1]))
        self._failures(outcomes)
        found = total(outcomes)
        counts = f"{found['held']} held, {found['failed']} failed, {found['skipped']} skipped"
        self.say(f"{counts}: {count(found['cases'], 'case')} in {self._where()}")
        return outcomes

    def mutants(self, chosen: Mapping[str, Mutant], known: Mapping[str, Property]) -> tuple[list[Outcome], list[Trial]]:
        """Verify the right code, then try mutants on the properties that held and use what is wrong."""
        controls = {name: entries_used(p, self.lab, self.examples, self.seed) for name, p in known.items()}
        outcomes = [outcome for outcome, _ in controls.values()]
        held = {name: used for name, (outcome, used) in controls.items() if outcome.ok}
        self._failures(outcomes)
        skipped = total(outcomes)["skipped"]
        counts = f"{len(held) - skipped} of {count(len(known), 'statement')} hold, {skipped} skipped"
        self.say(f"the right code: {counts}; now one change at a time")
        table, trials = Table(chosen, self.width), []
        for m in chosen.values():
            using = {name: known[name] for name, used in held.items() if m.entry in used}
            trials.append(attack(m, self.lab, using, self.examples, self.seed))
            self.say(table.trial(trials[-1]))
        verdicts = [t.verdict for t in trials]
        counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("killed", "survived", "skipped"))
        self.say(f"{counts}: {count(len(trials), 'mutant')} in {self._where()}")
        return outcomes, trials

    def again(self, p: Property) -> str:
        """Return the command that runs a property on the same cases."""
        options = [f"--only {p.id} --seed {self.seed} --examples {self.examples}"]
        options += [f"--dtype {self.lab.dtype}"] if self.lab.dtype != "float64" else []
        options += [f"--backend {self.backend}"] if self.backend else []
        return " ".join(["machinekit verify", *options])

    def document(self, outcomes: list[Outcome], trials: list[Trial] | None = None) -> dict[str, Any]:
        """Return everything for JSON."""
        found = {
            "machinekit": __version__, "backend": str(self.lab.backend), "dtype": self.lab.dtype, "seed": self.seed,
            "examples": self.examples, "seconds": round(time.perf_counter() - self.start, 3),
            "properties": [outcome_entry(o, self.again(o.property)) for o in outcomes],
        }  # fmt: skip
        return found if trials is None else {**found, "mutants": [trial_entry(t) for t in trials]}

    def say(self, text: str) -> None:
        """Print, in the signs that standard output can show."""
        if not self.silent:
            encoding = sys.stdout.encoding or "utf-8"
            print(text.encode(encoding, "replace").decode(encoding), flush=True)

    def _failures(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if not outcome.ok:
                self.say(f"\n{failure_text(outcome, self.again(outcome.property))}\n")

    def _where(self) -> str:
        seconds = time.perf_counter() - self.start
        return f"{seconds:.1f} s (seed {self.seed}, {self.lab.dtype} on {self.lab.backend})"


def command(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit status: 0 if all held, 1 if not.

    Raises
    ------
    ValueError, RuntimeError, ModuleNotFoundError
        Bad numbers, ids or backends; nothing that can be verified; no Hypothesis.
    """
    known: Mapping[str, Any] = MUTANTS if arguments.mutants else PROPERTIES
    chosen = choose(arguments.only, known)
    if arguments.list:
        return _list(chosen, arguments.json)
    examples = arguments.examples
    if examples is None:
        examples = EXAMPLES_OF_MUTANTS if arguments.mutants else EXAMPLES
    for name, number, least in (("examples", examples, 1), ("seed", arguments.seed, 0)):
        if number < least:
            raise ValueError(f"--{name} is {number}; pass at least {least}")
    examples *= _THOROUGH if arguments.thorough else 1
    lab = Lab.on(arguments.backend, arguments.dtype)
    if not arguments.mutants and not any(p.serves(lab) for p in chosen.values()):
        ids = ", ".join(chosen)
        raise ValueError(f"nothing to verify: {ids} cannot be checked in {lab.dtype} on {lab.backend}; change these")
    verification = Verification(lab, examples, arguments.seed, arguments.backend, silent=arguments.json)
    trials: list[Trial] | None = None
    with _no_traces(), lab.backend.context():
        if arguments.mutants:
            outcomes, trials = verification.mutants(chosen, PROPERTIES)
        else:
            outcomes = verification.properties(chosen)
    if arguments.json:
        print(json.dumps(verification.document(outcomes, trials), indent=1, allow_nan=False))
    held = all(o.ok for o in outcomes) and all(t.verdict != "survived" for t in trials or ())
    return 0 if held else 1


def _list(chosen: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        rows = [{"id": r.id, "source": r.source, "statement": getattr(r, "statement", "") or r.change}
                for r in chosen.values()]  # fmt: skip
        print(json.dumps(rows, indent=1))
        return 0
    table = Table(chosen, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    for row in chosen.values():
        print(table.listed(row))
    return 0


@contextmanager
def _no_traces() -> Iterator[None]:
    """Keep Hypothesis from leaving a folder where the command is run."""
    try:
        from hypothesis.configuration import set_hypothesis_home_dir
    except ModuleNotFoundError:
        raise ModuleNotFoundError("verify draws its cases with Hypothesis; pip install 'machinekit[test]'") from None
    with tempfile.TemporaryDirectory() as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)
