"""A residual network on two spirals: edges into one space add, so that a skip is an edge and no sum is written."""

import sys

import numpy as np

import machinekit as mk

WIDTH = 8
rng = np.random.default_rng(0)

# two spirals of 100 points each
label = np.repeat([0.0, 1.0], 100)[:, None]
radius = np.tile(np.linspace(0.15, 1.0, 100), 2)[:, None]
angle = 9.0 * radius + np.pi * label
points = radius * np.concatenate([np.cos(angle), np.sin(angle)], axis=1) + 0.01 * rng.normal(size=(200, 2))


def network(blocks, skips, seed):
    """Return x -> h0, then h_(k+1) = h_k + f_k(h_k), without h_k if there are no skips, then the logit y."""
    rng, identity = np.random.default_rng(seed), mk.Pointwise("identity")
    edges = [mk.Edge("embed", mk.Affine(2, WIDTH, rng=rng), "x -> h0")]
    for k in range(blocks):
        half = 0.5 * rng.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5
        ops = [mk.Affine(WIDTH, WIDTH, rng=rng), mk.Pointwise("tanh"), mk.Affine(WIDTH, WIDTH, weight=half)]
        edges.append(mk.Edge(f"block{k}", mk.Chain(ops), f"h{k} -> h{k + 1}"))
        if skips:
            edges.append(mk.Edge(f"skip{k}", identity, f"h{k} -> h{k + 1}"))
    edges.append(mk.Edge("logit", mk.Affine(WIDTH, 1, rng=rng), f"h{blocks} -> y"))
    return mk.Hypergraph({"x": 2, **{f"h{k}": WIDTH for k in range(blocks + 1)}, "y": 1}, edges)


def gradient_sizes(net):
    """Return the norm of the loss's gradient at h0, h1, …: a cotangent has every space."""
    state = net.solve(points)
    cotangent = net.pullback(state, mk.losses.logistic.gradient(state["y"], label))
    return [np.linalg.norm(cotangent.inputs[name]) for name in net.spaces if name.startswith("h")]


# what the network computes, by hand
net = network(3, True, seed=0)
ops = net.parts()
h = ops["embed"](points)
for k in range(3):
    h = h + ops[f"block{k}"](h)
assert np.abs(net(points) - ops["logit"](h)).max() <= 1e-12

# before training, twenty blocks: through the skips the gradient reaches the first block, without them it fades
sizes = {skips: np.mean([gradient_sizes(network(20, skips, s)) for s in range(5)], axis=0) for skips in (True, False)}
for skips, norms in sizes.items():
    print(f"{'with' if skips else 'without'} skips: gradient at h0 / gradient at h20 = {norms[0] / norms[-1]:.1e}")
assert sizes[True][0] > 0.5 * sizes[True][-1]
assert sizes[False][0] < 1e-4 * sizes[False][-1]

# training, eight blocks, the same initial weights
fitted = {}
for skips in (True, False):
    model = network(8, skips, seed=0)
    penalty = mk.penalties.l2(1e-5)
    fitted[skips] = mk.fit(model, "logistic", points, label, penalties=[penalty], steps=200, progress=False)
    right = ((fitted[skips].model(points) > 0) == (label > 0.5)).mean()
    print(f"{'with' if skips else 'without'} skips: loss {fitted[skips].value:.4f}, {right:.1%} of the points right")
    assert right > 0.98 or not skips
assert fitted[True].value < fitted[False].value

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, colors = "#22303c", {True: "#2a788e", False: "#c44e52"}
    figure = Figure(figsize=(10.8, 3.5), layout="constrained")
    left, *maps = figure.subplots(1, 3)
    for skips, norms in sizes.items():
        left.semilogy(norms, "o-", ms=3.5, color=colors[skips], label="with skips" if skips else "without")
    left.set(xlabel="space $h_k$", ylabel="norm of the loss's gradient", xticks=range(0, 21, 5))
    left.set_title("before training, 20 blocks", color=ink, fontsize=11)
    left.legend(frameon=False)
    left.spines[["top", "right"]].set_visible(False)
    ticks = np.linspace(-1.15, 1.15, 160)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    for axes, skips in zip(maps, (True, False), strict=True):
        chance = 1 / (1 + np.exp(-np.clip(fitted[skips].model(plane)[..., 0], -30, 30)))
        axes.contourf(ticks, ticks, chance, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
        for value, color in ((0, "#1f4e79"), (1, "#8c1c13")):
            axes.plot(*points[label[:, 0] == value].T, "o", ms=2.6, color=color)
        words = "with" if skips else "without"
        axes.set_title(f"8 blocks {words} skips: loss {fitted[skips].value:.2g}", color=ink, fontsize=11)
        axes.set(aspect="equal", xticks=[], yticks=[])
    figure.savefig(sys.argv[1], dpi=100)
