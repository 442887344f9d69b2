"""Every activation against 120 digits, the complex step and finite differences; its class; its behaviour far out."""

from __future__ import annotations

import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import NAMES, get_activation
from machinekit.arrays import to_host

from .helpers import assert_close, eps, tolerance
from .precise import FUNCTIONS, jet

POINTS = np.array([-12.0, -7.3, -3.7, -2.2, -1.3, -0.7517, -0.4, -0.05, 1e-3, 0.03, 0.6, 0.9, 1.2, 2.5, 3.3, 8.1, 12.0])
TAILS = ("sigmoid", "softplus", "logsigmoid", "silu", "mish", "gelu", "elu", "selu", "celu", "softsign")
"""Accurate to the last digits also where they are nearly zero; tanh and gelu_tanh are near ±1, not near 0."""
ROLES = ("value", "derivative", "second", "third")


@pytest.fixture(params=NAMES)
def activation(request):
    return get_activation(request.param)


def evaluate(activation, backend, points, role="value"):
    return to_host(getattr(activation, role)(backend.from_host(points)))


def test_every_name_has_a_definition_in_high_precision():
    """No built-in goes untested."""
    assert set(FUNCTIONS) == set(NAMES)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_value_and_derivatives_agree_with_120_digits(backend, activation, order, dtype):
    """Within 64 eps of what an error of one ulp in y, or in the largest value passed through, amounts to."""
    points = POINTS.astype(dtype)
    exact = np.array([[float(d) for d in jet(activation.name, float(p))] for p in points])
    got = evaluate(activation, backend, points, ROLES[order])
    assert got.dtype == dtype, f"{activation.name} {ROLES[order]} turned {dtype} into {got.dtype}"
    scale = np.abs(exact[:, order]) + np.abs(points * exact[:, order + 1])
    if order:  # in the middle, terms of the size of the derivative below cancel
        scale = scale + np.where(np.abs(points) < 1, np.abs(exact[:, order - 1]), 0.0)
    if activation.name not in TAILS:
        scale = scale + 1.0
    bound = tolerance(dtype, scale) + float(np.finfo(dtype).tiny)
    assert_close(f"{activation.name} {ROLES[order]}", got, exact[:, order], bound, points)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_agree_with_the_complex_step(backend, activation, order):
    """Im σ(y + ih)/h with h = 1e-20 is σ′, and so up to σ‴: complex values go through the formulas."""
    below, h = ROLES[order - 1], 1e-20
    got = evaluate(activation, backend, POINTS, ROLES[order])
    step = evaluate(activation, backend, POINTS + 1j * h, below)
    assert step.dtype == "complex128"
    scale = 1 + np.abs(got) * (1 + POINTS**2)
    assert_close(f"{activation.name} {ROLES[order]}", step.imag / h, got, tolerance("float64", scale), POINTS)
    assert_close(f"{activation.name} {below}", step.real, evaluate(activation, backend, POINTS, below),
                 tolerance("float64", 1 + np.abs(step.real)), POINTS)  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_agree_with_finite_differences(backend, activation, order):
    """The plainest evidence: (f(y + h) − f(y − h))/2h with h = 1e-6, to 1e-6."""
    h = 1e-6
    up, down = (evaluate(activation, backend, POINTS + s * h, ROLES[order - 1]) for s in (1, -1))
    got = evaluate(activation, backend, POINTS, ROLES[order])
    assert_close(f"{activation.name} {ROLES[order]}", (up - down) / (2 * h), got, 1e-6 * (1 + np.abs(up)), POINTS)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("role", ROLES)
def test_far_out_everything_is_finite_and_silent(backend, activation, role, dtype):
    """±1e4 up to near the largest number: no overflow, no nan, no warning; bounded by its growth."""
    top = 1e30 if eps(dtype) > 1e-10 else 1e250
    ends = [1e4, 1e8, 1e15] if activation.name in ("square", "sin") else [1e4, 1e8, 1e15, top]
    points = np.array([s * e for e in ends for s in (1, -1)], dtype=dtype)
    got = evaluate(activation, backend, points, role)
    assert got.dtype == dtype
    assert np.isfinite(got).all(), (activation.name, role, dict(zip(points.tolist(), got.tolist(), strict=True)))
    if activation.name not in ("square", "sin"):
        limit = {"value": 2 * np.abs(points) + 2, "derivative": 2.0, "second": 1e-3, "third": 1e-3}[role]
        assert (np.abs(got) <= limit).all(), (activation.name, role, got)


def test_the_declared_class_is_the_true_one(backend, activation):
    """C^k: the derivatives up to k are continuous at the kinks, the next one jumps; no kinks, no jumps anywhere."""
    k, d = activation.smoothness, 1e-9
    assert bool(activation.kinks) == (k != math.inf)
    for kink in activation.kinks:
        jumps = [float(abs(np.subtract(*evaluate(activation, backend, np.array([kink + d, kink - d]), r))))
                 for r in ROLES]  # fmt: skip
        assert all(j < 1e-8 for j in jumps[: int(k) + 1]), (kink, jumps)
        assert jumps[int(k) + 1] > 1e-3, (kink, jumps)
    grid = np.linspace(-6, 6, 4001) + 1e-5
    away = np.min(np.abs(grid[:, None] - np.array([*activation.kinks, 1e9])), axis=1) > 0.01
    for role in ROLES:
        steps = np.abs(np.diff(evaluate(activation, backend, grid, role)))
        assert (steps[away[1:] & away[:-1]] < 0.1).all(), (activation.name, role)  # softsign‴ has slope 24


@pytest.mark.parametrize(
    ("name", "kink", "slope"),
    [("relu", 0.0, 0.0), ("leaky_relu", 0.0, 0.01), ("elu", 0.0, 1.0), ("celu", 0.0, 1.0), ("softsign", 0.0, 1.0),
     ("selu", 0.0, 1.0507009873554805 * 1.6732632423543772), ("hardtanh", -1.0, 0.0), ("hardtanh", 1.0, 0.0),
     ("hardsigmoid", -3.0, 0.0), ("hardsigmoid", 3.0, 0.0), ("soft_threshold", -0.5, 0.0),
     ("soft_threshold", 0.5, 0.0)],
)  # fmt: skip
def test_slopes_at_kinks_are_the_documented_ones(backend, name, kink, slope):
    """From the left; 0 at both kinks of hardtanh, hardsigmoid and soft_threshold. Higher derivatives likewise."""
    got = evaluate(get_activation(name), backend, np.array([kink]), "derivative")
    assert abs(got[0] - slope) <= 4 * eps("float64") * abs(slope)
    complex_point = evaluate(get_activation(name), backend, np.array([kink + 1e-20j]))
    assert abs(complex_point[0].imag / 1e-20 - slope) <= 4 * eps("float64") * abs(slope)
    second = {"elu": 1.0, "celu": 1.0, "softsign": 2.0, "selu": slope}.get(name, 0.0)
    got = evaluate(get_activation(name), backend, np.array([kink]), "second")
    assert abs(got[0] - second) <= 4 * eps("float64") * abs(second)
    third = {"softsign": 6.0}.get(name, second)
    got = evaluate(get_activation(name), backend, np.array([kink]), "third")
    assert abs(got[0] - third) <= 4 * eps("float64") * abs(third)


@pytest.mark.parametrize(
    ("name", "role"),
    [(n, r) for n in NAMES for r in ("slope", "second", "third") if getattr(get_activation(n), r + "_of_value")],
)
def test_derivatives_of_the_value_are_the_derivatives(backend, name, role):
    """Where σ′, σ″, σ‴ are functions of σ(y), both ways agree to the precision of σ(y)."""
    activation = get_activation(name)
    value = activation(backend.from_host(POINTS))
    got = to_host(getattr(activation, role + "_of_value")(value))
    want = evaluate(activation, backend, POINTS, "derivative" if role == "slope" else role)
    assert_close(activation.name, got, want, tolerance("float64", 1.0), POINTS)


def test_the_pieces_of_real_and_complex_arithmetic_are_the_same(backend, activation):
    """Maxima and clips serve real numbers, branches on the real part complex ones: zero, kinks and all."""
    points = np.concatenate([POINTS, [0.0, -0.0], activation.kinks, [1e4, -1e4]])
    for role in ROLES:
        whole = evaluate(activation, backend, points + 0j, role)
        bound = tolerance("float64", 1 + np.abs(points) ** (2 if activation.name == "square" else 1))
        assert_close(
            f"{activation.name} {role}", whole.real, evaluate(activation, backend, points, role), bound, points
        )


def test_what_is_not_a_number_shows(backend, activation):
    """Neither a clip nor a branch turns a nan into an ordinary number."""
    for kind in ("float64", "complex128"):
        with np.errstate(invalid="ignore"):
            got = evaluate(activation, backend, np.array([np.nan, 1.0], dtype=kind))
        assert np.isnan(got[0]), (activation.name, kind)
        assert not np.isnan(got[1]), (activation.name, kind)


def test_inputs_are_not_written_to_and_results_are_new(backend, activation):
    """σ(y) never is y, not even for the identity."""
    points = POINTS.copy()
    points.flags.writeable = False
    y = backend.from_host(points)
    if isinstance(y, np.ndarray):
        y.flags.writeable = False
    for role in ROLES:
        got = getattr(activation, role)(y)
        assert got is not y
        if isinstance(y, np.ndarray):
            assert not np.shares_memory(got, y)
    assert np.array_equal(to_host(y), POINTS)


@pytest.mark.parametrize(
    ("make", "x", "value", "slope", "k"),
    [
        (lambda: mk.leaky_relu(0.25), -2.0, -0.5, 0.25, 0),
        (lambda: mk.leaky_relu(1.5), -2.0, -3.0, 1.5, 0),
        (lambda: mk.leaky_relu(-0.5), -2.0, 1.0, -0.5, 0),
        (lambda: mk.elu(2.0), -1.0, 2 * math.expm1(-1), 2 * math.exp(-1), 0),
        (lambda: mk.elu(1.0), -1.0, math.expm1(-1), math.exp(-1), 1),
        (lambda: mk.celu(2.0), -1.0, 2 * math.expm1(-0.5), math.exp(-0.5), 1),
        (lambda: mk.hardtanh(-0.5, 2.0), 1.5, 1.5, 1.0, 0),
        (lambda: mk.hardtanh(-0.5, 2.0), -1.5, -0.5, 0.0, 0),
        (lambda: mk.soft_threshold(1.25), 2.0, 0.75, 1.0, 0),
        (lambda: mk.soft_threshold(1.25), -2.0, -0.75, 1.0, 0),
        (lambda: mk.soft_threshold(1.25), -1.0, 0.0, 0.0, 0),
    ],
)
def test_parametrised_activations_take_their_parameters(backend, make, x, value, slope, k):
    """mk.leaky_relu(0.1) and the like; their class depends on the parameter."""
    a = make()
    bound = 4 * eps("float64") * (abs(value) + abs(slope))
    assert abs(evaluate(a, backend, np.array([x]))[0] - value) <= bound
    assert abs(evaluate(a, backend, np.array([x]), "derivative")[0] - slope) <= bound
    assert a.smoothness == k
