"""What the tests of the norms share: points, arguments, and the formula of one group."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import machinekit as mk

from .leaf_laws import normal

FORMS = ("sqrt", "eps+sigma")
forms = st.sampled_from(FORMS)
epsilons = st.sampled_from([1e-5, 1e-2, 1.0])
gains = st.tuples(st.booleans(), st.booleans())


def divided(entries, form, epsilon):
    """Return n, mean and variance of one group, in Python."""
    mean = sum(entries) / len(entries)
    variance = sum((t - mean) ** 2 for t in entries) / len(entries)
    d = (epsilon + variance) ** 0.5 if form == "sqrt" else epsilon + variance**0.5
    return [(t - mean) / d for t in entries], mean, variance


def draw_norm(rng, backend, kind, shape, gain, form, epsilon, dtype="float64"):
    """Return the op, and its scale and bias on the host."""
    values = {name: normal(rng, shape, dtype) for name in ("scale", "bias")}
    arguments = {name: backend.from_host(values[name]) if on else False for name, on in zip(values, gain, strict=True)}
    more = {} if any(gain) else {"dtype": dtype}
    op = kind(shape if kind is mk.LayerNorm else shape[0], form=form, epsilon=epsilon, **arguments, **more)
    neutral = {"scale": np.ones(shape), "bias": np.zeros(shape)}
    return op, *(values[name] if on else neutral[name] for name, on in zip(values, gain, strict=True))


def spread(rng, shape):
    """Draw entries that keep their distance from zero and each other, so that 1/σ ≤ 4 and differences can be taken."""
    size = math.prod(shape)
    return (rng.permutation(size) + rng.uniform(0.25, 0.5, size)).reshape(shape) * rng.choice([-1.0, 1.0])


def mild(rng, shape, dtype):
    """Draw entries whose imaginary parts are small, so that variances keep clear of the branch cut."""
    a = normal(rng, shape, dtype)
    return (a.real + 0.1j * a.imag).astype(dtype) if a.dtype.kind == "c" else a
