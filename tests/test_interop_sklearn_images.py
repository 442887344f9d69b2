"""With an input_shape the estimators are convolution machines."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.datasets import load_digits

from machinekit.interop.sklearn import MachineClassifier, MachineRegressor

QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@QUIET
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_images_are_read_by_a_convolution_machine(solver):
    X, y = load_digits(return_X_y=True)
    X, y = X[:60] / 16, y[:60]
    found = MachineClassifier((2, 2), "tanh", input_shape=(8, 8), solver=solver, learning_rate=0.02, batch_size=20,
                              max_iter=25, random_state=0).fit(X, y)  # fmt: skip
    machine, head = found.model_.ops[1], found.model_.ops[-1]
    assert machine.partition.padding == ((1, 1), (1, 1))
    assert found.n_parameters_ == 9 * (1 * 2 + 3 * 2) + 5 + 64 * 5 * 10 + 10
    z = machine(X.reshape(60, 8, 8, 1))
    np.testing.assert_allclose(z.reshape(60, -1) @ head.weight + head.bias, found.decision_function(X), atol=1e-12)
    assert found.score(X, y) > 0.9


@QUIET
@pytest.mark.parametrize(
    ("shape", "kernel", "padding", "channels"),
    [
        ((12,), 3, ((1, 1),), 1),
        (12, 4, ((2, 1),), 1),
        ((6, 2), (3,), ((1, 1),), 2),
        ((6, 2), 3, ((1, 1), (1, 1)), 1),
        ((3, 2, 2), 1, ((0, 0), (0, 0)), 2),
        ((3, 4), (2, 5), ((1, 0), (2, 2)), 1),
    ],
)
def test_shapes_of_series_and_images(shape, kernel, padding, channels):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((10, 12)), rng.standard_normal(10)
    found = MachineRegressor((3,), "tanh", input_shape=shape, kernel_size=kernel, max_iter=2, random_state=0).fit(X, y)
    machine = found.model_.ops[1]
    assert (machine.partition.padding, machine.sizes) == (padding, (channels, 3))
    assert found.predict(X).shape == (10,)
