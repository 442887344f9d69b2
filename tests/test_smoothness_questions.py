"""What cannot be bounded is refused, with both values and the remedy, before any work."""

import numpy as np
import pytest

import machinekit as mk
from machinekit.smoothness import bounds

TANH = mk.Pointwise("tanh")
M = mk.DenseMachine((1, 1), bias=True, rng=0)
NET = mk.Chain([mk.Affine(2, 2, rng=0), TANH])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bounds(NET, input_bound=1), TypeError, "radius is missing.*'0'"),
        (lambda: bounds(NET, radius={}, input_bound=1), TypeError, "no entry for '0'"),
        (lambda: bounds(NET, radius={"1": 1}, input_bound=1), ValueError, "'1', which is no op with parameters"),
        (lambda: bounds(NET, radius=-1, input_bound=1), ValueError, "radius is -1"),
        (lambda: bounds(NET, radius="1", input_bound=1), TypeError, "radius is '1'"),
        (lambda: bounds(NET, radius=1), TypeError, "input_bound is missing"),
        (lambda: bounds(NET, radius=1, input_bound=(1, 2)), ValueError, "2 numbers for 1 inputs"),
        (lambda: bounds(NET, radius=1, input_bound=1, of="7"), ValueError, "of is '7'"),
        (lambda: bounds(NET, radius=1, input_bound=1, which="all"), ValueError, "which is 'all'"),
        (lambda: bounds(NET, radius=1, input_bound=1, block_radius=1), TypeError, "block_radius is for machines"),
        (lambda: bounds(NET, radius=1, input_bound=1, grid=(2,)), TypeError, "grid is for machines"),
        (lambda: bounds(mk.Chain([TANH]), input_bound=1), TypeError, "shape is missing"),
        (lambda: bounds(mk.Chain([TANH]), input_bound=1, at=np.zeros(2), shape=(2,)), TypeError, "which tells them"),
        (lambda: bounds(mk.Softmax(), input_bound=1, at=np.zeros(2)), TypeError, "machines and chains of Affine"),
        (lambda: bounds(3, radius=1, input_bound=1), TypeError, "model is 3"),
        (
            lambda: bounds(mk.Affine(2, 2, weight=np.eye(2) * 1j), radius=1, input_bound=1),
            TypeError,
            "weight of the model is complex128; .* real arrays",
        ),
        (lambda: bounds(mk.Chain([lambda x: x]), input_bound=1, shape=(2,)), TypeError, "op '0'.*register"),
        (lambda: bounds(M, input_bound=1), TypeError, "radius and block_radius .* are missing"),
        (lambda: bounds(M, radius=1, block_radius=1, input_bound=1), TypeError, "are both"),
        (lambda: bounds(M, block_radius=1, input_bound=1), TypeError, "bias_radius .* is missing"),
        (lambda: bounds(M, radius=1, bias_radius=1, input_bound=1), TypeError, "bias_radius is given with radius"),
        (lambda: bounds(M, radius=1), TypeError, "input_bound and start_bound are missing"),
        (lambda: bounds(M, radius=1, input_bound=(1,)), ValueError, "1 numbers for 2 blocks"),
        (lambda: bounds(M, radius=1, input_bound=1, grid=(3,)), ValueError, r"grid is \(3,\)"),
        (lambda: bounds(M, radius=1, input_bound=1, shape=(3,)), TypeError, "pass grid"),
        (lambda: bounds(M, block_radius=np.ones(2), bias_radius=1, input_bound=1), ValueError, r"shape \(2,\)"),
        (
            lambda: bounds(mk.DenseMachine((1, 1), rng=0), block_radius=1, bias_radius=1, input_bound=1),
            ValueError,
            "has no bias",
        ),
    ],
)
def test_bad_questions_are_refused_with_a_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_what_is_of_infinite_depth_is_refused():
    with pytest.raises(ValueError, match=r"infinite depth.*use smoothness\.equilibrium_bound"):
        bounds(mk.EquilibriumMachine((2,), rng=0), radius=1, input_bound=1)
    loop = mk.Hypergraph({"h": 1}, [mk.Edge("f", mk.Affine(1, 1, rng=0), "h -> h")], "h -> h", cycles=mk.Equilibrium())
    with pytest.raises(mk.CycleError, match="cycle through f"):
        bounds(loop, radius=1, input_bound=1)
