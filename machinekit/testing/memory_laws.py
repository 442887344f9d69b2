"""Memory, dtype and device rules of a machine: inputs untouched, nothing shared, nothing cast or moved."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import combinations
from typing import Any

import numpy as np

from ..arrays import Array, backend_of, dtype_name, to_host
from ..errors import DerivativeError
from .case import Case
from .instruments import like
from .report import Finding, equal

__all__ = ["RULES", "inputs_untouched", "kinds_kept", "mixing_refused", "nothing_shared"]


def _given(case: Case) -> dict[str, Array]:
    """Return all arrays that the verbs are given, by name."""
    given = {"y0": case.y0, "z0": case.z0, "seed on y": case.seed_y, "seed on z": case.seed_z}
    given.update({f"direction of {name}": d for name, d in case.directions.items()})
    given.update({f"the machine's {name}": a for name, a in case.machine.parameters().items()})
    return given


def _results(case: Case) -> dict[str, Array]:
    """Run every verb once and return the results by name."""
    m = case.machine
    state = m.solve(case.y0, case.z0)
    tangent = m.pushforward(state, **case.directions)
    cotangent = m.pullback(state, case.seed_z, y=case.seed_y)
    results = {"state.y": state.y, "state.z": state.z, "tangent.y": tangent.y, "tangent.z": tangent.z}
    found = {"cotangent": cotangent}
    with suppress(DerivativeError):  # not of class C¹; another law says so
        found["second"] = m.pullback_tangent(state, cotangent, tangent, case.seed_z, y=case.seed_y)
    for role, answer in found.items():
        found_here = {name: getattr(answer, name) for name in ("y0", "z0", "slope")} | dict(answer.parameters)
        results |= {f"{role}.{name}": array for name, array in found_here.items() if array is not None}
    return results


def inputs_untouched(case: Case) -> list[Finding]:
    """No verb writes to its arguments; read-only inputs serve as well."""
    given = _given(case)
    before = {name: np.array(to_host(a)) for name, a in given.items()}
    _results(case)
    changed = [name for name, a in given.items() if not np.array_equal(before[name], to_host(a), equal_nan=True)]
    if changed:
        return [equal("no input is written to", changed, [])]
    frozen = [a for a in given.values() if isinstance(a, np.ndarray) and a.flags.writeable]
    for a in frozen:
        a.flags.writeable = False
    try:
        _results(case)
    finally:
        for a in frozen:
            a.flags.writeable = True
    return [equal("no input is written to", changed, [])]


def nothing_shared(case: Case) -> list[Finding]:
    """Results share no memory with inputs, with each other or with a later call's results."""
    given, results, later = _given(case), _results(case), _results(case)
    every: dict[str, Array] = {**results, **{f"a later {name}": a for name, a in later.items()}}
    shared = [f"{a} and {b}" for a, b in combinations(every, 2) if _overlap(every[a], every[b])]
    shared += [f"{a} and {b}" for a in results for b in given if _overlap(results[a], given[b])]
    return [equal("results share no memory", shared, [])]


def _overlap(a: Array, b: Array) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.shares_memory(a, b)
    return a is b


def kinds_kept(case: Case) -> list[Finding]:
    """Library, device and dtype of every result are those of the inputs."""
    wanted = str(getattr(case.machine.dtype, "name", case.machine.dtype)).rpartition(".")[2]
    home = backend_of(case.machine.weight)
    results = _results(case)
    odd: Mapping[str, Any] = {
        name: (dtype_name(a), str(backend_of(a)))
        for name, a in results.items()
        if dtype_name(a) != wanted or str(backend_of(a)) != str(home)
    }
    return [equal("every result keeps dtype, library and device", odd, {})]


def mixing_refused(case: Case) -> list[Finding]:
    """Another precision, integers, objects and lists raise TypeError, before any work."""
    m = case.machine
    values = np.array(to_host(case.y0))
    other = "float64" if m.precision == "single" else "float32"
    bad: dict[str, Any] = {
        "another precision": like(values.real, m, other),
        "integers": backend_of(m.weight).from_host(np.zeros(values.shape, dtype=np.int64)),
        "objects": values.astype(object),
        "a list": values.tolist(),
    }
    accepted = []
    for name, value in bad.items():
        try:
            m.solve(value)
        except TypeError:
            continue
        accepted.append(name)
    return [equal("inputs of another kind are refused with TypeError", accepted, [])]


RULES = {
    "inputs untouched": inputs_untouched,
    "nothing shared": nothing_shared,
    "kinds kept": kinds_kept,
    "mixing refused": mixing_refused,
}
"""The memory and dtype rules by name."""
