"""A boundary value problem by a machine: −u″ = f on [0, 1], u(0) = u(1) = 0, trained on u″ at 64 points."""

import sys

import numpy as np

import machinekit as mk


class Equation:
    """c_0 N + c_1 N′ + c_2 N″ at the points of training, N being the last channel of a machine: an op of one's own."""

    def __init__(self, *coefficients):
        self.coefficients = coefficients

    def solve(self, *jet):
        terms = [c * z[..., -1:] for c, z in zip(self.coefficients, jet, strict=True)]
        return mk.State(jet, (sum(terms),))

    def pullback(self, state, seed=None):
        cotangents = tuple(np.zeros_like(z) for z in state.inputs)
        for c, cotangent in zip(self.coefficients, cotangents, strict=True):
            cotangent[..., -1:] = c * seed
        return mk.Cotangent(cotangents, {}, (seed,))


def exact(x):
    return np.sin(np.pi * x) + 0.3 * np.sin(4.0 * np.pi * x)


def f(x):
    return np.pi**2 * (np.sin(np.pi * x) + 4.8 * np.sin(4.0 * np.pi * x))


# u = b N with b = x (1 − x) is zero at both ends, whatever N is; then −u″ = −b″ N − 2 b′ N′ − b N″
x = np.linspace(0.0, 1.0, 64)[:, None]
machine = mk.DenseMachine((1, 12, 12, 1), ["identity", "tanh", "tanh", "identity"], bias=True, rng=0)
equation = Equation(2.0, -2.0 * (1.0 - 2.0 * x), -x * (1.0 - x))
model = mk.Chain([mk.JetOp(machine, 2), equation])
curve = (x, np.ones_like(x), np.zeros_like(x))  # x + s: the jet is N, N′, N″

objective = mk.Objective(model, "squared_error", curve, f(x))
print(f"gradient against the complex step: {objective.check_gradient(rng=0):.1e}")
fitted = mk.fit(model, "squared_error", curve, f(x), steps=2000, tolerance=1e-9, progress=False)
trained = fitted.model.ops[0].machine

fine = np.linspace(0.0, 1.0, 1001)[:, None]
u = fine * (1.0 - fine) * trained(fine)[:, -1:]
error = np.abs(u - exact(fine))
residual = (2.0 * fitted.value) ** 0.5
print(f"{fitted.steps} steps, root mean squared residual {residual:.1e}, where f reaches {f(x).max():.0f}")
print(f"largest error on 1001 points: {error.max():.1e}")
assert error.max() < 1e-3

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, colors = "#22303c", ("#2a788e", "#c44e52")
    figure = Figure(figsize=(10.0, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(fine, exact(fine), color="#b8c4cc", lw=5, label="analytic")
    left.plot(fine, u, color=colors[0], lw=1.5, label="machine")
    left.plot(x, 0.0 * x, "|", color=ink, ms=6, label="points of training")
    left.set_title("−u″ = f, u(0) = u(1) = 0", color=ink, fontsize=11)
    left.set(xlabel="x", ylabel="u")
    left.legend(frameon=False)
    right.semilogy(fine, error + 1e-12, color=colors[0], lw=1, label="|u − analytic|")
    right.semilogy(x, np.abs(fitted.model(*curve) - f(x)), ".", color=colors[1], ms=4, label="|u″ + f|")
    right.set_title("error and residual", color=ink, fontsize=11)
    right.set(xlabel="x", ylim=(1e-8, 10.0))
    right.legend(frameon=False, loc="upper center", ncols=2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=100)
