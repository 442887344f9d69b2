"""What an equilibrium machine tells, certifies, refuses and keeps: stopping, failures, warm starts, independence."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.linear.operators import DenseOperator

from .helpers import assert_close, assert_equal

SPLITTING = ("peaceman-rachford", "forward-backward")


def hard(spec, margin=0.1, **options):
    """A machine whose iterations contract slowly: eigenvalues of I − W far from the real axis."""
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 12, 12)) * 0.5
    return mk.MonotoneMachine((12,), "relu", margin=margin, A=a, B=b, **options).to(spec)


def drawn(backend, shape, seed=0):
    return backend.from_host(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("solver", SPLITTING)
@pytest.mark.parametrize("margin", [0.1, 1.0])
def test_the_error_bound_is_one_and_the_tolerance_is_met(backend, spec, rtol, solver, margin):
    m = hard(spec, margin, solver=solver, rtol=rtol)
    y0 = drawn(backend, (40, 12))
    state, exact = m.solve(y0), m.with_options(solver="active-set", rtol=1e-12).solve(y0)
    error = np.linalg.norm(to_host(state.z - exact.z), axis=1)
    size = np.linalg.norm(to_host(exact.z), axis=1)
    rounding = 1e-12 * (1.0 + size)
    assert (error <= state.info.error_bound + rounding).all(), "the certificate bounds the error"
    assert (state.info.error_bound <= 1e3 * (error + rounding)).all(), "and is not idle"
    assert (error <= 10 * rtol * (1 + size)).all(), "the observed contraction sees slow convergence"
    assert state.info.converged.all()
    assert (state.info.steps > 0).all()
    left = m.residual(state, y0)
    assert_close("residual", np.linalg.norm(to_host(left.y), axis=1), state.info.residual, 1e-9)
    assert_close("z is exactly σ(y)", left.z, np.zeros(left.z.shape), 1e-15)


def test_the_error_bound_is_carried_through_couplings(backend, spec):
    m = mk.MonotoneMachine((4, 3, 3), ["relu", "tanh", "softplus"], margin=[0.5, 1.0, 0.3], rng=2, rtol=1e-3)
    m = m.replace(weight=5.0 * m.weight).to(spec)
    y0 = drawn(backend, (30, 10))
    state, exact = m.solve(y0), m.with_options(rtol=1e-12).solve(y0)
    error = np.linalg.norm(to_host(state.z - exact.z), axis=1)
    assert (error > 1e-7).any()
    assert (error <= state.info.error_bound + 1e-11).all()
    cotangent, sharp = (k.pullback(exact, y0) for k in (m, m.with_options(rtol=1e-12)))
    error = np.linalg.norm(to_host(cotangent.saved.z - sharp.saved.z), axis=1)
    assert (error <= cotangent.saved.info.error_bound + 1e-10).all()


def test_no_certificate_is_claimed_where_none_is_known(backend, spec):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 5))
    weight *= 2.0 / np.linalg.norm(weight, 2)
    m = mk.EquilibriumMachine((5,), "sin", weight=backend.from_host(0.3 * weight))
    assert np.isinf(m.solve(drawn(backend, (3, 5))).info.error_bound).all()


def test_a_sample_does_not_know_its_batch_mates(backend, spec):
    """Alone, or beside one a thousand times larger that needs more steps: the same equilibrium, to rounding."""
    for solver in (*SPLITTING, "anderson", "newton-krylov", "active-set"):
        m = hard(spec, solver=solver)
        y0 = np.random.default_rng(3).standard_normal((6, 12))
        y0[1] *= 1e3
        together = m.solve(backend.from_host(y0))
        for k in range(6):
            alone = m.solve(backend.from_host(y0[k]))
            rounding = 1e-8 if solver in ("anderson", "newton-krylov") else 1e-11  # small systems amplify it
            assert_close(solver, alone.z, to_host(together.z)[k], rounding * (1 + np.abs(y0[k]).max()), k)
            if solver in SPLITTING:
                assert alone.info.steps == together.info.steps[k]


def test_single_samples_never_stop_at_a_wrong_equilibrium(backend, spec):
    """A rule that tests the change of z does, for some in a hundred of such machines."""
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n = int(rng.choice([2, 4, 8]))
        a, b = rng.standard_normal((2, n, n))
        m = mk.MonotoneMachine((n,), "relu", margin=0.5, A=a, B=b, solver="peaceman-rachford").to(spec)
        state = m.solve(drawn(backend, (n,), seed))
        assert float(state.info.residual) <= 1e-4 * (1 + np.abs(to_host(state.y)).max()), seed


@pytest.mark.parametrize("verb", ["solve", "pullback", "pushforward"])
def test_what_has_not_converged_raises_warns_or_is_returned(backend, spec, verb):
    m = hard(spec, max_steps=3, rtol=1e-9, solver="peaceman-rachford", dual_solver="peaceman-rachford")
    y0 = drawn(backend, (4, 12))
    good = m.with_options(max_steps=10_000).solve(y0)
    run = {
        "solve": lambda k: k.solve(y0),
        "pullback": lambda k: k.pullback(good, y0).saved,
        "pushforward": lambda k: k.pushforward(good, y0),
    }[verb]
    with pytest.raises(mk.ConvergenceError, match=r"4 of 4 samples.*max_steps=3.*largest residual") as caught:
        run(m)
    error = caught.value
    assert error.info["status"].tolist() == ["max_steps"] * 4
    assert error.best.z.shape == (4, 12)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.info.steps.tolist() == [3] * 4
    with pytest.warns(mk.ConvergenceWarning, match=r"has not converged"):
        run(m.with_options(on_failure="warn"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = run(m.with_options(on_failure="return"))
    assert_equal("the best iterate", kept.z, error.best.z)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_tiny_budgets_are_kept(backend, spec, steps):
    for solver in (*SPLITTING, "anderson", "broyden", "newton-krylov", "picard", "active-set"):
        m = hard(spec, max_steps=steps, solver=solver, on_failure="return")
        state = m.solve(drawn(backend, (3, 12)))
        assert not state.info.converged.any(), solver
        assert (state.info.steps <= steps).all(), solver
        assert np.isfinite(to_host(state.z)).all()


def test_warm_starts_save_steps_and_change_nothing(backend, spec):
    for solver in (*SPLITTING, "anderson"):
        m = hard(spec, 1.0, solver=solver)
        y0 = drawn(backend, (5, 12))
        cold = m.solve(y0)
        moved = m.replace(A=m.A + 1e-4 * drawn(backend, (12, 12), 9))
        fresh, warm = moved.solve(y0), moved.solve(y0, warm=cold)
        assert warm.info.steps.max() < fresh.info.steps.max(), solver
        assert_close(solver, warm.z, to_host(fresh.z), 1e-4)
        assert m.solve(y0, warm=cold).info.steps.max() <= 8
    shifted = drawn(backend, (5, 12), 4)
    m = m.with_options(solver="peaceman-rachford")
    cold, warm = (m.solve(y0, shifted, warm=w) for w in (None, m.solve(y0, shifted)))
    assert_close("with z0", warm.z, to_host(cold.z), 1e-4)
    assert warm.info.steps.max() <= 8 < cold.info.steps.max(), "the splitting variable is that of σ(y), without z0"


def test_single_precision_stops_at_its_floor(backend, spec):
    m = hard(spec, 1.0, rtol=3e-6).astype("float32")
    state = m.solve(drawn(backend, (8, 12)).astype("float32") if spec == "numpy" else _single(backend, (8, 12)))
    assert state.info.converged.all()
    assert state.info.steps.max() < 200
    with pytest.raises(
        ValueError, match=r"rtol is 1e-07, but rounding in float32 allows no less than.*astype\('float64'\)"
    ):
        m.with_options(rtol=1e-7).solve(_single(backend, (8, 12)))
    assert m.finest_rtol() == pytest.approx(2 * np.finfo(np.float32).eps * (1 + m._blocks.operator(0, ()).norm()))
    sharp = m.with_options(rtol=1.01 * m.finest_rtol())
    for solver in (*SPLITTING, "anderson"):
        info = sharp.with_options(solver=solver).solve(_single(backend, (8, 12))).info
        assert info.converged.all(), solver
        assert info.steps.max() < 2000, solver


def _single(backend, shape):
    return backend.from_host(np.random.default_rng(0).standard_normal(shape), "float32")


def test_input_that_is_not_finite_is_refused_before_any_step(backend, spec):
    m = hard(spec)
    for bad in (np.nan, np.inf):
        y0 = np.zeros((2, 12))
        y0[1, 3] = bad
        with pytest.raises(ValueError, match=r"y0 .* is not finite"):
            m.solve(backend.from_host(y0))
        with pytest.raises(ValueError, match=r"z0 is not finite"):
            m.solve(drawn(backend, (2, 12)), backend.from_host(y0))


def test_truncated_duals_approach_the_exact_one(backend, spec):
    """Two Peaceman–Rachford steps come far closer than dropping the inverse (the Jacobian-free gradient)."""
    m = hard(spec, 1.0)
    y0, seed = drawn(backend, (20, 12)), drawn(backend, (20, 12), 1)
    state = m.solve(y0)

    def cotangent(machine):
        found = machine.pullback(state, seed)
        return to_host(found.parameters["A"]).ravel(), found

    exact, _ = cotangent(m.with_options(rtol=1e-12))
    cosines = []
    for steps in (0, 2, 4, 40):
        got, found = cotangent(m.with_options(dual_steps=steps))
        assert set(found.saved.info.status) == {"truncated"}
        assert set(found.saved.info.steps) == {steps}
        cosines.append(float(got @ exact / np.linalg.norm(got) / np.linalg.norm(exact)))
    assert cosines[0] < cosines[1] < cosines[2] < cosines[3]
    assert cosines[0] < 0.95
    assert cosines[1] > 0.9
    assert cosines[3] > 1 - 1e-6
    free = m.with_options(dual_steps=0).pullback(state, seed)
    assert_equal("Jacobian-free: v = D u0", free.saved.z, np.where(to_host(state.y) > 0, to_host(seed), 0.0))
    tangent = m.with_options(dual_steps=0).pushforward(state, y0)
    assert_close("the tangent is exact all the same", tangent.z, to_host(m.pushforward(state, y0).z), 1e-5)
    plain = mk.EquilibriumMachine((12,), "sin", rng=0).to(spec)  # not monotone: no splitting
    at, other = plain.solve(y0), plain.with_options(dual_steps=2)
    exact, tangent = plain.pullback(at, seed), plain.pushforward(at, y0)
    assert_close("exact", other.pushforward(at, y0).z, to_host(tangent.z), 1e-5)
    assert np.linalg.norm(to_host(other.pullback(at, seed).saved.z - exact.saved.z)) > 1e-3
    d, g, w = to_host(plain.slope(at)), to_host(seed), to_host(plain.weight)
    step = d * ((d * g) @ w.T + g)
    assert_close("two terms of Neumann's series", other.pullback(at, seed).saved.z, d * (step @ w.T + g), 1e-12)
    twice = other.dual(at).dual(other.dual(at).solve(seed))
    assert_close("the dual of the dual is the tangent", twice.solve(y0).z, to_host(tangent.z), 1e-5)
    smooth = mk.MonotoneMachine((3,), "tanh", rng=0, dual_steps=3).to(spec)
    at = smooth.solve(drawn(backend, (2, 3)))
    with pytest.raises(mk.DerivativeError, match=r"dual_steps=3"):
        smooth.pullback_tangent(at, smooth.pullback(at, at.z), {"y0": at.z})


def test_memory_does_not_depend_on_the_number_of_steps():
    import tracemalloc

    rng = np.random.default_rng(0)
    m = mk.MonotoneMachine((60,), "relu", margin=0.01, rng=0, on_failure="return", rtol=1e-14)
    m = m.with_options(solver="peaceman-rachford", dual_solver="peaceman-rachford")
    y0, seed = rng.standard_normal((2, 400, 60))
    peaks = []
    for steps in (10, 10, 100, 1000):
        k = m.with_options(max_steps=steps)
        tracemalloc.start()
        k.pullback(k.solve(y0), seed)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks[1:]) / min(peaks[1:]) < 1.02, peaks
    assert peaks[1] < 20 * y0.nbytes


def test_auto_factorises_where_splitting_would_be_slow_and_prefers_plain_proximal_operators(backend, spec):
    y0 = drawn(backend, (3, 12))
    for margin, rtol, status in ((1.0, 1e-6, "converged"), (0.01, 1e-6, "direct"), (1.0, 1e-12, "direct")):
        m = hard(spec, margin, rtol=rtol)
        assert set(m.solve(y0).info.status) == {status}, (margin, rtol)
        found = m.pullback(m.solve(y0), y0).saved.info
        assert found.solver == ("peaceman-rachford" if status == "converged" else "direct",)
    near, far = (mk.MonotoneMachine((6,), "tanh", margin=1.0, A=a * np.eye(6), B=np.zeros((6, 6))) for a in (0.1, 30.0))
    assert near._blocks.step(0, (), near.activation) == 1.0, "where σ itself is the proximal operator"
    assert far._blocks.step(0, (), far.activation) < 0.1


def test_step_sizes_are_kept_for_machines_a_little_different_and_looked_for_again(monkeypatch):
    found = []
    eigenvalues = DenseOperator.eigenvalues
    monkeypatch.setattr(DenseOperator, "eigenvalues", lambda self: found.append(1) or eigenvalues(self))
    m, y0 = mk.MonotoneMachine((6,), "relu", rng=0), np.ones((2, 6))
    m.pullback(m.solve(y0), y0)
    for k in range(100):
        near = m.replace(A=(1.0 + 1e-5 * k) * m.A)  # as an optimiser does: each made of the first
        near.pullback(near.solve(y0), y0)
    assert len(found) == 1
    near = m.replace(A=m.A)
    near.solve(y0)
    near.solve(y0)
    assert len(found) == 2, "after a hundred"
    far = m.replace(A=20.0 * m.A)
    first = far.solve(y0)
    again = m.replace(A=20.0 * m.A).solve(y0)
    assert len(found) == 3, "and when it has become slow"
    assert again.info.steps.max() < first.info.steps.max()
    assert_close("z", again.z, first.z, 1e-4)
