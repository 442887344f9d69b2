"""What is copied between host and device, and where the host waits: counted on the stand-in for CuPy."""

from collections import Counter

import numpy as np
import pytest

import machinekit as mk
from machinekit.arrays import pick_backend

from . import standin
from .standin import transfers

AFFINE = {"rng": 0, "backend": "cupy"}
WEIGHTED = {**AFFINE, "bias": True}
MACHINES = {
    "dense": (mk.DenseMachine, {}, ()),
    "conv1d": (mk.ConvMachine, {"padding": ((1, 2),)}, (9,)),
    "conv2d": (mk.ConvMachine, {"padding": ((1, 2), (0, 1))}, (6, 5)),
    "recurrent": (mk.RecurrentMachine, {"memory": 2, "time_block": 2}, (7,)),
    "grid": (mk.GridMachine, {"padding": ((1, 0), (1, 1)), "scan": (0,), "time_block": 2}, (5, 4)),
}
WEIGHTS = {"dense": (7, 7), "conv1d": (4, 7, 7), "conv2d": (4, 2, 7, 7), "recurrent": (3, 7, 7), "grid": (2, 3, 7, 7)}
OPS = {
    "affine": (lambda: mk.Affine(3, 4, **AFFINE), [(5, 3)]),
    "affine of two": (lambda: mk.Affine(5, 4, **AFFINE), [(5, 3), (5, 2)]),
    "conv": (lambda: mk.Conv(3, 4, 3, stride=2, padding=1, **AFFINE), [(5, 9, 3)]),
    "conv in groups": (lambda: mk.Conv(4, 4, (3, 2), groups=2, dilation=2, padding=1, **AFFINE), [(2, 9, 8, 4)]),
    "transposed conv": (lambda: mk.ConvTranspose(3, 4, 3, stride=2, **AFFINE), [(5, 9, 3)]),
    "mean pool": (lambda: mk.AvgPool(2), [(5, 8, 3)]),
    "mean pool, padded": (lambda: mk.AvgPool((3, 2), stride=2, padding=1), [(2, 7, 8, 3)]),
    "max pool": (lambda: mk.MaxPool(2), [(5, 8, 3)]),
    "max pool, padded": (lambda: mk.MaxPool((3, 2), stride=2, padding=1), [(2, 7, 8, 3)]),
    "upsample": (lambda: mk.Upsample(2), [(5, 8, 3)]),
    "pointwise": (lambda: mk.Pointwise("gelu"), [(5, 3)]),
    "softmax": (mk.Softmax, [(5, 3)]),
    "batch norm": (lambda: mk.BatchNorm(3, backend="cupy"), [(5, 3)]),
    "layer norm": (lambda: mk.LayerNorm(3, backend="cupy"), [(5, 3)]),
    "norm": (mk.Norm, [(5, 3)]),
    "reshape": (lambda: mk.Reshape((6,), (3, 2)), [(5, 6)]),
    "add": (mk.Add, [(5, 3), (5, 3)]),
    "concatenate": (mk.Concatenate, [(5, 3), (5, 2)]),
    "embed": (lambda: mk.Embed(5, 1), [(5, 3)]),
    "select": (lambda: mk.Select([0, 2], sizes=(1, 2, 3)), [(5, 6)]),
    "chain": (lambda: mk.Chain([mk.Affine(3, 4, **AFFINE), mk.Pointwise("tanh"), mk.Affine(4, 2, **AFFINE)]), [(5, 3)]),
    "hypergraph": (lambda: network(), [(5, 3)]),
    "machine": (lambda: mk.Chain([mk.DenseMachine((3, 2), **AFFINE), mk.Select([1], sizes=(3, 2))]), [(5, 5)]),
    "jet": (lambda: mk.JetOp(mk.DenseMachine((2, 3, 2), **AFFINE)), [(5, 2), (5, 2), (5, 2)]),
}  # fmt: skip


def network():
    shared = mk.Affine(4, 4, **AFFINE)
    first = mk.Affine(3, 4, **AFFINE)
    inner = mk.Chain([mk.Pointwise("tanh"), shared])
    edges = [mk.Edge("f", first, "x -> h"), mk.Edge("g", inner, "h -> k"), mk.Edge("s", shared, "h -> k")]
    return mk.Hypergraph({"x": 3, "h": 4, "k": 4}, edges)


@pytest.fixture(scope="module", autouse=True)
def _stand_in(spec):
    if spec not in ("numpy", "cupy") or (spec == "cupy" and pick_backend(spec).xp.ndarray is not standin.ndarray):
        pytest.skip("transfers are counted on the stand-in, which this library is not")
    with standin.installed(), standin.without_kernels():
        yield


def drawn(*shape, seed=0):
    return pick_backend("cupy").from_host(np.random.default_rng((seed, *shape)).normal(size=shape))


def counted(call):
    """Return what a call returns, and what it copied and waited for."""
    with transfers() as ledger:
        result = call()
    return result, Counter(f"{t.kind} {t.call}" for t in ledger), ledger


def none(call):
    result, _, ledger = counted(call)
    assert not ledger, ledger
    return result


@pytest.mark.parametrize("method", ["auto", "plan", "reference"])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "mixed"])
@pytest.mark.parametrize("kind", MACHINES)
def test_no_verb_of_a_machine_copies_or_waits(kind, activation, method):
    cls, options, grid = MACHINES[kind]
    sigma = ("softplus", "silu", "identity") if activation == "mixed" else activation
    machine = cls((2, 3, 2), sigma, **options, weight=drawn(*WEIGHTS[kind]), bias=drawn(7))
    y0, z0, u, v = (drawn(4, *grid, 7, seed=k) for k in range(4))
    state = none(lambda: machine.solve(y0, z0, method=method))
    assert type(state.z) is standin.ndarray
    none(lambda: (machine(y0), machine.apply(state.y, state.z), machine.residual(state, y0, z0)))
    weight, bias = drawn(*WEIGHTS[kind], seed=5), drawn(7, seed=5)
    tangent = none(lambda: machine.pushforward(state, u, v, weight=weight, bias=bias))
    cotangent = none(lambda: machine.pullback(state, u, y=v))
    none(lambda: (cotangent.y0, cotangent.z0, cotangent.weight, cotangent.bias, cotangent.parameters))
    change = none(lambda: machine.pullback_tangent(state, cotangent, tangent, v))
    none(lambda: (change.y0, change.weight))
    none(lambda: (machine.dual(state).solve(u, v, method=method), machine.tangent(state).solve(u)))
    none(lambda: machine.jet(y0, (u, v)).z)
    none(lambda: machine.replace(weight=machine.weight).solve(y0))
    none(lambda: (machine.parameter_count, machine.describe(), repr(machine)))


@pytest.mark.parametrize("name", OPS)
def test_no_verb_of_an_op_copies_or_waits(name):
    make, shapes = OPS[name]
    op = make()
    inputs, along = ([drawn(*shape, seed=k) for shape in shapes] for k in (0, 1))
    directions = {n: drawn(*a.shape, seed=2) for n, a in op.parameters().items()}
    for _ in range(2):
        state = none(lambda: op.solve(*inputs))
    seeds = [drawn(*y.shape, seed=3) for y in state.outputs]
    tangent = none(lambda: op.pushforward(state, *along, **directions))
    cotangent = none(lambda: op.pullback(state, *seeds))
    none(lambda: (cotangent.inputs, cotangent.parameters))
    if name not in ("max pool", "max pool, padded", "jet"):
        change = none(lambda: op.pullback_tangent(state, cotangent, tangent, *seeds))
        none(lambda: (change.inputs, change.parameters))


def objective(loss="squared_error", penalties=(), model=None, masked=False, represented=False):
    grid = (7,) if model == "recurrent" else ()
    cls, options, _ = MACHINES[model or "dense"]
    machine = cls((2, 3, 2), "tanh", **options, **WEIGHTED)
    if represented:
        machine = mk.Represented(machine, weight=np.random.default_rng(0).normal(size=(3, 2)))
    home, rng = pick_backend("cupy"), np.random.default_rng(1)
    targets = {"softmax_cross_entropy": rng.integers(0, 7, (5, *grid)), "logistic": rng.random((5, *grid, 7))}
    target = home.from_host(targets.get(loss, rng.normal(size=(5, *grid, 7))))
    mask = home.from_host(rng.random((5, *grid)) < 0.6) if masked else None
    found = mk.Objective(machine, loss, drawn(5, *grid, 2), target, penalties, mask)
    found.fun(found.theta0)  # the first looks at targets and mask, and copies what stays the same
    return found


UP, DOWN = "up asarray", "down asnumpy"


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy", "logistic", "huber"])
def test_an_evaluation_copies_theta_up_and_loss_and_gradient_down(loss, masked):
    """One vector up, one number and one vector down, nothing else and nothing hidden."""
    j = objective(loss, masked=masked)
    theta, d = j.theta0, np.ones(j.size)
    assert counted(lambda: j.fun(theta))[1] == {UP: 1, DOWN: 2}
    assert counted(lambda: j.value(theta))[1] == {UP: 1, DOWN: 1}
    assert counted(lambda: j.hessp(theta, d))[1] == {UP: 2, DOWN: 1}
    assert counted(lambda: j.gauss_newton_product(theta, d))[1] == {UP: 2, DOWN: 1}
    hessian = j.hessian(theta)
    assert counted(lambda: hessian @ d)[1] == {UP: 1, DOWN: 1}


PENALTIES = {
    "l2": lambda: mk.penalties.l2(0.1, ("weight", "bias")),
    "lag_smoothness": lambda: mk.penalties.lag_smoothness(0.1),
    "input_gradient": lambda: mk.penalties.input_gradient(0.1),
    "jacobian_norm": lambda: mk.penalties.jacobian_norm(0.1),
    "feedback_norm": lambda: mk.penalties.feedback_norm(0.1),
}


@pytest.mark.parametrize(
    ("name", "represented"), [*((n, False) for n in PENALTIES), ("l2", True), ("lag_smoothness", True)]
)
def test_a_penalty_adds_one_number(name, represented):
    model = "recurrent" if represented or name == "lag_smoothness" else "dense"
    j = objective(penalties=PENALTIES[name](), model=model, represented=represented)
    assert counted(lambda: j.fun(j.theta0))[1] - counted(lambda: j.theta0)[1] == {UP: 1, DOWN: 3}


def test_random_projections_are_drawn_on_the_host_and_copied():
    j = objective(penalties=mk.penalties.jacobian_norm(0.1, projections=2, rng=0))
    theta = j.theta0
    assert counted(lambda: j.fun(theta))[1] == {UP: 1 + 2 * 2, DOWN: 3}  # for the value, and for the gradient


def test_a_network_of_shared_and_pruned_weights_is_one_vector_too():
    machine = mk.DenseMachine((2, 2), **AFFINE).prune(np.random.default_rng(0).random((4, 4)) < 0.7)
    j = mk.Objective(mk.Chain([network(), machine]), "squared_error", drawn(5, 3), drawn(5, 4))
    theta = j.theta0
    j.fun(theta)
    assert counted(lambda: j.fun(theta))[1] == {UP: 1, DOWN: 2}


@pytest.mark.parametrize("method", ["L-BFGS-B", "adam", "trust-ncg"])
def test_fit_copies_no_more_than_its_evaluations(method):
    """Two copies down for one up, or one for a Hessian product, and a few at the beginning and the end."""
    machine, x, t = mk.DenseMachine((2, 3, 2), **WEIGHTED), drawn(6, 2), drawn(6, 7)
    found, seen, ledger = counted(lambda: mk.fit(machine, "squared_error", x, t, method, steps=6, progress=False))
    assert all(t.explicit for t in ledger), ledger
    assert seen[UP] <= 18 + 40 * (method == "trust-ncg"), seen
    assert seen[DOWN] <= 2 * seen[UP] + 8, seen
    assert found.steps == 6


def test_minibatches_copy_their_numbers_too():
    """The rows of inputs and targets are chosen on the device, by an index that is drawn on the host."""
    home, rng = pick_backend("cupy"), np.random.default_rng(1)
    machine = mk.DenseMachine((2, 7), **WEIGHTED)
    labels = home.from_host(rng.integers(0, 9, 12))
    j = mk.Objective(machine, "softmax_cross_entropy", drawn(12, 2), labels, mask=home.from_host(rng.random(12) < 0.8))
    theta = j.theta0
    j.fun(theta)
    j.subset(np.array([0, 1, 2])).fun(theta)
    _, seen, _ = counted(lambda: j.subset(np.array([3, 1, 5, 7])).fun(theta))
    assert seen == {UP: 1 + 3, DOWN: 2}


SOLVERS = {"peaceman-rachford": 1, "forward-backward": 2, "anderson": 6, "broyden": 6, "newton-krylov": 8}
"""Small copies per step at most; the first looks at every fourth step only."""


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_an_equilibrium_copies_a_number_per_sample_and_look(solver, activation):
    machine = mk.MonotoneMachine((12,), activation, margin=0.5, solver=solver, **WEIGHTED)
    x, u = drawn(5, 12), drawn(5, 12, seed=1)
    state = machine.solve(x)
    machine.pullback(state, u)  # the first of each has the spectrum to find
    state, seen, ledger = counted(lambda: machine.solve(x))
    assert all(t.explicit for t in ledger)
    looks = 1 + int(state.info.steps.max()) * (0.25 if solver == "peaceman-rachford" else SOLVERS[solver])
    assert sum(seen.values()) <= looks + 6, seen
    cotangent, seen, ledger = counted(lambda: machine.pullback(state, u))
    assert all(t.explicit for t in ledger)
    assert sum(seen.values()) <= 16, seen
    none(lambda: (cotangent.y0, cotangent.weight, cotangent.parameters))


def test_what_an_equilibrium_copies_does_not_grow_with_its_size():
    """Entries of a state stay where they are: the copies are as large as the batch."""
    most = {}
    for units in (8, 64):
        machine = mk.MonotoneMachine((units,), "tanh", margin=0.5, solver="peaceman-rachford", **WEIGHTED)
        x = drawn(5, units)
        state = machine.solve(x)
        for call in (lambda m=machine, at=x: m.solve(at), lambda m=machine, s=state: m.pullback(s, s.z)):
            call()
            most[units] = max(most.get(units, 0), *(t.entries for t in counted(call)[2]))
    assert most[8] == most[64] <= 2 * 5


def test_smoothness_copies_explicitly():
    """Norms are taken on the host."""
    machine, x = mk.DenseMachine((2, 3, 2), "tanh", **WEIGHTED), drawn(5, 2)
    calls = [
        lambda: mk.smoothness.bounds(machine, radius=1.0, input_bound=1.0, at=x),
        lambda: mk.smoothness.resolvent_bound(machine),
        lambda: mk.smoothness.region(machine, machine.solve(x), 0.1),
        lambda: mk.smoothness.step_size(objective(), 1.0),
    ]
    for call in calls:
        assert all(t.explicit for t in counted(call)[2])


def test_saving_and_loading_copy_explicitly(tmp_path):
    path = tmp_path / "model.npz"
    model = mk.Chain([mk.DenseMachine((2, 3), **WEIGHTED), mk.BatchNorm(5, backend="cupy")])
    _, seen, ledger = counted(lambda: mk.save(path, model))
    assert all(t.explicit for t in ledger), ledger
    assert set(seen) <= {DOWN}
    loaded, seen, ledger = counted(lambda: mk.load(path, backend="cupy"))
    assert all(t.explicit for t in ledger), ledger
    assert set(seen) <= {UP}
    assert type(loaded.parameters()["0.weight"]) is standin.ndarray
