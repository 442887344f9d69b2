"""Equilibrium machines: the diagonal blocks of W are live, and a block is resolved by an iteration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np

from ..activations import Diagonal
from ..arrays import Array, backend_of, dtype_name, every, namespace, near
from ..errors import DerivativeError
from ..partitions import Partition
from ..records import Cotangent, MachineCotangent, MachineState, State
from ..solvers import Equilibrium, Info, fail
from .base import Machine
from .block_sweep import block_sweep
from .blocks import Blocks
from .build import Given, read_padding, read_sizes
from .checks import widen

__all__ = ["EquilibriumMachine", "document_equilibrium", "read_options"]

_SPREAD = 0.4
"""Scale of the diagonal blocks that are drawn: a Gaussian matrix of this scale has norm about 0.8."""

_SHARED = """
    bias : bool or array of shape (channel,)
        False: none. True: zeros, trained. An array: a copy of that.
    padding : sequence of (before, after), optional
        Makes the machine convolutional, zero outside the grid: one pair per grid axis.
    rng : numpy.random.Generator, int or None
        Draws what is not given, in float64 on the host.
    dtype, backend : optional
        As for `DenseMachine`.
    **options
        Those of `mk.Equilibrium`: solver, dual_solver, rtol, atol, max_steps, on_failure, dual_steps, damping, history.

    Raises
    ------
    ValueError, TypeError
        As `DenseMachine`; an unknown option.
    ConvergenceError
        From `solve`, and from every verb that solves, if a sample has not converged (unless `on_failure` says else).
"""


def document_equilibrium(cls: type) -> type:
    """Write the parameters that equilibrium machines share into a class docstring."""
    cls.__doc__ = (cls.__doc__ or "").replace("\n    {shared}\n", _SHARED + "\n")
    return cls


def read_options(options: Mapping[str, Any]) -> Equilibrium:
    """Return the options of a solve; an unknown one is refused with the names that are near."""
    known = [f.name for f in dataclasses.fields(Equilibrium)]
    for name in options:
        if name not in known:
            raise TypeError(f"{name!r} is no option of an equilibrium machine; {near(name, known)}")
    return Equilibrium(**options)


@document_equilibrium
class EquilibriumMachine(Machine):
    """A machine of infinite depth: block i reads itself, and is the solution of z = σ(W_ii z + …) + z0.

    One block is a deep equilibrium model; blocks whose diagonal block is zero are those of a machine of finite depth;
    anything between is allowed, and the couplings below the diagonal are arbitrary.

    Parameters
    ----------
    sizes : sequence of int
        Channels of the blocks, in order.
    activation : str, Activation, Diagonal, or a sequence of the first two with one entry per block
    weight : array of shape (*lag, in, out), optional
        Wᵀ with its diagonal blocks; copied, and projected onto its live part. By default drawn: the couplings
        N(0, 1/fan-in), the diagonal blocks 0.4 of that, so that their norm is below 1.
    {shared}
    Notes
    -----
    y = W z + b + y0, z = σ(y) + z0 with W block triangular, the diagonal included, swept block by block; tangent and
    dual are equilibrium machines again, linear ones: v = D u + v0, u = Wᵀ v + u0 is the implicit-function theorem, in
    memory that does not depend on the number of iterations (Bai, Kolter & Koltun, arXiv:1909.01377). Where σ is a
    proximal operator and I − W_ii is monotone, splitting methods converge surely (arXiv:2006.08591): `solver="auto"`
    asks `monotonicity` and takes them; else Anderson's method, then Newton–Krylov, and BiCGSTAB for the dual.
    ``state.info`` tells steps, residual, error bound, status of every sample; ``cotangent.saved.info`` those of the
    dual.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.EquilibriumMachine((1,), "relu", weight=np.array([[-1.0]]), rtol=1e-12)
    >>> state = m.solve(np.array([[3.0]]))  # z = 3 − z
    >>> state.z, bool(state.info.converged[0])
    (array([[1.5]]), True)
    >>> m.pullback(state, np.array([[1.0]])).y0  # v = 1 − v
    array([[0.5]])
    """

    options: Equilibrium
    _turned: bool

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "tanh",
        *,
        weight: Array | None = None,
        bias: bool | Array = False,
        padding: Sequence[tuple[int, int]] | None = None,
        rng: Any = None,
        dtype: Any = None,
        backend: Any = None,
        **options: Any,
    ) -> None:
        read = read_options(options)
        partition = Partition(read_sizes(sizes), () if padding is None else read_padding(padding), feedback=True)
        super().__init__(partition, Given(activation, weight, bias, rng, dtype, backend))
        if weight is None:
            factor = np.where(partition.strict.live(), 1.0, _SPREAD)
            self.__dict__["weight"] = self.weight * backend_of(self.weight).from_host(factor, dtype_name(self.weight))
        self.__dict__.update(options=read, _turned=False)
        self._check_solver()

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.partition, self.kernel, self._margins())

    def _margins(self) -> tuple[float, ...] | None:
        """Return the monotonicity of the blocks, where it is known by construction."""
        return None

    def _derive(self, **changes: Any) -> Self:
        return self._derived(object.__new__(type(self)), changes)

    def _derived(self, new: Self, changes: dict[str, Any]) -> Self:
        """Fill a new machine of this class with this one's parts and the changes, and what is known of its blocks."""
        new._fill(**{**self._parts(), **changes})
        new.__dict__.update(options=self.options, _turned=self._turned)
        if "partition" in changes:
            return new
        changed = "weight" in changes
        aged = Blocks(new.partition, new.kernel, new._margins(), self._blocks.sizes) if changed else self._blocks
        new.__dict__["_blocks"] = aged
        return new

    def _mirror(self) -> Self:
        new = super()._mirror()
        new.__dict__.update(_turned=not self._turned, _blocks=self._blocks.mirrored(new.partition, new.kernel))
        return new

    def with_options(self, **options: Any) -> Self:
        """Return the same machine with other options of its solver.

        >>> import machinekit as mk
        >>> mk.MonotoneMachine((3,), rng=0).with_options(rtol=1e-9).options.rtol
        1e-09
        """
        new = self._derive()
        new.__dict__["options"] = read_options({**dataclasses.asdict(self.options), **options})
        new._check_solver()
        return new

    def _plan(self, lead: tuple[int, ...], *arrays: Array | None, dual: bool = False, method: str = "auto") -> None:
        """Return None: equilibria are solved block by block."""
        if method in ("plan", "kernel"):
            raise ValueError(
                f"method={method!r} runs machines of finite depth; an equilibrium is found by iteration, block by "
                "block: use method='auto'"
            )

    def _resolvent(
        self,
        plan: Any,
        y0: Array | None,
        z0: Array | None,
        lead: tuple[int, ...],
        bias: Array | None = None,
        warm: MachineState | None = None,
    ) -> tuple[Array, Array, Info]:
        start = widen(self, y0, lead)
        start = start if bias is None else start + bias
        added = None if z0 is None else widen(self, z0, lead)
        for name, signal in (("y0 (with the bias)", start), ("z0", added)):
            if signal is not None and not every(namespace(signal).isfinite(signal)):
                raise ValueError(f"{name} is not finite, so that no iteration can converge; pass finite numbers")
        linear = isinstance(self._sigma, Diagonal)
        truncated = linear and self._turned and self.options.dual_steps is not None
        rtol = self.options.tolerance(self.precision)
        blocks, sigma = self._blocks, self._sigma
        blocks.check(rtol, self.partition.grid(start.shape))
        y, z, info = block_sweep(self.partition, blocks, sigma, start, added, self.options, rtol, warm, truncated)
        if not info.converged.all():
            what = "the equilibrium" if not linear else "the dual" if self._turned else "the tangent"
            fail(info, MachineState(y, z, info=info), self.options, what)
        return y, z, info

    def pullback_tangent(
        self,
        state: State,
        cotangent: Cotangent,
        along: Any,
        z: Array | None = None,
        *,
        y: Array | None = None,
        method: str = "auto",
    ) -> MachineCotangent:
        if self.options.dual_steps is not None:
            raise DerivativeError(
                f"pullback_tangent differentiates the exact dual, but dual_steps={self.options.dual_steps} stops it "
                "early; use machine.with_options(dual_steps=None)"
            )
        return super().pullback_tangent(state, cotangent, along, z, y=y, method=method)

    pullback_tangent.__doc__ = Machine.pullback_tangent.__doc__

    def depth_bound(self, grid: tuple[int, ...] = ()) -> float:  # type: ignore[override]
        """Return the bound on the depth of f on X: infinite, unless no block reads itself."""
        if any(self._blocks.feeds(k) for k in self.partition.block_order):
            return math.inf
        return super().depth_bound(grid)

    def finest_rtol(self, grid: tuple[int, ...] = ()) -> float:
        """Return the least `rtol` that rounding allows: 2 eps (1 + L), L the largest ‖I − W_ii‖₂ of the blocks.

        >>> import numpy as np, machinekit as mk
        >>> m = mk.EquilibriumMachine((1,), weight=np.array([[-1.0]]))
        >>> float(m.finest_rtol() / np.finfo(float).eps)
        6.0
        """
        return float(self._blocks.finest(tuple(grid)))

    def more_rows(self) -> list[str]:
        options = self.options
        tolerance = f"rtol {options.tolerance(self.precision):g}" + (f", atol {options.atol:g}" if options.atol else "")
        dual = "" if options.dual_steps is None else f", the dual stopped after {options.dual_steps} steps"
        return [f"equilibria   solver {options.solver}, dual {options.dual_solver}, {tolerance}{dual}"]

    def _check_solver(self) -> None:
        """Refuse a splitting method for an activation that is no proximal operator."""
        if self.options.solver not in ("peaceman-rachford", "forward-backward", "active-set") or isinstance(
            self._sigma, Diagonal
        ):
            return
        for activation, size in zip(self._sigma.activations, self.sizes, strict=True):
            if size and activation.prox is None:
                raise ValueError(
                    f"solver={self.options.solver!r} needs proximal activations (nondecreasing, slopes at most 1), "
                    f"which {activation.name!r} is not known to be; use solver='anderson' or 'newton-krylov'"
                )
            if size and self.options.solver == "active-set" and not activation.piecewise_linear:
                raise ValueError(
                    f"solver='active-set' needs activations in linear pieces, which {activation.name!r} is not; "
                    "use solver='peaceman-rachford'"
                )
