"""Equilibria that can be checked by hand, and recipes whose sums are known to many digits."""

from __future__ import annotations

import math

import numpy as np
import pytest

import machinekit as mk

from .helpers import assert_close, assert_equal

SOLVERS = ("auto", "peaceman-rachford", "forward-backward", "anderson", "broyden", "newton-krylov")
CORNER = np.array([[0.0, 1.0], [0.0, 0.0]])
"""B of the rotation W = [[0, 1], [−1, 0]], A being zero and the margin 1."""
TIGHT = 1e-12


def monotone(backend, a, b, margin=1.0, activation="relu", **options):
    a, b = (backend.from_host(np.asarray(x, dtype=float)) for x in (a, b))
    return mk.MonotoneMachine((a.shape[0],), activation, margin=margin, A=a, B=b, rtol=1e-13, **options)


@pytest.mark.parametrize("solver", [*SOLVERS, "active-set"])
def test_one_unit_by_hand(backend, solver):
    """W = [−1], ReLU: z = y0/2, v = u = ½; in general z = y0/(m + a²)."""
    m = monotone(backend, [[1.0]], [[0.0]], solver=solver)
    state = m.solve(backend.from_host(np.array([3.0])))
    cotangent = m.pullback(state, backend.from_host(np.array([1.0])))
    assert_close("z", state.z, [1.5], TIGHT)
    assert_close("v", cotangent.y0, [0.5], TIGHT)
    assert_close("u", cotangent.saved.y, [0.5], TIGHT)
    assert_close("W̄", m.project(cotangent.weight), [[0.0]], 0)
    for name, want in (("A", [[-1.5]]), ("B", [[0.0]]), ("margin", -0.75)):
        assert_close(name, cotangent.parameters[name], want, TIGHT)
    assert_close("z", monotone(backend, [[0.5]], [[0.0]], 0.75)(backend.from_host(np.array([[3.0]]))), [[3.0]], TIGHT)


@pytest.mark.parametrize("solver", [*SOLVERS, "active-set"])
def test_a_rotation_by_hand(backend, solver):
    m = monotone(backend, np.zeros((2, 2)), CORNER, solver=solver)
    state = m.solve(backend.from_host(np.array([[1.0, 3.0]])))
    cotangent = m.pullback(state, backend.from_host(np.array([[1.0, 0.0]])))
    assert_close("z", state.z, [[2.0, 1.0]], TIGHT)
    assert_close("v", cotangent.saved.z, [[0.5, 0.5]], TIGHT)
    assert_close("u", cotangent.saved.y, [[0.5, 0.5]], TIGHT)
    assert_close("B̄", cotangent.parameters["B"], [[0.0, -0.5], [0.5, 0.0]], TIGHT)
    assert_close("Ā", cotangent.parameters["A"], np.zeros((2, 2)), TIGHT)
    assert_close("m̄", cotangent.parameters["margin"], -1.5, TIGHT)


def test_the_weight_cotangent_of_the_rotation(backend):
    m = mk.EquilibriumMachine((2,), "relu", weight=backend.from_host(np.array([[0.0, -1.0], [1.0, 0.0]])), rtol=1e-13)
    state = m.solve(backend.from_host(np.array([[1.0, 3.0]])))
    cotangent = m.pullback(state, backend.from_host(np.array([[1.0, 0.0]])))
    assert_close("W̄ in the layout [in, out]", cotangent.weight, [[1.0, 1.0], [0.5, 0.5]], TIGHT)


def test_picard_cycles_on_the_rotation_and_says_so(backend):
    m = monotone(backend, np.zeros((2, 2)), CORNER, solver="picard", max_steps=50)
    with pytest.raises(mk.ConvergenceError, match=r"1 of 1 samples.*max_steps=50") as caught:
        m.solve(backend.from_host(np.array([[1.0, 3.0]])))
    assert caught.value.info.status.tolist() == ["max_steps"]
    assert caught.value.best.z.shape == (1, 2)


def test_a_state_that_rests_at_zero_is_not_taken_for_converged(backend):
    """The first iterate is z = (0, 0) and stays for a step, while the splitting variable moves."""
    m = monotone(backend, np.zeros((2, 2)), CORNER, solver="peaceman-rachford")
    state = m.solve(backend.from_host(np.array([[1.0, -3.0]])))
    cotangent = m.pullback(state, backend.from_host(np.array([[1.0, 0.0]])))
    assert_close("z", state.z, [[1.0, 0.0]], TIGHT)
    assert_close("y", state.y, [[1.0, -4.0]], TIGHT)
    assert_close("v", cotangent.saved.z, [[1.0, 0.0]], TIGHT)
    assert_close("u", cotangent.saved.y, [[1.0, 1.0]], TIGHT)


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_tanh_by_hand(backend, solver):
    m = monotone(backend, [[1.0]], [[0.0]], activation="tanh", solver=solver)
    state = m.solve(backend.from_host(np.array([[0.5 + math.atanh(0.5)]])))
    assert_close("z", state.z, [[0.5]], TIGHT)
    assert_close("dz/dy0", m.pushforward(state, backend.from_host(np.array([[1.0]]))).z, [[3.0 / 7.0]], TIGHT)


def test_nothing_active_makes_no_division_by_zero(backend):
    m = monotone(backend, np.zeros((3, 3)), np.zeros((3, 3)))
    seed = np.array([[1.0, 2.0, 3.0]])
    state = m.solve(backend.from_host(-seed))
    cotangent = m.pullback(state, backend.from_host(seed))
    assert_equal("z", state.z, np.zeros((1, 3)))
    assert_equal("v", cotangent.saved.z, np.zeros((1, 3)))
    assert_equal("u", cotangent.saved.y, seed)


def test_strictly_triangular_blocks_are_exact_after_as_many_steps_as_blocks(backend):
    rng = np.random.default_rng(3)
    finite = mk.DenseMachine((2, 3, 2), "tanh", weight=backend.from_host(rng.standard_normal((7, 7))))
    m = mk.EquilibriumMachine((7,), "tanh", weight=finite.weight, solver="picard", rtol=1e-13)
    y0 = backend.from_host(rng.standard_normal((4, 7)))
    state = m.solve(y0)
    assert_close("z", state.z, backend_host(finite.solve(y0).z), 1e-15 * 64)
    assert state.info.steps.max() <= 4
    assert float(state.info.residual.max()) == 0.0


def backend_host(array):
    from machinekit.arrays import to_host

    return to_host(array)


RECIPES = {
    "R1": (7, 6, 3, 4, 1.0, "relu", (9.303256267, 4.493261644550, -0.247595769196, -0.075433097523, -9.053722492144,
                                    -3.065405784572, 1.663792546181, -0.528430304077, 0.004465238444)),
    "R2": (7, 6, 3, 4, 0.25, "tanh", (8.599732519, 1.275297960905, 1.360799417672, -0.079916917229, -1.031632704550,
                                     -1.493800620724, 3.943331414169, -1.790580825650, 0.205888791241)),
    "R3": (12, 8, 5, 3, 0.5, "softplus", (11.779155662, 12.504923427161, -1.025052131900, -0.438529944755,
                                         0.711019230913, 6.611477688012, 1.603972357300, -0.150125980413,
                                         0.172939978464)),
}  # fmt: skip


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_to_nine_digits(backend, recipe, solver):
    seed, n, d, samples, margin, activation, wanted = RECIPES[recipe]
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, n)) * 0.7, rng.standard_normal((n, n)) * 0.7
    u, bias = rng.standard_normal((n, d)), rng.standard_normal(n)
    x, c = rng.standard_normal((samples, d)), rng.standard_normal((samples, n))
    m = monotone(backend, a, b, margin, activation, solver=solver)
    state = m.solve(backend.from_host(x @ u.T + bias))
    cotangent = m.pullback(state, backend.from_host(c))
    z, back_y, back_z = (backend_host(array) for array in (state.z, cotangent.saved.z, cotangent.saved.y))
    a_bar, b_bar, m_bar = (backend_host(cotangent.parameters[name]) for name in ("A", "B", "margin"))
    got = (m._blocks.operator(0, ()).norm(), z.sum(), (c * z).sum(), back_y.sum(), back_z.sum(), a_bar.sum(),
           np.linalg.norm(b_bar), (back_y.T @ x).sum(), float(m_bar))  # fmt: skip
    names = ("L", "Σz", "loss", "Σv", "Σu", "ΣĀ", "‖B̄‖", "ΣŪ", "m̄")
    for name, value, want in zip(names, got, wanted, strict=True):
        assert value == pytest.approx(want, abs=2e-9, rel=1e-9), name
