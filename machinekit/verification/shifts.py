"""§3: what machines on a grid do with shifts and with reversed time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..machines import RecurrentMachine
from ..testing.instruments import Majorant
from ..testing.report import Finding, compare, equal
from .draws import Draws
from .explicit import wide
from .lab import Lab
from .points import drawn
from .registry import named

__all__ = ["SHIFTS"]


@named("equivariance", "§3, convolutional machines")
def _equivariance(lab: Lab, draws: Draws) -> list[Finding]:
    """Away from the borders a convolution machine commutes with shifts along its grid axes."""
    m = draws.machine(("conv", "conv2d"), sizes=draws.sizes(2, 3, 2))
    p = m.partition
    shift = tuple(draws.integer(0, 2) for _ in p.padding)
    steps = max(len(p.block_order) - 1, 0)  # each block widens what the next one sees
    length = tuple(steps * (before + after) + s + 2 for (before, after), s in zip(p.padding, shift, strict=True))
    case = draws.case(m, grid=tuple(n + s for n, s in zip(length, shift, strict=True)))
    both: Any = []
    for offset in ((0,) * p.axes, shift):
        window: Any = (..., *(slice(s, s + n) for s, n in zip(offset, length, strict=True)), slice(None))
        inner = [
            (steps * before + a - b, n - steps * after - b)
            for n, (before, _), (_, after), a, b in zip(length, p.padding, p.padding, shift, offset, strict=True)
        ]
        inside: Any = (..., *(slice(a, b) for a, b in inner), slice(None))
        y0, z0 = case.y0[window], case.z0[window]
        state = lab.solve(m, y0, z0)
        both.append([a[inside] for a in (state.y, state.z, *Majorant(m, state, y0, z0).solution)])
    first, second = both
    return [
        equal("positions away from the borders", first[0].shape[-1 - p.axes : -1], (2,) * p.axes),
        compare("y of the shifted input, shifted back", second[0], first[0], first[2] + second[2], lab.dtype),
        compare("z of the shifted input, shifted back", second[1], first[1], first[3] + second[3], lab.dtype),
    ]


@named("equivariance-in-time", "§3, recurrent machines")
def _equivariance_in_time(lab: Lab, draws: Draws) -> list[Finding]:
    """A recurrent machine at rest commutes with delays by whole time blocks: silence, then the same answer."""
    m = draws.machine(("recurrent",), activations=("tanh", "sin", "silu", "identity"), bias=False)
    at = drawn(lab, draws, m)
    delay = draws.integer(1, 2) * m.partition.time_block[0]
    silence = np.zeros((*at.y0.shape[:-2], delay, at.y0.shape[-1]))
    ends = 0 in m.partition.reverse  # time runs from the end, so that the silence is there
    late = [lab.array(np.concatenate([a, silence] if ends else [silence, a], axis=-2)) for a in (at.y0, at.z0)]
    quiet, rest = (slice(-delay, None), slice(0, -delay)) if ends else (slice(0, delay), slice(delay, None))
    moved = lab.solve(m, *late)
    y, z = (a[(..., rest, slice(None))] for a in (moved.y, moved.z))
    return [
        equal("nothing happens in the silence", bool(wide(moved.z)[..., quiet, :].any()), False),
        compare("y of the delayed input", y, at.state.y, at.point.scale_y, lab.dtype),
        compare("z of the delayed input", z, at.state.z, at.point.scale_z, lab.dtype),
    ]


@named("forward-time-reversal", "§3, recurrent machines")
def _time_reversal(lab: Lab, draws: Draws) -> list[Finding]:
    """A machine with reverse=(0,) is, in reversed time, the machine with the reversed kernel; so is its pullback."""
    m = draws.machine(("recurrent",), reverse=False)
    p = m.partition
    at = drawn(lab, draws, m, grid=(draws.integer(1, 3) * p.time_block[0],))  # the time blocks are then the same
    mirror = RecurrentMachine(
        p.sizes, m.activation, memory=p.padding[0][0], time_block=p.time_block[0], reverse=(0,),
        weight=lab.array(wide(m.weight)[::-1]), bias=False if m.bias is None else m.bias,
    )  # fmt: skip

    def turned(a: Array) -> Array:
        return lab.array(np.flip(wide(a), -2))

    seeds = at.case.seed_z, at.case.seed_y
    back = lab.solve(mirror, turned(at.case.y0), turned(at.case.z0))
    once = lab.weight_cotangent(m, at.state, *seeds)
    mirrored = lab.weight_cotangent(mirror, back, *(turned(a) for a in seeds))
    u, v = lab.dual(mirror, back, *(turned(a) for a in seeds))
    dual = at.point.dual(at.u0, at.v0)
    _, scale = at.point.kernel(dual)
    return [
        compare("y", turned(back.y), at.state.y, at.point.scale_y, lab.dtype),
        compare("z", turned(back.z), at.state.z, at.point.scale_z, lab.dtype),
        compare("u", turned(u), dual.first, dual.scale_first, lab.dtype),
        compare("v", turned(v), dual.second, dual.scale_second, lab.dtype),
        compare("weight cotangent, its lags reversed", wide(mirrored)[::-1], wide(once), scale, lab.dtype),
    ]


SHIFTS = (_equivariance, _equivariance_in_time, _time_reversal)
