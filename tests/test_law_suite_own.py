"""Activations and ops of one's own: what is wrong with them is reported."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import machinekit as mk
from machinekit.testing import LawError

TANH, SLOPE, SECOND = np.tanh, lambda y: 1 - np.tanh(y) ** 2, lambda y: -2 * np.tanh(y) * (1 - np.tanh(y) ** 2)
WIDE = np.array([1.0], dtype=np.float64)


def relu(y):
    return np.where(y.real > 0, y, 0.0 * y)


def step(y):
    return (y.real > 0).astype(y.dtype)


def zero(y):
    return np.zeros_like(y)


WRONG = {
    "a wrong derivative": (mk.Activation(TANH, lambda y: 1 - np.tanh(y), SECOND), "σ′ by the complex step"),
    "a derivative off by 1e-7": (mk.Activation(TANH, lambda y: SLOPE(y) + 1e-7), "σ′ by the complex step"),
    "a derivative of z": (mk.Activation(TANH, lambda y: 1 - y**2, SECOND), "σ′ by finite differences"),
    "a wrong second derivative": (mk.Activation(TANH, SLOPE, lambda y: -SECOND(y)), "σ″ by the complex step"),
    "a second derivative off by a factor": (
        mk.Activation(TANH, SLOPE, lambda y: 1.001 * SECOND(y)), "σ″ by finite differences"),
    "an overclaimed class": (
        mk.Activation(relu, step, zero, name="relu", smoothness=1, kinks=(0.0,)),
        "σ′ is continuous at 0, as the class C^1 says"),
    "a jump": (mk.Activation(step, zero, zero, smoothness=0, kinks=(0.0,)), "σ is continuous at 0"),
    "an overflow": (mk.Activation(lambda y: np.log(1 + np.exp(y)), name="softplus"), "finite and quiet at ±1e4"),
    "a leak of double precision": (mk.Activation(lambda y: WIDE * y, lambda y: 1 + zero(y)), "dtype in is dtype out"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_activation_is_reported_with_the_law_the_seed_and_both_numbers(what):
    activation, law = WRONG[what]
    with pytest.raises(LawError) as caught:
        mk.testing.check_activation(activation, rng=11, dtype="float32")
    message = str(caught.value)
    assert "broken (rng=11)" in message.splitlines()[0]
    found = re.search(rf"BROKEN {re.escape(law)}.*\n +left (.+), right (.+), scale", message)
    assert found, message
    assert found[1] != found[2]


def test_the_right_forms_of_the_same_activations_pass():
    """The control."""
    assert mk.testing.check_activation(mk.Activation(TANH, SLOPE, SECOND), rng=11).ok
    fine = mk.Activation(relu, step, zero, name="relu", smoothness=0, kinks=(0.0,))
    assert mk.testing.check_activation(fine, rng=11, dtype="float32").ok
    assert fine.smoothness == 0
    assert mk.Activation(TANH).smoothness == math.inf


def test_a_wrong_activation_is_reported_by_the_machine_that_uses_it():
    wrong = mk.Activation(TANH, lambda y: 1 - np.tanh(y))
    machine = mk.RecurrentMachine((1, 2), ["identity", wrong], memory=1, rng=0, backend="numpy")
    with pytest.raises(LawError, match="cotangent of y0 by the complex step"):
        mk.testing.check_machine(machine, rng=0)


class Square:
    """A user's op y = w x², with pullback, pushforward and pullback_tangent to be put wrong."""

    def __init__(self, w, **wrong):
        self.w, self.wrong = w, wrong

    def __call__(self, x):
        if self.wrong.get("writes"):
            x[...] = np.abs(x)
        return self.w * x * x

    def parameters(self):
        return {"w": self.w}

    def replace(self, w):
        return Square(w, **self.wrong)

    def pushforward(self, state, x=None, w=None):
        (at,) = state.inputs
        moved = (0.0 if x is None else 2.0 * self.w * at * x) + (0.0 if w is None else w * at * at)
        return mk.Tangent((self.wrong.get("tangent", 1.0) * moved,), (x,), {"w": w})

    def pullback(self, state, y):
        (x,) = state.inputs
        each = x * x * y * self.wrong.get("weight", 1.0)
        w = each.mean(axis=0) if self.wrong.get("mean") else each.sum(axis=0)
        back = self.wrong.get("input", 2.0) * self.w * x * y
        inputs = (back[..., :1],) if self.wrong.get("shape") else (back, back) if self.wrong.get("two") else (back,)
        return mk.Cotangent(inputs, {"w": w}, (y,))

    def pullback_tangent(self, state, cotangent, tangent, change=None):
        (x,), (moved,), (y,) = state.inputs, tangent.inputs, cotangent.outputs
        change = 0.0 * y if change is None or self.wrong.get("fixed") else change
        w = 0.0 * self.w if self.wrong.get("asymmetric") else tangent.parameters["w"]
        if self.wrong.get("overwrites"):
            cotangent.inputs[0][...] = 0.0
        back = 2.0 * (w * x * y + self.w * moved * y + self.w * x * change) * self.wrong.get("second", 1.0)
        total = (2.0 * x * moved * y + x * x * change).sum(axis=0)
        return mk.Cotangent((back[..., :1] if self.wrong.get("narrow") else back,), {"w": total}, (change,))


OPS = {
    "a wrong input cotangent": ({"input": 1.999999}, "cotangent of input 0 by the complex step"),
    "a wrong parameter cotangent": ({"weight": -1.0}, "cotangent of w by the complex step"),
    "a mean over the batch": ({"mean": True}, "cotangent of w by finite differences"),
    "a wrong tangent": ({"tangent": 2.0}, "adjoint identity of pullback and pushforward"),
    "a cotangent too many": ({"two": True}, "one cotangent for each input"),
    "a wrong shape": ({"shape": True}, "cotangent of input 0 has its shape"),
    "a wrong second derivative": ({"second": 1.000001}, "tangent of the cotangent of input 0 by the complex step"),
    "a forgotten change of the seed": ({"fixed": True}, "tangent of the cotangent of w by the complex step"),
    "a second derivative that is not symmetric": ({"asymmetric": True}, "second derivatives are symmetric"),
    "a second derivative of a wrong shape": ({"narrow": True}, "tangent of the pullback has its shapes"),
    "a cotangent that is written to": ({"overwrites": True}, "no input is written to"),
}


def test_an_op_that_breaks_down_is_not_taken_for_one_without_the_verb():
    """A mistake that raises TypeError, as most do, must not read as "not checked"."""

    class Broken(Square):
        def pullback_tangent(self, state, cotangent, tangent, change=None):
            return len(3)

    with pytest.raises(TypeError, match="has no len"):
        mk.testing.check_op(Broken(np.ones(3)), np.ones((4, 3)), rng=5)


@pytest.mark.parametrize("kind", ["dense", "conv", "recurrent"])
def test_a_machine_whose_second_derivative_breaks_down_is_reported(kind):
    class Broken:
        def pullback_tangent(self, *records, **seeds):
            return len(3)

    cls, options = {"dense": (mk.DenseMachine, {}), "conv": (mk.ConvMachine, {"padding": ((2, 1),)}),
                    "recurrent": (mk.RecurrentMachine, {"memory": 2})}[kind]  # fmt: skip
    machine = type("Own", (Broken, cls), {})((1, 2), "tanh", rng=0, backend="numpy", **options)
    with pytest.raises(LawError) as caught:
        mk.testing.check_machine(machine, rng=7)
    message = str(caught.value)
    for law in ("second derivatives", "symmetric Hessian", "inputs untouched"):
        assert re.search(rf"BROKEN {law}.*\n +left .TypeError: object of type 'int' has no len", message), message


@pytest.mark.parametrize("what", OPS)
def test_a_wrong_op_is_reported_with_the_law_the_seed_and_both_numbers(what):
    wrong, law = OPS[what]
    x = np.random.default_rng(0).standard_normal((4, 3))
    with pytest.raises(LawError) as caught:
        mk.testing.check_op(Square(np.array([1.0, 2.0, -0.5]), **wrong), x, rng=5)
    message = str(caught.value)
    assert "broken (rng=5)" in message.splitlines()[0]
    assert re.search(rf"BROKEN {re.escape(law)}.*\n +left (.+), right (.+), scale", message), message


def test_the_right_op_passes():
    """The control."""
    report = mk.testing.check_op(Square(np.array([1.0, 2.0, -0.5])), np.ones((4, 3)), rng=5)
    assert all(f.checked for f in report.findings), str(report)


def test_an_op_that_writes_to_its_input_is_reported():
    x = np.random.default_rng(0).standard_normal((4, 3))
    with pytest.raises(LawError, match="no input is written to"):
        mk.testing.check_op(Square(np.ones(3), writes=True), x, rng=5)


def test_an_op_that_reads_the_value_only_has_the_rest_skipped_and_said():
    class Real(Square):
        def __call__(self, x):
            if np.iscomplexobj(x) or np.iscomplexobj(self.w):
                raise TypeError("no complex numbers here")
            return super().__call__(x)

        def replace(self, w):
            return Real(w)

        pushforward = None

    report = mk.testing.check_op(Real(np.ones(3)), np.ones((2, 3)), rng=0)
    skipped = [str(f) for f in report.findings if not f.checked]
    assert len(skipped) == 5
    assert all("not checked" in line for line in skipped)
    assert sum("by finite differences" in f.law and f.checked for f in report.findings) == 2


def test_ops_are_checked_in_double_precision():
    with pytest.raises(TypeError, match=r"inputs\[0\] is float32; ops are checked in float64"):
        mk.testing.check_op(mk.Affine(2, 1, dtype="float32"), np.ones((1, 2), np.float32))


def test_an_op_without_a_pullback_is_told_so():
    with pytest.raises(TypeError, match="function has no pullback, which back-propagation needs"):
        mk.testing.check_op(lambda x: x, np.ones(2))
