"""Jacobians and weights as operators of SciPy: PyLops' dot test, SciPy's solvers, and matrices made without them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import linalg

import machinekit as mk
from machinekit.graph.op import live_masks
from machinekit.interop.scipy import linear_operator, weight_operator

from .bridged import models
from .helpers import assert_close, tolerance

MODELS = {name: (model, inputs) for name, model, inputs in models()}
STEP = 1e-30


def dense(operator):
    """Return the matrix, column by column."""
    return np.asarray(operator @ np.eye(operator.shape[1], dtype=operator.dtype))


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in (arrays if isinstance(arrays, tuple) else (arrays,))])


def stepped(model, inputs, wrt):
    """Return the Jacobian by the complex step, live parameters only, without any verb but running the model."""
    columns = []
    if wrt == "inputs":
        for k, x in enumerate(inputs):
            for index in np.ndindex(x.shape):
                moved = x.astype(complex)
                moved[index] += 1j * STEP
                columns.append(flat(model(*inputs[:k], moved, *inputs[k + 1 :])).imag / STEP)
        return np.stack(columns, axis=1)
    masks = live_masks(model)
    for name, array in model.parameters().items():
        for index in np.argwhere(masks.get(name, np.ones(array.shape, bool))):
            moved = array.astype(complex)
            moved[tuple(index)] += 1j * STEP
            columns.append(flat(model.replace(**{name: moved})(*inputs)).imag / STEP)
    return np.stack(columns, axis=1) if columns else np.zeros((flat(model(*inputs)).size, 0))


@pytest.mark.parametrize("wrt", ["inputs", "parameters"])
@pytest.mark.parametrize("name", MODELS)
def test_the_operator_is_the_jacobian_and_its_adjoint(name, wrt):
    model, inputs = MODELS[name]
    operator = linear_operator(model, model.solve(*inputs), wrt)
    want = stepped(model, inputs, wrt)
    assert operator.shape == want.shape
    close = 1e-11 * (1.0 + np.abs(want).max())  # equilibria are solved to 1e-13
    assert_close("J", dense(operator), want, close)
    assert_close("Jᵀ", dense(operator.H), want.T, close)


@pytest.mark.parametrize("wrt", ["inputs", "parameters", ["parameters", "inputs"]])
@pytest.mark.parametrize("name", MODELS)
def test_pylops_dottest(name, wrt):
    """⟨v, J u⟩ = ⟨Jᴴ v, u⟩ for real and for complex vectors, by the dot test of PyLops."""
    dottest = pytest.importorskip("pylops.utils", reason="needs PyLops: pip install pylops").dottest
    model, inputs = MODELS[name]
    operator = linear_operator(model, model.solve(*inputs), wrt)
    for flag in range(4):
        assert dottest(operator, *operator.shape, complexflag=flag, rtol=1e-10, raiseerror=True)


def test_pylops_dottest_of_single_complex_and_weight_operators():
    utils = pytest.importorskip("pylops.utils", reason="needs PyLops: pip install pylops")
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 3)) + 1j * rng.normal(size=(3, 3, 3))
    waves = mk.RecurrentMachine((1, 2), "tanh", memory=2, weight=0.3 * kernel)
    x = rng.normal(size=(4, 1)) + 0.1j
    for wrt in ("inputs", "parameters"):
        operator = linear_operator(waves, waves.solve(x), wrt)
        assert operator.dtype == np.complex128
        assert utils.dottest(operator, *operator.shape, complexflag=3, rtol=1e-12, raiseerror=True)
    single = mk.DenseMachine((2, 3), "tanh", rng=0, dtype="float32")
    operator = linear_operator(single, single.solve(np.ones((2, 2), "float32")))
    assert operator.dtype == np.float32
    assert (operator @ np.ones(4)).dtype == np.float32
    assert utils.dottest(operator, *operator.shape, rtol=1e-4, raiseerror=True)
    for machine, grid in ((waves, (5,)), (MODELS["grid"][0], (3, 4)), (MODELS["monotone"][0], ())):
        operator = weight_operator(machine, grid)
        flag = 3 if operator.dtype == np.complex128 else 0
        assert utils.dottest(operator, *operator.shape, complexflag=flag, rtol=1e-12, raiseerror=True)


def test_pylops_takes_the_operator():
    pylops = pytest.importorskip("pylops", reason="needs PyLops: pip install pylops")
    model, inputs = MODELS["recurrent"]
    J = linear_operator(model, model.solve(*inputs))
    both = pylops.VStack([pylops.aslinearoperator(J), pylops.MatrixMult(np.eye(J.shape[1]))])
    assert_close("stack", both.todense(), np.vstack([dense(J), np.eye(J.shape[1])]), 1e-13)


@pytest.mark.parametrize("wrt", ["inputs", "parameters"])
def test_scipy_solvers_find_what_they_find_for_the_matrix(wrt):
    machine = mk.DenseMachine((3, 6, 4), "tanh", bias=True, rng=0)
    state = machine.solve(np.random.default_rng(1).normal(size=(6, 3)))
    J, v = linear_operator(machine, state, wrt), np.random.default_rng(2).normal(size=78)
    A, damp = dense(J), 0.1
    damped = np.linalg.solve(A.T @ A + damp**2 * np.eye(A.shape[1]), A.T @ v)
    for solver, most in ((linalg.lsqr, "iter_lim"), (linalg.lsmr, "maxiter")):
        found = solver(J, v, damp=damp, atol=1e-14, btol=1e-14, **{most: 2000})[0]
        assert_close(solver.__name__, found, damped, 1e-9 * np.abs(damped).max())
    values = np.linalg.svd(A, compute_uv=False)
    k = 3
    for solver in ("arpack", "lobpcg"):
        found = np.sort(linalg.svds(J, k=k, solver=solver, return_singular_vectors=False, rng=0))[::-1]
        assert_close(f"svds {solver}", found, values[:k], 1e-6 * values[0])
    squares = linalg.eigsh(J.T @ J, k=k, return_eigenvectors=False, v0=np.ones(J.shape[1]))
    assert_close("eigsh", np.sort(squares)[::-1], values[:k] ** 2, 1e-10 * values[0] ** 2)


def test_what_scipy_asks_of_an_operator():
    """Vectors of all shapes and dtypes, the algebra of operators, and a dtype that is known without a call."""
    model, inputs = MODELS["dense"]
    J = linear_operator(model, model.solve(*inputs))
    A, n = dense(J), J.shape[1]
    assert linalg.aslinearoperator(J) is J
    assert isinstance(J, linalg.LinearOperator)
    assert J.dtype == np.float64
    rng = np.random.default_rng(0)
    x, X = rng.normal(size=n), rng.normal(size=(n, 3))
    u, U = rng.normal(size=J.shape[0]), rng.normal(size=(J.shape[0], 2))
    cases = [
        (J.matvec(x), A @ x),
        (J.matvec(x[:, None]), A @ x[:, None]),
        (J.matmat(X), A @ X),
        (J.rmatvec(u), A.T @ u),
        (J.rmatmat(U), A.T @ U),
        (J.dot(X), A @ X),
        (J.T.dot(U), A.T @ U),
        ((2.0 * J + J) @ x, 3.0 * A @ x),
        ((J.H @ J) @ x, A.T @ A @ x),
        (J @ np.arange(n), A @ np.arange(n)),
        (J @ list(x), A @ x),
        (J @ (x + 1j * x[::-1]), A @ (x + 1j * x[::-1])),
        (J.T @ (u - 1j * u), A.T @ (u - 1j * u)),
        (J.H @ (u - 1j * u), A.T @ (u - 1j * u)),
    ]
    for k, (got, want) in enumerate(cases):
        assert_close(f"case {k}", got, want, tolerance("float64", 10.0 * np.abs(want).max()))
    kept = x.copy()
    result = J @ x
    result += 1.0
    assert np.array_equal(x, kept)
    assert_close("again", J @ x, A @ x, 1e-14)


def test_the_adjoint_of_a_complex_jacobian_is_conjugated():
    """The dual is the transpose: Jᵀ v = pullback(v), and Jᴴ v = conj(pullback(conj v))."""
    weight = np.array([[0.0, 2.0 + 1.0j], [0.0, 0.0]])
    machine = mk.DenseMachine((1, 1), "identity", weight=weight)
    J = linear_operator(machine, machine.solve(np.array([3.0 + 0.0j])))
    assert_close("J", J @ np.array([1.0]), np.array([1.0, 2.0 + 1.0j]), 0.0)
    assert_close("Jᵀ", J.T @ np.array([0.0, 1.0j]), np.array([2.0j - 1.0]), 0.0)
    assert_close("Jᴴ", J.H @ np.array([0.0, 1.0j]), np.array([2.0j + 1.0]), 0.0)
    real_input = linear_operator(machine, machine.solve(np.array([3.0])))
    assert_close("Jᴴ", real_input.H @ np.array([0.0, 1.0j]), np.array([2.0j + 1.0]), 0.0)
    W = weight_operator(machine)
    assert_close("Wᴴ", W.H @ np.array([0.0, 1.0]), np.array([2.0 - 1.0j, 0.0]), 0.0)


def test_columns_of_parameters_are_ordered_as_theta():
    """Jᵀ (prediction − target) is the gradient of ½ Σ (prediction − target)² by θ."""
    model, inputs = MODELS["chain"]
    targets = np.zeros(model(*inputs).shape)
    objective = mk.Objective(model, "squared_error", *inputs, targets)
    J = linear_operator(model, model.solve(*inputs), "parameters")
    assert J.shape[1] == objective.size
    _, gradient = objective.fun(objective.theta0)
    got = J.T @ (model(*inputs) - targets).ravel()
    assert_close("gradient", got * (np.linalg.norm(gradient) / np.linalg.norm(got)), gradient, 1e-12)


def test_columns_are_chosen_by_name_and_position():
    model, inputs = MODELS["network"]
    state = model.solve(*inputs)
    whole, by_input = dense(linear_operator(model, state, ["inputs", "parameters"])), inputs[0].size
    assert_close("second", dense(linear_operator(model, state, 1)), whole[:, by_input : 2 * by_input], 1e-14)
    names, start = list(model.parameters()), 2 * by_input
    for name in names:
        size = model.parameters()[name].size
        assert_close(name, dense(linear_operator(model, state, name)), whole[:, start : start + size], 1e-14)
        start += size
    assert start == whole.shape[1]
    mixed = dense(linear_operator(model, state, [names[0], 0, names[0]]))
    assert_close("mixed", mixed[:, :by_input], whole[:, :by_input], 1e-14)


def test_a_state_made_from_y_and_z_reads_all_channels():
    machine = mk.DenseMachine((1, 2), "tanh", rng=0)
    state = machine.solve(np.ones((1, 3)), np.zeros((1, 3)))
    bare = linear_operator(machine, mk.State(state.y, state.z))
    assert_close("J", dense(bare), dense(linear_operator(machine, state)), 0.0)


@pytest.mark.parametrize("name", ["dense", "conv", "recurrent", "grid", "equilibrium", "monotone"])
def test_the_weight_operator_is_the_linear_part(name):
    machine, inputs = MODELS[name]
    axes = machine.partition.axes
    grid = inputs[0].shape[inputs[0].ndim - 1 - axes : -1]
    W, c = weight_operator(machine, grid), machine.partition.channels
    bare = machine.replace(bias=np.zeros(c)) if machine.bias is not None else machine
    columns = [bare.apply(np.zeros((*grid, c)), e.reshape(*grid, c)).y.ravel() for e in np.eye(W.shape[0])]
    want = np.stack(columns, axis=1)
    assert_close("W", dense(W), want, tolerance("float64", 1.0))
    assert_close("Wᵀ", dense(W.T), want.T, tolerance("float64", 1.0))
    norm = linalg.svds(W, k=1, return_singular_vectors=False, v0=np.ones(W.shape[0]))
    assert_close("norm", norm, np.linalg.norm(want, 2, keepdims=True)[0], 1e-10)
