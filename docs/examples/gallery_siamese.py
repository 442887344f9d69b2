"""Siamese twins: one sub-network on k inputs is the same as a batch of k, in values and in gradients."""

import sys

import numpy as np

import machinekit as mk

K, BATCH, N_IN, N_OUT = 4, 6, 5, 3
rng = np.random.default_rng(0)
twin = mk.Chain([mk.Affine(N_IN, 8, rng=rng), mk.Pointwise("tanh"), mk.Affine(8, N_OUT, rng=rng)])

spaces = {f"x{k}": N_IN for k in range(K)} | {f"y{k}": N_OUT for k in range(K)}
net = mk.Hypergraph(spaces, [mk.Edge(f"twin{k}", twin, f"x{k} -> y{k}") for k in range(K)])
print(net.describe())

inputs, seeds = rng.normal(size=(K, BATCH, N_IN)), rng.normal(size=(K, BATCH, N_OUT))
state = net.solve(*inputs)
cotangent = net.pullback(state, *seeds)

# the same network, once, on a batch of k times as many
batch = twin.solve(inputs)
whole = twin.pullback(batch, seeds)


def compare(what, a, b, exact=1e-12):
    difference = np.abs(a - b).max()
    print(f"{what}: {difference:.1e}")
    assert difference <= exact * (1 + np.abs(b).max())


compare("values", np.stack(state.outputs), batch.outputs[0])
compare("cotangents of the inputs", np.stack(cotangent.inputs), whole.inputs[0])
assert list(cotangent.parameters) == [f"twin0.{name}" for name in twin.parameters()]  # one set, listed once
for name, array in whole.parameters.items():
    compare(name, cotangent.parameters[f"twin0.{name}"], array)
    parts = [cotangent.contributions[f"twin{k}.{name}"] for k in range(K)]
    compare(f"{name}, sum of {K} contributions", sum(parts), array)
    for k, part in enumerate(parts):  # the part of replica k is the gradient of replica k alone
        alone = twin.pullback(twin.solve(inputs[k]), seeds[k]).parameters[name]
        compare(f"{name}, contribution of replica {k}", part, alone)

# replacing the one weight moves all twins, and they stay twins
moved = net.replace(**{"twin0.0.weight": 2.0 * net.parameters()["twin0.0.weight"]})
assert len({id(e.op.ops[0]) for e in moved.edges}) == 1
assert list(moved.parameters()) == list(net.parameters())
direction = rng.normal(size=(N_IN, 8))


def through(weight):
    run = net.replace(**{"twin0.0.weight": weight}).solve(*inputs)
    return sum((g * y).sum() for g, y in zip(seeds, run.outputs, strict=True))


slope = mk.testing.complex_step(through, net.parameters()["twin0.0.weight"], direction)
compare("complex step in the shared weight", (cotangent.parameters["twin0.0.weight"] * direction).sum(), slope)

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    arrays = [cotangent.contributions[f"twin{k}.0.weight"] for k in range(K)]
    panels = [(f"twin {k}", a) for k, a in enumerate(arrays)] + [("shared weight", sum(arrays))]
    top = max(np.abs(a).max() for _, a in panels)
    figure = Figure(figsize=(10.5, 1.9), layout="constrained")
    columns = figure.subplots(1, K + 1)
    for axes, (title, array), sign in zip(columns, panels, ("+",) * (K - 1) + ("=", ""), strict=True):
        image = axes.imshow(array, cmap="RdBu_r", vmin=-top, vmax=top)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, color="#22303c", fontsize=11)
        axes.text(1.1, 0.5, sign, transform=axes.transAxes, fontsize=18, va="center", ha="center", color="#22303c")
        axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=columns, shrink=0.9, label="cotangent")
    figure.savefig(sys.argv[1], dpi=110)
