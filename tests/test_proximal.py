"""Proximal operators of activations: the table against minimisers in 40 digits, the equation, the laws, the refused."""

from __future__ import annotations

import dataclasses
import math
import pickle
import warnings

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import NAMES, get_activation, zero
from machinekit.arrays import to_host
from machinekit.testing import LawError

from .helpers import assert_close, locked, shares_memory, tolerance
from .minimisers import FUNCTIONS, GRID, apply, bisected, minimiser, size

REFUSED = ("selu", "gelu", "gelu_tanh", "silu", "mish", "sin", "square")
PROXIMAL = {
    **{name: get_activation(name) for name in NAMES if name not in REFUSED},
    "leaky_relu 0.3": mk.leaky_relu(0.3), "leaky_relu 0": mk.leaky_relu(0.0), "leaky_relu 1": mk.leaky_relu(1.0),
    "elu 0.3": mk.elu(0.3), "celu 0.2": mk.celu(0.2), "celu 3": mk.celu(3.0), "hardtanh -0.5 2": mk.hardtanh(-0.5, 2.0),
    "soft_threshold 2": mk.soft_threshold(2.0),
}  # fmt: skip
CURVED = tuple(
    n for n, a in PROXIMAL.items() if a.prox(np.array([1.3, -2.0]), 0.5).tolist() != a(np.array([1.3, -2.0])).tolist()
)
ALPHAS = (2.0**-6, 0.1, 0.5, 0.97, 1.0, 1.0 + 1e-9, 2.0, 7.0, 2.0**6)


@pytest.fixture(params=PROXIMAL)
def activation(request):
    return PROXIMAL[request.param]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("alpha", [0.25, 1.0, 3.0])
def test_the_table_is_the_minimiser(backend, name, alpha):
    """argmin α f(s) + ½ (s − u)² by golden section in 40 digits, f written by hand from its definition."""
    points = [-2.5, -0.7, -0.1, 0.4, 1.2, 2.9]
    got = apply(get_activation(name).prox, backend, points, alpha)
    assert_close(name, got, [float(minimiser(name, alpha, u)) for u in points], 1e-9, points)


def test_every_name_is_in_the_table_or_refused():
    assert {*FUNCTIONS, *REFUSED} == set(NAMES)
    assert not set(FUNCTIONS) & set(REFUSED)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_equation_is_solved_for_all_numbers(backend, activation, alpha, dtype):
    """(1 − α) σ(p) + α p = x, the answer σ(p): by bisection, up to ±1e6, without a warning, in the precision of x."""
    x = GRID.astype(dtype)
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        got = apply(activation.prox, backend, x, alpha)
    assert got.dtype == dtype
    want, p = bisected(activation, x.astype("float64"), alpha)
    assert_close(activation.name, got, want, size(x, want, p, alpha, dtype), alpha, x)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex64", "complex128"])
def test_a_step_of_one_is_the_activation(backend, activation, dtype):
    x = GRID.astype(dtype)
    want = apply(lambda x, alpha: activation(x), backend, x, 1.0)
    assert_close(activation.name, apply(activation.prox, backend, x, 1.0), want, tolerance(dtype, np.abs(want)), x)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_complex_step_is_the_derivative(backend, activation, alpha):
    """Im prox(x + ih)/h is D/(D + α (1 − D)) with D = σ′(p), which the dual machine uses, and the finite difference."""
    x, h, d = np.linspace(-6.0, 6.0, 241) + 1e-3, 1e-20, 1e-6
    s = apply(activation.prox, backend, x, alpha)
    p = s + (x - s) / alpha
    away = np.min([np.abs(p - kink) for kink in (*activation.kinks, 1e9)], axis=0) > 1e-4
    x, p = x[away], p[away]
    step = apply(activation.prox, backend, x + 1j * h, alpha).imag / h
    slope = activation.derivative(p)
    exact = slope / (slope + alpha * (1.0 - slope))
    assert_close(activation.name, step, exact, 1e-12 * (1.0 + np.abs(p)), x)
    up, down = (apply(activation.prox, backend, x + k * d, alpha) for k in (1.0, -1.0))
    assert_close(activation.name, step, (up - down) / (2.0 * d), 1e-6, x)


@pytest.mark.parametrize("kind", ["complex128", "complex64"])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_complex_numbers_get_the_analytic_continuation(backend, activation, alpha, kind):
    """The same equation holds, s = σ(p) with p = s + (x − s)/α, away from the real axis and on one piece of σ."""
    x = (np.linspace(-4.0, 4.0, 33) + 0.013 + 0.2j).astype(kind)
    s = apply(activation.prox, backend, x, alpha)
    assert s.dtype == kind
    p = s + (x - s) / alpha
    away = np.min([np.abs(p.real - kink) for kink in (*activation.kinks, 1e9)], axis=0) > 0.3  # one piece
    want = apply(lambda p, alpha: activation(p), backend, p, 1.0)
    assert_close(activation.name, s[away], want[away], size(x, s, p, alpha, kind)[away], x)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_arguments_are_left_alone_and_results_are_new(backend, activation, alpha, dtype):
    """Any shape, none and empty ones too."""
    for shape in ((), (2, 0, 3), (2, 3), (1, 2, 5)):
        x = locked(backend, np.linspace(-3.0, 3.0, math.prod(shape)).reshape(shape).astype(dtype))
        before = to_host(x).copy()
        s = activation.prox(x, alpha)
        assert s.shape == shape
        assert str(s.dtype).rpartition(".")[2] == dtype
        assert np.array_equal(to_host(x), before)
        if shape:
            assert not shares_memory(s, x)
    numpy_step = activation.prox(backend.from_host(np.ones(2, "float32")), np.float64(alpha))
    assert str(numpy_step.dtype).rpartition(".")[2] == "float32"


@pytest.mark.parametrize("alpha", [0.3, 4.0])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_large_and_strided_arrays_are_solved_as_small_ones_are(backend, activation, alpha, dtype):
    """Each entry by itself, whatever the rest and the order in memory."""
    x = np.linspace(-7.0, 7.0, 70_000).reshape(200, 350).astype(dtype)
    whole = apply(activation.prox, backend, x, alpha)
    for part in (np.s_[::50, ::7], np.s_[3:5, 100:103]):
        few = apply(activation.prox, backend, x[part].copy(), alpha)
        assert_close(activation.name, whole[part], few, tolerance(dtype, 1.0 + np.abs(few)))
    turned = activation.prox(backend.from_host(x).T, alpha)
    assert_close(activation.name, turned, whole.T, tolerance(dtype, 1.0 + np.abs(whole.T)))


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
def test_step_sizes_are_positive(activation, alpha):
    with pytest.raises(ValueError, match=f"alpha is {alpha}; pass a step size above 0"):
        activation.prox(np.ones(2), alpha)


def test_an_activation_is_a_proximal_operator_iff_it_is_monotone_and_nonexpansive():
    """Moreau's characterisation decides the whole catalogue; expansive parameters decide against it."""
    others = {"elu 1.5": mk.elu(1.5), "leaky 1.5": mk.leaky_relu(1.5), "leaky -0.1": mk.leaky_relu(-0.1)}
    grid = np.linspace(-12.0, 12.0, 4801)
    for name, a in {**{n: get_activation(n) for n in NAMES}, **PROXIMAL, **others}.items():
        change = np.diff(a(grid)) / np.diff(grid)
        assert (a.prox is not None) == bool(np.all((change >= -1e-12) & (change <= 1 + 1e-12))), name
        assert (a.prox is None) == (a.name in REFUSED or name in others), name


def test_which_activations_are_made_of_linear_pieces():
    linear = ("identity", "relu", "leaky_relu", "hardtanh", "hardsigmoid", "soft_threshold")
    assert {n for n in NAMES if get_activation(n).piecewise_linear} == set(linear)
    assert mk.hardtanh(0.0, 3.0).piecewise_linear
    assert not mk.Activation(np.tanh).piecewise_linear
    own = mk.Activation(np.abs, np.sign, zero)
    assert own.piecewise_linear
    assert pickle.loads(pickle.dumps(own)).piecewise_linear


@pytest.mark.parametrize("name", CURVED)
def test_forward_backward_needs_the_proximal_operator_not_the_activation(backend, name):
    """Its fixed point is s = σ(W s + b) for any step size; with σ in the place of prox_{αf} it is another."""
    a, alpha = PROXIMAL[name], 0.4
    rng = np.random.default_rng(5)
    weight = 0.3 * rng.standard_normal((6, 6)) - 0.8 * np.eye(6)
    b = 2.0 * rng.standard_normal((4, 6))
    ends = {}
    for word, close in (("prox", a.prox), ("σ", lambda x, alpha: a(x))):
        s = backend.from_host(np.zeros((4, 6)))
        w, shift = backend.from_host(weight), backend.from_host(b)
        for _ in range(400):
            s = close((1.0 - alpha) * s + alpha * (s @ w + shift), alpha)
        ends[word] = to_host(s)
    residual = {word: np.max(np.abs(s - a(s @ weight + b))) for word, s in ends.items()}
    assert residual["prox"] < 1e-13
    assert residual["σ"] > 1e-2


@pytest.mark.parametrize("name", CURVED)
def test_a_wrong_proximal_operator_breaks_a_law(name):
    """σ for every α, 1/α for α, α² for α, and one that is a little short."""
    a = PROXIMAL[name]
    wrong = [lambda x, alpha: a(x), lambda x, alpha: a.prox(x, 1 / alpha), lambda x, alpha: a.prox(x, alpha * alpha),
             lambda x, alpha: 0.999 * a.prox(x, alpha)]  # fmt: skip
    for prox in wrong:
        with pytest.raises(LawError, match=r"BROKEN proximal operator, (prox\(s|σ\(s|prox\(x, 1)"):
            mk.testing.check_activation(dataclasses.replace(a, prox=prox), rng=0)


@pytest.mark.parametrize(
    ("name", "prox", "law"),
    [
        ("relu", lambda x, alpha: np.abs(x), "proximal operator, 0 ≤ prox"),
        ("relu", lambda x, alpha: np.maximum(x.real, 0.0) + 0 * x, "by the complex step"),
        ("identity", lambda x, alpha: x, "left alone"),
        ("tanh", lambda x, alpha: PROXIMAL["tanh"].prox(x.real.astype("float64"), alpha), "dtype"),
    ],
)
def test_every_law_of_a_proximal_operator_can_fail(name, prox, law):
    with pytest.raises(LawError, match=law):
        mk.testing.check_activation(dataclasses.replace(get_activation(name), prox=prox), rng=0, dtype="float32")


def test_without_a_proximal_operator_there_is_no_law():
    report = mk.testing.check_activation("gelu", rng=0)
    assert [f.note for f in report.findings if "proximal" in f.law] == ["the activation declares none"]
    assert mk.Activation(np.tanh).prox is None


def test_names_and_options_bring_the_proximal_operator_back(tmp_path, activation):
    """By pickle and from a file."""
    made = get_activation(activation.name, **dict(activation.options))
    for again in (made, pickle.loads(pickle.dumps(activation))):
        assert np.array_equal(again.prox(GRID, 0.3), activation.prox(GRID, 0.3))
    path = tmp_path / "machine.npz"
    mk.save(path, mk.DenseMachine((2, 3), activation, rng=0))
    assert np.array_equal(mk.load(path).activation.prox(GRID, 0.3), activation.prox(GRID, 0.3))
