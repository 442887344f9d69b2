"""A DAG of three operators, of which the first and the last share their weights: each use has its own contribution."""

import sys

import numpy as np

import machinekit as mk

rng = np.random.default_rng(3)
w1 = mk.Affine(5, 5, bias=False, rng=rng)
w2 = mk.Affine(5, 5, bias=False, rng=rng)
norm = mk.Norm()
net = mk.Hypergraph(
    {"x0": 5, "x1": 5, "x2": 5, "x3": 5, "q": 1},
    [
        mk.Edge("phi1", w1, "x0 -> x1"),
        mk.Edge("skip", mk.Pointwise("identity"), "x0 -> x2"),  # two edges into x2, and so they add
        mk.Edge("phi2", w2, "x1 -> x2"),
        mk.Edge("phi3", mk.Chain([mk.Add(), w1]), "x1 x2 -> x3"),
        mk.Edge("norm", norm, "x3 -> q"),
    ],
)
print(net.describe())

x0 = rng.normal(size=(1, 5))
state = net.solve(x0)
cotangent = net.pullback(state, np.ones((1, 1)))


def q(x, one, two, three):
    """Return the output by hand, with weights of its own for each operator."""
    x1 = x @ one
    x2 = x + x1 @ two
    x3 = (x1 + x2) @ three
    return (x3 * x3).sum() ** 0.5


point = [x0, w1.weight, w2.weight, w1.weight]
assert abs(q(*point) - state["q"].item()) <= 1e-12


def gradient(*places):
    """Return the gradient by the complex step, an entry at a time, in all these arguments of q at once."""

    def moved(array):
        return q(*(array if k in places else a for k, a in enumerate(point)))

    here = point[places[0]]
    units = np.eye(here.size).reshape(-1, *here.shape)
    return np.reshape([mk.testing.complex_step(moved, here, unit) for unit in units], here.shape)


parts = cotangent.contributions
differences = {
    "x0": cotangent.inputs["x0"] - gradient(0),
    "w2": cotangent.parameters["phi2.weight"] - gradient(2),
    "w1, sum of both": cotangent.parameters["phi1.weight"] - gradient(1, 3),
    "w1, as it is in phi1": parts["phi1.weight"] - gradient(1),
    "w1, as it is in phi3": parts["phi3.1.weight"] - gradient(3),
}
for name, difference in differences.items():
    print(f"{name}: {np.abs(difference).max():.1e} from the complex step")
    assert np.abs(difference).max() <= 1e-12

# the norm has no derivative at 0; zero is returned there, documented, and nothing is divided by zero
zero = net.solve(np.zeros((1, 5)))
at_zero = net.pullback(zero, np.ones((1, 1)))
assert zero["q"].item() == 0.0
assert not any(a.any() for a in (at_zero.inputs["x0"], *at_zero.parameters.values()))
print("at x0 = 0: q = 0, and every cotangent is 0")

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    panels = {
        "through $\\varphi_1$": parts["phi1.weight"],
        "through $\\varphi_3$": parts["phi3.1.weight"],
        "the gradient of $q$ in $w_1$": cotangent.parameters["phi1.weight"],
    }
    top = max(np.abs(a).max() for a in panels.values())
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    columns = figure.subplots(1, 3)
    for axes, (title, array), sign in zip(columns, panels.items(), ("+", "=", ""), strict=True):
        image = axes.imshow(array, cmap="RdBu_r", vmin=-top, vmax=top)
        for (row, column), value in np.ndenumerate(array):
            ink = "white" if abs(value) > 0.6 * top else "#22303c"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, color="#22303c", fontsize=12)
        axes.text(1.06, 0.5, sign, transform=axes.transAxes, fontsize=22, va="center", ha="center", color="#22303c")
        axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=columns, shrink=0.8)
    figure.savefig(sys.argv[1], dpi=110)
