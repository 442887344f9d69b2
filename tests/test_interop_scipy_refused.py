"""Operators of SciPy: other libraries, vectors of live entries, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import pick_backend
from machinekit.interop.scipy import linear_operator, vectors, weight_operator
from machinekit.interop.scipy.vectors import Space

from .bridged import models
from .helpers import assert_close

MODELS = {name: (model, inputs) for name, model, inputs in models()}


def test_cupy_arrays_give_operators_of_cupyx(monkeypatch):
    """A library that is not NumPy and refuses to be converted stands in for CuPy, and a made-up module for cupyx."""
    pytest.importorskip("array_api_strict", reason="another library than NumPy is needed")

    class Operator:
        def __init__(self, shape, matvec, rmatvec=None, matmat=None, dtype=None, rmatmat=None):
            self.shape, self.matvec, self.rmatvec, self.dtype = shape, matvec, rmatvec, dtype

    module = types.ModuleType("cupyx.scipy.sparse.linalg")
    module.LinearOperator = Operator
    monkeypatch.setitem(sys.modules, "cupyx.scipy.sparse.linalg", module)
    assert vectors._LIBRARIES["cupy"] == "cupyx.scipy.sparse.linalg"
    monkeypatch.setitem(vectors._LIBRARIES, "array_api_strict", vectors._LIBRARIES["cupy"])
    host = mk.RecurrentMachine((1, 2), "tanh", memory=1, bias=True, rng=0)
    x = np.random.default_rng(0).normal(size=(4, 1))
    there = host.to("array_api_strict:device1")
    home = _home()
    strict_x = home.from_host(x)
    for wrt in ("inputs", "parameters", ["inputs", "weight"]):
        want = linear_operator(host, host.solve(x), wrt)
        got = linear_operator(there, there.solve(strict_x), wrt)
        assert isinstance(got, Operator)
        assert got.shape == want.shape
        d, v = (np.random.default_rng(1).normal(size=n) for n in (want.shape[1], want.shape[0]))
        for word in (d, d + 1j * d):
            assert_close("matvec", got.matvec(home.from_host(word)), want @ word, 1e-13)
        for word in (v, v - 1j * v):
            assert_close("rmatvec", got.rmatvec(home.from_host(word)), want.H @ word, 1e-13)
        with pytest.raises(TypeError, match=r"the vector is in numpy but the operator in array_api_strict"):
            got.matvec(d)
    W = weight_operator(there, (3,))
    assert isinstance(W, Operator)
    z = np.random.default_rng(2).normal(size=9)
    assert_close("W", W.matvec(home.from_host(z)), weight_operator(host, (3,)) @ z, 1e-14)


def _home():
    return pick_backend("array_api_strict:device1")


def test_bad_input_is_told():
    machine = mk.DenseMachine((2, 3), "tanh", rng=0)
    state = machine.solve(np.ones((4, 2)))
    J = linear_operator(machine, state)
    cases = [
        (lambda: linear_operator(machine, np.ones((4, 2))), TypeError, "state is a ndarray; pass what model.solve"),
        (lambda: linear_operator(3, state), TypeError, "pass an op"),
        (lambda: linear_operator(machine, state, "input"), ValueError, "did you mean 'inputs'"),
        (lambda: linear_operator(machine, state, "bias"), ValueError, "wrt has 'bias'"),
        (lambda: linear_operator(machine, state, 1), ValueError, "position of an input: [0]"),
        (lambda: linear_operator(machine, state, True), ValueError, "wrt has True"),
        (lambda: linear_operator(machine, state, []), ValueError, "names nothing"),
        (lambda: linear_operator(mk.Pointwise("tanh"), state, "parameters"), ValueError, "names nothing"),
        (lambda: J @ np.ones(3), ValueError, "dimension mismatch"),
        (lambda: J @ np.array(["a"] * 8), TypeError, "real or complex"),
        (lambda: weight_operator(mk.Affine(2, 2)), TypeError, "machine is a Affine; pass a machine"),
        (lambda: weight_operator(machine, (3,)), ValueError, "0 grid axes"),
        (lambda: weight_operator(MODELS["conv"][0], (3,)), ValueError, "2 grid axes"),
        (lambda: weight_operator(MODELS["recurrent"][0], (-1,)), ValueError, "at least 0"),
    ]
    for k, (call, kind, words) in enumerate(cases):
        with pytest.raises(kind) as error:
            call()
        assert words in str(error.value), (k, str(error.value))
    loose = mk.EquilibriumMachine((2,), "tanh", rng=0, dual_steps=3)
    for model in (loose, mk.Chain([mk.Affine(2, 2, rng=0), loose])):
        with pytest.raises(TypeError, match=r"dual_steps=3 stops the dual early"):
            linear_operator(model, model.solve(np.ones((1, 2))))
    strict = pytest.importorskip("array_api_strict", reason="another library than NumPy is needed")
    there = machine.to(strict.__name__)
    with pytest.raises(TypeError, match=r"no linear operators; use model.to\('numpy'\)"):
        linear_operator(there, there.solve(strict.ones((4, 2))))


def test_an_empty_batch_has_an_empty_operator():
    machine = mk.DenseMachine((2, 3), "tanh", rng=0)
    J = linear_operator(machine, machine.solve(np.zeros((0, 2))))
    assert J.shape == (0, 0)
    J = linear_operator(machine, machine.solve(np.zeros((0, 2))), "weight")
    assert J.shape == (0, 6)
    assert not (J.T @ np.zeros(0)).any()


def test_live_entries_are_packed_and_unpacked():
    home = _home() if importlib.util.find_spec("array_api_strict") else pick_backend("numpy")
    mask = np.array([[True, False], [False, True]])
    space = Space([(2, 2), (2,), (0, 3)], [mask, None, None], home, "float64")
    assert space.size == 4
    arrays = [home.from_host(a) for a in (np.array([[1.0, 9.0], [9.0, 2.0]]), np.array([3.0, 4.0]), np.zeros((0, 3)))]
    packed = space.pack(arrays)
    assert_close("pack", packed, np.array([1.0, 2.0, 3.0, 4.0]), 0.0)
    first, second, third = space.unpack(packed)
    assert_close("unpack", first, np.array([[1.0, 0.0], [0.0, 2.0]]), 0.0)
    assert_close("unpack", second, np.array([3.0, 4.0]), 0.0)
    assert tuple(third.shape) == (0, 3)
    assert_close("none", space.pack([None, arrays[1], None]), np.array([0.0, 0.0, 3.0, 4.0]), 0.0)
