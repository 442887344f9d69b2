"""No value, Jacobian or second derivative that is met exceeds the bounds: chains, hypergraphs, machines, points."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.graph.op import parameters
from machinekit.smoothness import bounds

from .sampled import Sampled

WHICH = ("inputs", "parameters", "joint")
SMOOTH = ("tanh", "softplus", "sigmoid", "sin", "silu", "identity")
seeds = st.integers(0, 2**32 - 1)


def by_op(model, radii):
    """Group the parameters by op, each op in its ball."""
    names = list(parameters(model))
    return [(radii[o], [(n, ...) for n in names if n.rpartition(".")[0] == o]) for o in ops_of(model)]


def ops_of(model):
    return list(dict.fromkeys(n.rpartition(".")[0] for n in parameters(model)))


def draw_radii(draw, model):
    return {o: draw(st.sampled_from((0.0, 0.4, 1.0, 1.5))) for o in ops_of(model)}


@st.composite
def chains(draw):
    """A chain, the shape of a sample and the batch; ops are shared now and then."""
    rng = np.random.default_rng(draw(seeds))
    grid = draw(st.booleans())
    first = shape = (draw(st.integers(2, 4)), draw(st.integers(1, 2))) if grid else (draw(st.integers(1, 3)),)
    ops, made = [], {}
    for _ in range(draw(st.integers(1, 4))):
        n = shape[-1]
        kinds = ("affine", "shared", "sigma", "norm", "softmax", "machine", "nested", "batch norm")
        kind = draw(st.sampled_from((*kinds, "conv", "transposed", "pool", "up") if len(shape) == 2 else kinds))
        wide = draw(st.integers(1, 3))
        match kind:
            case "affine":
                op = mk.Affine(n, wide, bias=draw(st.booleans()), rng=rng)
            case "shared":
                op = made.setdefault(n, mk.Affine(n, n, rng=rng))
            case "sigma":
                op = mk.Pointwise(draw(st.sampled_from(SMOOTH)))
            case "norm":
                op = mk.LayerNorm(n, epsilon=draw(st.sampled_from((0.3, 1.0))))
            case "batch norm":
                op = mk.BatchNorm(n, epsilon=0.5)
            case "softmax":
                op = mk.Softmax()
            case "machine":
                machine = mk.DenseMachine((n, wide), draw(st.sampled_from(SMOOTH)), bias=True, rng=rng)
                kept = draw(st.sampled_from((None, -1, (1, 0), (-1, -1), slice(0, 1))))
                op = machine if kept is None else mk.Chain([machine, mk.Select(kept, sizes=machine.sizes)])
            case "nested":
                op = mk.Chain([mk.Affine(n, wide, rng=rng), mk.Pointwise("tanh")])
            case "conv":
                op = mk.Conv(n, wide, (2,), stride=draw(st.integers(1, 2)), padding=1, rng=rng)
            case "transposed":
                op = mk.ConvTranspose(n, wide, (2,), stride=draw(st.integers(1, 2)), padding=0, rng=rng)
            case "pool":
                op = mk.AvgPool((2,), stride=1, padding=1 if shape[0] < 2 else draw(st.integers(0, 1)))
            case "up":
                op = mk.Upsample((2,))
        ops.append(op)
        shape = tuple(op(np.zeros((2, *shape))).shape[1:])
        if 0 in shape or max(shape) > 9:
            ops.pop()
            break
    if not ops:
        ops = [mk.Affine(first[-1], 2, rng=rng)]
    return mk.Chain(ops), first, draw(st.integers(1, 2)), rng


@given(chains(), st.data(), st.sampled_from(WHICH), st.sampled_from(("sharp", "sums", "ball")))
def test_no_chain_exceeds_its_bounds(case, data, which, form):
    chain, shape, batch, rng = case
    radii, reach = draw_radii(data.draw, chain), data.draw(st.sampled_from((0.5, 2.0)))
    how = {"radius": radii, "input_bound": reach, "shape": shape, "batch": batch, "which": which, "form": form}
    sampled = Sampled(chain, by_op(chain, radii), [((batch, *shape), [(..., reach)])], rng)
    sampled.assert_dominated(bounds(chain, of="last", **how), which, draws=3)


@st.composite
def graphs(draw):
    """A hypergraph with shortcuts, edges that add and that read several spaces, shared ops, and starts inside."""
    rng = np.random.default_rng(draw(seeds))
    count = draw(st.integers(2, 4))
    sizes = {f"x{k}": draw(st.integers(1, 2)) for k in range(count)}
    names, edges, made = list(sizes), [], {}
    for k in range(draw(st.integers(1, 5))):
        cut = draw(st.integers(1, count - 1))
        sources = draw(st.lists(st.sampled_from(names[:cut]), min_size=1, max_size=2))
        target = draw(st.sampled_from(names[cut:]))
        wide, fan_in = sizes[target], sum(sizes[s] for s in sources)
        if draw(st.integers(0, 3)) == 0 and all(sizes[s] == wide for s in sources):
            op = mk.Add()
        else:
            if (fan_in, wide) not in made or draw(st.booleans()):
                made[fan_in, wide] = mk.Affine(fan_in, wide, bias=draw(st.booleans()), rng=rng)
            op = made[fan_in, wide]
            if draw(st.booleans()):
                op = mk.Chain([op, mk.Pointwise(draw(st.sampled_from(SMOOTH)))])
            elif len(sources) == 1 and draw(st.booleans()):
                inner = [mk.Edge("a", op, "in -> out"), mk.Edge("b", mk.Chain([op, mk.Pointwise("tanh")]), "in -> out")]
                op = mk.Hypergraph({"in": fan_in, "out": wide}, inner)
        edges.append(mk.Edge(f"f{k}", op, f"{' '.join(sources)} -> {target}"))
    inputs = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    return mk.Hypergraph(sizes, edges, f"{' '.join(inputs)} -> {' '.join(names)}"), draw(st.integers(1, 2)), rng


@given(graphs(), st.data(), st.sampled_from(WHICH), st.sampled_from(("sharp", "ball")))
def test_no_hypergraph_exceeds_its_bounds(case, data, which, form):
    net, batch, rng = case
    radii = draw_radii(data.draw, net)
    reach = {name: data.draw(st.sampled_from((0.0, 0.5, 1.5))) for name in net.inputs}
    inputs = [((batch, *net.spaces[name]), [(..., reach[name])]) for name in net.inputs]
    found = bounds(net, radius=radii, input_bound=reach, batch=batch, which=which, form=form)
    Sampled(net, by_op(net, radii), inputs, rng).assert_dominated(found, which, draws=3)


@st.composite
def machines(draw):
    """A machine, its grid, the batch."""
    rng = np.random.default_rng(draw(seeds))
    sizes = tuple(draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)))
    sigma = draw(st.lists(st.sampled_from(SMOOTH), min_size=len(sizes), max_size=len(sizes)))
    how = {"bias": draw(st.booleans()), "rng": rng}
    match draw(st.sampled_from(("dense", "conv", "recurrent", "grid", "pruned"))):
        case "dense":
            return mk.DenseMachine(sizes, sigma, **how), (), draw(st.integers(1, 2)), rng
        case "pruned":
            machine = mk.DenseMachine(sizes, sigma, **how)
            return machine.prune(rng.random(machine.weight.shape) < 0.5), (), 1, rng
        case "conv":
            padding = (draw(st.sampled_from(((1, 0), (0, 2), (1, 1)))),)
            return mk.ConvMachine(sizes, sigma, padding=padding, **how), (draw(st.integers(1, 3)),), 1, rng
        case "recurrent":
            more = {"memory": draw(st.integers(0, 2)), "time_block": draw(st.integers(1, 2))}
            reverse = draw(st.sampled_from(((), (0,), (-1,))))
            return mk.RecurrentMachine(sizes, sigma, reverse=reverse, **more, **how), (draw(st.integers(1, 3)),), 1, rng
    padding = ((1, 0), draw(st.sampled_from(((0, 1), (1, 1)))))
    return mk.GridMachine(sizes, sigma, padding=padding, scan=(0,), **how), (2, 2), 1, rng


def boxes(machine, reach):
    """Return the entries of a start that each bound is about."""
    return [((..., block), r) for block, r in zip(machine.partition.blocks, reach, strict=True) if r is not None]


def weight_groups(machine, blocks, bias):
    p = machine.partition
    groups = [(blocks[j, i], [("weight", (..., a, b))]) for j, a in enumerate(p.blocks) for i, b in enumerate(p.blocks)]
    return groups + ([] if bias is None else [(r, [("bias", (b,))]) for r, b in zip(bias, p.blocks, strict=True)])


@given(machines(), st.data(), st.sampled_from(WHICH), st.booleans())
def test_no_machine_exceeds_its_bounds(case, data, which, jointly):
    machine, grid, batch, rng = case
    count, p = len(machine.sizes), machine.partition
    starts = [data.draw(st.lists(st.sampled_from((None, 0.0, 0.4, 1.0)), min_size=count, max_size=count)) for _ in "yz"]
    how = {"input_bound": starts[0], "start_bound": starts[1], "grid": grid, "batch": batch, "which": which}
    if not any(machine.sizes):
        return
    if jointly:
        rows = rng.uniform(0.2, 1.2, count)
        bias = [] if machine.bias is None else [("bias", b) for b in p.blocks]
        groups = [
            (r, [("weight", (..., b)), *bias[i : i + 1]]) for i, (r, b) in enumerate(zip(rows, p.blocks, strict=True))
        ]
        how["radius"] = list(rows)
    else:
        blocks = rng.uniform(0.2, 1.2, (count, count)) * (rng.random((count, count)) < 0.8)
        bias = None if machine.bias is None else rng.uniform(0.1, 0.6, count)
        groups = weight_groups(machine, blocks, bias)
        how |= {"block_radius": blocks, "bias_radius": bias}
    inputs = [((batch, *grid, p.channels), boxes(machine, reach)) for reach in starts]
    Sampled(machine, groups, inputs, rng).assert_dominated(bounds(machine, **how), which, draws=3)


@given(machines(), st.data(), st.sampled_from((0.0, 0.05, 0.5)), st.sampled_from(WHICH))
def test_no_machine_exceeds_its_bounds_around_a_point(case, data, move, which):
    machine, grid, batch, rng = case
    count, p = len(machine.sizes), machine.partition
    if not any(machine.sizes):
        return
    shape = (batch, *grid, p.channels)
    y0, z0 = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape)
    state = machine.solve(y0, z0)
    reach = data.draw(st.lists(st.sampled_from((None, 0.0, 0.1)), min_size=count, max_size=count))
    bias = None if machine.bias is None else np.full(count, move)
    how = {"input_bound": reach, "start_bound": reach, "block_radius": move, "bias_radius": bias, "which": which}
    groups = weight_groups(machine, np.full((count, count), move), bias)
    sampled = Sampled(
        machine, groups, [(shape, boxes(machine, reach))] * 2, rng, parameters(machine), dict(enumerate((y0, z0)))
    )
    sampled.assert_dominated(bounds(machine, at=state, **how), which, draws=3)


@given(st.data(), st.sampled_from((0.0, 0.05, 0.5)), st.sampled_from(WHICH), seeds)
def test_no_chain_exceeds_its_bounds_around_a_point(data, move, which, seed):
    rng = np.random.default_rng(seed)
    sizes, ops = [data.draw(st.integers(1, 3))], []
    for _ in range(data.draw(st.integers(1, 3))):
        sizes.append(data.draw(st.integers(1, 3)))
        ops.append(mk.Affine(*sizes[-2:], bias=data.draw(st.booleans()), rng=rng))
        ops += [mk.Pointwise(data.draw(st.sampled_from(SMOOTH)))] * data.draw(st.integers(0, 2))
    chain, x = mk.Chain(ops), rng.uniform(-1, 1, (2, sizes[0]))
    radii = dict.fromkeys(ops_of(chain), move)
    sampled = Sampled(chain, by_op(chain, radii), [(x.shape, [(..., 2 * move)])], rng, parameters(chain), {0: x})
    found = bounds(chain, radius=move, input_bound=2 * move, at=x, which=which, of="last")
    sampled.assert_dominated(found, which, draws=3)
