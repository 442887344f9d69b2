"""Arguments of equilibrium machines: what is refused and how, learned margins, copies and saved machines."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import machinekit as mk

from .helpers import assert_close, assert_equal


def test_options_that_are_unknown_or_out_of_range_are_refused():
    with pytest.raises(TypeError, match=r"'f_solver' is no option.*did you mean 'solver'"):
        mk.EquilibriumMachine((2,), f_solver="anderson")
    with pytest.raises(ValueError, match=r"solver='andersen' is unknown; did you mean 'anderson'"):
        mk.MonotoneMachine((2,), solver="andersen")
    wrong = {
        ValueError: {"rtol": 0.0, "atol": -1.0, "max_steps": -1, "on_failure": "ignore", "damping": 0.0, "history": 0},
        TypeError: {"rtol": "small", "max_steps": 2.5, "history": 1.5, "atol": None},
    }
    more = [(ValueError, "damping", 1.5), (ValueError, "dual_steps", -1), (ValueError, "dual_solver", "active-set")]
    for error, name, value in [*((e, *pair) for e, pairs in wrong.items() for pair in pairs.items()), *more]:
        with pytest.raises(error, match=name):
            mk.EquilibriumMachine((2,), **{name: value})


def test_activations_that_are_not_proximal_are_refused_by_the_monotone_class():
    for name in ("gelu", "silu", "selu", "sin", "mish", mk.elu(1.5), mk.leaky_relu(2.0)):
        with pytest.raises(ValueError, match=r"not known to be a proximal operator"):
            mk.MonotoneMachine((2,), name)
        with pytest.raises(ValueError, match=r"needs proximal activations"):
            mk.EquilibriumMachine((2,), name, solver="peaceman-rachford")
        mk.EquilibriumMachine((2,), name, rng=0)(np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"active-set.*linear pieces.*tanh"):
        mk.MonotoneMachine((2,), "tanh", solver="active-set")


def test_margins_and_factors_are_checked():
    square = np.eye(2)
    for margin in (0.0, -0.1, float("nan"), [0.1, 0.0]):
        with pytest.raises(ValueError, match=r"margin is .*above 0"):
            mk.MonotoneMachine((1, 1), margin=margin)
    with pytest.raises(ValueError, match=r"margin has shape \(3,\); pass a number, or one per block, shape \(2,\)"):
        mk.MonotoneMachine((1, 1), margin=[0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match=r"A has shape \(2, 3\)"):
        mk.MonotoneMachine((2,), A=np.ones((2, 3)))
    with pytest.raises(TypeError, match=r"float32"):
        mk.MonotoneMachine((2,), A=square, B=square.astype("float32"))
    with pytest.raises(TypeError, match=r"integer|int64"):
        mk.MonotoneMachine((2,), A=np.eye(2, dtype=int))
    with pytest.raises(TypeError, match=r"dtype='float32'"):
        mk.MonotoneMachine((2,), A=square, dtype="float32")
    m = mk.MonotoneMachine((2,), A=square, learn_margin=True)
    with pytest.raises(ValueError, match=r"above 0"):
        m.replace(margin=np.asarray(-1.0))
    with pytest.raises(TypeError, match=r"margin and raw_margin"):
        m.replace(margin=np.asarray(1.0), raw_margin=np.asarray(1.0))
    with pytest.raises(TypeError, match=r"'C' is no parameter"):
        m.replace(C=square)


def test_machines_describe_what_they_solve_and_how():
    m = mk.MonotoneMachine((2, 1), margin=[0.1, 2.0], learn_margin=True, rng=0, dual_steps=2, rtol=1e-4)
    text = m.describe()
    for words in (
        "5 live entries of A, 5 live entries of B", "margin       0.1, 2, learned",
        "solver auto, dual auto, rtol 0.0001", "stopped after 2 steps", "blocks 0–1 feed back into themselves",
    ):  # fmt: skip
        assert words in text, text
    assert "nothing: no block feeds itself" in mk.EquilibriumMachine((0, 0)).describe()


def test_learned_margins_stay_above_zero():
    m = mk.MonotoneMachine((2, 1), margin=[0.1, 2.0], learn_margin=True, rng=0)
    assert_close("m", m.margin, [0.1, 2.0], 1e-14)
    assert_close("softplus of it", np.log1p(np.exp(m.raw_margin)), [0.1, 2.0], 1e-14)
    down = m.replace(raw_margin=m.raw_margin - 30.0)
    assert (down.margin > 0).all()
    assert "raw_margin" in m.parameters()
    assert "raw_margin" not in mk.MonotoneMachine((2,), rng=0).parameters()
    assert {"A", "B", "margin"} <= set(m.pullback(m.solve(np.ones((1, 3))), np.ones((1, 3))).parameters)


@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.copy, copy.deepcopy])
def test_copies_and_saved_machines_solve_alike(copied, tmp_path):
    y0 = np.random.default_rng(0).standard_normal((3, 4, 4))
    for m in (
        mk.MonotoneMachine(
            (2, 2), "tanh", rng=0, bias=True, padding=((1, 1),), tiers=True, learn_margin=True, rtol=1e-9
        ),
        mk.EquilibriumMachine((2, 2), "tanh", rng=0, padding=((1, 0),), solver="anderson"),
    ):
        state = m.solve(y0)
        again = copied(m)
        assert_equal("copy", again.solve(y0).z, state.z)
        mk.save(tmp_path / "m.npz", m)
        loaded = mk.load(tmp_path / "m.npz")
        assert loaded.options == m.options
        assert type(loaded) is type(m)
        assert_equal("saved", loaded.solve(y0).z, state.z)
        dual = m.dual(state)
        mk.save(tmp_path / "d.npz", dual)
        assert_close("dual", mk.load(tmp_path / "d.npz").solve(y0).z, dual.solve(y0).z, 1e-4)
        pickle.loads(pickle.dumps(state.info)).error_bound  # noqa: B018


def test_threads_share_a_machine():
    """Eight at once, each bitwise what it is alone: operators, step sizes and factorisations are made on the way."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((8, 5, 7))

    def run(m, y0):
        state = m.solve(y0)
        return state.z, m.pullback(state, y0).parameters["A"]

    for options in ({}, {"padding": ((1, 0),)}):
        m = mk.MonotoneMachine((4, 3), "relu", rng=1, margin=0.3, **options)
        shaped = inputs[..., None, :] * np.ones((6, 1)) if options else inputs
        alone = [run(pickle.loads(pickle.dumps(m)), y0) for y0 in shaped]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda y0, m=m: run(m, y0), shaped))
        for one, other in zip(alone, together, strict=True):
            assert_equal("z", other[0], one[0])
            assert_equal("Ā", other[1], one[1])


def test_operators_of_many_grids_are_dropped_and_made_again():
    """Each grid has a factorisation of its own; a machine that meets images of any size does not keep them all."""
    m = mk.MonotoneMachine((2, 1), "relu", rng=0, padding=((1, 0),))
    inputs = [np.random.default_rng(n).standard_normal((2, n, 3)) for n in range(3, 33)]
    first = [m.solve(y0) for y0 in inputs]
    for y0, state in zip(inputs, first, strict=True):
        m.pullback(state, y0)
        assert_close("again", m.solve(y0).z, state.z, 1e-12, y0.shape)
    for blocks in (m._blocks, m._mirrored._blocks):
        assert len(blocks._operators) <= 8 * len(m.sizes)
