"""What a competitor is, this library as one, and where the others are found.

A peer lives in a module of its own, is imported only when asked for, and offers ``build(problem, name)``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..arrays import near, to_host
from .problem import Problem, Results

__all__ = [
    "FORCED", "OURS", "PEERS", "CannotExpressError", "Competitor", "build_peer", "forced", "installed", "ours",
    "pick_peers",
]  # fmt: skip

OURS = "machinekit"
"""Name of this library in the tables."""

FORCED = ("plan", "kernel")
"""The values of ``method=`` that are timed on a GPU besides ``"auto"``."""

PEERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "torch": ("torch", "torch_peer"),
        "torch-compile": ("torch", "torch_peer"),
        "jax": ("jax", "jax_peer"),
        "thinc": ("thinc", "thinc_peer"),
    }
)
"""Name in the tables → (package that must be installed, module of this package)."""


class CannotExpressError(Exception):
    """A peer has no honest way to write a machine; the text says why."""


@dataclass(frozen=True)
class Competitor:
    """The calls to be timed. Each returns only when its result is complete, or is queued on the device.

    Attributes
    ----------
    name : str
    gradient : callable () -> object
        Forward, input cotangent and weight cotangent, from scratch.
    forward : callable () -> object
        The forward pass; as in training, where the peer records what its backward pass needs.
    backward : callable (state) -> object, optional
        The cotangent of y0 alone; None where the peer cannot compute it without the weights' cotangent.
    pullback : callable (state) -> object, optional
        The cotangents of y0 and of the weights.
    linearize : callable () -> state, optional
        Makes the state that `backward` and `pullback` take, where that is not what `forward` returns; not timed.
    results : callable () -> Results, optional
        The same as NumPy arrays, for the comparison; None for a competitor that computes no result.
    finish : callable (object) -> object, optional
        Waits for what a call has queued where the events of the clock do not; see `clocks`.
    remark : str
        What the table must say about how this competitor was set up.
    """

    name: str
    gradient: Callable[[], Any]
    forward: Callable[[], Any]
    backward: Callable[[Any], Any] | None = None
    pullback: Callable[[Any], Any] | None = None
    results: Callable[[], Results] | None = None
    linearize: Callable[[], Any] | None = None
    finish: Callable[[Any], Any] | None = None
    remark: str = ""


def ours(problem: Problem) -> Competitor:
    """Return this library's public calls, with no option that a user would not write."""
    m, y0, seed = problem.machine, problem.y0, problem.seed

    def gradient() -> Any:
        cotangent = m.pullback(m.solve(y0), z=seed)
        return cotangent.y0, cotangent.weight  # the record makes y0 when it is asked for

    def pullback(state: Any) -> Any:
        cotangent = m.pullback(state, z=seed)
        return cotangent.y0, cotangent.weight

    def results() -> Results:
        state = m.solve(y0)
        by_y0, by_weight = pullback(state)
        return Results(to_host(state.z), to_host(by_y0), to_host(by_weight))

    return Competitor(OURS, gradient, lambda: m.solve(y0), lambda state: m.dual(state).solve(seed), pullback, results)


def forced(problem: Problem, method: str) -> Competitor:
    """Return this library with ``method=`` written in every call; its name is "machinekit" and the method.

    Raises
    ------
    CannotExpressError
        If the method does not serve this machine or this backend; with the reason that it gives.
    """
    m, y0, seed = problem.machine, problem.y0, problem.seed

    def pullback(state: Any) -> Any:
        cotangent = m.pullback(state, z=seed, method=method)
        return cotangent.y0, cotangent.weight

    def forward() -> Any:
        return m.solve(y0, method=method)

    def backward(state: Any) -> Any:
        return m.dual(state).solve(seed, method=method)

    def results() -> Results:
        state = forward()
        by_y0, by_weight = pullback(state)
        return Results(to_host(state.z), to_host(by_y0), to_host(by_weight))

    try:
        state = forward()
        backward(state), pullback(state)
    except (TypeError, ValueError) as reason:
        raise CannotExpressError(str(reason).strip().splitlines()[0]) from None
    return Competitor(f"{OURS} {method}", lambda: pullback(forward()), forward, backward, pullback, results)


def installed(peer: str) -> bool:
    """Return whether the package of a peer can be imported, without importing it."""
    return importlib.util.find_spec(PEERS[peer][0]) is not None


def build_peer(name: str, problem: Problem) -> Competitor:
    """Import a peer and set it up for a problem.

    Raises
    ------
    CannotExpressError
        If the peer has no honest way to write the machine.
    ImportError
        If the peer is not installed.
    """
    module = importlib.import_module(f".{PEERS[name][1]}", __package__)
    competitor: Competitor = module.build(problem, name)
    return competitor


def pick_peers(spec: str | Sequence[str]) -> tuple[str, ...]:
    """Read ``"none"``, ``"all"`` or names joined by commas.

    Raises
    ------
    ValueError
        For a name that is unknown.
    """
    words = [w for w in spec.split(",") if w] if isinstance(spec, str) else list(spec)
    if words == ["none"]:
        return ()
    if words == ["all"]:
        return tuple(PEERS)
    for word in words:
        if word not in PEERS:
            raise ValueError(f"peer {word!r} is unknown; {near(word, (*PEERS, 'none', 'all'))}")
    return tuple(words)
