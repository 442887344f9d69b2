"""The hypergradient is the derivative of the outer loss at the minimiser: against solving again, and in closed form."""

import numpy as np
import pytest

import machinekit as mk
from machinekit.training import Objective, penalties

from .hessians import STEP, far, model_case


def ridge(strengths=(0.3, 0.2), seed=0):
    """Return an inner and an outer objective, linear least squares with two penalties, and the minimiser."""
    rng = np.random.default_rng(seed)
    x, v = rng.standard_normal((20, 4)), rng.standard_normal((30, 4))
    t, w = rng.standard_normal((20, 2)), rng.standard_normal((30, 2))
    model = mk.Affine(4, 2, rng=0)
    given = [penalties.l2(strengths[0]), penalties.l2(strengths[1], names=("bias",))]
    inner = Objective(model, "squared_error", x, t, given)
    outer = Objective(model, "squared_error", v, w)
    dense = inner.hessian(inner.theta0) @ np.eye(inner.size)
    return inner, outer, inner.theta0 - np.linalg.solve(dense, inner.fun(inner.theta0)[1])


def test_it_is_the_closed_form_of_ridge_regression():
    """dθ*/dλ = −H⁻¹ ∂²J/∂θ∂λ, with H written out."""
    inner, outer, theta = ridge()
    dense = inner.hessian(theta) @ np.eye(inner.size)
    columns = np.stack([theta * (np.arange(10) < 8), theta * (np.arange(10) >= 8)], axis=1)
    assert far(inner.strength_gradients(theta), columns) <= 1e-14
    want = -columns.T @ np.linalg.solve(dense, outer.fun(theta)[1])
    assert far(mk.hypergradient(inner, outer, theta, rtol=1e-13), want) <= 1e-10


def test_it_is_the_change_when_solved_again():
    inner, outer, theta = ridge()
    step = 1e-5
    again = []
    for k in range(2):
        moved = [[0.3, 0.2], [0.3, 0.2]]
        moved[0][k] += step
        moved[1][k] -= step
        up, down = (ridge(tuple(strengths))[2] for strengths in moved)
        again.append((outer.value(up) - outer.value(down)) / (2 * step))
    assert far(mk.hypergradient(inner, outer, theta, rtol=1e-12), np.array(again)) <= 1e-7


def test_of_a_machine_trained_with_a_gradient_penalty_it_is_so_too():
    """The penalty's own Hessian is in the system: without it the answer would be another."""
    rng = np.random.default_rng(0)
    x, v = rng.uniform(-2, 2, (15, 1)), rng.uniform(-2, 2, (15, 1))
    machine = mk.DenseMachine((1, 3, 1), ("identity", "tanh", "identity"), bias=True, rng=0)
    model = mk.Chain([machine, mk.Select(-1, sizes=machine.sizes)])
    outer = Objective(model, "squared_error", v, np.sin(2 * v))

    def solved(strength, start):
        given = [penalties.input_gradient(strength), penalties.l2(0.05, names=("weight", "bias"))]
        result = mk.fit(
            start, "squared_error", x, np.sin(2 * x), "trust-ncg", penalties=given, steps=500, tolerance=1e-10,
            progress=False,
        )  # fmt: skip
        assert result.gradient_norm < 1e-8
        return Objective(model, "squared_error", x, np.sin(2 * x), given), result

    inner, best = solved(0.1, model)
    step = 1e-4
    again = [outer.value(solved(0.1 + s, best.model)[1].theta) for s in (step, -step)]
    got = mk.hypergradient(inner, outer, best.theta, rtol=1e-10)
    assert got.shape == (2,)
    assert abs(got[0] - (again[0] - again[1]) / (2 * step)) <= 1e-4 * abs(got[0])
    without = Objective(model, "squared_error", x, np.sin(2 * x), penalties.l2(0.05, names=("weight", "bias")))
    dense = without.hessian(best.theta) @ np.eye(inner.size)
    other = -inner.strength_gradients(best.theta)[:, 0] @ np.linalg.solve(dense, outer.fun(best.theta)[1])
    assert abs(got[0] - other) > 1e-2 * abs(got[0])


@pytest.mark.parametrize("rng", [0, np.random.default_rng(1), None])
def test_strength_gradients_are_those_of_the_penalties_used(rng):
    """Random projections stay the ones that were drawn."""
    model, x, t, _ = model_case("dense", 0)
    given = [penalties.jacobian_norm(0.5, projections=2, rng=rng), penalties.input_gradient(0.25, of="loss")]
    with_, without = (Objective(model, "squared_error", x, t, p) for p in (given, ()))
    theta = with_.theta0
    weighed = with_.strength_gradients(theta) @ np.array([0.5, 0.25])
    assert far(weighed, with_.fun(theta)[1] - without.fun(theta)[1]) <= 1e-12


def test_at_strength_zero_there_is_a_slope_too():
    inner, outer, theta = ridge((0.0, 0.2))
    up = ridge((1e-6, 0.2))[2]
    got = mk.hypergradient(inner, outer, theta, rtol=1e-12)[0]
    assert got != 0.0
    assert abs(got - (outer.value(up) - outer.value(theta)) / 1e-6) <= 1e-4 * abs(got)


def test_other_hyperparameters_come_by_their_cross_derivatives():
    """η scales the targets: J(θ, η) = ½ mean ‖p − η t‖²."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((20, 3)), rng.standard_normal((20, 1))
    model = mk.Affine(3, 1, rng=0)

    def solved(scale):
        inner = Objective(model, "squared_error", x, scale * t, penalties.l2(0.1))
        dense = inner.hessian(inner.theta0) @ np.eye(4)
        return inner, inner.theta0 - np.linalg.solve(dense, inner.fun(inner.theta0)[1])

    inner, theta = solved(1.5)
    outer = Objective(model, "squared_error", x[::-1].copy(), t, penalties.l2(0.01))
    cross = Objective(model, "squared_error", x, (1.5 + 1j * STEP) * t).fun(theta)[1].imag[:, None] / STEP
    up, down = (outer.value(solved(1.5 + s)[1]) for s in (1e-5, -1e-5))
    got = mk.hypergradient(inner, outer, theta, rtol=1e-12, cross=cross)
    assert abs(got[1] - (up - down) / 2e-5) <= 1e-7
    assert np.array_equal(got[:1], mk.hypergradient(inner, outer, theta, rtol=1e-12))
    moved = mk.hypergradient(inner, outer, theta, rtol=1e-12, cross=cross, direct=np.array([0.5, -2.0]))
    assert far(moved - got, np.array([0.5, -2.0])) <= 1e-12


def test_damping_is_added_to_the_hessian():
    inner, outer, theta = ridge()
    dense = inner.hessian(theta) @ np.eye(inner.size) + 0.5 * np.eye(inner.size)
    want = -inner.strength_gradients(theta).T @ np.linalg.solve(dense, outer.fun(theta)[1])
    assert far(mk.hypergradient(inner, outer, theta, damping=0.5, rtol=1e-13), want) <= 1e-10


def test_the_own_penalties_of_the_outer_objective_are_part_of_its_gradient():
    inner, outer, theta = ridge()
    plain = mk.hypergradient(inner, outer, theta, rtol=1e-12)
    rng = np.random.default_rng(0)
    _, v = rng.standard_normal((20, 4)), rng.standard_normal((30, 4))
    _, w = rng.standard_normal((20, 2)), rng.standard_normal((30, 2))
    heavy = Objective(mk.Affine(4, 2, rng=0), "squared_error", v, w, penalties.l2(1.0))
    assert heavy.value(theta) > outer.value(theta)
    assert far(mk.hypergradient(inner, heavy, theta, rtol=1e-12), plain) > 1e-3


def test_without_penalties_there_is_nothing():
    inner, outer, theta = ridge((0.0, 0.0))
    bare = Objective(mk.Affine(4, 2, rng=0), "squared_error", *(np.zeros((20, n)) for n in (4, 2)))
    assert mk.hypergradient(bare, bare, np.zeros(10)).shape == (0,)
    assert mk.hypergradient(inner, outer, theta).shape == (2,)


# what is refused ----------------------------------------------------------------------------------


def test_a_point_that_is_not_stationary_is_refused_with_both_numbers():
    inner, outer, theta = ridge()
    norm = np.linalg.norm(inner.fun(theta + 0.1)[1])
    with pytest.raises(
        ValueError, match=rf"not stationary: .* norm {norm:.3g} there, above stationarity=1e-06; train on"
    ):
        mk.hypergradient(inner, outer, theta + 0.1)
    assert mk.hypergradient(inner, outer, theta + 0.1, stationarity=10.0).shape == (2,)
    with pytest.raises(ValueError, match="norm nan there"):
        mk.hypergradient(inner, outer, np.full(10, np.nan))


def saddle():
    """Return J(w, u) = ½ (w u − 1)², whose saddle at 0 has the curvatures ±1, and an outer objective."""
    model = mk.Chain([mk.Affine(1, 1, bias=False, weight=np.zeros((1, 1))) for _ in range(2)])
    one = np.ones((1, 1))
    return Objective(model, "squared_error", one, one), Objective(Slope(np.zeros(2)), "squared_error", one, one)


class Slope:
    """y = x + w·(1, 2): a user's model of two parameters, whose gradient is nowhere in an eigenspace of the saddle."""

    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        return x + self.w[0] + 2.0 * self.w[1] + 1.0

    def parameters(self):
        return {"w": self.w}

    def replace(self, w):
        return Slope(w)

    def pullback(self, state, y):
        return mk.Cotangent((y,), {"w": np.sum(y) * np.array([1.0, 2.0])})


def test_a_saddle_is_refused_and_a_damping_mends_it():
    inner, outer = saddle()
    theta = np.zeros(2)
    assert np.allclose(inner.hessian(theta) @ np.eye(2), [[0.0, -1.0], [-1.0, 0.0]])
    with pytest.raises(ValueError, match=r"not a minimum: .* curvature of inner is -0\.8, with damping=0 not positive"):
        mk.hypergradient(inner, outer, theta)
    with pytest.raises(ValueError, match=r"with damping=0\.5 not positive"):
        mk.hypergradient(inner, outer, theta, damping=0.5)
    assert mk.hypergradient(inner, outer, theta, damping=1.5).shape == (0,)


def test_a_singular_hessian_is_no_minimum():
    x, t = np.ones((3, 2)), np.ones((3, 1))
    model = mk.Affine(2, 1, bias=False, weight=np.array([[0.5], [0.5]]))
    inner = Objective(model, "squared_error", x, t, penalties.l2(0.0))
    outer = Objective(model, "squared_error", np.array([[1.0, -1.0]]), np.ones((1, 1)))
    with pytest.raises(ValueError, match="not a minimum"):
        mk.hypergradient(inner, outer, inner.theta0)


def test_conjugate_gradients_that_do_not_converge_say_so():
    inner, outer, theta = ridge()
    with pytest.raises(
        mk.ConvergenceError, match=r"after 2 steps .* residual is .*, above rtol=1e-08; raise max_steps"
    ):
        mk.hypergradient(inner, outer, theta, max_steps=2)
    assert issubclass(mk.ConvergenceError, RuntimeError)


class Plain:
    """A user's penalty without a strength."""

    def value(self, params):
        return 0.0

    def gradient(self, params):
        return {}

    def hessp(self, params, d):
        return {}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"damping": -1.0}, ValueError, "damping is -1.0"),
        ({"rtol": 0.0}, ValueError, "rtol is 0.0"),
        ({"stationarity": "1"}, TypeError, "stationarity is '1'"),
        ({"max_steps": 0}, ValueError, "max_steps is 0"),
        ({"cross": np.ones((3, 1))}, ValueError, r"cross has shape \(3, 1\) but the objective 10 parameters"),
        ({"cross": [[1.0]]}, TypeError, "cross is a list"),
        ({"direct": np.ones(3)}, ValueError, r"direct has shape \(3,\) but there are 2 hyperparameters"),
        ({"direct": np.ones(2, int)}, TypeError, "direct is a numpy array of int64"),
    ],
)
def test_wrong_options_are_refused(options, error, words):
    inner, outer, theta = ridge()
    with pytest.raises(error, match=words):
        mk.hypergradient(inner, outer, theta, **options)


def test_wrong_objectives_are_refused():
    inner, outer, theta = ridge()
    with pytest.raises(TypeError, match=r"inner is 3; pass an mk\.Objective"):
        mk.hypergradient(3, outer, theta)
    with pytest.raises(TypeError, match="outer is None"):
        mk.hypergradient(inner, None, theta)
    small = Objective(mk.Affine(1, 1, rng=0), "squared_error", np.ones((1, 1)), np.ones((1, 1)))
    with pytest.raises(ValueError, match="inner has 10 parameters but outer 2"):
        mk.hypergradient(inner, small, theta)
    zeros = [np.zeros((2, 4)), np.zeros((2, 2))]
    bare = Objective(mk.Affine(4, 2, rng=0), "squared_error", *zeros, [penalties.l2(1.0), Plain()])
    with pytest.raises(TypeError, match=r"penalties\[1\] is .*Plain.* no dataclass with a field strength"):
        mk.hypergradient(bare, outer, np.zeros(10))
