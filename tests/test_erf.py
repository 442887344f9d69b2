"""The complementary error function of this library's own, for those that have none."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import special

from machinekit.arrays import erf, erfc, to_host

from .helpers import assert_close, eps
from .precise import DIGITS, _erf

STEP = 1e-20


def drawn(seed, scale, kind):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=200) * scale
    return x if kind.startswith("float") else x + 1j * np.clip(rng.normal(size=200) * scale, -5, 5)


@pytest.fixture
def own(backend):
    """The rule by itself, on this library; with NumPy and CuPy `erfc` would take theirs."""
    return lambda host: to_host(erf._by_trapezoids(backend.xp, backend.from_host(host)))


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 3.0])
def test_the_rule_agrees_with_scipy(own, scale, kind):
    """Relative to the value; SciPy's complex function is itself good to 1e-13."""
    points = drawn(3, scale, kind).astype(kind)
    want = special.erfc(points.astype(complex if np.iscomplexobj(points) else float))
    got = own(points)
    assert got.dtype == points.dtype
    bound = max(256 * eps(kind), 1e-12) * (1 + np.abs(points.astype(complex)) ** 2) * np.abs(want)
    assert_close("erfc", got, want, bound + float(np.finfo(kind).tiny), kind)


def test_tails_are_right_to_the_last_digits(own):
    points = np.linspace(0, 11, 90)
    with localcontext() as context:
        context.prec = DIGITS
        want = np.array([float(1 - _erf(Decimal(x.item()))) for x in points])
    assert_close("erfc", own(points), want, 16 * eps("float64") * want)
    assert_close("erfc", own(-points), 2 - want, 16 * eps("float64") * (2 - want))


def test_both_rules_meet_where_one_takes_over(own):
    """Across every quarter of the strips between the knots, where the other set of knots is taken."""
    edges = (np.arange(1, 25) / 4 * erf._STEP)[:, None] + np.array([-1e-9, 1e-9])
    for x in (0.0, 0.01, 1.0, 6.1, 6.2):
        points = (x + 1j * edges).ravel()
        want = special.erfc(points)
        assert_close("erfc", own(points), want, 1e-12 * np.abs(want), x)


def test_a_complex_step_gives_the_derivative(own):
    """−2/√π e^(−x²), which the code nowhere has."""
    points = np.linspace(-6, 6, 241)
    want = -2 / np.sqrt(np.pi) * np.exp(-(points**2))
    assert_close("erfc'", own(points + 1j * STEP).imag / STEP, want, 256 * eps("float64") * np.abs(want))


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64", "complex128"])
def test_far_out_and_without_a_number(backend, kind):
    points = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 0.0]).astype(kind)
    if kind.startswith("complex"):
        points = points[[0, 1, 4, 5]]
    got = to_host(erfc(backend.from_host(points)))
    want = special.erfc(points.real.astype(float))
    assert np.array_equal(got.real, want, equal_nan=True), got
    assert got.dtype == points.dtype
