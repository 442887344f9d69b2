"""The penalty on ‖D W‖²_F of a machine in a model is what it says, of the machine that is meant, in any library."""

import math

import array_api_strict as strict
import numpy as np
import pytest

import machinekit as mk
from machinekit.training import Objective, penalties

from .feedback import KINDS, case, equilibrium, penalty_of, plain, problem, states_of
from .hessians import STEP, far

DEVICE = strict.Device("device1")

# what it is ---------------------------------------------------------------------------------------


def jacobian(machine, state, sample):
    """D W of one sample as a matrix: the derivative of z ↦ σ(W z + b) at its z, by the complex step."""
    y, z = state.y[sample], state.z[sample]
    columns = []
    for place in np.ndindex(*z.shape):
        bent = z.astype(complex)
        bent[place] += 1j * STEP
        reads = machine.apply(y + 0j, bent).y  # W z + b
        columns.append(np.imag(machine.apply(reads - machine.apply(y, z).y + y, bent).z).ravel() / STEP)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_value_is_that_of_the_explicit_matrix(kind):
    """On a grid only the taps that reach it count."""
    model, x, _ = case(kind)
    want = 0.0
    for machine, state in states_of(model, x):
        samples = len(state.y)
        norms = [np.sum(jacobian(machine, state, k) ** 2) for k in range(samples)]
        want += 0.75 * np.mean(norms) / math.prod(state.y.shape[1:])
    assert want > 1e-3
    assert math.isclose(penalty_of(problem(kind)), want, rel_tol=1e-10)


def test_any_batch_axes_make_the_same_mean():
    model, x, t = case("alone")
    want = penalty_of(problem("alone"))
    for lead in ((1, 3), (3, 1), (1, 1, 3)):
        given_ = [a.reshape(*lead, 4) for a in (x, t)]
        got = penalty_of(Objective(model, "squared_error", *given_, penalties.feedback_norm(0.75)))
        assert math.isclose(got, want, rel_tol=1e-12)
    first = Objective(model, "squared_error", x[0], t[0], penalties.feedback_norm(0.75))  # no batch axis
    again = Objective(model, "squared_error", x[:1], t[:1], penalties.feedback_norm(0.75))
    assert math.isclose(penalty_of(first), penalty_of(again), rel_tol=1e-12)
    assert far(first.fun(first.theta0)[1], again.fun(again.theta0)[1]) <= 1e-12
    d = np.ones(first.size)
    assert far(first.hessp(first.theta0, d), again.hessp(first.theta0, d)) <= 1e-11


def test_hutchinson_estimates_it_with_noise():
    """The mean of ‖(D W)ᵀ s‖²/n over normal seeds is within five standard errors, and one seed is not near."""
    objective = problem("alone", 1.0)
    machine = objective.model(objective.theta0)
    state = machine.solve(objective._inputs[0])
    rng, zeros = np.random.default_rng(0), np.zeros_like(state.y)
    linear = machine.dual(state)
    draws = []
    for _ in range(2000):
        s = machine.slope(state) * rng.standard_normal(state.y.shape)
        draws.append(np.mean(np.sum(linear.apply(zeros, s).y ** 2, axis=-1)) / 4)
    exact, error = penalty_of(objective), np.std(draws) / math.sqrt(len(draws))
    assert abs(np.mean(draws) - exact) <= 5 * error
    assert error < 0.05 * exact < np.std(draws)


@pytest.mark.parametrize("kind", ["alone", "monotone"])
def test_strength_zero_is_nothing_and_strengths_scale(kind):
    none, once, thrice = (problem(kind, s) for s in (0.0, 1.0, 3.0))
    theta, d = none.theta0, np.ones(none.size)
    base = plain(none)
    assert none.value(theta) == base.value(theta)
    assert np.array_equal(none.fun(theta)[1], base.fun(theta)[1])
    assert np.array_equal(none.hessp(theta, d), base.hessp(theta, d))
    assert np.array_equal(none.gauss_newton_product(theta, d), base.gauss_newton_product(theta, d))
    for verb in (lambda o: o.fun(theta)[1], lambda o: o.hessp(theta, d), lambda o: o.gauss_newton_product(theta, d)):
        assert far(verb(thrice) - verb(base), 3.0 * (verb(once) - verb(base))) <= 1e-9
    assert far(2.0 * once.strength_gradients(theta)[:, 0], 2.0 * (once.fun(theta)[1] - base.fun(theta)[1])) <= 1e-9


# which machine ------------------------------------------------------------------------------------


def two():
    rng = np.random.default_rng(0)
    dense, first, second = mk.DenseMachine((1, 2), rng=rng), *(equilibrium((3,), "tanh", rng) for _ in range(2))
    return dense, first, second


def value_of(model, **more):
    x = np.random.default_rng(1).standard_normal((4, 3))
    return penalty_of(Objective(model, "squared_error", x, x, penalties.feedback_norm(1.0, **more)))


def test_the_machine_is_named_by_its_place():
    dense, first, second = two()
    model = mk.Chain([dense, mk.Chain([first, second])])
    values = [value_of(model, machine=place) for place in ("0", "1.0", "1.1")]
    assert len(set(values)) == 3
    assert value_of(mk.Chain([dense, first])) == values[1]  # the one equilibrium machine is meant
    assert value_of(mk.Chain([dense, first]), machine="0") == values[0]
    assert value_of(dense) == values[0]  # the one machine
    shared = mk.Chain([first, first])
    assert value_of(shared) == value_of(shared, machine="0") == value_of(shared, machine="1")
    for machine, names in (
        ("0", {"0.weight"}),
        ("1.1", {"1.1.weight", "1.1.bias", "1.0.weight", "1.0.bias", "0.weight"}),
    ):
        x = np.ones((4, 3))
        objective = Objective(model, "squared_error", x, x, penalties.feedback_norm(1.0, machine=machine))
        gradient = objective.terms[0].gradient(objective.evaluate(objective.theta0))
        assert {name for name, array in gradient.items() if np.any(array)} == names


@pytest.mark.parametrize(
    ("make", "more", "words"),
    [
        (lambda a, b, c: mk.Chain([b, c]), {}, r"machine is None but the model has 2 machines.*choose from 0, 1"),
        (lambda a, b, c: mk.Chain([a, mk.DenseMachine((3,), rng=0)]), {}, "the model has 2 machines"),
        (lambda a, b, c: mk.Affine(3, 3, rng=0), {}, "the model has no machine; leave feedback_norm out"),
        (lambda a, b, c: mk.Chain([a, b]), {"machine": "2"}, "machine='2' is no machine of the model; .*0, 1"),
        (lambda a, b, c: mk.Chain([mk.Affine(3, 3, rng=0), b]), {"machine": "0"}, "machine='0' is no machine"),
        (lambda a, b, c: b, {"machine": "0"}, "machine='0' is no machine of the model; .*None, the model itself"),
    ],
)
def test_a_machine_that_there_is_not_is_refused(make, more, words):
    with pytest.raises(ValueError, match=words):
        value_of(make(*two()), **more)


def test_a_machine_without_a_state_of_its_own_is_refused():
    machine = mk.DenseMachine((3,), rng=0)
    model = mk.Chain([mk.JetOp(machine, 1)])
    x = np.ones((2, 3))
    at = mk.training.evaluation.Evaluation(mk.Chain([machine]), {}, (x,), None, x, None)
    at.__dict__.update(model=model, state=model.solve(x, x))
    with pytest.raises(TypeError, match=r"'0\.machine' has left no state of its own but a Jet"):
        penalties.feedback_norm(1.0).value_at(at)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: penalties.feedback_norm(-1.0), ValueError, "strength is -1.0"),
        (lambda: penalties.feedback_norm(math.inf), ValueError, "strength is inf"),
        (lambda: penalties.feedback_norm("1"), TypeError, "strength is '1'"),
        (lambda: penalties.feedback_norm(1.0, machine=1), TypeError, "machine is 1; pass its place in the model"),
    ],
)
def test_wrong_arguments_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


# libraries, precisions, use -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alone", "conv", "network", "represented", "learned", "monotone conv"])
def test_any_library_and_device_gives_the_same(kind):
    here = problem(kind)
    model, x, t = case(kind)
    x, t = (strict.asarray(a, device=DEVICE, copy=True) for a in (x, t))
    given_ = penalties.feedback_norm(0.75)
    there = Objective(model.to("array_api_strict:device1"), "squared_error", x, t, given_)
    d = np.random.default_rng(0).standard_normal(here.size)
    assert math.isclose(there.value(here.theta0), here.value(here.theta0), rel_tol=1e-11)
    assert far(there.fun(here.theta0)[1], here.fun(here.theta0)[1]) <= 1e-11
    for verb in ("hessp", "gauss_newton_product"):
        assert far(getattr(there, verb)(here.theta0, d), getattr(here, verb)(here.theta0, d)) <= 1e-11


@pytest.mark.parametrize("kind", ["alone", "conv", "learned"])
def test_single_precision_stays_single(kind):
    wide = problem(kind)
    model, x, t = case(kind)
    model = model.astype("float32")
    machines = [op for op in getattr(model, "ops", [model]) if isinstance(op, mk.Machine)]
    loose = machines[0].with_options(rtol=1e-5)
    model = loose if model is machines[0] else mk.Chain([loose if op is machines[0] else op for op in model.ops])
    narrow = Objective(model, "squared_error", *(a.astype("float32") for a in (x, t)), penalties.feedback_norm(0.75))
    theta, d = wide.theta0, np.random.default_rng(0).standard_normal(wide.size)
    at = narrow.evaluate(theta)
    for arrays in (narrow.terms[0].gradient(at), narrow.terms[0].hessp(at, narrow.unpack(d))):
        assert {str(a.dtype) for a in arrays.values()} == {"float32"}
    assert far(narrow.fun(theta)[1], wide.fun(theta)[1]) <= 1e-3
    assert far(narrow.hessp(theta, d), wide.hessp(theta, d)) <= 1e-3


def test_an_empty_grid_adds_nothing():
    model, _, _ = case("conv")
    x = np.zeros((2, 0, 3))
    state = model.solve(x)
    at = mk.training.evaluation.Evaluation(model, {}, (x,), None, np.zeros((2, 0, 2)), None)
    assert state.outputs[0].shape == (2, 0, 2)
    penalty = penalties.feedback_norm(1.0)
    assert penalty.value_at(at) == 0.0
    assert not any(np.any(a) for a in penalty.gradient_at(at).values())


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_penalty_keeps_the_spectral_radius_low(activation):
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.0, 2.0, (20, 1))
    steep = []
    for strength in (0.0, 0.05):
        ops = [mk.Affine(1, 6, rng=2), mk.MonotoneMachine((6,), activation, rng=1), mk.Affine(6, 1, rng=3)]
        given_ = penalties.feedback_norm(strength)
        result = mk.fit(mk.Chain(ops), "squared_error", x, np.sin(3 * x), penalties=given_, steps=30, progress=False)
        state = result.model.solve(x)
        steep.append(mk.spectral_radius(result.model.ops[1], state.saved[1]).mean())
    assert steep[1] < 0.7 * steep[0]
