"""Fixed-point problems for tests of solvers, with answers that come from elsewhere."""

from __future__ import annotations

import numpy as np

from machinekit.activations import get_activation
from machinekit.linear.operators import DenseOperator
from machinekit.solvers import BlockProblem
from machinekit.solvers.anderson import anderson
from machinekit.solvers.bicgstab import bicgstab
from machinekit.solvers.broyden import broyden
from machinekit.solvers.newton_krylov import newton_krylov
from machinekit.solvers.picard import picard

GENERAL = {"anderson": anderson, "broyden": broyden, "newton-krylov": newton_krylov}
SOLVERS = {"picard": picard, **GENERAL}
LINEAR = {**GENERAL, "bicgstab": bicgstab}
ALL = {**SOLVERS, "bicgstab": bicgstab}


class Affine:
    """s = A s + c with a matrix of its own for each sample; counts what it is asked."""

    affine, noise = True, 4.0

    def __init__(self, matrices, c, backend=None):
        self.matrices, self.c = (np.asarray(a) if backend is None else backend.from_host(a) for a in (matrices, c))
        self.shape, self.spent = self.c.shape, 0

    def _product(self, s):
        self.spent += 1
        return (self.matrices @ s[:, :, None])[:, :, 0]

    def image(self, s):
        return self._product(s) + self.c

    def linearise(self, s):
        return self._product

    def start(self):
        return self.c + 0


def monotone(rng, n, margin=0.3, size=0.7):
    """Return W as a matrix for columns, with I − W ⪰ margin."""
    a, b = (size * rng.standard_normal((n, n)) for _ in range(2))
    return (1 - margin) * np.eye(n) - a.T @ a + b - b.T


def contraction(rng, n, rate=0.8):
    """Return W as a matrix for columns, of that 2-norm."""
    w = rng.standard_normal((n, n))
    return rate * w / np.linalg.norm(w, 2)


def block(w, b, sigma="relu", slope=None, backend=None, margin=0.3):
    """Return s = σ(W s + b), or s = D (W s + b) if a slope is given; W is a matrix for columns."""
    move = (lambda a: a) if backend is None else backend.from_host
    operator = DenseOperator(move(np.ascontiguousarray(np.asarray(w).T)))
    if slope is not None:
        return BlockProblem(operator, move(b), None, move(slope), margin)
    return BlockProblem(operator, move(b), get_activation(sigma), None, margin)


def exact(w, b, sigma, steps=200):
    """Return the equilibria by dense Newton steps, halved as long as the residual grows, one sample at a time."""
    value, slope = get_activation(sigma).value, get_activation(sigma).derivative
    n, rows = b.shape[1], []
    for row in b:
        s = np.zeros(n)
        for _ in range(steps):
            y = w @ s + row
            d = np.linalg.solve(np.eye(n) - slope(y)[:, None] * w, value(y) - s)
            before, t = np.linalg.norm(value(y) - s), 1.0
            while t > 1e-6 and np.linalg.norm(value(w @ (s + t * d) + row) - s - t * d) > before:
                t /= 2
            if np.linalg.norm(d) <= 1e-15 * np.linalg.norm(s):
                break
            s = s + t * d
        rows.append(s)
    return np.array(rows).reshape(b.shape)


def solved(w, b, slope):
    """Return the s = D (W s + b), one sample at a time."""
    eye = np.eye(b.shape[1])
    rows = [np.linalg.solve(eye - d[:, None] * w, d * row) for d, row in zip(slope, b, strict=True)]
    return np.array(rows).reshape(b.shape)


def worst(got, want) -> float:
    """Return the largest relative error of the rows."""
    wrong = np.linalg.norm(got - want, axis=1) / np.maximum(np.linalg.norm(want, axis=1), 1e-300)
    return float(wrong.max(initial=0.0))
