"""The proximal operator of a smooth activation of one's own, from its slope: equation, safeguard, saving."""

from __future__ import annotations

import dataclasses
import math
import pickle
from functools import partial

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import get_activation, scalar_prox
from machinekit.arrays import namespace

from .helpers import assert_close, tolerance
from .minimisers import GRID, apply, bisected, size

PROXIMAL = {name: get_activation(name) for name in ("tanh", "softplus", "elu", "softsign", "sigmoid")}


def arctan(y):
    return namespace(y).atan(y) if hasattr(namespace(y), "atan") else namespace(y).arctan(y)


def arctan_slope(y):
    return 1.0 / (1.0 + y * y)


def waves(y, bend=0.49):
    return 0.5 * y + bend * namespace(y).sin(y)


def waves_slope(y, bend=0.49):
    return 0.5 + bend * namespace(y).cos(y)


OWN = {
    "arctan": (arctan, arctan_slope, 1.0),
    "waves": (waves, waves_slope, 0.99),
    "steep waves": (partial(waves, bend=0.5), partial(waves_slope, bend=0.5), 1.0),
    **{n: (PROXIMAL[n].value, PROXIMAL[n].derivative, 1.0) for n in ("tanh", "softplus", "elu", "softsign")},
    "sigmoid": (PROXIMAL["sigmoid"].value, PROXIMAL["sigmoid"].derivative, 0.25),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("alpha", [2.0**-6, 0.5, 1.0, 2.0, 2.0**6])
@pytest.mark.parametrize("name", OWN)
def test_the_proximal_operator_of_an_own_activation_is_made_from_its_slope(backend, name, alpha, dtype):
    """Waves too, on which a plain Newton iteration runs in circles."""
    value, derivative, steepest = OWN[name]
    x = GRID.astype(dtype)
    got = apply(scalar_prox(value, derivative, steepest), backend, x, alpha)
    assert got.dtype == dtype
    want, p = bisected(mk.Activation(value, derivative), x.astype("float64"), alpha)
    assert_close(name, got, want, size(x, want, p, alpha, dtype), alpha, x)


def test_plain_newton_steps_would_not_do():
    """The waves do need the safeguard."""
    x, alpha = GRID, 2.0**-6
    p = x.copy()
    for _ in range(200):
        p -= ((1 - alpha) * waves(p) + alpha * p - x) / ((1 - alpha) * waves_slope(p) + alpha)
    assert np.any(np.abs((1 - alpha) * waves(p) + alpha * p - x) > 1e-3)


@pytest.mark.parametrize("name", ["arctan", "waves", "sigmoid"])
def test_an_own_proximal_operator_obeys_the_laws_and_can_be_pickled(name):
    value, derivative, steepest = OWN[name]
    own = mk.Activation(value, derivative, name=name, prox=scalar_prox(value, derivative, steepest))
    again = pickle.loads(pickle.dumps(own))
    for a in (own, again):
        report = mk.testing.check_activation(a, rng=3)
        assert sum("proximal operator" in f.law and f.checked for f in report.findings) > 20
    assert again.prox == own.prox


def evaluations(value, derivative, alpha, steepest=1.0, dtype="float64"):
    """How often σ is evaluated, for all numbers of the grid at once."""
    count = 0

    def counted(y):
        nonlocal count
        count += 1
        return value(y)

    scalar_prox(counted, derivative, steepest)(GRID.astype(dtype), alpha)
    return count


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("alpha", "most"),
    [(1e-3, 13), (2.0**-6, 11), (0.25, 9), (0.5, 8), (1.0, 1), (2.0, 8), (4.0, 9), (2.0**6, 11), (1e3, 13)],
)
@pytest.mark.parametrize("name", ["arctan", "tanh", "softplus", "elu", "softsign"])
def test_the_number_of_evaluations_is_small(name, alpha, most, dtype):
    """Also where rounding leaves an excess that nothing can reduce."""
    assert evaluations(*OWN[name][:2], alpha, dtype=dtype) <= most


def test_a_slope_that_is_steepest_up_to_rounding_costs_nothing():
    """Its Newton step is exact: clipped, it does not count as leaving the bounds."""
    assert evaluations(lambda y: 0.5 * y, lambda y: np.full_like(y, 0.5 * (1 + 1e-15)), 0.25, 0.5) <= 3


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_a_value_that_is_its_argument_shares_no_memory_with_the_result(alpha):
    x = np.array([1.0, -2.0])
    s = scalar_prox(lambda y: y, np.ones_like)(x, alpha)
    assert not np.shares_memory(s, x)
    assert np.array_equal(s, x)


def test_a_slope_without_complex_formula_is_enough_for_real_numbers():
    own = mk.Activation(np.tanh)
    prox = scalar_prox(own.value, own.derivative)
    assert_close("tanh", prox(GRID, 0.5), PROXIMAL["tanh"].prox(GRID, 0.5), tolerance("float64", 1 + np.abs(GRID)))
    with pytest.raises(mk.DerivativeError, match=r"'tanh' has no formula for its derivative at complex points"):
        prox(GRID + 1e-20j, 0.5)
    findings = mk.testing.check_activation(dataclasses.replace(own, prox=prox), rng=0).findings
    assert any("complex step" in f.law and "proximal" in f.law and not f.checked for f in findings)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [((np.tanh, None), TypeError, "derivative is None"), ((3, np.cos), TypeError, "value is 3"),
     ((np.sinh, np.cosh, 2.0), ValueError, "steepest is 2.0"), ((np.sinh, np.cosh, 0.0), ValueError, "steepest is 0.0"),
     ((np.sinh, np.cosh, math.nan), ValueError, "steepest is nan")],
)  # fmt: skip
def test_bad_arguments_of_scalar_prox_are_named(arguments, kind, words):
    with pytest.raises(kind, match=words):
        scalar_prox(*arguments)


def test_another_proximal_operator_is_saved_as_an_activation_of_its_own(tmp_path):
    """It would be lost if the name alone were stored."""
    own = dataclasses.replace(get_activation("tanh"), prox=scalar_prox(np.tanh, PROXIMAL["tanh"].derivative))
    path = tmp_path / "machine.npz"
    mk.save(path, mk.DenseMachine((2, 3), own, rng=0))
    with pytest.raises(ValueError, match="tanh"):
        mk.load(path)
    assert mk.load(path, activations={"tanh": own}).activation.prox is own.prox
