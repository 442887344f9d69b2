"""The slopes and curvatures that an activation meets on an interval hold, and are attained."""

import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.activations import NAMES, get_activation
from machinekit.smoothness.slope_ranges import curvature_range, slope_range
from machinekit.smoothness.structure import Piece

OWN = {"arctan": Piece(lipschitz=1.0, smoothness=3.0 * math.sqrt(3.0) / 8.0)}
ARCTAN = mk.Activation(np.arctan, lambda y: 1.0 / (1.0 + y * y), name="arctan")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [1, 2])
def test_ranges_on_intervals_hold_and_are_attained(name, order):
    activation, rng = get_activation(name), np.random.default_rng(order)
    low = 3.0 * rng.normal(size=100)
    high = low + 2.0 * rng.exponential(size=100)
    y = low + (high - low) * np.linspace(0.0, 1.0, 4001)[:, None]
    if order == 1:
        least, most = slope_range(activation, low, high)
        met = activation.derivative(y)
        assert (met >= least - 1e-12).all()
        assert (met.min(axis=0) <= least + 5e-3).all()
        assert (met.max(axis=0) >= most - 5e-3).all()
    else:
        least, most = np.zeros(100), curvature_range(activation, low, high)
        met = np.abs(activation.second(y))
        finite = np.isfinite(most)
        assert (met.max(axis=0) >= most - 1e-2)[finite].all()
        kinks = np.array(activation.kinks)[:, None] if activation.smoothness < 1 else np.zeros((0, 1))
        assert np.array_equal(~finite, ((low <= kinks) & (kinks <= high)).any(axis=0)), "infinite where σ′ jumps"
    assert (met <= most + 1e-12).all()


@pytest.mark.parametrize(
    ("name", "least", "most", "bend"),
    [("tanh", 0, 1, 4 / (3 * math.sqrt(3))), ("sigmoid", 0, 0.25, 1 / (6 * math.sqrt(3))), ("elu", 0, 1, 1),
     ("silu", -0.0998393201, 1.0998393201, 0.5),
     ("gelu", -0.1289041452, 1.1289041452, math.sqrt(2 / math.pi)), ("softplus", 0, 1, 0.25), ("sin", -1, 1, 1),
     ("softsign", 0, 1, 2), ("relu", 0, 1, math.inf), ("logsigmoid", 0, 1, 0.25), ("soft_threshold", 0, 1, math.inf),
     ("square", -math.inf, math.inf, 2), ("gelu_tanh", -0.1289930687, 1.1289930687, math.sqrt(2 / math.pi))],
)  # fmt: skip
def test_ranges_on_the_line_are_the_constants_of_the_table(name, least, most, bend):
    activation = get_activation(name)
    found = [float(end) for end in slope_range(activation, -math.inf, math.inf)]
    assert found == pytest.approx([least, most], abs=1e-10)
    assert float(curvature_range(activation, -math.inf, math.inf)) == pytest.approx(bend, abs=1e-10)


def test_slopes_of_an_activation_of_ones_own():
    low, high = np.array([-4.0, -0.1, 0.5, -math.inf]), np.array([4.0, 0.1, 0.5, 0.0])
    least, most = slope_range(ARCTAN, low, high, constants=OWN)
    assert (least[:3] <= 1.0 / (1.0 + np.maximum(np.abs(low), np.abs(high))[:3] ** 2)).all()
    assert most.tolist() == pytest.approx([1.0, 1.0, 0.8, 1.0])
    assert least[1] > 0.98
    assert least[2] == pytest.approx(0.8)
    assert curvature_range(ARCTAN, 0.0, 1.0, constants=OWN) == OWN["arctan"].smoothness
    proximal = mk.Activation(np.arctan, lambda y: 1.0 / (1.0 + y * y), name="mine", prox=lambda x, alpha: x)
    assert [float(end) for end in slope_range(proximal, -1.0, 1.0)] == [0.0, 1.0]
    fake = mk.Activation(
        lambda y: 3.0 * y, lambda y: 0.0 * y + 3.0, name="tanh"
    )  # not what the built-in of this name is
    for activation in (ARCTAN, fake):
        with pytest.raises(ValueError, match="is your own and its slopes are unknown"):
            slope_range(activation, -1.0, 1.0)
    with pytest.raises(ValueError, match=r"low is 1.0 and high is 0.0"):
        slope_range(ARCTAN, 1.0, 0.0)
