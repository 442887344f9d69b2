"""scikit-learn's own checker finds nothing wrong: no expected failures."""

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from machinekit.interop.sklearn import MachineClassifier, MachineRegressor

# both are ours or the checker's: fits of the checks end at max_iter, and pandas may not be there
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]
ESTIMATORS = [
    MachineClassifier(),
    MachineRegressor(),
    MachineClassifier((8,), "tanh", early_stopping=True),
    MachineRegressor((8,), solver="adam", learning_rate=0.03, max_iter=60),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)


def test_check_estimator_passes():
    check_estimator(MachineClassifier((8,), "tanh", max_iter=30))
    check_estimator(MachineRegressor((8,), "tanh", max_iter=30))
