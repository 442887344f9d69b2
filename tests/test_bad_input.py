"""What is wrong is refused before any work: the type of the error, the argument, both values and a remedy."""

from __future__ import annotations

import re

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_equal

W = np.ones((3, 3))
RECURRENT = {"memory": 2}
GRID = {"padding": ((1, 0), (0, 1))}


def dense(**k):
    return mk.DenseMachine((1, 2), **k)


CONSTRUCTORS = {
    "no sizes": (lambda: mk.DenseMachine(()), ValueError, ["sizes is empty", "(2, 3, 3)"]),
    "negative size": (lambda: mk.DenseMachine((2, -1)), ValueError, ["sizes[1]", "-1", "at least 0"]),
    "fractional size": (lambda: mk.DenseMachine((2, 1.5)), TypeError, ["sizes[1]", "1.5", "integer"]),
    "sizes a number": (lambda: mk.DenseMachine(3), TypeError, ["sizes is 3", "(2, 3, 3)"]),
    "sizes a word": (lambda: mk.DenseMachine("23"), TypeError, ["sizes is '23'", "sequence"]),
    "no padding": (lambda: mk.ConvMachine((1,), padding=()), ValueError, ["padding is empty", "DenseMachine"]),
    "padding a number": (lambda: mk.ConvMachine((1,), padding=1), TypeError, ["padding is 1", "((1, 1),)"]),
    "padding a pair": (lambda: mk.ConvMachine((1,), padding=(1, 1)), TypeError, ["padding[0] is 1", "(1, 1)"]),
    "padding a triple": (
        lambda: mk.ConvMachine((1,), padding=((1, 1, 1),)),
        ValueError,
        ["padding[0]", "(1, 1, 1)", "pair"],
    ),
    "negative padding": (
        lambda: mk.ConvMachine((1,), padding=((0, -2),)),
        ValueError,
        ["padding[0][1]", "-2", "at least 0"],
    ),
    "negative memory": (lambda: mk.RecurrentMachine((1,), memory=-1), ValueError, ["memory", "-1", "at least 0"]),
    "fractional memory": (lambda: mk.RecurrentMachine((1,), memory=0.5), TypeError, ["memory is 0.5", "integer"]),
    "time_block 0": (
        lambda: mk.RecurrentMachine((1,), time_block=0, **RECURRENT),
        ValueError,
        ["time_block", "0", "at least 1"],
    ),
    "time_block word": (
        lambda: mk.RecurrentMachine((1,), time_block="2", **RECURRENT),
        TypeError,
        ["time_block", "'2'"],
    ),
    "time_blocks": (
        lambda: mk.GridMachine((1,), scan=(0,), time_block=(1, 2), **GRID),
        ValueError,
        ["time_block has 2", "1 scanned"],
    ),
    "a time_block 0": (
        lambda: mk.GridMachine((1,), scan=(0, 1), time_block=(1, 0), **GRID),
        ValueError,
        ["time_block", "0"],
    ),
    "scan beyond": (lambda: mk.GridMachine((1,), scan=(2,), **GRID), ValueError, ["scan is (2,)", "0 to 1"]),
    "scan twice": (lambda: mk.GridMachine((1,), scan=(1, 1), **GRID), ValueError, ["scan is (1, 1)", "once"]),
    "scan negative": (lambda: mk.GridMachine((1,), scan=(-1,), **GRID), ValueError, ["scan", "-1"]),
    "scan a number": (lambda: mk.GridMachine((1,), scan=0, **GRID), TypeError, ["scan is 0", "(0,)"]),
    "reverse unscanned": (
        lambda: mk.GridMachine((1,), scan=(0,), reverse=(1,), **GRID),
        ValueError,
        ["reverse", "axis 1", "(0,)", "-1"],
    ),
    "reverse far": (lambda: mk.GridMachine((1,), scan=(0,), reverse=(-2,), **GRID), ValueError, ["reverse", "-2"]),
    "reverse a number": (
        lambda: mk.RecurrentMachine((1,), reverse=0, **RECURRENT),
        TypeError,
        ["reverse is 0", "(0,)"],
    ),
    "reverse None": (lambda: mk.RecurrentMachine((1,), reverse=None, **RECURRENT), TypeError, ["reverse is None"]),
    "weight shape": (lambda: dense(weight=np.ones((3, 4))), ValueError, ["weight", "(3, 4)", "(1, 2)", "(3, 3)"]),
    "weight without lags": (
        lambda: mk.ConvMachine((1, 2), padding=((1, 0),), weight=W),
        ValueError,
        ["weight", "(3, 3)", "(2, 3, 3)"],
    ),
    "bias shape": (lambda: dense(bias=np.ones(2)), ValueError, ["bias", "(2,)", "(3,)"]),
    "bias None": (lambda: dense(bias=None), TypeError, ["bias", "None"]),
    "bias a number": (lambda: dense(bias=1.0), TypeError, ["bias is a float", "array"]),
    "activation": (lambda: mk.DenseMachine((1, 2), "sigmod"), ValueError, ["activation='sigmod'", "'sigmoid'"]),
    "Diagonal channels": (
        lambda: mk.DenseMachine((1, 2), mk.Diagonal(np.ones(2))),
        ValueError,
        ["Diagonal has 2 channels", "3"],
    ),
    "rng": (lambda: dense(rng="seed"), TypeError, ["rng is 'seed'"]),
    "negative rng": (lambda: dense(rng=-1), ValueError, ["rng", "-1"]),
    "backend": (lambda: dense(backend="numpi"), ValueError, ["backend='numpi'", "'numpy'"]),
    "dtype": (lambda: dense(dtype="flota32"), TypeError, ["dtype='flota32'", "'float32'"]),
}


@pytest.mark.parametrize("what", CONSTRUCTORS)
def test_constructors_refuse(what):
    """Each wrong argument by name, with what was given and what is wanted."""
    call, kind, words = CONSTRUCTORS[what]
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value), str(caught.value)


METHODS = {
    "solve inside a block": (
        lambda a: a.m.solve(a.put(2, 2)),
        ValueError,
        ["y0 has 2 channels", "(1, 2)", "[0, 1, 3]"],
    ),
    "solve too many": (lambda a: a.m.solve(a.put(2, 4)), ValueError, ["y0 has 4 channels", "(1, 2)"]),
    "solve z0 inside": (lambda a: a.m.solve(a.put(2, 3), a.put(2, 2)), ValueError, ["z0 has 2 channels"]),
    "solve batches": (lambda a: a.m.solve(a.put(2, 3), a.put(4, 3)), ValueError, ["z0", "(4,)", "y0", "(2,)", "equal"]),
    "solve broadcast": (lambda a: a.m.solve(a.put(2, 3), a.put(1, 3)), ValueError, ["z0", "(1,)", "(2,)", "broadcast"]),
    "solve nothing": (lambda a: a.m.solve(None), ValueError, ["y0 and z0 are all None", "at least one"]),
    "solve 0-d": (lambda a: a.m.solve(a.put()), ValueError, ["y0 has shape ()", "channel"]),
    "solve axes": (lambda a: a.r.solve(a.put(3)), ValueError, ["y0 has shape (3,)", "1 grid axes", "at least 2 axes"]),
    "solve method": (lambda a: a.m.solve(a.x, method="referense"), TypeError, ["method='referense'", "'reference'"]),
    "solve warm": (lambda a: a.m.solve(a.x, warm=a.x), TypeError, ["state is a"]),
    "call": (lambda a: a.m(a.put(2, 2)), ValueError, ["y0 has 2 channels"]),
    "apply": (lambda a: a.m.apply(a.put(2, 3), a.put(3, 3)), ValueError, ["z", "(3,)", "y", "(2,)"]),
    "residual": (lambda a: a.m.residual(a.s, a.put(3, 3)), ValueError, ["y0", "(3,)", "the state", "(2,)"]),
    "residual of an array": (lambda a: a.m.residual(a.x, a.x), TypeError, ["state is a", "mk.State(y, z)"]),
    "tangent of an array": (lambda a: a.m.tangent(a.x), TypeError, ["state is a", "machine.solve"]),
    "dual of another": (lambda a: a.m.dual(a.other), ValueError, ["state has y of shape (2, 5)", "3 channels"]),
    "dual of torn": (lambda a: a.m.dual(mk.State(a.x, a.put(1, 3))), ValueError, ["(2, 3)", "(1, 3)", "equal"]),
    "dual with few axes": (
        lambda a: a.r.dual(mk.State(a.put(3), a.put(3))),
        ValueError,
        ["state.y has shape (3,)", "1 grid"],
    ),
    "tangent of another batch": (lambda a: a.d.tangent(a.s), ValueError, ["(7, 3)", "(2, 3)", "Diagonal"]),
    "slope of another batch": (lambda a: a.d.slope(a.s), ValueError, ["(7, 3)", "(2, 3)", "Diagonal"]),
    "enlarging Diagonal": (
        lambda a: a.d.solve(a.put(1, 3)),
        ValueError,
        ["Diagonal has shape (7, 3)", "(1, 3)", "enlarging"],
    ),
    "Diagonal of many axes": (lambda a: a.d.solve(a.put(3)), ValueError, ["Diagonal has shape (7, 3)", "(3,)"]),
    "pushforward batch": (lambda a: a.m.pushforward(a.s, a.put(3, 3)), ValueError, ["y0", "(3,)", "the state", "(2,)"]),
    "pushforward inside": (
        lambda a: a.m.pushforward(a.s, z0=a.put(2, 2)),
        ValueError,
        ["z0 has 2 channels", "block boundary"],
    ),
    "pushforward weight": (
        lambda a: a.m.pushforward(a.s, weight=a.put(3, 2)),
        ValueError,
        ["weight", "(3, 2)", "(3, 3)"],
    ),
    "pushforward bias": (
        lambda a: a.m.pushforward(a.s, bias=a.put(3)),
        TypeError,
        ["bias", "has none", "replace(bias=array)"],
    ),
    "pushforward bias shape": (lambda a: a.r.pushforward(a.rs, bias=a.put(2)), ValueError, ["bias", "(2,)", "(3,)"]),
    "pushforward slope": (
        lambda a: a.m.pushforward(a.s, slope=a.put(3)),
        TypeError,
        ["slope", "not linear", "mk.Diagonal"],
    ),
    "pushforward wieght": (lambda a: a.m.pushforward(a.s, wieght=a.w), TypeError, ["'wieght'", "weight, bias, slope"]),
    "pullback seed": (lambda a: a.m.pullback(a.s, a.put(3, 3)), ValueError, ["z", "(3,)", "the state", "(2,)"]),
    "pullback inside": (lambda a: a.m.pullback(a.s, y=a.put(2, 2)), ValueError, ["y has 2 channels", "(1, 2)"]),
    "pullback state": (lambda a: a.m.pullback(None, a.x), TypeError, ["state is a NoneType"]),
    "replace weight": (lambda a: a.m.replace(weight=a.put(3, 2)), ValueError, ["weight", "(3, 2)", "(3, 3)"]),
    "replace weight None": (lambda a: a.m.replace(weight=None), TypeError, ["weight is a NoneType"]),
    "replace bias": (lambda a: a.m.replace(bias=a.put(2)), ValueError, ["bias", "(2,)", "(3,)"]),
    "replace bias None": (lambda a: a.r.replace(bias=None), TypeError, ["bias is a NoneType"]),
    "replace slope": (lambda a: a.m.replace(slope=a.put(3)), TypeError, ["slope", "not linear"]),
    "replace slope shape": (lambda a: a.d.replace(slope=a.put(3)), ValueError, ["slope", "(3,)", "(7, 3)"]),
    "replace word": (lambda a: a.m.replace(weights=a.w), TypeError, ["'weights'", "weight"]),
    "prune shape": (lambda a: a.m.prune(np.ones((3, 2), bool)), ValueError, ["mask", "(3, 2)", "(3, 3)"]),
    "prune numbers": (lambda a: a.m.prune(np.ones((3, 3))), TypeError, ["mask is float64", "bool"]),
    "prune list": (lambda a: a.m.prune([[True]]), TypeError, ["mask is list", "bool"]),
    "depth_bound": (lambda a: a.r.depth_bound(), ValueError, ["grid is ()", "1 grid axes"]),
    "depth_bound negative": (lambda a: a.r.depth_bound((-1,)), ValueError, ["grid is (-1,)", "at least 0"]),
    "to": (lambda a: a.m.to("numpie"), ValueError, ["'numpie'", "'numpy'"]),
    "astype": (lambda a: a.m.astype("int32"), TypeError, ["dtype='int32'"]),
    "Diagonal of list": (lambda a: mk.Diagonal([1.0]), TypeError, ["Diagonal", "list", "numpy.asarray"]),
}


@pytest.fixture
def at(backend):
    """Machines, states and a way to make arrays."""

    class At:
        def put(self, *shape):
            return backend.from_host(np.ones(shape))

    a = At()
    a.x, a.w = a.put(2, 3), a.put(3, 3)
    a.m = mk.DenseMachine((1, 2), weight=a.w)
    a.r = mk.RecurrentMachine((1, 2), memory=1, weight=a.put(2, 3, 3), bias=True)
    a.d = mk.DenseMachine((1, 2), mk.Diagonal(a.put(7, 3)), weight=a.w)
    a.s, a.rs = a.m.solve(a.x), a.r.solve(a.x)
    a.other = mk.DenseMachine((5,), weight=a.put(5, 5)).solve(a.put(2, 5))
    return a


@pytest.mark.parametrize("what", METHODS)
def test_methods_refuse(at, what):
    """Each wrong argument by name, both values, a remedy; and nothing has changed."""
    call, kind, words = METHODS[what]
    kept = {name: to_host(value).copy() for name, value in vars(at).items() if hasattr(value, "shape")}
    weight, z = to_host(at.m.weight).copy(), to_host(at.s.z).copy()
    with pytest.raises(kind) as caught:
        call(at)
    assert type(caught.value) is kind
    for word in words:
        assert re.search(re.escape(word), str(caught.value)), str(caught.value)
    for name, copy in kept.items():
        assert_equal(name, getattr(at, name), copy)
    assert_equal("weight", at.m.weight, weight)
    assert_equal("z of the state", at.s.z, z)


def test_none_is_a_zero_direction_seed_or_input(at):
    """None where a signal or a direction may stand: the same answer as zeros there."""
    zero, zeros = at.put(2, 3) * 0, at.w * 0
    assert_equal("y0=None", at.m.solve(None, at.x).z, at.m.solve(zero, at.x).z)
    assert_equal("z0=None", at.m.solve(at.x, None).z, at.m.solve(at.x, zero).z)
    one = at.m.pushforward(at.s, at.x, weight=None, bias=None, slope=None)
    assert_equal("directions", one.z, at.m.pushforward(at.s, at.x, zero, weight=zeros).z)
    one, two = at.m.pullback(at.s, at.x), at.m.pullback(at.s, at.x, y=zero)
    assert_equal("seed", one.weight, two.weight)
    nothing = at.m.pullback(at.s)
    assert_equal("no seed at all", nothing.weight, zeros)
    assert nothing.y0.shape == (2, 3)
