"""Whatever the solver, the answer is the fixed point: per sample, to the tolerance, or flagged."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.arrays import to_host
from machinekit.linear.operators import DenseOperator
from machinekit.solvers import BlockProblem, Outcome
from machinekit.solvers.settle import resume
from machinekit.solvers.splitting import forward_backward

from .fixed_points import ALL, GENERAL, LINEAR, SOLVERS, Affine, block, contraction, exact, monotone, solved, worst
from .helpers import assert_equal, locked
from .strategies import seeds

RTOL, LIMIT = 1e-12, 3000
TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
"""Case H2: with b = (1, 3) the equilibrium is (2, 1)."""


@pytest.mark.parametrize("sigma", ["relu", "tanh", "softplus"])
@pytest.mark.parametrize("name", SOLVERS)
@given(seed=seeds(), n=st.integers(1, 6), samples=st.integers(1, 4))
def test_contractions_are_solved(backend, name, sigma, seed, n, samples):
    rng = np.random.default_rng(seed)
    w, b = contraction(rng, n), rng.standard_normal((samples, n))
    outcome = SOLVERS[name](block(w, b, sigma, backend=backend), RTOL, 1e-14, LIMIT)
    assert outcome.converged.all(), (outcome, seed)
    assert worst(to_host(outcome.answer), exact(w, b, sigma)) < 1e-10


@pytest.mark.parametrize("sigma", ["relu", "tanh"])
@pytest.mark.parametrize("size", [0.5, 1.5])
@pytest.mark.parametrize("name", GENERAL)
def test_monotone_problems_are_solved_on_which_picard_fails(backend, name, size, sigma):
    rng = np.random.default_rng(5)
    n, samples = 12, 6
    w, b = monotone(rng, n, 0.2, size / n**0.5), rng.standard_normal((samples, n))
    problem = block(w, b, sigma, backend=backend)
    assert not ALL["picard"](problem, RTOL, 0.0, 200).converged.all()
    outcome = GENERAL[name](problem, RTOL, 0.0, LIMIT)
    assert outcome.converged.all(), outcome
    assert outcome.steps.max() < 400, outcome.steps
    assert worst(to_host(outcome.answer), exact(w, b, sigma)) < 1e-10


@pytest.mark.parametrize("name", LINEAR)
@given(seed=seeds(), n=st.integers(1, 6), samples=st.integers(1, 4))
def test_linear_problems_are_solved(backend, name, seed, n, samples):
    rng = np.random.default_rng(seed)
    w, b, slope = monotone(rng, n), rng.standard_normal((samples, n)), rng.uniform(0, 1, (samples, n))
    outcome = LINEAR[name](block(w, b, slope=slope, backend=backend), RTOL, 1e-14, LIMIT)
    assert outcome.converged.all(), (outcome, seed)
    assert worst(to_host(outcome.answer), solved(w, b, slope)) < 1e-10


@pytest.mark.parametrize("sigma", ["relu", "tanh", "slope"])
@pytest.mark.parametrize("name", ALL)
def test_the_complex_step_passes_through_every_solver(backend, name, sigma):
    """Im s = h (I − D W)⁻¹ D (dW s + db) for W + i h dW and b + i h db, h = 1e-20."""
    rng = np.random.default_rng(3)
    n, samples, h = 5, 3, 1e-20
    w = contraction(rng, n) if name == "picard" else monotone(rng, n)
    dw, b, db = rng.standard_normal((n, n)), *(rng.standard_normal((samples, n)) for _ in range(2))
    slope = rng.uniform(0, 1, (samples, n)) if sigma == "slope" or name == "bicgstab" else None
    problem = block(w + 1j * h * dw, b + 1j * h * db, sigma, None if slope is None else slope + 0j, backend)
    outcome = ALL[name](problem, RTOL, 0.0, LIMIT)
    assert outcome.converged.all(), outcome
    s = exact(w, b, sigma) if slope is None else solved(w, b, slope)
    y = s @ w.T + b
    d = slope if slope is not None else 1.0 * (y > 0) if sigma == "relu" else 1 - np.tanh(y) ** 2
    answer = to_host(outcome.answer)
    assert worst(answer.real, s) < 1e-10
    assert worst(answer.imag / h, solved(w, s @ dw.T + db, d)) < 1e-9


@pytest.mark.parametrize("name", LINEAR)
def test_complex_numbers_of_any_size_are_solved(backend, name):
    rng = np.random.default_rng(4)
    w, b, slope = monotone(rng, 4) + 0.2j * rng.standard_normal((4, 4)), rng.standard_normal((3, 4)), np.ones((3, 4))
    outcome = LINEAR[name](block(w, b + 0j, slope=slope + 0j, backend=backend), RTOL, 0.0, LIMIT)
    assert outcome.converged.all(), outcome
    assert worst(to_host(outcome.answer), solved(w, b + 0j, slope)) < 1e-10


@pytest.mark.parametrize("name", ALL)
def test_a_sample_does_not_know_of_its_batch_mates(backend, name):
    """Mates that diverge, stand still or are solved at once, and how many they are, change nothing but rounding."""
    rng = np.random.default_rng(6)
    a = np.stack([contraction(rng, 4, rate) for rate in (0.3, 0.9, 0.9)] + [50.0 * np.eye(4), np.zeros((4, 4))])
    c = rng.standard_normal((5, 4))
    if name in ("picard", "anderson"):
        c[4] = 1e308
        a[4] = 1e200 * np.eye(4)
    together = ALL[name](Affine(a, c, backend), 1e-10, 0.0, 300)
    for k in range(3):
        alone = ALL[name](Affine(a[k : k + 1], c[k : k + 1], backend), 1e-10, 0.0, 300)
        assert together.status[k] == alone.status[0] == "converged"
        assert worst(to_host(together.answer)[k : k + 1], to_host(alone.answer)) < 1e-8
        if name != "bicgstab":  # which verifies all samples at once
            assert name == "newton-krylov" or abs(int(together.steps[k]) - int(alone.steps[0])) <= 1
    assert np.isfinite(to_host(together.answer)).all()


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_no_solver_spends_more_than_it_may(backend, name, warm, limit):
    rng = np.random.default_rng(7)
    problem = Affine(np.stack([monotone(rng, 6) for _ in range(3)]), rng.standard_normal((3, 6)), backend)
    start = rng.standard_normal((3, 6))
    s = locked(backend, start)
    outcome = ALL[name](problem, 1e-14, 0.0, limit, warm=(s, s) if warm else None)
    assert problem.spent <= limit
    assert (outcome.steps <= problem.spent).all()
    assert (outcome.status == "max_steps").all()
    assert np.isfinite(to_host(outcome.answer)).all()
    if limit == 0:
        assert_equal("answer", outcome.answer, start if warm else problem.c)
    assert_equal("warm", s, start)


@pytest.mark.parametrize("limit", [4, 5, 6, 7])
def test_newton_keeps_an_evaluation_for_the_step_that_it_has_paid_for(backend, limit):
    rng = np.random.default_rng(14)
    w, b = contraction(rng, 20, 0.99), rng.standard_normal((3, 20))
    problem, want = block(w, b, "softplus", backend=backend), exact(w, b, "softplus")
    outcome = GENERAL["newton-krylov"](problem, 1e-12, 0.0, limit)
    assert worst(to_host(outcome.answer), want) < 0.8 * worst(to_host(problem.start()), want)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("name", ALL)
def test_nothing_to_solve_is_solved(backend, name, shape):
    problem = block(np.zeros((shape[1],) * 2), np.zeros(shape), slope=np.ones(shape), backend=backend)
    outcome = ALL[name](problem, 1e-6, 0.0, 9)
    assert outcome.answer.shape == shape
    assert outcome.converged.all()
    assert outcome.steps.shape == outcome.status.shape == shape[:1]


@pytest.mark.parametrize("name", SOLVERS)
def test_turning_round_is_solved_or_flagged(backend, name):
    """Case H2: Picard goes round (3, 0), (1, 0), (1, 2), (3, 2) for ever and must say so."""
    outcome = SOLVERS[name](block(TURN, np.array([[1.0, 3.0]]), backend=backend), 1e-10, 0.0, 500)
    if name == "picard":
        assert outcome.status.tolist() == ["max_steps"]
        assert outcome.steps.tolist() == [500]
    else:
        assert worst(to_host(outcome.answer), np.array([[2.0, 1.0]])) < 1e-9
    damped = SOLVERS["picard"](block(TURN, np.array([[1.0, 3.0]]), backend=backend), 1e-10, 0.0, 500, damping=0.5)
    assert damped.status.tolist() == ["converged"]
    assert worst(to_host(damped.answer), np.array([[2.0, 1.0]])) < 1e-9


def test_picard_is_exact_on_nilpotent_maps(backend):
    """Case H6: three blocks, three updates, and the next repeats bit for bit, however the couplings are scaled."""
    rng = np.random.default_rng(8)
    w = rng.standard_normal((6, 6)) * np.kron(np.array([[0, 0, 0], [1e-9, 0, 0], [0, 1e9, 0]]), np.ones((2, 2)))
    b = rng.standard_normal((4, 6))
    z = np.zeros_like(b)
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        z[:, rows] = np.tanh(z @ w[rows].T + b[:, rows])
    problem = block(w, b, "tanh", backend=backend)
    outcome = SOLVERS["picard"](problem, 1e-6, 0.0, 50)
    assert outcome.steps.max() <= 4
    assert_equal("g(s)", problem.image(outcome.answer), outcome.answer)
    assert worst(to_host(outcome.answer), z) < 1e-9


def test_truncated_picard_is_the_neumann_series(backend):
    rng = np.random.default_rng(9)
    w, b, slope = rng.standard_normal((3, 3)), rng.standard_normal((2, 3)), rng.uniform(0, 1, (2, 3))
    want, term = slope * b, slope * b
    for k in range(4):
        outcome = SOLVERS["picard"](block(w, b, slope=slope, backend=backend), 1e-6, 0.0, 0, steps=k)
        assert worst(to_host(outcome.answer), want) < 1e-12
        assert outcome.status.tolist() == ["truncated"] * 2
        assert outcome.steps.tolist() == [k] * 2
        term = slope * (term @ w.T)
        want = want + term


def test_what_diverges_is_flagged_and_its_best_iterate_kept(backend):
    a = np.stack([np.full((1, 1), 0.5), np.full((1, 1), -1e30)])
    outcome = SOLVERS["picard"](Affine(a, np.ones((2, 1)), backend), 1e-9, 0.0, 200)
    assert outcome.status.tolist() == ["converged", "diverged"]
    assert outcome.converged.tolist() == [True, False]
    assert to_host(outcome.answer)[1, 0] == 1 - 1e30  # the iterate of the smallest change


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["float32", "complex64"])
def test_asking_for_more_than_single_precision_ends_at_its_floor(backend, name, kind):
    rng = np.random.default_rng(10)
    w, b, slope = contraction(rng, 20, 0.7), rng.standard_normal((8, 20)), rng.uniform(0, 1, (8, 20))
    problem = block(w.astype(kind), b.astype(kind), slope=slope.astype(kind), backend=backend)
    outcome = ALL[name](problem, 1e-12, 0.0, LIMIT)
    assert set(outcome.status) <= {"floor", "converged"}, outcome
    assert outcome.steps.max() < 150, outcome.steps
    assert outcome.answer.dtype == problem.b.dtype
    assert worst(to_host(outcome.answer).real, solved(w, b, slope)) < 3e-5


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e25])
def test_single_precision_does_not_depend_on_the_unit(backend, name, scale):
    """A seed of 1e-30 has squares that float32 does not know."""
    rng = np.random.default_rng(11)
    w, b, slope = monotone(rng, 5), rng.standard_normal((3, 5)), rng.uniform(0, 1, (3, 5))
    single = [a.astype(np.float32) for a in (w, scale * b, slope)]
    outcome = LINEAR[name](block(*single[:2], slope=single[2], backend=backend), 1e-5, 0.0, 400)
    assert outcome.converged.all(), outcome
    assert worst(to_host(outcome.answer) / scale, solved(w, b, slope)) < 1e-3


@pytest.mark.parametrize("name", ALL)
def test_starting_at_the_answer_ends_there(backend, name):
    rng = np.random.default_rng(12)
    w, b, slope = contraction(rng, 5), rng.standard_normal((3, 5)), rng.uniform(0, 1, (3, 5))
    want = solved(w, b, slope)
    s = locked(backend, want)
    outcome = ALL[name](block(w, b, slope=slope, backend=backend), 1e-9, 0.0, 50, warm=(s, s))
    assert outcome.converged.all()
    assert outcome.steps.max() <= 2
    assert worst(to_host(outcome.answer), want) < 1e-12


@pytest.mark.parametrize("name", ["picard", "anderson", "broyden"])
def test_memory_does_not_grow_with_the_steps(spec, name):
    if spec != "numpy":
        pytest.skip("tracemalloc sees NumPy's memory only")
    rng = np.random.default_rng(13)
    w, b = contraction(rng, 100, 0.99), rng.standard_normal((100, 100))
    peaks = []
    for limit in (30, 120):
        problem = block(w, b, "tanh")
        tracemalloc.start()
        SOLVERS[name](problem, 1e-300, 0.0, limit)
        peaks.append(tracemalloc.get_traced_memory()[1] / b.nbytes)
        tracemalloc.stop()
    assert peaks[1] <= peaks[0] + 1, peaks
    assert peaks[1] <= {"picard": 10, "anderson": 10 + 20, "broyden": 40 + 20}[name], peaks


def test_what_a_second_solver_finds_is_kept_and_what_the_first_found_stays():
    """Samples: converged at once; taken over and converged; taken over in vain; diverged and taken over in vain."""
    first = Outcome(np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([1, 5, 5, 5]),
                    np.array(["converged", "max_steps", "max_steps", "diverged"]), "a")  # fmt: skip
    second = Outcome(np.array([[-1.0], [-2.0], [-3.0], [-4.0]]), np.array([7, 7, 7, 7]),
                     np.array(["converged", "converged", "max_steps", "max_steps"]), "b")  # fmt: skip
    budgets = []
    both = resume(first, 20, lambda s, left: budgets.append(left) or second)
    assert both.answer[:, 0].tolist() == [1.0, -2.0, 3.0, -4.0]
    assert both.status.tolist() == ["converged", "converged", "max_steps", "max_steps"]
    assert both.steps.tolist() == [1, 12, 12, 12]
    assert budgets == [15]
    assert resume(first, 5, lambda s, left: second) is first, "nothing is left to spend"


def test_forward_backward_falls_back_on_the_step_that_always_contracts():
    """On a fast rotation α = 1/L grows, |1 − α(m + iω)| > 1, and α = m/L² does not."""
    m, omega = 0.5, 1.5
    turn = np.array([[1.0 - m, omega], [-omega, 1.0 - m]])
    problem = BlockProblem(DenseOperator(turn), np.array([[1.0, 2.0]]), None, np.ones((1, 2)), m)
    outcome = forward_backward(problem, 1e-10, 0.0, 10_000)
    assert outcome.converged.all()
    want = np.linalg.solve((np.eye(2) - turn).T, [1.0, 2.0])
    assert np.allclose(outcome.answer[0], want, rtol=0, atol=1e-8)
