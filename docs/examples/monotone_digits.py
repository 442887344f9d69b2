"""Digits: a monotone network against an MLP and logistic regression; its iterations, and its memory.

The hidden layer of 87 units is the equilibrium z = relu(W z + y0), with W = (1 − m) I − AᵀA + B − Bᵀ and m = 1 (Winston
& Kolter, arXiv:2006.08591), between two affine maps. The MLP has z = relu(y0) in its place and is trained alike. Then
the peak memory of one gradient, by 10 to 1000 iterations, beside that of back-propagation through the iterates.
"""

import sys
import time
import tracemalloc

import numpy as np

import machinekit as mk

try:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
except ModuleNotFoundError:
    raise SystemExit("the digits are those of scikit-learn; run: pip install 'machinekit[sklearn]'") from None

UNITS, EPOCHS, SEEDS, RTOL = 87, 40, (0, 1, 2), 1e-4
pixels, digit = load_digits(return_X_y=True)
split = train_test_split(pixels, digit, test_size=360, stratify=digit, random_state=0)
scaler = StandardScaler().fit(split[0])
train, test, (train_digit, test_digit) = *map(scaler.transform, split[:2]), split[2:]
targets = np.eye(10)[train_digit]


def network(kind, seed):
    rng = np.random.default_rng(seed)
    first, last = mk.Affine(64, UNITS, rng=rng), mk.Affine(UNITS, 10, rng=rng)
    if kind == "MLP":
        return mk.Chain([first, mk.Pointwise("relu"), last])
    return mk.Chain([first, mk.MonotoneMachine((UNITS,), "relu", margin=1.0, rtol=RTOL, rng=rng), last])


def accuracy(model):
    return float(np.mean(np.argmax(model(test), axis=-1) == test_digit))


def iterations(model):
    """Return the mean iterations per training sample: of the equilibrium, and of its dual at the gradient."""
    state = model.solve(train)
    cotangent = model.pullback(state, mk.losses.softmax_cross_entropy.gradient(state.outputs[0], targets))
    return state.saved[1].info.steps.mean(), cotangent.saved[1].saved.info.steps.mean()


def learn(kind, seed):
    """Return the fit, its seconds, and the accuracy and the iterations before and after every epoch."""
    start = network(kind, seed)
    objective = mk.Objective(start, "softmax_cross_entropy", train, targets)
    told, spent = [], 0.0

    def look(epoch, value, theta):
        nonlocal spent
        began = time.perf_counter()
        model = objective.model(theta)
        told.append((accuracy(model), *(iterations(model) if kind == "monotone" else ())))
        spent += time.perf_counter() - began

    look(0, None, objective.theta0)
    options = {"steps": EPOCHS, "learning_rate": 1e-3, "batch_size": 128, "rng": seed, "progress": False}
    spent, began = 0.0, time.perf_counter()
    fitted = mk.fit(start, "softmax_cross_entropy", train, targets, "adam", callback=look, **options)
    return fitted, time.perf_counter() - began - spent, np.array(told)


curves, found = {}, {"monotone": [], "MLP": []}
for kind, scores in found.items():
    for seed in SEEDS:
        fitted, seconds, curves[kind, seed] = learn(kind, seed)
        scores.append(accuracy(fitted.model))
        print(f"{kind}, seed {seed}: {scores[-1]:.4f} of {len(test)} right, loss {fitted.value:.3f}, {seconds:.1f} s")
        if kind == "monotone":
            (fresh, fresh_dual), (forward, backward) = iterations(network(kind, seed)), iterations(fitted.model)
            print(
                f"  iterations: {fresh:.1f} → {forward:.1f} of the equilibrium, {fresh_dual:.1f} → {backward:.1f} dual"
            )
            assert max(fresh, fresh_dual) < forward <= 12
            assert max(fresh, fresh_dual) < backward <= 12
regression = LogisticRegression(max_iter=5000).fit(train, train_digit).score(test, test_digit)
means = {kind: float(np.mean(scores)) for kind, scores in found.items()}
print(f"means: monotone {means['monotone']:.4f}, MLP {means['MLP']:.4f}; logistic regression {regression:.4f}")
assert min(found["monotone"]) >= 0.965
assert means["monotone"] >= 0.972
assert abs(means["monotone"] - means["MLP"]) < 0.015  # an equilibrium is no better than an MLP here, nor worse

# Memory: peaks of solve and pullback, all cotangents held, in states of 128 samples ------------------------------

rng = np.random.default_rng(0)
y0, seeds = rng.standard_normal((2, 128, UNITS))
A, B = rng.standard_normal((2, UNITS, UNITS)) / np.sqrt(3 * UNITS)
A[40:] = 0  # half the rank, no B and next to no margin: an equilibrium that takes thousands of iterations
splitting = {"solver": "peaceman-rachford", "dual_solver": "peaceman-rachford", "rtol": 1e-13, "on_failure": "return"}
slow = mk.MonotoneMachine((UNITS,), "relu", margin=1e-6, A=A, B=0 * B, **splitting)
sure = mk.MonotoneMachine((UNITS,), "relu", margin=1.0, A=A, B=B, rtol=1e-12)


def implicit(machine):
    state = machine.solve(y0)
    cotangent = machine.pullback(state, seeds)
    return state, cotangent, cotangent.parameters, cotangent.y0


def unrolled(W, steps):
    """Return z of s ← relu(s + α (s W + y0 − s)) and its gradient by y0 and W, from all iterates."""
    alpha = 1.0 / np.linalg.norm(np.eye(UNITS) - W, 2)
    iterates = [np.maximum(y0, 0.0)]
    for _ in range(steps):
        s = iterates[-1]
        iterates.append(np.maximum(s + alpha * (s @ W + y0 - s), 0.0))
    u, y0_bar, W_bar = seeds, np.zeros_like(y0), np.zeros_like(W)
    for before, after in zip(iterates[-2::-1], iterates[:0:-1], strict=True):
        v = np.where(after > 0, alpha * u, 0.0)
        y0_bar, W_bar, u = y0_bar + v, W_bar + before.T @ v, v / alpha - v + v @ W.T
    return iterates[-1], y0_bar + np.where(y0 > 0, u, 0.0), W_bar


def peak(function, *arguments):
    """Return the peak in states, and what was returned."""
    function(*arguments)  # what is computed once for a W is not counted
    tracemalloc.start()
    try:
        result = function(*arguments)
        return tracemalloc.get_traced_memory()[1] / y0.nbytes, result
    finally:
        tracemalloc.stop()


state, _, _, by_dual = implicit(sure)
z, by_iterates, _ = unrolled(sure.kernel, 400)
assert np.abs(z - state.z).max() < 1e-9  # both are the same equilibrium, and its gradient
assert np.abs(by_iterates - by_dual).max() < 1e-9

print("iterations  states, dual  states, unrolled")
budgets, peaks = (10, 30, 100, 300, 1000), {"dual": [], "unrolled": []}
for budget in budgets:
    most, (state, cotangent, *_) = peak(implicit, slow.with_options(max_steps=budget))
    assert np.all(state.info.steps == budget)
    assert np.all(cotangent.saved.info.steps == budget)
    peaks["dual"].append(most)
    peaks["unrolled"].append(peak(unrolled, slow.kernel, budget)[0])
    print(f"{budget:<10d}  {most:<12.1f}  {peaks['unrolled'][-1]:.1f}")
assert max(peaks["dual"]) < min(peaks["dual"]) + 1
assert peaks["unrolled"][-1] > 1000

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, colors = "#22303c", {"monotone": "#2a788e", "MLP": "#dd8452"}
    figure = Figure(figsize=(10.8, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for (kind, seed), told in curves.items():
        left.plot(told[:, 0], color=colors[kind], lw=1.2, label=kind if seed == SEEDS[0] else None)
        if kind == "monotone":
            for part, color, word in ((1, "#2a788e", "equilibrium"), (2, "#c44e52", "dual")):
                middle.plot(told[:, part], color=color, lw=1.2, label=word if seed == SEEDS[0] else None)
    left.axhline(regression, color="#b0b7bd", ls="--", label="logistic regression")
    left.set(ylim=(0.9, 1.0), xlabel="epoch")
    left.set_title("test digits read rightly, three seeds", color=ink, fontsize=11)
    middle.set(ylim=(0, 13), xlabel="epoch")
    middle.set_title(f"iterations per sample, rtol {RTOL:g}", color=ink, fontsize=11)
    right.loglog(budgets, peaks["dual"], "o-", color="#2a788e", label="machine and dual")
    right.loglog(budgets, peaks["unrolled"], "o-", color="#dd8452", label="all iterates kept")
    right.set(xlabel="iterations", ylim=(5, 2000))
    right.set_title("peak memory of a gradient, in states", color=ink, fontsize=11)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(sys.argv[1], dpi=100)
