"""An initial value problem by a machine: u″ + ω² u = 0, u(0) = 1, u′(0) = 0, over three periods at once."""

import sys

import numpy as np

import machinekit as mk

OMEGA, SCALE = 2.0, 0.5
END = 3 * 2.0 * np.pi / OMEGA


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


def bump(t):
    """Return b, b′, b″ of b = t²/(1 + t²), which is zero at t = 0, with its slope."""
    q = 1.0 / (1.0 + t * t)
    return t * t * q, 2.0 * t * q**2, (2.0 - 6.0 * t * t) * q**3


def curve(t):
    """Return what the machine reads, t centred and scaled, and its derivatives by t: the jet is then by t, too."""
    return SCALE * (t - END / 2.0), np.full_like(t, SCALE), np.zeros_like(t)


# u = 1 + b N has the initial values, whatever N is; u″ + ω² u = (b″ + ω² b) N + 2 b′ N′ + b N″ + ω²
t = np.linspace(0.0, END, 100)[:, None]
b, b1, b2 = bump(t)
machine = mk.DenseMachine((1, 16, 16, 1), ["identity", "sin", "sin", "identity"], bias=True, rng=0)
model = mk.Chain([mk.JetOp(machine, 2), Equation(b2 + OMEGA**2 * b, 2.0 * b1, b)])
target = np.full_like(t, -(OMEGA**2))
fitted = mk.fit(model, "squared_error", curve(t), target, steps=3000, tolerance=1e-10, progress=False)
trained = fitted.model.ops[0].machine

# u and u′ on a fine grid: the 1-jet of the trained machine
fine = np.linspace(0.0, END, 1001)[:, None]
b, b1, _ = bump(fine)
n, n1 = (z[:, -1:] for z in trained.jet(curve(fine)[0], curve(fine)[1:2]).z)
u, velocity = 1.0 + b * n, b1 * n + b * n1
error = np.abs(u - np.cos(OMEGA * fine))
error_velocity = np.abs(velocity + OMEGA * np.sin(OMEGA * fine))
energy = 0.5 * velocity**2 + 0.5 * OMEGA**2 * u**2
print(f"{fitted.steps} steps, root mean squared residual {(2.0 * fitted.value) ** 0.5:.1e}")
print(f"largest error on 1001 points: {error.max():.1e} of u, {error_velocity.max():.1e} of u′")
print(f"energy: between {energy.min():.4f} and {energy.max():.4f}, exactly {0.5 * OMEGA**2:.4f}")
assert error.max() < 1e-3
assert error_velocity.max() < 5e-3

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, colors = "#22303c", ("#2a788e", "#c44e52")
    figure = Figure(figsize=(10.8, 3.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 0.9, 1.2))
    left.plot(fine, np.cos(OMEGA * fine), color="#b8c4cc", lw=5, label="cos ωt")
    left.plot(fine, u, color=colors[0], lw=1.5, label="machine")
    left.set_title("u″ + ω² u = 0, three periods", color=ink, fontsize=11)
    left.set(xlabel="t", ylabel="u", ylim=(-1.1, 1.6))
    left.legend(frameon=False, loc="upper right", ncols=2)
    middle.plot(np.cos(OMEGA * fine), -np.sin(OMEGA * fine), color="#b8c4cc", lw=5)
    middle.plot(u, velocity / OMEGA, color=colors[0], lw=1.5)
    middle.set_title("u′ by the 1-jet", color=ink, fontsize=11)
    middle.set(xlabel="u", ylabel="u′ / ω", aspect="equal")
    right.semilogy(fine, error + 1e-12, color=colors[0], lw=1, label="|u − cos ωt|")
    right.semilogy(t, np.abs(fitted.model(*curve(t)) - target), ".", color=colors[1], ms=4, label="|u″ + ω² u|")
    right.set_title("error and residual", color=ink, fontsize=11)
    right.set(xlabel="t", ylim=(1e-8, 1.0))
    right.legend(frameon=False, loc="upper right", ncols=2, fontsize=9)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=100)
