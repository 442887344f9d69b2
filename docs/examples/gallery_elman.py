"""An Elman network three times: unrolled as a hypergraph, as one recurrent machine, and by hand."""

import sys

import numpy as np

import machinekit as mk

T, BATCH, N_IN, N_HIDDEN, N_OUT = 30, 4, 2, 6, 1
rng = np.random.default_rng(0)
cell = mk.Affine(N_IN + N_HIDDEN, N_HIDDEN, bias=rng.normal(size=N_HIDDEN), rng=rng)
readout = mk.Affine(N_HIDDEN, N_OUT, bias=rng.normal(size=N_OUT), rng=rng)

# h_t = tanh(x_t U + h_(t-1) V + b),  y_t = h_t R + r,  h_0 = 0
step = mk.Chain([cell, mk.Pointwise("tanh")])
spaces, edges = {"h0": N_HIDDEN}, []
for t in range(1, T + 1):
    spaces |= {f"x{t}": N_IN, f"h{t}": N_HIDDEN, f"y{t}": N_OUT}
    edges.append(mk.Edge(f"step{t}", step, f"x{t} h{t - 1} -> h{t}"))
    edges.append(mk.Edge(f"read{t}", readout, f"h{t} -> y{t}"))
times = range(1, T + 1)
net = mk.Hypergraph(spaces, edges, " ".join(f"x{t}" for t in times) + " -> " + " ".join(f"y{t}" for t in times))
print(f"unrolled: {len(net.edges)} edges, depth {net.depth}, parameters {', '.join(net.parameters())}")
assert net.depth == T + 1

x, seeds = rng.normal(size=(BATCH, T, N_IN)), rng.normal(size=(BATCH, T, N_OUT))
state = net.solve(*np.moveaxis(x, 1, 0))  # h0 is left out: missing inputs are zero
cotangent = net.pullback(state, *np.moveaxis(seeds, 1, 0))

# by hand: the recursion, and back-propagation through time
U, V = np.split(cell.weight, [N_IN])
R = readout.weight
h = np.zeros((BATCH, T + 1, N_HIDDEN))
for t in range(T):
    h[:, t + 1] = np.tanh(x[:, t] @ U + h[:, t] @ V + cell.bias)
y = h[:, 1:] @ R + readout.bias
grad = {"U": 0.0 * U, "V": 0.0 * V, "b": 0.0 * cell.bias, "x": 0.0 * x}
back = np.zeros((BATCH, N_HIDDEN))
for t in reversed(range(T)):
    before_tanh = (1 - h[:, t + 1] ** 2) * (seeds[:, t] @ R.T + back)
    grad["U"] += x[:, t].T @ before_tanh
    grad["V"] += h[:, t].T @ before_tanh
    grad["b"] += before_tanh.sum(0)
    grad["x"][:, t] = before_tanh @ U.T
    back = before_tanh @ V.T
grad["R"] = np.einsum("nth,nto->ho", h[:, 1:], seeds)
grad["r"] = seeds.sum((0, 1))


def compare(what, a, b):
    difference = np.abs(a - b).max()
    print(f"{what}: {difference:.1e}")
    assert difference <= 1e-12 * (1 + np.abs(b).max())


def compare_all(name, found):
    for key, array in found.items():
        compare(f"{name}, {key}", array, y if key == "y" else grad[key])


weight = cotangent.parameters["step1.0.weight"]
compare_all("hypergraph", {
    "y": np.stack(state.outputs, axis=1), "x": np.stack(cotangent.inputs, axis=1),
    "U": weight[:N_IN], "V": weight[N_IN:], "b": cotangent.parameters["step1.0.bias"],
    "R": cotangent.parameters["read1.weight"], "r": cotangent.parameters["read1.bias"],
})  # fmt: skip

# one machine of three blocks x, h, y: U and R at lag 0, V at lag 1, every other tap pruned
i, j, k = slice(0, N_IN), slice(N_IN, N_IN + N_HIDDEN), slice(N_IN + N_HIDDEN, N_IN + N_HIDDEN + N_OUT)
taps = np.zeros((2, k.stop, k.stop))
taps[0, i, j], taps[1, j, j], taps[0, j, k] = U, V, R
machine = mk.RecurrentMachine(
    (N_IN, N_HIDDEN, N_OUT), ["identity", "tanh", "identity"], memory=1,
    weight=taps, bias=np.concatenate([np.zeros(N_IN), cell.bias, readout.bias]),
).prune(taps != 0)  # fmt: skip
solved = machine.solve(x)
pulled = machine.pullback(solved, np.concatenate([np.zeros((BATCH, T, N_IN + N_HIDDEN)), seeds], axis=-1))
compare_all("machine", {
    "y": solved.z[..., k], "x": pulled.y0, "U": pulled.weight[0, i, j], "V": pulled.weight[1, j, j],
    "R": pulled.weight[0, j, k], "b": pulled.bias[j], "r": pulled.bias[k],
})  # fmt: skip

# how much of the gradient in V of a loss on the last output comes from step t
radius, shares = np.abs(np.linalg.eigvals(V)).max(), {}
for wanted in (0.5, 1.0, 1.5):
    scaled = net.replace(**{"step1.0.weight": np.concatenate([U, wanted / radius * V])})
    run = scaled.solve(*np.moveaxis(x, 1, 0))
    parts = scaled.pullback(run, {f"y{T}": np.ones((BATCH, 1))}).contributions
    shares[wanted] = [np.linalg.norm(parts[f"step{t}.0.weight"][N_IN:]) for t in times]
    print(f"spectral radius {wanted}: step 2 contributes {shares[wanted][1] / shares[wanted][-1]:.0e} of step {T}")

assert shares[0.5][1] < shares[1.0][1] < shares[1.5][1]

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.6, 3.4), layout="constrained")
    *lags, axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.6))
    for lag, panel in enumerate(lags):
        panel.imshow(np.where(taps[lag] == 0, np.nan, taps[lag]), cmap="RdBu_r", vmin=-1.6, vmax=1.6)
        middle = [(place.start + place.stop - 1) / 2 for place in (i, j, k)]
        panel.set_xticks(middle, ["x", "h", "y"])
        panel.set_yticks(middle, ["x", "h", "y"])
        panel.tick_params(length=0)
        panel.spines[:].set_color("#c9ced3")
        panel.set_title(f"lag {lag}: {('U and R', 'V')[lag]}", color="#22303c", fontsize=11)
    for wanted, color in zip(shares, ("#c44e52", "#2a788e", "#e0a030"), strict=True):
        axes.semilogy(times[1:], shares[wanted][1:], "o-", ms=3.5, color=color, label=f"spectral radius {wanted}")
    axes.set(xlabel="step t", ylabel="contribution to the gradient in V", ylim=(1e-11, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=100)
