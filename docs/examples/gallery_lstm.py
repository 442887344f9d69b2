"""An LSTM cell as a network of gates, unrolled with shared weights, against back-propagation through time by hand."""

import sys

import numpy as np

import machinekit as mk

T, BATCH, N_IN, N = 25, 3, 4, 5
rng = np.random.default_rng(0)


class Times:
    """An op of our own: the product a ⊙ b, its tangent ȧ ⊙ b + a ⊙ ḃ, its dual (ȳ ⊙ b, ȳ ⊙ a)."""

    def __repr__(self):
        return "Times()"

    def __call__(self, a, b):
        return a * b

    def pushforward(self, state, da=None, db=None):
        a, b = state.inputs
        return mk.Tangent(((0.0 if da is None else da * b) + (0.0 if db is None else a * db) + 0.0 * a,), (da, db))

    def pullback(self, state, y=None):
        a, b = state.inputs
        seed = 0.0 * a if y is None else y
        return mk.Cotangent((seed * b, seed * a), outputs=(y,))


times = Times()
print(mk.testing.check_op(times, rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng=0))

# i, f, o = sigmoid(x U + h V + b),  g = tanh(…),  c' = f ⊙ c + i ⊙ g: two edges into one space,  h' = o ⊙ tanh(c')
squash = {"o": "sigmoid", "i": "sigmoid", "g": "tanh", "f": "sigmoid"}
affine = {gate: mk.Affine(N_IN + N, N, bias=rng.normal(size=N), rng=rng) for gate in squash}
gates = [mk.Edge(f"gate_{k}", mk.Chain([affine[k], mk.Pointwise(σ)]), f"x h -> {k}") for k, σ in squash.items()]
spaces = {"x": N_IN, "h": N, "c": N, "i": N, "f": N, "o": N, "g": N, "c'": N, "s": N, "h'": N}
adds = [mk.Edge("write", times, "i g -> c'"), mk.Edge("keep", times, "f c -> c'")]
ends = [mk.Edge("squash", mk.Pointwise("tanh"), "c' -> s"), mk.Edge("read", times, "o s -> h'")]
cell = mk.Hypergraph(spaces, gates + adds + ends, "x h c -> h' c'")
print(cell.describe())

unrolled = {"h0": N, "c0": N}
for t in range(1, T + 1):
    unrolled |= {f"x{t}": N_IN, f"h{t}": N, f"c{t}": N}
steps = [mk.Edge(f"step{t}", cell, f"x{t} h{t - 1} c{t - 1} -> h{t} c{t}") for t in range(1, T + 1)]
xs, hs = (" ".join(f"{name}{t}" for t in range(1, T + 1)) for name in "xh")
net = mk.Hypergraph(unrolled, steps, f"{xs} -> {hs}")
print("unrolled:", net.depth, "levels, parameters", ", ".join(net.parameters()))
assert len(net.parameters()) == 8

x, seeds = rng.normal(size=(T, BATCH, N_IN)), rng.normal(size=(T, BATCH, N))
state = net.solve(*x)  # h0 and c0 are left out: missing inputs are zero
cotangent = net.pullback(state, *seeds)

# by hand
h, c, tape = np.zeros((BATCH, N)), np.zeros((BATCH, N)), []
for t in range(T):
    xh = np.concatenate([x[t], h], axis=1)
    pre = {gate: xh @ a.weight + a.bias for gate, a in affine.items()}
    v = {gate: np.tanh(pre[gate]) if gate == "g" else 1 / (1 + np.exp(-pre[gate])) for gate in affine}
    before, c = c, v["f"] * c + v["i"] * v["g"]
    h = v["o"] * np.tanh(c)
    tape.append((xh, v, before, c))
    assert max(np.abs(h - state[f"h{t + 1}"]).max(), np.abs(c - state[f"c{t + 1}"]).max()) <= 1e-12
W = {gate: np.zeros_like(a.weight) for gate, a in affine.items()}
b = {gate: np.zeros_like(a.bias) for gate, a in affine.items()}
dx, dh, dc = np.zeros_like(x), np.zeros((BATCH, N)), np.zeros((BATCH, N))
for t in reversed(range(T)):
    xh, v, before, c = tape[t]
    dh = dh + seeds[t]
    dc = dc + dh * v["o"] * (1 - np.tanh(c) ** 2)
    d = {"i": dc * v["g"], "f": dc * before, "o": dh * np.tanh(c), "g": dc * v["i"]}
    d = {gate: a * (1 - v[gate] ** 2 if gate == "g" else v[gate] * (1 - v[gate])) for gate, a in d.items()}
    for gate, a in d.items():
        W[gate] += xh.T @ a
        b[gate] += a.sum(0)
    dxh = sum(a @ affine[gate].weight.T for gate, a in d.items())
    dx[t], dh, dc = dxh[:, :N_IN], dxh[:, N_IN:], dc * v["f"]
assert np.abs(np.stack(cotangent.inputs) - dx).max() <= 1e-12
for gate in affine:
    for name, by_hand in (("weight", W[gate]), ("bias", b[gate])):
        difference = np.abs(cotangent.parameters[f"step1.gate_{gate}.0.{name}"] - by_hand).max()
        print(f"{name} of gate {gate}: {difference:.1e} from the gradient by hand")
        assert difference <= 1e-12 * (1 + np.abs(by_hand).max())

# what the forget gate is for: how far back a seed on the last c is felt
reach = {}
for bias in (-2.0, 0.0, 2.0, 4.0):
    run = net.replace(**{"step1.gate_f.0.bias": np.full(N, bias)})
    back = run.pullback(run.solve(*x), {f"c{T}": np.ones((BATCH, N))})
    reach[bias] = [np.linalg.norm(back.inputs[f"c{t}"]) for t in range(T + 1)]
    print(f"bias of the forget gate {bias:+.0f}: gradient at c0 / at c{T} = {reach[bias][0] / reach[bias][-1]:.0e}")
assert reach[-2.0][0] < reach[0.0][0] < reach[2.0][0] < reach[4.0][0]

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    from machinekit import figures

    drawn = figures.draw_network(cell, "The cell")
    drawn.set_dpi(120)
    drawn.canvas.draw()
    figure = Figure(figsize=(9.0, 6.6), layout="constrained")
    top, axes = figure.subplots(2, 1, height_ratios=(2.2, 1))
    top.imshow(np.asarray(drawn.canvas.buffer_rgba()))
    top.axis("off")
    for (bias, norms), color in zip(reach.items(), ("#c44e52", "#e0a030", "#2a788e", "#482878"), strict=True):
        axes.semilogy(norms, color=color, lw=2, label=f"bias of the forget gate {bias:+.0f}")
    axes.set(xlabel="t", ylabel=f"gradient of c{T} at c_t", ylim=(1e-9, 10))
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=100)
