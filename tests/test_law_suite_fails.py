"""The law suite can fail: every mistake that people make is reported, with the law, the seed and both numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

import machinekit as mk
from machinekit.linear import weight_cotangent
from machinekit.records import MachineCotangent, MachineState, MachineTangent
from machinekit.testing import LawError

from .oracle import kernel_cotangent

BASES = {
    "dense": (mk.DenseMachine, {}),
    "conv": (mk.ConvMachine, {"padding": ((2, 1),)}),
    "recurrent": (mk.RecurrentMachine, {"memory": 2, "time_block": 2}),
}


def cotangent(machine, state, z, y, **changes):
    """The right pullback in words, for a mistake to be put in."""
    dual = machine.dual(state).solve(z, y)
    sums = tuple(range(dual.z.ndim - 1))
    parameters = {"weight": machine.project(weight_cotangent(machine.partition, state.z, dual.z))}
    if machine.bias is not None:
        parameters["bias"] = dual.z.sum(axis=sums)
    parameters.update(changes)
    return MachineCotangent(MachineState(dual.y, dual.z), state.widths, 2, (z, y), parameters, None)


class Right:
    """The control: everything overridden, nothing wrong."""

    def pullback(self, state, z=None, *, y=None):
        return cotangent(self, state, z, y)

    def dual(self, state):
        return super().dual(state)

    def solve(self, y0, z0=None, **options):
        return super().solve(y0, z0, **options)


class ForgottenV0(Right):
    """v = σ′(y) ⊙ u, as printed, instead of + v0."""

    def pullback(self, state, z=None, *, y=None):
        return cotangent(self, state, z, 0.0 * state.y)


class SlopeAtY0(Right):
    """σ′ at the input instead of at the solution."""

    def dual(self, state):
        if not state.inputs:
            return super().dual(state)
        return super().dual(MachineState(state.inputs[0], state.z))


class NotTransposed(Right):
    """The dual with the weight of the machine itself, in the dual's order."""

    def dual(self, state):
        dual = super().dual(state)
        return dual.replace(weight=self.weight)


class NoMask(Right):
    """The weight cotangent of all pairs, live or not."""

    def pullback(self, state, z=None, *, y=None):
        v = cotangent(self, state, z, y).saved.z
        flat = [a.reshape(len(a), -1) for a in (v, state.z)]
        gram = np.einsum("sp,sq->pq", *flat)
        whole = kernel_cotangent(self.partition.padding, gram, v.shape[1:-1], v.shape[-1])
        return cotangent(self, state, z, y, weight=whole)


class PrunedMask(Right):
    """The live mask of the order, and what was pruned forgotten."""

    def pullback(self, state, z=None, *, y=None):
        v = cotangent(self, state, z, y).saved.z
        return cotangent(self, state, z, y, weight=weight_cotangent(self.partition, state.z, v))


class NoProjection(Right):
    """A replace that lets dead weights live."""

    def replace(self, **parameters):
        new = super().replace(**parameters)
        return new._derive(weight=parameters["weight"]) if "weight" in parameters else new


class Mean(Right):
    """Cotangents of parameters as means over the batch."""

    def pullback(self, state, z=None, *, y=None):
        right = cotangent(self, state, z, y)
        return cotangent(self, state, z, y, **{n: a / len(state.y) for n, a in right.parameters.items()})


class BiasForgotten(Right):
    """A bias cotangent of the first sample only."""

    def pullback(self, state, z=None, *, y=None):
        right = cotangent(self, state, z, y)
        return cotangent(self, state, z, y, bias=right.saved.z[:1].sum(axis=tuple(range(state.y.ndim - 1))))


class WritesToItsInput(Right):
    """A solve in place; the second call with the same array finds another one."""

    def solve(self, y0, z0=None, **options):
        if y0 is not None:
            y0 *= 0.5
        return super().solve(y0, z0, **options)


class ClipsItsInput(Right):
    """Writing that changes nothing the second time."""

    def solve(self, y0, z0=None, **options):
        if y0 is not None:
            np.clip(y0, -9.0, 9.0, out=y0)
        return super().solve(y0, z0, **options)


class ReturnsItsInput(Right):
    """A result that is the caller's own array."""

    def solve(self, y0, z0=None, **options):
        state = super().solve(y0, z0, **options)
        if z0 is None or y0 is None or y0.shape != state.y.shape:
            return state
        z0[...] = state.z
        return MachineState(state.y, z0, inputs=state.inputs, widths=state.widths)


class OneBuffer(Right):
    """A result that a later call overwrites."""

    _buffers: dict = {}  # noqa: RUF012

    def solve(self, y0, z0=None, **options):
        state = super().solve(y0, z0, **options)
        buffer = self._buffers.setdefault((state.y.shape, state.y.dtype), np.empty_like(state.y))
        buffer[...] = state.y
        return MachineState(buffer, state.z, inputs=state.inputs, widths=state.widths)


class Doubles(Right):
    """np.sqrt(2) and the like: a float64 leak in a float32 machine."""

    def pullback(self, state, z=None, *, y=None):
        right = cotangent(self, state, z, y)
        return cotangent(self, state, z, y, bias=np.asarray(right.bias * np.float64(1.0)))


class DoubleState(Right):
    """The leak in the state itself, which the other verbs then refuse."""

    def solve(self, y0, z0=None, **options):
        s = super().solve(y0, z0, **options)
        return MachineState(s.y.astype(np.float64), s.z.astype(np.float64), inputs=s.inputs, widths=s.widths)


class OneStepOnly(Right):
    """f applied once instead of its resolvent."""

    def solve(self, y0, z0=None, **options):
        s = super().solve(y0, z0, **options)
        x = self.apply(s.y * 0.5, s.z * 0.5)
        return MachineState(x.y, x.z, inputs=s.inputs, widths=s.widths)


class Lenient(Right):
    """A solve that casts what it is given."""

    def solve(self, y0, z0=None, **options):
        y0 = None if y0 is None else np.array(y0, dtype=self.weight.dtype)
        return super().solve(y0, z0, **options)


class SlopesStandStill(Right):
    """The tangent of the dual without σ″: a Gauss–Newton product taken for a Hessian product."""

    def _bent(self, state, tangent, u):
        return None


class WeightStandsStill(Right):
    """The tangent of the dual without Ẇᵀ v."""

    def pullback_tangent(self, state, cotangent, along, z=None, *, y=None):
        t = along if isinstance(along, MachineTangent) else self.pushforward(state, **along)
        still = MachineTangent(t.y, t.z, t.inputs, {}, None)
        return super().pullback_tangent(state, cotangent, still, z, y=y)


class SolutionStandsStill(Right):
    """The tangent of the weight cotangent with z and v̇, and not with ż and v."""

    def _images(self, plan, weight, z, primal=None):
        image, moved = super()._images(plan, weight, z, primal)
        return image, None if moved is None else 0.0 * moved


MISTAKES = {
    ForgottenV0: ("adjoint identity of pullback and pushforward along y0", "cotangent of y0 by the complex step",
                  "cotangent of weight by finite differences"),
    SlopeAtY0: ("adjoint identity, the dual machine's resolvent", "cotangent of z0 by the complex step"),
    NotTransposed: ("adjoint identity, the dual machine's resolvent", "dual of the dual, weight"),
    NoMask: ("adjoint identity of pullback and pushforward along weight", "cotangent of weight by the complex step"),
    PrunedMask: ("cotangent of weight by the complex step",),
    NoProjection: ("the weight is zero exactly where it is dead",),
    Mean: ("cotangent of weight by the complex step", "cotangent of bias by finite differences"),
    BiasForgotten: ("cotangent of bias by the complex step", "adjoint identity of pullback and pushforward along bias"),
    WritesToItsInput: ("no input is written to",),
    ClipsItsInput: ("inputs untouched",),
    ReturnsItsInput: ("results share no memory",),
    OneBuffer: ("results share no memory",),
    Doubles: ("every result keeps dtype, library and device",),
    DoubleState: ("machine equation", "inputs untouched"),
    OneStepOnly: ("machine equation, y = W z + b + y0", "uniqueness, z of R(x − f(x)) = x"),
    SlopesStandStill: ("tangent of the pullback by the complex step",),
    WeightStandsStill: ("tangent of the pullback by the complex step", "second derivatives are symmetric"),
    SolutionStandsStill: ("tangent of the pullback by the complex step", "second derivatives are symmetric"),
    Lenient: ("inputs of another kind are refused with TypeError",),
}  # fmt: skip


def made(mistake, base):
    cls, options = BASES[base]
    dtype = "float32" if mistake in (Doubles, DoubleState) else "float64"
    kind = type(f"{mistake.__name__}{cls.__name__}", (mistake, cls), {})
    machine = kind((1, 2, 2), "tanh", bias=True, rng=0, dtype=dtype, backend="numpy", **options)
    return (
        machine.prune(np.random.default_rng(0).random(machine.weight.shape) < 0.6) if mistake is PrunedMask else machine
    )


@pytest.mark.parametrize("base", BASES)
def test_a_subclass_without_a_mistake_passes(base):
    """The control: the harness itself breaks nothing."""
    assert mk.testing.check_machine(made(Right, base), rng=7).ok


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
def test_a_mistake_is_reported_with_the_law_the_seed_and_both_numbers(mistake, base):
    with pytest.raises(LawError) as caught:
        mk.testing.check_machine(made(mistake, base), rng=7)
    message = str(caught.value)
    assert re.match(rf"{mistake.__name__}\w*Machine\(\(1, 2, 2\), .*: \d+ laws? broken \(rng=7\)", message)
    for law in MISTAKES[mistake]:
        found = re.search(
            rf"BROKEN {re.escape(law)}.*: error \S+, allowed \S+\n +left (.+), right (.+), scale", message
        )
        assert found, f"{law!r} is not among\n{message}"
        assert found[1] != found[2].partition(" at ")[0], "both sides are printed, and they differ"


def test_a_mistake_on_another_device_is_reported_too(backend, spec):
    """On the library under test: the dual without v0."""
    kind = type("Wrong", (ForgottenV0, mk.DenseMachine), {})
    machine = kind((1, 2, 2), "tanh", bias=False, rng=0, backend=spec)
    with pytest.raises(LawError, match="cotangent of y0 by the complex step"):
        mk.testing.check_machine(machine, rng=0)


def test_a_hidden_transfer_is_reported():
    """The guard's RuntimeError is a broken law, not a crash of the suite."""
    from machinekit.testing.guard import forbid_host_conversion

    class Peeks(mk.DenseMachine):
        def apply(self, y, z):
            float(y[(0,) * y.ndim])
            return super().apply(y, z)

    machine = Peeks((1, 1), rng=0, backend="array_api_strict:device1")
    with forbid_host_conversion(), pytest.raises(LawError, match="moves it to the host in silence"):
        mk.testing.check_machine(machine, rng=0)


def test_a_nan_never_passes():
    finding = mk.testing.report.compare("a law", np.array([1.0, np.nan]), np.array([1.0, np.nan]), 1.0)
    assert not finding.ok
    assert "entry (1,)" in str(finding)
    assert not mk.testing.report.compare("a law", np.ones(2), np.ones(3), 1.0).ok
