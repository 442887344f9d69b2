"""Models, data and a user's op for the tests of the objective."""

import numpy as np
from hypothesis import strategies as st

import machinekit as mk
from machinekit.training import Objective, penalties

KINDS = ("dense", "conv", "recurrent", "raster", "chain", "shared")
seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(0, 2), min_size=1, max_size=3).filter(sum).map(tuple)


def machine(kind, sizes, rng, bias=True, **more):
    common = {"rng": rng, "bias": rng.standard_normal(sum(sizes)) if bias else False, **more}
    if kind == "conv":
        return mk.ConvMachine(sizes, padding=((2, 1),), **common)
    if kind == "recurrent":
        return mk.RecurrentMachine(sizes, memory=2, **common)
    if kind == "raster":
        return mk.GridMachine(sizes, padding=((1, 0), (1, 1)), scan=(0, 1), **common)
    return mk.DenseMachine(sizes, **common)


def case(kind, sizes, seed, bias=True):
    """Return a model, inputs, targets and a mask for it."""
    rng = np.random.default_rng(seed)
    base, c = machine(kind, sizes, rng, bias), sum(sizes)
    grid = {"conv": (4,), "recurrent": (4,), "raster": (2, 3)}.get(kind, ())
    model, out = base, c
    if kind == "chain":
        model, out = mk.Chain([base, mk.Affine(c, 3, rng=rng), mk.Affine(3, 2, bias=False, rng=rng)]), 2
    if kind == "shared":
        model = mk.Chain([base, mk.Affine(c, c, rng=rng), base])
    lead = (3, *grid)
    mask = np.asarray(rng.random(lead) < 0.6)
    mask[0] = True
    return model, rng.standard_normal((*lead, c)), rng.standard_normal((*lead, out)), mask


def penalised(model):
    return [penalties.l2(0.25), penalties.lag_smoothness(0.5)]


class Scale:
    """A user's op, y = w x, with a pullback that may be wrong and a value that may refuse complex numbers."""

    def __init__(self, w, factor=1.0, refuse=False):
        self.w, self.factor, self.refuse = w, factor, refuse

    def __call__(self, x):
        if self.refuse and np.iscomplexobj(self.w):
            raise TypeError("no complex numbers here")
        return (self.w * x) ** 2

    def parameters(self):
        return {"w": self.w}

    def replace(self, w):
        return Scale(w, self.factor, self.refuse)

    def pullback(self, state, y):
        (x,) = state.inputs
        back = self.factor * 2.0 * self.w * x * y
        return mk.Cotangent((back * self.w,), {"w": np.sum(back * x, axis=0)})


def of_scale(op, dtype="float64"):
    x = np.arange(1.0, 7.0).reshape(3, 2).astype(dtype)
    return Objective(op, "squared_error", x, np.ones((3, 2), dtype))
