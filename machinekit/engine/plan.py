"""A plan: a compiled schedule for one partition, one shape and one dtype.

The batch is cut into tiles whose working set stays in cache; each tile is copied into a workspace, run
by a fixed list of array calls, and copied out into new arrays. Workspaces are pooled: a call takes one
for itself, so any number of threads may share a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..activations import Blockwise, SlopeAt
from ..arrays import Array
from .folded import FoldedLine
from .slopes import slope_filler
from .tiles import Tiles
from .workspace import Program, Workspace

__all__ = ["NotFinite", "Plan"]


class NotFinite(ArithmeticError):
    """A start that is not finite stood beside an identity, where 0 · ∞ may have spread; solve by the reference."""


class Plan(Tiles):
    """The compiled schedule of one partition for one batch and grid shape and one dtype; see `Tiles`."""

    # Running ---------------------------------------------------------------------------------

    def solve(
        self,
        weight: Array,
        bias: Array | None,
        sigma: Any,
        y0: Array | None,
        z0: Array | None,
    ) -> tuple[Array, Array]:
        """Run the schedule: `sweep`, with a bias added and inputs of fewer channels.

        Parameters
        ----------
        sigma : Pointwise
            A Blockwise, or a Diagonal that broadcasts to y.
        y0, z0 : arrays of shape (*batch, *grid, channels), or None for zero

        Returns
        -------
        y, z : new arrays over all channels

        Raises
        ------
        NotFinite
            Solve by the reference instead.
        """
        x, added = (None if a is None else self.native(a) for a in (y0, z0))
        slopes = None if isinstance(sigma, Blockwise) else slope_filler(self, sigma)
        curve = sigma if slopes is None else None

        def run(workspace: Workspace, cut: tuple, first: bool) -> None:
            if slopes is not None:
                slopes(workspace, cut)
            self._start(workspace, _cut(x, cut), _cut(added, cut), bias)
            self._run(workspace, workspace.program(curve, added is not None))

        return self._tiled(run, weight)

    def _tiled(
        self,
        run: Callable[[Workspace, tuple, bool], None],
        weight: Array,
        finish: Callable[[Workspace], None] | None = None,
        with_y: bool = True,
    ) -> tuple[Any, Array]:
        """Run tile by tile and return copies of y, if wanted, and z in the user's layout.

        One workspace serves all tiles of a size: `run` is told which is its first, `finish` sees it after its last.
        """
        if self.tile == self.samples:
            workspace = self.take(self.samples, weight)
            run(workspace, (...,), True)
            if self.fresh:
                y, z = workspace.y_full[0] if with_y else None, workspace.z_full[0]
            elif self.copied:
                y, z = workspace.y_full[0].copy() if with_y else None, workspace.z_full[0].copy()
            else:
                y, z = self.empty() if with_y else None, self.empty()
                workspace.store(y, z)
            self._end(workspace, self.samples, finish)
            return None if y is None else self.user(y), self.user(z)
        y, z = self.empty() if with_y else None, self.empty()
        rest = self.samples % self.tile
        for size, start, stop in ((self.tile, 0, self.samples - rest), (rest, self.samples - rest, self.samples)):
            if not size:
                continue
            workspace = self.take(size, weight)
            for at in range(start, stop, size):
                cut = (*(slice(None),) * self.sample_axis, slice(at, at + size))
                run(workspace, cut, at == start)
                workspace.store(_cut(y, cut), z[cut])
            self._end(workspace, size, finish)
        return None if y is None else self.user(y), self.user(z)

    def _end(self, workspace: Workspace, samples: int, finish: Callable[[Workspace], None] | None) -> None:
        if finish is not None:
            finish(workspace)
        self.give(workspace, samples)

    def _start(
        self,
        workspace: Workspace,
        x: Array | None,
        added: Array | None,
        bias: Array | None = None,
    ) -> None:
        """Load a workspace with the start."""
        if bias is None:
            workspace.put(workspace.x_full, x)
        else:
            workspace.start(x, bias)
        if added is not None:
            workspace.put(workspace.more("added"), added)

    def _run(self, workspace: Workspace, program: Program) -> None:
        for call in program:
            call()
        if isinstance(workspace, FoldedLine) and not workspace.is_finite():
            raise NotFinite

    def pullback(
        self,
        weight: Array,
        sigma: Any,
        state: tuple[Array, Array, Array | None],
        seeds: tuple[Array | None, Array | None],
        dead: Array | None,
        bias_shape: tuple[int, ...] | None,
        with_u: bool = True,
    ) -> tuple[Array | None, Array, Array, Array | None]:
        """Run the dual of a machine and contract the weight cotangent; this is the plan of the dual's partition.

        Parameters
        ----------
        weight : array
            The transposed kernel.
        sigma : Pointwise
            Of the machine; its slope is taken at the state.
        state : (y, z, σ(y) or None)
            z is what the weight met; it may be another array than σ(y).
        seeds : (on z, on y)
            Arrays or None.
        dead : bool array of shape (*lag, in, out), or None
            Entries that are dead beyond the rule: pruned ones.
        bias_shape : tuple or None
            Whether the bias cotangent is wanted.
        with_u : bool
            Whether u is.

        Returns
        -------
        u, v, weight cotangent, bias cotangent : new arrays, or None where not wanted

        Raises
        ------
        NotFinite
            Solve by the reference instead.
        """
        y, z, value = state
        z = self.native(z)
        slopes = slope_filler(self, SlopeAt(sigma, y, value) if isinstance(sigma, Blockwise) else sigma)
        start, added = (None if a is None else self.native(a) for a in seeds)
        bias = None if bias_shape is None else self.xp.zeros(bias_shape, self.dtype)
        parts: list[Array] = []

        def run(workspace: Workspace, cut: tuple, first: bool) -> None:
            slopes(workspace, cut)
            workspace.primal(z[cut])
            self._start(workspace, _cut(start, cut), _cut(added, cut))
            self._run(workspace, workspace.program(None, added is not None, "first" if first else "more"))
            if bias is not None:
                for sheet, part in zip(workspace.sheets, workspace.z_full, strict=True):
                    self.xp.add(bias, part.sum(axis=tuple(a for a in range(part.ndim) if a != sheet.channel)), bias)

        u, v = self._tiled(run, weight, lambda workspace: parts.append(workspace.collected()), with_u)
        out = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if dead is not None:
            self.xp.copyto(out, 0, where=dead)
        return u, v, out, bias

    def products(
        self, weight: Array | None, z: Array, primal: Array | None = None
    ) -> tuple[Array | None, Array | None]:
        """Return the products of a sweep for a z that is known: nothing is solved, every step is taken at once.

        Parameters
        ----------
        weight : array of shape (*lag, in, out), or None
            Any kernel of this partition, zero where dead.
        z : array of shape (*batch, *grid, channels)
        primal : array of that shape, or None
            Of the machine whose dual has this partition.

        Returns
        -------
        W z, or None without a weight
        Σ primal[g − ℓ] z[g] : the weight cotangent of that machine, or None without a primal
        """
        z, y = self.native(z), None if weight is None else self.empty()
        other = None if primal is None else self.native(primal)
        parts: list[Array] = []
        for size, cuts in self.tiles():
            workspace = self.take(size, None if self.line else weight, spare=True)
            for k, cut in enumerate(cuts):
                workspace.put(workspace.z_full, z[cut])
                if weight is not None:
                    for image in workspace.y:
                        image[...] = 0
                if other is not None:
                    workspace.primal(other[cut])
                contract = "" if other is None else "more" if k else "first"
                workspace.still(weight, contract)
                if y is not None:
                    workspace.store(y[cut], None)
            if other is not None:
                parts.append(workspace.collected())
            self.give(workspace, size)
        out = None if not parts else parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return None if y is None else self.user(y), out


def _cut(array: Array | None, cut: tuple) -> Array | None:
    return None if array is None else array[cut]
