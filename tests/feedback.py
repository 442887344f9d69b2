"""Models with feedback, their D W as explicit matrices, and the penalty on it by itself."""

import numpy as np

import machinekit as mk
from machinekit.arrays import backend_of, to_host
from machinekit.training import Objective, penalties

RTOL = 1e-13


def explicit(machine, state):
    """D W of every sample, of shape (*batch, units, units), one unit vector at a time."""
    axes = machine.partition.axes
    own = state.y.shape[state.y.ndim - 1 - axes :]
    units = np.eye(int(np.prod(own))).reshape(-1, *own)
    home = backend_of(machine.weight)
    name = str(machine.weight.dtype).rpartition(".")[2]
    columns = to_host(machine._unbiased.apply(home.from_host(units, name), home.from_host(units, name)).y)
    slope = to_host(machine.slope(state))
    slope = np.broadcast_to(slope, state.y.shape).reshape(*slope.shape[: state.y.ndim - 1 - axes], 1, -1)
    return np.swapaxes(slope * columns.reshape(len(units), len(units)), -1, -2)


def equilibrium(sizes, activation, rng, monotone=False, **more):
    kind = mk.MonotoneMachine if monotone else mk.EquilibriumMachine
    return kind(sizes, activation, bias=0.5 * rng.standard_normal(sum(sizes)), rng=rng, rtol=RTOL, **more)


def case(kind, seed=0, activation="tanh"):
    """Return a model, inputs and targets."""
    rng = np.random.default_rng(seed)
    lead, width, out = (3,), 4, 2
    if kind in ("alone", "blocks"):
        width = out = 4
        model = equilibrium((4,) if kind == "alone" else (2, 0, 2), activation, rng)
    elif kind == "conv":
        lead, width = (2, 5), 3
        ops = [mk.Affine(3, 2, rng=rng), equilibrium((1, 1), activation, rng, padding=((2, 1),))]
        model = mk.Chain([*ops, mk.Affine(2, 2, rng=rng)])
    elif kind == "monotone conv":
        lead, width = (2, 4), 2
        machine = equilibrium((1, 1), activation, rng, True, padding=((1, 0),), margin=0.5, learn_margin=True)
        model = mk.Chain([mk.Affine(2, 2, rng=rng), machine])
    elif kind == "recurrent":
        lead, width, out = (2, 5), 3, 3
        model = mk.RecurrentMachine((1, 2), activation, memory=2, bias=True, rng=rng)
    elif kind == "network":
        first, machine = mk.Affine(4, 3, rng=rng), equilibrium((1, 2), activation, rng)
        edges = [("f", first, "a -> b"), ("g", machine, "b -> c"), ("h", mk.Affine(3, 2, rng=rng), "c -> d")]
        skip = ("skip", mk.Affine(4, 2, rng=rng), "a -> d")
        model = mk.Hypergraph({"a": 4, "b": 3, "c": 3, "d": 2}, [mk.Edge(*e) for e in (*edges, skip)])
    elif kind == "shared":
        machine = equilibrium((3,), activation, rng)
        inner = mk.Chain([machine, mk.Affine(3, 3, rng=rng)])
        model = mk.Chain([mk.Affine(4, 3, rng=rng), inner, machine, mk.Affine(3, 2, rng=rng)])
    elif kind == "monotone alone":
        width = out = 3
        model = equilibrium((1, 2), activation, rng, True, margin=0.5)
    elif kind == "monotone represented":
        basis = np.random.default_rng(1).standard_normal((3, 2))
        machine = mk.Represented(equilibrium((3,), activation, rng, True, margin=0.5), A=basis)
        model = mk.Chain([mk.Affine(4, 3, rng=rng), machine, mk.Affine(3, 2, rng=rng)])
    elif kind == "represented":
        basis = np.random.default_rng(1).standard_normal((3, 2))
        machine = mk.Represented(equilibrium((3,), activation, rng), weight=basis)
        model = mk.Chain([mk.Affine(4, 3, rng=rng), machine, mk.Affine(3, 2, rng=rng)])
    else:
        margin = {"margins": [0.5, 1.0], "tiers": [0.5, 1.0]}.get(kind, 0.5)
        more = {"margin": margin, "tiers": kind == "tiers", "learn_margin": kind in ("margins", "learned")}
        ops = [mk.Affine(4, 3, rng=rng), equilibrium((2, 1), activation, rng, True, **more)]
        model = mk.Chain([*ops, mk.Affine(3, 2, rng=rng)])
    return model, rng.standard_normal((*lead, width)), rng.standard_normal((*lead, out))


KINDS = (
    "alone", "blocks", "conv", "recurrent", "network", "shared", "represented", "monotone", "learned", "margins",
    "tiers", "monotone conv", "monotone alone", "monotone represented",
)  # fmt: skip


def problem(kind, strength=0.75, seed=0, activation="tanh", machine=None, more=()):
    model, x, t = case(kind, seed, activation)
    return Objective(model, "squared_error", x, t, [*more, penalties.feedback_norm(strength, machine=machine)])


def plain(objective):
    """The same objective without penalties."""
    new = object.__new__(Objective)
    new.__dict__.update(objective.__dict__, terms=())
    return new


def penalty_of(objective, theta=None):
    return objective.terms[-1].value(objective.evaluate(objective.theta0 if theta is None else theta))


def states_of(model, x):
    """(machine, state) of every place of the machine, found by hand."""
    state = model.solve(x)
    if isinstance(model, mk.Machine):
        return [(model, state)]
    if isinstance(model, mk.Hypergraph):
        return [(e.op, s) for e, s in zip(model.edges, state.saved, strict=True) if isinstance(e.op, mk.Machine)]
    found = []
    for op, inner in zip(model.ops, state.saved, strict=True):
        if isinstance(op, mk.Chain):
            found.append((op.ops[0], inner.saved[0]))
        elif isinstance(op, mk.Machine | mk.Represented):
            found.append((getattr(op, "op", op), inner))
    return found
