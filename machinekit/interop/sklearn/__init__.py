"""Machines as scikit-learn estimators, `MachineClassifier` and `MachineRegressor`."""

try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError as missing:
    if missing.name != "sklearn":
        raise
    raise ImportError(
        "machinekit.interop.sklearn needs scikit-learn; pip install 'machinekit[sklearn]'", name="sklearn"
    ) from None

from .classifier import MachineClassifier
from .regressor import MachineRegressor

__all__ = ["MachineClassifier", "MachineRegressor"]
