"""Curves of inputs for any case, and jets by the complex step of the order below."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from machinekit.activations import NAMES, get_activation

from .strategies import cases, mostly

STEP = 2.0**-600  # its square is zero: what lies on a kink stays there
OF_CLASS = [tuple(n for n in NAMES if get_activation(n).smoothness >= k) for k in range(3)]
"""Names by k: those of class C^k."""


def pick():
    """The width of one array of a curve, counted in blocks, or None for no array."""
    return mostly(st.integers(1, 4), st.none() | st.just(0))


@st.composite
def curved_cases(draw, orders, gain=0, dtypes=("float64",)):
    """(order, case, curve): a machine of class C^(order − 1 + gain) and a curve of inputs of that order."""
    order = draw(st.sampled_from(orders))
    case = draw(cases(dtypes=list(dtypes), names=OF_CLASS[order - 1 + gain]))
    numbers = case.numbers()
    picks = [draw(st.lists(pick(), min_size=order, max_size=order)) for _ in range(2)]
    rng = np.random.default_rng(case.seed + 2)
    along = [[signal(case, p, rng) for p in each] for each in picks]
    y0, z0 = (numbers.y0, *along[0]), (numbers.z0, *along[1])
    return order, case, SimpleNamespace(numbers=numbers, y0=y0, z0=z0)


def settled(case, backend):
    """The case with the activations that a backend has, for all backends to compute the same."""
    return case if case.linear else case.with_(activation=case.names())


def signal(case, blocks, rng, size=1.0):
    """Random numbers over the first blocks, in the dtype of the case; None for None."""
    if blocks is None:
        return None
    bounds = [0, *np.cumsum(case.order.sizes).tolist()]
    shape = (*case.batch, *case.grid, bounds[min(blocks, len(bounds) - 1)])
    real, imaginary = rng.uniform(-size, size, shape), rng.uniform(-0.05, 0.05, shape)
    return np.asarray(real + 1j * imaginary if case.dtype.startswith("complex") else real).astype(case.dtype)


def seeds(case, count, offset=3):
    """Random seeds for every order, of random widths, some missing."""
    rng = np.random.default_rng(case.seed + offset)
    return [signal(case, None if rng.random() < 0.2 else int(rng.integers(1, 5)), rng) for _ in range(count)]


def full(case, array):
    """An array over all channels."""
    out = np.zeros((*case.batch, *case.grid, case.channels))
    if array is not None:
        out[..., : array.shape[-1]] = array
    return out


def moved(case, given, along, step=1j * STEP):
    """The arrays of a curve moved by a step along directions, over all channels."""
    return [full(case, a) + step * full(case, d) for a, d in zip(given, along, strict=True)]


def run(machine, y0, z0):
    """Return the tuples (y, y_1, …) and (z, z_1, …), the order being the number of directions; 0 is `solve`."""
    if len(y0) == 1:
        state = machine.solve(y0[0], z0[0], method="reference")
        return (state.y,), (state.z,)
    jet = machine.jet(y0[0], y0[1:], z0[0], z0[1:])
    return jet.y, jet.z


def below(case, machine, curve, k, step=1j * STEP):
    """The jet of order k − 1 at s = step: of the curve and its derivatives, Σ s^j/j! y0_(i+j) to first order in s."""
    return run(machine, *(moved(case, a[:k], a[1 : k + 1], step) for a in (curve.y0, curve.z0)))


def weighted(arrays, weights):
    """Σ ⟨p_k, y_k⟩ over the channels that the weights have; None is zero."""
    return sum((a[..., : p.shape[-1]] * p).sum() for a, p in zip(arrays, weights, strict=True) if p is not None)
