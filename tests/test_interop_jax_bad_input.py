"""What a user of JAX hands over by mistake is refused when it is traced, by our own message."""

from __future__ import annotations

import numpy as np
import pytest

import machinekit as mk

from .bridged import Square

jax = pytest.importorskip("jax", reason="the JAX bridge needs JAX: pip install 'machinekit[jax]'")

import jax.numpy as jnp  # noqa: E402

from machinekit.interop.jax import to_function  # noqa: E402

WRAPS = [lambda f: f, jax.jit, lambda f: lambda *a: jax.eval_shape(f, *a)]


def machine(**options):
    return mk.DenseMachine((2, 3), **{"activation": "tanh", "rng": 0, "dtype": "float32", "bias": True, **options})


def x(*shape, dtype="float32"):
    return np.ones(shape or (4, 2), dtype)


def told(error, *words):
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.parametrize("wrap", WRAPS, ids=["eager", "jit", "eval_shape"])
def test_parameters_of_other_names_shapes_and_dtypes(wrap):
    m = machine()
    f, p = wrap(to_function(m)), m.parameters()
    cases = [
        ({"weight": p["weight"]}, ValueError, ("lacks bias", "weight, bias")),
        ({**p, "scale": p["bias"]}, ValueError, ("'scale'", "weight, bias")),
        ({}, ValueError, ("lacks weight, bias",)),
        ({**p, "bias": p["bias"][:2]}, ValueError, ("bias", "(2,)", "(5,)")),
        ({**p, "bias": p["bias"].astype("complex64")}, TypeError, ("bias is complex64", "float32")),
        ({**p, "bias": np.ones(5, int)}, TypeError, ("bias is int", "float32")),
    ]
    for parameters, kind, words in cases:
        with pytest.raises(kind) as error:
            f(parameters, x())
        told(error, *words)
    with pytest.raises(TypeError, match=r"model.parameters\(\)"):
        f([p["weight"], p["bias"]], x())
    with pytest.raises(TypeError, match=r"no inputs"):
        f(p)


def test_lists_and_numbers_are_no_arrays():
    m = machine()
    f = to_function(m)
    for given in ([[1.0, 2.0]], 1.0, None, np.float32(1.0)):
        with pytest.raises(TypeError, match=r"inputs\[0\] is a .*, not an array"):
            f(m.parameters(), given)
    with pytest.raises(TypeError, match=r"bias is a list"):
        f({**m.parameters(), "bias": [0.0] * 5}, x())


@pytest.mark.parametrize("wrap", WRAPS, ids=["eager", "jit", "eval_shape"])
def test_inputs_of_wrong_shapes(wrap):
    m = machine()
    with pytest.raises(ValueError, match=r"y0 has 3 channels, which is no block boundary of sizes \(2, 3\)"):
        wrap(to_function(m))(m.parameters(), x(4, 3))
    with pytest.raises(ValueError, match=r"z0 has batch and grid shape"):
        wrap(to_function(m))(m.parameters(), x(), x(3, 2))
    series = mk.RecurrentMachine((1, 2), memory=2, rng=0, dtype="float32")
    with pytest.raises(ValueError, match=r"1 grid axes"):
        wrap(to_function(series))(series.parameters(), x(1))


def test_precisions_that_disagree():
    m = machine()
    with pytest.raises(TypeError) as error:
        to_function(m)(m.parameters(), x(dtype="float64"))
    told(error, "inputs[0] is float64", "single precision", "astype('float32')", "model.astype('float64')")
    with pytest.raises(TypeError) as error:
        to_function(m)({**m.parameters(), "weight": m.weight.astype("float64")}, x())
    told(error, "weight is float64")
    double = machine(dtype="float64")
    with pytest.raises(TypeError) as error:  # what jax.numpy makes of a float64 array without jax_enable_x64
        to_function(double)(double.parameters(), jnp.ones((4, 2)))
    told(error, "inputs[0] is float32", "jax_enable_x64")
    with pytest.raises(TypeError) as error:
        to_function(double)(double.parameters(), x(dtype="float64"))
    told(error, "JAX in single", "jax.config.update('jax_enable_x64', True)", "model.astype('float32')")


def test_inputs_that_are_no_real_floating_arrays():
    m = machine()
    for dtype in ("complex64", "int32", "bool", "float16"):
        with pytest.raises(TypeError, match=rf"inputs\[0\] is {dtype}; pass a real floating array, float32"):
            to_function(m)(m.parameters(), x(dtype=dtype))
    with pytest.raises(TypeError, match=r"inputs\[0\] is key<"):
        to_function(m)(m.parameters(), jax.random.key(0))
    with pytest.raises(TypeError, match=r"inputs\[1\] is float16"):
        to_function(mk.Concatenate())({}, x(), x(dtype="float16"))


def test_models_that_are_none():
    complex_machine = mk.DenseMachine((1, 1), weight=np.zeros((2, 2), complex))
    with pytest.raises(TypeError, match=r"weight is complex128; only real models"):
        to_function(complex_machine)
    with pytest.raises(TypeError, match=r"pass an op"):
        to_function(3)
    with pytest.raises(TypeError, match=r"pass an op"):
        to_function(mk.DenseMachine)
    strict = pytest.importorskip("array_api_strict", reason="another library than NumPy is needed")
    with pytest.raises(TypeError, match=r"array_api_strict.*model.to\('numpy'\)"):
        to_function(machine().to(strict.__name__))
    with pytest.raises(ValueError, match=r"did you mean 'join'"):
        to_function(machine(), vmap="joint")


def test_a_stream_is_no_function():
    """Neither as a model, nor inside of a function that JAX traces, with vmap or without."""
    series = mk.RecurrentMachine((1, 2), memory=2, rng=0, dtype="float32")
    stream = series.stream(())
    with pytest.raises(TypeError, match=r"Stream.*pure; pass the machine"):
        to_function(stream)
    for wrap in (jax.vmap, jax.jit, lambda f: jax.grad(lambda c: f(c).sum())):
        for f, shape in ((lambda c: stream.solve(c).z, (5, 4, 1)), (series, (5, 4, 1))):
            with pytest.raises(TypeError, match=r"interop.jax"):
                wrap(f)(jnp.ones(shape, jnp.float32))
    assert not stream.history.any()


def test_second_derivatives_that_there_are_not():
    """Of ReLU, of an op without the verb, and third ones of anything: DerivativeError, when they are traced."""
    relu = mk.DenseMachine((2, 3), ["identity", "relu"], rng=0, dtype="float32")
    f, p = to_function(relu), relu.parameters()

    def value(p, x):
        return jnp.sum(f(p, x) ** 2)

    assert jax.jit(jax.grad(value))(p, x())["weight"].shape == (5, 5)
    seconds = (
        jax.hessian(value),
        jax.grad(lambda p, x: jnp.sum(jax.grad(value)(p, x)["weight"])),
        jax.jacfwd(jax.jacfwd(value)),
        jax.jacrev(jax.jacfwd(value)),
    )
    for second in seconds:
        for wrap in WRAPS:
            with pytest.raises(mk.DerivativeError, match=r"class C\^1"):
                wrap(second)(p, x())
    # the Gauss-Newton product needs none
    _, pull = jax.vjp(lambda p: f(p, x()), p)
    assert pull(jax.jvp(lambda p: f(p, x()), (p,), (p,))[1])[0]["weight"].shape == (5, 5)

    op = Square(np.array(2.0, "float32"))
    with pytest.raises(mk.DerivativeError, match=r"Square has no pullback_tangent"):
        jax.hessian(lambda p: jnp.sum(to_function(op)(p, x())))(op.parameters())
    smooth = machine()
    g = to_function(smooth)
    third = jax.grad(lambda v: jax.grad(lambda u: jax.grad(lambda t: jnp.sum(g(smooth.parameters(), t * x())))(u))(v))
    with pytest.raises(mk.DerivativeError, match=r"third derivatives"):
        third(jnp.float32(1.0))


def test_an_equilibrium_that_does_not_converge_is_an_error_and_no_hang():
    m = mk.EquilibriumMachine((2,), "tanh", weight=30.0 * np.array([[0.0, 1.0], [-1.0, 0.0]], "float32"), max_steps=3)
    f, start = to_function(m), x(3, 2)
    with pytest.raises(mk.ConvergenceError):
        f(m.parameters(), start)
    compiled = jax.jit(lambda p, s: f(p, s + 0.0))
    with pytest.raises(Exception, match=r"ConvergenceError: the equilibrium"):
        jax.block_until_ready(compiled(m.parameters(), start))


def test_an_op_that_changes_the_dtype_is_told():
    class Widens:
        def solve(self, y):
            return mk.State((y,), (y.astype("float64"),))

    for wrap in WRAPS[:2]:
        with pytest.raises(TypeError, match=r"returned float64 for inputs of float32"):
            wrap(to_function(Widens()))({}, x())
