"""The idea in one picture: a network as one map f of one space, its resolvent, and the same sweep backwards."""

import sys

import numpy as np

import machinekit as mk

sizes, names = (3, 4, 4, 2), ("input", "block 1", "block 2", "output")
machine = mk.DenseMachine(sizes, ["identity", "tanh", "tanh", "identity"], bias=True, rng=5)
n = sum(sizes)
zero, unit = np.zeros(n), np.eye(n)
x0 = np.concatenate([[1.0, -0.5, 0.25], np.zeros(n - 3)])

# running: x = f(x) + x0 with f(x) = σ(W x + b), solved block by block
state = machine.solve(zero, x0)
x = state.z
f = np.tanh(machine.weight.T @ x + machine.bias)
f[-2:] = machine.weight.T[-2:] @ x + machine.bias[-2:]
f[:3] = 0.0
assert np.abs(x - (f + x0)).max() <= 1e-15

# f reads only what is before it, so Df is zero on and above its diagonal blocks, and elimination is that sweep;
# back-propagation is the same with the transpose
Df = machine.slope(state)[:, None] * machine.weight.T
seed = unit[-1]
dual = machine.dual(state).solve(seed)
assert np.abs(machine.tangent(state).solve(zero, unit[0]).z - np.linalg.solve(unit - Df, unit[0])).max() <= 1e-14
assert np.abs(dual.y - np.linalg.solve(unit - Df.T, seed)).max() <= 1e-14
assert np.abs(dual.y - machine.pullback(state, seed).z0).max() <= 1e-15
print("x = f(x) + x0, its derivative and its dual: each solved by one sweep")

if len(sys.argv) > 1:
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    ink, color = "#22303c", "#2a788e"
    figure = Figure(figsize=(10.8, 4.5), layout="constrained")
    graph, forward, backward = figure.subplots(1, 3, width_ratios=(0.75, 1.0, 1.0))

    graph.set(xlim=(-0.1, 2.0), ylim=(3.75, -0.65))
    arrow = {"arrowstyle": "-|>", "mutation_scale": 11, "color": color, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    box = {"boxstyle": "round,pad=0,rounding_size=0.12", "fc": "#e8eef1", "ec": ink}
    for k, name in enumerate(names):
        graph.add_patch(FancyBboxPatch((0.0, k - 0.26), 1.0, 0.52, **box))
        graph.text(0.5, k, name, ha="center", va="center", color=ink, fontsize=11)
        if k:
            graph.add_patch(FancyArrowPatch((0.5, k - 0.74), (0.5, k - 0.26), **arrow))
        for j in range(k - 1):
            ends = (1.0, j + 0.12 * (k - j - 2)), (1.0, k - 0.12 * (2 - j))
            graph.add_patch(FancyArrowPatch(*ends, connectionstyle=f"arc3,rad={-0.4 - 0.1 * (k - j)}", **arrow))
    graph.set_title("a network: all units in one space,\n$f$ computes each from those before", color=ink, fontsize=11)
    graph.axis("off")

    edges = np.cumsum((0, *sizes)) - 0.5
    solved, pulled = r"$x = (\mathrm{id} - f)^{-1}\, x_0$", r"$u = (\mathrm{id} - Df^\top)^{-1}\, u_0$"
    for axes, matrix, words, result, (start, end) in (
        (forward, Df, "running it: $x = f(x) + x_0$,\nblock after block", solved, (-0.4, n - 0.6)),
        (backward, Df.T, "back-propagation: the transpose,\nlast block first", pulled, (n - 0.6, -0.4)),
    ):
        axes.imshow(np.where(matrix == 0, np.nan, matrix), cmap="RdBu_r", vmin=-1.5, vmax=1.5)
        axes.hlines(edges, -0.5, n - 0.5, color="#b8c4cc", lw=0.8)
        axes.vlines(edges, -0.5, n - 0.5, color="#b8c4cc", lw=0.8)
        ends = (-1.3, start), (-1.3, end)
        axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=18, color=color, lw=2.2))
        axes.set_title(words, color=ink, fontsize=11)
        axes.set(xlim=(-2.0, n - 0.4), ylim=(n - 0.4, -0.6), xticks=[], yticks=[])
        axes.set_xlabel(result, color=ink, fontsize=13, labelpad=8)
        axes.spines[:].set_visible(False)
    figure.savefig(sys.argv[1], dpi=100)
