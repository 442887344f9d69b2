"""Steps of 1/L_F never increase an objective; smoothed models are as near as asked."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.graph.op import parameters
from machinekit.smoothness import bounds, objective_smoothness, smoothed, step_size

from .sampled import Sampled


def projected(objective, theta, radius):
    """Return θ with each op's parameters in their ball."""
    params = objective.unpack(theta)
    for op in {name.rpartition(".")[0] for name in params}:
        own = [name for name in params if name.rpartition(".")[0] == op]
        norm = math.hypot(*(np.linalg.norm(params[name]) for name in own))
        for name in own:
            params[name] = params[name] * min(1.0, radius / norm) if norm else params[name]
    return objective.pack(params)


def objectives():
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    tanh = mk.Chain([mk.Affine(3, 4, rng=rng), mk.Pointwise("tanh"), mk.Affine(4, 2, rng=rng)])
    machine = mk.DenseMachine((3, 2, 2), ["identity", "softplus", "tanh"], bias=True, rng=rng)
    image = mk.Chain([mk.Conv(1, 2, (3,), padding=1, rng=rng), mk.Pointwise("softplus"), mk.AvgPool((2,))])
    recurrent = mk.RecurrentMachine((1, 2), "tanh", memory=1, rng=rng)
    spaces = {"x": 3, "h": 2, "y": 2}
    edges = [
        mk.Edge("f", mk.Chain([mk.Affine(3, 2, rng=rng), mk.Pointwise("silu")]), "x -> h"),
        mk.Edge("g", mk.Affine(2, 2, rng=rng), "h -> y"),
        mk.Edge("skip", mk.Affine(3, 2, rng=rng), "x -> y"),
    ]
    mask = np.array([True] * 5 + [False])
    return {
        "tanh": mk.Objective(tanh, "squared_error", x, rng.normal(size=(6, 2)), mk.penalties.l2(0.1)),
        "labels": mk.Objective(tanh, "softmax_cross_entropy", x, labels, mask=mask),
        "machine": mk.Objective(machine, "huber", x, rng.normal(size=(6, 7))),
        "image": mk.Objective(image, "logistic", rng.normal(size=(2, 6, 1)), rng.random((2, 3, 2))),
        "recurrent": mk.Objective(recurrent, "squared_error", rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 3))),
        "network": mk.Objective(mk.Hypergraph(spaces, edges), "squared_error", x, rng.normal(size=(6, 2))),
    }


OBJECTIVES = objectives()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_projected_gradient_descent_is_monotone_for_300_steps(name):
    objective, radius = OBJECTIVES[name], 1.0
    step = step_size(objective, radius)
    theta = projected(objective, objective.theta0, radius)
    values = []
    for _ in range(300):
        value, gradient = objective.fun(theta)
        values.append(value)
        moved = projected(objective, theta - step * gradient, radius)
        # the descent inequality, of which monotony is the consequence
        change = moved - theta
        after = objective.value(moved)
        allowed = value + gradient @ change + 0.5 / step * (change @ change)
        assert after <= allowed + 1e-12 * (1 + abs(value))
        theta = moved
    assert np.all(np.diff(values) <= 1e-12 * (1 + np.abs(values[1:])))
    assert values[-1] < values[0]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_hessian_exceeds_its_bound(name):
    objective, rng = OBJECTIVES[name], np.random.default_rng(0)
    bound = objective_smoothness(objective, 1.0)
    for _ in range(5):
        theta = projected(objective, rng.normal(size=objective.size), 1.0)
        hessian = np.stack([objective.hessp(theta, e) for e in np.eye(objective.size)])
        assert np.linalg.norm(hessian, 2) <= bound


def test_a_line_has_its_own_step():
    """(1/n) Σ ½ (x w − t)²: L_F = Σ x²/n, exactly, and the penalty adds λ."""
    x = np.array([[1.0], [2.0], [2.0]])
    model = mk.Affine(1, 1, bias=False, weight=np.array([[0.5]]))
    plain = mk.Objective(model, "squared_error", x, x)
    np.testing.assert_allclose(objective_smoothness(plain, 1.0), 3.0)
    ridge = mk.Objective(model, "squared_error", x, x, mk.penalties.l2(0.25))
    np.testing.assert_allclose(step_size(ridge, 1.0), 1 / 3.25)


def test_what_has_no_step_is_refused():
    x = np.ones((2, 2))
    rough = mk.Objective(mk.Chain([mk.Affine(2, 2, rng=0), mk.Pointwise("relu")]), "squared_error", x, x)
    with pytest.raises(ValueError, match="not smooth because of relu"):
        step_size(rough, 1.0)
    smooth = mk.Objective(mk.Affine(2, 2, rng=0), "squared_error", x, x)
    with pytest.raises(TypeError, match="radius is missing"):
        step_size(smooth)
    with pytest.raises(ValueError, match="batch is given"):
        step_size(smooth, 1.0, batch=2)


def relu_models():
    rng = np.random.default_rng(1)
    one = mk.Affine(2, 2, rng=rng)
    relu = mk.Pointwise("relu")
    chain = mk.Chain([one, relu, one, relu, mk.Affine(2, 3, rng=rng)])
    spaces = {"x": 2, "h": 2, "y": 2}
    edges = [mk.Edge("f", mk.Chain([one, relu]), "x -> h"), mk.Edge("g", mk.Affine(2, 2, rng=rng), "h -> y"),
             mk.Edge("s", mk.Chain([mk.Affine(2, 2, rng=rng), mk.Pointwise("relu")]), "h -> y")]  # fmt: skip
    machine = mk.DenseMachine((2, 2, 2), ["relu", "relu", "tanh"], bias=True, rng=rng)
    return {"chain": chain, "network": mk.Hypergraph(spaces, edges), "machine": machine}


@pytest.mark.parametrize("kind", relu_models())
@given(seed=st.integers(0, 2**32 - 1), accuracy=st.sampled_from((0.01, 0.3)))
def test_a_smoothed_model_is_as_near_as_asked(kind, seed, accuracy):
    model, rng = relu_models()[kind], np.random.default_rng(seed)
    found = smoothed(model, accuracy, radius=1.5, input_bound=1.0, batch=2)
    names = list(parameters(model))
    groups = [(1.5, [(n, ...) for n in names if n.rpartition(".")[0] == op])
              for op in dict.fromkeys(n.rpartition(".")[0] for n in names)]  # fmt: skip
    width = 6 if kind == "machine" else 2
    sampled = Sampled(model, groups, [((2, width), [(..., 1.0)])], rng)
    for k in range(4):
        params, inputs = sampled.draw(aligned=k == 0)
        y, z = (m.replace(**params)(*inputs) for m in (model, found.model))
        assert np.linalg.norm(y - z) <= accuracy * (1 + 1e-9)
    assert bounds(model, radius=1.5, input_bound=1.0).smoothness == math.inf
    assert math.isfinite(bounds(found.model, radius=1.5, input_bound=1.0, constants=found.constants).smoothness)


def test_smoothing_uses_up_its_accuracy():
    """Two ReLUs on scalars with weight 1, from far on: each is ν below, and the widths add up to what was asked."""
    one = mk.Affine(1, 1, bias=False, weight=np.array([[1.0]]))
    net = mk.Chain([mk.Pointwise("relu"), one, mk.Pointwise("relu")])
    found = smoothed(net, 0.5, radius=2.0, input_bound=10.0, shape=(1,))
    assert found.widths == {"smoothed_relu 0": 0.125, "smoothed_relu 2": 0.25}
    two = np.array([[2.0]])
    far = np.array([[10.0]])
    np.testing.assert_allclose(
        net.replace(**{"1.weight": two})(far) - found.model.replace(**{"1.weight": two})(far), 0.5
    )


def test_what_cannot_be_smoothed_is_refused():
    pool = mk.Chain([mk.Conv(1, 1, (3,), padding=1, rng=0), mk.MaxPool((2,))])
    with pytest.raises(ValueError, match=r"1 is MaxPool.*AvgPool"):
        smoothed(pool, 0.1, radius=1.0, input_bound=1.0, shape=(4, 1))
    with pytest.raises(ValueError, match="accuracy is 0"):
        smoothed(pool, 0.0, radius=1.0, input_bound=1.0, shape=(4, 1))
    steep = mk.Chain([mk.Affine(1, 1, rng=0), mk.Pointwise("relu"), mk.Pointwise("square")])
    with pytest.raises(ValueError, match="infinite Lipschitz"):
        smoothed(steep, 0.1, radius=1.0, input_bound=1.0)
