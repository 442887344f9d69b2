"""The public checks: one call runs every law on a user's own machine, activation or op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..activations import Activation, get_activation
from ..arrays import to_host
from ..machines import Machine
from ..records import MachineState
from .activation_laws import activation_findings
from .case import Case, pad
from .instruments import inner, inner_scale, like, sharp
from .machine_laws import LAWS
from .memory_laws import RULES
from .op_laws import op_findings
from .report import Finding, Report, compare, seeded

__all__ = ["adjoint_identity", "check_activation", "check_machine", "check_op"]

_HUGE = 1e3


def check_machine(
    machine: Machine,
    rng: Any = None,
    *,
    batch: Sequence[int] = (2,),
    grid: Sequence[int] | None = None,
    laws: Sequence[str] | None = None,
) -> Report:
    """Check every law of a machine on random inputs, seeds and directions.

    Parameters
    ----------
    machine : Machine
    rng : numpy.random.Generator, int or None
        The report prints the seed that draws the same case again.
    batch, grid : sequence of int
        Leading shapes; by default a grid on which every lag acts.
    laws : sequence of str, optional
        Names from `LAWS` and `RULES`; by default all.

    Returns
    -------
    Report

    Raises
    ------
    LawError
        If a law is broken: seed, the law, both sides and the scale.

    Notes
    -----
    Machine equation, uniqueness, adjoint identities, all cotangents by complex step and by central
    differences, dual of the dual, fewer channels, reachability, memory and dtype rules. One
    tolerance: 64 · eps · scale, the scale being the sum of absolute values that entered.

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.testing.check_machine(mk.DenseMachine((2, 3, 2), rng=0, bias=True), rng=1).ok
    True
    """
    seed, _ = seeded(rng)
    known = {**LAWS, **RULES}
    unknown = [name for name in laws or () if name not in known]
    if unknown:
        raise ValueError(f"laws names {unknown}; choose from {', '.join(known)}")
    case, size = _ordinary(machine, seed, batch, grid)
    machine = sharp(machine, machine.partition.grid(case.y0.shape))
    case = Case.draw(machine, np.random.default_rng(seed), batch, grid, size=size)
    findings: list[Finding] = []
    for name in laws or known:
        if name in RULES:  # a verb that writes to its input has spoilt the arrays of earlier laws
            case = Case.draw(machine, np.random.default_rng(seed), batch, grid, size=size)
        findings.extend(_findings(name, known[name], case))
    return Report(repr(machine), seed, tuple(findings)).demand()


def _ordinary(machine: Machine, seed: int, batch: Any, grid: Any) -> tuple[Case, float]:
    """Draw a case whose solution is not astronomical: a square of a square of … grows beyond all numbers."""
    for k in range(9):
        size = 0.5**k
        case = Case.draw(machine, np.random.default_rng(seed), batch, grid, size=size)
        try:
            with np.errstate(all="ignore"):
                state = case.machine.solve(like(pad(case.y0, 0), machine), like(pad(case.z0, 0), machine))
        except Exception:  # the laws will say it
            break
        if all(np.all(np.abs(to_host(a)) < _HUGE) for a in (state.y, state.z)):
            break
    return case, size


def _findings(name: str, law: Callable[[Case], list[Finding]], case: Case) -> list[Finding]:
    """Run one law; a machine that raises on an ordinary case has broken it."""
    try:
        return law(case)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        return [Finding(name, words, "no error", float("inf"), 0.0, 0.0, "an ordinary case")]


def check_activation(activation: Activation | str, rng: Any = None, *, dtype: str = "float64") -> Report:
    """Check the derivatives, the class C^k, the stability, the dtype rule and the proximal operator of an activation.

    Parameters
    ----------
    activation : Activation or str
    rng : numpy.random.Generator, int or None
    dtype : {"float64", "float32"}

    Raises
    ------
    LawError
        If a law is broken.

    Examples
    --------
    >>> import machinekit as mk
    >>> mk.testing.check_activation("tanh", rng=0).ok
    True
    """
    seed, generator = seeded(rng)
    if isinstance(activation, str):
        activation = get_activation(activation)
    return Report(repr(activation), seed, tuple(activation_findings(activation, generator, dtype))).demand()


def check_op(op: Any, *inputs: Any, rng: Any = None) -> Report:
    """Check the verbs of an op at given inputs: adjoint identity, complex step, finite differences, second derivatives.

    Parameters
    ----------
    op : op
        A machine, a built-in op, or a user's own.
    *inputs : float64 arrays
        The point at which the op is checked.
    rng : numpy.random.Generator, int or None

    Raises
    ------
    LawError
        If a law is broken.

    Notes
    -----
    `pullback_tangent` is checked against the complex step of `pullback`, everything moving at once, and with fixed
    seeds for symmetry, ⟨b, D(pullback) a⟩ = ⟨a, D(pullback) b⟩ over all inputs and parameters. What an op lacks, or
    refuses at complex points, is listed as not checked. No verb may write to what it is given.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> mk.testing.check_op(mk.Affine(3, 2, rng=0), np.ones((4, 3)), rng=1).ok
    True
    """
    seed, generator = seeded(rng)
    return Report(repr(op), seed, tuple(op_findings(op, inputs, generator))).demand()


def adjoint_identity(machine: Machine, state: MachineState, rng: Any = None) -> Finding:
    """Return ⟨dual(seeds), directions⟩ against ⟨seeds, tangent(directions)⟩ at a state.

    Parameters
    ----------
    machine : Machine
    state : State
    rng : numpy.random.Generator, int or None

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.DenseMachine((2, 2), rng=0)
    >>> mk.testing.adjoint_identity(m, m.solve(np.ones((3, 2))), rng=1).ok
    True
    """
    _, generator = seeded(rng)
    shape = state.y.shape
    home = Case.draw(machine, generator, shape[: -1 - machine.partition.axes], machine.partition.grid(shape))
    tangent = machine.tangent(state).solve(home.directions["y0"], home.directions["z0"])
    dual = machine.dual(state).solve(home.seed_z, home.seed_y)
    left = [(dual.z, home.directions["y0"]), (dual.y, home.directions["z0"])]
    right = [(home.seed_y, tangent.y), (home.seed_z, tangent.z)]
    scale = np.linalg.norm([inner_scale(left), inner_scale(right)]).item()
    kind = "float32" if machine.precision == "single" else "float64"
    return compare("adjoint identity", inner(left), inner(right), scale, kind)
