"""How a recurrent machine forgets: the singular values of its Jacobian by SciPy's svds, without the matrix."""

import sys
import time

import numpy as np
from scipy.sparse.linalg import eigsh, svds

import machinekit as mk
from machinekit.interop.scipy import linear_operator, weight_operator

T, COUNT = 300, 12
GAINS = (0.6, 1.0, 1.4)
rng = np.random.default_rng(0)
x = rng.standard_normal((T, 1))
kernel = rng.standard_normal((2, 9, 9)) / 3.0  # lags 0 and 1 from each of 9 channels: the spectral radius is about 1


def machine(gain):
    """Return one input channel and eight that read themselves one step before."""
    weight = np.zeros((2, 9, 9))
    weight[0, :1] = kernel[0, :1]
    weight[1, 1:, 1:] = gain * kernel[1, 1:, 1:]
    return mk.RecurrentMachine((1, 8), ["identity", "tanh"], memory=1, weight=weight)


start = np.ones(T)
values, dense_values, seconds = {}, {}, {}
for gain in GAINS:
    model = machine(gain)
    J = linear_operator(model, model.solve(x))  # z at all times by x at all times: T · 9 rows, T columns

    begun = time.perf_counter()
    values[gain] = np.sort(svds(J, k=COUNT, v0=start, return_singular_vectors=False))[::-1]
    seconds[gain] = time.perf_counter() - begun
    dense = J @ np.eye(T)  # column by column, to compare with
    dense_values[gain] = np.linalg.svd(dense, compute_uv=False)
    error = np.abs(values[gain] - dense_values[gain][:COUNT]).max() / dense_values[gain][0]
    squares = np.sort(eigsh(J.T @ J, k=COUNT, v0=start, return_eigenvectors=False))[::-1]
    assert error < 1e-10
    assert np.allclose(squares, values[gain] ** 2)

    print(
        f"gain {gain}: J is {J.shape[0]} x {J.shape[1]}, largest singular value {values[gain][0]:.3f}, "
        f"{COUNT} of them in {1e3 * seconds[gain]:.0f} ms, off the dense ones by {error:.0e}"
    )

# the adjoint is the dual: one pullback is one row of J
model = machine(1.0)
state = model.solve(x)
seed = np.zeros((T, 9))
seed[-1, -1] = 1.0
row = linear_operator(model, state).H @ seed.ravel()
assert np.allclose(row, model.pullback(state, seed).y0.ravel())

# the norm of W, as an operator on series, does not tell it: J is most sensitive where σ does not yet saturate
norms = {}
for gain in GAINS:
    W = weight_operator(machine(gain), (T,))
    norms[gain] = svds(W, k=1, v0=np.ones(W.shape[0]), return_singular_vectors=False)[0]
print("‖W‖:", ", ".join(f"{norm:.2f} at gain {gain}" for gain, norm in norms.items()))
assert values[0.6][0] < values[1.0][0] > values[1.4][0]

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, colors = "#22303c", ("#2a788e", "#7ad151", "#c44e52")
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    every, few = np.arange(1, T + 1), np.arange(1, COUNT + 1)
    for gain, color in zip(GAINS, colors, strict=True):
        left.loglog(every, dense_values[gain], color=color, lw=1.2, label=f"gain {gain}")
        left.loglog(few, values[gain], "o", color=color, ms=5, mfc="none")
        difference = np.abs(dense_values[gain][:COUNT] - values[gain]) / dense_values[gain][0]
        right.semilogy(few, np.maximum(difference, 1e-17), "o", color=color, ms=5, mfc="none")
    left.plot([], [], "o", color=ink, ms=5, mfc="none", label="svds")
    left.plot([], [], color=ink, lw=1.2, label="dense")
    left.set_title("singular values of ∂z/∂x", color=ink, fontsize=11)
    left.set(xlabel="k", ylabel="σ_k")
    left.legend(frameon=False, fontsize=9)
    right.axhline(np.finfo(float).eps, color=ink, lw=0.8, ls=":")
    right.set_title("svds off the dense Jacobian, relative to σ_1", color=ink, fontsize=11)
    right.set(xlabel="k", ylim=(5e-18, 1e-13))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=100)
