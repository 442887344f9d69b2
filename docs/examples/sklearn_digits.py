"""Digits: machines as scikit-learn estimators against its MLPs of equal numbers of live parameters, and their times.

Stratified halves, seeds 0, 1 and 2, for the split and for the initial weights alike. A dense machine has two hidden
blocks of 32 units, all options as they are by default; a convolution machine, in single precision, has two of 6
channels with 3 × 3 kernels. For each, MLPs of one and of two equal hidden layers with at least as many parameters, in
the same precision, all other options as they are by default.
"""

import time
import warnings
from functools import partial
from itertools import pairwise

import numpy as np

try:
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
except ModuleNotFoundError:
    raise SystemExit("the digits are those of scikit-learn; run: pip install 'machinekit[sklearn]'") from None

from machinekit.interop.sklearn import MachineClassifier

SEEDS = (0, 1, 2)
pixels, digit = load_digits(return_X_y=True)
pixels /= 16


def parameters(layers):
    widths = (64, *layers, 10)
    return sum((a + 1) * b for a, b in pairwise(widths))


def at_least(count, depth):
    """Return the equal layers of the least MLP that has so many parameters."""
    return next((k,) * depth for k in range(1, 1000) if parameters((k,) * depth) >= count)


def measure(make, dtype):
    """Return the accuracy of every seed, the mean seconds of a fit, and the last estimator."""
    scores, seconds = [], []
    for seed in SEEDS:
        train, test, train_digit, test_digit = train_test_split(
            pixels.astype(dtype), digit, test_size=0.5, stratify=digit, random_state=seed
        )
        estimator, began = make(seed), time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # MLPs end at their limit of 200 passes
            estimator.fit(train, train_digit)
        seconds.append(time.perf_counter() - began)
        scores.append(estimator.score(test, test_digit))
    return np.array(scores), float(np.mean(seconds)), estimator


def make_machine(options, seed):
    return MachineClassifier(**options, random_state=seed)


def make_mlp(layers, seed):
    return MLPClassifier(layers, random_state=seed)


def tell(name, count, scores, ratio):
    each = ", ".join(f"{score:.4f}" for score in scores)
    print(f"{name:20s} {count:6d}  {scores.mean():.4f}  ({each})  {ratio:6.2f}")


measure(lambda seed: MLPClassifier((4,), max_iter=2, random_state=seed), "float64")  # warm
print("parameters, test digits read rightly (of each seed), time of a fit over that of the machine")
machines = {
    "dense machine": ("float64", {}),
    "convolution machine": (
        "float32",
        {"hidden": (6, 6), "activation": "tanh", "input_shape": (8, 8), "tol": 1e-4},
    ),
}
for name, (dtype, options) in machines.items():
    scores, seconds, machine = measure(partial(make_machine, options), dtype)
    tell(name, machine.n_parameters_, scores, 1.0)
    for depth in (1, 2):
        layers = at_least(machine.n_parameters_, depth)
        others, spent, _ = measure(partial(make_mlp, layers), dtype)
        tell(f"  MLP {layers}", parameters(layers), others, spent / seconds)
        assert parameters(layers) >= machine.n_parameters_
        assert scores.mean() >= others.mean() - 0.002  # two digits of 899: another processor rounds otherwise
