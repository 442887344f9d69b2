"""Constants of pieces where they are attained: activations on fine grids, softmax, normalisation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.activations import NAMES, get_activation
from machinekit.smoothness import pieces
from machinekit.smoothness.activations import activation_piece, is_built_in, lifted
from machinekit.smoothness.structure import Piece

BUILT_INS = [
    *map(get_activation, NAMES), mk.leaky_relu(0.5), mk.leaky_relu(-2.0), mk.leaky_relu(1.0), mk.elu(0.5), mk.elu(2.0),
    mk.celu(0.25), mk.celu(3.0), mk.hardtanh(-0.5, 2.0), mk.hardtanh(0.25, 0.5), mk.soft_threshold(2.0),
]  # fmt: skip
LINE = np.concatenate([np.linspace(-60, 60, 240_001), np.linspace(-0.2, 0.2, 40_001), np.linspace(1.0, 3.0, 40_001)])
EXACT = 1e-12


def shown(activation):
    return repr(activation)


def steepest(activation, line):
    """Return max |σ′| and max |σ″| on points, and the largest slope of σ′ between neighbours."""
    slope = activation.derivative(line)
    return np.abs(slope).max(), np.abs(activation.second(line)).max(), np.abs(np.diff(slope) / np.diff(line)).max()


@pytest.mark.parametrize("activation", BUILT_INS, ids=shown)
def test_no_point_of_a_fine_grid_exceeds_the_constants_and_some_point_attains_them(activation):
    piece = activation_piece(activation, 1)
    values = np.abs(activation(LINE))
    slope, bend, _ = steepest(activation, LINE)
    if math.isfinite(piece.size):
        assert 0.98 * piece.size <= values.max() <= piece.size * (1 + EXACT)
    else:
        assert values.max() > 40
    if math.isfinite(piece.lipschitz):
        assert piece.lipschitz * (1 - 1e-9) <= slope <= piece.lipschitz * (1 + EXACT)
    else:
        assert activation.name == "square"
    if math.isfinite(piece.smoothness):
        assert piece.smoothness * (1 - 1e-4) <= bend <= piece.smoothness * (1 + EXACT) or activation.name == "softsign"
    np.testing.assert_allclose(piece.value, abs(activation(np.zeros(1))[0]), rtol=0)


@pytest.mark.parametrize("activation", BUILT_INS, ids=shown)
def test_smoothness_is_the_lipschitz_constant_of_the_slope_and_infinite_where_it_jumps(activation):
    piece, grid = activation_piece(activation, 1), np.linspace(-8, 8, 160_001)
    _, _, quotient = steepest(activation, grid)
    if math.isinf(piece.smoothness):
        assert quotient > 100
        assert math.isinf(piece.slope)
    else:
        assert piece.smoothness * (1 - 1e-3) <= quotient <= piece.smoothness * (1 + 1e-8)
        np.testing.assert_allclose(piece.slope, abs(activation.derivative(np.zeros(1))[0]), rtol=0)


def check_ball(activation, mu):
    piece = activation_piece(activation, 7)
    slope, bend = piece.ball(mu)
    grid = np.concatenate([np.linspace(-mu, mu, 20_001), [k + e for k in activation.kinks for e in (-1e-9, 1e-9)]])
    seen, curved, _ = steepest(activation, np.unique(grid[np.abs(grid) <= mu]))
    assert slope * (1 - 1e-6) <= seen <= slope * (1 + EXACT), (slope, seen)
    rough = math.isinf(piece.smoothness) and any(abs(k) <= mu for k in activation.kinks)
    assert math.isinf(bend) == rough
    assert rough or bend * (1 - 2e-3) <= curved <= bend * (1 + EXACT) + 1e-300, (bend, curved)
    assert slope <= piece.lipschitz
    assert bend <= piece.smoothness


@pytest.mark.parametrize("activation", BUILT_INS, ids=shown)
def test_constants_on_balls_are_the_suprema_on_intervals(activation):
    for mu in (0.05, 0.1, 0.4, 0.7, 1.4, 1.6, 2.5, 3.5, 7.0):
        check_ball(activation, mu)


@given(activation=st.sampled_from(BUILT_INS), mu=st.floats(1e-3, 12.0))
def test_constants_on_any_ball_are_the_suprema_on_an_interval(activation, mu):
    assume(all(abs(abs(k) - mu) > 1e-8 for k in activation.kinks))  # a kink on the rim counts
    check_ball(activation, mu)


@pytest.mark.parametrize("activation", BUILT_INS, ids=shown)
def test_an_infinite_ball_is_the_whole_line_and_a_small_one_the_slope_at_zero(activation):
    piece = activation_piece(activation, 2)
    assert piece.ball(math.inf) == (piece.lipschitz, piece.smoothness)
    assert all(not math.isnan(c) for mu in (0.0, 1e-300, 1e3, 1e300) for c in piece.ball(mu))
    if math.isfinite(piece.smoothness):
        np.testing.assert_allclose(piece.ball(0.0)[0], piece.slope, rtol=1e-15)


def test_constants_of_activations_to_ten_digits():
    got = {name: activation_piece(name, 1) for name in NAMES}
    for name, slope in [("silu", 1.0998393201), ("gelu", 1.1289041452), ("gelu_tanh", 1.1289930687),
                        ("mish", 1.0884981613), ("selu", 1.7580993408)]:  # fmt: skip
        assert abs(got[name].lipschitz - slope) < 6e-11
    for name, bend in [("sigmoid", 0.0962250449), ("tanh", 0.7698003589), ("gelu", 0.7978845608), ("silu", 0.5),
                       ("gelu_tanh", 0.7978845608), ("mish", 0.6442046372), ("softplus", 0.25), ("logsigmoid", 0.25),
                       ("softsign", 2.0), ("elu", 1.0), ("celu", 1.0), ("sin", 1.0), ("square", 2.0)]:  # fmt: skip
        assert abs(got[name].smoothness - bend) < 6e-11
    for point, name, ball in [(0.6584789484624, "tanh", 1), (1.3169578969248, "sigmoid", 1), (2.3993572805, "silu", 0),
                              (math.sqrt(2), "gelu", 0), (math.pi / 2, "sin", 1)]:  # fmt: skip
        whole = (got[name].lipschitz, got[name].smoothness)[ball]
        assert got[name].ball(point + 1e-6)[ball] == whole
        assert got[name].ball(0.99 * point)[ball] < whole


def test_lifting_multiplies_sizes_by_the_root_of_the_number_of_coordinates():
    """Attained: every coordinate at its supremum; at zero every coordinate has σ(0)."""
    piece = activation_piece("sigmoid", 9)
    assert abs(np.linalg.norm(get_activation("sigmoid")(np.full(9, 50.0))) - piece.size) < 1e-12
    assert np.linalg.norm(get_activation("sigmoid")(np.zeros(9))) == piece.value
    assert activation_piece("relu", 0).size == 0.0
    assert lifted(Piece(size=2.0, value=1.0, lipschitz=5.0), 4) == Piece(size=4.0, value=2.0, lipschitz=5.0)


def test_an_activation_of_ones_own_needs_constants():
    cube = mk.Activation(lambda y: y**3, name="cube")
    with pytest.raises(ValueError, match=r"activation 'cube' is your own.*constants=\{'cube'"):
        activation_piece(cube, 3)
    own = {"cube": Piece(lipschitz=math.inf, smoothness=math.inf, slope=0.0, ball=lambda mu: (3 * mu**2, 6 * mu))}
    assert activation_piece(cube, 4, constants=own).ball(2.0) == (12.0, 12.0)
    with pytest.raises(TypeError, match="constants\\['cube'\\] is 3"):
        activation_piece(cube, 4, constants={"cube": 3})
    with pytest.raises(ValueError, match=r"constants\['cube'\].lipschitz is -1"):
        activation_piece(cube, 4, constants={"cube": Piece(lipschitz=-1)})
    with pytest.raises(ValueError, match="did you mean 'tanh'"):
        activation_piece("tanhh", 4)
    with pytest.raises(TypeError, match="pass a name"):
        activation_piece(3, 4)


def test_a_name_alone_does_not_make_an_activation_a_built_in():
    impostor = mk.Activation(lambda y: 5 * y, lambda y: 5 + 0 * y, name="tanh")
    assert not is_built_in(impostor)
    with pytest.raises(ValueError, match="your own"):
        activation_piece(impostor, 3)
    rescaled = mk.Activation(
        get_activation("elu", alpha=2.0).value, get_activation("elu", alpha=2.0).derivative,
        get_activation("elu", alpha=2.0).second, name="elu", options=(("alpha", 0.5),),
    )  # fmt: skip
    assert not is_built_in(rescaled)
    assert all(map(is_built_in, BUILT_INS))


def test_a_diagonal_is_linear(xp, backend):
    piece = activation_piece(mk.Diagonal(backend.from_host(np.array([[1.0, -3.0]]))), 5)
    assert (piece.lipschitz, piece.smoothness, piece.value, piece.slope) == (3.0, 0.0, 0.0, 3.0)


@pytest.mark.parametrize(
    ("piece", "value"),
    [
        (pieces.smoothed_relu(0.3), lambda t: np.where(t < 0, 0, np.where(t < 0.6, t * t / 1.2, t - 0.3))),
        (pieces.softplus(6.0), lambda t: np.logaddexp(0, 6 * t) / 6),
        (pieces.squared_relu(), lambda t: np.maximum(t, 0) ** 2),
    ],
    ids=["smoothed_relu", "softplus", "squared_relu"],
)
@pytest.mark.parametrize("mu", [0.1, 0.7, 5.0])
def test_smoothed_activations_on_the_line(piece, value, mu):
    t = np.linspace(-mu, mu, 20_001)
    slope = np.diff(value(t)) / np.diff(t)
    bend = np.abs(np.diff(slope) / np.diff(t)[1:])
    steep, curved = piece.ball(mu)
    np.testing.assert_allclose([np.abs(slope).max(), bend.max()], [steep, curved], rtol=2e-2)
    assert abs(slope).max() <= steep * (1 + 1e-6)
    assert bend.max() <= curved * (1 + 1e-3)
    assert abs(value(np.zeros(1))[0] - piece.value) < 1e-15
    assert abs(slope[10_000] - piece.slope) < 1e-2


def directional(op, x, u):
    """Return Du·u and D²[u, u]·u of an op of one input, by its own hand-written derivatives."""
    state = op.solve(x)
    tangent = op.pushforward(state, u)
    cotangent = op.pullback(state, u)
    return tangent.outputs[0], op.pullback_tangent(state, cotangent, tangent).inputs[0]


@pytest.mark.parametrize("classes", [2, 5])
def test_softmax_attains_its_constants(classes):
    """Two classes share all the mass, p = (3 − √3)/6: the third cumulant is √(2/27)."""
    piece = pieces.softmax(classes, 3)
    u = np.zeros((1, classes))
    u[0, :2] = np.array([1.0, -1.0]) / math.sqrt(2)

    def at(q):
        x = np.full((1, classes), -800.0)
        x[0, :2] = np.log([q, 1 - q])
        return directional(mk.Softmax(), x, u)

    first, _ = at(0.5)
    np.testing.assert_allclose(np.linalg.norm(first), piece.lipschitz, rtol=1e-14)
    _, second = at((3 - math.sqrt(3)) / 6)
    np.testing.assert_allclose(abs(np.sum(second * u)), piece.smoothness, rtol=1e-12)
    assert abs(piece.smoothness - 0.2721655270) < 6e-11
    zero = mk.Softmax()(np.zeros((3, classes)))
    np.testing.assert_allclose(np.linalg.norm(zero), piece.value, rtol=1e-14)
    jacobian = [directional(mk.Softmax(), np.zeros((1, classes)), e[None])[0][0] for e in np.eye(classes)]
    np.testing.assert_allclose(np.linalg.norm(jacobian, 2), piece.slope, rtol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(mk.Softmax()(1e3 * np.eye(classes)[[0, 1, 0]])), piece.size, rtol=1e-14)


@given(classes=st.integers(1, 6), seed=st.integers(0, 10**6), spread=st.floats(0.1, 6.0))
def test_softmax_never_exceeds_its_constants(classes, seed, spread):
    rng = np.random.default_rng(seed)
    x, u = spread * rng.standard_normal((1, classes)), rng.standard_normal((1, classes))
    u /= np.linalg.norm(u)
    first, second = directional(mk.Softmax(), x, u)
    piece = pieces.softmax(classes, 1)
    assert np.linalg.norm(first) <= piece.lipschitz + 1e-15
    assert abs(np.sum(second * u)) <= piece.smoothness + 1e-15
    assert (piece.lipschitz == 0.0) == (classes == 1)
    warm = pieces.softmax(classes, 1, temperature=3.0)
    want = (3 * piece.lipschitz, 3 * piece.slope, 9 * piece.smoothness)
    np.testing.assert_allclose((warm.lipschitz, warm.slope, warm.smoothness), want, rtol=1e-15)


def normalised(form, epsilon, delta, m, radius, rng):
    """Return |D u| and |D²[u, u]·u| of a batch normalisation along a centred row of standard deviation `radius`."""
    op = mk.BatchNorm(delta, form=form, epsilon=epsilon, scale=False, bias=False)
    w = rng.standard_normal(m)
    w -= w.mean()
    w /= np.linalg.norm(w)
    x, u = rng.standard_normal((m, delta)), np.zeros((m, delta))
    u[:, 0] = w
    x[:, 0] = 3.0 + radius * math.sqrt(m) * w
    first, second = directional(op, x, u)
    return np.linalg.norm(first), abs(np.sum(second * u))


@pytest.mark.parametrize(("m", "epsilon"), [(2, 1.0), (6, 1e-2), (4, 50.0)])
@pytest.mark.parametrize("form", ["eps+sigma", "sqrt"])
def test_normalisation_attains_its_constants(form, epsilon, m):
    """Along w: σ = √ε/2 for √(ε + σ²), σ → 0 for ε + σ; the slope is largest at σ = 0."""
    rng = np.random.default_rng(m)
    size, slope, bend = pieces.batch_norm_constants(3, m, epsilon, form)
    assert abs(normalised(form, epsilon, 3, m, 0.0, rng)[0] / slope - 1) < 1e-12
    at = 0.5 * math.sqrt(epsilon) if form == "sqrt" else 1e-7 * epsilon
    np.testing.assert_allclose(normalised(form, epsilon, 3, m, at, rng)[1], bend, rtol=1e-6)
    large = mk.BatchNorm(3, form=form, epsilon=epsilon, scale=False, bias=False)(1e9 * rng.standard_normal((m, 3)))
    assert size * (1 - 1e-6) < np.linalg.norm(large) <= size * (1 + 1e-14)
    for radius in np.geomspace(1e-4, 1e4, 60):
        first, second = normalised(form, epsilon, 3, m, radius * max(epsilon, math.sqrt(epsilon)), rng)
        assert first <= slope * (1 + 1e-12)
        assert second <= bend * (1 + 1e-9)


@given(
    form=st.sampled_from(["eps+sigma", "sqrt"]), m=st.integers(2, 6), delta=st.integers(1, 3),
    epsilon=st.floats(1e-2, 10.0), seed=st.integers(0, 10**6), spread=st.floats(1e-2, 10.0),
)  # fmt: skip
def test_normalisation_never_exceeds_its_constants(form, m, delta, epsilon, seed, spread):
    rng = np.random.default_rng(seed)
    op = mk.BatchNorm(delta, form=form, epsilon=epsilon, scale=False, bias=False)
    x, u = spread * rng.standard_normal((m, delta)), rng.standard_normal((m, delta))
    u /= np.linalg.norm(u)
    first, second = directional(op, x, u)
    size, slope, bend = pieces.batch_norm_constants(delta, m, epsilon, form)
    assert np.linalg.norm(first) <= slope * (1 + 1e-12)
    assert abs(np.sum(second * u)) <= bend * (1 + 1e-9)
    assert np.linalg.norm(op(x)) <= size * (1 + 1e-14)


def test_batch_norm_constants_to_the_digits():
    np.testing.assert_allclose(pieces.batch_norm_constants(3, 4, 0.01), (3.464101615, 100, 10000), rtol=1e-9)
    got = pieces.batch_norm_constants(3, 4, 0.01, form="sqrt")
    np.testing.assert_allclose(got, (3.464101615, 10, 42.9325051680), rtol=1e-9)
    np.testing.assert_allclose(pieces.batch_norm_constants(1, 6, 1e-2, "sqrt")[2], 35.0542, atol=5e-5)


@pytest.mark.parametrize(
    ("epsilon", "error"),
    [
        (0, ValueError),
        (0.0, ValueError),
        (-1.0, ValueError),
        (math.nan, ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
def test_normalisation_without_epsilon_is_refused(epsilon, error):
    with pytest.raises(error, match="epsilon is"):
        pieces.batch_norm_constants(3, 4, epsilon)
