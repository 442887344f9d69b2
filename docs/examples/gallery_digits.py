"""Digits: a two-dimensional convolution machine with a linear head, against logistic regression."""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import machinekit as mk

SIZES = (1, 6, 6)
pixels, digit = load_digits(return_X_y=True)
train, test, train_digit, test_digit = train_test_split(
    pixels / 16, digit, test_size=0.5, stratify=digit, random_state=0
)
images, test_images = (x.reshape(-1, 8, 8, 1) for x in (train, test))


def classifier(seed):
    """Return image -> z of all blocks -> one logit per digit."""
    rng, channels = np.random.default_rng(seed), sum(SIZES)
    machine = mk.ConvMachine(SIZES, ["identity", "tanh", "tanh"], padding=((1, 1), (1, 1)), bias=True, rng=rng)
    return mk.Chain([machine, mk.Reshape((8, 8, channels), 64 * channels), mk.Affine(64 * channels, 10, rng=rng)])


model, penalty = classifier(seed=0), mk.penalties.l2(1e-3)
print(model.parts()["0"].describe())
problem = mk.Objective(model, "softmax_cross_entropy", images[:50], train_digit[:50], penalty)
error = problem.check_gradient(rng=0)
print(f"gradient against the complex step: {error:.1e}")
assert error <= 1e-12

fitted = mk.fit(
    model, "softmax_cross_entropy", images, train_digit, penalties=penalty, steps=120, progress=False
)  # by L-BFGS
print(fitted)
machine = fitted.model.parts()["0"]
guess = np.argmax(fitted.model(test_images), axis=-1)
accuracy = np.mean(guess == test_digit)
regression = LogisticRegression(max_iter=5000).fit(train, train_digit)
linear = regression.score(test, test_digit)
print(f"machine and head: {accuracy:.4f} of {len(test)} right, {fitted.theta.size} live parameters")
print(f"logistic regression: {linear:.4f} right, {regression.coef_.size + regression.intercept_.size} parameters")
assert accuracy >= 0.968
assert accuracy > linear
assert not machine.weight[~machine.live].any()

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, columns, shown = "#22303c", sum(SIZES), [np.flatnonzero(test_digit == d)[0] for d in (0, 2, 5, 8)]
    wrong = np.flatnonzero(guess != test_digit)[: 2 * columns]
    figure = Figure(figsize=(10.6, 5.9), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    upper, lower = figure.subfigures(2, 1, height_ratios=(4.5, 2.9))
    z = machine(test_images[shown])
    for line, activations in zip(upper.subplots(len(shown), columns), z, strict=True):
        for k, axes in enumerate(line):
            gray = {"cmap": "gray_r", "vmin": 0, "vmax": 1} if k == 0 else {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
            axes.imshow(activations[..., k], **gray)
            axes.spines[:].set_color("#c9ced3")
            axes.set(xticks=[], yticks=[])
    for axes, k in zip(upper.axes, range(columns), strict=False):
        block = int(k > 0) + int(k > SIZES[1])
        axes.set_title(["image", f"block 1, {k}", f"block 2, {k - SIZES[1]}"][block], color=ink, fontsize=8)
    lower.suptitle(f"the {len(wrong)} test digits read wrongly: digit → guess", color=ink, fontsize=11)
    for k, axes in enumerate(lower.subplots(2, columns).flat):
        axes.axis("off")
        if k < len(wrong):
            axes.imshow(test_images[wrong[k], ..., 0], cmap="gray_r", vmin=0, vmax=1)
            axes.set_title(f"{test_digit[wrong[k]]} → {guess[wrong[k]]}", color="#c44e52", fontsize=9)
    figure.savefig(sys.argv[1], dpi=100)
