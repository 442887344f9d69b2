"""W = B θ is that product, with θ̄ = Bᵀ W̄; bases are what they say; in networks, files and fits."""

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

import machinekit as mk
from machinekit.graph import live_masks
from machinekit.training import Objective, penalties

from .hessians import check_products, far, stepped_value
from .objectives import machine, seeds

DEVICE = strict.Device("device1")
KINDS = ("conv", "recurrent", "raster", "dense")


def made(kind, seed=0, count=2, bias=True):
    """Return a machine, its representation along axis 0 by a random basis, and an input."""
    rng = np.random.default_rng(seed)
    plain = machine(kind, (1, 2), rng, bias)
    basis = rng.standard_normal((plain.weight.shape[0], count))
    grid = {"conv": (4,), "recurrent": (4,), "raster": (2, 3)}.get(kind, ())
    return plain, mk.Represented(plain, weight=basis), rng.standard_normal((3, *grid, 3)), basis


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, count=st.integers(1, 3), bias=st.booleans())
@settings(deadline=None, max_examples=10)
def test_the_op_has_the_parameters_b_theta_where_live(kind, seed, count, bias):
    plain, op, x, basis = made(kind, seed, count, bias)
    theta = op.parameters()["weight"]
    assert theta.shape == (count, *plain.weight.shape[1:])
    full = np.einsum("lk,k...->l...", basis, theta)
    assert far(op.op.weight, np.where(plain.live, full, 0.0)) <= 1e-13
    assert np.array_equal(op.op.live, plain.live)
    assert list(op.parameters()) == list(plain.parameters())
    assert np.array_equal(op(x), op.op(x))
    assert np.array_equal(op.solve(x).z, op.op.solve(x).z)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
@settings(deadline=None, max_examples=10)
def test_a_coefficient_is_live_iff_it_moves_a_live_weight(kind, seed):
    rng = np.random.default_rng(seed)
    plain = machine(kind, (1, 2), rng).prune(rng.random(machine(kind, (1, 2), rng).weight.shape) < 0.4)
    basis = rng.standard_normal((plain.weight.shape[0], 2)) * (rng.random((plain.weight.shape[0], 2)) < 0.6)
    op = mk.Represented(plain, weight=basis)
    theta = op.parameters()["weight"]
    for place in np.ndindex(*theta.shape):
        unit = np.zeros(theta.shape)
        unit[place] = 1.0
        moves = plain.replace(weight=np.einsum("lk,k...->l...", basis, unit)).weight.any()
        assert op.live["weight"][place] == moves
        assert np.array_equal(op.replace(weight=unit).parameters()["weight"], unit if moves else 0.0 * unit)
    assert np.array_equal(live_masks(mk.Chain([op]))["0.weight"], op.live["weight"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_coefficients_are_the_best_fit_of_the_live_weights(kind):
    plain, op, _, basis = made(kind)
    theta = op.parameters()["weight"]
    residual = np.where(plain.live, op.op.weight - plain.weight, 0.0)
    assert np.abs(np.einsum("lk,l...->k...", basis, residual)).max() <= 1e-12  # orthogonal to what B can say
    again = mk.Represented(op.op, weight=basis).parameters()["weight"]
    assert far(mk.Represented(op.op, weight=basis).op.weight, op.op.weight) <= 1e-12
    assert again.shape == theta.shape


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_the_laws_of_an_op(kind):
    """Adjoint identity, complex step, differences, second derivatives, memory."""
    _, op, x, _ = made(kind)
    report = mk.testing.check_op(op, x, rng=0)
    assert report.ok, report


def test_it_passes_the_laws_around_other_ops():
    rng = np.random.default_rng(0)
    conv = mk.Conv(2, 3, 5, axes=1, padding=2, rng=0)
    chain = mk.Chain([mk.Affine(3, 4, rng=0), mk.Pointwise("tanh"), mk.Affine(4, 2, rng=1)])
    by_name = {"0.weight": mk.bases.cosine(3, 2), "2.bias": np.ones((2, 1))}
    both = mk.Represented(
        mk.Represented(machine("raster", (1, 2), rng), weight=rng.standard_normal((2, 1))),
        axis=1, weight=rng.standard_normal((3, 2)),
    )  # fmt: skip
    for op, shape in (
        (mk.Represented(conv, weight=mk.bases.bspline(5, 4)), (2, 7, 2)),
        (mk.Represented(chain, **by_name), (4, 3)),
        (mk.Represented(mk.Affine(3, 2, rng=0), axis=1, weight=rng.standard_normal((2, 2))), (4, 3)),
        (both, (2, 2, 3, 3)),
    ):
        report = mk.testing.check_op(op, rng.standard_normal(shape), rng=0)
        assert report.ok, report
    assert both.parameters()["weight"].shape == (1, 2, 3, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_objectives_of_it_have_exact_derivatives(kind):
    _, op, x, _ = made(kind)
    model = mk.Chain([op, mk.Affine(3, 2, rng=1)])
    t = np.random.default_rng(1).standard_normal((*x.shape[:-1], 2))
    given_ = [penalties.l2(0.1), penalties.lag_smoothness(0.2), penalties.input_gradient(0.3, of="loss")]
    objective = Objective(model, "squared_error", x, t, given_)
    theta = objective.theta0
    want = np.array([stepped_value(objective, theta, d) for d in np.eye(theta.size)])
    assert far(objective.fun(theta)[1], want) <= 1e-11
    check_products(objective, theta)


def test_sharing_is_by_object_and_a_file_brings_it_back(tmp_path):
    _, op, x, _ = made("recurrent")
    for model in (
        mk.Chain([op, op]),
        mk.Hypergraph(
            {"a": (4, 3), "b": (4, 3), "c": (4, 3)}, [mk.Edge("f", op, "a -> b"), mk.Edge("g", op, "b -> c")]
        ),
    ):
        names = list(model.parameters())
        assert len(names) == 2
        objective = Objective(model, "squared_error", x, x)
        check_products(objective, objective.theta0)
        trained = objective.model(objective.theta0 + 0.25)
        first, second = trained.parts().values()
        assert first is second
        mk.save(tmp_path / "model.npz", trained)
        again = mk.load(tmp_path / "model.npz")
        assert np.array_equal(again(x), trained(x))
        assert {n: a.tobytes() for n, a in again.parameters().items()} == {
            n: a.tobytes() for n, a in trained.parameters().items()
        }
        first, second = again.parts().values()
        assert first is second
        assert repr(again) == repr(trained)


def test_more_coefficients_than_entries_come_back_from_a_file(tmp_path):
    """The fit alone would give others."""
    op = mk.Represented(mk.Affine(2, 1, rng=0), weight=np.ones((2, 3))).replace(weight=np.array([[1.0], [2.0], [-5.0]]))
    mk.save(tmp_path / "op.npz", op.astype("complex64"))
    again = mk.load(tmp_path / "op.npz")
    assert np.array_equal(again.parameters()["weight"], op.parameters()["weight"].astype("complex64"))


def test_a_fit_trains_the_coefficients_alone():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 30, 1))
    taps = np.exp(-0.5 * ((np.arange(13) - 5.0) / 3.5) ** 2)
    t = np.stack([np.convolve(row, taps)[:30] for row in x[..., 0]])[..., None] + rng.standard_normal(x.shape)
    plain = mk.Conv(1, 1, 13, axes=1, padding=((12, 0),), bias=False, weight=np.zeros((13, 1, 1)))
    error = {}
    for name, model in (("free", plain), ("spline", mk.Represented(plain, weight=mk.bases.bspline(13, 5)))):
        result = mk.fit(model, "squared_error", x, t, "trust-ncg", progress=False)
        assert result.converged
        kernel = getattr(result.model, "op", result.model).weight.ravel()
        error[name] = np.linalg.norm(kernel - taps)
        assert result.theta.size == (13 if name == "free" else 5)
    assert error["spline"] < 0.9 * error["free"]


def test_complex_single_and_other_libraries():
    _, op, x, _ = made("recurrent")
    for dtype in ("float32", "complex64", "complex128"):
        cast = op.astype(dtype)
        assert {a.dtype.name for a in cast.parameters().values()} == {dtype}
        assert cast.op.weight.dtype.name == dtype
        given_ = x if dtype == "complex128" else x.astype("float32")
        assert far(cast(given_).real.astype(float), op(x)) <= 1e-5
    moved = op.to("array_api_strict:device1")
    there = strict.asarray(x, device=DEVICE, copy=True)
    state = moved.solve(there)
    cotangent = moved.pullback(state, state.outputs[0])
    here = op.pullback(op.solve(x), op(x))
    for name, array in cotangent.parameters.items():
        assert array.device == DEVICE
        assert far(np.asarray(array.to_device(strict.Device("CPU_DEVICE"))), here.parameters[name]) <= 1e-12
    assert moved.to("numpy").parameters()["weight"].tobytes() == op.parameters()["weight"].tobytes()


def test_it_does_not_change_and_copies_what_it_is_given():
    basis = np.ones((2, 1))
    op = mk.Represented(mk.Affine(2, 1, rng=0), weight=basis)
    before = op.bases["weight"].copy()
    basis[...] = 0.0
    assert np.array_equal(op.bases["weight"], before)
    with pytest.raises(AttributeError, match="an op does not change"):
        op.axis = 1
    with pytest.raises(ValueError, match="read-only"):
        op.bases["weight"][...] = 0.0
    theta = np.ones((1, 1))
    new = op.replace(weight=theta)
    theta[...] = 7.0
    assert new.parameters()["weight"] == 1.0


# bases --------------------------------------------------------------------------------------------


@given(degree=st.integers(0, 4), more=st.integers(1, 6), extra=st.integers(0, 6))
@settings(deadline=None)
def test_bsplines_are_a_clamped_partition_of_unity(degree, more, extra):
    count = degree + more
    n = count + extra
    basis = mk.bases.bspline(n, count, degree)
    assert basis.shape == (n, count)
    assert basis.dtype == np.float64
    assert (basis >= 0).all()
    assert np.abs(basis.sum(axis=1) - 1.0).max() <= 1e-12
    assert basis[0, 0] == basis[-1, -1] == 1.0
    assert np.abs(basis - basis[::-1, ::-1]).max() <= 1e-9 or degree == 0
    if n > 1:
        knots = np.r_[[0.0] * degree, np.linspace(0, n - 1, count - degree + 1), [n - 1.0] * degree]
        for k in range(count):
            one = BSpline(knots, np.eye(count)[k], degree)(np.arange(float(n)))
            assert np.abs(one - basis[:, k]).max() <= 1e-12


@given(n=st.integers(1, 12), data=st.data())
@settings(deadline=None)
def test_cosines_are_orthonormal_and_bumps_are_bumps(n, data):
    count = data.draw(st.integers(1, n))
    cosine = mk.bases.cosine(n, count)
    assert np.abs(cosine.T @ cosine - np.eye(count)).max() <= 1e-12
    assert np.ptp(cosine[:, 0]) == 0.0
    bumps = mk.bases.gaussian(n, count, 1.5)
    assert bumps.shape == (n, count)
    centres = np.linspace(0, n - 1, count) if count > 1 else [0.5 * (n - 1)]
    for k, centre in enumerate(centres):
        want = [np.exp(-0.5 * (abs(place - centre) / 1.5) ** 2) for place in range(n)]
        assert np.abs(bumps[:, k] - want).max() <= 1e-14


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: mk.bases.bspline(3, 4, 1), ValueError, "count is 4 but n is 3"),
        (lambda: mk.bases.bspline(9, 3), ValueError, "count is 3 but degree 3; pass a count of at least 4"),
        (lambda: mk.bases.bspline(9, 4, -1), ValueError, "degree is -1"),
        (lambda: mk.bases.bspline(9.5, 4), TypeError, "n is 9.5"),
        (lambda: mk.bases.cosine(2, 0), ValueError, "count is 0"),
        (lambda: mk.bases.gaussian(3, 2, 0.0), ValueError, "width is 0.0"),
        (lambda: mk.bases.gaussian(3, 2, "1"), TypeError, "width is '1'"),
        (lambda: mk.Represented(3, weight=np.ones((2, 1))), TypeError, "op is 3; pass an op"),
        (lambda: affine(), ValueError, "no basis is given"),
        (lambda: affine(wieght=np.ones((2, 1))), TypeError, "'wieght' is no parameter of the op; it has weight, bias"),
        (lambda: affine(weight=[[1.0]]), TypeError, r"weight is \[\[1.0\]\]; pass a float64 NumPy matrix"),
        (lambda: affine(weight=np.ones((2, 1), int)), TypeError, "pass a float64 NumPy matrix"),
        (lambda: affine(weight=np.ones((3, 1))), ValueError, r"shape \(3, 1\) but weight has 2 entries along axis 0"),
        (lambda: affine(weight=np.ones(2)), ValueError, r"the basis of weight has shape \(2,\)"),
        (lambda: affine(weight=np.full((2, 1), np.nan)), ValueError, "entries that are not finite"),
        (lambda: affine(axis=1, bias=np.ones((1, 1))), ValueError, r"axis is 1 but bias has shape \(1,\)"),
        (lambda: affine(axis=-1, weight=np.ones((1, 1))), ValueError, "axis is -1"),
        (lambda: affine(weight=np.ones((2, 1))).replace(weight=np.ones((2, 1))), ValueError, r"pass the coefficients"),
        (lambda: affine(weight=np.ones((2, 1))).replace(weight=np.ones((1, 1), "float32")), TypeError, "single"),
        (lambda: affine(weight=np.ones((2, 1))).replace(w=np.ones((2, 1))), TypeError, "'w' is no parameter"),
    ],
)
def test_wrong_arguments_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def affine(**options):
    return mk.Represented(mk.Affine(2, 1, rng=0), **options)
