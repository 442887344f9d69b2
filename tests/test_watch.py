"""When to stop: the estimate of the error, the floor of rounding, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest

from machinekit.arrays import to_host
from machinekit.solvers.watch import Watch, sizes, tightest, write_rows

from .helpers import assert_equal

EPS = np.finfo(float).eps


def watch(samples=1, rtol=1e-6, atol=0.0, limit=100, **options):
    return Watch(np.zeros((samples, 1)), rtol, atol, limit, **options)


def look(w, step, change, size=1.0, exact=False):
    """Show one number per sample as change and as size; the iterate is the step."""
    change = np.atleast_1d(np.asarray(change, float))[None]
    size = np.broadcast_to(np.asarray(size, float), change.shape)
    return w.see(step, np.full((change.shape[1], 1), float(step)), change, size, exact=exact)


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.99])
def test_the_error_is_estimated_from_the_contraction(q, every):
    """The iterates 1 − qᵏ are qᵏ off; the change before, qᵏ⁻¹ (1 − q), is far less for q near 1."""
    w = watch(every=every, limit=10**4)
    for step in range(1, 10**4):
        if w.due(step) and look(w, step, q ** (step - 1) * (1 - q)):
            break
    assert w.status.tolist() == ["converged"]
    assert q**step <= 1e-6 * (1 + 1e-6)
    assert q ** (step - every) > 1e-6 or step <= 4  # and no later than the next look
    assert w.steps.tolist() == [step]


def test_one_change_says_nothing_and_a_residual_everything():
    w = watch()
    assert not look(w, 1, 1e-9)
    assert look(watch(), 1, 1e-9, exact=True)
    assert not look(watch(), 1, 1e-5, exact=True)
    assert look(watch(atol=1e-3), 1, 1e-4, exact=True)


def test_no_change_at_all_is_convergence_at_once():
    w = watch(2)
    assert not look(w, 1, [0.0, 1.0])
    assert w.status.tolist() == ["converged", "max_steps"]


def test_one_small_change_between_large_ones_is_not_believed():
    w = watch()
    assert not look(w, 1, 1.0)
    assert not look(w, 2, 1e-9)
    assert not look(w, 3, 1e3)
    assert w.status.tolist() == ["max_steps"]


def test_ratios_over_several_steps_are_averages_and_believed():
    w = watch(every=4)
    assert not look(w, 1, 1e-3)
    assert not look(w, 4, 1e-2)
    assert look(w, 8, 1e-9)


def test_what_grows_never_converges():
    w = watch(rtol=0.5)
    assert not any(look(w, k, 1e-5 * 1.01**k) for k in range(1, 100))


def test_changes_of_rounding_are_the_floor():
    w = watch(2, rtol=1e-20, noise=3.0)
    look(w, 1, [11 * EPS, 13 * EPS])
    assert w.status.tolist() == ["floor", "max_steps"]
    w = watch(rtol=1e-20)
    assert not look(w, 1, 1e-300, size=1e-300)  # relative to the iterate


def test_a_change_near_rounding_that_does_not_fall_is_the_floor():
    w = watch(2, rtol=1e-20)
    seen = [look(w, k, [40 * EPS, 80 * EPS]) for k in range(1, 20)]
    assert not any(seen)
    assert w.status.tolist() == ["floor", "max_steps"]
    assert w.steps.tolist() == [9, 19]


def test_a_change_near_rounding_that_falls_is_left_alone():
    w = watch(rtol=1e-20)
    assert not any(look(w, k, EPS * 60 * 0.88**k, exact=True) for k in range(1, 20))


def test_real_and_imaginary_parts_must_both_converge():
    w = watch(limit=9)
    sized = np.array([[1.0], [1e-20]])
    assert not w.see(1, np.zeros((1, 1)), np.array([[0.0], [1e-22]]), sized, exact=True)
    assert w.see(2, np.zeros((1, 1)), np.array([[0.0], [1e-27]]), sized, exact=True)
    assert w.status.tolist() == ["converged"]


def test_the_best_iterate_is_best_in_the_worse_of_its_parts():
    w = watch(limit=9, careful=True)
    sized = np.array([[1.0], [1e-20]])
    for step, change in ((1, [1e-2, 1e-20]), (2, [1e-3, 1e-22]), (3, [1e-4, 5e-21])):
        w.see(step, np.full((1, 1), float(step)), np.array(change)[:, None], sized, exact=True)
    assert w.outcome(np.full((1, 1), 9.0), "").answer.tolist() == [[2.0]]


@pytest.mark.parametrize("careful", [False, True])
def test_a_sample_keeps_the_iterate_at_which_it_converged(careful):
    w = watch(3, careful=careful)
    look(w, 1, [1.0, 1.0, 1.0], exact=True)
    look(w, 2, [1e-9, 0.9, 1.0], exact=True)
    look(w, 3, [1.0, 1e-9, 2.0], exact=True)
    outcome = w.outcome(np.full((3, 1), 4.0), "name")
    assert outcome.answer.tolist() == [[2.0], [3.0], [1.0 if careful else 4.0]]
    assert outcome.status.tolist() == ["converged", "converged", "max_steps"]
    assert outcome.steps.tolist() == [2, 3, 3]
    assert outcome.converged.tolist() == [True, True, False]


def test_what_is_no_number_ends_a_sample_and_no_other():
    w = watch(2, careful=True)
    look(w, 1, [0.5, 0.5], exact=True)
    assert not look(w, 2, [np.nan, 0.25], exact=True)
    assert look(w, 3, [0.0, 0.0], exact=True)
    outcome = w.outcome(np.full((2, 1), np.nan), "")
    assert outcome.status.tolist() == ["diverged", "converged"]
    assert outcome.answer.tolist() == [[1.0], [3.0]]
    assert outcome.steps.tolist() == [2, 3]


def test_without_a_look_the_start_is_the_answer():
    outcome = watch(2, limit=0, careful=True).outcome(np.ones((2, 1)), "")
    assert outcome.answer.tolist() == [[0.0], [0.0]]
    assert outcome.status.tolist() == ["max_steps"] * 2
    assert outcome.steps.tolist() == [0, 0]


def test_no_samples_are_done_at_the_first_look():
    assert look(watch(0), 1, np.zeros(0))


def test_there_is_a_look_at_the_first_step_and_at_the_last():
    w = watch(limit=10, every=4)
    assert [k for k in range(1, 11) if w.due(k)] == [1, 4, 8, 10]


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64", "complex128"])
def test_sizes_are_norms_of_both_parts(backend, kind):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 5)) + (1e-20j * rng.standard_normal((3, 5)) if kind[0] == "c" else 0)
    a = a.astype(kind)
    got, parts = sizes(backend.from_host(a)), [a.real, a.imag][: 1 + (kind[0] == "c")]
    np.testing.assert_allclose(got, [np.linalg.norm(p.astype(float), axis=1) for p in parts], rtol=1e-6)


def test_sizes_of_imaginary_parts_do_not_underflow():
    assert sizes(np.array([[3e-200j, 4e-200j]]))[1] == pytest.approx(5e-200)
    assert sizes(np.array([[3e-30, 4e-30]], np.float32))[0] == pytest.approx(5e-30)


def test_the_tightest_part_is_relative():
    got = tightest(np.array([[1e-3, 0.0], [1e-21, 0.0]]), np.array([[1.0, 1.0], [1e-20, 0.0]]))
    np.testing.assert_allclose(got, [0.1, 0.0])


def test_rows_are_copied_whatever_the_others_are(backend):
    target, source = backend.from_host(np.ones((3, 2))), backend.from_host(np.array([[5.0, 6], [np.nan] * 2, [7, 8]]))
    write_rows(target, np.array([True, False, True]), source)
    assert_equal("rows", target, np.array([[5.0, 6], [1, 1], [7, 8]]))
    assert np.isnan(to_host(source)[1]).all()


def test_what_is_infinite_has_diverged_at_the_first_look():
    w = watch(2)
    assert not look(w, 1, [np.inf, 1.0])
    assert w.status.tolist() == ["diverged", "max_steps"]


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-19, 1.0, 1e19, 1e37])
def test_sizes_do_not_leave_the_range_of_single_precision(scale):
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0]], "float32") * np.float32(scale)
    assert np.allclose(sizes(rows), np.linalg.norm(rows.astype(float), axis=1), rtol=1e-6, atol=0.0)
    assert sizes(rows[:0]).shape == (1, 0)
