"""Anderson and Broyden step by step against dense algebra, and what keeps them from running away."""

from __future__ import annotations

import numpy as np
import pytest

from machinekit.arrays import to_host
from machinekit.solvers.anderson import _Mixing
from machinekit.solvers.broyden import _Inverse
from machinekit.solvers.safeguard import Safeguard

from .fixed_points import GENERAL, block, exact, monotone, worst
from .helpers import assert_close, assert_equal

N = 7


def sequence(backend, make, steps, fresh=None):
    """Feed residuals f = C x + c of steadily less size; return the x, the f and the answers of a two-sample method."""
    rng = np.random.default_rng(0)
    matrix = -np.eye(N) + 0.15 * rng.standard_normal((2, N, N))
    x, c = rng.standard_normal((2, 2, N))
    method = make(backend.from_host(x))
    xs, fs, answers = [], [], []
    for k in range(steps):
        f = np.einsum("kij,kj->ki", matrix, x) + c
        mask = np.zeros(2, bool) if fresh is None else np.array([False, k == fresh])
        xs.append(x)
        fs.append(f)
        answers.append(to_host(method.next(backend.from_host(x), backend.from_host(f), mask)))
        x = answers[-1]
    return np.array(xs), np.array(fs), np.array(answers)


def plain(dx, df) -> float:
    return float(np.clip(-(dx @ df) / (df @ df), 1e-4, 1.0))


@pytest.mark.parametrize("fresh", [None, 3])
@pytest.mark.parametrize("history", [1, 2, 5])
def test_anderson_mixes_by_least_squares_on_the_last_differences(backend, history, fresh):
    """γ = argmin ‖f − ΔF γ‖, next x + β f − (ΔX + β ΔF) γ; fresh units forget the differences before."""
    xs, fs, answers = sequence(backend, lambda like: _Mixing(like, history), 6, fresh)
    for sample in range(2):
        since = 0
        for k in range(1, 6):
            if fresh == k and sample == 1:
                since = k
                continue
            x, f = xs[max(since, k - history) : k + 1, sample], fs[max(since, k - history) : k + 1, sample]
            dx, df = np.diff(x, axis=0).T, np.diff(f, axis=0).T
            gamma = np.linalg.lstsq(df, f[-1], rcond=None)[0]
            beta = plain(dx[:, -1], df[:, -1])
            want = x[-1] - dx @ gamma + beta * (f[-1] - df @ gamma)
            assert_close("next", answers[k, sample], want, 1e-6, sample, k)


def test_anderson_forgets_what_was_beyond_the_numbers(backend):
    """A residual of 1.7e308, whose products are infinite, leads back; the next steps mix what came since."""
    rng = np.random.default_rng(2)
    x, f = rng.standard_normal((2, 6, 2, N))  # the second sample has no such accident
    f[2, 0] = 1.7e308
    f[0] *= 10.0
    f[1] *= 0.5  # where it leads back to
    mixing, calm = _Mixing(backend.from_host(x[0]), 5), np.zeros(2, bool)
    with np.errstate(all="ignore"):
        last = [to_host(mixing.next(backend.from_host(x[k]), backend.from_host(f[k]), calm)) for k in range(4)]
    assert_close("the way back", last[2][0], x[1, 0] + mixing_beta(x, f) * f[1, 0], 1e-12)
    dx, df = (x[3] - x[1])[0], (f[3] - f[1])[0]
    gamma = (df @ f[3, 0]) / (df @ df)
    beta = plain(dx, df) if -(dx @ df) > 0 else mixing_beta(x, f)
    assert_close("next", last[3][0], x[3, 0] - gamma * dx + beta * (f[3, 0] - gamma * df), 1e-6)


def mixing_beta(x, f) -> float:
    """Return half of the β of the first step, or of 1 if that met no curvature."""
    dx, df = (x[1] - x[0])[0], (f[1] - f[0])[0]
    return 0.5 * (plain(dx, df) if -(dx @ df) > 0 else 1.0)


@pytest.mark.parametrize("fresh", [None, 3])
@pytest.mark.parametrize("history", [2, 20])
def test_broyden_keeps_the_dense_inverse(backend, history, fresh):
    """H ← H + (d − H Δf) dᵀH / dᵀHΔf, from −β I at the start, and anew after `history` pairs or in fresh units."""
    xs, fs, answers = sequence(backend, lambda like: _Inverse(like, history), 6, fresh)
    for sample in range(2):
        h, pairs, beta = -np.eye(N), 0, 1.0
        for k in range(1, 6):
            d, df = xs[k, sample] - xs[k - 1, sample], fs[k, sample] - fs[k - 1, sample]
            if fresh == k and sample == 1:
                h, pairs = -beta * np.eye(N), 0
            else:
                beta = plain(d, df)
                if pairs == history:
                    h, pairs = -beta * np.eye(N), 0
                assert abs(d @ h @ df) >= 0.1 * (d @ d)  # no damping here
                h, pairs = h + np.outer(d - h @ df, d @ h) / (d @ h @ df), pairs + 1
                assert_close("secant", h @ df, d, 1e-9)
            assert_close("next", answers[k, sample], xs[k, sample] - h @ fs[k, sample], 1e-9, sample, k)


def test_broyden_damps_an_update_that_would_make_it_singular(backend):
    """Δf perpendicular to d gives vᵀΔf = 0; the denominator becomes 0.1 ‖d‖² and θ = 0.9."""
    inverse = _Inverse(backend.from_host(np.zeros((1, 2))), 5)
    inverse.next(backend.from_host(np.zeros((1, 2))), backend.from_host(np.array([[1.0, 0.0]])), np.zeros(1, bool))
    x, f = np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])
    got = to_host(inverse.next(backend.from_host(x), backend.from_host(f), np.zeros(1, bool)))
    d, df, h = x[0], np.array([0.0, 1.0]), -np.eye(2)
    h = h + 0.9 * np.outer(d - h @ df, h.T @ d) / (0.1 * d @ d)
    assert_close("next", got[0], x[0] - h @ f[0], 1e-12)


def feed(guard, backend, x, f, fresh=False):
    """Show one sample on a line; return where it goes on, whether it starts again, and β."""
    x, f = (backend.from_host(np.array([[float(a), 0.0]])) for a in (x, f))
    x, f, _, _, again = guard.look(x, f, np.array([fresh]))
    return float(to_host(x)[0, 0]), float(to_host(f)[0, 0]), bool(again[0]), float(to_host(guard.beta)[0, 0])


@pytest.fixture
def guard(backend):
    return Safeguard(backend.from_host(np.zeros((1, 2))))


def test_the_plain_step_follows_the_curvature(backend, guard):
    assert feed(guard, backend, 0, 8) == (0, 8, True, 1.0)
    assert feed(guard, backend, 1, 4) == (1, 4, False, 0.25)
    assert feed(guard, backend, 2, 41) == (1, 4, True, 0.125)  # gone astray: back, and half the step
    assert feed(guard, backend, 2, 3.5) == (2, 3.5, False, 1.0)  # never above 1
    assert feed(guard, backend, 3, 4.5) == (3, 4.5, False, 1.0)  # no curvature, no news
    assert feed(guard, backend, 3.0001, -30) == (3.0001, -30, False, 1e-4)  # never below 1e-4


def test_fresh_units_are_no_step_and_no_growth(backend, guard):
    feed(guard, backend, 0, 8)
    feed(guard, backend, 1, 4)
    assert feed(guard, backend, 1e6, 4e6, fresh=True) == (1e6, 4e6, True, 0.25)
    assert feed(guard, backend, 2e6, 2e6) == (2e6, 2e6, False, 0.5)


def test_a_residual_ten_times_the_best_leads_back_and_twice_as_much_is_allowed_then(backend, guard):
    feed(guard, backend, 5, 1)
    assert feed(guard, backend, 6, 9.9)[:3] == (6, 9.9, False)
    assert feed(guard, backend, 7, 10.1)[:3] == (5, 1, True)
    assert feed(guard, backend, 8, 19.9)[:3] == (8, 19.9, False)
    assert feed(guard, backend, 8, 20.1)[:3] == (5, 1, True)
    assert feed(guard, backend, 8, 39.9)[:3] == (8, 39.9, False)
    assert feed(guard, backend, 9, 0.5)[:3] == (9, 0.5, False)
    assert feed(guard, backend, 8, 5.1)[:3] == (9, 0.5, True)  # progress, so 10 times again


def test_twenty_steps_without_progress_lead_back(backend, guard):
    feed(guard, backend, 5, 1)
    assert [k for k in range(100) if feed(guard, backend, 6, 2)[2]] == [20, 61]


@pytest.mark.parametrize("sigma", ["relu", "tanh"])
@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("name", GENERAL)
def test_steep_monotone_problems_are_solved(backend, name, kind, sigma):
    """‖I − W‖ near 20 and a margin of 0.1; undamped Anderson and Broyden without a safeguard do not solve these."""
    rng = np.random.default_rng(20)
    w, b = monotone(rng, 20, 0.1, 2 / 20**0.5), rng.standard_normal((10, 20))
    noise = 1e-20j * rng.standard_normal(b.shape) if kind is complex else 0
    outcome = GENERAL[name](block(w.astype(kind), b + noise, sigma, backend=backend), 1e-12, 0.0, 3000)
    assert outcome.converged.all(), outcome
    assert outcome.steps.max() <= (200 if kind is float else 1000) * (1 + 2 * (name == "newton-krylov")), outcome.steps
    assert worst(to_host(outcome.answer).real, exact(w, b, sigma)) < 1e-9


def test_a_kink_between_slopes_far_apart_is_solved(backend):
    """s = relu(301 − 300 s): F has slope −301 on one side of the kink, near the answer, and −1 on the other."""
    for name in GENERAL:
        outcome = GENERAL[name](block([[-300.0]], np.array([[301.0]]), backend=backend), 1e-12, 0.0, 500)
        assert outcome.converged.all()
        assert_close(name, outcome.answer, np.ones((1, 1)), 1e-9)


@pytest.mark.parametrize("name", ["anderson", "broyden"])
def test_the_last_image_is_measured_and_not_mixed(backend, name, monkeypatch):
    """With a budget of two evaluations there is one step, and history never asks for more than the budget."""
    taken = []
    for kind in (_Mixing, _Inverse):
        old = kind.next
        monkeypatch.setattr(kind, "next", lambda self, *a, old=old: taken.append(self._history) or old(self, *a))
    rng = np.random.default_rng(1)
    w, b = monotone(rng, 4), rng.standard_normal((2, 4))
    GENERAL[name](block(w, b, backend=backend), 1e-12, 0.0, 2, history=50)
    assert taken == [2]


def test_inputs_of_a_step_are_left_alone(backend):
    x, f = np.ones((2, 3)), np.arange(6.0).reshape(2, 3)
    for make in (_Mixing, _Inverse):
        moved, residual = backend.from_host(x), backend.from_host(f)
        method = make(residual, 3)
        for _ in range(3):
            method.next(moved, residual, np.zeros(2, bool))
        assert_equal("x", moved, x)
        assert_equal("f", residual, f)
