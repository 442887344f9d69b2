"""jax.vmap: over inputs the axis joins the batch, over parameters and for gradients of each sample the host loops."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk

from .bridged import Square, models, plain_dense
from .helpers import assert_close

jax = pytest.importorskip("jax", reason="the JAX bridge needs JAX: pip install 'machinekit[jax]'")

import jax.numpy as jnp  # noqa: E402

from machinekit.interop.jax import to_function  # noqa: E402
from machinekit.interop.jax.host import Host  # noqa: E402

MODELS = {name: (model, inputs) for name, model, inputs in models()}
CLOSE = 1e-10  # equilibria are solved to 1e-13


@pytest.fixture(autouse=True)
def _double():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def leaves(tree):
    return [np.asarray(a) for a in jax.tree_util.tree_leaves(tree)]


def assert_mapped(f, axes, *arguments, size=3):
    """Compare vmap, eager and compiled, with a loop over the mapped arguments."""

    def at(k):
        return [
            jax.tree_util.tree_map(lambda a: a[k], argument) if axis == 0 else argument
            for axis, argument in zip(axes, arguments, strict=True)
        ]

    each = [leaves(f(*at(k))) for k in range(size)]
    for wrap in (lambda g: g, jax.jit):
        for got, *want in zip(leaves(wrap(jax.vmap(f, axes))(*arguments)), *each, strict=True):
            want = np.stack(want)
            assert_close("vmap", got, want, CLOSE * (1.0 + np.abs(want).max(initial=0.0)) * np.ones(want.shape))


def stacked(rng, tree, size=3):
    return jax.tree_util.tree_map(lambda a: a + 0.1 * rng.normal(size=(size, *np.shape(a))), tree)


def loss(f):
    return lambda p, *x: sum(jnp.sum(jnp.sin(y)) for y in jax.tree_util.tree_leaves(f(p, *x)))


@pytest.mark.parametrize("name", MODELS)
def test_vmap_over_inputs_over_parameters_and_over_both(name):
    model, inputs = MODELS[name]
    rng, f = np.random.default_rng(0), to_function(model)
    parameters, signals = model.parameters(), stacked(rng, list(inputs))
    assert_mapped(f, (None, *(0 for _ in inputs)), parameters, *signals)
    assert_mapped(f, (0, *(None for _ in inputs)), stacked(rng, parameters), *inputs)
    assert_mapped(f, (0, *(0 for _ in inputs)), stacked(rng, parameters), *signals)
    if len(inputs) > 1:
        assert_mapped(f, (None, 0, None), parameters, signals[0], inputs[1])


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_each_sample(name):
    """vmap of grad: the cotangents of parameters are not summed over the mapped axis."""
    model, inputs = MODELS[name]
    signals = stacked(np.random.default_rng(1), list(inputs))
    argnums = tuple(range(1 + len(inputs)))
    gradient = jax.grad(loss(to_function(model)), argnums=argnums)
    assert_mapped(gradient, (None, *(0 for _ in inputs)), model.parameters(), *signals)


def test_gradient_of_a_vmap_is_summed_over_what_does_not_vary():
    """grad of vmap, over inputs, over parameters, over both and nested, against a network written in JAX."""
    machine = mk.DenseMachine((2, 3), "tanh", bias=True, rng=0)
    rng, p = np.random.default_rng(2), machine.parameters()
    x, ps = rng.normal(size=(3, 4, 2)), stacked(rng, p)
    nested = [
        lambda f: jax.vmap(f, (None, 0)),
        lambda f: jax.vmap(f, (0, None)),
        lambda f: jax.vmap(f, (0, 0)),
        lambda f: jax.vmap(jax.vmap(f, (None, 0)), (0, None)),
        lambda f: jax.vmap(jax.vmap(f, (0, None)), (None, 0), out_axes=1),
        lambda f: jax.vmap(f, (None, 1), out_axes=2),
    ]
    varies = (False, True, True, True, True, False)
    for k, (transform, several) in enumerate(zip(nested, varies, strict=True)):
        value = [loss(transform(f)) for f in (to_function(machine), plain_dense(machine))]
        at = (ps if several else p, x)
        got, want = (leaves(jax.jit(jax.grad(f, argnums=(0, 1)))(*at)) for f in value)
        for a, b in zip(got, want, strict=True):
            assert_close(f"nest {k}", a, b, 1e-12 * np.ones(b.shape))
        moves = [jax.tree_util.tree_map(np.cos, argument) for argument in at]
        products = [
            jax.jit(lambda *d, f=f, at=at: jax.jvp(jax.grad(f, argnums=(0, 1)), at, d)[1])(*moves) for f in value
        ]
        for a, b in zip(*map(leaves, products), strict=True):
            assert_close(f"hessian product {k}", a, b, 1e-11 * np.ones(b.shape))


def test_second_derivatives_of_each_sample():
    machine = mk.DenseMachine((2, 2), "tanh", bias=True, rng=0)
    x = np.random.default_rng(3).normal(size=(3, 2))
    for f in (jax.hessian(loss(to_function(machine)), argnums=1), jax.jacfwd(jax.jacfwd(to_function(machine), 1), 1)):
        assert_mapped(jax.jit(f), (None, 0), machine.parameters(), x)


def test_the_axis_joins_the_batch_where_samples_do_not_know_of_each_other():
    """One run of the host for all samples; batch statistics and ops of one's own are run one by one, unless told."""
    op, x = Square(np.array(2.0)), np.random.default_rng(4).normal(size=(5, 3))
    cases = [("auto", 5, (3,)), ("join", 1, (5, 3)), ("sequential", 5, (3,))]
    for vmap, runs, shape in cases:
        op.runs.clear()
        got = jax.vmap(to_function(op, vmap=vmap), (None, 0))(op.parameters(), x)
        assert_close(vmap, np.asarray(got), 2.0 * x * x, 1e-14 * np.ones((5, 3)))
        assert [s for s in op.runs if s == shape] == [shape] * runs
    single = Square(np.array(2.0))
    single.couples_samples = False
    assert Host(single).joins
    for name, (model, _) in MODELS.items():
        assert Host(model).joins == (name != "batch norm"), name
    ready = mk.BatchNorm(2).with_statistics(mk.BatchNorm(2).solve(np.ones((3, 2))))
    assert Host(ready).joins
    assert not Host(mk.Represented(mk.BatchNorm(3), scale=np.ones((3, 1)))).joins
    affine = mk.Affine(2, 2, rng=0)
    assert not Host(mk.Linearized(affine, affine.solve(np.ones((3, 2))))).joins


def test_an_axis_of_length_zero_and_of_one():
    machine = mk.DenseMachine((2, 3), "tanh", rng=0)
    f, p = to_function(machine), machine.parameters()
    assert jax.vmap(f, (None, 0))(p, np.zeros((0, 2))).shape == (0, 5)
    assert jax.vmap(jax.grad(loss(f)), (None, 0))(p, np.zeros((0, 2)))["weight"].shape == (0, 5, 5)
    assert_mapped(f, (0, None), stacked(np.random.default_rng(5), p, 1), np.ones(2), size=1)
