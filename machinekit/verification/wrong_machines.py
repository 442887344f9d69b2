"""Mutants of machines: the solution, its tangent, its dual, the weight cotangent, the live weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..activations import Diagonal
from ..arrays import Array, backend_of, dtype_name, namespace
from ..engine import sweep
from ..linear import apply, transpose, weight_cotangent
from ..machines import Machine
from ..machines.checks import widen
from ..partitions import CHANNELS, Partition
from ..records import MachineCotangent, MachineState
from .explicit import Explicit, wide
from .mutants import mutant

__all__ = ["WRONG_MACHINES"]

Pair = tuple[Array, Array]


def _like(values: np.ndarray, like: Array) -> Array:
    """Return host values in the dtype and on the device of an array."""
    return backend_of(like).from_host(values.astype(dtype_name(like)))


def _lead(a: Array | None, b: Array | None) -> tuple[int, ...]:
    return tuple((b if a is None else a).shape[:-1])  # type: ignore[union-attr]  # one of them is given


def _start(m: Machine, state: MachineState) -> Pair:
    """Return (y0, z0) of a solution, over all channels."""
    given = (*state.inputs, None, None)[:2]
    y0, z0 = (widen(m, a, tuple(state.y.shape[:-1])) for a in given)
    return y0, z0


class _Rows:
    """A machine as an explicit matrix, for sweeps over the rows of samples on the host."""

    def __init__(self, m: Machine, lead: tuple[int, ...], **changes: Any) -> None:
        self.m, self.lead = m, lead
        self.shape = (*lead, m.partition.channels)
        self.explicit = Explicit(m, m.partition.grid(self.shape)).but(**changes)

    def flat(self, a: Array | None) -> np.ndarray:
        """Return a signal as samples × (position × channel)."""
        n = self.explicit.n
        return wide(widen(self.m, a, self.lead)).reshape(math.prod(self.shape) // max(n, 1), n)

    def forward(self, y0: Array | None, z0: Array | None, sets: list[np.ndarray], reads_y: bool = False) -> Pair:
        """Sweep over index sets, W and σ being right."""
        e = self.explicit
        y, start = self.flat(y0) + np.tile(e.bias, len(e.positions)), self.flat(z0)
        z = np.zeros_like(y)
        for rows in sets:
            y[:, rows] += (y if reads_y else z) @ e.matrix[rows].T
            z[:, rows] = e.sigma(y.reshape(self.shape)).reshape(y.shape)[:, rows] + start[:, rows]
        return y.reshape(self.shape), z.reshape(self.shape)


def _state(y0: Array | None, z0: Array | None, pair: Pair) -> MachineState:
    like = y0 if z0 is None else z0
    inputs = (y0,) if z0 is None else (y0, z0)
    return MachineState(_like(pair[0], like), _like(pair[1], like), inputs=inputs)


@mutant("longer-time-blocks", "Algorithm 1, schedule", "solve", "equation-1 algorithm-1-forward equation-10")
def _longer_time_blocks(m: Machine, y0: Array | None, z0: Array | None = None) -> MachineState:
    """The schedule takes twice as many times at once as the time blocks of the live rule."""
    rows = _Rows(m, _lead(y0, z0))
    longer = _Rows(m, rows.lead, extents=tuple(2 * n for n in m.partition.time_block)).explicit.sets
    return _state(y0, z0, rows.forward(y0, z0, longer))


@mutant("y-for-z-in-the-sweep", "§3, w : Y → Z", "solve", "equation-1 equation-10 algorithm-1-forward")
def _y_for_z_forward(m: Machine, y0: Array | None, z0: Array | None = None) -> MachineState:
    """W reads y, where it reads z: y = W y + b + y0."""
    rows = _Rows(m, _lead(y0, z0))
    return _state(y0, z0, rows.forward(y0, z0, rows.explicit.sets, reads_y=True))


@mutant("input-inside-a-block", "inputs of fewer channels", "solve", "partial-input")
def _input_inside_a_block(m: Machine, y0: Array | None, z0: Array | None = None) -> MachineState:
    """An input that stops inside a block is filled up with zeros, where it is refused."""

    def filled(a: Array | None) -> Array | None:
        return a if a is None or a.shape[-1] in m.partition.bounds else widen(m, a, tuple(a.shape[:-1]))

    return m.solve(filled(y0), filled(z0))


@mutant(
    "derivative-at-input", "Proposition 2", "tangent", "proposition-2 equation-3 adjoint-identity parametric-machine"
)
def _derivative_at_input(m: Machine, state: MachineState, y0: Array, z0: Array | None = None) -> Pair:
    """The derivative of f is taken at the input x0, where it is taken at the solution."""
    solution = m.tangent(MachineState(*_start(m, state))).solve(y0, z0)
    return solution.y, solution.z


@mutant("dual-at-input", "Proposition 2", "dual", "proposition-2 equation-13 algorithm-1-backward adjoint-identity")
def _dual_at_input(m: Machine, state: MachineState, u0: Array, v0: Array | None = None) -> Pair:
    """The dual is that of the derivative at the input x0, where it is that at the solution."""
    solution = m.dual(MachineState(*_start(m, state))).solve(u0, v0)
    return solution.y, solution.z


@mutant("unmasked-backward", "Algorithm 1 backward, line 3", "dual", "equation-12 algorithm-1-backward proposition-2")
def _unmasked_backward(m: Machine, state: MachineState, u0: Array, v0: Array | None = None) -> Pair:
    """Line 3 multiplies by the kernel as it was given, L, whose dead entries have not been set to zero."""
    rows = _Rows(m, tuple(state.y.shape[:-1]))
    e, shape = rows.explicit, rows.shape
    dead = np.where(e.live, 0, np.random.default_rng(0).uniform(-1, 1, e.shape))  # what a user may have given there
    raw = e.but(live=np.ones_like(e.live)).spread_kernel(e.weight + dead)
    u, v, slope = rows.flat(u0), rows.flat(v0), rows.flat(m.slope(state))
    u, v = u.copy(), v.copy()
    for places in reversed(e.sets):
        u[:, places] += v @ raw[:, places]
        v[:, places] += slope[:, places] * u[:, places]
    return _like(u.reshape(shape), state.y), _like(v.reshape(shape), state.y)


@mutant(
    "dual-without-v0", "§3, equivariant dual", "dual", "equation-13 algorithm-1-backward adjoint-identity proposition-2"
)
def _dual_without_v0(m: Machine, state: MachineState, u0: Array, v0: Array | None = None) -> Pair:
    """v = σ′(y) ⊙ u, where it is σ′(y) ⊙ u + v0."""
    solution = m.dual(state).solve(u0)
    return solution.y, solution.z


def _swept(m: Machine, state: MachineState, u0: Array, v0: Array | None, order: Partition, kernel: Array) -> Pair:
    """Solve u = kernel v + u0, v = σ′(y) ⊙ u + v0 in an order."""
    lead = tuple(state.y.shape[:-1])
    return sweep(order, kernel, Diagonal.trusted(m.slope(state)), widen(m, u0, lead), widen(m, v0, lead))


@mutant("swapped-paddings", "§3, transposed convolution", "dual", "equation-12 algorithm-1-backward adjoint-identity")
def _swapped_paddings(m: Machine, state: MachineState, u0: Array, v0: Array | None = None) -> Pair:
    """The transposed convolution has its paddings (before, after), where they are (after, before)."""
    p, dual = m.partition, m.partition.dual()
    order = Partition(p.sizes, p.padding, dual.scan, dual.reverse, dual.time_block)
    return _swept(m, state, u0, v0, order, transpose(p, m.weight))


@mutant("lags-not-reversed", "§3, transposed convolution", "dual", "equation-12 algorithm-1-backward adjoint-identity")
def _lags_not_reversed(m: Machine, state: MachineState, u0: Array, v0: Array | None = None) -> Pair:
    """The transposed kernel is W′[j, o, c] = W[j, c, o], where it is W′[k−1−j, o, c]."""
    kernel, axes = transpose(m.partition, m.weight), tuple(range(m.partition.axes))
    turned = namespace(kernel).flip(kernel, axis=axes) if axes else kernel
    return _swept(m, state, u0, v0, m.partition.dual(), turned)


@mutant("first-set-first", "Algorithm 1 backward", "dual", "equation-12 algorithm-1-backward adjoint-identity")
def _first_set_first(m: Machine, state: MachineState, u0: Array, v0: Array | None = None) -> Pair:
    """The dual sweeps the first index set first, where it sweeps the last first."""
    p = m.partition
    order = Partition(p.sizes, p.dual().padding, p.scan, p.reverse, p.time_block)
    return _swept(m, state, u0, v0, order, transpose(p, m.weight))


@mutant("means-for-sums", "cotangents of a batch", "pullback", "equation-14 theorem-3-parameters sequential-example")
def _means_for_sums(m: Machine, state: MachineState, z: Array | None, y: Array | None) -> MachineCotangent:
    """Cotangents of parameters are means over the batch, where they are sums: the loss owns its mean."""
    right = m.pullback(state, z, y=y)
    batch = max(math.prod(state.y.shape[: state.y.ndim - 1 - m.partition.axes]), 1)
    slope = None if right.slope is None else right.slope / batch
    parameters = {name: a / batch for name, a in right.parameters.items()}
    return MachineCotangent(right.saved, state.widths, len(state.inputs) or 2, right.outputs, parameters, slope)


@mutant("y-for-z", "eq. (14), π^Y for π^Z", "weight_cotangent", "equation-14 pruning")
def _y_for_z(m: Machine, state: MachineState, z: Array | None, y: Array | None) -> Array:
    """Q = Σ y v, where it is Σ z v."""
    v = m.dual(state).solve(z, y).z
    return m.project(weight_cotangent(m.partition, state.y, v))


@mutant("q-mask-transposed", "eq. (14), Algorithm 1 line 7", "weight_cotangent", "equation-14 pruning")
def _q_mask_transposed(m: Machine, state: MachineState, z: Array | None, y: Array | None) -> Array:
    """Q[I_j, I_i] = 0 for j ≤ i, which is for weights stored [out, in]; here they are [in, out]."""
    e = Explicit(m, m.partition.grid(tuple(state.y.shape)))
    whole = e.but(live=np.ones_like(e.live)).kernel(wide(m.dual(state).solve(z, y).z), wide(state.z))
    return _like(np.where(np.swapaxes(e.live, -1, -2), whole, 0), state.z)


@mutant("causal-lags-only", "§3, equivariant Q", "weight_cotangent", "equation-14 pruning")
def _causal_lags_only(m: Machine, state: MachineState, z: Array | None, y: Array | None) -> Array:
    """Q is computed at lags ≥ 0, where a kernel that looks both ways has negative ones too."""
    q = wide(m.pullback(state, z, y=y).weight).copy()
    for axis, (_, after) in enumerate(m.partition.padding):
        q[(slice(None),) * axis + (slice(0, after),)] = 0
    return _like(q, state.z)


@mutant("slope-from-difference", "slopes from values", "slope", "slopes-from-values")
def _slope_from_difference(m: Machine, state: MachineState) -> Array:
    """σ′ is computed from σ(y) = z − z0, whose digits a large z0 has swallowed, where it is computed from y."""
    if isinstance(m.pointwise, Diagonal):
        return m.slope(state)
    return m.pointwise.slope(state.y, state.z - _start(m, state)[1])


@mutant("correlation-for-convolution", "in frameworks", "linear", "equation-10 parametric-machine")
def _correlation(m: Machine, z: Array) -> Array:
    """W z is the cross-correlation of frameworks, the kernel not being reversed along the lags."""
    axes = tuple(range(m.partition.axes))
    kernel = namespace(m.weight).flip(m.weight, axis=axes) if axes else m.weight
    return apply(m.partition, kernel, z)


@mutant("projections-on-kernel", "§3, equivariant W and Q", "live", "live-weights")
def _projections_on_kernel(p: Partition) -> np.ndarray:
    """The projections onto index sets are applied to the kernel: block order at every lag, the past included."""
    block = np.repeat(np.arange(len(p.sizes)), p.sizes)
    below = block[:, None] > block[None, :] if CHANNELS in p.reverse else block[:, None] < block[None, :]
    return np.broadcast_to(below, p.weight_shape).copy()


@mutant("lag-0-lost", "in other software", "live", "live-weights")
def _lag_0_lost(p: Partition) -> np.ndarray:
    """With a scanned axis all weights at lag 0 are dead, where earlier blocks of the same time are read."""
    mask = p.live()
    if p.scan:
        mask[p.tap((0,) * p.axes)] = False
    return mask


WRONG_MACHINES = (
    _longer_time_blocks, _y_for_z_forward, _input_inside_a_block, _derivative_at_input, _dual_at_input,
    _unmasked_backward, _dual_without_v0, _swapped_paddings, _lags_not_reversed, _first_set_first, _means_for_sums,
    _y_for_z, _q_mask_transposed, _causal_lags_only, _slope_from_difference, _correlation, _projections_on_kernel,
    _lag_0_lost,
)  # fmt: skip
