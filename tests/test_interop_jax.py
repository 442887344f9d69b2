"""Models as functions of JAX: JAX's own checker, a network written in JAX beside them, and what is kept."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import machinekit as mk

from .bridged import Square, models, plain_dense
from .helpers import assert_close, eps, tolerance

jax = pytest.importorskip("jax", reason="the JAX bridge needs JAX: pip install 'machinekit[jax]'")

import jax.numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

from machinekit.interop.jax import to_function  # noqa: E402

MODELS = {name: (model, inputs) for name, model, inputs in models()}


@pytest.fixture(autouse=True)
def _double():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def sum_of_squares(f):
    return lambda parameters, *inputs: sum(jnp.sum(y * y) for y in jax.tree_util.tree_leaves(f(parameters, *inputs)))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("name", MODELS)
def test_check_grads_of_both_modes_up_to_order_two(name, wrap):
    """jax.test_util.check_grads: forward, reverse, and all four pairs of them, for inputs and parameters.

    Its step is 1e-5: the default, 1e-4, leaves an error of the differences themselves above its own tolerance.
    """
    model, inputs = MODELS[name]
    f = wrap(to_function(model))
    check_grads(f, (model.parameters(), *inputs), order=2, modes=("fwd", "rev"), eps=1e-5, atol=1e-6, rtol=1e-6)


def test_check_grads_finds_a_wrong_derivative():
    """The checker is not blind: a model whose pullback is off by a factor fails it."""

    class Wrong(Square):
        def pullback(self, state, seed):
            right = super().pullback(state, seed)
            return mk.Cotangent((1.5 * right.inputs[0],), right.parameters, (seed,))

    wrong = Wrong(np.array(2.0))
    wrong.replace = lambda a: wrong
    with pytest.raises(AssertionError):
        check_grads(to_function(wrong), (wrong.parameters(), np.ones((2, 3))), order=1, modes=("rev",))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_gradient_and_hessian_are_those_of_the_network_written_in_jax(dtype):
    machine = mk.DenseMachine((1, 2, 1), "tanh", bias=True, rng=0, dtype=dtype)
    x = np.random.default_rng(1).normal(size=(3, 1)).astype(dtype)
    f, g = to_function(machine), plain_dense(machine)
    parameters = machine.parameters()
    got, want = f(parameters, x), jax.jit(g)(parameters, x)
    assert got.dtype == x.dtype
    assert_close("value", np.asarray(got), want, 64 * eps(dtype) * np.ones(want.shape))

    def twice(outer, inner):
        return lambda h: outer(inner(h, argnums=(0, 1)), argnums=(0, 1))

    def leaves(derivative, h):
        return jax.tree_util.tree_leaves(jax.jit(derivative(sum_of_squares(h)))(parameters, x))

    both = (jax.jacrev, jax.jacfwd)
    first = [lambda h, d=d: d(h, argnums=(0, 1)) for d in both]
    for derivatives in (first, [twice(outer, inner) for outer in both for inner in both]):
        want = leaves(derivatives[0], g)
        for k, derivative in enumerate(derivatives):
            for a, b in zip(leaves(derivative, f), want, strict=True):
                assert_close(f"derivative {k}", np.asarray(a), b, tolerance(dtype, 10.0 + np.abs(b)))


@pytest.mark.parametrize("name", MODELS)
def test_first_derivatives_are_the_verbs(name):
    """In float64 `vjp` is `pullback` and `jvp` is `pushforward`, number for number up to rounding."""
    model, inputs = MODELS[name]
    rng, parameters = np.random.default_rng(3), model.parameters()
    outputs, pull = jax.vjp(to_function(model), parameters, *inputs)
    several = isinstance(outputs, tuple)
    seeds = [rng.normal(size=y.shape) for y in (outputs if several else (outputs,))]
    state = model.solve(*inputs)
    cotangent = model.pullback(state, *seeds)
    got_p, *got_x = pull(tuple(map(jnp.asarray, seeds)) if several else jnp.asarray(seeds[0]))
    for key in parameters:
        want = cotangent.parameters[key]
        assert_close(key, np.asarray(got_p[key]), want, tolerance("float64", 1.0 + np.abs(want).max(initial=0.0)))
    for got, want in zip(got_x, cotangent.inputs, strict=True):
        assert_close("input", np.asarray(got), want, tolerance("float64", 1.0 + np.abs(want).max(initial=0.0)))
    moves = {key: rng.normal(size=a.shape) for key, a in parameters.items()}
    along = [rng.normal(size=x.shape) for x in inputs]
    _, got = jax.jvp(to_function(model), (parameters, *inputs), (moves, *along))
    for a, want in zip(got if several else (got,), model.pushforward(state, *along, **moves).outputs, strict=True):
        assert_close("jvp", np.asarray(a), want, tolerance("float64", 1.0 + np.abs(want).max(initial=0.0)))


def test_training_moves_every_live_weight_and_no_dead_one():
    machine = mk.RecurrentMachine((1, 3, 2), "tanh", memory=2, bias=True, rng=0, dtype="float32")
    x = np.random.default_rng(0).normal(size=(8, 6, 1)).astype("float32")
    f = to_function(machine)

    @jax.jit
    def step(parameters, x):
        value, gradient = jax.value_and_grad(lambda p: jnp.mean((f(p, x)[..., -2:] - 0.3) ** 2))(parameters)
        return value, jax.tree_util.tree_map(lambda a, g: a - 0.1 * g, parameters, gradient)

    parameters, values = {k: jnp.asarray(a) for k, a in machine.parameters().items()}, []
    for _ in range(20):
        value, parameters = step(parameters, x)
        values.append(float(value))
    assert values[-1] < 0.7 * values[0]
    moved = np.asarray(parameters["weight"]) != machine.weight
    assert not moved[~machine.live].any()
    assert not np.asarray(parameters["weight"])[~machine.live].any()
    # with a loss on the last block, all that is live leads there, but for the last block's own reading of the end
    assert moved[machine.live].mean() > 0.9
    trained = machine.replace(**{name: np.asarray(a) for name, a in parameters.items()})
    assert_close("trained", trained(x), f(parameters, x), 1e-5 * np.ones((8, 6, 6)))


def test_a_recurrent_cell_in_a_scan_is_the_recurrent_machine():
    """z[t] = tanh(z[t−1] W + x[t]): the state is carried by JAX, the cell is one dense step here."""
    n, rng = 3, np.random.default_rng(4)
    weight, x = rng.normal(size=(n, n)) / 2.0, rng.normal(size=(5, n))
    kernel = np.stack([np.zeros((n, n)), weight])
    machine = mk.RecurrentMachine((n,), "tanh", memory=1, weight=kernel)
    cell = mk.Chain([mk.Affine(n, n, weight=weight, bias=False)])
    f, g = to_function(machine), to_function(cell)

    @jax.jit
    def scanned(p, x):
        def body(z, row):
            z = jnp.tanh(g(p, z) + row)
            return z, z

        return jax.lax.scan(body, jnp.zeros(n), x)[1]

    assert_close("z", np.asarray(scanned(cell.parameters(), x)), machine(x), 1e-14 * np.ones((5, n)))
    got = jax.grad(sum_of_squares(scanned))(cell.parameters(), x)["0.weight"]
    want = jax.grad(sum_of_squares(f))(machine.parameters(), x)["weight"][1]
    assert_close("gradient", np.asarray(got), want, 1e-13 * np.ones((n, n)))


def test_a_derivative_does_not_run_the_model_again():
    for wrap in (lambda f: f, jax.jit):
        op = Square(np.array(2.0))
        jax.block_until_ready(wrap(jax.value_and_grad(sum_of_squares(to_function(op))))(op.parameters(), np.ones(3)))
        traced = [shape for shape in op.runs if shape != (3,)]
        assert traced == []
        assert len(op.runs) <= 2  # one of them on zeros, when shapes are asked for


def test_what_is_kept_is_compared_by_value():
    """A state belongs to the numbers, −0 and 0 being two, and not to the memory that JAX used for them."""
    machine = mk.DenseMachine((1, 1), "tanh", rng=0)
    f = jax.jit(to_function(machine))
    for k in range(6):
        x = np.full((3, 1), float(k % 3))
        assert_close("again", np.asarray(f(machine.parameters(), x)), machine(x), 1e-15 * np.ones((3, 2)))
    op = mk.Pointwise(mk.Activation(lambda x: np.copysign(1.0, x), lambda x: 0.0 * x, name="sign"))
    assert float(to_function(op)({}, np.array([0.0]))[0]) == 1.0
    op_f = to_function(op)
    assert [float(op_f({}, np.array([v]))[0]) for v in (0.0, -0.0, 0.0)] == [1.0, -1.0, 1.0]


def test_the_memory_of_compiled_code_is_not_kept():
    """Buffers between two operations are used again by the next call, with other numbers."""
    machine = mk.DenseMachine((1, 1), "tanh", rng=0)
    parameters, f = machine.parameters(), to_function(machine)
    g = jax.jit(lambda p, x: f(jax.tree_util.tree_map(jnp.sin, p), jnp.cos(x) * 2.0))
    sines = machine.replace(weight=np.sin(machine.weight))
    for k in range(8):
        x = np.linspace(0.0, k, 3000)[:, None]
        assert_close("value", np.asarray(g(parameters, x)), sines(np.cos(x) * 2.0), 1e-14 * np.ones((3000, 2)))


def test_an_empty_batch_has_empty_results_and_zero_gradients():
    machine = mk.DenseMachine((2, 3), "tanh", rng=0)
    f, x = to_function(machine), np.zeros((0, 2))
    for wrap in (lambda h: h, jax.jit):
        assert wrap(f)(machine.parameters(), x).shape == (0, 5)
        assert not np.asarray(wrap(jax.grad(sum_of_squares(f)))(machine.parameters(), x)["weight"]).any()


HANG = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, machinekit as mk
from machinekit.interop.jax import to_function
f = to_function(mk.Pointwise("tanh"))
@jax.jit
def g(x):
    for _ in range(4):
        x = f({}, jnp.sin(x))
    return x
for i in range(3):
    x = jnp.ones((500, 500)) * (i + 1)
    y = g(x)
    z = g(1e-3 * y)
    r = g(x + 0 * z)
print(float(r[0, 0]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are counted on Linux only")
def test_large_arrays_on_one_core_do_not_hang():
    """`jax.pure_callback` does: its callback reads a JAX array whose copy waits for the callback's own thread."""
    ran = subprocess.run([sys.executable, "-c", HANG], capture_output=True, text=True, timeout=120, check=True)
    assert 0.0 < float(ran.stdout) < 1.0
