"""Oracles for second derivatives: the complex step of the gradient, and models of every kind to take them of."""

import numpy as np

import machinekit as mk

from .objectives import case

STEP = 2.0**-70
SMOOTH = ("dense", "conv", "recurrent", "raster", "chain", "shared", "layers", "network", "represented")
"""Kinds of models: those of `objectives`, and more."""


def model_case(kind, seed, sizes=(1, 2, 1)):
    """Return a model, inputs, targets and a mask."""
    rng = np.random.default_rng(seed)
    if kind == "layers":
        ops = [mk.Affine(2, 3, rng=rng), mk.Pointwise("tanh"), mk.Affine(3, 3, rng=rng), mk.Pointwise("sigmoid")]
        model, width, lead = mk.Chain([*ops, mk.Affine(3, 2, rng=rng)]), 2, (5,)
    elif kind == "network":
        leaf, bend = mk.Affine(2, 2, rng=rng), mk.Pointwise("softplus")
        edges = [("f", leaf, "a -> b"), ("g", bend, "b -> c"), ("h", leaf, "c -> d"), ("skip", bend, "a -> d")]
        model, width, lead = mk.Hypergraph(dict.fromkeys("abcd", 2), [mk.Edge(*e) for e in edges]), 2, (4,)
    elif kind == "represented":
        machine = mk.RecurrentMachine((1, 2), "tanh", memory=4, bias=rng.standard_normal(3), rng=rng)
        model, width, lead = mk.Represented(machine, weight=mk.bases.bspline(5, 4, 2)), 3, (2, 6)
        x = rng.standard_normal((*lead, 1))
    else:
        return case(kind, sizes, seed)
    x = x if kind == "represented" else rng.standard_normal((*lead, width))
    mask = np.asarray(rng.random(lead) < 0.6)
    mask[0] = True
    return model, x, rng.standard_normal((*lead, width)), mask


def targets_for(loss, targets, rng):
    """Return targets that a loss takes, of the same shape; integer labels for the cross entropy of labels."""
    if loss == "labels":
        return rng.integers(0, targets.shape[-1], targets.shape[:-1])
    if loss == "softmax_cross_entropy":
        return np.exp(targets) / np.exp(targets).sum(axis=-1, keepdims=True)
    return 1.0 / (1.0 + np.exp(-targets)) if loss == "logistic" else targets


def name_of(loss):
    return "softmax_cross_entropy" if loss == "labels" else loss


def stepped_gradient(objective, theta, d):
    """The Hessian times d: Im ∇J(θ + i h d)/h, exact to rounding."""
    return objective.fun(theta + 1j * STEP * d)[1].imag / STEP


def stepped_value(objective, theta, d):
    """The gradient along d: Im J(θ + i h d)/h."""
    return objective.value(theta + 1j * STEP * d).imag / STEP


def differences(objective, theta, d, h=1e-5):
    """The Hessian times d by central differences of the gradient."""
    return (objective.fun(theta + h * d)[1] - objective.fun(theta - h * d)[1]) / (2.0 * h)


def far(got, want):
    """Return the largest difference, relative to the largest entry of what is wanted."""
    assert got.shape == want.shape
    assert np.isfinite(got).all()
    scale = np.abs(want).max(initial=0.0)
    return float(np.abs(got - want).max(initial=0.0) / (scale or 1.0))


def check_products(objective, theta, seed=0):
    """The Hessian product is the derivative of the gradient, and symmetric."""
    rng = np.random.default_rng(seed)
    d, e = rng.standard_normal((2, theta.size))
    product = objective.hessp(theta, d)
    assert product.dtype == np.float64
    assert far(product, stepped_gradient(objective, theta, d)) <= 1e-11
    assert far(product, differences(objective, theta, d)) <= 1e-6
    other = objective.hessp(theta, e)
    scale = np.linalg.norm(product) * np.linalg.norm(e) + np.linalg.norm(other) * np.linalg.norm(d)
    assert abs(e @ product - d @ other) <= 1e-12 * scale
    assert abs(objective.curvature(theta, d) - d @ product) <= 1e-12 * abs(d) @ abs(product)
