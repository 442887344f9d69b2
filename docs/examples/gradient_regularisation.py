"""Gradient-based regularisation: a penalty on the slope of the model, and the derivative of the validation loss by it.

40 noisy samples of sin 2x are fitted by dense blocks of 1, 12, 12, 1 units with all shortcuts. The penalty is λ/2 times
the mean squared slope of the output at the samples; its gradient is double back-propagation, its Hessian a complex
step of that. At every minimum, `mk.hypergradient` says how the loss on clean validation data changes with λ, without
solving again; solving again, at λ ± δ, confirms it.
"""

import sys

import numpy as np

import machinekit as mk

STRENGTHS = (1e-2, 1e-3, 1e-4, 0.0)
DECAY = 7e-4  # with more parameters than samples, the Hessian is singular without an l2 penalty

rng = np.random.default_rng(2)
x = rng.uniform(-3.0, 3.0, (40, 1))
targets = np.sin(2.0 * x) + 0.3 * rng.normal(size=x.shape)
grid = np.linspace(-3.0, 3.0, 200)[:, None]

sizes = (1, 12, 12, 1)
machine = mk.DenseMachine(sizes, ("identity", "tanh", "tanh", "identity"), bias=True, rng=0)
start = mk.Chain([machine, mk.Select(-1, sizes=sizes)])
validation = mk.Objective(start, "squared_error", grid, np.sin(2.0 * grid))


def penalties(strength):
    decay = mk.penalties.l2(DECAY, names=("weight", "bias"))
    return [mk.penalties.input_gradient(strength), decay]


def train(strength, model):
    """Return the minimum that a trust-region Newton method reaches from a model."""
    given = {"penalties": penalties(strength), "steps": 2000, "tolerance": 1e-10, "progress": False}
    return mk.fit(model, "squared_error", x, targets, "trust-ncg", **given)


def by_solving_again(strength, fitted):
    """Return d validation/dλ by differences: central, and forward at λ = 0, of second order both."""
    step = max(2e-5, 0.01 * strength)
    places, weights = ((-1, 1), (-0.5, 0.5)) if strength else ((0, 1, 2), (-1.5, 2.0, -0.5))
    losses = [validation.value(train(strength + place * step, fitted.model).theta) for place in places]
    return float(np.dot(weights, losses)) / step


model, fits, slopes = start, {}, {}
print("λ       loss     validation  d validation/dλ  by solving again  difference")
for strength in STRENGTHS:
    fitted = train(strength, model)
    assert fitted.gradient_norm < 1e-7
    inner = mk.Objective(start, "squared_error", x, targets, penalties(strength))
    slope, _ = mk.hypergradient(inner, validation, fitted.theta)  # and that by the strength of l2
    again = by_solving_again(strength, fitted)
    error = abs(slope - again) / abs(again)
    loss = validation.value(fitted.theta)
    print(f"{strength:<7g} {fitted.value:.5f}  {loss:.5f}     {slope:<15.5f}  {again:<16.5f}  {error:.1e}")
    assert error < 0.01
    model, fits[strength], slopes[strength] = fitted.model, fitted, slope

steepest = {s: np.abs(np.diff(f.model(grid), axis=0)).max() / (grid[1, 0] - grid[0, 0]) for s, f in fits.items()}
print("steepest slope of the fit:", {s: round(float(v), 2) for s, v in steepest.items()})
assert steepest[1e-2] < steepest[0.0]

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, colors = "#22303c", dict(zip(STRENGTHS, ("#c44e52", "#dd8452", "#2a788e", "#414487"), strict=True))
    figure = Figure(figsize=(10.8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.plot(grid, np.sin(2.0 * grid), color="#b0b7bd", lw=5, alpha=0.6, label="sin 2x")
    left.plot(x, targets, "o", ms=3.5, color=ink, label="samples")
    for strength, fitted in fits.items():
        left.plot(grid, fitted.model(grid), color=colors[strength], lw=1.4, label=f"λ = {strength:g}")
    left.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
    left.set(ylim=(-1.7, 2.4), xlabel="x")
    left.set_title("penalty λ/2 · mean squared slope at the samples", color=ink, fontsize=11)
    reach = np.geomspace(0.4, 2.5, 30)
    for strength, fitted in fits.items():
        loss, color = validation.value(fitted.theta), colors[strength]
        if strength:
            right.plot(strength * reach, loss + slopes[strength] * strength * (reach - 1.0), color=color, lw=1.4)
            right.plot(strength, loss, "o", color=color)
        else:
            right.axhline(loss, color=color, lw=1.0, ls="--")
            right.annotate("λ = 0", (1.1e-2, loss), color=color, va="bottom", fontsize=8)
    right.set(xscale="log", xlabel="λ", ylabel="validation loss")
    right.set_title("tangents by the hypergradient", color=ink, fontsize=11)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=100)
