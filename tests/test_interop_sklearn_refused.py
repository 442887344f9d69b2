"""What a scikit-learn estimator refuses, at fit, and what it says."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.exceptions import NotFittedError

from machinekit.interop.sklearn import MachineClassifier, MachineRegressor

X = np.random.default_rng(0).standard_normal((12, 4))
Y = np.arange(12) % 3
BOTH = pytest.mark.parametrize("kind", [MachineClassifier, MachineRegressor])
QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@BOTH
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"hidden": "32"}, TypeError, "hidden is '32'; pass the units"),
        ({"hidden": None}, TypeError, "hidden is None"),
        ({"hidden": (3, 0)}, ValueError, r"hidden\[1\] is 0; pass at least 1"),
        ({"hidden": (2.5,)}, TypeError, r"hidden\[0\] is 2.5; pass an integer"),
        ({"activation": "rely"}, ValueError, "'rely' is unknown; did you mean 'relu'"),
        ({"activation": 3}, TypeError, "activation"),
        ({"activation": ["relu"]}, ValueError, "activation has 1 entries but hidden 2"),
        ({"alpha": -1.0}, ValueError, "alpha is -1.0; pass a finite number, at least 0"),
        ({"alpha": np.nan}, ValueError, "alpha is nan"),
        ({"alpha": "1"}, TypeError, "alpha is '1'"),
        ({"solver": "adm"}, ValueError, "solver='adm' is unknown; did you mean 'adam'"),
        ({"solver": None}, ValueError, "solver=None is unknown; choose from lbfgs, adam"),
        ({"max_iter": 0}, ValueError, "max_iter is 0"),
        ({"max_iter": 2.0}, TypeError, "max_iter is 2.0"),
        ({"tol": 0.0}, ValueError, "tol is 0.0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate is -1.0"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"batch_size": "auto"}, TypeError, "batch_size is 'auto'"),
        ({"early_stopping": "yes"}, TypeError, "early_stopping is 'yes'; pass True or False"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction is 1.0; pass a number between 0 and 1"),
        ({"validation_fraction": 0.999, "early_stopping": True}, ValueError, "cannot hold out 12 of 12 different"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change is 0"),
        ({"random_state": "x"}, ValueError, "cannot be used to seed"),
        ({"input_shape": (8, 8)}, ValueError, r"input_shape=\(8, 8\) has 64 entries but X has 4 features"),
        ({"input_shape": (2, 0)}, ValueError, r"input_shape\[1\] is 0"),
        ({"input_shape": "22"}, TypeError, "input_shape"),
        ({"input_shape": ()}, ValueError, r"input_shape=\(\)"),
        ({"input_shape": (2, 2, 1, 1)}, ValueError, "make no grid of 1 or 2 axes"),
        ({"input_shape": (2, 2), "kernel_size": (3, 3, 3)}, ValueError, "make no grid of 1 or 2 axes"),
        ({"input_shape": (2, 2), "kernel_size": 0}, ValueError, "kernel_size is 0"),
        ({"input_shape": (2, 2), "kernel_size": (3, "3")}, TypeError, r"kernel_size\[1\] is '3'"),
    ],
)
def test_parameters_are_refused_at_fit(kind, options, error, words):
    estimator = kind(**{"hidden": (2, 2), "max_iter": 400, **options})  # not in __init__
    with pytest.raises(error, match=words):
        estimator.fit(X, Y)
    assert not hasattr(estimator, "model_")


@BOTH
@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(kind, junk):
    dirty, y = X.copy(), Y.astype(float)
    dirty[3, 1] = junk
    y[2] = junk
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        kind().fit(dirty, Y)
    with pytest.raises(ValueError, match=r"(?i)input y contains (nan|infinity)"):
        kind().fit(X, y)
    with pytest.raises(ValueError, match=r"Input sample_weight contains (NaN|infinity)"):
        kind().fit(X, Y, np.where(np.arange(12) == 1, junk, 1.0))


@BOTH
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (-np.ones(12), "sample_weight has negative entries, the least -1"),
        (np.zeros(12), "weights must contain at least one non-zero"),
        (np.ones(11), "sample_weight.shape == "),
        (np.ones((12, 2)), "[Ss]ample.weight"),
    ],
)
def test_weights_are_refused(kind, weights, words):
    with pytest.raises(ValueError, match=words):
        kind().fit(X, Y, weights)


@BOTH
def test_labels_of_the_wrong_shape_are_refused(kind):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        kind().fit(X, Y[:5])
    with pytest.raises(ValueError, match="dim"):
        kind().fit(X, np.ones((12, 2, 2)))


def test_labels_that_are_no_classes_are_refused():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        MachineClassifier().fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"y has shape \(12, 2\) and several classes in a column"):
        MachineClassifier().fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(ValueError, match="y has one class only, 2, among the samples of positive weight"):
        MachineClassifier().fit(X, Y, np.where(Y == 2, 1.0, 0.0))


@QUIET
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": (5,)}, "hidden, input_shape, kernel_size and y now ask for"),
        ({"input_shape": (2, 2)}, "warm_start goes on with the last network"),
    ],
)
def test_a_warm_start_of_another_network_is_refused(change, words):
    for kind in (MachineClassifier, MachineRegressor):
        found = kind((4,), max_iter=2, warm_start=True).fit(X, Y)
        with pytest.raises(ValueError, match=words):
            found.set_params(**change).fit(X, Y)
        with pytest.raises(ValueError, match="X has 3 features, but"):
            found.fit(X[:, :3], Y)


@QUIET
def test_a_warm_start_of_other_targets_is_refused():
    found = MachineClassifier((4,), max_iter=2, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"goes on with the classes \[0 1 2\], but y has \[0 1\]"):
        found.fit(X, Y % 2)
    with pytest.raises(ValueError, match="goes on with the classes"):
        found.fit(X, np.eye(3, dtype=int)[Y])
    found = MachineRegressor((4,), max_iter=2, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="goes on with 1 outputs, but y has 2"):
        found.fit(X, X[:, :2])


def test_a_loss_that_is_not_finite_at_the_start_is_refused():
    with pytest.raises(ValueError, match=r"the loss is nan at the start.*; scale X"):
        MachineRegressor((2,), "square", input_shape=(4,)).fit(1e200 * X, Y)


def test_predictions_need_a_fit():
    for verb in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(MachineClassifier(), verb)(X)
