"""Equilibrium machines obey the laws of every machine, whatever their blocks, solver, grid or activation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host

from .helpers import assert_close

PROXIMAL = ("relu", "tanh", "softplus", "sigmoid", "elu", "softsign", "leaky_relu", "hardtanh", "identity")
OTHERS = ("gelu_tanh", "silu", "sin", "mish")


@st.composite
def machines(draw, spec):
    sizes = tuple(draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
    axes = draw(st.integers(0, 1))
    padding = tuple((draw(st.integers(0, 1)), draw(st.integers(0, 1))) for _ in range(axes)) or None
    options = {"rng": draw(st.integers(0, 99)), "bias": draw(st.booleans()), "padding": padding, "backend": spec}
    if draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(PROXIMAL), min_size=len(sizes), max_size=len(sizes)))
        options |= {"tiers": draw(st.booleans()), "learn_margin": draw(st.booleans())}
        margin = draw(st.sampled_from([0.1, 1.0]))
        options["margin"] = [margin] * len(sizes) if draw(st.booleans()) else margin
        return mk.MonotoneMachine(sizes, names, **options)
    names = draw(st.lists(st.sampled_from(PROXIMAL + OTHERS), min_size=len(sizes), max_size=len(sizes)))
    return mk.EquilibriumMachine(sizes, names, **options)


@given(data=st.data())
def test_every_law_holds(spec, data):
    machine = data.draw(machines(spec))
    batch = data.draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,)]))
    mk.testing.check_machine(machine, rng=data.draw(st.integers(0, 999)), batch=batch)


NONLINEAR = ("peaceman-rachford", "forward-backward", "anderson", "newton-krylov", "broyden")
LINEAR = ("peaceman-rachford", "forward-backward", "bicgstab", "direct")


@pytest.mark.parametrize(
    ("solver", "dual_solver"), [*((name, "auto") for name in NONLINEAR), *(("auto", name) for name in LINEAR)]
)
def test_every_law_holds_with_every_solver(spec, solver, dual_solver):
    """Splitting and Krylov duals as well as factorised ones: `check_machine` asks for the finest tolerance."""
    m = mk.MonotoneMachine(
        (3, 2), "tanh", margin=0.5, rng=4, bias=True, backend=spec, solver=solver, dual_solver=dual_solver
    )
    mk.testing.check_machine(m, rng=5)


@pytest.mark.parametrize("kind", ["dense", "conv", "tiers", "plain"])
def test_every_law_holds_in_single_precision(spec, kind):
    options = {"rng": 1, "dtype": "float32", "bias": True, "backend": spec}
    if kind == "plain":
        m = mk.EquilibriumMachine((3, 2), "tanh", **options)
    else:
        extra = {"padding": ((1, 1),)} if kind == "conv" else {"tiers": kind == "tiers"}
        m = mk.MonotoneMachine((2, 2), "tanh", margin=0.5, **extra, **options)
    mk.testing.check_machine(m, rng=2)


def test_linear_equilibrium_machines_obey_the_laws(backend, spec):
    rng = np.random.default_rng(0)
    inside = mk.Diagonal(backend.from_host(rng.random((2, 5))))
    beyond = mk.Diagonal(backend.from_host(1.5 * rng.standard_normal((2, 5))))  # no proximal operator
    mk.testing.check_machine(mk.MonotoneMachine((3, 2), inside, rng=0, backend=spec), rng=1)
    mk.testing.check_machine(mk.EquilibriumMachine((3, 2), beyond, rng=0, backend=spec), rng=1)


def test_complex_equilibrium_machines_obey_the_laws(spec):
    mk.testing.check_machine(mk.EquilibriumMachine((2, 2), "tanh", rng=0, dtype="complex128", backend=spec), rng=1)


def test_the_dual_of_a_monotone_machine_is_one_and_obeys_the_laws(backend, spec):
    m = mk.MonotoneMachine((2, 3), "tanh", rng=3, tiers=True, padding=((1, 0),), backend=spec)
    x = backend.from_host(np.random.default_rng(0).standard_normal((2, 5, 5)))
    dual = m.dual(m.solve(x))
    assert type(dual) is mk.MonotoneMachine
    mk.testing.check_machine(dual, rng=1)


def test_pruned_couplings_stay_dead(backend, spec):
    m = mk.MonotoneMachine((3, 2), "tanh", rng=3, bias=True, backend=spec)
    keep = backend.from_host(np.random.default_rng(1).random((5, 5)) < 0.5)
    pruned = m.prune(keep)
    mk.testing.check_machine(pruned, rng=1)
    assert not to_host(pruned.kernel)[:3, 3:][~to_host(keep)[:3, 3:]].any()
    everything = mk.EquilibriumMachine((3, 2), "tanh", rng=3, backend=spec).prune(keep)
    mk.testing.check_machine(everything, rng=1)


@pytest.mark.parametrize("cls", [mk.EquilibriumMachine, mk.MonotoneMachine])
def test_jets_of_equilibria_and_their_duals(backend, spec, cls):
    """Orders 1 and 2 of a jet against central differences; the pullback of a jet is the adjoint of its pushforward."""
    rng = np.random.default_rng(7)
    m = cls((2, 2), "tanh", rng=2, bias=True, backend=spec, rtol=1e-13)
    x, d, e = (backend.from_host(rng.standard_normal((3, 4))) for _ in range(3))
    jet = m.jet(x, [d, e])
    h = 1e-4
    ends = [to_host(m.solve(x + s * d + 0.5 * s * s * e).z) for s in (-h, 0.0, h)]
    assert_close("first", jet.z[1], (ends[2] - ends[0]) / (2 * h), 1e-6)
    second = (ends[2] - 2 * ends[1] + ends[0]) / h**2
    assert_close("second", jet.z[2], second, 1e-5 * (1 + np.abs(second)))
    seeds = [backend.from_host(rng.standard_normal((3, 4))) for _ in range(3)]
    along = {name: backend.from_host(rng.standard_normal(tuple(a.shape))) for name, a in m.parameters().items()}
    back, push = m.jet_pullback(jet, z=seeds), m.jet_pushforward(jet, [d, x, None], **along)
    left = sum(float(to_host(c * z).sum()) for c, z in zip(seeds, push.z, strict=True))
    right = sum(float(to_host(back.parameters[n] * a).sum()) for n, a in along.items())
    right += float(to_host(back.y0[0] * d).sum()) + float(to_host(back.y0[1] * x).sum())
    assert left == pytest.approx(right, rel=1e-9)


def test_zero_diagonal_blocks_are_a_machine_of_finite_depth(backend, spec):
    rng = np.random.default_rng(0)
    finite = mk.DenseMachine((2, 3, 2), "gelu_tanh", rng=0, bias=True, backend=spec)
    m = mk.EquilibriumMachine((2, 3, 2), finite.activation, weight=finite.weight, bias=finite.bias)
    x = backend.from_host(rng.standard_normal((4, 7)))
    state, want = m.solve(x, x), finite.solve(x, x)
    assert_close("y", state.y, to_host(want.y), 0)
    assert m.depth_bound() == finite.depth_bound()
    assert state.info.solver == ("", "", "")
    assert not state.info.steps.any()
    assert not state.info.error_bound.any()


def test_a_block_between_others_is_solved_alone(backend, spec):
    """Only the second of three blocks reads itself; the couplings may be as large as they like."""
    rng = np.random.default_rng(1)
    weight = 30.0 * np.triu(np.ones((6, 6)), 1) * rng.standard_normal((6, 6))
    weight[:2, :2] = weight[2:4, 2:4] = weight[4:, 4:] = 0.0
    weight[2:4, 2:4] = [[0.0, -1.0], [1.0, 0.0]]
    m = mk.EquilibriumMachine((2, 2, 2), "relu", weight=backend.from_host(weight), rtol=1e-12)
    state = m.solve(backend.from_host(rng.standard_normal((3, 6))))
    assert [bool(word) for word in state.info.solver] == [False, True, False]
    residual = m.residual(state, state.inputs[0])
    assert_close("y", residual.y, np.zeros((3, 6)), 1e-9)
    mk.testing.check_machine(m, rng=1)


def test_theory_refuses_a_flag_for_an_equilibrium(spec):
    with pytest.raises(ValueError, match="not of finite depth"):
        mk.theory.flag(mk.MonotoneMachine((2,), rng=0, backend=spec))
    m = mk.MonotoneMachine((2,), rng=0, backend=spec)
    assert m.depth_bound() == mk.theory.depth(m) == mk.theory.structural_depth(m) == float("inf")
    with pytest.raises(ValueError, match=r"read themselves.*state\.info\.steps"):
        mk.theory.operation_counts(m)
    zero = mk.EquilibriumMachine((1, 2), weight=mk.DenseMachine((1, 2), rng=0, backend=spec).weight)
    assert mk.theory.depth(zero) == 3
