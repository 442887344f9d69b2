"""Figure 2 of the paper: eight spaces of unequal sizes, five nonlinear edges, an input on every space, depth four."""

import sys

import numpy as np

import machinekit as mk

rng = np.random.default_rng(0)
spaces = {f"x{k}": int(n) for k, n in enumerate(rng.permutation(8) + 1, 1)}


class Split:
    """An op of our own: cut the channels into runs. It is linear, and the dual joins the runs again."""

    def __init__(self, sizes):
        self.cuts = np.cumsum(sizes)[:-1]

    def __repr__(self):
        return f"Split({len(self.cuts) + 1})"

    def __call__(self, x):
        return tuple(np.split(x, self.cuts, axis=-1))

    def pushforward(self, state, x):
        return mk.Tangent(self(x), (x,))

    def pullback(self, state, *seeds):
        parts = [np.zeros_like(y) if s is None else s for s, y in zip(seeds, state.outputs, strict=True)]
        return mk.Cotangent((np.concatenate(parts, axis=-1),), outputs=seeds)


def edge(name, signature):
    """Return tanh(A x + b) from all sources to all targets."""
    reads, writes = ([spaces[s] for s in side.split()] for side in signature.split("->"))
    affine = mk.Affine(sum(reads), sum(writes), bias=rng.normal(size=sum(writes)), rng=rng)
    ops = [affine, mk.Pointwise("tanh")] if len(writes) == 1 else [affine, mk.Pointwise("tanh"), Split(writes)]
    return mk.Edge(name, mk.Chain(ops), signature)


edges = [
    edge("f1", "x1 x2 -> x3"),
    edge("f2", "x1 -> x5"),
    edge("f3", "x3 -> x4"),
    edge("f4", "x4 -> x5 x6 x7"),
    edge("f5", "x6 -> x8"),
]
net = mk.Hypergraph(spaces, edges)
print(net.describe())

# every space has an input of its own; the eight formulas, written out
i = {name: rng.normal(size=(3, n)) for name, n in spaces.items()}
state = net.solve(i)
f1, f2, f3, f4, f5 = (e.op for e in edges)
x = {"x1": i["x1"], "x2": i["x2"]}
x["x3"] = i["x3"] + f1(x["x1"], x["x2"])
x["x4"] = i["x4"] + f3(x["x3"])
to_5, to_6, to_7 = f4(x["x4"])
x["x5"] = i["x5"] + f2(x["x1"]) + to_5
x["x6"] = i["x6"] + to_6
x["x7"] = i["x7"] + to_7
x["x8"] = i["x8"] + f5(x["x6"])
for name in spaces:
    difference = np.abs(state[name] - x[name]).max()
    print(f"{name} in R^{spaces[name]}: {difference:.1e} from its formula")
    assert difference <= 1e-12

assert net.depth == 4
assert net.levels == [("f1", "f2"), ("f3",), ("f4",), ("f5",)]
assert net.is_schedule([("f1",), ("f2", "f3"), ("f4",), ("f5",)])  # the grouping of the paper
assert not net.is_schedule([("f1", "f3"), ("f2",), ("f4",), ("f5",)])  # f3 reads what f1 has yet to write

# back-propagation runs the same figure with its arrows reversed
seeds = {name: rng.normal(size=(3, spaces[name])) for name in net.outputs}
dual = net.dual(state)
back = dual.solve(seeds)
print("levels of the dual:", dual.levels)
for name in spaces:
    direction = rng.normal(size=(3, spaces[name]))

    def through(array, name=name):
        run = net.solve({**i, name: array})
        return sum((g * run[out]).sum() for out, g in seeds.items())

    slope = mk.testing.complex_step(through, i[name], direction)
    assert abs(slope - (back[name] * direction).sum()) <= 1e-12 * (1 + abs(slope))

cycle = ()
try:
    mk.Hypergraph(spaces, [*edges, edge("back", "x8 -> x3")])
except mk.CycleError as error:
    print("with an edge x8 -> x3:", error)
    cycle = error.cycle
assert set(cycle) == {"f3", "f4", "f5", "back"}

if len(sys.argv) > 1:
    from machinekit import figures

    figures.draw_network(net, "Figure 2 of the paper, by earliest levels").savefig(sys.argv[1], dpi=110)
