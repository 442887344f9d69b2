"""Every cotangent against the complex step (h = 1e-20) and, beside it, central finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.arrays import to_host

from .helpers import PARITY
from .strategies import KINDS, SMOOTH, cases

STEP = 1e-20
NUDGE = 1e-6


def pair(seed, array):
    """Return Σ seed · array over the seed's channels, and the sum of the absolute values."""
    if seed is None:
        return 0.0, 0.0
    terms = seed * array[..., : seed.shape[-1]]
    return terms.sum(), np.abs(terms).sum()


class Loss:
    """L = Σ seed_y · y + Σ seed_z · z as a function of one named array at a time."""

    def __init__(self, case, backend):
        self.backend, self.n = backend, case.numbers()
        self.machine = case.machine(backend, self.n)
        self.given = {k: getattr(self.n, k) for k in ("y0", "z0")}
        self.names = [k for k, a in self.given.items() if a is not None] + ["weight"]
        self.names += ["bias"] * case.bias + ["slope"] * case.linear

    def moved(self, a):
        return None if a is None else self.backend.from_host(a)

    def __call__(self, name, value):
        given, machine = dict(self.given), self.machine
        if name in given:
            given[name] = value
        else:
            machine = machine.replace(**{name: self.moved(value)})
        state = machine.solve(*(self.moved(a) for a in given.values()))
        return pair(self.n.seed_y, to_host(state.y))[0] + pair(self.n.seed_z, to_host(state.z))[0]

    def cotangent(self):
        state = self.machine.solve(*(self.moved(a) for a in self.given.values()))
        return self.machine.pullback(state, self.moved(self.n.seed_z), y=self.moved(self.n.seed_y))


def compare(case, backend, differentiate, allowed):
    """Compare ⟨cotangent, direction⟩ with a measured derivative, for every input and parameter."""
    loss = Loss(case, backend)
    rng, cotangent = np.random.default_rng(case.seed), loss.cotangent()
    oracle = case.oracle(backend, loss.n)
    scales = oracle.pullback(loss.n.seed_z, loss.n.seed_y).scale
    for name in loss.names:
        base = loss.given[name] if name in loss.given else to_host(getattr(loss.n, name))
        analytic, scale = to_host(getattr(cotangent, name)), getattr(scales, name)
        if name in loss.given:
            scale = scale[..., : base.shape[-1]]
        assert analytic.shape == base.shape, (name, analytic.shape, base.shape, case)
        directions = [rng.uniform(-1, 1, base.shape) for _ in range(2)]
        if base.size:  # and one entry alone
            one = np.zeros(base.shape)
            one[tuple(rng.integers(0, k) for k in base.shape)] = 1.0
            directions.append(one)
        for d in directions:
            got, want = (analytic * d).sum(), differentiate(lambda t, d=d: loss(name, base + t * d))  # noqa: B023
            bound = allowed * ((scale * np.abs(d)).sum() + 1e-9)
            if name == "weight":  # dead directions add nothing to either side
                bound = allowed * ((scale * np.abs(d)).sum() + np.abs(analytic).sum() + 1e-9)
            assert abs(got - want) <= bound, (
                f"{name}: ⟨cotangent, d⟩ = {got!r}, measured {want!r}, ± {bound!r}\n{case!r}"
            )


def complex_step(f):
    return np.imag(f(1j * STEP)) / STEP


def finite_difference(f):
    return (f(NUDGE) - f(-NUDGE)) / (2 * NUDGE)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_all_cotangents_equal_the_complex_step(backend, kind, data):
    """Proposition 2 and Theorem 3: weight, bias, y0, z0 under random seeds on both y and z, to 1e-12."""
    compare(data.draw(cases(kind, linear=False, dtypes=("float64",))), backend, complex_step, PARITY)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_all_cotangents_of_linear_machines_equal_the_complex_step(backend, kind, data):
    """The slope too, by replace(slope=…): d̄ = y ⊙ u, summed to the shape of the Diagonal."""
    compare(data.draw(cases(kind, linear=True, dtypes=("float64",))), backend, complex_step, PARITY)


@pytest.mark.parametrize("linear", [False, True])
@given(data=st.data())
def test_all_cotangents_equal_central_finite_differences(backend, linear, data):
    """The plainest evidence, 1e-6 relative, on activations of class C^1 and better: a kink has no derivative."""
    compare(data.draw(cases(linear=linear, dtypes=("float64",), names=SMOOTH)), backend, finite_difference, 1e-6)


@given(case=cases(linear=False, dtypes=("float64",)))
def test_the_pushforward_equals_the_complex_step_of_the_solution(backend, case):
    """ẏ = W ż + (Ẇ z + ḃ + ẏ0), ż = D ẏ + ż0, along all directions at once."""
    n = case.with_(widths=(case.channels, case.channels, 0, 0)).numbers()
    machine, move = case.machine(backend, n), backend.from_host
    state = machine.solve(move(n.y0), move(n.z0))
    along = {k: getattr(n, "d" + k) for k in ("weight", "bias") if getattr(n, "d" + k) is not None}
    tangent = machine.pushforward(state, move(n.dy0), move(n.dz0), **{k: move(a) for k, a in along.items()})
    stepped = machine.replace(**{k: move(getattr(n, k) + 1j * STEP * d) for k, d in along.items()})
    other = stepped.solve(move(n.y0 + 1j * STEP * n.dy0), move(n.z0 + 1j * STEP * n.dz0))
    want = case.with_(widths=(case.channels, case.channels, 0, 0)).oracle(backend, n)
    scale = want.tangent(n.dy0, n.dz0, along["weight"], along.get("bias"))
    for name in ("y", "z"):
        got, measured = to_host(getattr(tangent, name)), to_host(getattr(other, name)).imag / STEP
        assert (np.abs(got - measured) <= PARITY * (getattr(scale, "e" + name) + 1e-9)).all(), (
            name,
            got,
            measured,
            case,
        )


@given(case=cases(dtypes=("float64",)))
def test_the_pullback_itself_passes_the_complex_step(backend, case):
    """Complex states go through pullback: Im of the cotangent at y0 + ih ẏ0 is the derivative of the cotangent.

    For a linear machine with fixed weights the cotangent of y0 does not depend on y0: its imaginary part is zero.
    """
    loss = Loss(case, backend)
    n, move, machine = loss.n, loss.moved, loss.machine
    state = machine.solve(move(n.dy0 + 1j * STEP * n.dz0), move(n.z0))
    cotangent = machine.pullback(state, move(n.seed_z), y=move(n.seed_y))
    plain = machine.pullback(machine.solve(move(n.dy0), move(n.z0)), move(n.seed_z), y=move(n.seed_y))
    assert to_host(cotangent.weight).dtype == "complex128"
    for name in ("y0", "z0", "weight"):
        a, b = to_host(getattr(cotangent, name)), to_host(getattr(plain, name))
        assert (np.abs(a.real - b) <= PARITY * (1 + np.abs(b).max(initial=0))).all(), (name, a, b, case)
    if case.linear:
        assert not to_host(cotangent.y0).imag.any()
