"""Problems and a user's op for the tests of fitting."""

import math

import numpy as np

import machinekit as mk

SCIPY = ("L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP")
SECOND = ("trust-ncg", "trust-krylov", "Newton-CG", "gauss-newton", "levenberg-marquardt")
ALL = (*SCIPY, *SECOND, "adam")
QUIET = {"progress": False}


def line(n=40):
    """Return noisy samples of an affine map, and its least-squares solution as θ."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 2))
    t = x @ np.array([[1.0], [-2.0]]) + 0.5 + 0.1 * rng.standard_normal((n, 1))
    best, *_ = np.linalg.lstsq(np.concatenate([x, np.ones((n, 1))], axis=1), t, rcond=None)
    return x, t, best[:, 0]


def small():
    rng = np.random.default_rng(1)
    model = mk.RecurrentMachine((1, 3), memory=2, bias=True, rng=0)
    return model, rng.standard_normal((6, 5, 1)), rng.standard_normal((6, 5, 4))


class Moody:
    """A user's op, y = w x, whose output turns to NaN at the n-th call of anybody."""

    def __init__(self, w, calls, bad):
        self.w, self.calls, self.bad = w, calls, bad

    def __call__(self, x):
        self.calls.append(1)
        return self.w * x * (math.nan if len(self.calls) > self.bad else 1.0)

    def parameters(self):
        return {"w": self.w}

    def replace(self, w):
        return Moody(w, self.calls, self.bad)

    def pushforward(self, state, x=None, w=None):
        y = 0.0 * state.inputs[0] if x is None else self.w * x
        return mk.Tangent((y if w is None else y + w * state.inputs[0],), (x,), {} if w is None else {"w": w})

    def pullback(self, state, y):
        return mk.Cotangent((self.w * y,), {"w": np.sum(state.inputs[0] * y, axis=0)}, (y,))

    def pullback_tangent(self, state, cotangent, tangent, y=None):
        (x,), (seed,), (dx,), dw = state.inputs, cotangent.outputs, tangent.inputs, tangent.parameters.get("w", 0.0)
        dy, dx = (0.0 * seed if d is None else d for d in (y, dx))
        return mk.Cotangent((dw * seed + self.w * dy,), {"w": np.sum(dx * seed + x * dy, axis=0)}, (y,))
