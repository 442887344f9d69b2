"""Constants of losses, penalties and special objectives, where they are attained; and of the gradient of h ∘ ψ + r."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.smoothness import special_objectives as special
from machinekit.smoothness.objectives import loss_constants, objective_bound, penalty_constants

LOSSES = ["squared_error", "softmax_cross_entropy", "logistic", "huber"]


def targets(name, rng, n, c):
    t = rng.random((n, c))
    return t / t.sum(axis=1, keepdims=True) if name == "softmax_cross_entropy" else t


@given(
    name=st.sampled_from(LOSSES), n=st.integers(1, 5), c=st.integers(1, 4), spread=st.floats(0.1, 20.0),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_no_gradient_or_hessian_of_a_loss_exceeds_its_constants(name, n, c, spread, seed):
    rng = np.random.default_rng(seed)
    p, d, t = spread * rng.standard_normal((n, c)), rng.standard_normal((n, c)), targets(name, rng, n, c)
    loss = getattr(mk.losses, name)
    slope, bend = loss_constants(loss, n, c, size=np.linalg.norm(p), targets=np.linalg.norm(t))
    assert np.linalg.norm(loss.gradient(p, t)) <= slope * (1 + 1e-12) + 1e-15
    assert np.linalg.norm(loss.hessp(p, t, d)) <= bend * np.linalg.norm(d) * (1 + 1e-12) + 1e-15
    assert loss_constants(name, n, c, size=1.0, targets=2.0) == loss_constants(loss, n, c, size=1.0, targets=2.0)


@pytest.mark.parametrize(
    ("name", "c", "slope_at", "bend_at"),
    [
        ("softmax_cross_entropy", 2, ([50.0, -50.0], [0.0, 1.0]), ([0.0, 0.0], [1.0, -1.0])),
        ("softmax_cross_entropy", 3, ([50.0, -50.0, -99.0], [0.0, 1.0, 0.0]), ([9.0, 9.0, -50.0], [1.0, -1.0, 0.0])),
        ("logistic", 2, ([50.0, 50.0], [0.0, 0.0]), ([0.0, 0.0], [1.0, 1.0])),
        ("huber", 2, ([50.0, 50.0], [0.0, 0.0]), ([0.0, 0.0], [1.0, 1.0])),
        ("squared_error", 2, ([3.0, 4.0], [-3.0, -4.0]), ([0.0, 0.0], [1.0, 1.0])),
    ],
)
def test_losses_attain_their_constants(name, c, slope_at, bend_at):
    n, loss = 8, getattr(mk.losses, name)
    p, t = (np.tile(a, (n, 1)) for a in slope_at)
    slope, bend = loss_constants(name, n, c, size=np.linalg.norm(p), targets=np.linalg.norm(t))
    np.testing.assert_allclose(np.linalg.norm(loss.gradient(p, t)), slope, rtol=1e-12)
    p, d = (np.tile(a, (n, 1)) for a in bend_at)
    t = np.tile(slope_at[1], (n, 1))
    np.testing.assert_allclose(np.linalg.norm(loss.hessp(p, t, d)), bend * np.linalg.norm(d), rtol=1e-12)


def test_constants_of_losses_to_the_digits():
    assert loss_constants("softmax_cross_entropy", 1, 7) == (math.sqrt(2), 0.5)
    assert loss_constants("logistic", 1, 1) == (1.0, 0.25)
    assert loss_constants("squared_error", 1, 3) == (math.inf, 1.0)
    assert loss_constants(mk.losses.huber(0.25), 4, 4) == (0.25, 0.25)


def test_a_loss_or_penalty_of_ones_own_is_not_guessed():
    class Own:
        name = "huber"

        def value(self, p, t, mask=None):
            return 0.0

        gradient = value

    with pytest.raises(TypeError, match="your own"):
        loss_constants(Own(), 3, 2)
    with pytest.raises(ValueError, match="did you mean 'huber'"):
        loss_constants("hubr", 3, 2)
    with pytest.raises(ValueError, match="samples is 0"):
        loss_constants("huber", 0, 2)
    with pytest.raises(TypeError, match="depend on model and data"):
        penalty_constants(mk.penalties.input_gradient(1.0), {}, 1.0)


@pytest.mark.parametrize("make", [mk.penalties.l2, mk.penalties.lag_smoothness])
def test_penalties_attain_their_constants(make):
    shapes = {"0.weight": (4, 3, 2, 1), "1.weight": (5, 2, 1), "1.bias": (7,)}
    parameters = {name: np.zeros(shape) for name, shape in shapes.items()}
    penalty = make(0.75)
    slope, bend = penalty_constants(penalty, parameters, 3.0)
    norms = []
    for name, shape in shapes.items():
        size = math.prod(shape)
        columns = [penalty.hessp(parameters, {name: e.reshape(shape)})[name].ravel() for e in np.eye(size)]
        norms.append(np.linalg.norm(columns, 2))
    np.testing.assert_allclose(bend, max(norms), rtol=1e-12)
    assert slope == 3.0 * bend
    assert penalty_constants(make(0.75, names="bias"), parameters, 1.0)[1] == (0.75 if make is mk.penalties.l2 else 0.0)


def test_convex_clustering_is_steepest_at_a_regular_simplex():
    """Row i of the gradient is the sum of unit vectors from the other points."""

    def slope(y):
        apart = y[:, None] - y[None]
        length = np.linalg.norm(apart, axis=2, keepdims=True)
        return np.linalg.norm((apart / np.where(length == 0, 1, length)).sum(axis=1))

    n = 12
    bound, smooth = special.convex_clustering(n)
    np.testing.assert_allclose(slope(np.eye(n)), bound, rtol=1e-13)
    assert smooth == 1.0
    assert abs(bound - 28.14) < 5e-3
    rng = np.random.default_rng(0)
    assert max(slope(rng.standard_normal((n, 3))) for _ in range(50)) <= bound


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_soft_assignment_is_steepest_halfway_between_two_centres(temperature):
    """Hessian I − Cov_p(c)/τ, by central differences of the gradient y − E_p c."""
    centres = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.5]])[: 2 if temperature < 1 else 3]

    def gradient(y):
        level = -np.sum((y - centres) ** 2, axis=1) / (2 * temperature)
        p = np.exp(level - level.max())
        return y - p @ centres / p.sum()

    h = 1e-5
    slope, bend = special.soft_assignment(2.0, temperature, size=3.0, reach=1.0)
    rng = np.random.default_rng(0)
    norms = []
    for y in [np.zeros(2), np.array([50.0, 0.0]), *rng.standard_normal((40, 2))]:
        columns = [(gradient(y + h * e) - gradient(y - h * e)) / (2 * h) for e in np.eye(2)]
        norms.append(np.linalg.norm(columns, 2))
        if np.linalg.norm(y) <= 3:
            assert np.linalg.norm(gradient(y)) <= slope
    np.testing.assert_allclose(max(norms), bend, rtol=1e-8)


def projection(matrix, k):
    """Project a symmetric matrix on 0 ≤ P ≤ I, tr P = k: shift and clip the eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    low, high = values.min() - 1.0, values.max()
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.clip(values - middle, 0, 1).sum() > k else (low, middle)
    return (vectors * np.clip(values - low, 0, 1)) @ vectors.T


@pytest.mark.parametrize("nu", [0.1, 1.0, 10.0])
def test_spectral_clustering_gradient_is_lipschitz(nu):
    mu, rng = 2.0, np.random.default_rng(0)
    slope, bend = special.spectral_clustering(mu, nu)

    def gradient(y):
        return y - projection(y @ y.T / (2 * nu), 2) @ y

    largest = 0.0
    for _ in range(60):
        y = rng.standard_normal((5, 3))
        y *= mu / np.linalg.norm(y)
        d = 1e-4 * rng.standard_normal((5, 3))
        assert np.linalg.norm(gradient(y)) <= slope
        largest = max(largest, np.linalg.norm(gradient(y - d) - gradient(y)) / np.linalg.norm(d))
    assert 0.05 * bend < largest <= bend
    assert special.spectral_clustering(mu) == (mu, math.inf)
    assert bend == pytest.approx({0.1: 41.0, 1.0: 5.0, 10.0: 1.4}[nu], rel=1e-14)


def test_implicit_layers_and_fixed_points_attain_their_constants():
    """ζ = ½ μ β² − c α β has β = c α/μ; x = κ x + l p + x_0 has x = (l p + x_0)/(1 − κ)."""
    mu, c = 0.5, 3.0
    hessian = np.array([[0.0, -c], [-c, mu]])
    slope, bend = special.implicit_layer(mu, np.linalg.norm(hessian, 2), 0.0)
    assert c / mu <= slope <= 1.1 * c / mu
    assert bend == 0.0
    assert special.implicit_layer(2.0, 4.0, 3.0)[1] == 7.5
    kappa, along = 0.75, 2.0
    got = special.fixed_point(kappa, along, 1.0)
    assert (got.start, got.parameters) == (1 / (1 - kappa), along / (1 - kappa))
    np.testing.assert_allclose(got.lipschitz, np.linalg.norm([got.start, got.parameters]), rtol=1e-15)
    assert got.smoothness == (1 + got.lipschitz**2) / (1 - kappa)


@given(p=st.floats(-1.0, 1.0), kappa=st.floats(0.0, 0.9))
def test_second_derivatives_of_fixed_points_are_bounded(p, kappa):
    """x = κ sin x + p²/2 + x_0: ‖D²f‖ ≤ max(κ, 1), ‖∂_p f‖ ≤ 1 on |p| ≤ 1; the Hessian by differentiating twice."""
    bound = special.fixed_point(kappa, 1.0, max(kappa, 1.0))
    x = 0.3
    gap = 1 - kappa * math.cos(x)
    first = np.array([p, 1.0]) / gap  # in (p, x_0)
    second = (np.diag([1.0, 0.0]) - kappa * math.sin(x) * np.outer(first, first)) / gap
    assert np.linalg.norm(first) <= bound.lipschitz * (1 + 1e-12)
    assert np.linalg.norm(second, 2) <= bound.smoothness * (1 + 1e-12)


def test_ridge():
    w = np.array([3.0, 4.0])
    slope, bend = special.ridge(0.25, 5.0)
    assert np.linalg.norm(2 * 0.25 * w) == slope
    assert bend == 0.5


def test_the_bound_of_an_objective_is_attained_and_takes_the_smallest_slope():
    """F(w) = ½ (ψ(w) − t)², ψ = w + w²/2 on [0, 1]: F″ = (ψ − t) + (1 + w)², largest at 1."""
    psi, target = (2.0, 1.0), -3.0
    size = 1.5
    loss = loss_constants("squared_error", 1, 1, size=size, targets=-target)
    assert objective_bound(*psi, loss) == (size - target) * 1.0 + 4.0
    inf = (math.inf, 1.0)
    at_zero = objective_bound(*psi, inf, gradient=3.0, diameter=1.0)
    assert at_zero == (3.0 + 2.0) + 4.0
    assert objective_bound(*psi, loss, 0.5, gradient=3.0, diameter=9.0) == 9.0
    assert objective_bound(3.0, 0.0, inf) == 9.0  # linear models: 0 · ∞ is 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: objective_bound(-1.0, 1.0, (1.0, 1.0)), ValueError, "lipschitz is -1"),
        (lambda: objective_bound(1.0, 1.0, (1.0, math.nan)), ValueError, r"loss\[1\] is nan"),
        (lambda: objective_bound(1.0, "1", (1.0, 1.0)), TypeError, "smoothness is '1'"),
        (lambda: special.soft_assignment(1.0, 0.0), ValueError, "temperature is 0"),
        (lambda: special.implicit_layer(0.0, 1.0, 1.0), ValueError, "convexity is 0"),
        (lambda: special.fixed_point(1.0, 1.0, 1.0), ValueError, "contraction is 1"),
        (lambda: special.convex_clustering(0), ValueError, "points is 0"),
    ],
)
def test_numbers_that_are_no_constants_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
