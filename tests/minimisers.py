"""Proximal operators by minimising α f(s) + ½ (s − u)² in 40-digit decimal arithmetic, f as its definition has it.

σ = prox_f for each, up to a constant of f; no derivative, inverse or fixed-point equation is used. Beside it, their
scalar equation solved by bisection, for many numbers.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np

from machinekit.arrays import to_host

from .helpers import tolerance

DIGITS = 40
WIDTH = Decimal("1e-12")
HALF, ONE, FAR = Decimal("0.5"), Decimal(1), Decimal(60)
PI = Decimal("3.14159265358979323846264338327950288419717")


def _artanh_integral(s):
    """s artanh s + ½ log(1 − s²)."""
    return s * ((1 + s) / (1 - s)).ln() / 2 + (1 - s * s).ln() / 2


def _entropy(s):
    return s * s.ln() + (1 - s) * (1 - s).ln()


def _dilogarithm(z):
    """Σ z^k/k² for 0 < z < 1, by reflection above ½."""
    if z > HALF:
        return PI * PI / 6 - z.ln() * (1 - z).ln() - _dilogarithm(1 - z)
    total, power, k = Decimal(0), ONE, 0
    while power > Decimal(10) ** -DIGITS:
        k += 1
        power *= z
        total += power / (k * k)
    return total


def _below(s):
    """(1 + s) log(1 + s) − s − ½ s² below 0: f of elu with α = 1."""
    return (1 + s) * (1 + s).ln() - s - s * s / 2 if s < 0 else Decimal(0)


FUNCTIONS = {
    "identity": (lambda s: Decimal(0), -FAR, FAR),
    "relu": (lambda s: Decimal(0), Decimal(0), FAR),
    "leaky_relu": (lambda s: (1 / Decimal("0.01") - 1) * min(s, Decimal(0)) ** 2 / 2, -FAR, FAR),
    "hardtanh": (lambda s: Decimal(0), -ONE, ONE),
    "hardsigmoid": (lambda s: Decimal("2.5") * s * s - 3 * s, Decimal(0), ONE),
    "soft_threshold": (lambda s: HALF * abs(s), -FAR, FAR),
    "tanh": (lambda s: _artanh_integral(s) - s * s / 2, -ONE, ONE),
    "sigmoid": (lambda s: _entropy(s) - s * s / 2, Decimal(0), ONE),
    "softplus": (lambda s: _dilogarithm((-s).exp()), Decimal(0), FAR),  # the integral of log(e^s − 1), less ½ s²
    "logsigmoid": (lambda s: _dilogarithm(s.exp()), -FAR, Decimal(0)),
    "softsign": (lambda s: -(1 - abs(s)).ln() - abs(s) - s * s / 2, -ONE, ONE),
    "elu": (_below, -ONE, FAR),
    "celu": (_below, -ONE, FAR),
}
"""Name: (f, and the open interval on which it is finite, or one wide enough)."""


def minimiser(name, alpha, u):
    """Return argmin α f(s) + ½ (s − u)² by golden section."""
    f, low, high = FUNCTIONS[name]
    with localcontext() as context:
        context.prec = DIGITS
        alpha, u = Decimal(alpha), Decimal(u)
        ratio = (Decimal(5).sqrt() - 1) / 2

        def at(s):
            return s, alpha * f(s) + (s - u) ** 2 / 2

        left, right = at(high - ratio * (high - low)), at(low + ratio * (high - low))
        while high - low > WIDTH:
            if left[1] < right[1]:
                high, right = right[0], left
                left = at(high - ratio * (high - low))
            else:
                low, left = left[0], right
                right = at(low + ratio * (high - low))
        return (low + high) / 2


FAR = 10.0 ** np.arange(-12, 7)
GRID = np.concatenate([np.linspace(-9.0, 9.0, 1801), FAR, -FAR])


def apply(prox, backend, x, alpha):
    return to_host(prox(backend.from_host(np.asarray(x)), alpha))


def bisected(a, x, alpha):
    """σ(p) with (1 − α) σ(p) + α p = x, p halved in between, to an error α ulp(p)."""
    reach = (np.abs(x) + 4.0) / min(alpha, 1.0) + 4.0
    low, high = -reach, reach
    for _ in range(130):
        p = low + 0.5 * (high - low)
        over = (1.0 - alpha) * a.value(p) + alpha * p > x
        low, high = np.where(over, low, p), np.where(over, p, high)
    return a.value(low), low


def size(x, s, p, alpha, dtype="float64"):
    return tolerance(dtype, np.abs(x) + (1.0 + alpha) * (np.abs(s) + np.abs(p)) + 1e-30)
