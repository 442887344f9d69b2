"""A DenseNet block as one convolution machine, and as a hypergraph of one convolution per layer: the same numbers."""

import itertools
import sys

import numpy as np

import machinekit as mk

SIZES, PADDING, GRID = (3, 4, 4, 4), ((1, 1), (2, 0)), (8, 9)  # 3 channels in, 3 layers of 4; 3 × 3 kernels
rng = np.random.default_rng(0)
machine = mk.ConvMachine(SIZES, ["identity", "tanh", "tanh", "tanh"], padding=PADDING, bias=True, rng=rng)
machine = machine.replace(bias=np.concatenate([np.zeros(3), rng.normal(size=12)]))  # none on the input block
print(machine.describe())

# layer k reads the concatenation of all before it, which is what is above the diagonal in column k of the weight
starts = np.cumsum((0, *SIZES))
before = [slice(0, start) for start in starts[1:-1]]
block = [slice(start, stop) for start, stop in itertools.pairwise(starts[1:])]
edges = []
for k, (rows, columns) in enumerate(zip(before, block, strict=True), 1):
    conv = mk.Conv(
        rows.stop, SIZES[k], (3, 3), padding=PADDING,
        weight=machine.weight[..., rows, columns], bias=machine.bias[columns],
    )  # fmt: skip
    earlier = " ".join(f"x{j}" for j in range(k))
    edges.append(mk.Edge(f"layer{k}", mk.Chain([conv, mk.Pointwise("tanh")]), f"{earlier} -> x{k}"))
spaces = {f"x{k}": (*GRID, n) for k, n in enumerate(SIZES)}
net = mk.Hypergraph(spaces, edges, f"x0 -> {' '.join(spaces)}")
print(net.describe())


def compare(what, a, b):
    difference = np.abs(a - b).max()
    print(f"{what}: {difference:.1e}")
    assert difference <= 1e-12 * (1 + np.abs(b).max())


image = rng.normal(size=(2, *GRID, 3))
one, many = machine.solve(image), net.solve(image)
compare("all layers", one.z, np.concatenate(many.outputs, axis=-1))

seed = rng.normal(size=one.z.shape)
by_machine = machine.pullback(one, seed)
by_layer = net.pullback(many, *np.split(seed, starts[1:-1], axis=-1))
compare("cotangent of the image", by_machine.y0, by_layer.inputs["x0"])
for k, (rows, columns) in enumerate(zip(before, block, strict=True), 1):
    weight, bias = (by_layer.parameters[f"layer{k}.0.{name}"] for name in ("weight", "bias"))
    compare(f"weight of layer {k}", by_machine.weight[..., rows, columns], weight)
    compare(f"bias of layer {k}", by_machine.bias[columns], bias)

# the concatenations are in the machine's partition: no more weights are live than the layers have
assert machine.live.sum() == sum(c.size for name, c in net.parameters().items() if name.endswith("weight"))
assert not by_machine.weight[~machine.live].any()
assert net.depth == len(SIZES) - 1

if len(sys.argv) > 1:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    ink, live = "#22303c", machine.live.any((0, 1))
    panels = {"size of the weight, over 3 × 3 taps": machine.weight, "size of its cotangent": by_machine.weight}
    for axes, (title, kernel) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        array = np.where(live, np.sqrt((kernel**2).sum((0, 1))), np.nan)
        picture = axes.imshow(array, cmap="viridis", vmin=0)
        for k, (rows, columns) in enumerate(zip(before, block, strict=True), 1):
            corner, across = (columns.start - 0.5, -0.5), columns.stop - columns.start
            axes.add_patch(Rectangle(corner, across, rows.stop, fill=False, edgecolor="#c44e52", lw=2.5))
            axes.text(corner[0] + across / 2, rows.stop + 0.3, f"layer {k}", ha="center", color="#c44e52")
        axes.set(xlabel="channel out", ylabel="channel in")
        axes.set_title(title, color=ink, fontsize=11)
        axes.spines[:].set_color("#c9ced3")
        figure.colorbar(picture, ax=axes, shrink=0.8)
    figure.savefig(sys.argv[1], dpi=100)
