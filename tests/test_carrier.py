"""θ goes to a device and back in one copy, and means there what it means on the host."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import backend_of, dtype_name, to_host
from machinekit.training import losses
from machinekit.training.carrier import Carrier
from machinekit.training.layout import Layout

from .helpers import assert_close, assert_equal, tolerance
from .objectives import KINDS, case, penalised, seeds, sizes


def pruned(model, rng):
    """Where it is one machine, without some weights: its live entries are an index, not boxes."""
    return model.prune(rng.random(model.weight.shape) < 0.6) if isinstance(model, mk.DenseMachine) else model


def carried(model, backend):
    layout = Layout(model)
    return layout, Carrier(layout._places, backend)


@pytest.mark.parametrize("kind", KINDS)
@given(sizes=sizes, seed=seeds, bias=st.booleans(), some=st.booleans(), step=st.booleans())
def test_a_carrier_is_the_layout_of_the_host(backend, kind, sizes, seed, bias, some, step):
    """Parameters are those of NumPy, bit for bit, zero where dead; and back."""
    rng = np.random.default_rng(seed)
    model = case(kind, sizes, seed, bias)[0]
    layout, carrier = carried(pruned(model, rng) if some else model, backend)
    theta = rng.standard_normal(layout.size) + (1j * rng.standard_normal(layout.size) if step else 0.0)
    want = layout.unpack(theta)
    got = carrier.unpack(theta, dict.fromkeys(want, "complex128" if step else "float64"))
    assert list(got) == list(want)
    for name, array in got.items():
        assert backend_of(array) == backend
        assert_equal(name, array, want[name])
    back = np.empty_like(theta)
    carrier.pack(got, back)
    assert_equal("theta", back, theta)


def test_every_dtype_has_its_own_copy(backend):
    """Complex and real cotangents side by side, and parameters in single precision."""
    layout, carrier = carried(case("chain", (1, 2), 0)[0], backend)
    theta = np.linspace(-1, 1, layout.size)
    names = list(layout._references)
    words = {name: ("float32", "float64")[k % 2] for k, name in enumerate(names)}
    found = carrier.unpack(theta, words)
    assert {name: dtype_name(array) for name, array in found.items()} == words
    mixed = {name: array * 1j if k == 1 else array for k, (name, array) in enumerate(found.items())}
    back, want = np.zeros(layout.size, complex), np.zeros(layout.size, complex)
    carrier.pack(mixed, back)
    start = 0
    for k, name in enumerate(names):
        count = layout._places[name].count
        part = theta[start : start + count].astype(words[name])
        want[start : start + count] = part * 1j if k == 1 else part
        start += count
    assert_equal("theta", back, want)


def test_parameters_share_no_memory(backend):
    """Those of one vector are new arrays each, and those of a second call are not those of the first."""
    layout, carrier = carried(case("dense", (2,), 0)[0], backend)
    words = dict.fromkeys(layout._references, "float64")
    first = carrier.unpack(np.ones(layout.size), words)
    kept = {name: np.array(to_host(array)) for name, array in first.items()}
    carrier.unpack(np.zeros(layout.size), words)
    for name, array in first.items():
        assert_equal(name, array, kept[name])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_objective_is_the_same_on_every_backend(backend, spec, kind, masked):
    """Value, gradient, Hessian product and minibatch, penalties included."""
    model, inputs, targets, mask = case(kind, (1, 2), 3)
    there = (backend.from_host(inputs), backend.from_host(targets))
    here = mk.Objective(model, "squared_error", inputs, targets, penalised(model), mask if masked else None)
    moved = backend.from_host(mask) if masked else None
    other = mk.Objective(model.to(spec), "squared_error", *there, penalised(model), moved)
    theta, d = here.theta0, np.linspace(-1, 1, here.size)
    assert_equal("theta0", other.theta0, theta)
    for one, two in ((here, other), (here.subset(np.array([2, 0])), other.subset(np.array([2, 0])))):
        for _ in range(2):  # the second evaluation does not look at targets and mask again
            (value, gradient), (found, slope) = one.fun(theta), two.fun(theta)
            assert_close("value", np.asarray(found), value, tolerance("float64", 10 * abs(value)))
            assert_close("gradient", slope, gradient, tolerance("float64", 10 * np.abs(gradient).max()))
        product = one.hessp(theta, d)
        assert_close("hessp", two.hessp(theta, d), product, tolerance("float64", 100 * np.abs(product).max()))


def test_what_was_checked_once_is_checked(backend, spec):
    """The count of the first evaluation serves the others; a subset without a counted sample is still refused."""
    model, inputs, targets, mask = case("dense", (2,), 0)
    mask = np.array([True, False, True])
    move = backend.from_host
    j = mk.Objective(model.to(spec), "squared_error", move(inputs), move(targets), mask=move(mask))
    j.fun(j.theta0)
    assert j.evaluate(j.theta0).count == 2
    assert j.subset(np.array([0, 2, 0])).evaluate(j.theta0).count == 3
    assert j.subset(np.array([1, 2])).evaluate(j.theta0).count == 1
    part = j.subset(np.array([1, 0]))
    part.evaluate(j.theta0)
    assert part.subset(np.array([0, 0, 1])).evaluate(j.theta0).count == 1  # by the mask of the part
    with pytest.raises(ValueError, match="counts none of the 1 samples"):
        j.subset(np.array([1])).fun(j.theta0)
    labels = mk.Objective(model.to(spec), "softmax_cross_entropy", move(inputs), move(np.array([0, 1, 2])))
    with pytest.raises(ValueError, match="labels outside 0 … 1"):
        labels.fun(labels.theta0)


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy", "logistic", "huber"])
def test_a_count_that_is_given_is_believed(loss):
    """What `check` has returned: the same numbers, and the targets are not looked at again."""
    loss, mask = losses.get_loss(loss), np.array([True, False, True])
    p, t = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]]), np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    count = loss.check(p, t, mask)
    assert count == 2
    assert loss.value(p, t, mask, count=count) == loss.value(p, t, mask)
    assert_equal("gradient", loss.gradient(p, t, mask, count=count), loss.gradient(p, t, mask))
    assert_equal("hessp", loss.hessp(p, t, p, mask, count=count), loss.hessp(p, t, p, mask))
    assert loss.value(p, t, mask, count=4) == loss.value(p, t, mask) / 2
    with pytest.raises(ValueError, match="counts none"):
        loss.check(p, t, np.zeros(3, bool))
    if loss is losses.logistic:
        loss.value(p, t + 9, count=3)
        with pytest.raises(ValueError, match="outside"):
            loss.check(p, t + 9)
