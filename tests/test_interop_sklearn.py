"""The estimators minimise what they say, count samples by their weights, and live in scikit-learn's world."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import machinekit as mk
from machinekit.interop.sklearn import MachineClassifier, MachineRegressor
from machinekit.interop.sklearn.network import build_network
from machinekit.interop.sklearn.options import read_generator_of, read_options
from machinekit.interop.sklearn.samples import Merged, merge, split

QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SHARP = {"tol": 1e-13, "max_iter": 5000, "random_state": 0}


def flowers(classes=3):
    X, y = load_iris(return_X_y=True)
    kept = y < classes
    return StandardScaler().fit_transform(X[kept]), np.array(["a", "b", "c"])[y[kept]]


def curve(n=40, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (n, 3))
    y = np.stack([np.sin(3.0 * X[:, 0]) + X[:, 1], 5.0 + X[:, 2] ** 2], axis=1)[:, :outputs]
    return X, y[:, 0] if outputs == 1 else y, rng.integers(0, 4, n).astype(float)


@pytest.mark.parametrize("classes", [2, 3])
def test_without_hidden_blocks_it_is_logistic_regression(classes):
    X, y = flowers(classes)
    weights = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    ours = MachineClassifier((), alpha=0.5, **SHARP).fit(X, y, weights)
    theirs = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000).fit(X, y, weights)
    logits = ours.decision_function(X)
    if classes > 2:  # which are known but for a constant
        logits = logits - logits.mean(axis=1, keepdims=True) + theirs.decision_function(X).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(logits, theirs.decision_function(X), atol=2e-4)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("outputs", [1, 2])
def test_without_hidden_blocks_it_is_ridge_regression(outputs):
    X, y, weights = curve(outputs=outputs)
    ours = MachineRegressor((), alpha=0.5, **SHARP).fit(X, y, weights)
    theirs = Ridge(alpha=0.5).fit(X, y, weights)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)
    assert ours.predict(X).shape == y.shape


@QUIET
def test_the_loss_is_the_weighted_mean_and_the_penalty():
    X, y = flowers()
    weights = np.random.default_rng(1).uniform(0.0, 2.0, len(y))
    found = MachineClassifier((5, 4), "tanh", alpha=0.7, max_iter=15, random_state=0).fit(X, y, weights)
    entropy = -log_softmax(found.model_(X), axis=1)[np.arange(len(y)), np.searchsorted(found.classes_, y)]
    squares = sum(float(np.sum(a**2)) for name, a in found.model_.parameters().items() if name.endswith("weight"))
    expected = np.average(entropy, weights=weights) + 0.7 / (2 * weights.sum()) * squares
    np.testing.assert_allclose(found.loss_, expected, rtol=1e-12)
    assert found.loss_curve_[-1] == found.loss_ == min(found.loss_curve_)
    assert len(found.loss_curve_) == found.n_iter_ + 1 == 16
    live = 4 * 5 + 9 * 4 + 13 + 13 * 3 + 3
    assert found.n_parameters_ == live


CONFIGURATIONS = [
    {},
    {"activation": "tanh", "early_stopping": True, "validation_fraction": 0.25},
    {"solver": "adam", "batch_size": 7, "learning_rate": 0.02},
    {"solver": "adam", "batch_size": None, "early_stopping": True, "learning_rate": 0.02},
]


@QUIET
@pytest.mark.parametrize("more", CONFIGURATIONS)
@pytest.mark.parametrize("kind", [MachineClassifier, MachineRegressor])
def test_weights_repetitions_and_orders_are_the_same_fit_bit_by_bit(kind, more):
    X, y, weights = curve()
    if kind is MachineClassifier:
        y = np.where(y[:, 0] > 0.3, "high", np.where(y[:, 0] < -0.3, "low", "middle"))
        X, y, weights = (np.concatenate([a, b]) for a, b in ((X, X[:1]), (y, np.array(["never"])), (weights, [0.0])))
    fresh = kind((4, 3), max_iter=12, random_state=3, **more)
    whole = weights.astype(int)
    repeated = clone(fresh).fit(np.repeat(X, whole, axis=0), np.repeat(y, whole, axis=0))
    order = np.random.default_rng(5).permutation(len(X))
    shuffled = clone(fresh).fit(X[order], y[order], weights[order])
    kept = weights > 0
    left_out = clone(fresh).fit(X[kept], y[kept], weights[kept])
    weighed = clone(fresh).fit(X, y, weights)
    response = "predict" if kind is MachineRegressor else "predict_proba"
    for other in (repeated, shuffled, left_out):
        assert np.array_equal(getattr(weighed, response)(X), getattr(other, response)(X))
        if kind is MachineClassifier:
            assert list(other.classes_) == ["high", "low", "middle"]
    ones = clone(fresh).fit(X[kept], y[kept])
    assert ones.loss_curve_[0] != pytest.approx(weighed.loss_curve_[0], rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_is_that_of_the_fit(dtype):
    X, y = flowers()
    found = MachineClassifier((4,), random_state=0, tol=1e-3).fit(X.astype(dtype), y)
    for X_there in (X.astype("float32"), X.astype("float64"), X.astype(int)):
        assert found.predict_proba(X_there).dtype == found.decision_function(X_there).dtype == dtype
    assert found.model_.parameters()["0.weight"].dtype == found.model_dtype_ == dtype
    X, y, weights = curve()
    found = MachineRegressor((4,), random_state=0, tol=1e-3).fit(X.astype(dtype), y, weights)
    assert found.predict(X).dtype == dtype
    assert MachineRegressor((4,), tol=1e-3).fit((9 * X).astype(int), y).predict(X).dtype == "float64"


@QUIET
def test_two_classes_several_and_indicators():
    X, y = flowers(2)
    two = MachineClassifier((4,), random_state=0).fit(X, y)
    odds, chances = two.decision_function(X), two.predict_proba(X)
    assert odds.shape == (len(y),)
    np.testing.assert_allclose(np.log(chances[:, 1] / chances[:, 0]), odds, rtol=1e-9)
    np.testing.assert_allclose(np.exp(two.predict_log_proba(X)), chances, rtol=1e-12)
    assert list(two.classes_) == ["a", "b"]
    assert two.score(X, y) == 1.0
    X, y = flowers()
    three = MachineClassifier((4,), random_state=0).fit(X, y)
    np.testing.assert_allclose(three.predict_proba(X).sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.exp(three.predict_log_proba(X)), three.predict_proba(X), rtol=1e-12)
    assert three.score(X, y) > 0.97
    X, y = make_multilabel_classification(60, n_classes=4, random_state=0)
    many = MachineClassifier((4,), random_state=0).fit(X / 10, y)
    assert many.predict(X / 10).shape == many.predict_proba(X / 10).shape == y.shape
    assert np.array_equal(many.predict(X / 10), many.predict_proba(X / 10) > 0.5)
    np.testing.assert_allclose(np.exp(many.predict_log_proba(X / 10)), many.predict_proba(X / 10), rtol=1e-12)
    assert np.mean(many.predict(X / 10) == y) > 0.9


def test_targets_of_any_unit_are_the_same_fit():
    X, y, weights = curve()
    one = MachineRegressor((4,), random_state=0, tol=1e-3).fit(X, y, weights)
    two = MachineRegressor((4,), random_state=0, tol=1e-3).fit(X, 1024.0 * y, weights)
    np.testing.assert_allclose(two.predict(X), 1024.0 * one.predict(X), rtol=1e-9)
    np.testing.assert_allclose(one.predict(X), one.model_(X) * one.target_scale_ + one.target_mean_, rtol=1e-14)
    np.testing.assert_allclose(one.target_mean_, np.average(y, axis=0, weights=weights), rtol=1e-14)
    variances = np.average((y - one.target_mean_) ** 2, axis=0, weights=weights)
    assert one.target_scale_ == pytest.approx(np.sqrt(variances.mean()), rel=1e-14)
    flat = MachineRegressor((4,), random_state=0).fit(X, np.full(len(X), 7.0))
    np.testing.assert_allclose(flat.predict(X), 7.0, atol=1e-2)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_early_stopping_keeps_the_best_on_the_samples_held_out(solver):
    X, y = flowers()
    y = np.where(np.random.default_rng(0).random(len(y)) < 0.3, "a", y)  # labels of which some are noise
    found = MachineClassifier((16,), solver=solver, alpha=0.0, early_stopping=True, n_iter_no_change=5, max_iter=500,
                              learning_rate=0.02, random_state=0).fit(X, y)  # fmt: skip
    losses = found.validation_loss_curve_
    assert len(losses) == len(found.loss_curve_) == found.n_iter_ + 1 < 501
    assert int(np.argmin(losses)) == found.n_iter_ - 5
    assert MachineClassifier((4,), tol=1e-3).fit(X, y).validation_loss_curve_ is None


def test_the_loss_on_the_samples_held_out_is_weighted():
    X, y, weights = curve()
    found = MachineRegressor((4,), early_stopping=True, validation_fraction=0.3, random_state=0).fit(X, y, weights)
    rng = read_generator_of(0)
    start = build_network(read_options(found, 3), 3, 2, "float64", rng)
    kept = weights > 0
    _, held_out = split(merge(X[kept], y[kept], weights[kept]), 0.3, False, rng)
    targets = (held_out.targets - found.target_mean_) / found.target_scale_
    for model, loss in ((start, found.validation_loss_curve_[0]), (found.model_, min(found.validation_loss_curve_))):
        each = 0.5 * np.sum((model(held_out.X) - targets) ** 2, axis=1)
        np.testing.assert_allclose(np.average(each, weights=held_out.weights), loss, rtol=1e-12)
    assert len(set(held_out.weights)) > 1
    X, y = flowers()
    found = MachineClassifier((4,), early_stopping=True, random_state=0).fit(X, y)
    rng = read_generator_of(0)
    start = build_network(read_options(found, 4), 4, 3, "float64", rng)
    _, held_out = split(merge(X, np.eye(3)[np.searchsorted(found.classes_, y)], np.ones(len(y))), 0.1, True, rng)
    loss = mk.losses.softmax_cross_entropy.value(start(held_out.X), held_out.targets, None, held_out.weights)
    np.testing.assert_allclose(loss, found.validation_loss_curve_[0], rtol=1e-12)


def test_samples_that_are_equal_are_merged_and_zero_has_no_sign():
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0], [0.0, 2.0]], dtype="float32")
    merged = merge(X, np.array([[1.0], [1.0], [2.0], [1.0]]), np.array([1.0, 2.0, 4.0, 8.0]))
    assert sorted(merged.weights.tolist()) == [3.0, 4.0, 8.0]
    assert merged.X.dtype == merged.weights.dtype == "float32"
    assert merged.total == 15.0


def test_classes_are_held_out_in_proportion():
    labels = np.repeat([0.0, 1.0, 2.0], [40, 20, 3])[:, None]
    samples = Merged(np.arange(63.0)[:, None], labels, np.ones(63))
    train, test = split(samples, 0.2, True, np.random.default_rng(0))
    assert np.bincount(test.targets[:, 0].astype(int)).tolist() == [8, 4, 1]
    assert sorted([*train.X[:, 0], *test.X[:, 0]]) == list(range(63))
    train, test = split(samples, 0.95, True, np.random.default_rng(0))
    assert len(np.unique(train.targets)) == 3
    assert len(test.X) == 60


def test_adam_ends_where_the_loss_falls_no_more():
    X, y = flowers()
    found = MachineClassifier((4,), solver="adam", batch_size=50, learning_rate=0.02, tol=1e-2, max_iter=400,
                              n_iter_no_change=4, random_state=0).fit(X, y)  # fmt: skip
    curve = np.array(found.loss_curve_[1:])
    before = np.concatenate([[np.inf], np.minimum.accumulate(curve)[:-1]])
    fell = curve < before - 1e-2
    assert 4 < len(fell) < 400
    assert fell[-5:].tolist() == [True, False, False, False, False]
    assert not any(not fell[k : k + 4].any() for k in range(len(fell) - 4))
    assert (curve[-4:] < before[-4:]).any()  # it fell, but by less
    assert found.score(X, y) > 0.9


def test_a_fit_that_has_not_converged_says_so():
    X, y = flowers()
    with pytest.warns(ConvergenceWarning, match="limit of 2 steps"):
        MachineClassifier(max_iter=2).fit(X, y)


@QUIET
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_warm_start_goes_on_where_the_last_fit_ended(dtype):
    X, y = flowers()
    found = MachineClassifier((4,), "tanh", max_iter=5, warm_start=True, random_state=0).fit(X, y)
    before = found.loss_
    found.fit(X.astype(dtype), y)
    assert found.loss_curve_[0] == pytest.approx(before, rel=1e-5 if dtype == "float32" else 1e-14)
    assert found.loss_ < before
    assert found.set_params(warm_start=False).fit(X, y).loss_ == before
    X, y, weights = curve()
    found = MachineRegressor((4,), "tanh", max_iter=5, warm_start=True, random_state=0).fit(X, y, weights)
    before = found.loss_
    assert found.fit(X, y, weights).loss_curve_[0] == pytest.approx(before, rel=1e-14)


@QUIET
def test_random_states_of_every_kind():
    X, y = flowers()

    def fitted(state):
        return MachineClassifier((4,), max_iter=3, random_state=state).fit(X, y).predict_proba(X)

    assert np.array_equal(fitted(1), fitted(1))
    assert np.array_equal(fitted(1), fitted(np.random.RandomState(1)))
    assert np.array_equal(fitted(np.random.default_rng(1)), fitted(np.random.default_rng(1)))
    assert not np.array_equal(fitted(1), fitted(2))
    assert not np.array_equal(fitted(None), fitted(None))
    state = np.random.RandomState(1)
    assert not np.array_equal(fitted(state), fitted(state))


@QUIET
def test_copies_predict_alike():
    X, y = flowers()
    found = MachineClassifier((4,), [mk.leaky_relu(0.1)], max_iter=3, random_state=0).fit(X, y)
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), clone(found).fit(X, y)):
        assert np.array_equal(other.predict_proba(X), found.predict_proba(X))
    assert clone(found).get_params()["hidden"] == (4,)
    assert not hasattr(clone(found), "model_")


@QUIET
def test_pipelines_searches_and_ensembles():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), MachineClassifier((6,), random_state=0, max_iter=50))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.93
    grid = {"machineclassifier__hidden": [(4,), (4, 4)], "machineclassifier__activation": ["tanh", "relu"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.93
    assert search.best_estimator_[-1].hidden in ((4,), (4, 4))
    bag = BaggingClassifier(MachineClassifier((4,), max_iter=30), 3, random_state=0).fit(X, y)
    assert bag.score(X, y) > 0.93
