"""A penalty is the quadratic form that it says, with exact derivatives, and dead taps have no neighbours."""

import itertools
import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.training import penalties

STEP = 2.0**-70
DEVICE = strict.Device("device1")
kernels = st.lists(st.integers(1, 4), max_size=2).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def draw(kernel, seed):
    rng = np.random.default_rng(seed)
    shape = (*kernel, 2, 3)
    params = {"weight": rng.standard_normal(shape), "bias": rng.standard_normal(3)}
    along = {name: rng.standard_normal(array.shape) for name, array in params.items()}
    for array in (*params.values(), *along.values()):
        array.flags.writeable = False
    return params, along, {"weight": rng.random(shape) < 0.7}


def close(a, b, scale):
    assert abs(a - b) <= 64 * 2.0**-52 * scale, f"{a} and {b} at scale {scale}"


def rough(w, live, strength):
    """Sum over pairs of neighbouring taps, one entry at a time."""
    found = 0.0
    for place in itertools.product(*map(range, w.shape)):
        for axis in range(w.ndim - 2):
            if place[axis] + 1 < w.shape[axis]:
                after = (*place[:axis], place[axis] + 1, *place[axis + 1 :])
                if live[place] and live[after]:
                    found += (w[after] - w[place]) ** 2
    return 0.5 * strength * found


@given(kernel=kernels, seed=seeds, strength=st.sampled_from([0.0, 0.5, 3.0]))
@settings(deadline=None)
def test_values_are_those_of_the_definition(kernel, seed, strength):
    params, _, masks = draw(kernel, seed)
    w = params["weight"]
    size = 8 * strength * float(np.sum(w * w))
    close(penalties.l2(strength).value(params), 0.5 * strength * float(np.sum(w * w)), size)
    everywhere = np.ones(w.shape, dtype=bool)
    smooth = penalties.lag_smoothness(strength)
    close(smooth.value(params), rough(w, everywhere, strength), size)
    close(smooth.bind(masks).value(params), rough(w, masks["weight"], strength), size)


PENALTIES = (penalties.l2(0.5), penalties.l2(2.0, names=("bias",)), penalties.lag_smoothness(0.75))


@pytest.mark.parametrize("penalty", PENALTIES)
@given(kernel=kernels, seed=seeds, bound=st.booleans())
@settings(deadline=None)
def test_gradient_and_hessp_are_complex_steps(penalty, kernel, seed, bound):
    params, along, masks = draw(kernel, seed)
    penalty = penalty.bind(masks) if bound else penalty
    bent = {name: params[name] + 1j * STEP * along[name] for name in params}
    gradient, product = penalty.gradient(params), penalty.hessp(params, along)
    scale = 8 * penalty.strength * sum(float(np.sum(np.abs(p)) * np.sum(np.abs(along[n]))) for n, p in params.items())
    slope = sum(float(np.sum(gradient[name] * along[name])) for name in params)
    close(slope, penalty.value(bent).imag / STEP, scale)
    for name, stepped in penalty.gradient(bent).items():
        for a, b in zip(product[name].ravel(), (stepped.imag / STEP).ravel(), strict=True):
            close(a, b, scale + 8 * penalty.strength * float(np.sum(np.abs(along[name]))))


def test_biases_are_not_penalised_by_default():
    params = {"0.weight": np.full((1, 1), 2.0), "0.bias": np.full(1, 4.0), "reweight": np.full((1, 1), 8.0)}
    gradient = penalties.l2(1.0).gradient(params)
    assert {name: float(array.sum()) for name, array in gradient.items()} == {"0.weight": 2, "0.bias": 0, "reweight": 0}
    assert penalties.l2(1.0).value(params) == 2.0
    assert penalties.l2(1.0, "bias").value(params) == 8.0
    assert penalties.l2(1.0, ["0.bias", "reweight"]).value(params) == 40.0


def test_a_smooth_kernel_costs_nothing_and_a_rough_one_does():
    flat, spiky = np.ones((3, 2, 1, 1)), np.zeros((3, 2, 1, 1))
    spiky[1, 0] = 1.0
    penalty = penalties.lag_smoothness(2.0)
    assert penalty.value({"weight": flat}) == 0.0
    assert penalty.value({"weight": spiky}) == 3.0  # two neighbours along the first axis, one along the second
    assert penalty.value({"weight": np.ones((2, 2))}) == 0.0


def test_the_dead_part_of_a_recurrent_kernel_is_no_neighbour():
    machine = mk.RecurrentMachine((2,), memory=2, weight=np.ones((3, 2, 2)))
    penalty = penalties.lag_smoothness(1.0)
    assert penalty.value(machine.parameters()) == 2.0  # lag 0 is dead: zeros beside ones
    assert penalty.bind(machine.live_masks()).value(machine.parameters()) == 0.0


@given(kernel=kernels, seed=seeds)
@settings(deadline=None)
def test_gradient_is_zero_on_dead_entries(kernel, seed):
    params, along, masks = draw(kernel, seed)
    penalty = penalties.lag_smoothness(1.0).bind(masks)
    assert not penalty.gradient(params)["weight"][~masks["weight"]].any()
    assert not penalty.hessp(params, along)["weight"][~masks["weight"]].any()


def test_binding_copies_the_masks():
    masks = {"weight": np.ones((2, 1, 1), dtype=bool)}
    penalty = penalties.lag_smoothness(2.0).bind(masks)
    masks["weight"][...] = False
    assert penalty.value({"weight": np.array([1.0, 2.0]).reshape(2, 1, 1)}) == 1.0


@pytest.mark.parametrize("penalty", PENALTIES)
def test_dtype_library_and_device_are_those_of_the_parameters(penalty):
    params, _, masks = draw((2, 3), 0)
    penalty = penalty.bind(masks)
    single = {name: array.astype("float32") for name, array in params.items()}
    assert {array.dtype.name for array in penalty.gradient(single).values()} == {"float32"}
    assert type(penalty.value(single)) is float
    there = {name: strict.asarray(array, device=DEVICE, copy=True) for name, array in params.items()}
    assert penalty.value(there) == penalty.value(params)
    for name, array in penalty.gradient(there).items():
        assert array.device == DEVICE
        assert np.array_equal(to_host(array), penalty.gradient(params)[name])


@pytest.mark.parametrize("penalty", PENALTIES)
def test_results_share_no_memory_with_the_parameters(penalty):
    params, along, _ = draw((2,), 0)
    for name, array in {**penalty.gradient(params), **penalty.hessp(params, along)}.items():
        assert not np.shares_memory(array, params[name])
        assert not np.shares_memory(array, along[name])


def test_a_missing_direction_is_zero_and_a_wrong_one_refused():
    params, along, _ = draw((2,), 0)
    product = penalties.l2(1.0, ("weight", "bias")).hessp(params, {"bias": along["bias"]})
    assert not product["weight"].any()
    assert np.array_equal(product["bias"], along["bias"])
    with pytest.raises(ValueError, match=r"d\['bias'\] has shape \(2,\); pass \(3,\)"):
        penalties.l2(1.0).hessp(params, {"bias": np.ones(2)})


@pytest.mark.parametrize("make", [penalties.l2, penalties.lag_smoothness])
def test_arguments_are_checked(make):
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="strength is"):
            make(bad)
    for bad in ("1", None, True):
        with pytest.raises(TypeError, match="strength is"):
            make(bad)
    with pytest.raises(TypeError, match="names is"):
        make(1.0, names=(1,))
    with pytest.raises(ValueError, match="'wieght', which selects no parameter; did you mean 'weight'"):
        make(1.0, names=("wieght",)).value({"weight": np.ones((1, 1))})
    with pytest.raises(ValueError, match="bind the model's own"):
        penalties.lag_smoothness(1.0).bind({"weight": np.ones((3, 1, 1), bool)}).value({"weight": np.ones((2, 1, 1))})
